"""Apply the frame in hand: to the books, to the tick buffers, to its connection's watermark."""

from __future__ import annotations

import numpy as np

from engine.core.frame import (
    ASK,
    ASK_QUANTITY,
    BID,
    BID_QUANTITY,
    CHANNEL,
    CORE_BOOK,
    CORE_QUOTE,
    EVENT_MS,
    FORCED_BUY,
    FORCED_SELL,
    FUNDING,
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
    NOT_FORCED,
    QUANTITY,
    ROLE_QUOTE,
    SYMBOL,
    TAKER_BUY,
    TRANSACTION_MS,
)  # fmt: skip
from engine.core.kernel import inlined
from engine.core.layouts import (
    CLOCK_CONTEXTS,
    CLOCK_QUOTES,
)
from engine.core.minutes import NS_PER_MS
from engine.core.schema import NULL
from engine.core.words import mix
from engine.tape.depths import break_book, compare_with_quote, emit_book, may_stand, note_spill, take_diff, take_levels
from engine.tape.outcome import APPLIED, BOOK_BROKEN, IGNORED, stir
from engine.tape.plausible import believe_mid, told_before
from engine.tape.trades import apply_trades
from engine.tape.watermark import begin, believed, clock_offset, corrected, hear


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
