"""Minutes as tests/oracles/histories.py has them, put before detectors as the engine would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engine.core.detector import FINDING, Detector, View
from engine.core.feature_state import CLOSE, FLOW, HIGH, INPUTS, LOW, OPEN, RECENT, VOLUME
from engine.core.market import MARKET
from engine.core.market_state import MARKET_MINUTES
from engine.core.schema import NULL, ROW, Status
from tests.engine.features.rows import BLANK
from tests.oracles.histories import Finding, Row

LINES = {"O": OPEN, "H": HIGH, "L": LOW, "C": CLOSE, "V": VOLUME, "D": FLOW}
BLANK_MARKET = np.zeros(1, MARKET)
for _name in MARKET.names or ():
    BLANK_MARKET[_name] = np.nan if MARKET[_name].base.kind == "f" else NULL


class Belt:
    """The rings behind some symbols, and the view of each minute in turn."""

    def __init__(self, symbols: int) -> None:
        self.minute = -1
        self.ring = np.full((symbols, len(INPUTS), 2 * RECENT), np.nan)
        self.rows = np.zeros(symbols, ROW)
        self.history, self.held = np.zeros((RECENT, symbols), ROW), np.full((RECENT, symbols), -1)
        self.markets, self.markets_held = np.zeros(MARKET_MINUTES, MARKET), np.full(MARKET_MINUTES, -1)
        self.members = np.zeros(0, np.int64)

    def step(self, minute: int, rows: Sequence[Row | None], market: Row | None = None) -> View:
        """The view of a minute. A symbol without a row (None) is not looked at; a row without C is stale."""
        if self.minute >= 0:
            self.history[self.minute % RECENT, self.members] = self.rows[self.members]
            self.held[self.minute % RECENT, self.members] = self.minute
        for m in range(max(self.minute + 1, minute - RECENT + 1), minute + 1):
            self.ring[:, :, m % RECENT :: RECENT] = np.nan
        self.minute = minute
        self.members = np.array([s for s, row in enumerate(rows) if row is not None], np.int64)
        for s, row in enumerate(rows):
            if row is not None:
                self._write(s, row)
        place = minute % MARKET_MINUTES
        self.markets[place] = BLANK_MARKET[0]
        if market is not None:
            self.markets_held[place] = minute
            for name, one in market.items():
                if one is not None:
                    self.markets[place][name] = one
        return View(
            minute, self.members, self.rows, self.markets[place : place + 1], self.history, self.held, self.ring,
            np.full(len(rows), minute), np.zeros((1, len(rows)), ROW), np.full((1, len(rows)), -1),
            markets=self.markets, markets_held=self.markets_held,
        )  # fmt: skip

    def _write(self, s: int, row: Row) -> None:
        self.rows[s] = BLANK
        is_there = row.get("C") is not None
        self.rows[s]["dq_status"] = Status.OK if is_there else Status.STALE
        for name, one in row.items():
            if name in LINES:
                if is_there and one is not None:
                    self.ring[s, LINES[name], self.minute % RECENT :: RECENT] = one
            elif one is not None:
                self.rows[s][name] = one


def found_by(detector: Detector, view: View) -> np.ndarray:
    """FINDING (symbols,): what a detector finds of the members."""
    out = np.zeros(len(view.rows), FINDING)
    for name in ("measure", "primary", "secondary"):
        out[name] = np.nan
    out["is_allowed"] = 1
    detector.find(view, detector.threshold, out)
    return out


def plain(found: np.ndarray) -> Finding:
    """One finding as the oracle has it; primary must be the measure."""
    measure = None if np.isnan(found["measure"]) else float(found["measure"])
    assert found["primary"].tobytes() == found["measure"].tobytes()
    return Finding(measure, bool(found["is_met"]), bool(found["is_allowed"]), int(found["direction"]))


def last_of(detector: Detector, history: Mapping[int, Row], market: Mapping[int, Row] | None = None) -> Finding:
    """What a detector finds of one symbol in the newest minute of its history."""
    belt, view = Belt(1), None
    for minute in range(min(history), max(history) + 1):
        view = belt.step(minute, [history.get(minute)], None if market is None else market.get(minute))
    assert view is not None
    return plain(found_by(detector, view)[0])


def views(histories: Sequence[Mapping[int, Row]]) -> Iterator[View]:
    """The view of every minute of symbols side by side."""
    belt = Belt(len(histories))
    first, last = min(min(one) for one in histories), max(max(one) for one in histories)
    for minute in range(first, last + 1):
        yield belt.step(minute, [one.get(minute) for one in histories])
