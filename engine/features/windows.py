"""Long windows: the newest values of `ok` minutes, in order of arrival and sorted, and what a value is among them.

A window learns a minute when it is final, at the end of grace of the minute after; at the close of t it holds minutes
up to t-2. A value that comes and the one that leaves move only what is sorted between them.
"""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.feature_state import (
    LONG_ATR,
    LONG_OI_ROC,
    LONG_RET_ABS,
    LONG_RV,
    LONG_SIZES,
    LONG_SPREAD,
    LONG_STARTS,
    LONG_VOL,
    LONG_VOLUME,
    RECENT,
    VOLUME,
)
from engine.core.kernel import kernel
from engine.core.schema import Status
from engine.core.sorted_window import fold, median, rank
from engine.core.state import EngineState
from engine.core.wide import to_float

OK, STALE = int(Status.OK), int(Status.STALE)
QUANTILE_VALUES_MIN = 200
COMPRESSION_VALUES_MIN = 240
ATR_VALUES_MIN = 1_440
SQUEEZE_BELOW = 0.2


@kernel
def put(values, ordered, counts, window, value):
    """Add a value to a window, NaN adds nothing. values, ordered: all windows of a symbol, one behind the other."""
    if value == value:
        begin, end = LONG_STARTS[window], LONG_STARTS[window + 1]
        fold(value, counts[window], values[begin:end], ordered[begin:end])
        counts[window] += 1


@kernel
def learn(members, minute, held, rows, symbols, units, values, ordered, counts):
    """Put the final rows of `minute` into the windows, where they are `ok`. held: (symbols,) whose minute a row is."""
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        if held[s] != minute or row.dq_status != OK:
            continue
        unit = units[symbols[s].price_decimals + symbols[s].quantity_decimals]
        volume = to_float(row.quote_volume_hi, row.quote_volume_lo) / unit
        put(values[s], ordered[s], counts[s], LONG_VOL, volume)
        put(values[s], ordered[s], counts[s], LONG_RET_ABS, row.ret_abs_m_1)
        put(values[s], ordered[s], counts[s], LONG_OI_ROC, row.oi_roc_m_5)
        put(values[s], ordered[s], counts[s], LONG_RV, row.rv_m_15)
        put(values[s], ordered[s], counts[s], LONG_VOLUME, volume)
        put(values[s], ordered[s], counts[s], LONG_SPREAD, row.spread_mean)
        put(values[s], ordered[s], counts[s], LONG_ATR, row.atr_14)


@kernel
def rank_in(ordered, counts, window, value, values_min):
    """Rank of a value in a window, NaN with fewer than values_min values. ordered: all windows of a symbol."""
    if counts[window] < values_min:
        return np.nan
    return rank(value, counts[window], ordered[LONG_STARTS[window] : LONG_STARTS[window + 1]])


@kernel
def median_of(ordered, counts, window, values_min):
    """Median of a window, NaN with fewer than values_min values. ordered: all windows of a symbol."""
    if counts[window] < values_min:
        return np.nan
    return median(counts[window], ordered[LONG_STARTS[window] : LONG_STARTS[window + 1]])


@kernel
def write_ranks(members, minute, rows, ring, ordered, counts):
    """Ranks of a minute's values among those that the windows hold, and its volatility against their median."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        if row.dq_status == STALE:
            continue
        row.q_vol_m_1 = rank_in(ordered[s], counts[s], LONG_VOL, ring[s, VOLUME, place], QUANTILE_VALUES_MIN)
        row.q_ret_abs_m_1 = rank_in(ordered[s], counts[s], LONG_RET_ABS, row.ret_abs_m_1, QUANTILE_VALUES_MIN)
        row.q_oi_roc_m_5 = rank_in(ordered[s], counts[s], LONG_OI_ROC, row.oi_roc_m_5, QUANTILE_VALUES_MIN)
        row.atr_percentile_7d = 100.0 * rank_in(ordered[s], counts[s], LONG_ATR, row.atr_14, ATR_VALUES_MIN)
        row.q_rv_m_15 = rank_in(ordered[s], counts[s], LONG_RV, row.rv_m_15, COMPRESSION_VALUES_MIN)
        if row.q_rv_m_15 == row.q_rv_m_15:
            row.is_squeeze = row.q_rv_m_15 < SQUEEZE_BELOW
            middle = median_of(ordered[s], counts[s], LONG_RV, COMPRESSION_VALUES_MIN)
            if middle > 0.0:
                row.compression_ratio = row.rv_m_15 / middle


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    own = state.features
    write_ranks(members, minute, state.bars.rows, own.ring, own.long_sorted, own.long_counts)


def settle(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Learn the final rows of `minute`."""
    history, own = state.history, state.features
    position = minute % history.minutes
    learn(
        members, minute, history.held[position], history.rows[position], state.tape.symbols, FLOAT_POWERS_OF_TEN,
        own.long_values, own.long_sorted, own.long_counts,
    )  # fmt: skip


@kernel
def copy_newest(symbols, counts, copied, values, copy):
    """Bring a copy of the first `symbols` windows up to date. copied: values that had come when it was last made."""
    for s in range(symbols):
        for window in range(counts.shape[1]):
            size, start = LONG_SIZES[window], LONG_STARTS[window]
            for count in range(max(copied[s, window], counts[s, window] - size), counts[s, window]):
                copy[s, start + count % size] = values[s, start + count % size]
            copied[s, window] = counts[s, window]


def sort_anew(values: np.ndarray, counts: np.ndarray, ordered: np.ndarray) -> None:
    """The sorted half from the values in order of arrival; all (symbols, ...)."""
    for window, size in enumerate(LONG_SIZES):
        start = LONG_STARTS[window]
        for s in range(len(values)):
            held = min(int(counts[s, window]), size)
            ordered[s, start : start + held] = np.sort(values[s, start : start + held])
