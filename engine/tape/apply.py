"""Apply the frame in hand: to the books, to the tick buffers, to its connection's watermark."""

from __future__ import annotations

import numpy as np

from engine.core.frame import (
    ASK, ASK_QUANTITY, ASKS, BID, BID_QUANTITY, BIDS, CORE_BOOK, CORE_QUOTE, CORE_TRADE, COUNTED, DUPLICATE, EVENT_MS,
    FIRST_ID, IN_NO_CANDLE, KIND, KIND_DIFF, KIND_LEVELS, KIND_QUOTE, KIND_SNAPSHOT, KIND_TRADES, LAST_ID,
    NOT_BELIEVED, NOT_IN_CANDLES, PREVIOUS_ID, ROLE_BOOK, ROLE_BOTH, ROLE_QUOTE, SYMBOL, TRADES, TRANSACTION_MS,
)  # fmt: skip
from engine.core.kernel import inlined, kernel
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import Reason
from engine.core.state import (
    CLOCK_PENDING, CLOCK_PENDING_LEVELS, CLOCK_QUOTES, CLOCK_TRADES, TOP_LEVELS,
)  # fmt: skip
from engine.core.words import mix, shift_right
from engine.tape.book import clear, read_top, set_levels
from engine.tape.seen import seen_before
from engine.tape.watermark import believed, corrected, hear

APPLIED, IGNORED, BOOK_BROKEN, BOOK_MENDED = range(4)
BOOK_GAP = int(Reason.BOOK_GAP)


@inlined
def stir(venue, first, second, third):
    """Fold three words into the venue's running digest; a change of any single one changes it."""
    venue.mix = mix(venue.mix ^ shift_right(venue.mix, 29), first) + mix(second, 0) + shift_right(mix(third, 1), 1) + third


@inlined
def apply_trades(tape, channel, connection, recv_ns):
    clock = tape.clock
    for i in range(tape.frame[TRADES]):
        fresh = tape.fresh[i]
        symbol = tape.symbols[fresh.symbol]
        if symbol.trade_channel != channel:
            return IGNORED
        tick = tape.trade_ticks[clock[CLOCK_TRADES]]
        clock[CLOCK_TRADES] += 1
        tick.symbol = fresh.symbol
        tick.event_ns = fresh.event_ns
        tick.price = fresh.price
        tick.quantity = fresh.quantity
        tick.buy = fresh.buy
        tick.count = fresh.count
        symbol.arrivals += 1
        tick.order = symbol.arrivals if symbol.arrival_order else fresh.order
        if not believed(tape, connection, recv_ns, fresh.event_ns):
            tick.flag = NOT_BELIEVED
            connection.future += 1
        else:
            hear(tape, connection, recv_ns, fresh.event_ns, CORE_TRADE)
            if seen_before(symbol, tape.seen_ids[fresh.symbol], fresh.order):
                tick.flag = DUPLICATE
            else:
                tick.flag = IN_NO_CANDLE if fresh.flag == NOT_IN_CANDLES else COUNTED
        stir(
            tape.venues[symbol.venue],
            tick.event_ns ^ (tick.symbol << 4) ^ tick.flag,
            mix(tick.price, 2 * tick.order),
            mix(tick.quantity, 4 * tick.count + tick.buy),
        )
    return APPLIED


@inlined
def event_time(tape, connection, recv_ns, core):
    """Event time of the frame in hand, or -1 if it is not believed; a frame without one gets corrected receive time."""
    time_ms = tape.frame[TRANSACTION_MS] if tape.frame[TRANSACTION_MS] >= 0 else tape.frame[EVENT_MS]
    if time_ms < 0:
        return corrected(connection, recv_ns)
    event_ns = time_ms * NS_PER_MS
    if not believed(tape, connection, recv_ns, event_ns):
        connection.future += 1
        return np.int64(-1)
    hear(tape, connection, recv_ns, event_ns, core)
    return event_ns


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
def apply_quote(tape, channel, connection, recv_ns):
    frame = tape.frame
    s = frame[SYMBOL]
    symbol = tape.symbols[s]
    if symbol.quote_channel != channel:
        return IGNORED
    event_ns = event_time(tape, connection, recv_ns, CORE_QUOTE)
    if event_ns < 0:
        return IGNORED
    tick = tape.quote_ticks[tape.clock[CLOCK_QUOTES]]
    tape.clock[CLOCK_QUOTES] += 1
    bid, bid_quantity, ask, ask_quantity = frame[BID], frame[BID_QUANTITY], frame[ASK], frame[ASK_QUANTITY]
    tick.symbol = s
    tick.role = ROLE_QUOTE
    tick.event_ns = event_ns
    tick.valid = 1 if bid > 0 and ask > 0 and bid_quantity > 0 and ask_quantity > 0 and bid <= ask else 0
    tick.bid = bid
    tick.bid_quantity = bid_quantity
    tick.ask = ask
    tick.ask_quantity = ask_quantity
    symbol.newest_book_ns = max(symbol.newest_book_ns, event_ns)
    if symbol.book_is_diff and frame[LAST_ID] >= 0:
        book = tape.books[s]
        book.quote_id = frame[LAST_ID]
        book.quote[0] = bid
        book.quote[1] = bid_quantity
        book.quote[2] = ask
        book.quote[3] = ask_quantity
        if book.synced and book.last_id == book.quote_id:
            compare_with_quote(book, tape.top_price[s], tape.top_quantity[s])
    stir(tape.venues[symbol.venue], event_ns ^ s, mix(bid, 2 * ask), mix(bid_quantity, 2 * ask_quantity))
    return APPLIED


