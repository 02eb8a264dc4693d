"""Where an exchange's frames come from: what a source gives, minute by minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from engine.core.instruments import Instrument
from replay.exchange.truth import Trade

Levels = list[tuple[bytes, bytes]]  # (price, quantity) as printed; a quantity of zero: the level is gone


class Quote(NamedTuple):
    update: int
    bid: bytes
    bid_quantity: bytes
    ask: bytes
    ask_quantity: bytes
    ms: int


class Diff(NamedTuple):
    """Changes of a book, update ids first..last; before: the last id of the diff before it.

    reach: the id that a snapshot taken behind it tells. On futures the next diff has to reach over it.
    """

    first: int
    last: int
    before: int
    bids: Levels
    asks: Levels
    ms: int
    reach: int


class Book(NamedTuple):
    """A whole book as it stands at an update id. It is told to the exchange, never sent."""

    last: int
    bids: Levels
    asks: Levels
    ms: int
    reach: int


class Mark(NamedTuple):
    mark_price: bytes
    index_price: bytes
    rate: bytes  # per eight hours
    interest: bytes
    ms: int


class Forced(NamedTuple):
    """A liquidation: the order that was forced, filled as a whole."""

    buy: bool
    price: bytes
    quantity: bytes
    ms: int


@dataclass(slots=True)
class Sent:
    """One thing that the venue sends on one channel of one symbol.

    channel: as the venue names it, "book" for a Book. symbol: place in the source's instruments. facts: a Trade
    (trade), tuple of Trade (trades), Aggregate, Quote, Diff, Book, Mark, Forced, or what only the source can print.
    text: the printed data, b"" until somebody needs them.
    """

    at_ns: int
    channel: str
    symbol: int
    facts: Any
    text: bytes = b""


class Source(Protocol):
    """Frames of one venue, whoever made them.

    coins: names of the base assets; tick_units: ticks in units of the last price decimal; both as `instruments`.
    start_ns: of what it gives; first_minute_ns: the first minute that is whole; end_ns: nothing comes after it.
    """

    venue: str
    instruments: list[Instrument]
    coins: list[str]
    tick_units: list[int]
    start_ns: int
    first_minute_ns: int
    end_ns: int

    def minutes(self) -> Iterator[list[Sent]]:
        """Lists in order of time, each in order of time."""
        ...

    def text(self, sent: Sent) -> bytes:
        """Print the facts: Binance the `data` of the frame, Hyperliquid the whole frame."""
        ...

    def another(self, symbol: int, trade: Trade, copy: int) -> Trade:
        """A new trade like one that was (venues whose ids do not count)."""
        ...

    def trade_text(self, symbol: int, trade: Trade) -> bytes:
        """Print one trade as it stands in a list of trades (Hyperliquid)."""
        ...
