"""The book in force: time-weighted imbalance and depth of its best levels."""

from __future__ import annotations

from engine.bars.quotes import effect_ns
from engine.core.frame import ROLE_QUOTE
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_QUOTES
from engine.core.minutes import NS_PER_MINUTE


@inlined
def begin_depths(total, minute):
    """Make a slot clean."""
    total.minute = minute
    total.books = total.book_ns = 0
    total.imbalance5_ns = total.imbalance20_ns = total.depth20_ns = 0.0


@inlined
def integrate_depth(total, now, until_ns):
    """Carry the book in force, within one minute, from where it stands to `until_ns`."""
    duration = until_ns - now.at_ns
    if duration > 0 and now.valid:
        total.book_ns += duration
        total.imbalance5_ns += now.bid5 / (now.bid5 + now.ask5) * duration
        total.imbalance20_ns += now.bid20 / (now.bid20 + now.ask20) * duration
        total.depth20_ns += float(now.bid20 + now.ask20) * duration
    now.at_ns = until_ns


@inlined
def finish_depth(sums, now):
    """Take the book to the end of its minute and begin the next one."""
    integrate_depth(sums[now.minute & 3], now, (now.minute + 1) * NS_PER_MINUTE)
    now.minute += 1
    begin_depths(sums[now.minute & 3], now.minute)


@kernel
def fold_depths(clock, ticks, symbols, venues, sums, depth_now):
    """Fold the waiting ticks that carry a book into `sums`, DEPTH_SUM (symbols, SLOTS), and let go of all ticks."""
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
            begin_depths(sums[s, now.minute & 3], now.minute)
        while time_ns >= (now.minute + 1) * NS_PER_MINUTE:
            finish_depth(sums[s], now)
        total = sums[s, now.minute & 3]
        integrate_depth(total, now, time_ns)
        total.books += tick.updates
        now.valid = tick.valid
        now.bid5, now.ask5, now.bid20, now.ask20 = tick.bid5, tick.ask5, tick.bid20, tick.ask20
    clock[CLOCK_QUOTES] = 0


@kernel
def close_depths(members, minute, sums, depth_now):
    """Take every symbol of `members` whose book still stands in `minute` or before to the end of it."""
    for i in range(members.shape[0]):
        s = members[i]
        now = depth_now[s]
        while 0 <= now.minute <= minute:
            finish_depth(sums[s], now)
