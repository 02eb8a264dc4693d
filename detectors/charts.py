"""Shapes of swings that end when a close leaves them: wedge, flag, triangle, head and shoulders, doubles."""

from __future__ import annotations

import numpy as np

from detectors.swings import find_extrema, is_first_beyond, line_through, touches
from engine.core.detector import Detector, Find, View
from engine.core.feature_state import CLOSE, HIGH, LOW, RECENT, VOLUME
from engine.core.kernel import inlined, kernel

WINDOW_MINUTES = 120
EXTREMA = 5
WEDGE, FLAG, TRIANGLE, HEAD, TOP, BOTTOM = range(6)
DIRECTIONS = (1, 1, 1, -1, -1, 1)
# Of each shape what is cheap to tell, so that most minutes end there: how many extrema it looks at, of which kind the
# newest must be (0: any), and where the close must have moved to be beyond a level that the last one was not (0: any).
SOUGHT = ((5, 0.0, 0.0), (3, 0.0, 0.0), (5, 0.0, 1.0), (5, 1.0, 0.0), (4, 1.0, -1.0), (4, -1.0, 1.0))
EQUAL_MAX = 1.0  # atr_14 between two tops or two bottoms
LEVEL_MAX = 1.5  # atr_14 between two shoulders, and between the lows beside the head
ABOVE_MIN = 1.0  # atr_14 from shoulders to the head, and from the neck to shoulders
TOUCH_MAX = 0.5  # atr_14 between a line and a swing that touches it
HEIGHT_MIN = 3.0  # atr_14
POLE_MIN = 5.0  # atr_14
POLE_MINUTES_MAX = 30
UNEVEN_MAX = 1.0  # atr_14 by which a high of a flag may stand out from the line through all of them
APART_MIN = 10  # minutes between the two tops of a double
COMPLETION_MIN, COMPLETION_MAX = 0.5, 0.8


@inlined
def is_timely(part, whole):
    """Whether part / whole, both in minutes, is a completion that counts."""
    return whole > 0.0 and COMPLETION_MIN <= part / whole <= COMPLETION_MAX


@inlined
def double(places, prices, count, closes, place, atr, side):
    """Two tops (side 1.0) or bottoms (-1.0) and the close that leaves them; how far, in prices; NaN."""
    if count < 4:
        return np.nan
    last, middle, first, before = side * prices[0], side * prices[1], side * prices[2], side * prices[3]
    if abs(last - first) > EQUAL_MAX * atr or min(last, first) - middle < HEIGHT_MIN * atr or before > middle:
        return np.nan
    apart = places[0] - places[2]
    if apart < APART_MIN or not is_timely(float(apart), float(place - places[2])):
        return np.nan
    if not is_first_beyond(closes, place, places[0], 0.0, prices[1], -side):
        return np.nan
    return middle - side * closes[place]


@inlined
def head(places, prices, count, closes, place, atr):
    """A head between two shoulders and the first close below the neck."""
    if count < 5:
        return np.nan
    if min(prices[2] - prices[0], prices[2] - prices[4]) < ABOVE_MIN * atr:
        return np.nan
    if max(abs(prices[0] - prices[4]), abs(prices[1] - prices[3])) > LEVEL_MAX * atr:
        return np.nan
    slope, neck, _ = line_through(places, prices, 3, 2, place)
    for shoulder in (0, 4):
        if prices[shoulder] - (neck + slope * float(places[shoulder] - place)) < EQUAL_MAX * atr:
            return np.nan
    if not is_timely(float(places[0] - places[3]), float(place - places[3])):
        return np.nan
    if not is_first_beyond(closes, place, places[0], slope, neck, -1.0):
        return np.nan
    return neck - closes[place]


@inlined
def converging(places, prices, count, newest, closes, place, atr, is_flat):
    """A falling wedge, or an ascending triangle (is_flat), of five swings and the first close above it."""
    if count < 5:
        return np.nan
    last_high, last_low = (4, 3) if newest > 0.0 else (3, 4)
    lower_slope, lower, _ = line_through(places, prices, last_low, 2, place)
    if is_flat:
        upper_slope, upper, lowest = 0.0, -np.inf, np.inf
        for k in range(last_high, -1, -2):
            upper, lowest = max(upper, prices[k]), min(lowest, prices[k])
        if upper - lowest > TOUCH_MAX * atr or lower_slope <= 0.0:
            return np.nan
    else:
        upper_slope, upper, _ = line_through(places, prices, last_high, 2, place)
        if not upper_slope < lower_slope < 0.0:
            return np.nan
        if touches(places, prices, last_high, 2, place, upper_slope, upper, TOUCH_MAX * atr) < last_high // 2 + 1:
            return np.nan
    if touches(places, prices, last_low, 2, place, lower_slope, lower, TOUCH_MAX * atr) < last_low // 2 + 1:
        return np.nan
    begun = float(places[4] - place)
    closing = lower_slope - upper_slope  # how much the lines come closer in a minute
    if upper - lower - closing * begun < HEIGHT_MIN * atr:
        return np.nan
    if not is_timely(-begun, (upper - lower) / closing - begun):
        return np.nan
    if not is_first_beyond(closes, place, places[0], upper_slope, upper, 1.0):
        return np.nan
    return closes[place] - upper


