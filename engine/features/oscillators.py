"""Oscillators: Wilder's strength, the distance of two averages, bands of deviation, the place in the newest range."""

from __future__ import annotations

import numpy as np

from engine.core.averages import begins_anew, exponential, extremes, mean, relative_strength, wilder
from engine.core.feature_state import CLOSE, HIGH, LOW, RECENT, STOCH_K
from engine.core.kernel import inlined, kernel
from engine.core.schema import Status
from engine.core.state import EngineState
from engine.features.inputs import write

STALE = int(Status.STALE)
PERIODS = (14, 21, 50)  # of relative strength
FAST, SLOW, SIGNAL = 12, 26, 9
BAND, STOCHASTIC = 20, 14  # minutes of their windows


@inlined
def step(state, minute, close):
    """Take a close into gains, losses and averages. state: OSCILLATOR_STATE."""
    if begins_anew(state.minute, minute):
        state.closes = 0
        for k in range(len(PERIODS)):
            state.gain[k] = state.loss[k] = 0.0
        state.fast = state.slow = state.signal = 0.0
    else:
        gain, loss = max(close - state.close, 0.0), max(state.close - close, 0.0)
        for k in range(len(PERIODS)):
            state.gain[k] = wilder(state.gain[k], gain, state.closes, PERIODS[k])
            state.loss[k] = wilder(state.loss[k], loss, state.closes, PERIODS[k])
    state.closes += 1
    state.fast = exponential(state.fast, close, state.closes, FAST)
    state.slow = exponential(state.slow, close, state.closes, SLOW)
    if state.closes >= SLOW:
        state.signal = exponential(state.signal, state.fast - state.slow, state.closes - SLOW + 1, SIGNAL)
    state.minute, state.close = minute, close


@inlined
def strength(state, k):
    """Gains as a part of all changes, 0 .. 100; NaN with fewer changes than the k-th period."""
    if state.closes - 1 < PERIODS[k]:
        return np.nan
    return relative_strength(state.gain[k], state.loss[k])


@inlined
def write_recursive(state, row):
    """What the state through this minute says."""
    row.rsi_14, row.rsi_21, row.rsi_50 = strength(state, 0), strength(state, 1), strength(state, 2)
    if state.closes >= SLOW:
        row.macd_line = state.fast - state.slow
    if state.closes >= SLOW + SIGNAL - 1:
        row.macd_signal = state.signal
        row.macd_histogram = row.macd_line - state.signal


@inlined
def deviation(values, middle):
    """Population deviation of what is present from its mean, exactly 0 where all are equal."""
    present, total, least, most = 0, 0.0, np.inf, -np.inf
    for i in range(values.shape[0]):
        if values[i] == values[i]:
            present += 1
            total += (values[i] - middle) * (values[i] - middle)
            least, most = min(least, values[i]), max(most, values[i])
    return np.sqrt(total / present) if most > least else 0.0


@inlined
def write_bands(closes, close, row):
    """Two deviations around the mean. closes: (BAND,), the newest last."""
    middle = mean(closes)
    if middle != middle:
        return
    spread = 2.0 * deviation(closes, middle)
    row.bb_middle_20, row.bb_upper_20, row.bb_lower_20 = middle, middle + spread, middle - spread
    row.bb_width_20 = (row.bb_upper_20 - row.bb_lower_20) / middle
    if spread > 0.0:
        row.bb_position_20 = (close - row.bb_lower_20) / (row.bb_upper_20 - row.bb_lower_20)


@inlined
def write_stochastic(ring, place, row):
    """The close in the range of the newest minutes, and the mean of three such places. ring: (INPUTS, 2 * RECENT)."""
    first, end = place + 1 - STOCHASTIC, place + 1
    highest, lowest = extremes(ring[HIGH, first:end], ring[LOW, first:end])
    if highest > lowest:
        row.stoch_k_14 = 100.0 * (ring[CLOSE, place] - lowest) / (highest - lowest)
    write(ring[STOCH_K], place - RECENT, row.stoch_k_14)
    row.stoch_d_14 = (ring[STOCH_K, place - 2] + ring[STOCH_K, place - 1] + row.stoch_k_14) / 3.0


@kernel
def write_oscillators(members, minute, turn, ring, states, rows):
    """The family's columns of `minute`. states: OSCILLATOR_STATE (symbols, 2), the one of `turn` is of this minute."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, state = rows[s], states[s, turn[s]]
        states[s, turn[s]] = states[s, turn[s] ^ 1]
        if row.dq_status == STALE:
            continue
        close = ring[s, CLOSE, place]
        if close == close:
            step(state, minute, close)
            write_recursive(state, row)
        write_bands(ring[s, CLOSE, place + 1 - BAND : place + 1], close, row)
        write_stochastic(ring[s], place, row)


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the oscillators of `minute`, whose inputs are in the ring, and the state through it."""
    own = state.features
    write_oscillators(members, minute, own.turn, own.ring, own.oscillators, state.bars.rows)
