"""What several families ask alike: whether open interest is fresh, how large a move is, and what is usual."""

from __future__ import annotations

from math import sqrt

import numpy as np

from engine.core.kernel import inlined
from engine.core.schema import NULL

FRESH_MS = 20_000
ROOT_5 = sqrt(5.0)


@inlined
def has_fresh_interest(row):
    """1 if open interest is known and at most 20 s old at the close."""
    return np.int64(row.oi_staleness_ms != NULL and row.oi_staleness_ms <= FRESH_MS)


@inlined
def sigmas_of_5(row):
    """ret_m_5 in sigma, with its sign: sigma of five minutes is that of one, times the root of 5; NaN: null."""
    scale = row.b_scale_ret_m_1
    return row.ret_m_5 / (scale * ROOT_5) if scale > 0.0 else np.nan


@inlined
def side_of(x):
    """1, -1 or 0; 0 for null."""
    return np.int64(x > 0.0) - np.int64(x < 0.0)


@inlined
def usual_volatility(history, held, s, minute, minutes):
    """Root mean square of rv_m_1 of the `minutes` minutes before; NaN if one is not there or null."""
    squares = 0.0
    for m in range(minute - minutes, minute):
        place = m % history.shape[0]
        before = history[place, s].rv_m_1 if held[place, s] == m else np.nan
        squares += before * before
    return np.sqrt(squares / minutes)
