"""Hyperliquid perpetuals: one subscription a message, answers that repeat it, one REST path for everything."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson

from engine.io.venues.end import Answer, Limits, Listed, Request, Streams, VenueEnd

HEAD = b'{"channel":"'
BEHIND_HEAD = len(HEAD)
COIN = b'"coin":"'
NAME = b'"s":"'
CANDLE = b"candle"
MINUTE_MS = 60_000
PRICE_DECIMALS = 6  # of a perpetual, less those of its size


class Hyperliquid(VenueEnd):
    venue = "hyperliquid"
    ws_url = "wss://api.hyperliquid.xyz/ws"
    rest_url = "https://api.hyperliquid.xyz"
    limits = Limits(
        streams=300, batch=1, messages=1500, messages_s=60.0, connects=30, connects_s=60.0, weight=1200, shared=True
    )
    usual = ("trades", "bbo", "l2Book", "activeAssetCtx", "candle")
    pace_s: ClassVar = {"l2Book": 0.5}
    trade_channels = ("trades",)
    depth_channels = ("l2Book",)
    ping = b'{"method":"ping"}'

    def subscribe(self, streams: Streams, number: int) -> bytes:
        return self._message("subscribe", streams)

    def unsubscribe(self, streams: Streams, number: int) -> bytes:
        return self._message("unsubscribe", streams)

    def _message(self, method: str, streams: Streams) -> bytes:
        ((channel, coin),) = streams
        subscription = {"type": channel, "coin": coin} | ({"interval": "1m"} if channel == "candle" else {})
        return orjson.dumps({"method": method, "subscription": subscription})

    def key(self, payload: bytes) -> bytes:
        """`channel coin`, both as they stand in the frame."""
        end = payload.find(b'"', BEHIND_HEAD, 48)
        if end < 0 or not payload.startswith(HEAD):
            return b""
        channel = payload[BEHIND_HEAD:end]
        mark = NAME if channel == CANDLE else COIN
        at = payload.find(mark, end, end + 160)
        if at < 0 or channel == b"subscriptionResponse":
            return b""
        at += len(mark)
        return channel + b" " + payload[at : payload.find(b'"', at)]

    def key_of(self, channel: str, symbol: str) -> bytes:
        return f"{channel} {symbol}".encode()

    def answer(self, payload: bytes) -> Answer | None:
        if payload == b"Websocket connection established.":
            return Answer("other")
        try:
            told = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return None
        if type(told) is not dict or type(told.get("channel")) is not str:
            return None
        channel, data = told["channel"], told.get("data")
        if channel == "pong":
            return Answer("pong")
        if channel == "subscriptionResponse" and type(data) is dict:
            return Answer("done", streams=_stream(data.get("subscription")))
        if channel == "error" and type(data) is str:
            # The subscription stands in the sentence, as JSON.
            begin, end = data.find("{"), data.rfind("}")
            try:
                asked = orjson.loads(data[begin : end + 1]) if 0 <= begin < end else None
            except orjson.JSONDecodeError:
                asked = None
            asked = asked.get("subscription", asked) if type(asked) is dict else None
            if "lready" in data:  # Already subscribed, Already unsubscribed
                return Answer("done", streams=_stream(asked))
            return Answer("refused", streams=_stream(asked), reason=data[:200])
        return Answer("other")

    def _info(self, name: str, symbol: str, weight: int, **asked: Any) -> Request:
        return Request(name, symbol, "/info", weight, "POST", orjson.dumps({"type": name, **asked}))

    def listing(self) -> Request:
        return self._info("meta", "*", 20)

    def read_listing(self, body: bytes) -> dict[str, Listed]:
        return {
            item["name"]: Listed(PRICE_DECIMALS - item["szDecimals"], item["szDecimals"], not item.get("isDelisted"), 1)
            for item in orjson.loads(body)["universe"]
        }

    def snapshot(self, symbol: str) -> Request | None:
        return None

    def trades(self, symbol: str, channel: str, after_id: int, from_ns: int) -> Request | None:
        return None  # the venue has no past trades to ask for

    def candle(self, symbol: str, minute: int) -> Request:
        begin = minute * MINUTE_MS
        asked = {"coin": symbol, "interval": "1m", "startTime": begin, "endTime": begin + MINUTE_MS - 1}
        return self._info("candleSnapshot", symbol, 20, req=asked)

    def has_candle(self, body: bytes, minute: int) -> bool:
        return any(int(candle["t"]) == minute * MINUTE_MS for candle in orjson.loads(body))

    def totals(self) -> Request:
        return self._info("metaAndAssetCtxs", "*", 20)


def _stream(told: Any) -> tuple[tuple[str, str], ...]:
    if type(told) is dict and type(told.get("type")) is str and type(told.get("coin")) is str:
        return ((told["type"], told["coin"]),)
    return ()


END = Hyperliquid()
