"""Divergences, breadth, candles and level breaks from docs/patterns.md, as plainly as possible; shapes in charts.py."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from tests.oracles.histories import (
    NOTHING,
    Finding,
    History,
    Row,
    given,
    holds,
    is_swing,
    is_there,
    proximity,
    value,
)

# Pairs of swings ------------------------------------------------------------------------------------------------------


def pair(history: History, t: int, is_high: bool) -> tuple[int, int] | None:
    u = t - 5
    if not is_swing(history, u, 5, is_high):
        return None
    for v in range(u - 10, u - 61, -1):
        if is_swing(history, v, 5, is_high):
            return (v, u) if all(is_there(history, m) for m in range(v - 5, t + 1)) else None
    return None


def divergence(history: History, t: int, name: str) -> Finding:
    """name: hidden_bull, hidden_bear, rsi, macd, delta_volume."""
    found, atr = pair(history, t, is_high=name != "hidden_bull"), given(history, t, "atr_14")
    if found is None:
        return NOTHING
    v, u = found
    side = 1 if name == "hidden_bull" else -1
    price = "L" if name == "hidden_bull" else "H"
    rise = (given(history, u, price) - given(history, v, price)) / atr
    rsi = [value(history, m, "rsi_14") for m in (v, u)]
    histogram = [value(history, m, "macd_histogram") for m in (v, u)]
    slope, adx, percentile = (value(history, t, one) for one in ("hma_100_slope", "adx_14", "atr_percentile_7d"))
    wide = holds(lambda p: p > 20, percentile)
    near = proximity(history, t, given(history, u, price))
    met = True
    other: float | None
    if name.startswith("hidden"):
        rise *= side
        other = None if None in rsi else side * (rsi[0] - rsi[1]) / 5  # type: ignore[operator]
        met = holds(lambda s, a: side * s > 0 and a > 20, slope, adx)
        allowed = near > 0.5 and wide
    elif name == "delta_volume":
        flows = [given(history, m, "D") for m in range(v + 1, u + 1)]
        other = -sum(flows) / sqrt(sum(d * d for d in flows)) if any(flows) else None
        allowed = near > 0.7 and value(history, u, "is_volume_confirmed") == 1
    else:
        met, allowed = holds(lambda a: 20 <= a <= 40, adx), wide
        if name == "rsi":
            other = None if None in rsi else (rsi[0] - rsi[1]) / 5  # type: ignore[operator]
        else:
            other = None if None in histogram else (histogram[0] - histogram[1]) / (0.2 * atr)  # type: ignore[operator]
    return Finding(None if other is None else min(rise, other), met, allowed, side)


# Breadth --------------------------------------------------------------------------------------------------------------


def breadth(markets: Mapping[int, Row], t: int) -> Finding:
    """markets: {minute: row} with market_return_m_1, breadth_composite, eligible_count."""
    first = t + 1
    while first > t - 225 and None not in (value(markets, first - 1, "market_return_m_1"),
                                           value(markets, first - 1, "breadth_composite")):  # fmt: skip
        first -= 1
    index, total = {}, 0.0
    for m in range(first, t + 1):
        total += given(markets, m, "market_return_m_1")
        index[m] = total

    def newest(oldest: int, youngest: int) -> int | None:
        for u in range(youngest, oldest - 1, -1):
            sides = [(u - i, u + i) for i in range(1, 16)]
            if all(a in index and b in index and index[u] > index[a] and index[u] >= index[b] for a, b in sides):
                return u
        return None

    u = newest(t - 30, t - 15)
    v = None if u is None else newest(u - 180, u - 30)
    if u is None or v is None:
        return NOTHING
    weaker = given(markets, u, "breadth_composite") < given(markets, v, "breadth_composite")
    return Finding(
        -given(markets, t, "breadth_composite"), index[u] > index[v] and weaker,
        given(markets, t, "eligible_count") > 20, -1,
    )  # fmt: skip


# Candles and levels ---------------------------------------------------------------------------------------------------


def candle(history: History, t: int, name: str) -> Finding:
    """name: doji, hammer, engulfing."""
    atr, row = given(history, t, "atr_14"), history[t]
    opened, high, low, close = (given(history, t, one) for one in "OHLC")
    ends = value(history, t - 1, "C"), value(history, t - 6, "C")
    moved = None if None in ends else (ends[0] - ends[1]) / atr  # type: ignore[operator]
    side = 0
    if name == "doji" and row["is_doji"] == 1 and moved:
        side = -1 if moved > 0 else 1
    if name == "hammer" and row["is_hammer"] == 1:
        side = 1
    if name == "engulfing":
        side = 1 if row["is_engulfing_up"] == 1 else -1 if row["is_engulfing_down"] == 1 else 0
    size = abs(close - opened) if name == "engulfing" else high - low
    near = proximity(history, t, high if side == -1 else low)
    met = side != 0 and moved is not None and -side * moved >= 1
    return Finding(size / atr, met, row["is_volume_confirmed"] == 1 and near > 0.5, side)


def level_break(history: History, t: int, name: str) -> Finding:
    """name: support, resistance."""
    side, column = (1, "level_above") if name == "resistance" else (-1, "level_below")
    level, touched = value(history, t - 1, column), value(history, t - 1, f"{column}_touches")
    if level is None or t - 6 not in history:
        return NOTHING
    atr, older = given(history, t, "atr_14"), value(history, t - 6, column)
    closes = [value(history, m, "C") for m in range(t - 6, t)]
    met = (
        holds(lambda n: n > 3, touched)
        and all(holds(lambda c: side * c <= side * level, close) for close in closes)
        and holds(lambda x: abs(x - level) <= atr, older)
    )
    return Finding(
        side * (given(history, t, "C") - level) / atr, met, value(history, t, "is_volume_confirmed") == 1, side
    )
