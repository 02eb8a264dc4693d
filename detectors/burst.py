"""A move that is too large for the volatility in which it happens: a burst of drift."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.detmath import exp, log
from engine.core.kernel import kernel

BEFORE = 3  # minutes that say, beside the minute itself, what is usual
INTEREST_MOVE = 0.01  # of open interest in five minutes, from which on it counts


@kernel
def burst(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        squares = 0.0
        for m in range(minute - BEFORE, minute):
            place = m % history.shape[0]
            before = history[place, s].rv_m_1 if held[place, s] == m else np.nan
            squares += before * before
        found.direction = np.int64(row.ret_m_1 > 0.0) - np.int64(row.ret_m_1 < 0.0)
        found.is_met = 1
        if squares > 0.0 and row.rv_m_1 > 0.0:
            usual = exp((2.0 * log(row.rv_m_1) + log(np.sqrt(squares / BEFORE))) / 3.0)
            found.measure = found.primary = row.atr_proxy_m_1 / usual
        if abs(row.oi_roc_m_5) >= INTEREST_MOVE:
            found.secondary = abs(row.z_oi_roc_m_5)


def find(view: View, threshold: float, out: np.ndarray) -> None:
    burst(view.members, view.rows, view.minute, view.history, view.held, out)


DETECTORS = (
    Detector(
        id="spike_burst_v1", subtype="spike.drift_burst_m_1", signal_class="spike", threshold=2.8, unit="sigma",
        trigger="atr_proxy_m_1 over what is usual: rv_m_1 to the power of 2/3, times the root mean square of rv_m_1 of "
        "the three minutes before to the power of 1/3",
        primary="the measure", secondary="|z_oi_roc_m_5|, where |oi_roc_m_5| >= 0.01", direction="sign of ret_m_1",
        inputs=("atr_proxy_m_1", "rv_m_1", "ret_m_1", "oi_roc_m_5", "z_oi_roc_m_5"), minutes=BEFORE + 1,
        cooldown_s=45, half_life_s=120, find=find, weights=(2.5, 0.6, 0.4, 0.35),
        source="Christensen, Oomen & Renò, The drift burst hypothesis (2022): a move against its local volatility. The "
        "range of a random walk is about 1.6 of its volatility at any volatility, so what clusters is divided out; the "
        "powers and the weights were fitted on simulated calibration days (docs/evaluation.md).",
    ),
)  # fmt: skip
