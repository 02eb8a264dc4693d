"""Hidden divergence: the price holds in its trend's direction while its strength was spent; the trend goes on."""

from __future__ import annotations

import numpy as np

from detectors.swings import NONE, PAIR_MINUTES, SWING_MINUTES, pair_of_swings, proximity
from engine.core.detector import Detector, Find, View
from engine.core.feature_state import HIGH, LOW, RECENT
from engine.core.kernel import kernel

STRENGTH_POINTS = 5.0  # of rsi_14 count as much as one atr_14 of the price
DIRECTION_MIN = 20.0  # adx_14
RANGE_MIN = 20.0  # atr_percentile_7d
PROXIMITY_MIN = 0.5


@kernel
def hidden(members, minute, rows, ring, history, held, side, out):
    """side: 1.0 a higher low with less strength, -1.0 a lower high with more."""
    place, minutes = minute % RECENT + RECENT, history.shape[0]
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        if not row.atr_14 > 0.0:
            continue
        newest, before = pair_of_swings(ring[s], place, -side)
        if newest == NONE:
            continue
        new_minute, old_minute = minute - SWING_MINUTES, minute - (place - before)
        new, old = history[new_minute % minutes, s], history[old_minute % minutes, s]
        if held[new_minute % minutes, s] != new_minute or held[old_minute % minutes, s] != old_minute:
            continue
        prices = ring[s, LOW if side > 0.0 else HIGH]
        moved = side * (prices[newest] - prices[before]) / row.atr_14
        spent = side * (old.rsi_14 - new.rsi_14) / STRENGTH_POINTS
        if moved == moved and spent == spent:
            found.measure = found.primary = min(moved, spent)
        found.secondary = row.z_vol_m_1
        found.is_met = np.int64(side * row.hma_100_slope > 0.0 and row.adx_14 > DIRECTION_MIN)
        near = proximity(prices[newest], row) > PROXIMITY_MIN
        found.is_allowed = np.int64(near and row.atr_percentile_7d > RANGE_MIN)
        found.direction = np.int64(side)


def _find(side: float) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        hidden(view.members, view.minute, view.rows, view.inputs, view.history, view.held, side, out)

    return find


def _detector(name: str, side: int, swing: str, moved: str, spent: str, slope: str) -> Detector:
    return Detector(
        id=f"div_hidden_{name}_v1", subtype=f"div.hidden_momentum_{name}_m_5", signal_class="divergence",
        threshold=1.0, unit="atr_14, or 5 points of rsi_14",
        trigger=f"min(({moved}) / atr_14, ({spent}) / 5) of the swing {swing}s v and u = t-5, where "
        f"hma_100_slope {slope} 0 and adx_14 > 20",
        precondition=f"proximity of the {swing} of u to a level > 0.5 and atr_percentile_7d > 20",
        primary="the measure", secondary="z_vol_m_1", direction=str(side),
        inputs=("low" if side > 0 else "high", "atr_14", "rsi_14", "hma_100_slope", "adx_14", "z_vol_m_1",
                "level_above", "level_below", "atr_percentile_7d"),
        cooldown_s=120, half_life_s=300, find=_find(float(side)), minutes=PAIR_MINUTES, is_core=False,
        source="docs/patterns.md, Pairs of swings; hidden divergence as of Brown, Technical Analysis for the Trading "
        "Professional (1999); strength and direction of Wilder (1978).",
    )  # fmt: skip


DETECTORS: tuple[Detector, ...] = (
    _detector("bull", 1, "low", "L_u - L_v", "rsi_v - rsi_u", ">"),
    _detector("bear", -1, "high", "H_v - H_u", "rsi_u - rsi_v", "<"),
)
