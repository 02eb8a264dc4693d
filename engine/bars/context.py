"""Slow numbers: open interest, mark, index, funding, forced orders. A few a second, so plain Python reads them."""

from __future__ import annotations

import math
from typing import Any

from engine.core.layouts import MINUTES_AHEAD
from engine.core.minutes import NS_PER_MINUTE
from engine.core.state import Bars


def _slot(bars: Bars, symbol: int, minute: int, open_minute: int) -> Any:
    """The sums of a minute that is not closed yet, begun if need be; a late sample counts for the open minute."""
    minute = min(max(minute, open_minute), open_minute + MINUTES_AHEAD)
    total = bars.context_sums[symbol, minute & 3]
    if total["minute"] != minute:
        total["minute"] = minute
        for name in ("interest_open", "interest_min", "interest_max", "interest", "mark", "index", "funding"):
            total[name] = math.nan
        total["liquidations"] = total["liquidation_buy"] = total["liquidation_sell"] = 0
    return total


def add_context(bars: Bars, symbol: int, open_minute: int, time_ns: int, values: Any) -> None:
    """Take in open interest, mark, index and funding; None leaves what was known. time_ns: on the venue's clock."""
    total = _slot(bars, symbol, time_ns // NS_PER_MINUTE, open_minute)
    for name, value in (("mark", values.mark_price), ("index", values.index_price), ("funding", values.funding)):
        if value is not None:
            total[name] = value
    interest = values.open_interest
    if interest is None:
        return
    if math.isnan(total["interest_open"]):
        total["interest_open"] = total["interest_min"] = total["interest_max"] = interest
        total["interest_ns"] = -1
    total["interest_min"] = min(float(total["interest_min"]), interest)
    total["interest_max"] = max(float(total["interest_max"]), interest)
    if time_ns >= total["interest_ns"]:
        total["interest"], total["interest_ns"] = interest, time_ns


def add_liquidation(bars: Bars, symbol: int, open_minute: int, time_ns: int, taker_buy: bool, quantity: int) -> None:
    """One forced order. quantity: mantissa at quantity_decimals."""
    total = _slot(bars, symbol, time_ns // NS_PER_MINUTE, open_minute)
    total["liquidations"] += 1
    total["liquidation_buy" if taker_buy else "liquidation_sell"] += quantity
