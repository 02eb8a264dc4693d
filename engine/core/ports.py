"""The plugs between the conveyor and the world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from engine.core.effects import Effect


class Journal(Protocol):
    """Where records go before anything else sees them."""

    @property
    def durable_seq(self) -> int:
        """The last seq that survives a power cut; -1 if there is none."""
        ...

    def append(self, kind: int, source: int, recv_ns: int, payload: bytes) -> int:
        """Take a record into memory; returns the seq it was given. Nothing is durable before commit."""
        ...

    def commit(self) -> int:
        """Make everything appended durable; returns the last durable seq."""
        ...

    def close(self) -> None:
        """Commit, and let go of the folder."""
        ...


class Clock(Protocol):
    """The one source of time of a run. Nothing else at the ends reads a clock or sleeps."""

    def now_ns(self) -> int:
        """UTC, never less than it said before. In a scaled run the time of the exchange it is scaled for."""
        ...

    def seconds(self, span_s: float) -> float:
        """What a span of this clock's time is for the event loop: less, in a run that is faster than real time."""
        ...


class Receiver(Protocol):
    """What a link tells. All calls come from the event loop, in the order in which things happened."""

    def frame(self, payload: bytes, recv_ns: int) -> None:
        """A whole message, stamped when the last of its bytes was read from the socket."""
        ...

    def pong(self, recv_ns: int) -> None:
        """The answer to the last ping of the protocol."""
        ...

    def ended(self, reason: str) -> None:
        """Nothing more will come. Once, whoever ended it."""
        ...


class Link(Protocol):
    """An open connection to a venue."""

    def send(self, payload: bytes) -> None:
        """One text message; never waits. After the end it does nothing."""
        ...

    def ping(self) -> None:
        """A ping of the protocol."""
        ...

    def pause(self) -> None:
        """Read no more from the socket: the kernel's buffer, and so the venue, has to wait."""
        ...

    def resume(self) -> None: ...

    def close(self, reason: str) -> None:
        """End it now, without waiting for the peer; `ended` comes with this reason."""
        ...


class Transport(Protocol):
    """Opens links. Raises FeedError that says what was tried, what went wrong and what to do."""

    async def connect(self, url: str, receiver: Receiver, timeout_s: float) -> Link: ...


LOCAL_EXCHANGE = "conveyor-exchange"  # header of every answer of an exchange of ours: what it tells is no market


class Http(Protocol):
    """Makes one request. Raises FeedError if there is no answer; any status is an answer."""

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers with lower-case names, body)."""
        ...


class Sink(Protocol):
    """Where effects go after the journal is durable up to their cause."""

    def perform(self, effects: Iterable[Effect]) -> None: ...

    def close(self) -> None: ...
