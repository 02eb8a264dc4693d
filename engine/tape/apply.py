"""Apply the frame in hand: to the books, to the tick buffers, to its connection's watermark."""

from __future__ import annotations

import numpy as np

from engine.core.frame import (
    ASK,
    ASK_QUANTITY,
    ASKS,
    BID,
    BID_QUANTITY,
    BIDS,
    CHANNEL,
    CORE_BOOK,
    CORE_QUOTE,
    CORE_TRADE,
    COUNTED,
    DUPLICATE,
    EVENT_MS,
    FIRST_ID,
    FORCED_BUY,
    FORCED_SELL,
    FUNDING,
    IN_NO_CANDLE,
    INDEX,
    INTEREST,
    KIND,
    KIND_CONTEXT,
    KIND_DIFF,
    KIND_FORCED,
    KIND_LEVELS,
    KIND_NONE,
    KIND_QUOTE,
    KIND_TRADES,
    LAST_ID,
    MARK,
    NOT_BELIEVED,
    NOT_FORCED,
    NOT_IN_CANDLES,
    PREVIOUS_ID,
    QUANTITY,
    ROLE_BOOK,
    ROLE_BOTH,
    ROLE_QUOTE,
    SYMBOL,
    TAKER_BUY,
    TRADES,
    TRANSACTION_MS,
    WORTH_NOTHING,
)  # fmt: skip
from engine.core.kernel import inlined
from engine.core.layouts import (
    BOOK_FELL,
    CLOCK_CONTEXTS,
    CLOCK_PENDING,
    CLOCK_PENDING_LEVELS,
    CLOCK_QUOTES,
    CLOCK_TRADES,
    TOP_LEVELS,
)
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import NULL, Reason
from engine.core.words import mix, shift_right
from engine.tape.book import QUANTITY_MAX, read_top, set_levels
from engine.tape.past import note_past
from engine.tape.plausible import believe_mid, judge_price, told_before
from engine.tape.seen import seen_before
from engine.tape.watermark import begin, believed, clock_offset, corrected, hear

APPLIED, IGNORED, BOOK_BROKEN, BOOK_MENDED = range(4)
BOOK_GAP, OVERFLOW = int(Reason.BOOK_GAP), int(Reason.OVERFLOW)
CROSSED_NS = 500 * NS_PER_MS  # a book kept by diffs that stays crossed for longer is out of step


@inlined
def stir(venue, first, second, third):
    """Fold three words into the venue's running digest; a change of any single one changes it."""
    venue.mix = (
        mix(venue.mix ^ shift_right(venue.mix, 29), first) + mix(second, 0) + shift_right(mix(third, 1), 1) + third
    )


@inlined
def worth(fresh):
    """Flag of a trade that is believed and new."""
    if fresh.flag == NOT_IN_CANDLES:
        return IN_NO_CANDLE
    return WORTH_NOTHING if fresh.price == 0 or fresh.quantity == 0 else COUNTED


@inlined
def copy_trade(fresh, symbol, tick):
    """A trade of the frame in hand as a tick, all but its flag."""
    tick.symbol = fresh.symbol
    tick.event_ns = fresh.event_ns
    tick.price = fresh.price
    tick.quantity = fresh.quantity
    tick.buy = fresh.buy
    tick.count = fresh.count
    symbol.arrivals += 1
    tick.order = symbol.arrivals if symbol.arrival_order else fresh.order


@inlined
def place_trade(symbol, venue, tick):
    """Note what a trade tick means for a minute that is closed already, and stir it into the digest."""
    if tick.flag not in (DUPLICATE, NOT_BELIEVED):
        if symbol.ids_count and tick.order > symbol.newest_id:
            symbol.newest_id = tick.order
        if tick.event_ns < venue.open_minute * NS_PER_MINUTE:
            if venue.grace_open and tick.event_ns >= (venue.open_minute - 1) * NS_PER_MINUTE:
                venue.dirty = 1  # even if it is not counted, its id may be one that was missing
            elif tick.flag == COUNTED:
                venue.late = 1
    stir(
        venue,
        tick.event_ns ^ (tick.symbol << 4) ^ tick.flag,
        mix(tick.price, 2 * tick.order),
        mix(tick.quantity, 4 * tick.count + tick.buy),
    )


@inlined
def apply_trades(tape, channel, connection, recv_ns):
    clock = tape.clock
    for i in range(tape.frame[TRADES]):
        fresh = tape.fresh[i]
        symbol = tape.symbols[fresh.symbol]
        if symbol.trade_channel != channel:
            return IGNORED
        venue = tape.venues[symbol.venue]
        trusted = believed(tape, connection, recv_ns, fresh.event_ns)
        if trusted:
            hear(tape, connection, recv_ns, fresh.event_ns, CORE_TRADE)
        else:
            connection.future += 1
            if venue.open_minute < 0:
                continue  # there is no minute yet that could answer for it
        tick = tape.trade_ticks[clock[CLOCK_TRADES]]
        clock[CLOCK_TRADES] += 1
        copy_trade(fresh, symbol, tick)
        if not trusted:
            tick.flag = NOT_BELIEVED
        elif seen_before(symbol, tape.seen_ids[fresh.symbol], fresh.order):
            tick.flag = DUPLICATE
        else:
            tick.flag = worth(fresh)
            judge_price(tape, fresh.symbol, tick)
        place_trade(symbol, venue, tick)
    return APPLIED


