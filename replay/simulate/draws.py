"""Random numbers of the simulated market: uniforms of numpy's PCG64, turned by portable arithmetic.

numpy promises the bits of PCG64's uniforms; its normal() and exponential() go through tables and libm and are not used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detmath import exp, log
from replay.simulate.compiled import inlined, kernel


def generator(*entropy: int) -> np.random.Generator:
    """A stream of its own for each purpose, so that one more symbol does not change the others' draws."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@kernel
def normal(rng: Any) -> float:
    """One standard normal by inversion; relative error below 1.2e-9.

    Source: P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function" (2003).
    """
    p = rng.random() * 0.9999999999999998 + 1e-16
    if 0.02425 <= p <= 0.97575:
        q = p - 0.5
        r = q * q
        top = (
            (((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.3577518672690) * r
            - 30.66479806614716
        ) * r + 2.506628277459239
        low = (
            (((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r
            - 13.28068155288572
        ) * r + 1.0
        return top * q / low
    tail = p if p < 0.5 else 1.0 - p
    q = math.sqrt(-2.0 * log(tail))
    top = (
        (((-0.007784894002430293 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) * q
        + 4.374664141464968
    ) * q + 2.938163982698783
    low = (((0.007784695709041462 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1.0
    return top / low if p < 0.5 else -top / low


@inlined
def waiting(rng: Any, rate: float) -> float:
    """Exponential waiting time in ms at `rate` per second."""
    return -log(1.0 - rng.random()) * 1_000.0 / rate


@inlined
def whole(rng: Any, x: float) -> int:
    """A whole number whose expectation is exactly x: rounding that adds no drift."""
    return math.floor(x + rng.random())


@inlined
def lognormal(rng: Any, spread: float) -> float:
    """Mean 1, standard deviation of the logarithm `spread`."""
    return exp(spread * normal(rng) - 0.5 * spread * spread)


@inlined
def burst(rng: Any, spread: float) -> float:
    """A normal whose scale is itself lognormal: variance 1, kurtosis 3 exp(4 spread^2)."""
    return normal(rng) * exp(spread * normal(rng) - spread * spread)
