"""One raw frame or REST body of a venue into plain nouns with Decimals.

`decode` and `decode_rest` return a list, because a Hyperliquid frame may hold several trades. They never raise: what
cannot be read becomes one Malformed, what is of no interest one Other. Combined ({"stream", "data"}) and raw frames
both work.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import orjson

from tests.oracles.nouns import (
    BINANCE,
    FUTURES,
    Candle,
    Context,
    Diff,
    Event,
    Level,
    Liquidation,
    Malformed,
    Other,
    Quote,
    Snapshot,
    Trade,
)


class _BadError(Exception):
    """A field is not as it must be. Never leaves this file."""


# --- fields ---------------------------------------------------------------------------------------------------------

_UNSIGNED = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_SIGNED = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def _get(data: Any, key: str) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise _BadError(f"no {key}")
    return data[key]


def _number(text: Any, pattern: re.Pattern[str] = _UNSIGNED) -> Decimal:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _BadError(f"number {text!r}")
    return Decimal(text)


def _positive(text: Any) -> Decimal:
    value = _number(text)
    if value == 0:
        raise _BadError("zero price or quantity")
    return value


def _optional(data: Any, key: str) -> Decimal | None:
    text = data.get(key)
    return None if text is None or text == "" else _number(text, _SIGNED)


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise _BadError(f"integer {value!r}")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _BadError(f"flag {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _BadError(f"text {value!r}")
    return value


def _one_of(value: Any, first: str, second: str) -> bool:
    """True for the first, False for the second, nothing else."""
    if value not in (first, second):
        raise _BadError(f"{value!r} is neither {first} nor {second}")
    return value == first


def _levels(pairs: Any) -> tuple[Level, ...]:
    if not isinstance(pairs, list):
        raise _BadError("levels are not a list")
    levels = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) < 2:
            raise _BadError("a level is not a pair")
        levels.append((_positive(pair[0]), _number(pair[1])))
    return tuple(levels)


def _side(price: Any, quantity: Any) -> tuple[Decimal | None, Decimal | None]:
    """A best price; zero stands for an empty side."""
    p, q = _number(price), _number(quantity)
    return (p, q) if p > 0 and q > 0 else (None, None)


# --- Binance --------------------------------------------------------------------------------------------------------


def _binance(venue: str, message: dict[str, Any]) -> list[Event]:
    if "stream" in message or "data" in message:
        stream, data = message.get("stream", ""), _get(message, "data")
        if not isinstance(stream, str):
            raise _BadError("stream is no text")
    else:
        stream, data = "", message
    if not isinstance(data, dict):
        raise _BadError("data is not an object")
    symbol_of_stream, _, channel = stream.partition("@")
    if re.fullmatch(r"depth(5|10|20)(@[0-9]+ms)?", channel):
        return [_partial_depth(data, symbol_of_stream.upper())]
    kind = data.get("e")
    if kind == "trade":
        return [_trade(data)]
    if kind == "aggTrade":
        return [_agg_trade(data)]
    if kind == "depthUpdate":
        return [_diff(venue, data)]
    if kind == "bookTicker" or (kind is None and ({"u", "s", "b", "B", "a", "A"} <= set(data))):
        return [_book_ticker(venue, data)]
    if kind == "markPriceUpdate":
        return [
            Context(
                _text(_get(data, "s")),
                None,
                _number(_get(data, "p")),
                _optional(data, "i"),
                _optional(data, "r"),
                _integer(_get(data, "E")),
            )
        ]
    if kind == "forceOrder":
        o = _get(data, "o")
        return [
            Liquidation(
                _text(_get(o, "s")),
                _one_of(_get(o, "S"), "BUY", "SELL"),
                _number(_get(o, "p")),
                _number(_get(o, "z")),
                _integer(_get(o, "T")),
            )
        ]
    if kind == "kline":
        k = _get(data, "k")
        return [
            Candle(
                _text(_get(k, "s")),
                _integer(_get(k, "t")),
                _number(_get(k, "o")),
                _number(_get(k, "h")),
                _number(_get(k, "l")),
                _number(_get(k, "c")),
                _number(_get(k, "v")),
                _number(_get(k, "q")),
                _integer(_get(k, "n")),
                _number(_get(k, "V")),
                _number(_get(k, "Q")),
                _flag(_get(k, "x")),
                _text(_get(k, "i")),
            )
        ]
    if channel.split("@")[0] in ("trade", "aggTrade", "bookTicker", "depth", "markPrice", "forceOrder"):
        raise _BadError(f"event {kind!r} on {stream}")
    return [Other(str(kind or channel or "answer"))]


def _trade(data: dict[str, Any]) -> Trade:
    return Trade(
        _text(_get(data, "s")), _integer(_get(data, "t")), _positive(_get(data, "p")), _positive(_get(data, "q")),
        taker_buy=not _flag(_get(data, "m")), time_ms=_integer(_get(data, "T")),
        in_candles=data.get("X", "MARKET") == "MARKET",
    )  # fmt: skip


def _agg_trade(data: dict[str, Any]) -> Trade:
    count = _integer(_get(data, "l")) - _integer(_get(data, "f")) + 1
    if count < 1:
        raise _BadError("last id before first id")
    return Trade(
        _text(_get(data, "s")), _integer(_get(data, "a")), _positive(_get(data, "p")), _positive(_get(data, "q")),
        taker_buy=not _flag(_get(data, "m")), time_ms=_integer(_get(data, "T")), count=count,
        in_candles=data.get("X", "MARKET") == "MARKET",
    )  # fmt: skip


def _book_ticker(venue: str, data: dict[str, Any]) -> Quote:
    bid, bid_quantity = _side(_get(data, "b"), _get(data, "B"))
    ask, ask_quantity = _side(_get(data, "a"), _get(data, "A"))
    time_ms = _integer(_get(data, "T")) if venue in FUTURES else None
    return Quote(_text(_get(data, "s")), _integer(_get(data, "u")), bid, bid_quantity, ask, ask_quantity, time_ms)


def _diff(venue: str, data: dict[str, Any]) -> Diff:
    futures = venue in FUTURES
    first, last = _integer(_get(data, "U")), _integer(_get(data, "u"))
    if first > last:
        raise _BadError("last id before first id")
    return Diff(
        _text(_get(data, "s")), first, last, _integer(_get(data, "pu")) if futures else None,
        _levels(_get(data, "b")), _levels(_get(data, "a")), _integer(_get(data, "T" if futures else "E")),
    )  # fmt: skip


def _partial_depth(data: dict[str, Any], symbol: str) -> Snapshot:
    """Futures send a depthUpdate with the whole of the best levels; spot sends lastUpdateId, bids, asks and no time."""
    if "bids" in data:
        last_id, bids, asks = _get(data, "lastUpdateId"), data["bids"], _get(data, "asks")
    else:
        last_id, bids, asks = _get(data, "u"), _get(data, "b"), _get(data, "a")
    time_ms = data.get("T", data.get("E"))
    return Snapshot(
        _text(data.get("s", symbol)), _integer(last_id), _levels(bids), _levels(asks),
        None if time_ms is None else _integer(time_ms),
    )  # fmt: skip


# --- Hyperliquid ----------------------------------------------------------------------------------------------------


def _hyperliquid(message: dict[str, Any]) -> list[Event]:
    channel = _text(_get(message, "channel"))
    if channel not in ("trades", "bbo", "l2Book", "activeAssetCtx", "candle"):
        return [Other(channel)]
    data = _get(message, "data")
    if channel == "trades":
        if not isinstance(data, list):
            raise _BadError("trades are not a list")
        return [
            Trade(
                _text(_get(t, "coin")), _integer(_get(t, "tid")), _positive(_get(t, "px")), _positive(_get(t, "sz")),
                taker_buy=_one_of(_get(t, "side"), "B", "A"), time_ms=_integer(_get(t, "time")),
            )
            for t in data
        ]  # fmt: skip
    if channel == "bbo":
        sides = _get(data, "bbo")
        if not isinstance(sides, list) or len(sides) > 2:
            raise _BadError("bbo is not a pair")
        sides = [*sides, None, None][:2]  # an empty side is null, or simply not there
        bid, bid_quantity = (None, None) if sides[0] is None else _side(_get(sides[0], "px"), _get(sides[0], "sz"))
        ask, ask_quantity = (None, None) if sides[1] is None else _side(_get(sides[1], "px"), _get(sides[1], "sz"))
        return [
            Quote(_text(_get(data, "coin")), None, bid, bid_quantity, ask, ask_quantity, _integer(_get(data, "time")))
        ]
    if channel == "l2Book":
        return [_l2_book(data)]
    if channel == "activeAssetCtx":
        ctx = _get(data, "ctx")
        _get(ctx, "markPx")
        return [
            Context(
                _text(_get(data, "coin")),
                _optional(ctx, "openInterest"),
                _optional(ctx, "markPx"),
                _optional(ctx, "oraclePx"),
                _optional(ctx, "funding"),
                None,
            )
        ]
    return [
        Candle(
            _text(_get(data, "s")), _integer(_get(data, "t")),
            _number(_get(data, "o")), _number(_get(data, "h")), _number(_get(data, "l")), _number(_get(data, "c")),
            _number(_get(data, "v")), None, _integer(_get(data, "n")), None, None, None, _text(_get(data, "i")),
        )
    ]  # fmt: skip


def _l2_book(data: Any) -> Snapshot:
    levels = _get(data, "levels")
    if not isinstance(levels, list) or len(levels) != 2:
        raise _BadError("levels are not two sides")
    sides = []
    for side in levels:
        if not isinstance(side, list):
            raise _BadError("a side is not a list")
        sides.append(tuple((_positive(_get(level, "px")), _positive(_get(level, "sz"))) for level in side))
    return Snapshot(_text(_get(data, "coin")), None, sides[0], sides[1], _integer(_get(data, "time")))


# --- the doors ------------------------------------------------------------------------------------------------------


def decode(venue: str, payload: bytes) -> list[Event]:
    """One WebSocket message."""
    if venue == "hyperliquid" and payload == b"Websocket connection established.":
        return [Other("greeting")]
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return [Malformed("not JSON")]
    if not isinstance(message, dict):
        return [Malformed("not an object")]
    try:
        return _hyperliquid(message) if venue == "hyperliquid" else _binance(venue, message)
    except _BadError as error:
        return [Malformed(str(error))]


def decode_rest(venue: str, payload: bytes) -> list[Event]:
    """The payload of a REST record: b"<request> <symbol>\\n" and the raw body."""
    head, newline, body = payload.partition(b"\n")
    request, _, symbol_bytes = head.partition(b" ")
    try:
        symbol = symbol_bytes.decode("ascii")
        data = orjson.loads(body)
        if not newline or not isinstance(data, dict):
            raise _BadError("not an object")
        if request == b"depth" and venue in BINANCE:
            time_ms = data.get("T", data.get("E"))
            return [
                Snapshot(
                    symbol,
                    _integer(_get(data, "lastUpdateId")),
                    _levels(_get(data, "bids")),
                    _levels(_get(data, "asks")),
                    None if time_ms is None else _integer(time_ms),
                )
            ]
        if request == b"openInterest" and venue in BINANCE:
            time_ms = data.get("time")
            interest = _number(_get(data, "openInterest"))
            return [Context(symbol, interest, None, None, None, None if time_ms is None else _integer(time_ms))]
        if request in (b"depth", b"l2Book") and venue == "hyperliquid":
            return [_l2_book(data)]
    except (_BadError, orjson.JSONDecodeError, UnicodeDecodeError) as error:
        return [Malformed(str(error), may_hold_trade=False)]
    return [Other(request.decode("ascii", "replace"))]
