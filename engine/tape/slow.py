"""The strict slow path: what no template knows is read with orjson and applied by the same kernel.

Most of what comes here is rare (mark prices, candles, acknowledgements) or is the first sign that a venue changed its
frames; every reading is counted per connection, so that `fallbacks` shows the second case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.core import frame as slot
from engine.core.candle import VenueCandle
from engine.core.effects import Effect, Event
from engine.core.instruments import Instrument
from engine.core.layouts import CLOCK_RECV, CLOCK_SEQ, CLOCK_TICKED
from engine.core.marks import set_mark
from engine.core.records import Record
from engine.core.registry import Registry
from engine.core.schema import Reason
from engine.core.state import Tape
from engine.tape.apply import BOOK_BROKEN, apply_slowly, apply_snapshot
from engine.tape.dialect import Dialect
from engine.tape.message import (
    Candle,
    Context,
    Diff,
    Ignored,
    Levels,
    Liquidation,
    MalformedError,
    Message,
    Quote,
    Snapshot,
    Trade,
    mantissa,
)  # fmt: skip
from engine.tape.venues import VENUES

ContextMessage = Context | Liquidation | Candle


def read_frame(
    tape: Tape, registry: Registry, record: Record
) -> tuple[list[Effect], list[tuple[int, int, ContextMessage]], bool]:
    """Read one frame the scanner gave up on.

    Returns effects, context messages as (symbol, receive time on the venue's clock, message), and whether a book broke.
    """
    tape.clock[[CLOCK_SEQ, CLOCK_TICKED, CLOCK_RECV]] = record.seq, 0, record.recv_ns
    source = record.source
    if source >= len(tape.connections) or tape.connections[source]["venue"] < 0:
        return [_event(record, "unknown_connection", "", {"connection": source})], [], False
    connection = tape.connections[source]
    connection["frames"] += 1
    connection["last_recv_ns"] = record.recv_ns
    venue = int(connection["venue"])
    dialect = VENUES[tape.venues[venue]["dialect"]]
    try:
        channel, messages = dialect.decode(record.payload)
        context, broke = _apply(tape, registry, dialect, source, record, channel, messages)
    except MalformedError as error:
        return [_malformed(tape, registry, venue, source, record, error)], [], False
    connection["ignored" if all(isinstance(m, Ignored) for m in messages) else "fallbacks"] += 1
    return [], context, broke


def read_answer(
    tape: Tape, registry: Registry, record: Record, dialect: Dialect, request: str, symbol: str, body: bytes
) -> tuple[list[Effect], list[tuple[int, int, ContextMessage]], bool]:
    """Read the answer to a REST request; returns as `read_frame`."""
    try:
        messages = dialect.decode_rest(request, symbol, body)
        context, broke = _apply(tape, registry, dialect, record.source, record, request, messages)
    except MalformedError as error:
        return (
            [_event(record, "malformed_answer", dialect.venue, {"request": request, "reason": error.reason})],
            [],
            False,
        )
    return [], context, broke


def _apply(
    tape: Tape,
    registry: Registry,
    dialect: Dialect,
    source: int,
    record: Record,
    channel: str,
    messages: Sequence[Message],
) -> tuple[list[tuple[int, int, ContextMessage]], bool]:
    known = [(registry.symbol(dialect.venue, m.symbol), m) for m in messages if not isinstance(m, Ignored)]
    known = [(symbol, message) for symbol, message in known if symbol >= 0]
    context = [
        (symbol, record.recv_ns, message)
        for symbol, message in known
        if isinstance(message, Context | Liquidation | Candle)
    ]
    core = [(symbol, message) for symbol, message in known if not isinstance(message, Context | Liquidation | Candle)]
    broke = False
    index = dialect.channel_index(channel)
    for symbol, group in _groups(core):
        if index < 0 and not isinstance(group[0][1], Snapshot):
            continue  # a stream nobody could have subscribed
        fill(tape, symbol, group)
        if tape.frame[slot.KIND] == slot.KIND_SNAPSHOT:
            outcome = apply_snapshot(tape, source, record.recv_ns)
        else:
            outcome = apply_slowly(tape, index, source, record.recv_ns)
        broke |= outcome == BOOK_BROKEN
    return context, broke


def _groups(core: Sequence[tuple[int, Any]]) -> list[tuple[int, list[Any]]]:
    """Trades of one frame are applied together, as the scanner does; anything else alone."""
    if core and all(isinstance(message, Trade) for _, message in core):
        return [(core[0][0], list(core))]
    return [(symbol, [(symbol, message)]) for symbol, message in core]


def fill(tape: Tape, symbol: int, group: Sequence[tuple[int, Any]]) -> None:
    """Put decoded messages into the frame in hand, exactly as the scanner would have."""
    frame = tape.frame
    frame[:] = 0
    frame[[slot.EVENT_MS, slot.TRANSACTION_MS, slot.LAST_ID]] = slot.UNSET
    frame[slot.SYMBOL] = symbol
    price_decimals = int(tape.symbols[symbol]["price_decimals"])
    quantity_decimals = int(tape.symbols[symbol]["quantity_decimals"])
    message = group[0][1]
    if isinstance(message, Trade):
        frame[slot.KIND] = slot.KIND_TRADES
        if len(group) > len(tape.fresh):
            raise MalformedError("more trades than ticks_per_batch", trade=True)
        try:
            rows = [_trade_row(tape, s, trade) for s, trade in group]
        except MalformedError as error:
            raise MalformedError(error.reason, trade=True) from None
        tape.fresh[: len(rows)] = np.array(rows, tape.fresh.dtype)
        frame[slot.TRADES] = len(rows)
        return
    if message.event_ms is not None:
        frame[slot.TRANSACTION_MS] = message.event_ms
    if isinstance(message, Quote):
        frame[slot.KIND] = slot.KIND_QUOTE
        frame[slot.LAST_ID] = slot.UNSET if message.update_id is None else message.update_id
        for place, text, decimals in (
            (slot.BID, message.bid, price_decimals), (slot.BID_QUANTITY, message.bid_quantity, quantity_decimals),
            (slot.ASK, message.ask, price_decimals), (slot.ASK_QUANTITY, message.ask_quantity, quantity_decimals),
        ):  # fmt: skip
            frame[place] = 0 if text is None else mantissa(text, decimals)
        return
    if isinstance(message, Diff):
        frame[slot.KIND] = slot.KIND_DIFF
        frame[slot.FIRST_ID], frame[slot.LAST_ID] = message.first_id, message.last_id
        frame[slot.PREVIOUS_ID] = slot.UNSET if message.previous_id is None else message.previous_id
    elif isinstance(message, Levels):
        frame[slot.KIND] = slot.KIND_LEVELS
    elif isinstance(message, Snapshot):
        frame[slot.KIND] = slot.KIND_SNAPSHOT
        frame[slot.LAST_ID] = message.last_id
    for side, levels in enumerate((message.bids, message.asks)):
        if len(levels) > tape.level_price.shape[1]:
            raise MalformedError("more levels than levels_per_frame")
        frame[slot.BIDS + side] = len(levels)
        for i, (price, quantity) in enumerate(levels):
            tape.level_price[side, i] = mantissa(price, price_decimals)
            tape.level_quantity[side, i] = mantissa(quantity, quantity_decimals)


def _trade_row(tape: Tape, symbol: int, trade: Trade) -> tuple[int, ...]:
    scale = tape.symbols[symbol]
    price = mantissa(trade.price, int(scale["price_decimals"]))
    quantity = mantissa(trade.quantity, int(scale["quantity_decimals"]))
    flag = slot.IN_CANDLES if trade.in_candles else slot.NOT_IN_CANDLES
    return (
        symbol,
        flag,
        trade.event_ms * 1_000_000,
        trade.trade_id,
        price,
        quantity,
        int(trade.taker_buy),
        trade.trades,
    )


def _malformed(
    tape: Tape, registry: Registry, venue: int, source: int, record: Record, error: MalformedError
) -> Effect:
    """Count it, and mark the open minute of every symbol the connection carries: a trade may be missing."""
    tape.connections[source]["malformed"] += 1
    minute = int(tape.venues[venue]["open_minute"])
    reason = Reason.REJECTED if error.trade else Reason.MALFORMED
    if minute >= 0:
        for symbol in np.flatnonzero(tape.symbols["carriers"] >> source & 1):
            set_mark(tape.marks, int(symbol), minute, int(reason))
    detail = {"connection": source, "reason": error.reason, "frame": record.payload[:200].decode("utf-8", "replace")}
    return _event(record, "malformed_frame", registry.venues[venue], detail)


def _event(record: Record, kind: str, venue: str, detail: dict[str, Any]) -> Event:
    return Event(record.seq, record.recv_ns, kind, venue, "", detail)


def venue_candle(message: Candle, instrument: Instrument) -> VenueCandle:
    """A venue's candle as mantissas of the row. An inverse contract's quote columns mean something else there."""
    price, quantity = instrument.price_decimals, instrument.quantity_decimals

    def at(text: str | None, decimals: int) -> int | None:
        return None if text is None else mantissa(text, decimals, bound=None)

    prices = [10 * mantissa(text, price) for text in (message.open, message.high, message.low, message.close)]
    quote = (None, None) if instrument.inverse else (message.quote_volume, message.taker_buy_quote_volume)
    return VenueCandle(
        message.closed, prices[0], prices[1], prices[2], prices[3], mantissa(message.base_volume, quantity, bound=None),
        message.trade_count, at(quote[0], price + quantity), at(message.taker_buy_base_volume, quantity),
        at(quote[1], price + quantity),
    )  # fmt: skip
