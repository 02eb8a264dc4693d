"""What the three Binance venues share: the strict slow reading of their messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from engine.tape.message import (
    Candle,
    Context,
    Diff,
    Ignored,
    Levels,
    LevelTexts,
    Liquidation,
    Listed,
    MalformedError,
    Message,
    Quote,
    Snapshot,
    Trade,
    number,
    time_ms,
    whole,
)  # fmt: skip

HEAD = b'{"stream":"'
DEPTH_SPEEDS = ("", "@0ms", "@100ms", "@250ms", "@500ms", "@1000ms")
SPEEDS = {"markPrice": ("", "@1s")}
TRADE_CHANNELS = ("trade", "aggTrade")
PARTIAL_DEPTH = re.compile(r"[^@]*@depth(5|10|20)(@[0-9]+ms)?")
BACKFILLS = {"aggTrades": "aggTrade", "trades": "trade"}


def stream_names(channel: str, symbol: str) -> list[str]:
    """Every combined-stream name of a channel: the update speed is part of the name, not of its meaning."""
    speeds = DEPTH_SPEEDS if channel.startswith("depth") else SPEEDS.get(channel, ("",))
    return [f"{symbol.lower()}@{channel}{speed}" for speed in speeds]


def channel_of(stream: str) -> str:
    """`btcusdt@depth@100ms` -> `depth`."""
    parts = stream.split("@")
    return parts[1] if len(parts) > 1 else stream


def text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if type(value) is not str or not value:
        raise MalformedError("missing field")
    return value


def truth(data: dict[str, Any], key: str) -> bool:
    value = data.get(key)
    if type(value) is not bool:
        raise MalformedError("missing field")
    return value


def level_texts(value: Any) -> LevelTexts:
    if type(value) is not list or any(type(level) is not list or len(level) < 2 for level in value):
        raise MalformedError("levels")
    return [(level[0], level[1]) for level in value]


def _trade(data: dict[str, Any]) -> Message:
    return Trade(
        text(data, "s"), whole(data.get("t")), text(data, "p"), text(data, "q"), not truth(data, "m"),
        time_ms(data.get("T")), 1, _in_candles(data),
    )  # fmt: skip


def _in_candles(data: dict[str, Any]) -> bool:
    return bool(data.get("X", "MARKET") == "MARKET")


def _aggregate(data: dict[str, Any]) -> Message:
    first, last = whole(data.get("f")), whole(data.get("l"))
    if last < first:
        raise MalformedError("aggregate of no trade")
    return Trade(
        text(data, "s"), whole(data.get("a")), text(data, "p"), text(data, "q"), not truth(data, "m"),
        time_ms(data.get("T")), last - first + 1, _in_candles(data),
    )  # fmt: skip


def _quote(data: dict[str, Any]) -> Message:
    event_ms = time_ms(data.get("T")) if "e" in data or "T" in data else None  # spot tells neither type nor time
    return Quote(
        text(data, "s"),
        whole(data.get("u")),
        text(data, "b"),
        text(data, "B"),
        text(data, "a"),
        text(data, "A"),
        event_ms,
    )


def _diff(data: dict[str, Any]) -> Message:
    previous = whole(data["pu"]) if "pu" in data else None
    event_ms = time_ms(data["T"] if "T" in data else data.get("E"))
    return Diff(
        text(data, "s"), whole(data.get("U")), whole(data.get("u")), previous,
        level_texts(data.get("b")), level_texts(data.get("a")), event_ms,
    )  # fmt: skip


def _mark(data: dict[str, Any]) -> Message:
    index, funding = (None if data.get(key) in (None, "") else number(data[key]) for key in ("i", "r"))
    return Context(
        text(data, "s"), time_ms(data.get("E")), mark_price=number(text(data, "p")), index_price=index, funding=funding
    )


def _force_order(data: dict[str, Any]) -> Message:
    order = data.get("o")
    if type(order) is not dict or order.get("S") not in ("BUY", "SELL"):
        raise MalformedError("forced order")
    return Liquidation(text(order, "s"), time_ms(order.get("T")), order["S"] == "BUY", text(order, "z"))


def _kline(data: dict[str, Any]) -> Message:
    k = data.get("k")
    if type(k) is not dict:
        raise MalformedError("kline")
    if k.get("i") != "1m":
        return Ignored("kline")
    return Candle(
        text(k, "s"), time_ms(k.get("t")), truth(k, "x"), text(k, "o"), text(k, "h"), text(k, "l"), text(k, "c"),
        text(k, "v"), whole(k.get("n")), text(k, "q"), text(k, "V"), text(k, "Q"),
    )  # fmt: skip


EVENTS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "trade": _trade,
    "aggTrade": _aggregate,
    "bookTicker": _quote,
    "depthUpdate": _diff,
    "markPriceUpdate": _mark,
    "forceOrder": _force_order,
    "kline": _kline,
}


MEANINGFUL = {*TRADE_CHANNELS, "bookTicker", "depth"}  # channels whose every message must be understood
CHANNEL_OF_EVENT = {"markPriceUpdate": "markPrice", "depthUpdate": "depth", "kline": "kline_1m"}


def decode(payload: bytes) -> tuple[str, list[Message]]:
    """One combined-stream or raw-stream frame; acks and channels without meaning here are Ignored."""
    try:
        outer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise MalformedError("not JSON", trade=b"rade" in payload) from None
    if type(outer) is not dict:
        raise MalformedError("not an object")
    if "data" not in outer and ("result" in outer or "error" in outer or "code" in outer):
        return "", [Ignored("answer")]
    data = outer.get("data") if "stream" in outer else outer
    stream = outer.get("stream", "")
    if type(data) is not dict or type(stream) is not str:
        raise MalformedError("not an object")
    channel = channel_of(stream)
    event = data.get("e")
    event = event if type(event) is str else None
    try:
        if PARTIAL_DEPTH.fullmatch(stream):
            return channel, [_partial(stream, data)]
        if "e" not in data and {"u", "b", "B", "a", "A"} <= data.keys():  # spot bookTicker
            return "bookTicker", [_quote(data)]
        reader = EVENTS.get(event) if event is not None else None
        if event is None or reader is None:
            if channel in MEANINGFUL:
                raise MalformedError("unknown event")
            return channel, [Ignored(str(event or channel))]
        message = reader(data)
    except MalformedError as error:
        raise MalformedError(error.reason, trade=event in TRADE_CHANNELS or channel in TRADE_CHANNELS) from None
    return CHANNEL_OF_EVENT.get(event, event), [message]


def _partial(stream: str, data: dict[str, Any]) -> Message:
    event_ms = time_ms(data["T"] if "T" in data else data["E"]) if "T" in data or "E" in data else None
    bids, asks = data.get("b", data.get("bids")), data.get("a", data.get("asks"))
    return Levels(stream.split("@")[0].upper(), level_texts(bids), level_texts(asks), event_ms)


def _past_aggregate(symbol: str, item: Any) -> Message:
    if type(item) is not dict:
        raise MalformedError("not an object", trade=True)
    return _aggregate(item | {"s": symbol})


def _past_trade(symbol: str, item: Any) -> Message:
    """These are of the order book alone: what is in no candle is not among them."""
    if type(item) is not dict:
        raise MalformedError("not an object", trade=True)
    return Trade(
        symbol, whole(item.get("id")), text(item, "price"), text(item, "qty"), not truth(item, "isBuyerMaker"),
        time_ms(item.get("time")),
    )  # fmt: skip


def _past_kline(symbol: str, item: Any) -> Message:
    """[open time, o, h, l, c, volume, close time, quote volume, count, taker base, taker quote, ...]"""
    if type(item) is not list or len(item) < 11 or any(type(item[i]) is not str for i in (1, 2, 3, 4, 5, 7, 9, 10)):
        raise MalformedError("kline")
    return Candle(
        symbol, time_ms(item[0]), False, item[1], item[2], item[3], item[4], item[5], whole(item[8]), item[7], item[9],
        item[10],
    )  # fmt: skip


LISTS: dict[str, Callable[[str, Any], Message]] = {
    "aggTrades": _past_aggregate,
    "trades": _past_trade,
    "klines": _past_kline,
}


def decode_rest(request: str, symbol: str, body: bytes) -> list[Message]:
    """A REST answer: `depth`, `openInterest`, `aggTrades`, `trades`, `klines`, `ticker`: 24 hours of every symbol."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedError("not JSON") from None
    if request == "ticker":
        return _listed(data)
    if request in LISTS:
        if type(data) is not list:
            raise MalformedError("not a list")
        return [LISTS[request](symbol, item) for item in data]
    if type(data) is not dict:
        raise MalformedError("not an object")
    if request == "depth":
        bids, asks = level_texts(data.get("bids")), level_texts(data.get("asks"))
        event_ms = time_ms(data["T"]) if "T" in data else None
        return [Snapshot(symbol, whole(data.get("lastUpdateId")), bids, asks, event_ms)]
    if request == "openInterest":
        event_ms = time_ms(data["time"]) if "time" in data else None
        return [Context(symbol, event_ms, open_interest=number(text(data, "openInterest")))]
    return [Ignored(request)]


def _listed(data: Any) -> list[Message]:
    """Every line that can be read; a symbol with odd figures is not listed, and disturbs no other."""
    if type(data) is not list:
        raise MalformedError("not a list")
    found: list[Message] = []
    for line in data:
        if type(line) is dict:
            with suppress(MalformedError):
                found.append(Listed(text(line, "symbol"), number(text(line, "quoteVolume"))))
    return found
