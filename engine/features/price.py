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
BURST_WINDOWS_S = (10, 20, 30, 60)
BURST_CHANCE = (0.9465092364124227, 0.7411519036837556, 0.5887050112577373, 0.0)  # sqrt(ln(60 / window) / 2)


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
def write_logs(path, runs, mid_open, mid_unit, logs):
    """ln mid at mid_open and at the 60 points of the minute's grid, runs of (end, mid); NaN: none. logs: (61,).

    mid_open: bid + ask, NULL: none; mid_unit: what bid + ask is divided by.
    """
    logs[:] = np.nan
    before, log_before = np.int64(NULL), np.nan
    if mid_open != NULL:
        before = mid_open
        log_before = logs[0] = log(5.0 * mid_open / mid_unit)
    first = 0
    for i in range(runs):
        mid = path[i].mid
        if mid != NULL:
            if mid != before:
                before, log_before = mid, log(5.0 * mid / mid_unit)
            for point in range(first, path[i].end):
                logs[point + 1] = log_before
        first = path[i].end


@inlined
def realised_inside(logs):
    """Root of the sum of squared moves between points that are there; NaN: fewer than two."""
    points, total, before = 0, 0.0, np.nan
    for value in logs:
        if value == value:
            points += 1
            if points > 1:
                total += (value - before) * (value - before)
            before = value
    return np.sqrt(total) if points >= 2 else np.nan


@inlined
def drift_burst(logs, rv):
    """The furthest drift within a window in sigma of its length, less what chance finds in windows so short; signed."""
    if not rv > 0.0:
        return np.nan
    most, value = 0.0, 0.0
    for i in range(len(BURST_WINDOWS_S)):
        length = BURST_WINDOWS_S[i]
        furthest = 0.0
        for point in range(length, logs.shape[0]):
            move = logs[point] - logs[point - length]
            furthest = move if abs(move) > abs(furthest) else furthest
        sigmas = abs(furthest) / (rv * np.sqrt(length / 60.0)) - BURST_CHANCE[i]
        if sigmas > most:
            most = sigmas
            value = sigmas if furthest > 0.0 else -sigmas
    return value


@inlined
def mid_at(path, runs, point):
    """bid + ask at a grid point, 1..60; NULL: none."""
    for i in range(runs):
        if path[i].end >= point:
            return path[i].mid
    return np.int64(NULL)


@kernel
def write_prices(members, minute, units, symbols, quotes, paths, ring, logs, rows):
    """The family's columns of `minute`.

    quotes: QUOTE_SUM (symbols, SLOTS); paths: MID_RUN (symbols, SLOTS, GRID_POINTS). logs: room for one.
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
            write_logs(path, total.path_runs, total.mid_open, mid_unit, logs)
            row.rv_m_1 = realised_inside(logs)
            row.drift_burst_m_1 = drift_burst(logs, row.rv_m_1)
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
        state.features.path_logs, bars.rows,
    )  # fmt: skip
