"""What is judged: minutes of the symbols of one venue, and what the detectors found in them, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.core.minutes import MINUTES_PER_DAY
from engine.core.signal_columns import Stop

SEAM_MINUTES = 60  # of nothing between two stretches of time: longer than any return that is looked at

# One candidate. minute, symbol: places in Minutes. detector, signal_class: places in Candidates' names.
# severity: -1 if it was not scored; raw: NaN likewise.
CANDIDATE = np.dtype([
    ("minute", "<i8"), ("symbol", "<i8"), ("detector", "<i8"), ("signal_class", "<i8"), ("direction", "<i8"),
    ("reason", "<i8"), ("severity", "<i8"), ("raw", "<f8"),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Minutes:
    """Arrays are (minutes, symbols); a minute without a row is not ok, its numbers are NaN.

    first: index of the minute at place 0. is_open: the gates before the severity that ask about the minute and not
    about the finding (membership, dq, warmup, illiquid) let it through. mid: at the close. return_sigma: |return of the
    minute| against the symbol's own scale. volume_sigma: z of the minute's volume.
    """

    first: int
    symbols: tuple[str, ...]
    is_ok: np.ndarray
    is_open: np.ndarray
    mid: np.ndarray
    spread_bp: np.ndarray
    return_sigma: np.ndarray
    volume_sigma: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.is_ok.shape[0], self.is_ok.shape[1]


@dataclass(frozen=True, slots=True)
class Candidates:
    """rows: CANDIDATE (n,). detectors, classes: their names."""

    rows: np.ndarray
    detectors: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def published(self) -> np.ndarray:
        return self.rows[self.rows["reason"] == Stop.PUBLISHED]

    @property
    def scored(self) -> np.ndarray:
        return self.rows[self.rows["severity"] >= 0]

    def of_class(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Those of one class; none if it is unknown."""
        return rows[rows["signal_class"] == self.classes.index(name)] if name in self.classes else rows[:0]


def symbol_days(minutes: np.ndarray) -> float:
    """How many symbol-days the true places of an array are."""
    return float(np.count_nonzero(minutes)) / MINUTES_PER_DAY


def joined(parts: Sequence[tuple[Minutes, Candidates]]) -> tuple[Minutes, Candidates]:
    """Several stretches of time of equally many symbols, one behind the other. What lies between them is not there:
    no return reaches over a seam.
    """
    (first, found), *rest = parts
    for minutes, more in rest:
        begin = len(first.is_ok) + SEAM_MINUTES
        columns = {}
        for name in ("is_ok", "is_open", "mid", "spread_bp", "return_sigma", "volume_sigma"):
            one, other = getattr(first, name), getattr(minutes, name)
            seam = (
                np.zeros((SEAM_MINUTES, one.shape[1]), bool)
                if one.dtype == bool
                else np.full((SEAM_MINUTES, one.shape[1]), np.nan)
            )
            columns[name] = np.concatenate([one, seam, other])
        first = Minutes(first.first, first.symbols, **columns)
        moved = more.rows.copy()
        moved["minute"] += begin
        found = Candidates(np.concatenate([found.rows, moved]), found.detectors, found.classes)
    return first, found
