"""Binance spot: no marks, no open interest; quantities may be finer than the lot."""

from __future__ import annotations

from typing import ClassVar

from engine.io.venues.binance import DAY_S, Binance
from engine.io.venues.end import Limits


class BinanceSpot(Binance):
    venue = "binance_spot"
    ws_url = "wss://stream.binance.com:9443/stream"
    rest_url = "https://api.binance.com"
    prefix = "/api/v3"
    limits = Limits(
        streams=1024, batch=50, messages=4, messages_s=1.0, connects=30, connects_s=60.0, weight=6000, lifetime_s=DAY_S
    )
    usual = ("aggTrade", "bookTicker", "depth", "kline_1m")
    quantity_decimals = 8  # dust such as 47.07593600 is finer than the lot
    weights: ClassVar = {"exchangeInfo": 20, "depth": 50, "aggTrades": 4, "trades": 25, "klines": 2, "ticker": 80}


END = BinanceSpot()