@inlined
def event_time(tape, connection, recv_ns, core):
    """Event time of the frame in hand, or -1 if it is not believed; a frame without one gets corrected receive time."""
    time_ms = tape.frame[TRANSACTION_MS] if tape.frame[TRANSACTION_MS] >= 0 else tape.frame[EVENT_MS]
    if time_ms < 0:
        time_ns = corrected(connection, recv_ns)
        if connection.first_event:
            begin(tape, connection, time_ns)
        return time_ns
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
def take_quote(tape, s, event_ns):
    """One quote tick from the best bid and offer in the frame."""
    frame, symbol = tape.frame, tape.symbols[s]
    tick = tape.quote_ticks[tape.clock[CLOCK_QUOTES]]
    tape.clock[CLOCK_QUOTES] += 1
    bid, bid_quantity, ask, ask_quantity = frame[BID], frame[BID_QUANTITY], frame[ASK], frame[ASK_QUANTITY]
    tick.symbol = s
    tick.role = ROLE_QUOTE
    tick.updates = 1
    tick.event_ns = event_ns
    tick.valid = 1 if bid > 0 and ask > 0 and bid_quantity > 0 and ask_quantity > 0 and bid <= ask else 0
    if tick.valid:
        tick.valid = believe_mid(tape, s, bid + ask, event_ns)
    tick.bid = bid
    tick.bid_quantity = bid_quantity
    tick.ask = ask
    tick.ask_quantity = ask_quantity
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


@inlined
def take_context(tape, s, recv_ns):
    """One context tick from the slow numbers, or the forced order, in the frame.

    A time later than the message was heard is not believed: it would count for a minute that nobody has seen.
    """
    frame, reals, v = tape.frame, tape.reals, tape.symbols[s].venue
    venue = tape.venues[v]
    if venue.open_minute < 0:
        return  # there is no minute yet that could take it
    offset = clock_offset(tape.venues, tape.connections, v)
    time_ns = recv_ns if offset == NULL else recv_ns - offset
    time_ms = frame[TRANSACTION_MS] if frame[TRANSACTION_MS] >= 0 else frame[EVENT_MS]
    if time_ms >= 0:
        time_ns = min(time_ns, time_ms * NS_PER_MS)
    tick = tape.context_ticks[tape.clock[CLOCK_CONTEXTS]]
    tape.clock[CLOCK_CONTEXTS] += 1
    tick.symbol = s
    tick.time_ns = time_ns
    tick.forced = NOT_FORCED
    tick.quantity = 0
    if frame[KIND] == KIND_FORCED:
        tick.forced = FORCED_BUY if frame[TAKER_BUY] else FORCED_SELL
        tick.quantity = frame[QUANTITY]
    tick.interest = reals[INTEREST]
    tick.mark = reals[MARK]
    tick.index = reals[INDEX]
    tick.funding = reals[FUNDING]
    stir(
        venue,
        time_ns ^ (s << 4) ^ tick.forced,
        mix(mix(frame[INTEREST], 1), frame[MARK]),
        mix(mix(frame[INDEX], 1), frame[FUNDING]) ^ mix(tick.quantity, 2),
    )


@inlined
def apply_frame(tape, connection, recv_ns):
    """Apply the frame in hand, by its kind; a channel that its symbol does not use is ignored."""
    frame, kind, channel = tape.frame, tape.frame[KIND], tape.frame[CHANNEL]
    if kind == KIND_TRADES:
        return apply_trades(tape, channel, connection, recv_ns)
    if kind == KIND_NONE:
        return IGNORED
    s = frame[SYMBOL]
    if kind in (KIND_CONTEXT, KIND_FORCED):
        take_context(tape, s, recv_ns)
        return APPLIED
    symbol = tape.symbols[s]
    if channel != (symbol.quote_channel if kind == KIND_QUOTE else symbol.book_channel):
        return IGNORED
    event_ns = event_time(tape, connection, recv_ns, CORE_QUOTE if kind == KIND_QUOTE else CORE_BOOK)
    if event_ns < 0:
        if kind != KIND_DIFF:
            return IGNORED
        event_ns = corrected(connection, recv_ns)  # a diff may not be left out, whatever its time says
    if kind == KIND_QUOTE:
        if told_before(frame, symbol, event_ns):
            return IGNORED
        take_quote(tape, s, event_ns)
        return APPLIED
    if kind == KIND_LEVELS and event_ns < symbol.newest_book_ns:
        return IGNORED  # a whole book that is older than the one at hand
    symbol.newest_book_ns = max(symbol.newest_book_ns, event_ns)
    in_step = True
    before = tape.books[s].spilled_over
    if kind == KIND_DIFF:
        moved, in_step = take_diff(tape, s, event_ns)
        if not moved:
            return APPLIED
    else:
        take_levels(tape, s, event_ns)
    note_spill(tape, s, event_ns, before)
    full = emit_book(tape, s, event_ns, in_step, 1 if in_step else 0)
    if symbol.book_is_diff and not (in_step and full and may_stand(tape.books[s], tape.top_price[s], event_ns)):
        break_book(tape, s, event_ns)
        return BOOK_BROKEN
    return APPLIED
