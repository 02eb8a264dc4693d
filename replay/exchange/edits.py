"""What a fault makes of one frame: bytes in, bytes out. Every edit leaves what it does not name as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from replay.exchange.book import Ladder
from replay.exchange.plan import AbsurdPrice, Corrupt, CrossedBook, SchemaDrift

NESTING = 100_000
PRICE_FIELDS = {  # that schema drift hits when none is named
    "trade": "p",
    "aggTrade": "p",
    "bookTicker": "b",
    "depth": "b",
    "markPrice": "p",
    "forceOrder": "p",
    "kline_1m": "c",
    "trades": "px",
    "bbo": "bbo",
    "l2Book": "levels",
    "activeAssetCtx": "markPx",
    "candle": "c",
}


def corrupt(payload: bytes, fault: Corrupt, dice: int) -> bytes:
    """No result is a valid message: a spoiled frame that reads well could not be told from a true one by anybody."""
    if fault.how == "cut":
        return payload[: 1 + dice % (len(payload) - 1)]
    if fault.how == "nested":
        return b"[" * NESTING
    place = dice % (len(payload) - 2)
    spoiled = b"\xff\xfe" if fault.how == "utf8" else b"\x01\x02"  # control characters are not allowed in JSON
    return payload[:place] + spoiled + payload[place + 2 :]


def drift(payload: bytes, channel: str, fault: SchemaDrift) -> bytes:
    field = fault.field or PRICE_FIELDS[channel]

    def change(found: dict[str, Any]) -> dict[str, Any]:
        if field not in found:
            return found
        if fault.how == "renamed":
            return {key + "New" if key == field else key: value for key, value in found.items()}
        if fault.how == "removed":
            return {key: value for key, value in found.items() if key != field}
        if fault.how == "added":
            return {**found, field + "New": found[field]}
        return {key: _retyped(value) if key == field else value for key, value in found.items()}

    return orjson.dumps(_changed(orjson.loads(payload), change))


def _retyped(value: Any) -> Any:
    if type(value) is str:
        try:
            return float(value)
        except ValueError:
            return None
    return str(value) if type(value) is int else orjson.dumps(value).decode()


def _changed(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A value with every object in it changed, outermost first."""
    if type(value) is dict:
        return {key: _changed(inner, change) for key, inner in change(value).items()}
    return [_changed(inner, change) for inner in value] if type(value) is list else value


def wrong_ids(payload: bytes) -> bytes:
    """A depth update that does not follow the one before it."""
    told = orjson.loads(payload)
    data = told.get("data", told)
    data["U"] += 7
    if "pu" in data:
        data["pu"] += 7
    return orjson.dumps(told)


def crossed(payload: bytes, channel: str, ladder: Ladder, _fault: CrossedBook) -> bytes:
    """The best bid above the best ask. In a depth update: a bid at the highest ask there is."""
    told = orjson.loads(payload)
    data = told.get("data", told)
    if channel == "bookTicker":
        data["b"], data["a"] = data["a"], data["b"]
    elif channel == "depth":
        top = max(ladder.asks, key=lambda price: Decimal(price.decode()))
        data["b"].append([top.decode(), ladder.asks[top].decode()])
    elif channel == "bbo" and None not in data["bbo"]:
        bid, ask = data["bbo"]
        bid["px"], ask["px"] = ask["px"], bid["px"]
    elif channel == "l2Book" and all(data["levels"]):
        (bid, *_), (ask, *_) = data["levels"]
        bid["px"], ask["px"] = ask["px"], bid["px"]
    return orjson.dumps(told)


def absurd(payload: bytes, channel: str, fault: AbsurdPrice) -> bytes:
    """Prices of trades and of the best levels are no prices."""
    told = orjson.loads(payload)
    for place, key in _prices(channel, told.get("data", told)):
        place[key] = _absurd(place[key], fault.how)
    return orjson.dumps(told)


def _prices(channel: str, data: Any) -> Iterator[tuple[Any, Any]]:
    """Where prices stand: (object or list, key or index)."""
    if channel in ("trade", "aggTrade"):
        yield data, "p"
    elif channel == "bookTicker":
        yield data, "b"
        yield data, "a"
    elif channel == "trades":
        for trade in data:
            yield trade, "px"
    elif channel == "depth":
        for side in (data["b"], data["a"]):
            if side:
                yield side[0], 0
    elif channel == "bbo":
        for level in data["bbo"]:
            if level:
                yield level, "px"
    elif channel == "l2Book":
        for side in data["levels"]:
            if side:
                yield side[0], "px"


def _absurd(price: str, how: str) -> str:
    if how == "x10":
        return format(Decimal(price) * 10, "f")
    return {"nan": "NaN", "zero": "0", "negative": "-" + price, "huge": "1000000000000"}[how]


def retimed(payload: bytes, ms: int) -> bytes:
    """A Hyperliquid frame with its times moved."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value + ms if key == "time" else value for key, value in found.items()}

    return orjson.dumps(_changed(orjson.loads(payload), change))


EDITED = {  # channels that have what a fault spoils
    "crossed_book": ("bookTicker", "depth", "bbo", "l2Book"),
    "absurd_price": ("trade", "aggTrade", "bookTicker", "trades", "depth", "bbo", "l2Book"),
    "wrong_sequence": ("depth",),
}
