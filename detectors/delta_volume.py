"""Delta-volume divergence: a higher high at a level on which takers sold more than they bought."""

from __future__ import annotations

from math import sqrt

import numpy as np

from detectors.swings import NONE, PAIR_MINUTES, SWING_MINUTES, pair_of_swings, proximity
from engine.core.detector import Detector, View
from engine.core.feature_state import FLOW, HIGH, RECENT
from engine.core.kernel import inlined, kernel

PROXIMITY_MIN = 0.7


@inlined
def flow_in_sigma(flows, first, last):
    """Sum of flows from `first` through `last` over the root of the sum of their squares; null where all are 0.

    If the signs of flows are coins this is close to a standard normal number, whatever their sizes.
    """
    total, squares = 0.0, 0.0
    for p in range(first, last + 1):
        total += flows[p]
        squares += flows[p] * flows[p]
    return total / sqrt(squares) if squares > 0.0 else np.nan


@kernel
def against_flow(members, minute, rows, ring, history, held, out):
    place, minutes = minute % RECENT + RECENT, history.shape[0]
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        if not row.atr_14 > 0.0:
            continue
        newest, before = pair_of_swings(ring[s], place, 1.0)
        if newest == NONE:
            continue
        rise = (ring[s, HIGH, newest] - ring[s, HIGH, before]) / row.atr_14
        sold = -flow_in_sigma(ring[s, FLOW], before + 1, newest)
        if sold == sold:
            found.measure = found.primary = min(rise, sold)
        found.secondary = row.z_vol_m_1
        found.is_met = 1
        swing_minute = minute - SWING_MINUTES
        at = swing_minute % minutes
        confirmed = held[at, s] == swing_minute and history[at, s].is_volume_confirmed == 1
        found.is_allowed = np.int64(confirmed and proximity(ring[s, HIGH, newest], row) > PROXIMITY_MIN)
        found.direction = -1


def find_against_flow(view: View, threshold: float, out: np.ndarray) -> None:
    against_flow(view.members, view.minute, view.rows, view.inputs, view.history, view.held, out)


DETECTORS: tuple[Detector, ...] = (
    Detector(
        id="div_delta_volume_bear_v1", subtype="div.delta_volume_bear_m_5", signal_class="divergence", threshold=1.0,
        unit="atr_14, or sigma of the flow",
        trigger="min((H_u - H_v) / atr_14, -(sum of D) / sqrt(sum of D^2)) of the swing highs v and u = t-5, sums over "
        "v+1 .. u",
        precondition="is_volume_confirmed of u is 1 and proximity of the high of u to a level > 0.7",
        primary="the measure", secondary="z_vol_m_1", direction="-1",
        inputs=("high", "cvd_delta_m_1", "atr_14", "z_vol_m_1", "is_volume_confirmed", "level_above",
                "level_below"),
        cooldown_s=90, half_life_s=240, find=find_against_flow, minutes=PAIR_MINUTES, is_core=False,
        source="docs/patterns.md, Pairs of swings; the sum of flows is normalised by itself as in de la Pena, Lai & "
        "Shao, Self-Normalized Processes (2009).",
    ),
)  # fmt: skip
