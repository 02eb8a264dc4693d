"""Depth messages into the books: diffs in their order, whole books, and the tick that each leaves."""

from __future__ import annotations

import numpy as np

from engine.core.frame import (
    ASKS,
    BIDS,
    FIRST_ID,
    LAST_ID,
    PREVIOUS_ID,
    ROLE_BOOK,
    ROLE_BOTH,
)  # fmt: skip
from engine.core.kernel import inlined
from engine.core.layouts import (
    BOOK_FELL,
    CLOCK_PENDING,
    CLOCK_PENDING_LEVELS,
    CLOCK_QUOTES,
    TOP_LEVELS,
)
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import Reason
from engine.core.words import mix
from engine.tape.book import QUANTITY_MAX, read_top, set_levels
from engine.tape.outcome import stir
from engine.tape.past import note_past

BOOK_GAP, OVERFLOW = int(Reason.BOOK_GAP), int(Reason.OVERFLOW)
CROSSED_NS = 500 * NS_PER_MS  # a book kept by diffs that stays crossed for longer is out of step


@inlined
def compare_with_quote(book, prices, quantities):
    """At the identical update id, a rebuilt book's best prices must be the venue's own quote."""
    book.compared += 1
    if (
        prices[0, 0] != book.quote[0]
        or quantities[0, 0] != book.quote[1]
        or prices[1, 0] != book.quote[2]
        or quantities[1, 0] != book.quote[3]
    ):
        book.mismatched += 1


@inlined
def emit_book(tape, s, event_ns, in_step, updates):
    """One book tick from the best levels; True unless a side of the book is empty.

    updates: messages of the venue that were applied for it.
    """
    symbol, book = tape.symbols[s], tape.books[s]
    tick = tape.quote_ticks[tape.clock[CLOCK_QUOTES]]
    tape.clock[CLOCK_QUOTES] += 1
    tick.symbol = s
    tick.role = ROLE_BOOK if symbol.quote_channel >= 0 else ROLE_BOTH
    tick.event_ns = event_ns
    tick.updates = updates
    prices, quantities = tape.top_price[s], tape.top_quantity[s]
    if symbol.book_is_diff:
        note_past(tape, s, event_ns, tick)
    for side in range(2):
        if symbol.book_is_diff:
            sum5, sum20 = read_top(
                book, side, tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side],
                tape.spill_quantity[s, side], prices[side], quantities[side],
            )  # fmt: skip
        else:
            sum5 = sum20 = np.int64(0)
            for i in range(TOP_LEVELS):
                sum20 += quantities[side, i]
                if i < 5:
                    sum5 = sum20
        if side == 0:
            tick.bid5, tick.bid20 = sum5, sum20
        else:
            tick.ask5, tick.ask20 = sum5, sum20
    if symbol.book_is_diff and in_step and book.quote_id == book.last_id:
        compare_with_quote(book, prices, quantities)
    tick.bid = prices[0, 0]
    tick.bid_quantity = quantities[0, 0]
    tick.ask = prices[1, 0]
    tick.ask_quantity = quantities[1, 0]
    if tick.bid20 == QUANTITY_MAX or tick.ask20 == QUANTITY_MAX:
        set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, OVERFLOW)
    full = tick.bid_quantity > 0 and tick.ask_quantity > 0
    tick.valid = 1 if in_step and full and tick.bid <= tick.ask else 0
    stir(
        tape.venues[symbol.venue],
        event_ns ^ (s << 1) ^ tick.valid,
        mix(tick.bid, 2 * tick.ask) ^ mix(tick.bid_quantity, tick.bid20),
        mix(tick.ask_quantity, tick.ask20) ^ mix(tick.bid5, 2 * tick.ask5),
    )
    return full


