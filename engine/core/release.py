"""How far a signal may go: the run mode, the canary's list, a detector's own stage, the kill switches. Pure.

What would be published is decided before this and is the same in every mode; nothing in the chain depends on a Release.
docs/modes.md has the rules with their reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from config.signals import Signals as Settings
from engine.core.detector import STAGES
from engine.core.instruments import is_of_coin
from engine.core.minutes import MS_PER_MINUTE, minute_of

if TYPE_CHECKING:
    from engine.core.effects import Signal

DRY_RUN, SHADOW, CANARY, PRODUCTION = range(len(STAGES))
EVERYTHING = "all"  # the kill switch of every detector
NOT_NOW = -1


class Reach(IntEnum):
    """How far a signal may go, each of them including those before it."""

    LOG = 0  # the session's own files
    INTERNAL = 1  # the internal topic
    OUTSIDE = 2  # whoever listens outside of this process


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave, for all minutes. It is replaced whole; the core holds the newest one.

    mode: one of STAGES. since_ns: when it became that; 0: no process has started yet, so nothing may leave.
    from_minutes: of shadow, canary and production, the first minute with at least that mode and no break since; -1: the
    mode is lower now. So a promotion never reaches back, and a demotion also stops what older minutes still bring.
    killed: detectors whose switch is off, or EVERYTHING. revived: by switch, the first minute since it was last turned
    on again: what was held back by a kill is never let out by its end. emits: core.signals.emit.
    """

    mode: str = STAGES[DRY_RUN]
    since_ns: int = 0
    from_minutes: tuple[int, ...] = (NOT_NOW,) * PRODUCTION
    killed: tuple[str, ...] = ()
    revived: tuple[tuple[str, int], ...] = ()
    emits: bool = True
    canary_symbols: tuple[str, ...] = ()
    canary_classes: tuple[str, ...] = ()

    def reach(self, signal: Signal) -> tuple[Reach, str]:
        """How far it may go, and what keeps it from going further: kill, emit, mode, stage, canary; "" for outside.

        Asked again right before it is sent it may say less than it did before, never more for the same signal while
        canary list and `emit` stay. Raises ValueError for a stage that is none: then nothing may be sent.
        """
        stage = STAGES.index(signal.stage)
        minute = signal.exchange_ts // MS_PER_MINUTE - 1
        if self.is_killed(signal.detector, minute):
            return Reach.LOG, "kill"
        if not self.emits:
            return Reach.LOG, "emit"
        mode = self._rank_in(minute)
        why = "stage" if stage < mode else "mode"
        if min(stage, mode) == DRY_RUN:
            return Reach.LOG, why
        if min(stage, mode) == SHADOW:
            return Reach.INTERNAL, why
        if min(stage, mode) == CANARY and not self._is_canary(signal):
            return Reach.INTERNAL, "canary"
        return Reach.OUTSIDE, ""

    def is_killed(self, detector: str, minute: int) -> bool:
        """Now, or when it would have left: the end of a kill lets out later minutes only."""
        mine = (EVERYTHING, detector)
        return any(name in mine for name in self.killed) or any(
            name in mine and minute < first for name, first in self.revived
        )

    @property
    def rank(self) -> int:
        """Place of the mode in STAGES."""
        return STAGES.index(self.mode)

    def begun(self, at_ns: int) -> Release:
        """In the mode it has, since now."""
        return replace(self, since_ns=at_ns)

    def in_mode(self, mode: str, at_ns: int) -> Release:
        """From the minute on that is open at `at_ns`: the first whose label lies behind it."""
        rank = STAGES.index(mode)
        if rank == self.rank:
            return self
        begun = tuple(
            NOT_NOW if level > rank else first if level <= self.rank else minute_of(at_ns)
            for level, first in enumerate(self.from_minutes, SHADOW)
        )
        return replace(self, mode=mode, since_ns=at_ns, from_minutes=begun)

    def without(self, names: Iterable[str]) -> Release:
        """Kill: at once, for whatever has not left yet."""
        return replace(self, killed=tuple(dict.fromkeys([*self.killed, *names])))

    def with_again(self, names: Iterable[str], at_ns: int) -> Release:
        """Revive those of them that are killed."""
        ended = [name for name in dict.fromkeys(names) if name in self.killed]
        revived = dict(self.revived) | dict.fromkeys(ended, minute_of(at_ns))
        return replace(
            self, killed=tuple(name for name in self.killed if name not in ended), revived=tuple(revived.items())
        )

    def by_settings(self, settings: Settings, at_ns: int) -> Release:
        """Go by this pack. `emit` turned on again is the end of a kill."""
        revived = dict(self.revived)
        if settings.emit and not self.emits:
            revived[EVERYTHING] = minute_of(at_ns)
        return replace(
            self, emits=settings.emit, revived=tuple(revived.items()), canary_symbols=settings.canary_symbols,
            canary_classes=settings.canary_classes,
        )  # fmt: skip

    def encode(self) -> dict[str, Any]:
        """For the state snapshot."""
        return asdict(self)

    @classmethod
    def decode(cls, told: dict[str, Any]) -> Release:
        lists = ("killed", "canary_symbols", "canary_classes", "from_minutes")
        pairs = tuple((name, minute) for name, minute in told["revived"])
        return cls(**told | {name: tuple(told[name]) for name in lists} | {"revived": pairs})

    def _rank_in(self, minute: int) -> int:
        """Of the mode that minute is under: the highest that has lasted since."""
        lasting = [rank for rank, first in enumerate(self.from_minutes, SHADOW) if NOT_NOW < first <= minute]
        return max(lasting, default=DRY_RUN)

    def _is_canary(self, signal: Signal) -> bool:
        named = any(is_of_coin(signal.symbol, name) for name in self.canary_symbols)
        return named and signal.signal_class in self.canary_classes
