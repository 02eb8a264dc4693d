"""Classic divergence: the price makes a higher high and an oscillator does not; the trend tires."""

from __future__ import annotations

import numpy as np

from detectors.swings import NONE, PAIR_MINUTES, SWING_MINUTES, pair_of_swings
from engine.core.detector import Detector, Find, View
from engine.core.feature_state import HIGH, RECENT
from engine.core.kernel import kernel

STRENGTH, HISTOGRAM = range(2)  # what is looked at: rsi_14, macd_histogram
STRENGTH_POINTS = 5.0  # of rsi_14 count as much as one atr_14 of the price
HISTOGRAM_SHARE = 0.2  # and so much of an atr_14 of macd_histogram
DIRECTION_MIN, DIRECTION_MAX = 20.0, 40.0  # adx_14
RANGE_MIN = 20.0  # atr_percentile_7d


@kernel
def classic(members, minute, rows, ring, history, held, oscillator, out):
    """oscillator: STRENGTH or HISTOGRAM."""
    place, minutes = minute % RECENT + RECENT, history.shape[0]
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        if not row.atr_14 > 0.0:
            continue
        newest, before = pair_of_swings(ring[s], place, 1.0)
        if newest == NONE:
            continue
        new_minute, old_minute = minute - SWING_MINUTES, minute - (place - before)
        new, old = history[new_minute % minutes, s], history[old_minute % minutes, s]
        if held[new_minute % minutes, s] != new_minute or held[old_minute % minutes, s] != old_minute:
            continue
        rise = (ring[s, HIGH, newest] - ring[s, HIGH, before]) / row.atr_14
        if oscillator == STRENGTH:
            fall = (old.rsi_14 - new.rsi_14) / STRENGTH_POINTS
        else:
            fall = (old.macd_histogram - new.macd_histogram) / (HISTOGRAM_SHARE * row.atr_14)
        if fall == fall:
            found.measure = found.primary = min(rise, fall)
        found.secondary = row.z_vol_m_1
        found.is_met = np.int64(DIRECTION_MIN <= row.adx_14 <= DIRECTION_MAX)
        found.is_allowed = np.int64(row.atr_percentile_7d > RANGE_MIN)
        found.direction = -1


def _find(oscillator: int) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        classic(view.members, view.minute, view.rows, view.inputs, view.history, view.held, oscillator, out)

    return find


def _detector(name: str, oscillator: int, column: str, unit: str, fall: str, threshold: float, cited: str) -> Detector:
    return Detector(
        id=f"div_{name}_bear_v1", subtype=f"div.price_{name}_bear_m_5", signal_class="divergence",
        threshold=threshold, unit=f"atr_14, or {unit}",
        trigger=f"min((H_u - H_v) / atr_14, {fall}) of the swing highs v and u = t-5, where 20 <= adx_14 <= 40",
        precondition="atr_percentile_7d > 20", primary="the measure", secondary="z_vol_m_1", direction="-1",
        inputs=("high", "atr_14", column, "adx_14", "z_vol_m_1", "atr_percentile_7d"),
        cooldown_s=180, half_life_s=360, find=_find(oscillator), minutes=PAIR_MINUTES, is_core=False,
        source=f"docs/patterns.md, Pairs of swings; {cited}.",
    )  # fmt: skip


DETECTORS: tuple[Detector, ...] = (
    _detector("rsi", STRENGTH, "rsi_14", "5 points of rsi_14", "(rsi_v - rsi_u) / 5", 1.0,
              "divergence and failure swing of Wilder (1978)"),
    _detector("macd", HISTOGRAM, "macd_histogram", "0.2 atr_14 of macd_histogram", "(h_v - h_u) / (0.2 atr_14)", 1.0,
              "divergence of the histogram as of Elder, Trading for a Living (1993)"),
)  # fmt: skip
