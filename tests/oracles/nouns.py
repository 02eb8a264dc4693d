"""What venues say, as plain nouns with Decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

BINANCE = ("binance_usdm", "binance_coinm", "binance_spot")
FUTURES = ("binance_usdm", "binance_coinm")
VENUES = (*BINANCE, "hyperliquid")

Level = tuple[Decimal, Decimal]  # price, quantity


@dataclass(frozen=True)
class Trade:
    symbol: str
    id: int
    price: Decimal
    quantity: Decimal
    taker_buy: bool
    time_ms: int
    count: int = 1  # venue trades in this message: more than one only for aggTrade
    in_candles: bool = True  # False: insurance fund, ADL


@dataclass(frozen=True)
class Quote:
    symbol: str
    update_id: int | None
    bid: Decimal | None
    bid_quantity: Decimal | None
    ask: Decimal | None
    ask_quantity: Decimal | None
    time_ms: int | None


@dataclass(frozen=True)
class Diff:
    symbol: str
    first_id: int
    last_id: int
    previous_id: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    time_ms: int


@dataclass(frozen=True)
class Snapshot:
    """A whole book. From REST it starts a book kept by diffs; from a frame it replaces the book."""

    symbol: str
    last_id: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    time_ms: int | None


@dataclass(frozen=True)
class Context:
    """What is None was not in the message."""

    symbol: str
    open_interest: Decimal | None
    mark: Decimal | None
    index: Decimal | None
    funding: Decimal | None
    time_ms: int | None


@dataclass(frozen=True)
class Liquidation:
    symbol: str
    buy: bool
    price: Decimal
    quantity: Decimal  # filled
    time_ms: int


@dataclass(frozen=True)
class Candle:
    symbol: str
    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None
    count: int
    taker_buy_volume: Decimal | None
    taker_buy_quote_volume: Decimal | None
    closed: bool | None  # None: the venue does not say
    interval: str


@dataclass(frozen=True)
class Other:
    what: str


@dataclass(frozen=True)
class Malformed:
    reason: str
    may_hold_trade: bool = True


Event = Trade | Quote | Diff | Snapshot | Context | Liquidation | Candle | Other | Malformed