@inlined
def mean_of(values, first, last):
    total = 0.0
    for p in range(first, last + 1):
        total += values[p]
    return total / (last - first + 1)


@inlined
def flag(places, prices, count, newest, lines, place, atr):
    """A steep rise, a short rest that gives back little on less volume, and the first close above the rest."""
    top = 0 if newest > 0.0 else 1
    if count < top + 2:
        return np.nan
    begun, peak = places[top + 1], places[top]
    height = prices[top] - prices[top + 1]
    if height < POLE_MIN * atr or peak - begun > POLE_MINUTES_MAX:
        return np.nan
    if not is_timely(float(peak - begun), float(place - begun)):
        return np.nan
    highs, lows, closes = lines[HIGH], lines[LOW], lines[CLOSE]
    first, last = peak + 1, place - 1
    middle = 0.5 * float(first + last - 2 * place)
    level, xx, xy = mean_of(highs, first, last), 0.0, 0.0
    for p in range(first, last + 1):
        if prices[top] - lows[p] > 0.5 * height:
            return np.nan
        x = float(p - place) - middle
        xx, xy = xx + x * x, xy + x * (highs[p] - level)
    slope = xy / xx
    if slope > 0.0 or mean_of(lines[VOLUME], first, last) >= mean_of(lines[VOLUME], begun + 1, peak):
        return np.nan
    edge = -np.inf  # of the line through the highs, raised so that none is above it, at `place`
    for p in range(first, last + 1):
        edge = max(edge, highs[p] - slope * float(p - place))
    if edge - (level - slope * middle) > UNEVEN_MAX * atr:
        return np.nan
    return closes[place] - edge if closes[place] > edge else np.nan


@kernel
def chart(members, minute, rows, ring, shape, direction, wanted, kind, move, places, prices, out):
    """shape: one of WEDGE .. BOTTOM. wanted, kind, move: its line of SOUGHT. places, prices: (EXTREMA,), scratch."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, found, lines = rows[s], out[s], ring[s]
        atr, closes = row.atr_14, lines[CLOSE]
        if not atr > 0.0 or (move != 0.0 and not move * (closes[place] - closes[place - 1]) > 0.0):
            continue
        count, newest = find_extrema(lines, place, WINDOW_MINUTES, wanted, kind, places, prices)
        if shape in (WEDGE, TRIANGLE):
            beyond = converging(places, prices, count, newest, closes, place, atr, shape == TRIANGLE)
        elif shape == FLAG:
            beyond = flag(places, prices, count, newest, lines, place, atr)
        elif shape == HEAD:
            beyond = head(places, prices, count, closes, place, atr)
        else:
            beyond = double(places, prices, count, closes, place, atr, kind)
        if beyond == beyond:
            found.measure = found.primary = beyond / atr
            found.secondary = row.z_vol_m_1
            found.is_met, found.direction = 1, direction
            found.is_allowed = np.int64(row.is_volume_confirmed == 1)


def _find(shape: int) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        places, prices = np.zeros(EXTREMA, np.int64), np.zeros(EXTREMA)
        chart(
            view.members, view.minute, view.rows, view.inputs, shape, DIRECTIONS[shape], *SOUGHT[shape], places, prices,
            out,
        )  # fmt: skip

    return find


def _detector(
    name: str, shape: int, threshold: float, beyond: str, cited: str, cooldown_s: int, half_life_s: int
) -> Detector:
    return Detector(
        id=f"pattern_{name}_v1", subtype=f"pattern.{name}_m_5", signal_class="pattern", threshold=threshold,
        unit="atr_14",
        trigger=f"({beyond}) / atr_14 in the minute of the first close beyond the shape, null in any other",
        precondition="is_volume_confirmed is 1", primary="the measure", secondary="z_vol_m_1",
        direction=str(DIRECTIONS[shape]),
        inputs=("high", "low", "close", *(("quote_volume",) if shape == FLAG else ()), "atr_14", "is_volume_confirmed",
                "z_vol_m_1"),
        cooldown_s=cooldown_s, half_life_s=half_life_s, find=_find(shape), minutes=WINDOW_MINUTES, is_core=False,
        source=f"docs/patterns.md, Charts; {cited}.",
    )  # fmt: skip


BULKOWSKI = "Bulkowski, Encyclopedia of Chart Patterns (2005)"
LO = "extrema as in Lo, Mamaysky & Wang (2000)"
DETECTORS: tuple[Detector, ...] = (
    _detector("falling_wedge", WEDGE, 0.5, "C - upper line", f"shape of {BULKOWSKI}", 180, 360),
    _detector("bull_flag", FLAG, 1.0, "C - upper edge of the flag", f"shape of {BULKOWSKI}", 120, 300),
    _detector("ascending_triangle", TRIANGLE, 0.5, "C - highest high", f"shape of {BULKOWSKI}; {LO}", 180, 360),
    _detector("head_shoulders", HEAD, 0.5, "neckline - C", LO, 180, 360),
    _detector("double_top", TOP, 0.5, "low between the tops - C", LO, 150, 330),
    _detector("double_bottom", BOTTOM, 0.5, "C - high between the bottoms", LO, 150, 330),
)
