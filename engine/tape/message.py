"""What the slow path reads out of a frame: plain values, prices and quantities still as the venue's decimal text."""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.core.minutes import TIME_MS_MAX

LevelTexts = list[tuple[str, str]]


class Trade(NamedTuple):
    symbol: str
    trade_id: int
    price: str
    quantity: str
    taker_buy: bool
    event_ms: int
    trades: int = 1
    in_candles: bool = True


class Quote(NamedTuple):
    """A missing side has None for its price and quantity."""

    symbol: str
    update_id: int | None
    bid: str | None
    bid_quantity: str | None
    ask: str | None
    ask_quantity: str | None
    event_ms: int | None


class Diff(NamedTuple):
    symbol: str
    first_id: int
    last_id: int
    previous_id: int | None
    bids: LevelTexts
    asks: LevelTexts
    event_ms: int


class Levels(NamedTuple):
    """The whole visible book in one message."""

    symbol: str
    bids: LevelTexts
    asks: LevelTexts
    event_ms: int | None


class Snapshot(NamedTuple):
    """A REST depth snapshot."""

    symbol: str
    last_id: int
    bids: LevelTexts
    asks: LevelTexts
    event_ms: int | None = None


class Context(NamedTuple):
    """Slow numbers of a perpetual; None where the message does not say."""

    symbol: str
    event_ms: int | None
    open_interest: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    funding: float | None = None


class Liquidation(NamedTuple):
    symbol: str
    event_ms: int
    taker_buy: bool
    quantity: str


class Candle(NamedTuple):
    """The venue's own candle of one minute; None for a column it does not have, or does not say."""

    symbol: str
    open_ms: int
    closed: bool | None
    open: str
    high: str
    low: str
    close: str
    base_volume: str
    trade_count: int | None
    quote_volume: str | None = None
    taker_buy_base_volume: str | None = None
    taker_buy_quote_volume: str | None = None


class Listed(NamedTuple):
    """A line of a venue's own list of symbols: quote volume of the last 24 h; open interest in quote units, if told."""

    symbol: str
    day_volume: float
    day_interest: float | None = None


class Ignored(NamedTuple):
    """A well-formed message with nothing for a minute row."""

    what: str


Message = Trade | Quote | Diff | Levels | Snapshot | Context | Liquidation | Candle | Listed | Ignored


class MalformedError(Exception):
    """A frame that cannot be read. reason: a few fixed words, for counting; trade: it may have held a trade."""

    def __init__(self, reason: str, trade: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trade = trade


_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
MANTISSA_MAX = 10**18  # the scanner's bound: any whole number of 18 digits


def mantissa(text: str, decimals: int, bound: int | None = MANTISSA_MAX) -> int:
    """`text` times ten to `decimals`, exactly; MalformedError if it is no plain decimal, too long, or finer."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise MalformedError("number")
    whole, _, fraction = text.partition(".")
    if fraction[decimals:].strip("0"):
        raise MalformedError("finer than the instrument's scale")
    value = int(whole + fraction[:decimals].ljust(decimals, "0"))
    if bound is not None and value >= bound:
        raise MalformedError("number too large")
    return value


def number(text: str) -> float:
    """A finite float from the venue's decimal text (a sign is allowed here: funding may be negative)."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text.removeprefix("-")):
        raise MalformedError("number")
    return float(text)


def time_ms(value: object) -> int:
    """Milliseconds since the epoch that fit nanoseconds in 64 bits."""
    number = whole(value)
    if number > TIME_MS_MAX:
        raise MalformedError("time")
    return number


def whole(value: object) -> int:
    """A non-negative integer of at most 18 digits; orjson turns longer ones into floats, which are refused."""
    if type(value) is not int or not 0 <= value < MANTISSA_MAX:
        raise MalformedError("integer")
    return value
