"""What the decoders and the oracle make of a frame, as values that can be compared; and where they may differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from engine.tape.message import Candle, Context, Diff, Levels, Liquidation, Quote, Snapshot, Trade, mantissa, number
from tests.oracles import nouns

PRICE_DECIMALS, QUANTITY_DECIMALS = 2, 3


def decimal(text: Any, decimals: int) -> Decimal:
    return Decimal(mantissa(text, decimals)).scaleb(-decimals)


FINEST = 400  # decimals that no printed number has: a candle's are looked at when its instrument is known


def side(price_text: str | None, quantity_text: str | None) -> tuple[Decimal, Decimal] | None:
    """A best price, None if there is none: a zero says so as well."""
    if price_text is None or quantity_text is None:
        return None
    found = decimal(price_text, PRICE_DECIMALS), decimal(quantity_text, QUANTITY_DECIMALS)
    return found if all(found) else None


def levels(texts: Sequence[tuple[Any, Any]]) -> list[tuple[Decimal, Decimal]]:
    return [(decimal(p, PRICE_DECIMALS), decimal(q, QUANTITY_DECIMALS)) for p, q in texts]


def plain_message(m: Any) -> tuple[Any, ...]:
    """MalformedError where the engine refuses a value only when it is applied."""
    if isinstance(m, Trade):
        at = decimal(m.price, PRICE_DECIMALS), decimal(m.quantity, QUANTITY_DECIMALS)
        return "trade", m.symbol, m.trade_id, *at, m.taker_buy, m.event_ms, m.trades, m.in_candles
    if isinstance(m, Quote):
        return "quote", m.symbol, m.update_id, side(m.bid, m.bid_quantity), side(m.ask, m.ask_quantity), m.event_ms
    if isinstance(m, Diff):
        ids = m.first_id, m.last_id, m.previous_id
        return "diff", m.symbol, *ids, levels(m.bids), levels(m.asks), m.event_ms
    if isinstance(m, Levels | Snapshot):
        return "levels", m.symbol, levels(m.bids), levels(m.asks), m.event_ms
    if isinstance(m, Context):
        return "context", m.symbol, m.event_ms, m.open_interest, m.mark_price, m.index_price, m.funding
    if isinstance(m, Liquidation):
        return "liquidation", m.symbol, m.event_ms, m.taker_buy, decimal(m.quantity, QUANTITY_DECIMALS)
    assert isinstance(m, Candle)
    texts = (
        m.open,
        m.high,
        m.low,
        m.close,
        m.base_volume,
        m.quote_volume,
        m.taker_buy_base_volume,
        m.taker_buy_quote_volume,
    )
    for text in filter(None, texts):
        mantissa(text, FINEST, bound=None)
    return "candle", m.symbol, m.open_ms, [None if t is None else Decimal(str(number(t))) for t in texts]


def plain_event(e: nouns.Event, message: Any) -> tuple[Any, ...]:
    if isinstance(e, nouns.Trade):
        return "trade", e.symbol, e.id, e.price, e.quantity, e.taker_buy, e.time_ms, e.count, e.in_candles
    if isinstance(e, nouns.Quote):
        bid = (e.bid, e.bid_quantity) if e.bid and e.bid_quantity else None
        ask = (e.ask, e.ask_quantity) if e.ask and e.ask_quantity else None
        return "quote", e.symbol, e.update_id, bid, ask, e.time_ms
    if isinstance(e, nouns.Diff):
        return "diff", e.symbol, e.first_id, e.last_id, e.previous_id, list(e.bids), list(e.asks), e.time_ms
    if isinstance(e, nouns.Snapshot):  # a partial depth is of the symbol in its stream's name
        return (
            "levels",
            message.symbol if isinstance(message, Levels) else e.symbol,
            list(e.bids),
            list(e.asks),
            e.time_ms,
        )
    if isinstance(e, nouns.Context):
        values = [None if v is None else float(v) for v in (e.open_interest, e.mark, e.index, e.funding)]
        return "context", e.symbol, e.time_ms, *values
    if isinstance(e, nouns.Liquidation):
        return "liquidation", e.symbol, e.time_ms, e.buy, e.quantity
    if isinstance(e, nouns.Candle):
        texts = e.open, e.high, e.low, e.close, e.volume, e.quote_volume, e.taker_buy_volume, e.taker_buy_quote_volume
        return "candle", e.symbol, e.open_ms, [None if t is None else Decimal(str(float(t))) for t in texts]
    return (str(e),)


LENIENT = {
    "zero price or quantity": "a trade at zero, or a level at price zero, is read as it stands",
    "no T": "a futures quote without T takes effect at its receipt, a diff without T at E",
    "no pu": "a futures diff without pu is a gap unless it is the first behind a snapshot",
    "last id before first id": "the chain of pu decides, not U against u",
    "no u": "a partial depth needs no id",
    "no lastUpdateId": "a partial depth needs no id",
    "no markPx": "an asset context without a mark leaves the one before",
    "event": "a quote whose e is no text is read by its fields",
    "signed": "a mark or index price may carry a sign",
    "unread": "ids and symbol in a partial depth, the price of a forced order and the count of a candle are not used",
}


def leniency(read: Sequence[Any], events: Sequence[nouns.Event]) -> str:
    """Why the engine reads what the oracle refuses, a key of LENIENT; empty if there is no such excuse."""
    (event, *_) = events
    if not isinstance(event, nouns.Malformed):
        return ""
    if isinstance(read[0], Context) and re.fullmatch(r"number '-[0-9.]+'", event.reason):
        return "signed"
    if isinstance(read[0], Quote) and event.reason.startswith("event "):
        return "event"
    unread = {Levels: ("integer", "text"), Liquidation: ("no p", "number"), Candle: ("no n", "integer")}.get(
        type(read[0]), ()
    )
    if event.reason.startswith(unread):
        return "unread"
    return event.reason if event.reason in LENIENT else ""
