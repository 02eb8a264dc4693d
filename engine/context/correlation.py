"""How much the symbols move as one: the mean correlation of all pairs, and the share of the first factor.

Neither needs the correlation matrix of the symbols. With u the standardised returns of a symbol (mean 0, length 1) the
correlation of two is u_i u_j, so the sum over all pairs comes from the squared length of the sum of the u. And that
matrix has the same eigenvalues above 0 as the one of minutes by minutes, 60 x 60 whatever the number of symbols.
"""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import LOG_RETURN, RECENT
from engine.core.kernel import inlined, kernel
from engine.core.market import ELIGIBLE_MIN
from engine.core.market_state import CORRELATED_MINUTES

PRESENT_MIN = 42
ITERATIONS = 32


@inlined
def standardise(returns, out):
    """Write returns less their mean, at length 1, to `out`, 0 where one is missing; returns whether they vary."""
    total, present, least, most = 0.0, 0, np.inf, -np.inf
    for i in range(CORRELATED_MINUTES):
        if returns[i] == returns[i]:
            total += returns[i]
            present += 1
            least, most = min(least, returns[i]), max(most, returns[i])
    if present < PRESENT_MIN or least == most:
        return False
    mean, squares = total / float(present), 0.0
    for i in range(CORRELATED_MINUTES):
        out[i] = returns[i] - mean if returns[i] == returns[i] else 0.0
        squares += out[i] * out[i]
    length = np.sqrt(squares)
    if length == 0.0:
        return False  # they vary by less than a float64 can square
    for i in range(CORRELATED_MINUTES):
        out[i] /= length
    return True


@inlined
def multiply_by(gram, x, out):
    """out = gram x, each place summed from the oldest minute to the newest."""
    out[:] = 0.0
    for a in range(CORRELATED_MINUTES):
        for b in range(CORRELATED_MINUTES):
            out[b] += x[a] * gram[a, b]


@inlined
def product_of(x, y):
    """Sum of x y, from the oldest minute to the newest."""
    total = 0.0
    for i in range(CORRELATED_MINUTES):
        total += x[i] * y[i]
    return total


@inlined
def largest_eigenvalue(gram, x, y):
    """By the power method: 32 steps from 1, 1/2, 1/3, .., which no plain pattern of minutes is at right angles to."""
    for i in range(CORRELATED_MINUTES):
        x[i] = 1.0 / float(i + 1)
    for _ in range(ITERATIONS):
        multiply_by(gram, x, y)
        length = np.sqrt(product_of(y, y))
        if length == 0.0:
            return np.nan
        for i in range(CORRELATED_MINUTES):
            x[i] = y[i] / length
    multiply_by(gram, x, y)
    return product_of(x, y)


@kernel
def correlate(chosen, minute, ring, gram, vectors, row):
    """correlation_count, correlation_m_60, first_factor_share_m_60. ring: Features.ring."""
    end = minute % RECENT + RECENT + 1
    u, summed = vectors[0], vectors[1]
    gram[:] = 0.0
    summed[:] = 0.0
    count = 0
    for i in range(chosen.shape[0]):
        if not standardise(ring[chosen[i], LOG_RETURN, end - CORRELATED_MINUTES : end], u):
            continue
        count += 1
        for a in range(CORRELATED_MINUTES):
            summed[a] += u[a]
            for b in range(CORRELATED_MINUTES):
                gram[a, b] += u[a] * u[b]
    row.correlation_count = count
    row.correlation_m_60 = row.first_factor_share_m_60 = np.nan
    if count >= ELIGIBLE_MIN:
        symbols = float(count)
        row.correlation_m_60 = (product_of(summed, summed) - symbols) / (symbols * (symbols - 1.0))
        row.first_factor_share_m_60 = largest_eigenvalue(gram, vectors[2], vectors[3]) / symbols
