"""Binance spot: diffs chain by U = last u + 1, bookTicker carries neither event type nor time."""

from __future__ import annotations

from engine.core.frame import KIND_DIFF, KIND_LEVELS, KIND_QUOTE, KIND_SNAPSHOT, KIND_TRADES
from engine.tape.dialect import CORE_BOOK, CORE_QUOTE, CORE_TRADE, Channel, Dialect
from engine.tape.template import Template
from engine.tape.venues import binance

PARTIAL = '","data":{"lastUpdateId":<last_id>,"bids":<bid_pairs>,"asks":<ask_pairs>}}'
TEMPLATES = (
    Template(
        "trade",
        KIND_TRADES,
        '","data":{"e":"trade","E":<event_ms>,"s":"<symbol>","t":<trade_id>,"p":"<price>","q":"<quantity>",'
        '"T":<transaction_ms>,"m":<buyer_is_maker>,"M":<flag>}}',
    ),
    Template(
        "aggTrade",
        KIND_TRADES,
        '","data":{"e":"aggTrade","E":<event_ms>,"s":"<symbol>","a":<trade_id>,"p":"<price>","q":"<quantity>",'
        '"f":<aggregate_first>,"l":<aggregate_last>,"T":<transaction_ms>,"m":<buyer_is_maker>,"M":<flag>}}',
    ),
    Template(
        "bookTicker",
        KIND_QUOTE,
        '","data":{"u":<last_id>,"s":"<symbol>","b":"<bid>","B":"<bid_quantity>","a":"<ask>","A":"<ask_quantity>"}}',
    ),
    Template(
        "depth",
        KIND_DIFF,
        '","data":{"e":"depthUpdate","E":<event_ms>,"s":"<symbol>","U":<first_id>,"u":<last_id>,"b":<bid_pairs>,'
        '"a":<ask_pairs>}}',
    ),
    Template("depth20", KIND_LEVELS, PARTIAL),
    Template("depth10", KIND_LEVELS, PARTIAL),
    Template("depth5", KIND_LEVELS, PARTIAL),
    Template("GET depth", KIND_SNAPSHOT, '\n{"lastUpdateId":<last_id>,"bids":<bid_pairs>,"asks":<ask_pairs>}'),
)
DIALECT = Dialect(
    venue="binance_spot",
    head=binance.HEAD,
    channels=(
        Channel("trade", CORE_TRADE),
        Channel("aggTrade", CORE_TRADE),
        Channel("bookTicker", CORE_QUOTE, timed=False),
        Channel("depth", CORE_BOOK, diff=True),
        *(Channel(f"depth{levels}", CORE_BOOK, timed=False, on_change=False) for levels in (20, 10, 5)),
        Channel("kline_1m", carries=frozenset({"candle"})),
    ),
    templates=TEMPLATES,
    stream_names=binance.stream_names,
    decode=binance.decode,
    decode_rest=binance.decode_rest,
    price_decimals=None,
    quantity_decimals=8,  # dust such as 47.07593600 is finer than the lot
    spot_sequence=True,
    requests=("depth",),
    listing="ticker",
    names_quote=True,
    ids_count=True,
    backfills=binance.BACKFILLS,
)
