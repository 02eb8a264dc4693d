"""What an operator may ask of the core. Every command that was understood is an event with what it changed."""

from __future__ import annotations

from collections.abc import Callable

from engine.core.control import Command
from engine.core.effects import Effect
from engine.core.layouts import PINNED_CARRIED, PINNED_OPERATOR, PINNED_SETTINGS
from engine.universe.stage import Universe

SEVERITY = 70  # of a `hot` without a number: the least that makes an event hot (domain 11)


class RefusedError(Exception):
    """A command that changes nothing. Its text is the sentence for the operator."""


def obey(universe: Universe, command: Command) -> list[Effect]:
    """Do what is asked, at once; or say in one sentence why not."""
    told = {"command": command.command, "arguments": command.arguments, "who": command.who}
    try:
        verb = VERBS.get(command.command)
        if verb is None:
            raise RefusedError(f"no command {command.command!r}; known are {', '.join(VERBS)}")
        before, after, effects = verb(universe, command.arguments)
    except RefusedError as refused:
        return [universe.event("command_refused", "", "", told | {"reason": str(refused)})]
    return [universe.event("command", "", "", told | {"before": before, "after": after}), *effects]


Obeyed = tuple[object, object, list[Effect]]  # what it was, what it is, what follows


def _pin(universe: Universe, arguments: list[str]) -> Obeyed:
    place = _symbol(universe, "pin", arguments, most=1)
    before = bool(universe.candidates[place]["pinned"])
    if not before and not universe.has_room(place):
        raise RefusedError(_no_room(universe))
    universe.pin(place, PINNED_OPERATOR)
    return before, True, universe.settle(universe.names.venues[place], {place: "pin"})


def _unpin(universe: Universe, arguments: list[str]) -> Obeyed:
    place = _symbol(universe, "unpin", arguments, most=1)
    one = universe.candidates[place]
    if not one["pinned"]:
        raise RefusedError(f"{arguments[0]} is not pinned")
    universe.unpin(place, PINNED_OPERATOR | PINNED_SETTINGS | PINNED_CARRIED)
    return True, False, universe.settle(universe.names.venues[place], {place: "unpin"})


def _hot(universe: Universe, arguments: list[str]) -> Obeyed:
    place = _symbol(universe, "hot", arguments, most=2)
    severity = _number("severity", arguments[1], 0, 100) if len(arguments) == 2 else SEVERITY
    before = int(universe.candidates[place]["hot_until"])
    if not universe.has_room(place):
        raise RefusedError(_no_room(universe))
    why = universe.heat(place, severity)
    after = int(universe.candidates[place]["hot_until"])
    return before, after, universe.settle(universe.names.venues[place], why)


def _emergency(universe: Universe, arguments: list[str]) -> Obeyed:
    return _switch(universe, "emergency-top5", arguments, 1)


def _resume(universe: Universe, arguments: list[str]) -> Obeyed:
    if not universe.loaded["operator_emergency"]:
        raise RefusedError("no operator's emergency is in force; one that the load asked for ends with the load")
    return _switch(universe, "resume", arguments, 0)


def _switch(universe: Universe, command: str, arguments: list[str], value: int) -> Obeyed:
    _no_arguments(command, arguments)
    before = bool(universe.loaded["operator_emergency"])
    universe.loaded["operator_emergency"] = value
    return before, bool(value), universe.settle_all(command)


def _shed(universe: Universe, arguments: list[str]) -> Obeyed:
    if len(arguments) != 1:
        raise RefusedError("shed takes the share of symbols whose depth is left out, in percent: shed 20")
    return _set_shed(universe, _number("percent", arguments[0], 1, 100))


def _stop_shed(universe: Universe, arguments: list[str]) -> Obeyed:
    _no_arguments("stop-shed", arguments)
    return _set_shed(universe, 0)


def _set_shed(universe: Universe, percent: int) -> Obeyed:
    before = int(universe.loaded["operator_shed_pct"])
    universe.loaded["operator_shed_pct"] = percent
    return before, percent, universe.settle_all(f"shed {percent} %" if percent else "stop-shed")


VERBS: dict[str, Callable[[Universe, list[str]], Obeyed]] = {
    "pin": _pin, "unpin": _unpin, "hot": _hot, "emergency-top5": _emergency, "resume": _resume, "shed": _shed,
    "stop-shed": _stop_shed,
}  # fmt: skip


def _symbol(universe: Universe, command: str, arguments: list[str], most: int) -> int:
    """The candidate that the first argument names: VENUE:SYMBOL, or SYMBOL where there is one venue."""
    if not 1 <= len(arguments) <= most:
        raise RefusedError(f"{command} takes VENUE:SYMBOL{' and a severity' if most == 2 else ''}")
    venues = universe.registry.venues
    name, _, symbol = arguments[0].rpartition(":")
    if not name and len(venues) == 1:
        name = venues[0]
    if name not in venues:
        raise RefusedError(f"{arguments[0]!r}: expected VENUE:SYMBOL with one of {', '.join(venues) or 'no venue yet'}")
    venue = venues.index(name)
    listed = universe.candidates["listed"][universe.names.of(venue)].any()
    known = universe.names.place(venue, symbol)
    named = known >= 0 and (universe.candidates[known]["listed"] or universe.candidates[known]["symbol"] >= 0)
    if not (0 < len(symbol) <= 32 and symbol.isascii()) or (listed and not named):
        raise RefusedError(f"{name} lists no symbol {symbol!r}")
    place = universe.place(venue, symbol)
    if place < 0:
        raise RefusedError(f"core.limits.candidates_max = {len(universe.candidates)} is reached; raise it")
    return place


def _number(what: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and least <= int(text) <= most):
        raise RefusedError(f"{what} {text!r}, expected a whole number from {least} to {most}")
    return int(text)


def _no_arguments(command: str, arguments: list[str]) -> None:
    if arguments:
        raise RefusedError(f"{command} takes no arguments, found {' '.join(arguments)}")


def _no_room(universe: Universe) -> str:
    return f"core.limits.symbols_max = {len(universe.symbols)} is reached; raise it and start a new session"
