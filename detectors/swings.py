"""Swings of highs and lows that need no look-ahead, lines through them, and how near a price is to a level.

docs/patterns.md has the rules. Places are those of the ring of inputs, (INPUTS, 2 * RECENT) of a symbol: one place is
one minute. Extrema stand newest first.
"""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import CLOSE, HIGH, LOW
from engine.core.kernel import inlined

SWING_MINUTES = 5  # on either side of a swing: it is known so many minutes later
APART_MIN, APART_MAX = 10, 60  # minutes between the two swings of a divergence
PAIR_MINUTES = APART_MAX + 2 * SWING_MINUTES + 1
NONE = -1


@inlined
def oldest_of_run(prices, place, minutes):
    """Oldest place from which on every minute through `place` has a price; at most `minutes` of them."""
    first = place + 1
    while first > place + 1 - minutes and prices[first - 1] == prices[first - 1]:
        first -= 1
    return first


@inlined
def is_swing(prices, at, minutes, side):
    """Whether the price at `at` is a swing: beyond those before it, not behind those after it. side: 1.0 highs."""
    price = side * prices[at]
    for k in range(1, minutes + 1):  # noqa: SIM110 - kernels know no generators
        if not (price > side * prices[at - k] and price >= side * prices[at + k]):  # also where one is missing
            return False
    return True


@inlined
def newest_swing(prices, newest, oldest, minutes, side):
    """Place of the newest swing from `oldest` through `newest`; NONE."""
    for at in range(newest, oldest - 1, -1):
        if is_swing(prices, at, minutes, side):
            return at
    return NONE


@inlined
def pair_of_swings(lines, place, side):
    """Places of the swing that is known since this minute, and of the one before it; NONE, NONE without both.

    side: 1.0 of highs, -1.0 of lows.
    """
    prices, newest = lines[HIGH if side > 0.0 else LOW], place - SWING_MINUTES
    if not is_swing(prices, newest, SWING_MINUTES, side):
        return NONE, NONE
    oldest = max(oldest_of_run(prices, place, PAIR_MINUTES) + SWING_MINUTES, newest - APART_MAX)
    before = newest_swing(prices, newest - APART_MIN, oldest, SWING_MINUTES, side)
    return (newest, before) if before != NONE else (NONE, NONE)


@inlined
def find_extrema(lines, place, minutes, wanted, kind_wanted, places, prices):
    """Write the newest extrema of `minutes` minutes, highs and lows by turns; returns (how many, side of the newest).

    Of swings of one kind in a row the furthest counts, of equal ones the oldest. A minute that is a swing of both kinds
    is none. If the newest is not of the kind that is wanted (0.0: any), there are none: nobody would look at them.
    """
    highs, lows = lines[HIGH], lines[LOW]
    count, side, newest = 0, 0.0, 0.0
    oldest = oldest_of_run(lines[CLOSE], place, minutes) + SWING_MINUTES
    for at in range(place - SWING_MINUTES, oldest - 1, -1):
        is_high, is_low = is_swing(highs, at, SWING_MINUTES, 1.0), is_swing(lows, at, SWING_MINUTES, -1.0)
        if is_high == is_low:
            continue
        kind, price = (1.0, highs[at]) if is_high else (-1.0, lows[at])
        if kind != side:
            if count == wanted:
                break
            if count == 0:
                if kind == -kind_wanted:
                    break
                newest = kind
            places[count], prices[count], side = at, price, kind
            count += 1
        elif kind * price >= kind * prices[count - 1]:
            places[count - 1], prices[count - 1] = at, price
    return count, newest


@inlined
def line_through(places, prices, last, step, place):
    """Least-squares line through the points last, last - step, .. 0 or 1: (slope a minute, price at `place`, R2).

    Sums run from the oldest point to the newest. R2 is 0 where all prices are equal.
    """
    count, mean_x, mean_y = 0, 0.0, 0.0
    for k in range(last, -1, -step):
        count += 1
        mean_x += float(places[k] - place)
        mean_y += prices[k]
    mean_x, mean_y = mean_x / count, mean_y / count
    xx, xy, yy = 0.0, 0.0, 0.0
    for k in range(last, -1, -step):
        x, y = float(places[k] - place) - mean_x, prices[k] - mean_y
        xx, xy, yy = xx + x * x, xy + x * y, yy + y * y
    slope = xy / xx
    return slope, mean_y - slope * mean_x, xy * xy / (xx * yy) if yy > 0.0 else 0.0


@inlined
def touches(places, prices, last, step, place, slope, level, within):
    """How many of these points are at most `within` from the line."""
    count = 0
    for k in range(last, -1, -step):
        if abs(prices[k] - (level + slope * float(places[k] - place))) <= within:
            count += 1
    return count


@inlined
def is_first_beyond(closes, place, since, slope, level, side):
    """Whether this minute's close is the first one behind `since` that is beyond the line. side: 1.0 above it."""
    if not side * closes[place] > side * level:
        return False
    for p in range(since + 1, place):  # noqa: SIM110 - kernels know no generators
        if side * closes[p] > side * (level + slope * float(p - place)):
            return False
    return True


@inlined
def proximity(price, row):
    """1 at a level, 0 two atr_14 away from any: how near a price is to the levels beside this minute's close."""
    nearest = np.inf
    if row.level_above == row.level_above:
        nearest = abs(row.level_above - price)
    if row.level_below == row.level_below:
        nearest = min(nearest, abs(row.level_below - price))
    return max(0.0, 1.0 - nearest / (2.0 * row.atr_14))