@inlined
def set_side(tape, s, side, prices, quantities, first, count):
    set_levels(
        tape.books[s], side, prices, quantities, first, count,
        tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side],
    )  # fmt: skip


@inlined
def emit_book(tape, s, event_ns, in_step):
    """One book tick from the best levels; True unless a side of a book in step is empty."""
    symbol, book = tape.symbols[s], tape.books[s]
    tick = tape.quote_ticks[tape.clock[CLOCK_QUOTES]]
    tape.clock[CLOCK_QUOTES] += 1
    tick.symbol = s
    tick.role = ROLE_BOOK if symbol.quote_channel >= 0 else ROLE_BOTH
    tick.event_ns = event_ns
    prices, quantities = tape.top_price[s], tape.top_quantity[s]
    if symbol.book_is_diff:
        bids, tick.bid5, tick.bid20 = read_top(
            book, 0, tape.book_quantity[s, 0], tape.book_bits[s, 0], tape.spill_key[s, 0], tape.spill_quantity[s, 0],
            prices[0], quantities[0],
        )  # fmt: skip
        asks, tick.ask5, tick.ask20 = read_top(
            book, 1, tape.book_quantity[s, 1], tape.book_bits[s, 1], tape.spill_key[s, 1], tape.spill_quantity[s, 1],
            prices[1], quantities[1],
        )  # fmt: skip
        if in_step and book.quote_id == book.last_id:
            compare_with_quote(book, prices, quantities)
    else:
        tick.bid5 = tick.bid20 = tick.ask5 = tick.ask20 = np.int64(0)
        for i in range(TOP_LEVELS):
            tick.bid20 += quantities[0, i]
            tick.ask20 += quantities[1, i]
            if i == 4:
                tick.bid5 = tick.bid20
                tick.ask5 = tick.ask20
    tick.bid = prices[0, 0]
    tick.bid_quantity = quantities[0, 0]
    tick.ask = prices[1, 0]
    tick.ask_quantity = quantities[1, 0]
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
    """Keep a diff until its snapshot comes. When the pool is full the diff is lost, and its snapshot will not fit on."""
    clock, frame = tape.clock, tape.frame
    line, offset = clock[CLOCK_PENDING], clock[CLOCK_PENDING_LEVELS]
    bids, asks = frame[BIDS], frame[ASKS]
    if line == tape.pending.shape[0] or offset + bids + asks > tape.pending_price.shape[0]:
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
        tape.pending_price[offset + i] = tape.level_price[0, i]
        tape.pending_quantity[offset + i] = tape.level_quantity[0, i]
    for i in range(asks):
        tape.pending_price[offset + bids + i] = tape.level_price[1, i]
        tape.pending_quantity[offset + bids + i] = tape.level_quantity[1, i]
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
    book.broken = 1
    book.gaps += 1
    set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, BOOK_GAP)


