"""The three ways things go wrong, told apart by what the operator has to do."""

from __future__ import annotations

from config.errors import ConfigError, ConveyorError

__all__ = ["ConfigError", "ConveyorError", "FeedError", "InvariantError", "JournalError"]


class FeedError(ConveyorError):
    """The world misbehaved: it is counted, the connection is renewed, the engine goes on.

    retry_after_s: how long the venue asked to be left alone; 0 if it did not.
    """

    def __init__(self, sentence: str, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class InvariantError(ConveyorError):
    """We misbehaved: stop publishing and trading, keep the journal, report the place."""


class JournalError(ConveyorError):
    """The journal cannot be read or written as it should.

    segment: file name; offset: byte position in it; expected and found: what the format demands and what stood there.
    """

    def __init__(self, segment: str, offset: int, expected: str, found: str, action: str) -> None:
        self.segment, self.offset = segment, offset
        super().__init__(f"{segment} at byte {offset}: expected {expected}, found {found}; {action}")
