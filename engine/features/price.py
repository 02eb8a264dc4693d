"""Price: returns, and realised volatility of the minute's seconds and of the minutes."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.detmath import log
from engine.core.feature_state import LOG_RETURN, MID, RECENT
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, Status
from engine.core.state import EngineState

STALE = int(Status.STALE)
HALF_PI = 1.5707963267948966
PAIRS_MIN = 10  # of neighbouring returns in a window of 15


@inlined
def simple_return(mids, place, minutes):
    """m_t / m_(t-minutes) - 1 of the minute at `place` of the ring's second half; NaN if either is missing."""
    return mids[place] / mids[place - minutes] - 1.0


@inlined
def realised(returns, length):
    """Root of the sum of squares over a window (length,), scaled up for what is missing; NaN if over 30 % are."""
    present, total = 0, 0.0
    for i in range(length):
        if returns[i] == returns[i]:
            present += 1
            total += returns[i] * returns[i]
    if 10 * present < 7 * length:
        return np.nan
    return np.sqrt(length / present * total)


@inlined
def bipower(returns, length):
    """Variation without jumps: products of neighbouring |r| over a window (length,), scaled up for what is missing."""
    pairs, total = 0, 0.0
    for i in range(1, length):
        product = abs(returns[i]) * abs(returns[i - 1])
        if product == product:
            pairs += 1
            total += product
    return HALF_PI * length / pairs * total if pairs >= PAIRS_MIN else np.nan


@inlined
def realised_inside(path, runs, mid_open, mid_unit):
    """Root of the sum of squared log moves along the minute's grid, runs of (end, mid), from mid_open on.

    mid_open: bid + ask, NULL: none; mid_unit: what bid + ask is divided by. A run that repeats the mid adds nothing.
    """
    before, points, total = np.int64(NULL), 0, 0.0
    log_before = 0.0
    if mid_open != NULL:
        before, log_before, points = mid_open, log(5.0 * mid_open / mid_unit), 1
    first = 0
    for i in range(runs):
        mid = path[i].mid
        if mid != NULL:
            points += path[i].end - first
            if mid != before:
                log_now = log(5.0 * mid / mid_unit)
                if before != NULL:
                    total += (log_now - log_before) * (log_now - log_before)
                before, log_before = mid, log_now
        first = path[i].end
    return np.sqrt(total) if points >= 2 else np.nan


@inlined
def mid_at(path, runs, point):
    """bid + ask at a grid point, 1..60; NULL: none."""
    for i in range(runs):
        if path[i].end >= point:
            return path[i].mid
    return np.int64(NULL)


@kernel
def write_prices(members, minute, units, symbols, quotes, paths, ring, rows):
    """The family's columns of `minute`.

    quotes: QUOTE_SUM (symbols, SLOTS); paths: MID_RUN (symbols, SLOTS, GRID_POINTS).
    """
    place, slot = minute % RECENT + RECENT, minute & 3
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        if row.dq_status == STALE:
            continue
        mids, returns = ring[s, MID], ring[s, LOG_RETURN]
        mid = mids[place]
        row.ret_m_1 = simple_return(mids, place, 1)
        row.ret_m_5 = simple_return(mids, place, 5)
        row.ret_m_15 = simple_return(mids, place, 15)
        row.ret_abs_m_1 = abs(row.ret_m_1)
        mid_unit = units[symbols[s].price_decimals + 1]
        total = quotes[s, slot]
        if total.minute == minute and total.mid_open != NULL:
            path = paths[s, slot]
            half = mid_at(path, total.path_runs, 30)
            if half != NULL:
                row.ret_s_30 = mid / (5.0 * half / mid_unit) - 1.0
            row.rv_m_1 = realised_inside(path, total.path_runs, total.mid_open, mid_unit)
        if row.high != NULL:
            row.atr_proxy_m_1 = (float(row.high) / mid_unit - float(row.low) / mid_unit) / mid
        row.rv_m_15 = realised(returns[place - 14 : place + 1], 15)
        row.rv_h_1 = realised(returns[place - 59 : place + 1], 60)
        row.bpv_m_15 = bipower(returns[place - 14 : place + 1], 15)
        row.jump_m_15 = max(0.0, row.rv_m_15 * row.rv_m_15 - row.bpv_m_15)
        if row.bpv_m_15 != row.bpv_m_15 or row.rv_m_15 != row.rv_m_15:
            row.jump_m_15 = np.nan


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the price columns of `minute`, whose inputs are in the ring."""
    tape, bars = state.tape, state.bars
    write_prices(
        members, minute, FLOAT_POWERS_OF_TEN, tape.symbols, bars.quote_sums, bars.mid_paths, state.features.ring,
        bars.rows,
    )  # fmt: skip
