"""Straight lines through swings, and the close that breaks them: rising support, falling resistance, a channel."""

from __future__ import annotations

import numpy as np

from detectors.swings import is_swing, line_through, oldest_of_run, touches
from engine.core.detector import Detector, Find, View
from engine.core.feature_state import CLOSE, HIGH, LOW, RECENT
from engine.core.kernel import inlined, kernel

SWINGS_MIN, SWINGS_MAX = 3, 6  # of one line
TOUCH_MAX = 0.5  # atr_14
SPAN_MIN = 10  # minutes between the first and the last swing of a line
LINE_SIDE, LINE_WINDOW, LINE_FIT = 3, 60, 0.7  # minutes beside a swing, minutes of swings, least R2: single lines
CHANNEL_SIDE, CHANNEL_WINDOW, CHANNEL_FIT = 5, 120, 0.6  # likewise of a channel
WIDTH_MIN = 3.0  # atr_14
SPREADING_MAX = 0.25  # of its width by which a channel may widen or close over its span


@inlined
def find_swings(prices, closes, place, minutes, window, side, places, found):
    """Write the newest swings of `window` minutes, newest first; how many. minutes: on either side of a swing."""
    count, oldest = 0, oldest_of_run(closes, place, window) + minutes
    for at in range(place - minutes, oldest - 1, -1):
        if is_swing(prices, at, minutes, side):
            places[count], found[count] = at, prices[at]
            count += 1
            if count == SWINGS_MAX:
                break
    return count


@inlined
def fit_line(places, prices, count, place, atr, fit_min):
    """(slope, price at `place`) of the line through these swings; NaN, NaN if it is no line."""
    if count < SWINGS_MIN or places[0] - places[count - 1] <= SPAN_MIN:
        return np.nan, np.nan
    slope, level, fit = line_through(places, prices, count - 1, 1, place)
    if not fit > fit_min or touches(places, prices, count - 1, 1, place, slope, level, TOUCH_MAX * atr) < SWINGS_MIN:
        return np.nan, np.nan
    return slope, level


@inlined
def breaks(closes, place, slope, level, side):
    """Whether this close is beyond the line and the one before was not. side: 1.0 above."""
    return side * closes[place] > side * level and side * closes[place - 1] <= side * (level - slope)


@kernel
def diagonal(members, minute, rows, ring, side, places, prices, out):
    """side: 1.0 a falling line of highs, -1.0 a rising line of lows. places, prices: (SWINGS_MAX,), scratch."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, found, closes = rows[s], out[s], ring[s, CLOSE]
        if not row.atr_14 > 0.0:
            continue
        swings = ring[s, HIGH if side > 0.0 else LOW]
        count = find_swings(swings, closes, place, LINE_SIDE, LINE_WINDOW, side, places, prices)
        slope, level = fit_line(places, prices, count, place, row.atr_14, LINE_FIT)
        if side * slope < 0.0 and breaks(closes, place, slope, level, side):
            found.measure = found.primary = side * (closes[place] - level) / row.atr_14
            found.secondary = row.z_vol_m_1
            found.is_met, found.direction = 1, np.int64(side)


@kernel
def channel(members, minute, rows, ring, high_places, highs, low_places, lows, out):
    """high_places, highs, low_places, lows: (SWINGS_MAX,), scratch."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, found, lines, closes = rows[s], out[s], ring[s], ring[s, CLOSE]
        atr = row.atr_14
        if not atr > 0.0:
            continue
        above = find_swings(lines[HIGH], closes, place, CHANNEL_SIDE, CHANNEL_WINDOW, 1.0, high_places, highs)
        upper_slope, upper = fit_line(high_places, highs, above, place, atr, CHANNEL_FIT)
        if upper != upper:
            continue
        below = find_swings(lines[LOW], closes, place, CHANNEL_SIDE, CHANNEL_WINDOW, -1.0, low_places, lows)
        lower_slope, lower = fit_line(low_places, lows, below, place, atr, CHANNEL_FIT)
        width = upper - lower
        if not (upper_slope * lower_slope > 0.0 and width >= WIDTH_MIN * atr):  # also where there is no line
            continue
        span = float(place - min(high_places[above - 1], low_places[below - 1]))
        if abs(upper_slope - lower_slope) * span > SPREADING_MAX * width:
            continue
        if breaks(closes, place, upper_slope, upper, 1.0):
            beyond, direction = closes[place] - upper, 1
        elif breaks(closes, place, lower_slope, lower, -1.0):
            beyond, direction = lower - closes[place], -1
        else:
            continue
        found.measure = found.primary = beyond / atr
        found.secondary = row.z_vol_m_1
        found.is_met, found.direction = 1, direction


def _find(side: float) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        places, prices = np.zeros(SWINGS_MAX, np.int64), np.zeros(SWINGS_MAX)
        diagonal(view.members, view.minute, view.rows, view.inputs, side, places, prices, out)

    return find


def find_channel(view: View, threshold: float, out: np.ndarray) -> None:
    places, prices = np.zeros((2, SWINGS_MAX), np.int64), np.zeros((2, SWINGS_MAX))
    channel(view.members, view.minute, view.rows, view.inputs, places[0], prices[0], places[1], prices[1], out)


def _diagonal(name: str, side: int, swing: str, slope: str, beyond: str) -> Detector:
    return Detector(
        id=f"pattern_diagonal_{name}_v1", subtype=f"pattern.diagonal_{name}_break_m_1", signal_class="pattern",
        threshold=1.0, unit="atr_14",
        trigger=f"({beyond}) / atr_14 of a {slope} line through swing {swing}s, in the minute in which a close "
        "breaks it, null in any other",
        primary="the measure", secondary="z_vol_m_1", direction=str(side),
        inputs=(swing, "close", "atr_14", "z_vol_m_1"), cooldown_s=90, half_life_s=240, find=_find(float(side)),
        minutes=LINE_WINDOW, is_core=False,
        source="docs/patterns.md, Diagonals; trend lines as of Edwards & Magee, Technical Analysis of Stock Trends.",
    )  # fmt: skip


DETECTORS: tuple[Detector, ...] = (
    _diagonal("support", -1, "low", "rising", "line - C"),
    _diagonal("resistance", 1, "high", "falling", "C - line"),
    Detector(
        id="pattern_channel_break_v1", subtype="pattern.channel_break_m_5", signal_class="pattern", threshold=0.5,
        unit="atr_14",
        trigger="distance of C beyond the line it broke / atr_14, of two lines that run side by side, in the minute in "
        "which a close breaks one, null in any other",
        primary="the measure", secondary="z_vol_m_1", direction="1 above, -1 below",
        inputs=("high", "low", "close", "atr_14", "z_vol_m_1"), cooldown_s=120, half_life_s=300, find=find_channel,
        minutes=CHANNEL_WINDOW, is_core=False,
        source="docs/patterns.md, Diagonals; trend channels as of Edwards & Magee, Technical Analysis of Stock Trends.",
    ),
)  # fmt: skip
