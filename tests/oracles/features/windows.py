"""Long windows, ranks and medians (docs/features.md, Windows), as lists that are walked anew for every minute.

`columns` is what the other oracles said of the same minutes, one dict a minute: ret_abs_m_1, rv_m_15 (price),
oi_roc_m_5 (positioning), atr_14 (trend).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from statistics import median

from tests.oracles.features import Columns, Minute, Number

DAY, WEEK = 1_440, 10_080
QUANTILE_VALUES_MIN = 200
COMPRESSION_VALUES_MIN = 240
ATR_VALUES_MIN = 1_440
SQUEEZE_BELOW = 0.2


def float32(value: float) -> float:
    """The nearest number that has a place in four bytes."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def held(minutes: Sequence[Minute], values: Sequence[Number], size: int) -> Iterator[list[float]]:
    """For each minute t: the newest `size` values of ok minutes up to t - 2, the oldest first."""
    taught: list[float] = []
    waiting: list[tuple[int, float]] = []
    for row, value in zip(minutes, values, strict=True):
        while waiting and waiting[0][0] <= row.minute - 2:
            taught.append(waiting.pop(0)[1])
        yield taught[-size:]
        if row.status == "ok" and value is not None:
            waiting.append((row.minute, float32(value)))


def rank(window: Sequence[float], value: float) -> float:
    """Which share of the window lies below the value; of what equals it, half."""
    rounded = float32(value)
    below = sum(1 for one in window if one < rounded)
    equal = sum(1 for one in window if one == rounded)
    return (below + 0.5 * equal) / len(window)


def ranks(minutes: Sequence[Minute], values: Sequence[Number], size: int, values_min: int) -> list[Number]:
    return [
        None if value is None or len(window) < values_min else rank(window, value)
        for window, value in zip(held(minutes, values, size), values, strict=True)
    ]


def medians(minutes: Sequence[Minute], values: Sequence[Number], size: int, values_min: int) -> list[Number]:
    """Of each minute, whatever it is itself."""
    return [median(window) if len(window) >= values_min else None for window in held(minutes, values, size)]


def unless_stale(minutes: Sequence[Minute], values: Sequence[Number]) -> list[Number]:
    """The values, but for those of stale minutes, which are null."""
    return [None if row.status == "stale" else value for row, value in zip(minutes, values, strict=True)]


def windows(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Columns]:
    volume = unless_stale(minutes, [row.quote_volume for row in minutes])
    ret_abs, oi_roc, rv, atr = (
        unless_stale(minutes, [row[name] for row in columns])
        for name in ("ret_abs_m_1", "oi_roc_m_5", "rv_m_15", "atr_14")
    )
    q_vol = ranks(minutes, volume, DAY, QUANTILE_VALUES_MIN)
    q_ret_abs = ranks(minutes, ret_abs, DAY, QUANTILE_VALUES_MIN)
    q_oi_roc = ranks(minutes, oi_roc, DAY, QUANTILE_VALUES_MIN)
    q_rv = ranks(minutes, rv, DAY, COMPRESSION_VALUES_MIN)
    median_rv = medians(minutes, rv, DAY, COMPRESSION_VALUES_MIN)
    atr_rank = ranks(minutes, atr, WEEK, ATR_VALUES_MIN)
    rows: list[Columns] = []
    for i, now in enumerate(rv):
        middle = median_rv[i]
        squeezed = q_rv[i]
        atr_share = atr_rank[i]
        rows.append(
            {
                "q_vol_m_1": q_vol[i],
                "q_ret_abs_m_1": q_ret_abs[i],
                "q_oi_roc_m_5": q_oi_roc[i],
                "atr_percentile_7d": None if atr_share is None else 100 * atr_share,
                "compression_ratio": None if now is None or not middle else now / middle,
                "q_rv_m_15": squeezed,
                "is_squeeze": None if squeezed is None else float(squeezed < SQUEEZE_BELOW),
            }
        )
    return rows
