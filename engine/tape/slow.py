"""The strict slow path: what no template knows is read with orjson into the frame in hand, which the tape then applies.

Most of what comes here is rare (candles, forced orders, acknowledgements) or is the first sign that a venue changed its
frames; every reading is counted per connection, so that `fallbacks` shows the second case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.core import frame as slot
from engine.core.candle import VenueCandle
from engine.core.effects import Effect, Event
from engine.core.instruments import Instrument
from engine.core.layouts import CLOCK_RECV, CLOCK_SEQ, CLOCK_TICKED
from engine.core.marks import add_mark
from engine.core.records import Record
from engine.core.registry import Registry
from engine.core.schema import Reason
from engine.core.state import Tape
from engine.tape.answers import apply_answer, apply_past_trades, apply_snapshot
from engine.tape.dialect import Dialect
from engine.tape.message import (
    Candle,
    Context,
    Diff,
    Ignored,
    Levels,
    Liquidation,
    Listed,
    MalformedError,
    Message,
    Quote,
    Snapshot,
    Trade,
    mantissa,
)  # fmt: skip
from engine.tape.outcome import BOOK_BROKEN
from engine.tape.venues import VENUES

Candles = list[tuple[int, Candle]]  # (symbol, candle)


def read_frame(tape: Tape, registry: Registry, record: Record) -> tuple[list[Effect], Candles]:
    """Read one frame the scanner gave up on, of a connection that was up once; what the tape can apply is in hand then.

    Returns effects, and the candles it held, which are no business of the tape.
    """
    tape.clock[[CLOCK_SEQ, CLOCK_TICKED, CLOCK_RECV]] = record.seq, 0, record.recv_ns
    connection = tape.connections[record.source]
    venue = int(connection["venue"])
    dialect = VENUES[tape.venues[venue]["dialect"]]
    tape.frame[slot.KIND] = slot.KIND_NONE
    named: list[int] = []  # symbols of the frame, once it was understood
    try:
        channel, messages = dialect.decode(record.payload)
        candles, rest = _known(registry, dialect, messages)
        named = sorted({symbol for symbol, _ in rest})
        index = dialect.channel_index(channel)
        if rest and (index >= 0 or isinstance(rest[0][1], Context | Liquidation)):
            fill(tape, rest)  # else nothing, or a stream nobody could have subscribed
            tape.frame[slot.CHANNEL] = index
    except MalformedError as error:
        tape.frame[slot.KIND] = slot.KIND_NONE
        return [_malformed(tape, registry, venue, record, error, named)], []
    connection["ignored" if all(isinstance(m, Ignored) for m in messages) else "fallbacks"] += 1
    return [], candles


def read_answer(
    tape: Tape, registry: Registry, record: Record, request: str, symbol: str, body: bytes, fold: Callable[[], None]
) -> tuple[list[Effect], Candles, bool]:
    """Read and apply the answer to a REST request, to a connection that was up once.

    fold: empties the tick buffers, which an answer of many trades fills more than once. Returns effects, the candles it
    held, and whether a book broke.
    """
    dialect = VENUES[tape.venues[tape.connections[record.source]["venue"]]["dialect"]]
    broke = False
    try:
        candles, rest = _known(registry, dialect, dialect.decode_rest(request, symbol, body))
        if request in dialect.backfills:
            _apply_past_trades(tape, record, dialect.channel_index(dialect.backfills[request]), rest, fold)
        elif rest:
            fill(tape, rest)
            if tape.frame[slot.KIND] == slot.KIND_SNAPSHOT:
                broke = apply_snapshot(tape, record.source, record.recv_ns) == BOOK_BROKEN
            else:
                apply_answer(tape, record.recv_ns)
    except MalformedError as error:
        detail = {"request": request, "reason": error.reason}
        return [_event(record, "malformed_answer", dialect.venue, detail)], [], False
    return [], candles, broke


def _apply_past_trades(
    tape: Tape, record: Record, channel: int, trades: list[tuple[int, Any]], fold: Callable[[], None]
) -> None:
    """Trades of the channel that is counted; those of another one have ids of their own."""
    if not trades or tape.symbols[trades[0][0]]["trade_channel"] != channel:
        return
    for first in range(0, len(trades), len(tape.fresh)):
        fill(tape, trades[first : first + len(tape.fresh)])
        apply_past_trades(tape, record.source, record.recv_ns)
        fold()


def read_listing(record: Record, dialect: Dialect, body: bytes) -> tuple[list[Effect], list[Listed]]:
    """The lines of a venue's own list of symbols; an event and no line if it cannot be read at all."""
    try:
        return [], [line for line in dialect.decode_rest(dialect.listing, "*", body) if isinstance(line, Listed)]
    except MalformedError as error:
        detail = {"request": dialect.listing, "reason": error.reason}
        return [_event(record, "malformed_answer", dialect.venue, detail)], []


