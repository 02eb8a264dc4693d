"""One connection as the venue sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engine.core.minutes import NS_PER_S
from replay.exchange.limits import Window

if TYPE_CHECKING:
    from replay.exchange.exchange import Exchange

Key = tuple[str, int]  # channel, place of the symbol in the source's instruments


class Peer(Protocol):
    """The other end of a connection, as a front gives it to the exchange."""

    def frame(self, payload: bytes) -> None: ...

    def ping(self) -> None: ...

    def pong(self, data: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """An orderly end, told to the client."""
        ...

    def abort(self) -> None:
        """The socket is cut, nothing is told."""
        ...


class Session:
    """What a front calls when its client does something, and what the exchange knows of it.

    number: from 0, in order of connecting. streams: what it is subscribed to, and what its frames are wrapped in;
    since: when. mute: half open; nothing is sent and nothing is heard, for good, not even an end. opened_ns, heard_ns
    (its last text), ponged_ns: venue time.
    """

    def __init__(self, exchange: Exchange, number: int, peer: Peer, now_ns: int) -> None:
        self.exchange, self.number, self.peer = exchange, number, peer
        self.opened_ns = self.heard_ns = self.ponged_ns = now_ns
        self.streams: dict[Key, bytes] = {}
        self.since: dict[Key, int] = {}
        self.mute = self.over = False
        self.raw = False  # frames without the name of their stream
        self.messages = Window(exchange.rules.messages_s)
        self.free_ns = self.out_ns = 0  # when a slow line has taken in, and given out, all it was given

    def receive(self, payload: bytes, now_ns: int) -> None:
        """A text message of the client."""
        self.exchange.advance(now_ns)
        if self.over or self.mute:
            return
        self.heard_ns = now_ns
        rules = self.exchange.rules
        if rules.messages and self.messages.add(now_ns) > rules.messages:
            self.end(1008, "Too many requests")
            return
        self.exchange.protocol.receive(self, payload)

    def pinged(self, data: bytes, now_ns: int) -> None:
        self.exchange.advance(now_ns)
        if not self.over and not self.mute:
            self.exchange.later(self, lambda: self.peer.pong(data), 0)

    def ponged(self, now_ns: int) -> None:
        self.ponged_ns = now_ns

    def gone(self, now_ns: int) -> None:
        """The client has ended the connection, or its socket has."""
        self.exchange.advance(now_ns)
        self.exchange.forget(self)

    def say(self, payload: bytes) -> None:
        """A message of the connection's own: an answer, a greeting, what stands on subscribing."""
        if not self.over and not self.mute:
            self.exchange.later(self, lambda: self.peer.frame(payload), len(payload))

    def end(self, code: int, reason: str) -> None:
        """The venue closes."""
        if not self.over:
            self.exchange.forget(self)
            if not self.mute:
                self.peer.close(code, reason)

    def cut(self) -> None:
        if not self.over:
            self.exchange.forget(self)
            if not self.mute:
                self.peer.abort()

    def idle(self, now_ns: int, span_s: float) -> bool:
        return now_ns - self.heard_ns >= span_s * NS_PER_S
