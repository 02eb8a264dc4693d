"""What the venue really did, before any fault: its trades, its candles, and which fault hit what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.core.instruments import Instrument

MS_PER_MINUTE = 60_000


class Trade(NamedTuple):
    """One trade as the venue made it. ms: event time by the venue's own clock. buy: the taker bought.

    order: fills of one taker's order share it. base: what its id is made from, before a burst has added any.
    """

    id: int
    price: bytes
    quantity: bytes
    buy: bool
    ms: int
    order: int
    base: int


class Aggregate(NamedTuple):
    """Neighbouring fills of one order at one price, as Binance sums them up. first, last: trade ids."""

    id: int
    price: bytes
    quantity: bytes
    buy: bool
    ms: int
    first: int
    last: int


class TradeRow(NamedTuple):
    """One line of the truth, for a judge."""

    symbol: str
    id: int
    price: str
    quantity: str
    taker_buy: bool
    event_ms: int


class Hit(NamedTuple):
    """A fault did something. connection: its number, -1 if it concerns none; symbols: those it touched, () for all."""

    at_ns: int
    fault: int  # its place in the plan, from 0
    kind: str
    what: str
    connection: int = -1
    symbols: tuple[str, ...] = ()


@dataclass(slots=True)
class Candle:
    """A minute of trades; prices and quantities are whole numbers at the instrument's scales.

    first, last: trade ids, -1 in a minute without trades, whose prices are the close before it. changed: since it was
    last printed.
    """

    minute: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    value: int = 0  # quote volume, at the product of both scales
    buy_volume: int = 0
    buy_value: int = 0
    count: int = 0
    first: int = -1
    last: int = -1
    open_ms: int = 0
    close_ms: int = 0
    changed: bool = True

    def add(self, trade: Trade, price: int, quantity: int) -> None:
        if self.count == 0:
            self.open = self.high = self.low = self.close = price
            self.first = self.last = trade.id
            self.open_ms = self.close_ms = trade.ms
        if trade.ms < self.open_ms:
            self.open, self.open_ms = price, trade.ms
        if trade.ms >= self.close_ms:
            self.close, self.close_ms = price, trade.ms
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.first, self.last = min(self.first, trade.id), max(self.last, trade.id)
        self.count += 1
        self.volume += quantity
        self.value += price * quantity
        if trade.buy:
            self.buy_volume += quantity
            self.buy_value += price * quantity
        self.changed = True


def scaled(text: bytes, decimals: int) -> int:
    """A printed number as a whole one at a scale; digits behind the scale must be zeros."""
    whole, _, part = text.partition(b".")
    if len(part) > decimals:
        if part[decimals:].strip(b"0"):
            raise ValueError(f"{text.decode()} has more than {decimals} decimals")
        part = part[:decimals]
    return int(whole + part.ljust(decimals, b"0"))


@dataclass(slots=True)
class Record:
    """The truth of one symbol. Trades and aggregates in the order in which the venue made them."""

    instrument: Instrument
    trades: list[Trade] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    candles: dict[int, Candle] = field(default_factory=dict)
    close: int = 0  # of the newest trade, scaled; 0: none yet
    begun: int = 0  # minute of the first trade: before it there is no candle

    def add(self, trade: Trade) -> None:
        price = scaled(trade.price, self.instrument.price_decimals)
        self.begun = self.begun or trade.ms // MS_PER_MINUTE
        self.trades.append(trade)
        self.candle(trade.ms // MS_PER_MINUTE).add(
            trade, price, scaled(trade.quantity, self.instrument.quantity_decimals)
        )
        self.close = price

    def candle(self, minute: int) -> Candle:
        """The candle of a minute, begun flat at the last close if it is new."""
        candle = self.candles.get(minute)
        if candle is None:
            candle = self.candles[minute] = Candle(minute, self.close, self.close, self.close, self.close)
        return candle

    def forget(self, before_ms: int) -> None:
        """Let go of what happened before a time."""
        self.trades[:] = [trade for trade in self.trades if trade.ms >= before_ms]
        self.aggregates[:] = [one for one in self.aggregates if one.ms >= before_ms]
        for minute in [minute for minute in self.candles if minute < before_ms // MS_PER_MINUTE]:
            del self.candles[minute]


class Truth:
    """Of all symbols. hits: what faults did, in order of time."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self.records = [Record(instrument) for instrument in instruments]
        self.hits: list[Hit] = []

    def trades(self, symbol: str | None = None) -> Iterator[TradeRow]:
        """Every trade, symbol by symbol, in the order made; of one symbol if it is named."""
        for record in self.records:
            name = record.instrument.symbol
            if symbol is None or name == symbol:
                for trade in record.trades:
                    yield TradeRow(name, trade.id, trade.price.decode(), trade.quantity.decode(), trade.buy, trade.ms)
