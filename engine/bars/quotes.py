"""The quote in force: time-weighted spread and imbalance, order-flow imbalance, and the path of the mid."""

from __future__ import annotations

import numpy as np

from engine.core.frame import ROLE_BOOK
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_QUOTES, GRID_POINTS, MINUTES_AHEAD
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.schema import NULL


@inlined
def extend(total, now):
    """Let the quote that comes into force count for the extremes of the minute."""
    mid, spread = now.bid + now.ask, now.ask - now.bid
    if total.mid_open == NULL:
        total.mid_open = total.mid_high = total.mid_low = mid
        total.spread_max = spread
        return
    if mid > total.mid_high:
        total.mid_high = mid
    if mid < total.mid_low:
        total.mid_low = mid
    if spread > total.spread_max:
        total.spread_max = spread


@inlined
def begin_quotes(total, minute, now):
    """Make a slot clean; a quote already in force counts from the minute's start."""
    total.minute = minute
    total.quotes = total.valid_quotes = 0
    total.mid_open = total.mid_high = total.mid_low = total.mid_close = NULL
    total.microprice = np.nan
    total.quote_ns = total.ofi = total.path_points = 0
    total.spread_max = NULL
    total.spread_ns = total.spread_bp_ns = total.imbalance1_ns = 0.0
    for point in range(GRID_POINTS):
        total.path[point] = NULL
    if now.valid:
        extend(total, now)


@inlined
def integrate(total, now, until_ns):
    """Carry the quote in force, within one minute, from where it stands to `until_ns`."""
    start_ns = now.minute * NS_PER_MINUTE
    while now.path_next < GRID_POINTS and start_ns + (now.path_next + 1) * NS_PER_S <= until_ns:
        if now.valid:
            total.path[now.path_next] = now.bid + now.ask
            total.path_points += 1
        now.path_next += 1
    duration = until_ns - now.at_ns
    if duration > 0 and now.valid:
        spread = now.ask - now.bid
        total.quote_ns += duration
        total.spread_ns += float(spread) * duration
        total.spread_bp_ns += 20_000.0 * spread / (now.bid + now.ask) * duration
        total.imbalance1_ns += now.bid_quantity / (now.bid_quantity + now.ask_quantity) * duration
    now.at_ns = until_ns


@inlined
def finish_minute(sums, now):
    """Take the quote to the end of its minute, seal what holds there, and begin the next one."""
    total = sums[now.minute & 3]
    boundary_ns = (now.minute + 1) * NS_PER_MINUTE
    integrate(total, now, boundary_ns)
    if now.valid:
        total.mid_close = now.bid + now.ask
        weight = now.bid_quantity + now.ask_quantity
        total.microprice = (float(now.ask) * now.bid_quantity + float(now.bid) * now.ask_quantity) / weight
    now.minute += 1
    now.path_next = 0
    begin_quotes(sums[now.minute & 3], now.minute, now)


@inlined
def flow(now, tick):
    """Order-flow imbalance of one valid quote against the last one (Cont, Kukanov & Stoikov 2014)."""
    change = np.int64(0)
    if tick.bid >= now.flow_bid:
        change += tick.bid_quantity
    if tick.bid <= now.flow_bid:
        change -= now.flow_bid_quantity
    if tick.ask <= now.flow_ask:
        change -= tick.ask_quantity
    if tick.ask >= now.flow_ask:
        change += now.flow_ask_quantity
    return change


@inlined
def effect_ns(event_ns, at_ns, open_minute):
    """When a tick takes effect: never before the one before it, in a closed minute, or beyond the minutes held."""
    latest_ns = (open_minute + MINUTES_AHEAD + 1) * NS_PER_MINUTE - 1
    return min(max(event_ns, at_ns, open_minute * NS_PER_MINUTE), latest_ns)


@kernel
def fold_quotes(clock, ticks, symbols, venues, sums, quote_now):
    """Fold the waiting ticks that carry a quote into `sums`, QUOTE_SUM (symbols, SLOTS)."""
    for i in range(clock[CLOCK_QUOTES]):
        tick = ticks[i]
        if tick.role == ROLE_BOOK:
            continue
        s = tick.symbol
        now = quote_now[s]
        time_ns = effect_ns(tick.event_ns, now.at_ns, venues[symbols[s].venue].open_minute)
        if now.minute < 0:
            now.minute = time_ns // NS_PER_MINUTE
            now.at_ns = time_ns
            now.path_next = (time_ns - now.minute * NS_PER_MINUTE - 1) // NS_PER_S
            begin_quotes(sums[s, now.minute & 3], now.minute, now)
        while time_ns >= (now.minute + 1) * NS_PER_MINUTE:
            finish_minute(sums[s], now)
        total = sums[s, now.minute & 3]
        integrate(total, now, time_ns)
        total.quotes += tick.updates
        now.valid = tick.valid
        if not tick.valid:
            continue
        now.bid, now.bid_quantity = tick.bid, tick.bid_quantity
        now.ask, now.ask_quantity = tick.ask, tick.ask_quantity
        extend(total, now)
        total.valid_quotes += 1
        if now.flow_known:
            total.ofi += flow(now, tick)
        now.flow_known = 1
        now.flow_bid, now.flow_bid_quantity = tick.bid, tick.bid_quantity
        now.flow_ask, now.flow_ask_quantity = tick.ask, tick.ask_quantity


@kernel
def close_quotes(members, minute, sums, quote_now):
    """Take every symbol of `members` whose quote still stands in `minute` or before to the end of it."""
    for i in range(members.shape[0]):
        s = members[i]
        now = quote_now[s]
        while 0 <= now.minute <= minute:
            finish_minute(sums[s], now)
