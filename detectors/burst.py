"""A move that is too straight for the volatility in which it happens: a burst of drift."""

from __future__ import annotations

import numpy as np

from detectors.moves import side_of, usual_volatility
from engine.core.detector import Detector, View
from engine.core.kernel import kernel
from engine.core.schema import NULL

BEFORE = 3  # minutes that say what is usual
RANGE_SIGMA = 2.0  # a random walk's range is about 1.6 of its volatility: a few ticks in a dead minute are no burst
INTEREST_MOVE = 0.01  # of open interest in five minutes, from which on it counts


@kernel
def burst(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        usual = usual_volatility(history, held, s, minute, BEFORE)
        found.measure = found.primary = abs(row.drift_burst_m_1)
        if row.mid_high != NULL and row.mid_low != NULL and row.mid_close != NULL:
            found.is_met = np.int64(float(row.mid_high - row.mid_low) / row.mid_close >= RANGE_SIGMA * usual)
        found.direction = side_of(row.drift_burst_m_1)
        if abs(row.oi_roc_m_5) >= INTEREST_MOVE:
            found.secondary = abs(row.z_oi_roc_m_5)


def find(view: View, threshold: float, out: np.ndarray) -> None:
    burst(view.members, view.rows, view.minute, view.history, view.held, out)


DETECTORS = (
    Detector(
        id="spike_burst_v1", subtype="spike.drift_burst_m_1", signal_class="spike", threshold=2.8, unit="sigma",
        trigger="|drift_burst_m_1|, where (mid_high - mid_low) / mid_close >= 2 times the root mean square of rv_m_1 "
        "of the three minutes before",
        primary="the measure", secondary="|z_oi_roc_m_5|, where |oi_roc_m_5| >= 0.01",
        direction="sign of drift_burst_m_1",
        inputs=("drift_burst_m_1", "mid_high", "mid_low", "mid_close", "rv_m_1", "oi_roc_m_5", "z_oi_roc_m_5"),
        minutes=BEFORE + 1, cooldown_s=45, half_life_s=120, find=find, weights=(2.45, 1.0, 0.4, 0.155),
        source="Christensen, Oomen & Renò, The drift burst hypothesis (2022): a drift against the volatility of its "
        "own seconds, so that what clusters is divided out. The weights were fitted on simulated calibration weeks "
        "(docs/evaluation.md).",
    ),
)  # fmt: skip