@inlined
def keep_pending(tape, s, event_ns):
    """Keep a diff until its snapshot comes. In a full pool the diff is lost, and its snapshot will not fit on."""
    clock, frame = tape.clock, tape.frame
    line, offset = clock[CLOCK_PENDING], clock[CLOCK_PENDING_LEVELS]
    bids, asks = frame[BIDS], frame[ASKS]
    if line == tape.pending.shape[0] or offset + bids + asks > tape.pending_price.shape[1]:
        return
    row = tape.pending[line]
    row.symbol = s
    row.first_id = frame[FIRST_ID]
    row.last_id = frame[LAST_ID]
    row.previous_id = frame[PREVIOUS_ID]
    row.event_ns = event_ns
    row.bids = bids
    row.asks = asks
    row.offset = offset
    for i in range(bids):
        tape.pending_price[0, offset + i] = tape.level_price[0, i]
        tape.pending_quantity[0, offset + i] = tape.level_quantity[0, i]
    for i in range(asks):
        tape.pending_price[0, offset + bids + i] = tape.level_price[1, i]
        tape.pending_quantity[0, offset + bids + i] = tape.level_quantity[1, i]
    clock[CLOCK_PENDING] = line + 1
    clock[CLOCK_PENDING_LEVELS] = offset + bids + asks


OLD, NEXT, GAP = range(3)


@inlined
def follows(symbol, book, first_id, last_id, previous_id):
    """Whether a diff is old, the next one, or comes after a gap: the venues' sequence rules."""
    expected = book.last_id
    if symbol.spot_sequence:
        if last_id <= expected:
            return OLD
        if book.chained:
            return NEXT if first_id == expected + 1 else GAP
        return NEXT if first_id <= expected + 1 else GAP
    if last_id < expected or (book.chained and last_id == expected):
        return OLD
    if book.chained:
        return NEXT if previous_id == expected else GAP
    return NEXT if first_id <= expected else GAP


@inlined
def break_book(tape, s, event_ns):
    book = tape.books[s]
    book.synced = 0
    book.broken = BOOK_FELL
    book.gaps += 1
    set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, BOOK_GAP)


@inlined
def may_stand(book, prices, event_ns):
    """Whether a book's best prices are in order, or crossed for so short a time that the next update may mend it."""
    if prices[0, 0] <= prices[1, 0]:
        book.crossed_ns = 0
    elif book.crossed_ns == 0:
        book.crossed_ns = event_ns
    return book.crossed_ns == 0 or event_ns - book.crossed_ns <= CROSSED_NS


@inlined
def note_spill(tape, s, event_ns, before):
    """Levels that found no room were dropped: the book is not whole in this minute."""
    if tape.books[s].spilled_over > before:
        set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, OVERFLOW)


@inlined
def set_sides(tape, s, prices, price_quantities, bids_at, bids, asks_at, asks):
    """Apply absolute levels to both sides: rows [at, at + count) of a side's own row, or of one shared row."""
    for side in range(2):
        row = side if prices.shape[0] == 2 else 0
        set_levels(
            tape.books[s], side, prices[row], price_quantities[row],
            bids_at if side == 0 else asks_at, bids if side == 0 else asks,
            tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side],
        )  # fmt: skip


@inlined
def take_diff(tape, s, event_ns):
    """A diff into its book: whether the book moved, and whether it is in step afterwards."""
    frame, symbol, book = tape.frame, tape.symbols[s], tape.books[s]
    if not book.synced:
        keep_pending(tape, s, event_ns)
        return False, False
    order = follows(symbol, book, frame[FIRST_ID], frame[LAST_ID], frame[PREVIOUS_ID])
    if order == OLD:
        return False, True
    if order == GAP:
        keep_pending(tape, s, event_ns)
        return True, False
    book.chained = 1
    book.last_id = frame[LAST_ID]
    set_sides(tape, s, tape.level_price, tape.level_quantity, 0, frame[BIDS], 0, frame[ASKS])
    return True, True


@inlined
def take_levels(tape, s, event_ns):
    """A message that is the whole visible book; its tick is written next."""
    book = tape.books[s]
    note_past(tape, s, event_ns, tape.quote_ticks[tape.clock[CLOCK_QUOTES]])
    book.synced = 1
    book.broken = 0
    for side in range(2):
        count = tape.frame[BIDS + side]
        for i in range(TOP_LEVELS):
            tape.top_price[s, side, i] = tape.level_price[side, i] if i < count else 0
            tape.top_quantity[s, side, i] = tape.level_quantity[side, i] if i < count else 0
