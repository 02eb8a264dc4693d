"""Binance USD-M futures: open interest is asked for, marks come every second."""

from __future__ import annotations

from typing import ClassVar

import orjson

from engine.io.venues.binance import DAY_S, SPEEDS, Binance
from engine.io.venues.end import Limits, Request


class BinanceUsdm(Binance):
    venue = "binance_usdm"
    ws_url = "wss://fstream.binance.com/stream"
    rest_url = "https://fapi.binance.com"
    prefix = "/fapi/v1"
    limits = Limits(
        streams=200, batch=50, messages=8, messages_s=1.0, connects=30, connects_s=60.0, weight=2400, lifetime_s=DAY_S
    )
    usual = ("aggTrade", "bookTicker", "depth", "markPrice", "forceOrder", "kline_1m", "openInterest")
    polled = ("openInterest",)
    pace_s: ClassVar = {"markPrice": 1.0}
    speeds: ClassVar = {**SPEEDS, "markPrice": "@1s"}
    funding_interval_h = 8
    weights: ClassVar = {
        "exchangeInfo": 1, "fundingInfo": 1, "depth": 20, "aggTrades": 20, "trades": 5, "klines": 1, "openInterest": 1,
        "ticker": 40,
    }  # fmt: skip

    def funding(self) -> Request | None:
        return self._get("fundingInfo", "*")

    def read_funding(self, body: bytes) -> dict[str, int]:
        found = {item["symbol"]: int(item["fundingIntervalHours"]) for item in orjson.loads(body)}
        if not all(0 < hours <= 24 for hours in found.values()):
            raise ValueError(f"intervals from {min(found.values())} to {max(found.values())} h")
        return found

    def poll(self, channel: str, symbol: str) -> Request:
        return self._get(channel, symbol)


END = BinanceUsdm()
