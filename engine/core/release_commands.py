"""What an operator may ask of the release: a mode, a kill, the end of a kill; and what a start makes of it.

Every command that was understood is an event with what it changed. A promotion was measured by the app, which journals
what it found; here it is only obeyed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.core.control import Command, InputError, RefusedError
from engine.core.detector import STAGES
from engine.core.effects import Effect, Event, Released
from engine.core.minutes import label, minute_of
from engine.core.release import EVERYTHING, SHADOW, Release


def obey(release: Release, command: Command, seq: int, at_ns: int, detectors: Sequence[str]) -> list[Effect]:
    """What follows; the new release is in a Released, if it is another one. detectors: the ids there are."""
    told = {"command": command.command, "arguments": command.arguments, "who": command.who}
    try:
        after = VERBS[command.command](release, command, at_ns, detectors)
    except RefusedError as refused:
        told |= {"fault": refused.fault, "reason": str(refused), "unmet": list(command.unmet or ())}
        return [Event(seq, at_ns, "command_refused", "", "", told)]
    if command.override:
        told |= {"override": command.override, "unmet": list(command.unmet or ())}
    if command.command == "mode":
        told |= {"before": release.mode, "after": _shown_mode(after)}
    else:
        told |= {"before": _shown_kills(release), "after": _shown_kills(after)}
    event = Event(seq, at_ns, "command", "", "", told)
    return [event] if after == release else [event, Released(seq, after)]


def begin(release: Release, asked: str, seq: int, at_ns: int) -> list[Effect]:
    """A process starts and was asked for a mode: a start never promotes, and a new session begins in shadow at most."""
    is_new = release.since_ns == 0
    rank = STAGES.index(asked) if asked in STAGES else 0
    mode = STAGES[min(rank, SHADOW if is_new else release.rank)]
    after = release.in_mode(mode, at_ns)
    if is_new and not after.since_ns:  # a dry run from its beginning
        after = release.begun(at_ns)
    effects: list[Effect] = [Released(seq, after)]
    if mode != asked:
        why = "a new session begins in shadow at most" if is_new else f"a start never promotes, it was in {mode}"
        effects.insert(0, Event(seq, at_ns, "mode_capped", "", "", {"asked": asked, "mode": mode, "reason": why}))
    return effects


def _mode(release: Release, command: Command, at_ns: int, detectors: Sequence[str]) -> Release:
    if len(command.arguments) != 1 or command.arguments[0] not in STAGES:
        found = " ".join(command.arguments) or "nothing"
        raise InputError(f"mode takes one of {', '.join(STAGES)}, found {found}; a journal is replayed by itself")
    (mode,) = command.arguments
    if STAGES.index(mode) > release.rank and not command.override:
        if command.unmet is None:
            raise RefusedError(f"mode {mode}: nobody measured whether this engine is fit for it; ask once more")
        if unmet := command.unmet:
            raise RefusedError(
                f"mode {mode} is refused, unmet: {'; '.join(unmet)}; "
                '--override "reason" passes them and is written down'
            )
    return release.in_mode(mode, at_ns)


def _kill(release: Release, command: Command, at_ns: int, detectors: Sequence[str]) -> Release:
    return release.without(_switches(command, detectors))


def _revive(release: Release, command: Command, at_ns: int, detectors: Sequence[str]) -> Release:
    return release.with_again(_switches(command, detectors), at_ns)


VERBS: dict[str, Callable[[Release, Command, int, Sequence[str]], Release]] = {
    "mode": _mode, "kill": _kill, "revive": _revive,
}  # fmt: skip


def _switches(command: Command, detectors: Sequence[str]) -> list[str]:
    """What is named: EVERYTHING, or detectors. Either all of them are known or none is touched."""
    if not command.arguments:
        raise InputError(f"{command.command} takes {EVERYTHING}, or the ids of one detector or more")
    unknown = [name for name in dict.fromkeys(command.arguments) if name != EVERYTHING and name not in detectors]
    if unknown:
        known = ", ".join((EVERYTHING, *detectors))
        raise InputError(f"{command.command}: no detector {', '.join(unknown)}; known are {known}")
    return command.arguments


def _shown_mode(release: Release) -> str:
    if not release.rank:
        return release.mode
    return f"{release.mode} (minutes that close after {label(minute_of(release.since_ns) - 1)} UTC)"


def _shown_kills(release: Release) -> str:
    return f"killed: {', '.join(release.killed)}" if release.killed else "nothing killed"
