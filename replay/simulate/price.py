"""The latent price: a common factor and each symbol's own noise, with volatility that clusters on several scales.

Log-volatility is a sum of Ornstein-Uhlenbeck processes; a slot's return is a normal whose scale is again lognormal, so
that tails are heavy at once and clusters last. Every scale is normalised so that SIGMA stays the one-second deviation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detmath import exp
from replay.simulate import layout as at
from replay.simulate.compiled import inlined, kernel
from replay.simulate.draws import burst, normal, whole

SLOT_S = at.SLOT_MS / 1_000.0
MARKET_SPEEDS = np.array([15.0, 300.0, 3_600.0])  # seconds
MARKET_VARIANCES = np.array([0.10, 0.20, 0.12])
OWN_FAST_S, OWN_SLOW_S = 30.0, 600.0
OWN_FAST_VARIANCE, OWN_SLOW_VARIANCE = 0.10, 0.20
BURST = 0.8
IMPACT_SHARE = (
    0.6  # Y of the square-root law: a parent order that trades T seconds of mean volume moves Y sigma sqrt(T)
)
EXOGENOUS = math.sqrt(1.0 - IMPACT_SHARE * IMPACT_SHARE)  # what is left for news, so that the sum keeps its deviation
POOL_S = np.array(
    [10.0, 100.0, 600.0, 2.0]
)  # decay of impact: three that sum to about a power law, one for swept levels
POOL_SHARE = np.array([0.20, 0.15, 0.15])  # of a finished parent's impact; the other half stays

# Activity by hour UTC, mean 1: quiet before Asia, busiest when Europe and America overlap. Shape invented, not fitted.
SEASON = np.array(
    [
        1.05,
        1.0,
        0.9,
        0.8,
        0.72,
        0.68,
        0.7,
        0.85,
        0.95,
        0.95,
        0.9,
        0.9,
        1.0,
        1.35,
        1.7,
        1.6,
        1.4,
        1.2,
        1.1,
        1.05,
        1.0,
        0.9,
        0.7,
        0.6,
    ]
)


@kernel
def season_at(second_of_day: float) -> float:
    """Activity between the hours' values, linear."""
    hour = second_of_day / 3_600.0
    at_hour = int(hour) % 24
    part = hour - int(hour)
    return SEASON[at_hour] * (1.0 - part) + SEASON[(at_hour + 1) % 24] * part


@kernel
def market_slots(rng: Any, first_ms: int, second_of_day: float, volatility: np.ndarray, out: np.ndarray) -> None:
    """One chunk of the common factor. volatility: three log-volatility states, advanced; out: (SLOTS, MARKET_WIDTH).

    FACTOR has unit variance per second before volatility and season; SLOT_TIME, in ms, is common to all symbols.
    """
    for slot in range(at.SLOTS):
        total = 0.0
        variance = 0.0
        for scale in range(3):
            decay = exp(-SLOT_S / MARKET_SPEEDS[scale])
            volatility[scale] = decay * volatility[scale] + math.sqrt(
                MARKET_VARIANCES[scale] * (1.0 - decay * decay)
            ) * normal(rng)
            total += volatility[scale]
            variance += MARKET_VARIANCES[scale]
        vol = exp(total - variance)
        season = season_at(second_of_day + slot * SLOT_S)
        out[slot, at.SLOT_TIME] = first_ms + slot * at.SLOT_MS + int(rng.random() * at.SLOT_MS)
        out[slot, at.MARKET_VOL] = vol
        out[slot, at.SEASON] = season
        out[slot, at.FACTOR] = vol * math.sqrt(season) * math.sqrt(SLOT_S) * burst(rng, BURST)


@kernel
def latent_return(
    rng: Any, informed: bool, market: np.ndarray, control: np.ndarray, spec: np.ndarray, f: np.ndarray
) -> float:
    """The symbol's return in one slot but for its own trades. market: the slot's row; control: the second's row."""
    season = math.sqrt(market[at.SEASON])
    decay = exp(-SLOT_S / OWN_FAST_S)
    f[at.VOL_FAST] = decay * f[at.VOL_FAST] + math.sqrt(OWN_FAST_VARIANCE * (1.0 - decay * decay)) * normal(rng)
    decay = exp(-SLOT_S / OWN_SLOW_S)
    f[at.VOL_SLOW] = decay * f[at.VOL_SLOW] + math.sqrt(OWN_SLOW_VARIANCE * (1.0 - decay * decay)) * normal(rng)
    own = exp(f[at.VOL_FAST] + f[at.VOL_SLOW] - OWN_FAST_VARIANCE - OWN_SLOW_VARIANCE) * control[at.HEAT]
    loading = spec[at.LOADING]
    f[at.VOL] = (loading * market[at.MARKET_VOL] + (1.0 - loading) * own) * control[at.HEAT]
    noise = math.sqrt(1.0 - loading * loading) * own * season * math.sqrt(SLOT_S) * burst(rng, BURST)
    common = loading * market[at.FACTOR] * control[at.HEAT]
    if not informed:
        return spec[at.SIGMA] * EXOGENOUS * (common + noise)
    # What does not follow at once comes later: others lag the leader.
    f[at.PENDING] += (1.0 - spec[at.INSTANT]) * common
    late = f[at.PENDING] * (1.0 - exp(-SLOT_S / spec[at.LAG_S]))
    f[at.PENDING] -= late
    out = spec[at.SIGMA] * EXOGENOUS * (spec[at.INSTANT] * common + late + noise)
    for pool in range(4):
        back = f[at.POOL_0 + pool] * (1.0 - exp(-SLOT_S / POOL_S[pool]))
        f[at.POOL_0 + pool] -= back
        out -= back
    return out + control[at.DRIFT] * SLOT_S


@inlined
def whole_ticks(rng: Any, step: float, f: np.ndarray) -> int:
    """Ticks to move now for a latent move of `step` ticks; what is less than a tick waits.

    The wait ends with an unbiased rounding and starts again from zero: what waits has mean zero given all past moves.
    """
    f[at.ACC] += step
    if -1.0 < f[at.ACC] < 1.0:
        return 0
    ticks = whole(rng, f[at.ACC])
    f[at.ACC] = 0.0
    return ticks
