"""What a sink is, and the two ways in which it does not take what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.core.errors import ConveyorError
from engine.core.release import Reach
from engine.io.publish.entry import Entry


class SinkDownError(ConveyorError):
    """Nobody took it; the same may be taken later. retry_after_s: how long the other end asked to be left alone."""

    def __init__(self, sentence: str, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class SinkRefusedError(ConveyorError):
    """The other end is there and does not want this."""


class Sink(Protocol):
    """Where signals go. name: of its cursor. reach: least reach of a signal that may go there."""

    @property
    def name(self) -> str: ...

    @property
    def reach(self) -> Reach: ...

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        """Returns when all of them were taken. A part may have been, if it raises: SinkDownError, SinkRefusedError."""

    async def close(self) -> None: ...
