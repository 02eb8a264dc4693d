"""The quote in force: time-weighted spread and imbalance, order-flow imbalance, and the path of the mid."""

from __future__ import annotations

import numpy as np

from engine.core.frame import ROLE_BOOK
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_QUOTES, MINUTES_AHEAD
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.schema import NULL

INT_MAX = 2**63 - 1
HALF_WAY = 30  # points of the path up to the middle of the minute


@inlined
def extend(total, now):
    """Let the quote that comes into force count for the extremes of the minute."""
    mid, spread = now.bid + now.ask, now.ask - now.bid
    if total.mid_open == NULL:
        total.mid_open = mid
    total.mid_high = max(total.mid_high, mid)
    total.mid_low = min(total.mid_low, mid)
    total.spread_max = max(total.spread_max, spread)


@inlined
def begin_quotes(total, minute, now):
    """Make a slot clean; a quote already in force counts from the minute's start.

    NULL is the least integer, so it begins a largest value as well.
    """
    total.minute = minute
    total.quotes = total.valid_quotes = 0
    total.mid_open = total.mid_high = total.mid_close = total.spread_max = NULL
    total.mid_low = INT_MAX
    total.microprice = total.microprice_s_30 = np.nan
    total.quote_ns = total.ofi = total.path_points = total.path_runs = 0
    total.spread_ns = total.spread_bp_ns = total.imbalance1_ns = 0.0
    now.path_next = 0
    if now.valid:
        extend(total, now)


@inlined
def microprice(now):
    """Microprice of the quote in force, mantissa at price_decimals."""
    weight = now.bid_quantity + now.ask_quantity
    return (float(now.ask) * now.bid_quantity + float(now.bid) * now.ask_quantity) / weight


@inlined
def integrate(total, path, now, until_ns):
    """Carry the quote in force, within one minute, from where it stands to `until_ns`."""
    start_ns = now.minute * NS_PER_MINUTE
    if start_ns + (now.path_next + 1) * NS_PER_S <= until_ns:
        behind = (until_ns - start_ns) // NS_PER_S
        run = path[total.path_runs]
        run.end, run.mid, run.spread = behind, NULL, NULL
        total.path_runs += 1
        if now.valid:
            run.mid, run.spread = now.bid + now.ask, now.ask - now.bid
            total.path_points += behind - now.path_next
            if now.path_next < HALF_WAY <= behind:
                total.microprice_s_30 = microprice(now)
        now.path_next = behind
    duration = until_ns - now.at_ns
    if duration > 0 and now.valid:
        spread = now.ask - now.bid
        total.quote_ns += duration
        total.spread_ns += float(spread) * duration
        total.spread_bp_ns += 20_000.0 * spread / (now.bid + now.ask) * duration
        total.imbalance1_ns += now.bid_quantity / (now.bid_quantity + now.ask_quantity) * duration
    now.at_ns = until_ns


@inlined
def finish_minute(sums, paths, now):
    """Take the quote to the end of its minute, seal what holds there, and begin the next one."""
    total = sums[now.minute & 3]
    integrate(total, paths[now.minute & 3], now, (now.minute + 1) * NS_PER_MINUTE)
    if now.valid:
        total.mid_close = now.bid + now.ask
        total.microprice = microprice(now)
    now.minute += 1
    begin_quotes(sums[now.minute & 3], now.minute, now)


@inlined
def flow(now, tick):
    """Order-flow imbalance of a valid quote against the valid one before it (Cont, Kukanov & Stoikov 2014)."""
    came = (tick.bid >= now.bid) * tick.bid_quantity + (tick.ask >= now.ask) * now.ask_quantity
    went = (tick.bid <= now.bid) * now.bid_quantity + (tick.ask <= now.ask) * tick.ask_quantity
    return came - went


@inlined
def effect_ns(event_ns, at_ns, open_minute):
    """When a tick takes effect: never before the one before it, in a closed minute, or beyond the minutes held."""
    latest_ns = (open_minute + MINUTES_AHEAD + 1) * NS_PER_MINUTE - 1
    return min(max(event_ns, at_ns, open_minute * NS_PER_MINUTE), latest_ns)


@kernel
def fold_quotes(clock, ticks, symbols, venues, sums, paths, quote_now):
    """Fold the waiting ticks that carry a quote.

    sums: QUOTE_SUM (symbols, SLOTS); paths: MID_RUN (symbols, SLOTS, GRID_POINTS); quote_now: QUOTE_NOW (symbols,).
    """
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
            begin_quotes(sums[s, now.minute & 3], now.minute, now)
        while time_ns >= (now.minute + 1) * NS_PER_MINUTE:
            finish_minute(sums[s], paths[s], now)
        total = sums[s, now.minute & 3]
        integrate(total, paths[s, now.minute & 3], now, time_ns)
        total.quotes += tick.updates
        now.valid = tick.valid
        if not tick.valid:
            continue
        if now.bid_quantity > 0:
            total.ofi += flow(now, tick)
        now.bid, now.bid_quantity = tick.bid, tick.bid_quantity
        now.ask, now.ask_quantity = tick.ask, tick.ask_quantity
        extend(total, now)
        total.valid_quotes += 1


@kernel
def close_quotes(members, minute, sums, paths, quote_now):
    """Take every symbol of `members` whose quote still stands in `minute` or before to the end of it."""
    for i in range(members.shape[0]):
        s = members[i]
        now = quote_now[s]
        while 0 <= now.minute <= minute:
            finish_minute(sums[s], paths[s], now)
