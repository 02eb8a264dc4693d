"""The book in force: time-weighted imbalance and depth of its best levels, and the path of its depth."""

from __future__ import annotations

import numpy as np

from engine.bars.quotes import effect_ns
from engine.core.depth import depth_slope, depth_top5
from engine.core.frame import ROLE_QUOTE
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_QUOTES
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S


@inlined
def begin_depths(total, minute, now):
    """Make a slot clean."""
    total.minute = minute
    total.books = total.book_ns = total.path_runs = 0
    total.imbalance5_ns = total.imbalance20_ns = total.depth20_ns = 0.0
    total.slope = np.nan
    now.path_next = 0


@inlined
def integrate_depth(total, path, now, until_ns, depth5):
    """Carry the book in force, within one minute, from where it stands to `until_ns`.

    depth5: its worth, looked at only if a second ends on the way.
    """
    start_ns = now.minute * NS_PER_MINUTE
    if start_ns + (now.path_next + 1) * NS_PER_S <= until_ns:
        now.path_next = (until_ns - start_ns) // NS_PER_S
        run = path[total.path_runs]
        run.end, run.depth5 = now.path_next, depth5 if now.valid else np.nan
        total.path_runs += 1
    duration = until_ns - now.at_ns
    if duration > 0 and now.valid:
        total.book_ns += duration
        total.imbalance5_ns += now.bid5 / (now.bid5 + now.ask5) * duration
        total.imbalance20_ns += now.bid20 / (now.bid20 + now.ask20) * duration
        total.depth20_ns += float(now.bid20 + now.ask20) * duration
    now.at_ns = until_ns


@inlined
def finish_depth(sums, paths, now, depth5, slope):
    """Take the book, which measures that, to the end of its minute and begin the next one."""
    total = sums[now.minute & 3]
    integrate_depth(total, paths[now.minute & 3], now, (now.minute + 1) * NS_PER_MINUTE, depth5)
    if now.valid:
        total.slope = slope
    now.minute += 1
    begin_depths(sums[now.minute & 3], now.minute, now)


@kernel
def fold_depths(clock, ticks, symbols, venues, sums, paths, depth_now):
    """Fold the waiting ticks that carry a book, and let go of all ticks.

    sums: DEPTH_SUM (symbols, SLOTS); paths: DEPTH_RUN (symbols, SLOTS, GRID_POINTS); depth_now: DEPTH_NOW (symbols,).
    """
    for i in range(clock[CLOCK_QUOTES]):
        tick = ticks[i]
        if tick.role == ROLE_QUOTE:
            continue
        s = tick.symbol
        now = depth_now[s]
        time_ns = effect_ns(tick.event_ns, now.at_ns, venues[symbols[s].venue].open_minute)
        if now.minute < 0:
            now.minute = time_ns // NS_PER_MINUTE
            now.at_ns = time_ns
            begin_depths(sums[s, now.minute & 3], now.minute, now)
        while time_ns >= (now.minute + 1) * NS_PER_MINUTE:
            finish_depth(sums[s], paths[s], now, tick.past_depth5, tick.past_slope)
        total = sums[s, now.minute & 3]
        integrate_depth(total, paths[s, now.minute & 3], now, time_ns, tick.past_depth5)
        total.books += tick.updates
        now.valid = tick.valid
        now.bid5, now.ask5, now.bid20, now.ask20 = tick.bid5, tick.ask5, tick.bid20, tick.ask20
    clock[CLOCK_QUOTES] = 0


@kernel
def close_depths(members, minute, symbols, prices, quantities, sums, paths, depth_now):
    """Take every symbol of `members` whose book still stands in `minute` or before to the end of it.

    prices, quantities: (symbols, 2, TOP_LEVELS), the book as the newest tick left it, which is the one that stands.
    """
    for i in range(members.shape[0]):
        s = members[i]
        now = depth_now[s]
        if not 0 <= now.minute <= minute:
            continue
        depth5, slope = np.nan, np.nan
        if now.valid:
            depth5 = depth_top5(symbols[s], prices[s], quantities[s])
            slope = depth_slope(symbols[s], prices[s], quantities[s])
        while now.minute <= minute:
            finish_depth(sums[s], paths[s], now, depth5, slope)
