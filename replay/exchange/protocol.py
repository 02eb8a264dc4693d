"""What a venue's protocol is to the exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs, urlsplit

from replay.exchange.limits import Gate
from replay.exchange.session import Key, Session
from replay.exchange.truth import Candle

if TYPE_CHECKING:
    from replay.exchange.exchange import Exchange, Reply

JSON = {"content-type": "application/json"}


class Protocol(ABC):
    """One venue: handshake, subscriptions, frames, requests. hosts: where the real venue is reached."""

    hosts: ClassVar[tuple[str, ...]]
    channels: ClassVar[tuple[str, ...]]
    candle_channel: ClassVar[str]

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @abstractmethod
    def open(self, session: Session, target: str) -> list[tuple[Key, bytes]]:
        """Streams that the path asks for. Raises RefusedError if there is nothing at that path."""

    @abstractmethod
    def greet(self, session: Session, streams: list[tuple[Key, bytes]]) -> None:
        """The connection stands: subscribe and say what is said first."""

    @abstractmethod
    def receive(self, session: Session, payload: bytes) -> None:
        """A message of the client."""

    @abstractmethod
    def wrap(self, name: bytes, text: bytes) -> bytes:
        """A frame from the printed data and what the stream is called on that connection."""

    @abstractmethod
    def candle(self, symbol: int, candle: Candle, final: bool) -> bytes:
        """Printed data of the candle channel."""

    @abstractmethod
    def request(self, gate: Gate, method: str, target: str, body: bytes) -> Reply:
        """Answer a request. Raises RefusedError."""

    @abstractmethod
    def huge(self, session: Session, nbytes: int) -> bytes:
        """A valid message of no meaning and of that size."""

    @abstractmethod
    def shut_down(self, session: Session) -> None:
        """Say that the connection will be closed soon, where the venue does so."""


def path_and_query(target: str) -> tuple[str, dict[str, str]]:
    """Path without its last slash, and the last value of each key."""
    parts = urlsplit(target)
    return parts.path.rstrip("/"), {key: values[-1] for key, values in parse_qs(parts.query).items()}
