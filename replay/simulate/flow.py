"""Who trades when, on which side, how much, and what it does to the price.

Arrivals are a Hawkes process with two exponential kernels. Signs come from hidden parent orders of Pareto length that
are worked in turn (Lillo, Mike and Farmer 2005), which gives their long memory. A parent's impact grows with the square
root of what it has traded and half of it decays once it is done. Without information signs are fair coins and impact is
at once and for good.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detmath import exp, pow
from replay.simulate import layout as at
from replay.simulate.compiled import inlined, kernel
from replay.simulate.draws import lognormal, whole
from replay.simulate.price import IMPACT_SHARE, POOL_SHARE

FAST_S, SLOW_S = 0.08, 8.0
FAST_BRANCH, SLOW_BRANCH = 0.35, 0.40  # children per trade
BASE_SHARE = 1.0 - FAST_BRANCH - SLOW_BRANCH
PARETO = 1.5  # of a parent's number of children; sign autocorrelation then falls as lag^-(PARETO - 1)
CHILDREN_MAX = 3_000.0
NOISE_SHARE = 0.10  # trades that belong to no parent
STICKY = 0.5  # chance that the parent that traded last trades again
SIZE_SPREAD = 1.5
PARENT_SPREAD = 0.6
FLOW_MEMORY = 0.97  # per trade, of the signed flow that the book follows


@inlined
def decay_excitement(elapsed_ms: float, f: np.ndarray) -> None:
    f[at.EXCITE_FAST] *= exp(-elapsed_ms / (1_000.0 * FAST_S))
    f[at.EXCITE_SLOW] *= exp(-elapsed_ms / (1_000.0 * SLOW_S))


@inlined
def excite(f: np.ndarray) -> None:
    f[at.EXCITE_FAST] += FAST_BRANCH / FAST_S
    f[at.EXCITE_SLOW] += SLOW_BRANCH / SLOW_S


@inlined
def base_rate(season: float, control: np.ndarray, spec: np.ndarray, f: np.ndarray) -> float:
    """Trades per second that nothing excited."""
    return spec[at.RATE] * BASE_SHARE * season * f[at.VOL] * control[at.TRADES]


@kernel
def new_parent(rng: Any, parent: np.ndarray) -> None:
    """A hidden order: side, children left, lots done, impact paid, size scale."""
    parent[at.SIDE] = 1.0 if rng.random() < 0.5 else -1.0
    parent[at.LEFT] = min(CHILDREN_MAX, math.floor(pow(1.0 - rng.random(), -1.0 / PARETO)))
    parent[at.DONE] = 0.0
    parent[at.PAID] = 0.0
    parent[at.SCALE] = lognormal(rng, PARENT_SPREAD)


@kernel
def next_order(
    rng: Any,
    informed: bool,
    bias: float,
    size: float,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    parents: np.ndarray,
    out: np.ndarray,
) -> None:
    """One market order. out: sign, lots, log-price impact (with the sign), 1 if an episode forced it.

    bias: an episode's share of forced orders, with their sign. Impact of forced ones is the episode's own DRIFT.
    """
    scale = spec[at.SIGMA] * IMPACT_SHARE * f[at.VOL]
    second = spec[at.RATE] * spec[at.MEAN_LOTS]
    raw = spec[at.MEAN_LOTS] * lognormal(rng, SIZE_SPREAD) * size
    out[3] = 0.0
    if rng.random() < abs(bias):
        out[0] = 1.0 if bias > 0.0 else -1.0
        out[1] = max(1, whole(rng, raw))
        out[2] = 0.0
        out[3] = 1.0
    elif not informed or rng.random() < NOISE_SHARE:
        out[0] = 1.0 if rng.random() < 0.5 else -1.0
        out[1] = max(1, whole(rng, raw))
        out[2] = out[0] * scale * math.sqrt(out[1] / second)
        if informed:
            f[at.POOL_0] += out[2]  # one lone order leaves nothing behind
    else:
        if rng.random() > STICKY:
            n[at.WORKING] = int(rng.random() * at.PARENTS)
        parent = parents[n[at.WORKING]]
        out[0] = parent[at.SIDE]
        out[1] = max(1, whole(rng, raw * parent[at.SCALE]))
        paid = scale * math.sqrt((parent[at.DONE] + out[1]) / second) - scale * math.sqrt(parent[at.DONE] / second)
        out[2] = out[0] * paid
        parent[at.DONE] += out[1]
        parent[at.PAID] += paid
        parent[at.LEFT] -= 1.0
        if parent[at.LEFT] < 0.5:
            for pool in range(3):
                f[at.POOL_0 + pool] += POOL_SHARE[pool] * parent[at.SIDE] * parent[at.PAID]
            new_parent(rng, parent)
    f[at.FLOW] = FLOW_MEMORY * f[at.FLOW] + (1.0 - FLOW_MEMORY) * out[0]


@inlined
def open_interest_change(rng: Any, lots: float, spec: np.ndarray, f: np.ndarray) -> None:
    """A trade opens for both, closes for both, or hands a position over; with a weak pull to the usual level."""
    pull = 0.1 * (f[at.OI] / spec[at.OPEN_INTEREST] - 1.0)
    u = rng.random()
    if u < 0.35 - pull:
        f[at.OI] += lots
    elif u > 0.65 - pull:
        f[at.OI] = max(0.0, f[at.OI] - lots)
