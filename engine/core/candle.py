"""A venue's own candle of one minute, as the row would hold it."""

from __future__ import annotations

from typing import NamedTuple


class VenueCandle(NamedTuple):
    """Mantissas at the instrument's scales, as in the row; None for what the venue does not give or defines otherwise.

    closed: the venue called it final; until then it may grow. None: it never says so, and a later candle closes it.
    """

    closed: bool | None
    open: int
    high: int
    low: int
    close: int
    base_volume: int
    trade_count: int | None
    quote_volume: int | None
    taker_buy_base_volume: int | None
    taker_buy_quote_volume: int | None
