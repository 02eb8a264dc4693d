"""What an operator may ask of the core. Every command that was understood is an event with what it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core.control import Command, InputError, RefusedError
from engine.core.effects import Effect
from engine.core.instruments import is_symbol
from engine.core.layouts import PINNED_CARRIED, PINNED_OPERATOR, PINNED_SETTINGS
from engine.universe.stage import Universe

SEVERITY = 70  # of a `hot` without a number: the least that makes an event hot (domain 11)


def obey(universe: Universe, command: Command, others: Iterable[str] = ()) -> list[Effect]:
    """Do what is asked, at once; or say in one sentence why not. others: commands that are obeyed elsewhere."""
    told = {"command": command.command, "arguments": command.arguments, "who": command.who}
    try:
        verb = VERBS.get(command.command)
        if verb is None:
            raise InputError(f"no command {command.command!r}; known are {', '.join([*VERBS, *others])}")
        before, after, effects = verb(universe, command.arguments)
    except RefusedError as refused:
        return [universe.event("command_refused", "", "", told | {"fault": refused.fault, "reason": str(refused)})]
    return [universe.event("command", "", "", told | {"before": before, "after": after}), *effects]


Obeyed = tuple[object, object, list[Effect]]  # what it was, what it is, what follows


def _pin(universe: Universe, arguments: list[str]) -> Obeyed:
    places = _symbols(universe, "pin", arguments)
    before = _named(universe, places, "pinned")
    _must_have_room(universe, places)
    for place in places:
        universe.pin(place, PINNED_OPERATOR)
    return before, _named(universe, places, "pinned"), _settle(universe, dict.fromkeys(places, "pin"))


def _unpin(universe: Universe, arguments: list[str]) -> Obeyed:
    places = _symbols(universe, "unpin", arguments)
    before = _named(universe, places, "pinned")
    if free := [name for name, pinned in before.items() if not pinned]:
        raise RefusedError(f"not pinned: {', '.join(free)}")
    for place in places:
        universe.unpin(place, PINNED_OPERATOR | PINNED_SETTINGS | PINNED_CARRIED)
    return before, _named(universe, places, "pinned"), _settle(universe, dict.fromkeys(places, "unpin"))


def _hot(universe: Universe, arguments: list[str]) -> Obeyed:
    told = len(arguments) > 1 and arguments[-1].isdigit()
    severity = _number("severity", arguments[-1], 0, 100) if told else SEVERITY
    places = _symbols(universe, "hot", arguments[:-1] if told else arguments)
    before = _named(universe, places, "hot_until")
    _must_have_room(universe, places)
    why: dict[int, str] = {}
    for place in places:
        why |= universe.heat(place, severity)
    return before, _named(universe, places, "hot_until"), _settle(universe, why)


def _unhot(universe: Universe, arguments: list[str]) -> Obeyed:
    places = _symbols(universe, "unhot", arguments)
    before = _named(universe, places, "hot_until")
    if cold := [name for name, until in before.items() if not until]:
        raise RefusedError(f"not on the hotlist: {', '.join(cold)}")
    why = {place: universe.cool(place, "unhot") for place in places}
    return before, _named(universe, places, "hot_until"), _settle(universe, why)


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
        raise InputError("shed takes the number of symbols of each venue whose depth is left out: shed 5")
    return _set_shed(universe, _number("symbols", arguments[0], 1, len(universe.symbols)))


def _stop_shed(universe: Universe, arguments: list[str]) -> Obeyed:
    _no_arguments("stop-shed", arguments)
    return _set_shed(universe, 0)


def _set_shed(universe: Universe, count: int) -> Obeyed:
    before = int(universe.loaded["operator_shed"])
    universe.loaded["operator_shed"] = count
    return before, count, universe.settle_all(f"shed {count}" if count else "stop-shed")


VERBS: dict[str, Callable[[Universe, list[str]], Obeyed]] = {
    "pin": _pin, "unpin": _unpin, "hot": _hot, "unhot": _unhot, "emergency-top5": _emergency, "resume": _resume,
    "shed": _shed, "stop-shed": _stop_shed,
}  # fmt: skip


def _symbols(universe: Universe, command: str, arguments: list[str]) -> list[int]:
    """The candidates that are named. Either all of them can be served or none is touched."""
    if not arguments:
        raise InputError(f"{command} takes one VENUE:SYMBOL or more")
    return list(dict.fromkeys(_symbol(universe, text) for text in arguments))


def _symbol(universe: Universe, text: str) -> int:
    """One candidate: VENUE:SYMBOL, or SYMBOL alone where there is one venue."""
    venues = universe.registry.venues
    name, _, symbol = text.rpartition(":")
    if not name and len(venues) == 1:
        name = venues[0]
    if name not in venues:
        raise InputError(f"{text!r}: expected VENUE:SYMBOL with one of {', '.join(venues) or 'no venue yet'}")
    venue = venues.index(name)
    known = universe.names.place(venue, symbol)
    listed = universe.candidates["listed"][universe.names.of(venue)].any()
    named = known >= 0 and (universe.candidates[known]["listed"] or universe.candidates[known]["symbol"] >= 0)
    if not is_symbol(symbol) or (listed and not named):
        raise InputError(f"{name} lists no symbol {symbol!r}")
    place = universe.place(venue, symbol)
    if place < 0:
        raise RefusedError(f"core.limits.candidates_max = {len(universe.candidates)} is reached; raise it")
    return place


def _must_have_room(universe: Universe, places: list[int]) -> None:
    if not universe.has_room(places):
        limit = f"core.limits.symbols_max = {len(universe.symbols)}"
        raise RefusedError(f"{limit} is reached; raise it and start a new session")


def _named(universe: Universe, places: list[int], what: str) -> dict[str, int]:
    """One number of each candidate, for the record."""
    return {universe.names.names[place]: int(universe.candidates[place][what]) for place in places}


def _settle(universe: Universe, why: dict[int, str]) -> list[Effect]:
    """A revision of each venue that has a symbol in it."""
    effects: list[Effect] = []
    for venue in dict.fromkeys(universe.names.venues[place] for place in why):
        mine = {place: reason for place, reason in why.items() if universe.names.venues[place] == venue}
        effects += universe.settle(venue, mine)
    return effects


def _number(what: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise InputError(f"{what} {text!r}, expected a whole number from {least} to {most}")
    return int(text)


def _no_arguments(command: str, arguments: list[str]) -> None:
    if arguments:
        raise InputError(f"{command} takes no arguments, found {' '.join(arguments)}")
