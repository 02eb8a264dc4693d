"""Binance COIN-M futures: inverse contracts, quantities in contracts; frames name the pair in "ps" as well."""

from __future__ import annotations

from engine.core.frame import KIND_DIFF, KIND_LEVELS, KIND_QUOTE, KIND_SNAPSHOT, KIND_TRADES
from engine.tape.dialect import Dialect
from engine.tape.template import Template
from engine.tape.venues import binance, binance_usdm

DEPTH = binance_usdm.DEPTH.replace('"s":"<symbol>",', '"s":"<symbol>","ps":"<word>",')
TEMPLATES = (
    *(template for template in binance_usdm.TEMPLATES if template.kind == KIND_TRADES),
    Template(
        "bookTicker",
        KIND_QUOTE,
        '","data":{"u":<last_id>,"e":"bookTicker","s":"<symbol>","ps":"<word>","b":"<bid>","B":"<bid_quantity>",'
        '"a":"<ask>","A":"<ask_quantity>","T":<transaction_ms>,"E":<event_ms>}}',
    ),
    Template("depth", KIND_DIFF, DEPTH),
    Template("depth20", KIND_LEVELS, DEPTH),
    Template("depth10", KIND_LEVELS, DEPTH),
    Template("depth5", KIND_LEVELS, DEPTH),
    *binance_usdm.MARK_PRICES,
    Template(
        "GET depth",
        KIND_SNAPSHOT,
        '\n{"lastUpdateId":<last_id>,"E":<event_ms>,"T":<transaction_ms>,"symbol":"<symbol>","pair":"<word>",'
        '"bids":<bid_pairs>,"asks":<ask_pairs>}',
    ),
)
DIALECT = Dialect(
    venue="binance_coinm",
    head=binance.HEAD,
    channels=binance_usdm.CHANNELS,
    templates=TEMPLATES,
    stream_names=binance.stream_names,
    decode=binance.decode,
    decode_rest=binance.decode_rest,
    price_decimals=None,
    quantity_decimals=0,
    quantity_unit="contract",
    contract_sizes={"BTC": 100, "": 10},  # USD per contract; every coin but BTC has 10
    inverse=True,
    requests=("depth",),
    ids_count=True,
    backfills=binance.BACKFILLS,
    funding_interval_h=8,
)
