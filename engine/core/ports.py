"""The plugs between the conveyor and the world."""

from __future__ import annotations

from collections.abc import Iterable
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


class Sink(Protocol):
    """Where effects go after the journal is durable up to their cause."""

    def perform(self, effects: Iterable[Effect]) -> None: ...

    def close(self) -> None: ...
