"""A damped local trend of ln mid, filtered forwards: its innovations are residuals, and nothing is ever smoothed."""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import RESTART_MINUTES
from engine.core.kernel import inlined

DAMPING = 0.95
STATE_NOISE, NOISE = 0.01, 0.1  # only their ratio matters to the gain


@inlined
def step(before, now, minute, y):
    """One filter step into `now`; returns the prediction of y, NaN where the filter begins. A NaN leaves the state."""
    now.minute, now.level, now.slope = before.minute, before.level, before.slope
    now.p00, now.p01, now.p11 = before.p00, before.p01, before.p11
    if y != y:
        return np.nan
    now.minute = minute
    if before.minute < 0 or minute - before.minute - 1 > RESTART_MINUTES:
        now.level, now.slope = y, 0.0
        now.p00, now.p01, now.p11 = 1.0, 0.0, 1.0
        return np.nan
    level, slope = before.level + before.slope, DAMPING * before.slope
    p00 = (before.p00 + before.p01) + (before.p01 + before.p11) + STATE_NOISE
    p01 = DAMPING * (before.p01 + before.p11)
    p11 = DAMPING * (DAMPING * before.p11) + STATE_NOISE
    innovation, variance = y - level, p00 + NOISE
    gain0, gain1 = p00 / variance, p01 / variance
    now.level, now.slope = level + gain0 * innovation, slope + gain1 * innovation
    now.p00, now.p01, now.p11 = p00 - gain0 * p00, p01 - gain0 * p01, p11 - gain1 * p01
    return level
