"""What the ends must know of a venue, and the tape need not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.core.instruments import Instrument

Streams = Sequence[tuple[str, str]]  # (channel, symbol)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a venue allows one address.

    streams: on one connection. batch: streams in one message. messages in messages_s: sent by us on one connection,
    or over all of them if shared. connects in connects_s: attempts. weight: of requests in a minute.
    lifetime_s: after which the venue closes a connection; 0: never.
    """

    streams: int
    batch: int
    messages: int
    messages_s: float
    connects: int
    connects_s: float
    weight: int
    lifetime_s: float = 0.0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A message of a connection that is no data.

    done, refused: of subscription message `number`, or of `streams`. closing: the venue is about to end the connection.
    """

    kind: Literal["done", "refused", "pong", "closing", "other"]
    number: int = -1
    streams: tuple[tuple[str, str], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. name, symbol: the first line of its REST record; path: behind the venue's REST address."""

    name: str
    symbol: str
    path: str
    weight: int
    method: str = "GET"
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A symbol as the venue lists it. funding_interval_h: 0 if the listing does not tell it."""

    price_decimals: int
    quantity_decimals: int
    trading: bool
    funding_interval_h: int = 0


class VenueEnd(ABC):
    """One venue. Everything here is sans-IO; bytes in, bytes out.

    ws_path: end of the only address at which messages name their stream. usual: channels of a symbol for which none
    are named. polled: of these, what is asked for by request every poll_every_s instead of subscribed. pace_s: time
    between two messages of channels that never pause while the venue lives, the witnesses of the silence model.
    trades_page: trades in a full answer to `trades`. funding_interval_h: of symbols that `funding` does not name.
    ping: sent every ping_every_s besides the pings of the protocol.
    """

    venue: ClassVar[str]
    ws_url: ClassVar[str]
    ws_path: ClassVar[str] = ""
    rest_url: ClassVar[str]
    limits: ClassVar[Limits]
    usual: ClassVar[tuple[str, ...]]
    polled: ClassVar[tuple[str, ...]] = ()
    poll_every_s: ClassVar[float] = 10.0
    pace_s: ClassVar[dict[str, float]] = {}
    trade_channels: ClassVar[tuple[str, ...]]
    depth_channels: ClassVar[tuple[str, ...]]
    trades_page: ClassVar[int] = 1000
    funding_interval_h: ClassVar[int] = 0
    ping: ClassVar[bytes | None] = None
    ping_every_s: ClassVar[float] = 30.0

    @abstractmethod
    def subscribe(self, streams: Streams, number: int) -> bytes:
        """The message that asks for at most limits.batch streams; number comes back in the answer if the venue can."""

    @abstractmethod
    def unsubscribe(self, streams: Streams, number: int) -> bytes: ...

    @abstractmethod
    def key(self, payload: bytes) -> bytes:
        """The bytes of a data message that say which stream it is of; empty for anything else."""

    @abstractmethod
    def key_of(self, channel: str, symbol: str) -> bytes:
        """What `key` gives for the messages of a stream."""

    @abstractmethod
    def answer(self, payload: bytes) -> Answer | None:
        """What a message without a key says; None: it is malformed."""

    @abstractmethod
    def listing(self) -> Request: ...

    @abstractmethod
    def read_listing(self, body: bytes) -> dict[str, Listed]:
        """Every symbol of the venue. Raises ValueError, KeyError or TypeError if that is no listing."""

    def funding(self) -> Request | None:
        """Where the venue tells the intervals between fundings that are not usual; None: its listing tells all."""
        return None

    def read_funding(self, body: bytes) -> dict[str, int]:
        """Hours between two fundings of every symbol named there. Raises as read_listing."""
        raise ValueError("no intervals")

    @abstractmethod
    def snapshot(self, symbol: str) -> Request | None:
        """The book of a symbol; None where it comes whole over the socket."""

    @abstractmethod
    def trades(self, symbol: str, channel: str, after_id: int, from_ns: int) -> Request | None:
        """Trades behind an id, or from a time on if the id is -1; None if the venue does not give them."""

    def last_trade(self, body: bytes) -> tuple[int, int, int]:
        """(trades, last id, its venue time in ns) of an answer to `trades`. Raises as read_listing."""
        raise ValueError("no trades")

    def has_more(self, channel: str, count: int) -> bool:
        """Whether so many trades in an answer mean that there are more behind them."""
        return count >= self.trades_page

    @abstractmethod
    def candle(self, symbol: str, minute: int) -> Request:
        """The venue's own candle of a minute."""

    @abstractmethod
    def has_candle(self, body: bytes, minute: int) -> bool:
        """Whether that answer holds that minute. Raises as read_listing."""

    def poll(self, channel: str, symbol: str) -> Request:
        """A polled channel of a symbol."""
        raise ValueError(f"{self.venue} has no channel to poll for {channel} of {symbol}")

    @abstractmethod
    def totals(self) -> Request:
        """The last day's volume, and open interest if the venue tells it, of all symbols."""

    def instrument(self, symbol: str, listed: Listed) -> Instrument:
        """Raises ConfigError if the engine cannot hold its scales."""
        return Instrument(
            self.venue, symbol, listed.price_decimals, listed.quantity_decimals,
            funding_interval_h=listed.funding_interval_h,
        )  # fmt: skip


def decimals(step: str) -> int:
    """Decimals of a step as text: 0.10 -> 1, 1 -> 0, 0.00100000 -> 3. TypeError if it is no text."""
    return len(str.partition(step, ".")[2].rstrip("0"))
