"""The protocols by venue."""

from replay.exchange.binance import BinanceSpot, BinanceUsdm
from replay.exchange.hyperliquid import Hyperliquid
from replay.exchange.protocol import Protocol

PROTOCOLS: dict[str, type[Protocol]] = {
    "hyperliquid": Hyperliquid,
    "binance_usdm": BinanceUsdm,
    "binance_spot": BinanceSpot,
}

__all__ = ["PROTOCOLS", "Protocol"]