@inlined
def apply_diff(tape, channel, connection, recv_ns):
    frame = tape.frame
    s = frame[SYMBOL]
    symbol, book = tape.symbols[s], tape.books[s]
    if symbol.book_channel != channel:
        return IGNORED
    event_ns = event_time(tape, connection, recv_ns, CORE_BOOK)
    if event_ns < 0:
        event_ns = corrected(connection, recv_ns)  # a diff may not be left out, whatever its time says
    symbol.newest_book_ns = max(symbol.newest_book_ns, event_ns)
    if not book.synced:
        keep_pending(tape, s, event_ns)
        return APPLIED
    order = follows(symbol, book, frame[FIRST_ID], frame[LAST_ID], frame[PREVIOUS_ID])
    if order == OLD:
        return APPLIED
    if order == GAP:
        break_book(tape, s, event_ns)
        keep_pending(tape, s, event_ns)
        emit_book(tape, s, event_ns, False)
        return BOOK_BROKEN
    book.chained = 1
    book.last_id = frame[LAST_ID]
    set_side(tape, s, 0, tape.level_price[0], tape.level_quantity[0], 0, frame[BIDS])
    set_side(tape, s, 1, tape.level_price[1], tape.level_quantity[1], 0, frame[ASKS])
    if not emit_book(tape, s, event_ns, True):
        break_book(tape, s, event_ns)
        return BOOK_BROKEN
    return APPLIED


@inlined
def apply_levels(tape, channel, connection, recv_ns):
    """A message that is the whole visible book."""
    frame = tape.frame
    s = frame[SYMBOL]
    symbol, book = tape.symbols[s], tape.books[s]
    if symbol.book_channel != channel:
        return IGNORED
    event_ns = event_time(tape, connection, recv_ns, CORE_BOOK)
    if event_ns < 0:
        return IGNORED
    symbol.newest_book_ns = max(symbol.newest_book_ns, event_ns)
    book.synced = 1
    book.broken = 0
    for side in range(2):
        count = frame[BIDS + side]
        for i in range(TOP_LEVELS):
            tape.top_price[s, side, i] = tape.level_price[side, i] if i < count else 0
            tape.top_quantity[s, side, i] = tape.level_quantity[side, i] if i < count else 0
    emit_book(tape, s, event_ns, True)
    return APPLIED


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


@inlined
def apply_snapshot(tape, connection, recv_ns):
    """A REST snapshot: the book begins anew from it, then takes the diffs that were kept."""
    frame = tape.frame
    s = frame[SYMBOL]
    symbol, book = tape.symbols[s], tape.books[s]
    if not symbol.book_is_diff:
        return IGNORED
    if book.synced and frame[LAST_ID] <= book.last_id:
        return APPLIED
    event_ns = corrected(connection, recv_ns)
    for side in range(2):
        best = tape.level_price[side, 0]
        clear(
            book, side, best if side == 0 else -best,
            tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side],
        )  # fmt: skip
        set_side(tape, s, side, tape.level_price[side], tape.level_quantity[side], 0, frame[BIDS + side])
    book.synced = 1
    book.chained = 0
    book.last_id = frame[LAST_ID]
    outcome = BOOK_MENDED
    for line in range(tape.clock[CLOCK_PENDING]):
        row = tape.pending[line]
        if row.symbol != s:
            continue
        order = follows(symbol, book, row.first_id, row.last_id, row.previous_id)
        if order == GAP:
            outcome = BOOK_BROKEN
            break
        if order == NEXT:
            book.chained = 1
            book.last_id = row.last_id
            set_side(tape, s, 0, tape.pending_price, tape.pending_quantity, row.offset, row.bids)
            set_side(tape, s, 1, tape.pending_price, tape.pending_quantity, row.offset + row.bids, row.asks)
    if outcome == BOOK_BROKEN:
        break_book(tape, s, event_ns)
        emit_book(tape, s, event_ns, False)
        return outcome
    compact_pending(tape, s)
    if book.broken:
        set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, BOOK_GAP)
        book.broken = 0
    if not emit_book(tape, s, event_ns, True):
        break_book(tape, s, event_ns)
        return BOOK_BROKEN
    return outcome


@inlined
def apply_frame(tape, channel, connection, recv_ns):
    """Apply the frame in hand, by its kind."""
    kind = tape.frame[KIND]
    if kind == KIND_QUOTE:
        return apply_quote(tape, channel, connection, recv_ns)
    if kind == KIND_TRADES:
        return apply_trades(tape, channel, connection, recv_ns)
    if kind == KIND_DIFF:
        return apply_diff(tape, channel, connection, recv_ns)
    if kind == KIND_LEVELS:
        return apply_levels(tape, channel, connection, recv_ns)
    if kind == KIND_SNAPSHOT:
        return apply_snapshot(tape, connection, recv_ns)
    return IGNORED


@kernel
def apply_slowly(tape, channel, c, recv_ns):
    """Apply a frame that the slow path decoded."""
    return apply_frame(tape, channel, tape.connections[c], recv_ns)
