"""Flow: signed volume, its sums since midnight, price impact, and the imbalance of buckets of equal volume."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.feature_state import BUCKETS, FLOW, MID, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.schema import Status
from engine.core.state import EngineState
from engine.core.wide import subtract_wide, to_float

STALE = int(Status.STALE)
MINUTES_PER_DAY, MINUTES_PER_HOUR = 1_440, 60
IMPACT_WINDOW, IMPACT_MINUTES_MIN = 15, 10
BUCKET_IN_MEAN_MINUTES = 28.8  # a fiftieth of a day
SIZE_FROM_MINUTES, SIZE_MINUTES_MIN = 240, 60
FULL = 1e-9  # a bucket with at most this part of its size free is full
LOOP_MAX = 64  # buckets that one minute fills one by one: those it filled before are alike, and forgotten


@inlined
def cvd_slope(flows, place):
    """Least-squares slope a minute of the five running sums of D; NaN if a minute is missing.

    The minutes lie -2 .. 2 from their mean, so that their squares add up to 10.
    """
    mean, level = 0.0, 0.0
    for p in range(place - 4, place + 1):
        level += flows[p]
        mean += level
    mean /= 5.0
    level, products = 0.0, 0.0
    for k in range(5):
        level += flows[place - 4 + k]
        products += (k - 2.0) * (level - mean)
    return products / 10.0


@inlined
def impact(flows, mids, volumes, place):
    """(slope of the return on D, mean of |return| / V) over the window that ends at `place`; NaN with too few."""
    pairs, flow_mean, return_mean = 0, 0.0, 0.0
    least, most = np.inf, -np.inf
    ratios, ratio_sum = 0, 0.0
    for p in range(place - IMPACT_WINDOW + 1, place + 1):
        change = mids[p] / mids[p - 1] - 1.0
        if change != change:
            continue
        if flows[p] == flows[p]:
            pairs += 1
            flow_mean += flows[p]
            return_mean += change
            least, most = min(least, flows[p]), max(most, flows[p])
        if volumes[p] > 0.0:
            ratios += 1
            ratio_sum += abs(change) / volumes[p]
    illiquidity = ratio_sum / ratios if ratios >= IMPACT_MINUTES_MIN else np.nan
    if pairs < IMPACT_MINUTES_MIN or least == most:
        return np.nan, illiquidity
    flow_mean /= pairs
    return_mean /= pairs
    products, squares = 0.0, 0.0
    for p in range(place - IMPACT_WINDOW + 1, place + 1):
        change = mids[p] / mids[p - 1] - 1.0
        if change == change and flows[p] == flows[p]:
            products += (flows[p] - flow_mean) * (change - return_mean)
            squares += (flows[p] - flow_mean) * (flows[p] - flow_mean)
    return products / squares, illiquidity


@inlined
def bucket_size(volumes, place):
    """A fiftieth of a day at the mean V of what is present of 240 minutes before; NaN with fewer than 60, or of 0."""
    present, total = 0, 0.0
    for p in range(place - SIZE_FROM_MINUTES, place):
        if volumes[p] == volumes[p]:
            present += 1
            total += volumes[p]
    return BUCKET_IN_MEAN_MINUTES * (total / present) if present >= SIZE_MINUTES_MIN and total > 0.0 else np.nan


@inlined
def pour(state, buy, sell):
    """A minute's volume into the buckets, buys and sells in equal proportion until one is full, then the next."""
    before = state.buckets
    filled = np.floor((buy + sell) / state.bucket_size) - LOOP_MAX
    if filled > 0.0:
        share = 1.0 - filled * state.bucket_size / (buy + sell)
        buy *= share
        sell *= share
    while buy + sell > 0.0:
        room = max(0.0, state.bucket_size - (state.bought + state.sold))
        share = min(1.0, room / (buy + sell))
        state.bought += share * buy
        state.sold += share * sell
        buy -= share * buy
        sell -= share * sell
        if state.bucket_size - (state.bought + state.sold) <= FULL * state.bucket_size:
            state.imbalances[state.buckets % BUCKETS] = abs(state.bought - state.sold) / (state.bought + state.sold)
            state.buckets += 1
            state.bought = state.sold = 0.0
    if state.buckets > before and state.buckets >= BUCKETS:
        total = 0.0
        for k in range(state.buckets, state.buckets + BUCKETS):
            total += state.imbalances[k % BUCKETS]
        state.vpin = total / BUCKETS


@inlined
def carry(before, state):
    """What is remembered through t-1, as a beginning for t."""
    state.day, state.hour, state.buckets = before.day, before.hour, before.buckets
    state.level, state.traded_quote, state.traded_base = before.level, before.traded_quote, before.traded_base
    state.bucket_size, state.bought, state.sold = before.bucket_size, before.bought, before.sold
    state.vpin = before.vpin
    for k in range(BUCKETS):
        state.imbalances[k] = before.imbalances[k]


@kernel
def write_flows(members, minute, units, symbols, turn, ring, states, rows):
    """The family's columns of `minute`. states: FLOW_STATE (symbols, 2), the one of `turn` is of this minute."""
    place = minute % RECENT + RECENT
    day, hour = minute // MINUTES_PER_DAY, minute // MINUTES_PER_HOUR
    for i in range(members.shape[0]):
        s = members[i]
        row, symbol, state = rows[s], symbols[s], states[s, turn[s]]
        carry(states[s, 1 - turn[s]], state)
        if row.dq_status == STALE:
            continue
        flows, volumes = ring[s, FLOW], ring[s, VOLUME]
        mid, volume, flow = ring[s, MID, place], volumes[place], flows[place]
        if state.day != day:
            state.day = day
            state.level = state.traded_quote = state.traded_base = 0.0
        state.level += flow
        if row.vwap == row.vwap:
            base = float(row.base_volume) / units[symbol.quantity_decimals]
            state.traded_quote += row.vwap * base
            state.traded_base += base
        buy_hi, buy_lo = row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo
        sell_hi, sell_lo = subtract_wide(row.quote_volume_hi, row.quote_volume_lo, buy_hi, buy_lo)
        row.taker_sell_quote_volume_hi, row.taker_sell_quote_volume_lo = sell_hi, sell_lo
        row.cvd_delta_m_1 = flow
        row.cvd_level = state.level
        row.cvd_slope_m_5 = cvd_slope(flows, place)
        if volume > 0.0:
            row.signed_flow_ratio_m_1 = flow / volume
        if row.trade_count > 0:
            row.avg_trade_quote = volume / row.trade_count
        if state.traded_base > 0.0:
            row.vwap_session = state.traded_quote / state.traded_base
            row.vwap_dev_bp = 1e4 * (mid - row.vwap_session) / row.vwap_session
        row.kyle_lambda_m_15, row.amihud_m_15 = impact(flows, ring[s, MID], volumes, place)
        if state.hour != hour:
            state.hour = hour
            size = bucket_size(volumes, place)
            if size == size:
                state.bucket_size = size
        if state.bucket_size > 0.0:
            unit = units[symbol.price_decimals + symbol.quantity_decimals]
            pour(state, to_float(buy_hi, buy_lo) / unit, to_float(sell_hi, sell_lo) / unit)
            row.vpin = state.vpin


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the flow columns of `minute`, whose inputs are in the ring, and the state through it."""
    tape, own = state.tape, state.features
    write_flows(members, minute, FLOAT_POWERS_OF_TEN, tape.symbols, own.turn, own.ring, own.flow, state.bars.rows)
