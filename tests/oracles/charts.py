"""Charts and diagonals from docs/patterns.md, as plainly as possible: extrema, and lines through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.oracles.histories import NOTHING, Finding, History, Line, given, line, run, swings, value

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
