"""Binance USD-M futures: combined streams as recorded in 2024, quantities in base units."""

from __future__ import annotations

from engine.core.frame import KIND_CONTEXT, KIND_DIFF, KIND_LEVELS, KIND_QUOTE, KIND_SNAPSHOT, KIND_TRADES
from engine.tape.dialect import CORE_BOOK, Channel, Dialect, core_channels
from engine.tape.template import Template
from engine.tape.venues import binance

DEPTH = (
    '","data":{"e":"depthUpdate","E":<event_ms>,"T":<transaction_ms>,"s":"<symbol>","U":<first_id>,"u":<last_id>,'
    '"pu":<previous_id>,"b":<bid_pairs>,"a":<ask_pairs>}}'
)
AGGREGATE = (
    '","data":{"e":"aggTrade","E":<event_ms>,"a":<trade_id>,"s":"<symbol>","p":"<price>","q":"<quantity>",'
    '"f":<aggregate_first>,"l":<aggregate_last>,"T":<transaction_ms>,"m":<buyer_is_maker>}}'
)
MARK_PRICE = '","data":{"e":"markPriceUpdate","E":<event_ms>,"s":"<symbol>","p":"<mark>",'
MARK_PRICES = (
    Template("markPrice", KIND_CONTEXT, MARK_PRICE + '"i":"<index>","r":"<funding>","T":<number>}}'),
    Template("markPrice", KIND_CONTEXT, MARK_PRICE + '"P":"<word>","i":"<index>","r":"<funding>","T":<number>}}'),
    Template("markPrice", KIND_CONTEXT, MARK_PRICE + '"i":"<index>","P":"<word>","r":"<funding>","T":<number>}}'),
)
TEMPLATES = (
    Template(
        "trade",
        KIND_TRADES,
        '","data":{"e":"trade","E":<event_ms>,"T":<transaction_ms>,"s":"<symbol>","t":<trade_id>,"p":"<price>",'
        '"q":"<quantity>","X":"<order_type>","m":<buyer_is_maker>}}',
    ),
    Template("aggTrade", KIND_TRADES, AGGREGATE),
    Template(
        "aggTrade", KIND_TRADES, AGGREGATE.replace('"a":<trade_id>,"s":"<symbol>"', '"s":"<symbol>","a":<trade_id>')
    ),
    Template(
        "bookTicker",
        KIND_QUOTE,
        '","data":{"e":"bookTicker","u":<last_id>,"s":"<symbol>","b":"<bid>","B":"<bid_quantity>","a":"<ask>",'
        '"A":"<ask_quantity>","T":<transaction_ms>,"E":<event_ms>}}',
    ),
    Template("depth", KIND_DIFF, DEPTH),
    Template("depth20", KIND_LEVELS, DEPTH),
    Template("depth10", KIND_LEVELS, DEPTH),
    Template("depth5", KIND_LEVELS, DEPTH),
    *MARK_PRICES,
    Template(
        "GET depth",
        KIND_SNAPSHOT,
        '\n{"lastUpdateId":<last_id>,"E":<event_ms>,"T":<transaction_ms>,"bids":<bid_pairs>,"asks":<ask_pairs>}',
    ),
)
CHANNELS = (
    *core_channels(("trade", "aggTrade"), "bookTicker"),
    Channel("depth", CORE_BOOK, diff=True),
    *(Channel(f"depth{levels}", CORE_BOOK, on_change=False) for levels in (20, 10, 5)),
    Channel("markPrice", carries=frozenset({"mark"})),
    Channel("openInterest", carries=frozenset({"interest"})),
    Channel("forceOrder", carries=frozenset({"liquidations"})),
    Channel("kline_1m", carries=frozenset({"candle"})),
)
DIALECT = Dialect(
    venue="binance_usdm",
    head=binance.HEAD,
    channels=CHANNELS,
    templates=TEMPLATES,
    stream_names=binance.stream_names,
    decode=binance.decode,
    decode_rest=binance.decode_rest,
    price_decimals=None,
    quantity_decimals=None,
    requests=("depth",),
    listing="ticker",
    names_quote=True,
    ids_count=True,
    backfills=binance.BACKFILLS,
    funding_interval_h=8,
)
