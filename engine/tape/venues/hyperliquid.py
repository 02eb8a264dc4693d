"""Hyperliquid perpetuals: several trades a message, whole books, trade ids that do not increase."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from engine.core.frame import KIND_CONTEXT, KIND_LEVELS, KIND_QUOTE, KIND_TRADES
from engine.tape.dialect import CORE_BOOK, Channel, Dialect, core_channels
from engine.tape.message import (
    Candle,
    Context,
    Ignored,
    Levels,
    LevelTexts,
    Listed,
    MalformedError,
    Message,
    Quote,
    Trade,
    number,
    time_ms,
    whole,
)  # fmt: skip
from engine.tape.template import Template

TRADE = (
    '{"coin":"<coin>","side":"<side>","px":"<price>","sz":"<quantity>","time":<transaction_ms>,"hash":"<word>",'
    '"tid":<trade_id>'
)
LEVEL = '{"px":"<price>","sz":"<quantity>","n":<number>}'
SORTED_LEVEL = '{"n":<number>,"px":"<price>","sz":"<quantity>"}'
LEVELS = "[[<bids>{level}</bids>],[<asks>{level}</asks>]]"
CONTEXT = (
    '","data":{"coin":"<coin>","ctx":{"funding":"<funding>","openInterest":"<interest>","prevDayPx":"<word>",'
    '"dayNtlVlm":"<word>","premium":"<word>","oraclePx":"<index>","markPx":"<mark>","midPx":"<word>",'
    '"impactPxs":["<word>","<word>"]'
)
TEMPLATES = (
    Template("trades", KIND_TRADES, '","data":[<trades>' + TRADE + ',"users":["<word>","<word>"]}</trades>]}'),
    Template("trades", KIND_TRADES, '","data":[<trades>' + TRADE + "}</trades>]}"),
    Template(
        "trades",
        KIND_TRADES,
        '","data":[<trades>{"coin":"<coin>","hash":"<word>","px":"<price>","side":"<side>","sz":"<quantity>",'
        '"tid":<trade_id>,"time":<transaction_ms>,"users":["<word>","<word>"]}</trades>]}',
    ),
    Template(
        "bbo",
        KIND_QUOTE,
        '","data":{"coin":"<coin>","time":<transaction_ms>,"bbo":[{"px":"<bid>","sz":"<bid_quantity>","n":<number>},'
        '{"px":"<ask>","sz":"<ask_quantity>","n":<number>}]}}',
    ),
    Template(
        "l2Book",
        KIND_LEVELS,
        '","data":{"coin":"<coin>","time":<transaction_ms>,"levels":' + LEVELS.replace("{level}", LEVEL) + "}}",
    ),
    Template(
        "l2Book",
        KIND_LEVELS,
        '","data":{"coin":"<coin>","levels":' + LEVELS.replace("{level}", SORTED_LEVEL) + ',"time":<transaction_ms>}}',
    ),
    Template("activeAssetCtx", KIND_CONTEXT, CONTEXT + ',"dayBaseVlm":"<word>"}}}'),
    Template("activeAssetCtx", KIND_CONTEXT, CONTEXT + "}}}"),
)


def stream_names(channel: str, _symbol: str) -> list[str]:
    """Frames name only the channel; the coin stands in the body."""
    return [channel]


def _level(value: Any) -> tuple[str, str]:
    if type(value) is not dict or type(value.get("px")) is not str or type(value.get("sz")) is not str:
        raise MalformedError("level")
    return value["px"], value["sz"]


def _side(value: Any) -> LevelTexts:
    if type(value) is not list:
        raise MalformedError("levels")
    return [_level(level) for level in value]


def _coin(data: dict[str, Any]) -> str:
    coin = data.get("coin")
    if type(coin) is not str or not coin:
        raise MalformedError("coin")
    return coin


def _trades(data: Any) -> list[Message]:
    if type(data) is not list:
        raise MalformedError("trades")
    return [_trade(item) for item in data]


def _trade(item: Any) -> Message:
    if type(item) is not dict or item.get("side") not in ("A", "B"):
        raise MalformedError("trade")
    price, quantity = _level(item)
    return Trade(_coin(item), whole(item.get("tid")), price, quantity, item["side"] == "B", time_ms(item.get("time")))


def _quote(data: dict[str, Any]) -> Message:
    sides = data.get("bbo")
    if type(sides) is not list or len(sides) > 2:
        raise MalformedError("bbo")
    # A one-sided quote comes as [bid, null] or [null, ask]; a list of one is a bid without an ask.
    texts: list[tuple[str | None, str | None]] = [_level(side) if side is not None else (None, None) for side in sides]
    texts += [(None, None)] * (2 - len(texts))
    (bid, bid_quantity), (ask, ask_quantity) = texts
    return Quote(_coin(data), None, bid, bid_quantity, ask, ask_quantity, time_ms(data.get("time")))


def _book(data: dict[str, Any]) -> Message:
    sides = data.get("levels")
    if type(sides) is not list or len(sides) != 2:
        raise MalformedError("levels")
    return Levels(_coin(data), _side(sides[0]), _side(sides[1]), time_ms(data.get("time")))


def _context(data: dict[str, Any]) -> Message:
    values = data.get("ctx")
    if type(values) is not dict:
        raise MalformedError("ctx")

    def value(key: str) -> float | None:
        return number(values[key]) if values.get(key) is not None else None

    return Context(_coin(data), None, value("openInterest"), value("markPx"), value("oraclePx"), value("funding"))


def _candle(data: Any) -> Message:
    if type(data) is not dict or data.get("i") != "1m":
        return Ignored("candle")
    texts = [data.get(key) for key in "ohlcv"]  # open, high, low, close, volume
    if any(type(value) is not str for value in (*texts, data.get("s"))) or not data["s"]:
        raise MalformedError("candle")
    opened, highest, lowest, closed, volume = (str(value) for value in texts)
    # There is no closed flag: a candle is final when a later one begins. What `n` counts is not documented: left out.
    return Candle(data["s"], time_ms(data.get("t")), None, opened, highest, lowest, closed, volume, None)


READERS = {"bbo": _quote, "l2Book": _book, "activeAssetCtx": _context, "candle": _candle}


def decode(payload: bytes) -> tuple[str, list[Message]]:
    """One frame; acks, pongs, errors and channels without meaning here are Ignored."""
    if payload == b"Websocket connection established.":
        return "", [Ignored("greeting")]
    try:
        outer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise MalformedError("not JSON", trade=b"trades" in payload) from None
    channel = outer.get("channel") if type(outer) is dict else None
    if type(channel) is not str:
        raise MalformedError("no channel")
    data = outer.get("data")
    try:
        if channel == "trades":
            return channel, _trades(data)
        if channel in READERS and type(data) is dict:
            return channel, [READERS[channel](data)]
    except MalformedError as error:
        raise MalformedError(error.reason, trade=channel == "trades") from None
    if channel in READERS:
        raise MalformedError("not an object")
    return channel, [Ignored(channel)]


def decode_rest(request: str, _symbol: str, body: bytes) -> list[Message]:
    """A REST answer: `candleSnapshot`, `metaAndAssetCtxs`. The book comes over the socket, past trades not at all."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedError("not JSON") from None
    if request == "candleSnapshot":
        if type(data) is not list:
            raise MalformedError("candles")
        return [_candle(item) for item in data]
    return _listed(data) if request == "metaAndAssetCtxs" else [Ignored(request)]


