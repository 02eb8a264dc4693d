"""Apply what a REST request was answered with: a book snapshot and the diffs kept for it, or slow numbers."""

from __future__ import annotations

import numpy as np

from engine.core.frame import ASKS, BIDS, LAST_ID, SYMBOL, TRADES, TRANSACTION_MS
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_PENDING, CLOCK_PENDING_LEVELS, CLOCK_TRADES, SET_FUTURE
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.tape.apply import take_context
from engine.tape.book import clear
from engine.tape.depths import BOOK_GAP, GAP, NEXT, OLD, break_book, emit_book, follows, note_spill, set_sides
from engine.tape.outcome import APPLIED, BOOK_BROKEN, BOOK_MENDED, IGNORED
from engine.tape.seen import seen_before
from engine.tape.trades import copy_trade, place_trade, worth
from engine.tape.watermark import corrected


@inlined
def compact_pending(tape, s):
    """Forget the pending diffs of `s`, and let the pool begin anew once nobody needs it."""
    clock = tape.clock
    waiting = 0
    for line in range(clock[CLOCK_PENDING]):
        if tape.pending[line].symbol == s:
            tape.pending[line].symbol = -1
        elif tape.pending[line].symbol >= 0:
            waiting += 1
    if waiting == 0:
        clock[CLOCK_PENDING] = 0
        clock[CLOCK_PENDING_LEVELS] = 0


@kernel
def apply_snapshot(tape, c, recv_ns):
    """A REST snapshot in hand: the book begins anew from it, then takes the diffs that were kept."""
    frame = tape.frame
    s = frame[SYMBOL]
    symbol, book = tape.symbols[s], tape.books[s]
    if not symbol.book_is_diff:
        return IGNORED
    if book.synced and frame[LAST_ID] <= book.last_id:
        return APPLIED
    event_ns = frame[TRANSACTION_MS] * NS_PER_MS
    if event_ns < 0 or event_ns > recv_ns + tape.settings[SET_FUTURE]:
        event_ns = corrected(tape.connections[c], recv_ns)
    before = book.spilled_over
    for side in range(2):
        best = tape.level_price[side, 0]
        clear(
            book, side, best if side == 0 else -best,
            tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side],
        )  # fmt: skip
    book.synced = 1
    book.chained = book.crossed_ns = 0
    book.last_id = frame[LAST_ID]
    in_step, applied = True, 0
    # Its own levels go first, as if they were a diff: the code that sets levels is large, and stands here once.
    prices, price_quantities = tape.level_price, tape.level_quantity
    bids_at, bids, asks_at, asks = np.int64(0), frame[BIDS], np.int64(0), frame[ASKS]
    line = np.int64(-1)
    while True:
        set_sides(tape, s, prices, price_quantities, bids_at, bids, asks_at, asks)
        order = OLD
        while order == OLD and line + 1 < tape.clock[CLOCK_PENDING]:
            line += 1
            row = tape.pending[line]
            if row.symbol == s:
                order = follows(symbol, book, row.first_id, row.last_id, row.previous_id)
        if order != NEXT:
            in_step = order != GAP
            break
        row = tape.pending[line]
        applied += 1
        book.chained = 1
        book.last_id = row.last_id
        prices, price_quantities = tape.pending_price, tape.pending_quantity
        bids_at, bids, asks_at, asks = row.offset, row.bids, row.offset + row.bids, row.asks
    if in_step:
        compact_pending(tape, s)
        if book.broken:
            set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, BOOK_GAP)
            book.broken = 0
    note_spill(tape, s, event_ns, before)
    full = emit_book(tape, s, event_ns, in_step, applied)
    if in_step and full:
        return BOOK_MENDED
    break_book(tape, s, event_ns)
    return BOOK_BROKEN


@kernel
def apply_past_trades(tape, c, recv_ns):
    """Trades in hand that REST told: those not seen yet are counted, late ones by the usual rules.

    They are old when they come, so they teach no clock, no disorder and no watermark; a trade of a minute that the
    recording cut, or so far back that its id may have been forgotten, is left out.
    """
    clock = tape.clock
    for i in range(tape.frame[TRADES]):
        fresh = tape.fresh[i]
        symbol = tape.symbols[fresh.symbol]
        venue = tape.venues[symbol.venue]
        minute = fresh.event_ns // NS_PER_MINUTE
        size = tape.seen_ids.shape[2]
        if venue.open_minute < 0 or minute <= symbol.edge_minute:
            continue
        if symbol.ids_count and fresh.order <= symbol.newest_id - (size - (size >> 2)):
            continue
        if fresh.event_ns > max(recv_ns, corrected(tape.connections[c], recv_ns)) + tape.settings[SET_FUTURE]:
            tape.connections[c].future += 1
            continue
        if seen_before(symbol, tape.seen_ids[fresh.symbol], fresh.order):
            continue
        tick = tape.trade_ticks[clock[CLOCK_TRADES]]
        clock[CLOCK_TRADES] += 1
        copy_trade(fresh, symbol, tick)
        tick.flag = worth(fresh)
        place_trade(symbol, venue, tick)


@kernel
def apply_answer(tape, recv_ns):
    """Slow numbers in hand that were asked for by REST."""
    take_context(tape, tape.frame[SYMBOL], recv_ns)
