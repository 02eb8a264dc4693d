"""What the Binance venues share: combined streams, numbered subscriptions, requests by weight."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from engine.core.minutes import NS_PER_MS
from engine.io.venues.end import Answer, Limits, Listed, Request, Streams, VenueEnd, decimals

HEAD = b'{"stream":"'
BEHIND_HEAD = len(HEAD)
DAY_S = 86_400.0
MINUTE_MS = 60_000

# Update speeds are part of a stream's name, not of its meaning; these are the quickest that need no account.
SPEEDS = {"depth": "@100ms", "depth20": "@100ms", "depth10": "@100ms", "depth5": "@100ms"}


class Binance(VenueEnd):
    """prefix: of all REST paths. weights: of a request, by name. speeds: suffixes of stream names."""

    prefix: ClassVar[str]
    weights: ClassVar[dict[str, int]]
    speeds: ClassVar[dict[str, str]] = SPEEDS
    depth_levels: ClassVar[int] = 1000
    quantity_decimals: ClassVar[int | None] = None

    ws_path = "/stream"
    trade_channels = ("aggTrade", "trade")
    depth_channels = ("depth", "depth20", "depth10", "depth5")

    def stream(self, channel: str, symbol: str) -> str:
        return f"{symbol.lower()}@{channel}{self.speeds.get(channel, '')}"

    def subscribe(self, streams: Streams, number: int) -> bytes:
        return self._message("SUBSCRIBE", streams, number)

    def unsubscribe(self, streams: Streams, number: int) -> bytes:
        return self._message("UNSUBSCRIBE", streams, number)

    def _message(self, method: str, streams: Streams, number: int) -> bytes:
        names = [self.stream(channel, symbol) for channel, symbol in streams]
        return orjson.dumps({"method": method, "params": names, "id": number})

    def key(self, payload: bytes) -> bytes:
        end = payload.find(b'"', BEHIND_HEAD, 96)
        return payload[BEHIND_HEAD:end] if end > 0 and payload.startswith(HEAD) else b""

    def key_of(self, channel: str, symbol: str) -> bytes:
        return self.stream(channel, symbol).encode()

    def answer(self, payload: bytes) -> Answer | None:
        try:
            told = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
        if type(told) is not dict:
            return None
        event = told.get("event", told)
        if type(event) is dict and event.get("e") == "serverShutdown":
            return Answer("closing", reason="serverShutdown")
        number = told.get("id")
        number = number if type(number) is int else -1
        error = told.get("error", told if "code" in told else None)
        if type(error) is dict:
            return Answer("refused", number, reason=f"{error.get('code')} {error.get('msg')}")
        if "result" in told:
            return Answer("done", number)
        return Answer("other")

    def _get(self, name: str, symbol: str, **query: Any) -> Request:
        path = f"{self.prefix}/{name}"
        asked = urlencode({"symbol": symbol, **query} if symbol != "*" else query)
        return Request(name, symbol, f"{path}?{asked}" if asked else path, self.weights[name])

    def listing(self) -> Request:
        return self._get("exchangeInfo", "*")

    def read_listing(self, body: bytes) -> dict[str, Listed]:
        found = {}
        for item in orjson.loads(body)["symbols"]:
            filters = {entry["filterType"]: entry for entry in item["filters"]}
            if "PRICE_FILTER" not in filters or "LOT_SIZE" not in filters:
                continue
            found[item["symbol"]] = Listed(
                decimals(filters["PRICE_FILTER"]["tickSize"]),
                self.quantity_decimals
                if self.quantity_decimals is not None
                else decimals(filters["LOT_SIZE"]["stepSize"]),
                item.get("status", item.get("contractStatus")) == "TRADING",
            )
        return found

    def snapshot(self, symbol: str) -> Request | None:
        return self._get("depth", symbol, limit=self.depth_levels)

    def trades(self, symbol: str, channel: str, after_id: int, from_ns: int) -> Request | None:
        if channel == "trade":  # older single trades need a key; the newest thousand do not
            return self._get("trades", symbol, limit=self.trades_page)
        if after_id >= 0:
            return self._get("aggTrades", symbol, fromId=after_id + 1, limit=self.trades_page)
        # Without an end: with one, the venue refuses spans of an hour and more.
        return self._get("aggTrades", symbol, startTime=from_ns // NS_PER_MS, limit=self.trades_page)

    def has_more(self, channel: str, count: int) -> bool:
        return channel != "trade" and count >= self.trades_page

    def last_trade(self, body: bytes) -> tuple[int, int, int]:
        items = orjson.loads(body)
        if not items:
            return 0, -1, 0
        last = items[-1]
        trade_id, time_ms = (last["a"], last["T"]) if "a" in last else (last["id"], last["time"])
        return len(items), int(trade_id), int(time_ms) * NS_PER_MS

    def candle(self, symbol: str, minute: int) -> Request:
        begin = minute * MINUTE_MS
        return self._get("klines", symbol, interval="1m", startTime=begin, endTime=begin + MINUTE_MS - 1, limit=1)

    def has_candle(self, body: bytes, minute: int) -> bool:
        return any(int(line[0]) == minute * MINUTE_MS for line in orjson.loads(body))

    def totals(self) -> Request:
        return Request("ticker", "*", f"{self.prefix}/ticker/24hr", self.weights["ticker"])


__all__ = ["DAY_S", "Binance", "Limits"]