def _listed(data: Any) -> list[Message]:
    """Every coin that is traded and can be read, with its open interest at the mark price."""
    if type(data) is not list or len(data) != 2 or type(data[0]) is not dict:
        raise MalformedError("not a pair")
    coins, contexts = data[0].get("universe"), data[1]
    if type(coins) is not list or type(contexts) is not list or len(coins) != len(contexts):
        raise MalformedError("coins without contexts")
    found: list[Message] = []
    for coin, context in zip(coins, contexts, strict=True):
        if type(coin) is dict and type(context) is dict and not coin.get("isDelisted"):
            with suppress(MalformedError):
                found.append(_listed_coin(coin.get("name"), context))
    return found


def _listed_coin(name: Any, context: dict[str, Any]) -> Listed:
    if type(name) is not str:
        raise MalformedError("coin")
    volume = number(str(context.get("dayNtlVlm")))
    interest, mark = context.get("openInterest"), context.get("markPx")
    return Listed(name, volume, number(str(interest)) * number(str(mark)) if interest and mark else None)


DIALECT = Dialect(
    venue="hyperliquid",
    head=b'{"channel":"',
    channels=(
        *core_channels(("trades",), "bbo"),
        Channel("l2Book", CORE_BOOK, on_change=False),
        Channel("activeAssetCtx", timed=False, carries=frozenset({"interest", "mark"})),
        Channel("candle", carries=frozenset({"candle"})),
        Channel("allMids"),
    ),
    templates=TEMPLATES,
    stream_names=stream_names,
    decode=decode,
    decode_rest=decode_rest,
    price_decimals=6,
    quantity_decimals=8,
    arrival_order=True,
    listing="metaAndAssetCtxs",
    funding_interval_h=1,
)
