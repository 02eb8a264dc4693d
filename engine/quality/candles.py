"""The last witness: the venue's own candle of a minute against our row, compared as whole numbers."""

from __future__ import annotations

from typing import Any

from engine.core.candle import VenueCandle
from engine.core.schema import OhlcSource
from engine.core.wide import as_int

PRICES = ("open", "high", "low", "close")
BASES = ("base_volume", "taker_buy_base_volume")
QUOTES = ("quote_volume", "taker_buy_quote_volume")


def differences(row: Any, candle: VenueCandle) -> list[str]:
    """Columns in which a row differs from the venue's candle.

    A minute without trades has prices of its own (mids) where the venue repeats the last trade: volumes count.
    """
    ours: dict[str, int] = {name: int(row[name]) for name in ("trade_count", *BASES)}
    ours |= {name: as_int(row[f"{name}_hi"], row[f"{name}_lo"]) for name in QUOTES}
    if row["ohlc_source"] == OhlcSource.TRADE or candle.base_volume:
        ours |= {name: int(row[name]) for name in PRICES}
    return [name for name, value in ours.items() if getattr(candle, name) not in (None, value)]
