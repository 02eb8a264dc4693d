"""A pack tried on the last hour before it is asked for: what it would have found, beside the one that is in force.

The stages that would judge the next minute judge the minutes that are remembered, by the same kernels, in memory of
their own: nothing of the engine changes. Both packs begin without a past, so signals that stood at the beginning of the
hour stop nothing in either; and every minute is read in its newest revision.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors import stage as detectors
from engine.conveyor import Conveyor
from engine.core.detector import CLASSES
from engine.core.pack import Pack
from engine.core.signal_columns import Stop
from engine.core.signal_state import make_signal_room, make_signals
from engine.core.state import EngineState
from engine.signals import stage as signals

MINUTES = 60
FALL_PCT, RISE_PCT = 20, 10  # of what is published, beyond which a change is worth a second look
SEVERITY_FALL = 5  # of the 90th percentile of the severity


@dataclass
class Outcome:
    """What became of the candidates of one pack.

    counts: (class, reason) -> how many; severities: of the published; failed: (detector, why) that raised.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    severities: list[int] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def candidates(self) -> int:
        return self.counts.total()

    @property
    def published(self) -> int:
        return len(self.severities)

    def percentile(self, pct: int) -> float | None:
        """Of the severity of what would be published; None: nothing would be."""
        return float(np.percentile(self.severities, pct)) if self.severities else None


class Trial:
    """One pack, and memory in which the stages may work for it."""

    def __init__(self, state: EngineState, names: Sequence[str], limits: Any, pack: Pack) -> None:
        self.pack, self.outcome = pack, Outcome()
        self.sectors = detectors.Sectors().of(names, pack.settings.sectors)
        self.state = copy.copy(state)
        self.state.signals, self.state.signal_room = make_signals(limits), make_signal_room(limits)
        self.newest = np.full(limits.symbols_max, -1, np.int64)

    def judge(self, venue: int, order: np.ndarray, minute: int) -> None:
        """One minute of a venue, as it is remembered. order: the venue's symbols by name."""
        own, history, markets = self.state, self.state.history, self.state.market
        members, slot = order[history.has(minute, order)], minute % markets.rows.shape[1]
        self.newest[members] = minute
        own.bars = own.bars._replace(rows=history.rows[minute % history.minutes])
        own.features = own.features._replace(newest=self.newest)
        market = markets.rows[venue, slot : slot + 1]
        self.outcome.failed += detectors.look(own, members, minute, market, order, self.sectors, self.pack)
        found = signals.judge(own, members, minute, market, self.pack)
        names = [(CLASSES[self.pack.rules["place"][d]], Stop(r)) for d, r in found[["detector", "reason"]].tolist()]
        self.outcome.counts.update((name, stop.name.lower()) for name, stop in names)
        self.outcome.severities += found["severity"][found["reason"] == Stop.PUBLISHED].tolist()


async def rehearse(conveyor: Conveyor, before: Pack, after: Pack) -> dict[str, Any]:
    """What `told` tells, of the last hour. The loop gets its turn between two minutes."""
    state, minutes = conveyor.state, conveyor.minutes
    assert state is not None, "there is no state before the configuration epoch"
    limits = conveyor.core.limits
    trials = [Trial(state, conveyor.registry.names, limits, pack) for pack in (before, after)]
    remembered = state.market.minutes
    newest = int(remembered.max())
    judged: dict[int, int] = {}  # minute -> symbols
    for minute in range(max(newest - MINUTES + 1, 0), newest + 1):
        for venue in np.flatnonzero(remembered[:, minute % remembered.shape[1]] == minute).tolist():
            order = minutes.rosters.of(venue, conveyor.registry).order
            judged[minute] = judged.get(minute, 0) + int(state.history.has(minute, order).sum())
            for trial in trials:
                trial.judge(venue, order, minute)
        await asyncio.sleep(0)
    return told(trials[0].outcome, trials[1].outcome, len(judged), max(judged.values(), default=0))


def told(before: Outcome, after: Outcome, minutes: int, symbols: int) -> dict[str, Any]:
    """minutes: that were judged; symbols: most in one of them; rows: (class, reason, before, after) of candidates;
    published, candidates, severity_p50, severity_p90: before and after; warnings: sentences.
    """
    keys = sorted({*before.counts, *after.counts}, key=lambda key: (CLASSES.index(key[0]), Stop[key[1].upper()]))
    return {
        "minutes": minutes,
        "symbols": symbols,
        "rows": [[*key, before.counts[key], after.counts[key]] for key in keys],
        "candidates": [before.candidates, after.candidates],
        "published": [before.published, after.published],
        "severity_p50": [before.percentile(50), after.percentile(50)],
        "severity_p90": [before.percentile(90), after.percentile(90)],
        "warnings": warnings(before, after, minutes),
    }


def warnings(before: Outcome, after: Outcome, minutes: int) -> list[str]:
    """What a careful operator would look at twice. Nothing here refuses a change."""
    found = [f"{name} fails, and would be quarantined: {why}" for name, why in after.failed]
    if not minutes:
        found.append("no minute is remembered yet, so nothing was tried")
    was, now = before.published, after.published
    if now * 100 > was * (100 + RISE_PCT) or now * 100 < was * (100 - FALL_PCT):
        share = f" ({(now - was) / was:+.0%})" if was else ""
        found.append(f"published signals: {was} -> {now}{share}; usual bounds are -{FALL_PCT} % to +{RISE_PCT} %")
    old, new = before.percentile(90), after.percentile(90)
    if old is not None and new is not None and new < old - SEVERITY_FALL:
        found.append(f"severity p90: {old:g} -> {new:g}; it should not fall by more than {SEVERITY_FALL}")
    return found
