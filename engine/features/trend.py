"""Trend: averages of closes, Wilder's range and direction, and where the close stands in the hour before."""

from __future__ import annotations

import numpy as np

from engine.core.averages import begins_anew, direction, extremes, mean, movement, true_range, weighted_mean, wilder
from engine.core.feature_state import CLOSE, HIGH, HMA, HMA_RAW, LOW, RECENT
from engine.core.kernel import inlined, kernel
from engine.core.schema import Status
from engine.core.state import EngineState
from engine.features.inputs import write

STALE = int(Status.STALE)
PERIODS = (14, 21)  # of range and direction
CHANNEL = 60  # minutes before this one whose extremes are looked at


@inlined
def step(state, minute, high, low, close):
    """Take a bar into the true range and the directional movement of both periods. state: TREND_STATE."""
    if begins_anew(state.minute, minute):
        state.ranges = 0
        for k in range(len(PERIODS)):
            state.range[k] = state.up[k] = state.down[k] = state.direction[k] = 0.0
    else:
        reach = true_range(high, low, state.close)
        up, down = movement(high, low, state.high, state.low)
        state.ranges += 1
        for k in range(len(PERIODS)):
            n = PERIODS[k]
            state.range[k] = wilder(state.range[k], reach, state.ranges, n)
            state.up[k] = wilder(state.up[k], up, state.ranges, n)
            state.down[k] = wilder(state.down[k], down, state.ranges, n)
            if state.ranges >= n:
                index = direction(state.up[k], state.down[k])
                state.direction[k] = wilder(state.direction[k], index, state.ranges - n + 1, n)
    state.minute, state.high, state.low, state.close = minute, high, low, close


@inlined
def write_recursive(state, row):
    """Range and direction, where enough bars were seen."""
    if state.ranges >= PERIODS[0]:
        row.atr_14 = state.range[0]
    if state.ranges >= PERIODS[1]:
        row.atr_21 = state.range[1]
    if state.ranges >= 2 * PERIODS[0] - 1:
        row.adx_14 = state.direction[0]
    if state.ranges >= 2 * PERIODS[1] - 1:
        row.adx_21 = state.direction[1]


@inlined
def write_averages(ring, place, row):
    """Rates of change, means, Hull's average of closes. ring: (INPUTS, 2 * RECENT); place in its second half."""
    closes, end = ring[CLOSE], place + 1
    row.roc_10 = 100.0 * (closes[place] / closes[place - 10] - 1.0)
    row.roc_20 = 100.0 * (closes[place] / closes[place - 20] - 1.0)
    row.ma_50 = mean(closes[end - 50 : end])
    row.ma_200 = mean(closes[end - 200 : end])
    row.hma_raw = 2.0 * weighted_mean(closes[end - 50 : end]) - weighted_mean(closes[end - 100 : end])
    write(ring[HMA_RAW], place - RECENT, row.hma_raw)
    row.hma_100 = weighted_mean(ring[HMA_RAW, end - 10 : end])
    write(ring[HMA], place - RECENT, row.hma_100)
    row.hma_100_slope = (row.hma_100 - ring[HMA, place - 1]) / closes[place]


@inlined
def write_channel(ring, place, row):
    """The close against the extremes of the hour before; the distance beyond them in atr_14."""
    close = ring[CLOSE, place]
    highest, lowest = extremes(ring[HIGH, place - CHANNEL : place], ring[LOW, place - CHANNEL : place])
    if close != close or highest != highest:
        return
    if highest > lowest:
        row.donchian_pos_60 = (close - lowest) / (highest - lowest)
    if row.atr_14 == row.atr_14:
        row.breakout_z_60 = 0.0
        if close > highest:
            row.breakout_z_60 = (close - highest) / row.atr_14
        if close < lowest:
            row.breakout_z_60 = (close - lowest) / row.atr_14


@kernel
def write_trends(members, minute, turn, ring, states, rows):
    """The family's columns of `minute`. states: TREND_STATE (symbols, 2), the one of `turn` is of this minute."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, state = rows[s], states[s, turn[s]]
        states[s, turn[s]] = states[s, turn[s] ^ 1]
        if row.dq_status == STALE:
            continue
        close = ring[s, CLOSE, place]
        if close == close:
            step(state, minute, ring[s, HIGH, place], ring[s, LOW, place], close)
            write_recursive(state, row)
        write_averages(ring[s], place, row)
        write_channel(ring[s], place, row)


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the trend columns of `minute`, whose inputs are in the ring, and the state through it."""
    own = state.features
    write_trends(members, minute, own.turn, own.ring, own.trend, state.bars.rows)
