"""Trend: rates of change, moving averages, true range, direction, and where the close stands in its channel.

A recursion is written as what it does to one run of minutes, from its first one on; a run ends where more than
60 minutes have no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tests.oracles.features import (
    RESTART_MINUTES,
    Columns,
    Minute,
    Number,
    full_enough,
    mean,
    needed,
    series,
    total,
    usable,
)

NULL: Columns = dict.fromkeys(
    (
        "roc_10", "roc_20", "ma_50", "ma_200", "hma_raw", "hma_100", "hma_100_slope", "atr_14", "atr_21", "adx_14",
        "adx_21", "donchian_pos_60", "breakout_z_60",
    )
)  # fmt: skip

Bars = Sequence[tuple[float, float, float]]  # (high, low, close)
Extremes = tuple[float, float]  # the highest high and the lowest low
Ranges = tuple[dict[int, float], dict[int, float]]  # highs and lows by minute


def trend(minutes: Sequence[Minute]) -> list[Columns]:
    """All trend columns; inputs: high, low, close."""
    rows = usable(minutes)
    closes, ranges = closes_of(rows), ranges_of(rows)
    raw = hull_raw(rows, closes)
    hulls = {t: hull for t in rows if (hull := weighted_average(raw, t, 10)) is not None}
    by_run = {
        "atr_14": atr(rows, 14),
        "atr_21": atr(rows, 21),
        "adx_14": over_runs(rows, lambda bars: adx(bars, 14)),
        "adx_21": over_runs(rows, lambda bars: adx(bars, 21)),
    }
    return [
        {
            "roc_10": rate_of_change(closes, t, 10),
            "roc_20": rate_of_change(closes, t, 20),
            "ma_50": moving_average(closes, t, 50),
            "ma_200": moving_average(closes, t, 200),
            "hma_raw": raw.get(t),
            "hma_100": hulls.get(t),
            "hma_100_slope": hull_slope(hulls, closes, t),
            **{column: values.get(t) for column, values in by_run.items()},
            "donchian_pos_60": channel_position(closes.get(t), channel(ranges, t)),
            "breakout_z_60": breakout(closes.get(t), channel(ranges, t), by_run["atr_14"].get(t)),
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


# --- windows ---------------------------------------------------------------------------------------------------------


def closes_of(rows: Mapping[int, Minute]) -> dict[int, float]:
    return series(rows, lambda minute: minute.close)


def ranges_of(rows: Mapping[int, Minute]) -> Ranges:
    return series(rows, lambda minute: minute.high), series(rows, lambda minute: minute.low)


def rate_of_change(closes: Mapping[int, float], t: int, n: int) -> Number:
    return 100 * (closes[t] / closes[t - n] - 1) if t in closes and t - n in closes else None


def moving_average(closes: Mapping[int, float], t: int, n: int) -> Number:
    present = full_enough(closes, t, n)
    return None if present is None else mean(present)


def weighted_average(values: Mapping[int, float], t: int, n: int) -> Number:
    """Weight n for t, n - 1 for t-1, .., 1 for t-n+1, over what is present."""
    weights = {u: u - (t - n) for u in range(t - n + 1, t + 1) if u in values}
    if len(weights) < needed(n):
        return None
    return total([weight * values[u] for u, weight in weights.items()]) / sum(weights.values())


def hull_raw(rows: Mapping[int, Minute], closes: Mapping[int, float]) -> dict[int, float]:
    raw = {}
    for t in rows:
        fast, slow = weighted_average(closes, t, 50), weighted_average(closes, t, 100)
        if fast is not None and slow is not None:
            raw[t] = 2 * fast - slow
    return raw


def hull_slope(hulls: Mapping[int, float], closes: Mapping[int, float], t: int) -> Number:
    if t not in hulls or t - 1 not in hulls or t not in closes:
        return None
    return (hulls[t] - hulls[t - 1]) / closes[t]


def extremes(ranges: Ranges, t: int, n: int) -> Extremes | None:
    """Of the n minutes t-n+1 .. t."""
    highs, lows = full_enough(ranges[0], t, n), full_enough(ranges[1], t, n)
    return None if highs is None or lows is None else (max(highs), min(lows))


def channel(ranges: Ranges, t: int) -> Extremes | None:
    """HH_60 and LL_60: of the 60 minutes before t."""
    return extremes(ranges, t - 1, 60)


def channel_position(close: Number, walls: Extremes | None) -> Number:
    if close is None or walls is None or walls[0] == walls[1]:
        return None
    highest, lowest = walls
    return (close - lowest) / (highest - lowest)


def breakout(close: Number, walls: Extremes | None, atr_14: Number) -> Number:
    if close is None or walls is None or atr_14 is None:
        return None
    highest, lowest = walls
    if close > highest:
        return (close - highest) / atr_14
    return (close - lowest) / atr_14 if close < lowest else 0.0


# --- recursions ------------------------------------------------------------------------------------------------------


def runs(values: Mapping[int, object]) -> list[list[int]]:
    """The minutes that have a value, in runs; between two runs there are more than 60 minutes without one."""
    found: list[list[int]] = []
    for t in sorted(values):
        if not found or t - found[-1][-1] - 1 > RESTART_MINUTES:
            found.append([])
        found[-1].append(t)
    return found


def over_runs(rows: Mapping[int, Minute], recursion: Callable[[Bars], Sequence[Number]]) -> dict[int, float]:
    """Minute -> value of a recursion that gives one value (or None) a bar, begun anew in each run."""
    bars = {
        t: (row.high, row.low, row.close)
        for t, row in rows.items()
        if row.high is not None and row.low is not None and row.close is not None
    }
    return {
        t: value
        for run in runs(bars)
        for t, value in zip(run, recursion([bars[t] for t in run]), strict=True)
        if value is not None
    }


def atr(rows: Mapping[int, Minute], n: int) -> dict[int, float]:
    """Minute -> atr_n; the first bar of a run has no true range."""
    return over_runs(rows, lambda bars: [None, *wilder(true_ranges(bars), n)])


def true_ranges(bars: Bars) -> list[float]:
    """Of each bar but the first."""
    return [max(high - low, abs(high - before), abs(low - before)) for (_, _, before), (high, low, _) in pairwise(bars)]


def wilder(values: Sequence[float], n: int) -> list[Number]:
    """Wilder's average: of the first n their mean, then each value at weight 1/n."""
    found: list[Number] = []
    for count, value in enumerate(values, 1):
        before = found[-1] if found else None
        if before is not None:
            found.append((before * (n - 1) + value) / n)
        else:
            found.append(mean(values[:n]) if count == n else None)
    return found


def movements(bars: Bars) -> tuple[list[float], list[float]]:
    """+DM and -DM of each bar but the first."""
    plus, minus = [], []
    for (high_before, low_before, _), (high, low, _) in pairwise(bars):
        up, down = high - high_before, low_before - low
        plus.append(up if up > down and up > 0 else 0.0)
        minus.append(down if down > up and down > 0 else 0.0)
    return plus, minus


def adx(bars: Bars, n: int) -> list[Number]:
    """One value a bar, from the 2 n-th on. (Divided by the smoothed TR, +DM and -DM give the same DX.)"""
    plus, minus = movements(bars)
    directions = [
        direction(up, down)
        for up, down in zip(wilder(plus, n), wilder(minus, n), strict=True)
        if up is not None and down is not None
    ]
    found = wilder(directions, n)
    return [None] * (len(bars) - len(found)) + found


def direction(up: float, down: float) -> float:
    """DX"""
    return 100 * abs(up - down) / (up + down) if up + down else 0.0
