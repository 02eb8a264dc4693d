"""Trades to sums. Nothing here depends on the order of arrival: sums are integers, first and last go by venue order."""

from __future__ import annotations

from engine.core.frame import COUNTED, DUPLICATE, NOT_BELIEVED, WORTH_NOTHING
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_LEDGER, CLOCK_TRADES, MINUTES_AHEAD
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import Reason
from engine.core.wide import add_product

REJECTED, OVERFLOW = int(Reason.REJECTED), int(Reason.OVERFLOW)
VOLUME_MAX = INT_MAX = 2**63 - 1
INT_MIN = -(2**63)


@inlined
def begin_trades(total, minute):
    """Make a slot clean for a minute: every price and every time is beyond the extremes it begins with."""
    total.minute = minute
    total.messages = total.trades = 0
    total.open = total.close = 0
    total.open_ns = total.open_order = INT_MAX
    total.close_ns = total.close_order = INT_MIN
    total.high, total.low = INT_MIN, INT_MAX
    total.base = total.buy_base = 0
    total.quote_hi = total.quote_lo = total.buy_quote_hi = total.buy_quote_lo = 0
    total.square_hi = total.square_lo = 0
    total.size_max = 0
    total.received = total.late_merged = total.duplicate = total.rejected = 0
    total.ids = total.hole = 0
    total.first_id, total.last_id = INT_MAX, INT_MIN


@inlined
def add_trade(total, tick):
    """One counted trade into its minute."""
    price, quantity, event_ns, order = tick.price, tick.quantity, tick.event_ns, tick.order
    total.messages += 1
    total.trades += tick.count
    total.high = max(total.high, price)
    total.low = min(total.low, price)
    total.size_max = max(total.size_max, quantity)
    if event_ns < total.open_ns or (event_ns == total.open_ns and order < total.open_order):
        total.open, total.open_ns, total.open_order = price, event_ns, order
    if event_ns > total.close_ns or (event_ns == total.close_ns and order > total.close_order):
        total.close, total.close_ns, total.close_order = price, event_ns, order
    total.base += quantity
    total.quote_hi, total.quote_lo = add_product(total.quote_hi, total.quote_lo, price, quantity)
    total.square_hi, total.square_lo = add_product(total.square_hi, total.square_lo, quantity, quantity)
    # A factor of 0 or 1 and no branch: which side took is a coin toss that no processor foresees.
    bought = quantity * tick.buy
    total.buy_base += bought
    total.buy_quote_hi, total.buy_quote_lo = add_product(total.buy_quote_hi, total.buy_quote_lo, price, bought)


@inlined
def enter_id(total, tick):
    """One more id of a minute, where ids count."""
    total.ids += 1
    total.first_id = min(total.first_id, tick.order)
    if tick.order > total.last_id:
        total.last_id, total.last_id_ns = tick.order, tick.event_ns


@inlined
def enter_id_apart(sums, minute, opened, tick):
    """The id of a trade that is accounted for in another minute than its own, or in none, if its own is held."""
    total = sums[minute & 3]
    if opened <= minute <= opened + MINUTES_AHEAD and total.minute < minute:
        begin_trades(total, minute)
    if total.minute == minute:
        enter_id(total, tick)


@inlined
def enter_late(ledger, clock, marks, symbol, minute, opened):
    """Count a trade that came after grace: one line per symbol and minute. What a full ledger cannot take is marked."""
    line = clock[CLOCK_LEDGER]
    for i in range(line - 1, -1, -1):
        if ledger[i].symbol == symbol and ledger[i].minute == minute:
            ledger[i].count += 1
            return
    if line == ledger.shape[0]:
        set_mark(marks, symbol, opened, OVERFLOW)
        return
    row = ledger[line]
    row.symbol = symbol
    row.minute = minute
    row.count = 1
    clock[CLOCK_LEDGER] = line + 1


@kernel
def fold_trades(clock, ticks, symbols, venues, marks, sums, ledger):
    """Fold the waiting trade ticks into `sums`, TRADE_SUM (symbols, SLOTS)."""
    for i in range(clock[CLOCK_TRADES]):
        tick = ticks[i]
        s = tick.symbol
        symbol = symbols[s]
        venue = venues[symbol.venue]
        opened = minute = venue.open_minute
        apart = False
        numbered = symbol.ids_count != 0 and tick.flag != DUPLICATE and tick.flag != NOT_BELIEVED
        counted, late = tick.flag == COUNTED, False
        begin_ns = opened * NS_PER_MINUTE
        if tick.event_ns < begin_ns or tick.event_ns >= begin_ns + NS_PER_MINUTE:
            minute = tick.event_ns // NS_PER_MINUTE
            late, beyond = minute < opened, minute > opened + MINUTES_AHEAD
            if not counted:
                # What is not counted is accounted for where it was seen, unless its minute is still to be closed.
                if late or beyond or tick.flag in (NOT_BELIEVED, WORTH_NOTHING):
                    minute, apart = opened, True
            elif late and not (minute == opened - 1 and venue.grace_open):
                enter_late(ledger, clock, marks, s, minute, opened)
                if numbered:
                    enter_id_apart(sums[s], minute, opened, tick)
                continue
            elif beyond:
                set_mark(marks, s, opened, OVERFLOW)
                minute, counted, apart = opened, False, True
        if numbered and apart:
            enter_id_apart(sums[s], tick.event_ns // NS_PER_MINUTE, opened, tick)
        total = sums[s, minute & 3]
        if total.minute != minute:
            begin_trades(total, minute)
        total.received += 1
        if numbered and not apart:
            enter_id(total, tick)
        if counted and tick.quantity <= VOLUME_MAX - total.base:
            add_trade(total, tick)
            if late:
                total.late_merged += 1
        elif tick.flag == DUPLICATE:
            total.duplicate += 1
        else:
            total.rejected += 1
            if counted:
                set_mark(marks, s, minute, OVERFLOW)
            elif tick.flag in (NOT_BELIEVED, WORTH_NOTHING):
                set_mark(marks, s, opened, REJECTED)
    clock[CLOCK_TRADES] = 0
