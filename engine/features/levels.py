"""Levels: swings, the prices where they crowd, what a minute did there; extremes of the day and the week before."""

from __future__ import annotations

import numpy as np

from engine.core.averages import extremes
from engine.core.feature_state import CLOSE, HIGH, LOW, MID, RECENT
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, Status
from engine.core.state import EngineState

STALE = int(Status.STALE)
SWING_BEFORE, SWING_AFTER = 3, 2  # minutes beside a swing that must not be beyond it
LEVEL_MINUTES = 240  # swings of which levels are made
TOUCHES_MIN = 3
CHANNEL = 60  # minutes before this one whose extremes are broken
MINUTES_PER_DAY = 1_440
PERIOD_MINUTES_MIN = (1_008, 7_056)  # of a day and a week: 70 %
DAYS = (1, 7)


# --- swings ----------------------------------------------------------------------------------------------------------


@inlined
def swing(prices, place, sign):
    """The price two minutes before `place` if it is a swing known now, else NaN. sign: 1 highs, -1 lows."""
    at = place - SWING_AFTER
    price = sign * prices[at]
    for p in range(at - SWING_BEFORE, at):
        if not price > sign * prices[p]:  # also where one is missing
            return np.nan
    for p in range(at + 1, place + 1):
        if not price >= sign * prices[p]:
            return np.nan
    return prices[at]


@inlined
def drop_old(state, minute):
    """Let go of swings that are too old for a level; the others stay in order."""
    kept = 0
    for k in range(state.swings):
        if state.swing_minute[k] > minute - LEVEL_MINUTES:
            state.swing_price[kept], state.swing_minute[kept] = state.swing_price[k], state.swing_minute[k]
            kept += 1
    state.swings = kept


@inlined
def insert(state, price, minute):
    """Put a swing among the others by its price."""
    k = state.swings
    while k > 0 and state.swing_price[k - 1] > price:
        state.swing_price[k], state.swing_minute[k] = state.swing_price[k - 1], state.swing_minute[k - 1]
        k -= 1
    state.swing_price[k], state.swing_minute[k] = price, minute
    state.swings += 1


@inlined
def find_swings(ring, place, minute, state):
    """Take in the swing that this minute makes known: at most one high and one low. ring: (INPUTS, 2 * RECENT)."""
    drop_old(state, minute)
    high, low = swing(ring[HIGH], place, 1.0), swing(ring[LOW], place, -1.0)
    if high == high:
        state.high, state.high_minute = high, minute - SWING_AFTER
        insert(state, high, minute - SWING_AFTER)
    if low == low:
        state.low, state.low_minute = low, minute - SWING_AFTER
        insert(state, low, minute - SWING_AFTER)


@inlined
def write_swings(state, minute, row):
    """The newest swing of each kind, while it is remembered."""
    if state.high_minute > minute - RECENT:
        row.swing_high, row.swing_high_age = state.high, float(minute - state.high_minute)
    if state.low_minute > minute - RECENT:
        row.swing_low, row.swing_low_age = state.low, float(minute - state.low_minute)


# --- levels ----------------------------------------------------------------------------------------------------------


@inlined
def write_levels(state, close, row):
    """The nearest level above the close, the nearest at or below it, and which is nearer (ties: the lower)."""
    first = 0
    while first < state.swings:
        end, total = first, 0.0
        while end < state.swings and state.swing_price[end] <= state.swing_price[first] + row.atr_14:
            total += state.swing_price[end]
            end += 1
        touches = end - first
        first = end
        if touches < TOUCHES_MIN:
            continue
        price = total / touches
        if price > close:
            row.level_above, row.level_above_touches = price, float(touches)
            break
        row.level_below, row.level_below_touches = price, float(touches)
    is_above = row.level_above - close < close - row.level_below or row.level_below != row.level_below
    state.nearest = row.level_above if is_above else row.level_below
    state.nearest_touches = 0
    if state.nearest == state.nearest:
        state.nearest_touches = int(row.level_above_touches if is_above else row.level_below_touches)


