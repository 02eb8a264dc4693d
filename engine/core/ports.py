"""The plugs between the conveyor and the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from engine.core.effects import Effect
from engine.core.records import Record, RecordBatch


class Source(Protocol):
    """Where records come from: a journal, or the sequencer of live feeds."""

    def batches(self) -> Iterator[RecordBatch]: ...


class Journal(Protocol):
    """Where records go before anything else sees them."""

    def append(self, record: Record) -> None: ...

    def commit(self) -> int:
        """Make everything appended durable; returns the last durable seq."""
        ...


class Sink(Protocol):
    """Where effects go after the journal is durable up to their cause."""

    def perform(self, effects: Iterable[Effect]) -> None: ...

    def close(self) -> None: ...
