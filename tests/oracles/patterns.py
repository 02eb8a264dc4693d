"""Patterns and divergences from docs/patterns.md, as plainly as possible: minutes as dicts, everything found anew.

A history is {minute: row}; a row is {name: number or None} with O H L C V D and the columns it needs; a minute without
a price has none of O H L C. A finding is (measure, is_met, is_allowed, direction); NOTHING if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import NamedTuple

Row = Mapping[str, float | None]
History = Mapping[int, Row]


class Finding(NamedTuple):
    measure: float | None
    is_met: bool = False
    is_allowed: bool = True
    direction: int = 0


NOTHING = Finding(None)


def value(history: History, minute: int, name: str) -> float | None:
    return history.get(minute, {}).get(name)


def given(history: History, minute: int, name: str) -> float:
    found = value(history, minute, name)
    assert found is not None
    return found


def is_there(history: History, minute: int) -> bool:
    return value(history, minute, "C") is not None


def run(history: History, t: int, minutes: int) -> list[int]:
    """Minutes of the run, oldest first."""
    found: list[int] = []
    while len(found) < minutes and is_there(history, t - len(found)):
        found.append(t - len(found))
    return found[::-1]


def is_swing(history: History, u: int, k: int, is_high: bool) -> bool:
    name, side = ("H", 1) if is_high else ("L", -1)
    price = value(history, u, name)
    for i in range(1, k + 1):
        before, after = value(history, u - i, name), value(history, u + i, name)
        if price is None or before is None or after is None:  # not there
            return False
        if not (side * price > side * before and side * price >= side * after):
            return False
    return True


def swings(history: History, minutes: Sequence[int], k: int, is_high: bool) -> list[int]:
    """Swings that lie in these minutes with all of theirs, oldest first."""
    return [u for u in minutes if u - k >= minutes[0] and u + k <= minutes[-1] and is_swing(history, u, k, is_high)]


class Line(NamedTuple):
    slope: float
    middle: float  # of the minutes
    level: float  # there
    fit: float

    def at(self, minute: float) -> float:
        return self.level + self.slope * (minute - self.middle)


def line(points: Sequence[tuple[int, float]]) -> Line:
    middle = sum(u for u, _ in points) / len(points)
    level = sum(p for _, p in points) / len(points)
    xx = sum((u - middle) ** 2 for u, _ in points)
    xy = sum((u - middle) * (p - level) for u, p in points)
    yy = sum((p - level) ** 2 for _, p in points)
    return Line(xy / xx, middle, level, 0.0 if len({p for _, p in points}) == 1 else xy * xy / (xx * yy))


def proximity(history: History, t: int, price: float) -> float:
    distances = [abs(level - price) for name in ("level_above", "level_below")
                 if (level := value(history, t, name)) is not None]  # fmt: skip
    return max(0.0, 1 - min(distances) / (2 * given(history, t, "atr_14"))) if distances else 0.0


def holds(test: Callable[..., bool], *values: float | None) -> bool:
    """A comparison with null does not hold."""
    return None not in values and test(*values)


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


# Charts ---------------------------------------------------------------------------------------------------------------


class Extremum(NamedTuple):
    minute: int
    price: float
    is_high: bool


def extrema(history: History, t: int) -> list[Extremum]:
    """Newest first."""
    minutes = run(history, t, 120)
    highs, lows = ({*swings(history, minutes, 5, is_high)} for is_high in (True, False))
    groups: list[list[Extremum]] = []
    for u in sorted(highs ^ lows):
        one = Extremum(u, given(history, u, "H" if u in highs else "L"), u in highs)
        if groups and groups[-1][0].is_high == one.is_high:
            groups[-1].append(one)
        else:
            groups.append([one])
    furthest = [max(group, key=lambda e: (e.price if e.is_high else -e.price, -e.minute)) for group in groups]
    return furthest[::-1][:5]


def is_first_close_beyond(history: History, t: int, since: int, price: Callable[[int], float], side: int) -> bool:
    beyond = [side * given(history, m, "C") > side * price(m) for m in range(since + 1, t + 1)]
    return beyond[-1] and not any(beyond[:-1])


def is_complete(part: float, whole: float) -> bool:
    return whole > 0 and 0.5 <= part / whole <= 0.8


def chart(history: History, t: int, name: str) -> Finding:
    """name: falling_wedge, ascending_triangle, head_shoulders, double_top, double_bottom, bull_flag."""
    atr, found = given(history, t, "atr_14"), extrema(history, t)
    shape = {
        "falling_wedge": _wedge, "ascending_triangle": _triangle, "head_shoulders": _head_shoulders,
        "double_top": _double_top, "double_bottom": _double_bottom, "bull_flag": _flag,
    }[name]  # fmt: skip
    told = shape(history, t, atr, found)
    if told is None:
        return NOTHING
    price, since, side = told
    if not is_first_close_beyond(history, t, since, price, side):
        return NOTHING
    distance = side * (given(history, t, "C") - price(t))
    return Finding(distance / atr, True, value(history, t, "is_volume_confirmed") == 1, side)


Told = tuple[Callable[[int], float], int, int] | None  # the line, since when, the side of it that is beyond


def _double(t: int, atr: float, e: list[Extremum], side: int) -> Told:
    if len(e) < 4 or e[0].is_high != (side == 1):
        return None
    p = [side * one.price for one in e]
    apart = e[0].minute - e[2].minute
    if abs(p[0] - p[2]) > atr or min(p[0], p[2]) - p[1] < 3 * atr or p[3] > p[1] or apart < 10:
        return None
    if not is_complete(apart, t - e[2].minute):
        return None
    return lambda m: e[1].price, e[0].minute, -side


def _double_top(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    return _double(t, atr, e, 1)


def _double_bottom(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    return _double(t, atr, e, -1)


def _head_shoulders(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    if len(e) < 5 or not e[0].is_high:
        return None
    right, first, head, second, left = (one.price for one in e)
    neck = line([(e[3].minute, second), (e[1].minute, first)])
    if head - right < atr or head - left < atr or abs(right - left) > 1.5 * atr or abs(first - second) > 1.5 * atr:
        return None
    if right - neck.at(e[0].minute) < atr or left - neck.at(e[4].minute) < atr:
        return None
    if not is_complete(e[0].minute - e[3].minute, t - e[3].minute):
        return None
    return neck.at, e[0].minute, -1


def _sides(e: list[Extremum]) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    highs = [(one.minute, one.price) for one in e[::-1] if one.is_high]
    return highs, [(one.minute, one.price) for one in e[::-1] if not one.is_high]


def _touch(points: Sequence[tuple[int, float]], through: Line, atr: float) -> bool:
    return all(abs(p - through.at(u)) <= 0.5 * atr for u, p in points)


def _wedge(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    if len(e) < 5:
        return None
    highs, lows = _sides(e)
    upper, lower, begun = line(highs), line(lows), e[4].minute
    if not upper.slope < lower.slope < 0 or not _touch(highs, upper, atr) or not _touch(lows, lower, atr):
        return None
    apex = t + (upper.at(t) - lower.at(t)) / (lower.slope - upper.slope)
    if upper.at(begun) - lower.at(begun) < 3 * atr or not is_complete(t - begun, apex - begun):
        return None
    return upper.at, e[0].minute, 1


def _triangle(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    if len(e) < 5:
        return None
    highs, lows = _sides(e)
    prices, lower, begun = [p for _, p in highs], line(lows), e[4].minute
    if max(prices) - min(prices) > 0.5 * atr or lower.slope <= 0 or not _touch(lows, lower, atr):
        return None
    apex = t + (max(prices) - lower.at(t)) / lower.slope
    if max(prices) - lower.at(begun) < 3 * atr or not is_complete(t - begun, apex - begun):
        return None
    return lambda m: max(prices), e[0].minute, 1


def _flag(history: History, t: int, atr: float, e: list[Extremum]) -> Told:
    tops = [k for k in (0, 1) if k < len(e) and e[k].is_high]
    if not tops or tops[0] + 1 >= len(e):
        return None
    top, base = e[tops[0]], e[tops[0] + 1]
    height, minutes = top.price - base.price, range(top.minute + 1, t)
    if height < 5 * atr or top.minute - base.minute > 30:
        return None
    if not is_complete(top.minute - base.minute, t - base.minute):
        return None
    highs = [(m, given(history, m, "H")) for m in minutes]
    edge = line(highs)
    volume = sum(given(history, m, "V") for m in minutes) / len(minutes)
    pole = range(base.minute + 1, top.minute + 1)
    if volume >= sum(given(history, m, "V") for m in pole) / len(pole) or edge.slope > 0:
        return None
    if any(top.price - given(history, m, "L") > height / 2 for m in minutes):
        return None
    raised = max(p - edge.at(m) for m, p in highs)
    if raised > atr:
        return None
    return lambda m: edge.at(m) + raised, t - 1, 1


# Diagonals ------------------------------------------------------------------------------------------------------------


def _diagonal_line(
    history: History, t: int, k: int, minutes: int, fit_min: float, is_high: bool
) -> tuple[Line, int] | None:
    """The line and its oldest swing."""
    found = swings(history, run(history, t, minutes), k, is_high)[-6:]
    if len(found) < 3 or found[-1] - found[0] <= 10:
        return None
    points = [(u, given(history, u, "H" if is_high else "L")) for u in found]
    through, atr = line(points), given(history, t, "atr_14")
    touching = [p for u, p in points if abs(p - through.at(u)) <= 0.5 * atr]
    return (through, found[0]) if through.fit > fit_min and len(touching) >= 3 else None


def _breaks(history: History, t: int, through: Line, side: int) -> bool:
    now, before = (side * (given(history, m, "C") - through.at(m)) for m in (t, t - 1))
    return now > 0 >= before


def diagonal(history: History, t: int, name: str) -> Finding:
    """name: support, resistance."""
    side = 1 if name == "resistance" else -1
    found = _diagonal_line(history, t, 3, 60, 0.7, side == 1)
    if found is None or side * found[0].slope >= 0 or not _breaks(history, t, found[0], side):
        return NOTHING
    distance = side * (given(history, t, "C") - found[0].at(t))
    return Finding(distance / given(history, t, "atr_14"), True, True, side)


def channel(history: History, t: int) -> Finding:
    above, below = (_diagonal_line(history, t, 5, 120, 0.6, is_high) for is_high in (True, False))
    if above is None or below is None:
        return NOTHING
    (upper, first), (lower, second) = above, below
    atr, width = given(history, t, "atr_14"), upper.at(t) - lower.at(t)
    spreading = abs(upper.slope - lower.slope) * (t - min(first, second))
    if upper.slope * lower.slope <= 0 or width < 3 * atr or spreading > width / 4:
        return NOTHING
    for through, side in ((upper, 1), (lower, -1)):
        if _breaks(history, t, through, side):
            return Finding(side * (given(history, t, "C") - through.at(t)) / atr, True, True, side)
    return NOTHING