@inlined
def write_breaks(ring, place, row):
    """Whether the close is beyond the extremes of the hour before; nothing where they are null."""
    close = ring[CLOSE, place]
    highest, lowest = extremes(ring[HIGH, place - CHANNEL : place], ring[LOW, place - CHANNEL : place])
    if highest == highest:
        row.is_breakout, row.is_breakbelow = int(close > highest), int(close < lowest)


@inlined
def write_events(ring, place, level, touches, width, row):
    """What this minute did at `level`, the one that was nearest a minute ago; NaN: there was none.

    touches: its swing prices; width: atr_14 of a minute ago.
    """
    high, low, close, before = ring[HIGH, place], ring[LOW, place], ring[CLOSE, place], ring[CLOSE, place - 1]
    bounce = low < level and level < close and before > level  # nothing holds of a level that is NaN
    reclaim = before < level and level < close
    failed = before > level and level > close
    row.is_bounce, row.is_reclaim, row.is_failed = int(bounce), int(reclaim), int(failed)
    row.is_held = int(abs(low - level) <= width and close > level and before > level and not bounce)
    amount, zone = 0.0, 0.0
    if level == level:
        zone = touches / (touches + 3.0)
        row.event_level, row.zone_strength = level, zone
    if bounce or reclaim:
        amount = close - low
    elif failed:
        amount = high - close
    row.event_amount = amount / ring[MID, place]
    if row.is_breakout != NULL:
        row.resonance_boost = 0.3 * bounce + 0.4 * reclaim + 0.5 * row.is_breakout + 0.2 * zone


# --- the day and the week before -------------------------------------------------------------------------------------


@inlined
def take_period(state, k, period, high, low):
    """Take a bar into the extremes of its day (k = 0) or week (k = 1)."""
    if state.period[k] != period:
        is_next = state.period[k] == period - 1
        is_full = is_next and state.minutes[k] >= PERIOD_MINUTES_MIN[k]
        state.prior_highest[k] = state.highest[k] if is_full else np.nan
        state.prior_lowest[k] = state.lowest[k] if is_full else np.nan
        state.period[k], state.minutes[k] = period, 0
        state.highest[k], state.lowest[k] = -np.inf, np.inf
    if high == high:
        state.minutes[k] += 1
        state.highest[k] = max(state.highest[k], high)
        state.lowest[k] = min(state.lowest[k], low)


@inlined
def write_periods(state, minute, high, low, row):
    """Extremes of the UTC day and of the ISO week (from Monday on; day 0 was a Thursday) before that of the minute."""
    day = minute // MINUTES_PER_DAY
    take_period(state, 0, day, high, low)
    take_period(state, 1, (day + 3) // 7, high, low)
    row.prior_day_high, row.prior_day_low = state.prior_highest[0], state.prior_lowest[0]
    row.prior_week_high, row.prior_week_low = state.prior_highest[1], state.prior_lowest[1]


@kernel
def write_all(members, minute, turn, ring, states, rows):
    """The family's columns of `minute`. states: LEVEL_STATE (symbols, 2), the one of `turn` is of this minute."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, state, before = rows[s], states[s, turn[s]], states[s, turn[s] ^ 1]
        states[s, turn[s]] = before
        if row.dq_status == STALE:
            continue
        close = ring[s, CLOSE, place]
        find_swings(ring[s], place, minute, state)
        write_swings(state, minute, row)
        write_periods(state, minute, ring[s, HIGH, place], ring[s, LOW, place], row)
        if close != close:
            continue
        write_breaks(ring[s], place, row)
        was_close = ring[s, CLOSE, place - 1]
        if before.minute == minute - 1 and was_close == was_close and before.width == before.width:
            write_events(ring[s], place, before.nearest, before.nearest_touches, before.width, row)
        state.minute, state.width = minute, row.atr_14
        state.nearest, state.nearest_touches = np.nan, 0
        if row.atr_14 == row.atr_14:
            write_levels(state, close, row)


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the columns of levels and events of `minute`, whose inputs are in the ring, and the state through it."""
    own = state.features
    write_all(members, minute, own.turn, own.ring, own.levels, state.bars.rows)
