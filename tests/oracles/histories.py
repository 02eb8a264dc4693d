"""Minutes as dicts, and what every pattern of docs/patterns.md asks of them, found anew each time.

A history is {minute: row}; a row is {name: number or None} with O H L C V D and the columns it needs; a minute without
a price has none of O H L C. A finding is (measure, is_met, is_allowed, direction); NOTHING if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
