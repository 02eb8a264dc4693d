"""Levels: swings, the levels they cluster in, what the price did at one, prior extremes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.oracles.features import (
    RECENT,
    Columns,
    Minute,
    Number,
    day_of,
    flag,
    mean,
    usable,
    week_of,
)
from tests.oracles.features.trend import Extremes, Ranges, atr, channel, ranges_of

EVENTS = (
    "event_level", "zone_strength", "is_bounce", "is_reclaim", "is_failed", "is_held", "is_breakout", "is_breakbelow",
    "event_amount", "resonance_boost",
)  # fmt: skip
NULL: Columns = dict.fromkeys(
    (
        "swing_high", "swing_high_age", "swing_low", "swing_low_age", "level_above", "level_above_touches",
        "level_below", "level_below_touches", *EVENTS, "prior_day_high", "prior_day_low", "prior_week_high",
        "prior_week_low",
    )
)  # fmt: skip

BEFORE, AFTER = 3, 2  # minutes that a swing needs on either side
LEVEL_MINUTES = 240  # a swing counts for levels that long
TOUCHES_MIN = 3
DAY_MINUTES_MIN, WEEK_MINUTES_MIN = 1_008, 7_056


class Level(NamedTuple):
    price: float
    touches: int


class Swings(NamedTuple):
    """Minute of the extreme -> its price."""

    highs: dict[int, float]
    lows: dict[int, float]


def levels(minutes: Sequence[Minute]) -> list[Columns]:
    """All columns of levels and events; inputs: high, low, close, mid_close."""
    rows = usable(minutes)
    ranges = ranges_of(rows)
    swings = find_swings(ranges)
    atr_14 = atr(rows, 14)
    of_days = extremes_by(ranges, day_of, DAY_MINUTES_MIN)
    of_weeks = extremes_by(ranges, week_of, WEEK_MINUTES_MIN)
    return [
        {
            **newest_swing(swings.highs, t, "swing_high"),
            **newest_swing(swings.lows, t, "swing_low"),
            **nearest_levels(known_levels(swings, atr_14, t), rows[t].close),
            **events(rows, ranges, swings, atr_14, t),
            **prior(of_days, day_of(t), "prior_day"),
            **prior(of_weeks, week_of(t), "prior_week"),
        }
        if (t := minute.minute) in rows
        else NULL
        for minute in minutes
    ]


# --- swings and levels -----------------------------------------------------------------------------------------------


def find_swings(ranges: Ranges) -> Swings:
    highs, lows = ranges
    depths = {u: -low for u, low in lows.items()}
    return Swings(peaks(highs), {u: -depth for u, depth in peaks(depths).items()})


def peaks(values: Mapping[int, float]) -> dict[int, float]:
    """Values above the three before them and not below the two after, all five of which are there."""
    found = {}
    for u, value in values.items():
        before = [values.get(u - k) for k in range(1, BEFORE + 1)]
        after = [values.get(u + k) for k in range(1, AFTER + 1)]
        if all(v is not None and v < value for v in before) and all(v is not None and v <= value for v in after):
            found[u] = value
    return found


def known(swings: Mapping[int, float], t: int, minutes: int) -> dict[int, float]:
    """Swings of the newest `minutes` minutes that t can know of."""
    return {u: swings[u] for u in range(t - minutes + 1, t - AFTER + 1) if u in swings}


def newest_swing(swings: Mapping[int, float], t: int, name: str) -> Columns:
    candidates = known(swings, t, RECENT)
    if not candidates:
        return {name: None, f"{name}_age": None}
    u = max(candidates)
    return {name: candidates[u], f"{name}_age": float(t - u)}


def known_levels(swings: Swings, atr_14: Mapping[int, float], t: int) -> list[Level] | None:
    """Levels as they are known at t, ascending; None: without atr_14 of t nobody knows how wide they are."""
    if t not in atr_14:
        return None
    prices = [*known(swings.highs, t, LEVEL_MINUTES).values(), *known(swings.lows, t, LEVEL_MINUTES).values()]
    return clusters(prices, atr_14[t])


def clusters(prices: Sequence[float], width: float) -> list[Level]:
    free = sorted(prices)
    found = []
    while free:
        taken = [price for price in free if price <= free[0] + width]
        free = free[len(taken) :]
        if len(taken) >= TOUCHES_MIN:
            found.append(Level(mean(taken), len(taken)))
    return found


def nearest_levels(found: Sequence[Level] | None, close: Number) -> Columns:
    above: Level | None = None
    below: Level | None = None
    if found is not None and close is not None:
        above = min((level for level in found if level.price > close), default=None)
        below = max((level for level in found if level.price <= close), default=None)
    return {
        "level_above": above.price if above else None,
        "level_above_touches": float(above.touches) if above else None,
        "level_below": below.price if below else None,
        "level_below_touches": float(below.touches) if below else None,
    }


# --- events ----------------------------------------------------------------------------------------------------------


def events(rows: Mapping[int, Minute], ranges: Ranges, swings: Swings, atr_14: Mapping[int, float], t: int) -> Columns:
    """What the price did in t at the level that was nearest to the close before."""
    found = known_levels(swings, atr_14, t - 1)
    high, low, close, mid = rows[t].high, rows[t].low, rows[t].close, rows[t].mid_close
    before = rows[t - 1].close if t - 1 in rows else None
    walls = channel(ranges, t)
    breaks: Columns = {
        "is_breakout": None if walls is None or close is None else flag(close > walls[0]),
        "is_breakbelow": None if walls is None or close is None else flag(close < walls[1]),
    }
    if found is None or before is None or high is None or low is None or close is None:
        return dict.fromkeys(EVENTS) | breaks
    level = min(found, key=lambda level: (abs(level.price - before), level.price), default=None)
    bounce = reclaim = failed = held = False
    if level is not None:
        price = level.price
        bounce = low < price < close and before > price
        reclaim = before < price < close
        failed = before > price > close
        held = abs(low - price) <= atr_14[t - 1] and close > price and before > price and not bounce
    strength = None if level is None else level.touches / (level.touches + 3)
    breakout = breaks["is_breakout"]
    return {
        "event_level": None if level is None else level.price,
        "zone_strength": strength,
        "is_bounce": flag(bounce),
        "is_reclaim": flag(reclaim),
        "is_failed": flag(failed),
        "is_held": flag(held),
        **breaks,
        "event_amount": amount(bounce or reclaim, failed, high, low, close, mid),
        "resonance_boost": None
        if breakout is None
        else 0.3 * flag(bounce) + 0.4 * flag(reclaim) + 0.5 * breakout + 0.2 * (strength or 0.0),
    }


def amount(is_up: bool, is_down: bool, high: float, low: float, close: float, mid: Number) -> Number:
    if mid is None:
        return None
    if is_up:
        return (close - low) / mid
    return (high - close) / mid if is_down else 0.0


# --- prior extremes --------------------------------------------------------------------------------------------------


def extremes_by(ranges: Ranges, period_of: Callable[[int], int], minutes_min: int) -> dict[int, Extremes]:
    """Extremes of each UTC day, or ISO week, of which enough minutes are there."""
    highs: dict[int, list[float]] = defaultdict(list)
    lows: dict[int, list[float]] = defaultdict(list)
    for held, side in zip((highs, lows), ranges, strict=True):
        for u, price in side.items():
            held[period_of(u)].append(price)
    return {period: (max(highs[period]), min(lows[period])) for period in highs if len(highs[period]) >= minutes_min}


def prior(extremes: Mapping[int, Extremes], period: int, name: str) -> Columns:
    """Those of the day, or the week, before."""
    high, low = extremes.get(period - 1, (None, None))
    return {f"{name}_high": high, f"{name}_low": low}