def _known(registry: Registry, dialect: Dialect, messages: Sequence[Message]) -> tuple[Candles, list[tuple[int, Any]]]:
    """Candles and other messages, each with its symbol; what is ignored or of an unknown symbol is left out."""
    found = [(registry.symbol(dialect.venue, m.symbol), m) for m in messages if not isinstance(m, Ignored)]
    found = [(symbol, message) for symbol, message in found if symbol >= 0]
    candles = [(symbol, message) for symbol, message in found if isinstance(message, Candle)]
    return candles, [(symbol, message) for symbol, message in found if not isinstance(message, Candle)]


def fill(tape: Tape, messages: Sequence[tuple[int, Any]]) -> None:
    """Put one decoded message, or the trades of one frame, into the frame in hand, as the scanner would have."""
    frame = tape.frame
    symbol, message = messages[0]
    frame[:] = 0
    frame[[slot.EVENT_MS, slot.TRANSACTION_MS, slot.LAST_ID]] = slot.UNSET
    frame[slot.SYMBOL] = symbol
    price_decimals = int(tape.symbols[symbol]["price_decimals"])
    quantity_decimals = int(tape.symbols[symbol]["quantity_decimals"])
    if isinstance(message, Trade):
        frame[slot.KIND] = slot.KIND_TRADES
        if len(messages) > len(tape.fresh):
            raise MalformedError("more trades than ticks_per_batch", trade=True)
        try:
            rows = [_trade_row(tape, s, trade) for s, trade in messages]
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
    if isinstance(message, Context | Liquidation):
        _fill_context(tape, message, quantity_decimals)
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


def _fill_context(tape: Tape, message: Context | Liquidation, quantity_decimals: int) -> None:
    tape.reals[slot.INTEREST :] = np.nan
    if isinstance(message, Liquidation):
        tape.frame[slot.KIND] = slot.KIND_FORCED
        tape.frame[slot.TAKER_BUY] = message.taker_buy
        tape.frame[slot.QUANTITY] = mantissa(message.quantity, quantity_decimals)
        return
    tape.frame[slot.KIND] = slot.KIND_CONTEXT
    for place, value in (
        (slot.INTEREST, message.open_interest), (slot.MARK, message.mark_price), (slot.INDEX, message.index_price),
        (slot.FUNDING, message.funding),
    ):  # fmt: skip
        if value is not None:
            tape.reals[place] = value


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
    tape: Tape, registry: Registry, venue: int, record: Record, error: MalformedError, named: list[int]
) -> Effect:
    """Count it, and mark the open minute of the symbols it named, or of every one the connection carries.

    A trade may be missing; of whom, only a frame that was understood but for its numbers can say.
    """
    source = record.source
    tape.connections[source]["malformed"] += 1
    minute = int(tape.venues[venue]["open_minute"])
    reason = Reason.REJECTED if error.trade else Reason.MALFORMED
    if minute >= 0:
        carried = np.flatnonzero(tape.symbols["carriers"] >> source & 1).tolist()
        for symbol in [s for s in named if s in carried] or carried:
            add_mark(tape.marks, int(symbol), minute, int(reason))
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
