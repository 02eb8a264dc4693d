"""What modules in other processes say: from their broker into the journal, and from there onto the bus.

A message is a record before anything else is made of it, so a replay hears it too. It is acknowledged to the broker
when it is on the bus; after a crash it comes again and is known by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from engine.core.errors import ConveyorError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock
from engine.io.bus.bus import Bus
from engine.io.bus.message import BusError, Message, decode
from engine.io.feeds.pace import Backoff
from engine.io.journal_writer import JournalFull

BYTES_MAX = 64 << 10
AHEAD_S_MAX = 60  # that a message may be created after now by our clock

Came = tuple[Any, bytes]  # what the broker knows it by, its content


class BrokerDownError(ConveyorError):
    """The broker cannot be reached, or has not what it should have."""


class Source(Protocol):
    """A broker, read. After each `take` comes `done` with all of it, or `close`. Both raise BrokerDownError."""

    async def take(self) -> Sequence[Came]:
        """What came, at most some hundred; empty if nothing did for a second."""
        ...

    async def done(self, tokens: Sequence[Any]) -> None:
        """These need not come again."""
        ...

    async def close(self) -> None:
        """The next `take` begins anew, with what was taken and is not done."""
        ...


class Inbound:
    """Reads one source for ever. modules: who may speak there. say: journals a message; JournalFull: not now."""

    def __init__(
        self, source: Source, bus: Bus, *, modules: Sequence[str], say: Callable[[Message], None], clock: Clock,
        backoff: Backoff,
    ) -> None:  # fmt: skip
        self._source, self._bus, self._say, self._clock = source, bus, say, clock
        self._modules, self._backoff = modules, backoff
        self.came = self.refused = 0
        self.trouble = ""

    async def run(self) -> None:
        while True:
            try:
                came = await self._source.take()
                said = dict[str, None]()
                for _, content in came:
                    self._say_once(content, said)
                await self._bus.told(said)
                await self._source.done([token for token, _ in came])
                self._backoff.reset()
                self.trouble = ""
            except Exception as error:
                is_known = isinstance(error, (BrokerDownError, JournalFull, BusError))
                self.trouble = str(error) if is_known else f"error in Conveyor itself: {type(error).__name__}: {error}"
                with suppress(Exception):  # a broker that is down may not even be left in peace
                    await self._source.close()  # what was taken and is not done comes again
                await asyncio.sleep(self._backoff.next_s())

    def _say_once(self, content: bytes, said: dict[str, None]) -> None:
        """said: ids of this batch, in order; this one's is put into it unless it is refused."""
        try:
            message = self._admitted(content)
        except BusError as error:
            self.refused += 1
            self._bus.refuse(content, str(error))
            return
        if message.message_id not in said and not self._bus.knows(message.message_id):
            self._say(message)
            self.came += 1
        said[message.message_id] = None

    def _admitted(self, content: bytes) -> Message:
        """BusError for what nobody there may say, or says too late."""
        if len(content) > BYTES_MAX:
            raise BusError(f"{len(content)} bytes; a message has at most {BYTES_MAX}")
        message = decode(content)
        if message.sender not in self._modules:
            raise BusError(f"{message.sender} is none of bus.modules: {', '.join(self._modules)}")
        now_ns = self._clock.now_ns()
        if message.expires_ns() <= now_ns:
            raise BusError(f"came {(now_ns - message.expires_ns()) / NS_PER_S:.0f} s after its end")
        if message.created_at > now_ns + AHEAD_S_MAX * NS_PER_S:
            ahead_s = (message.created_at - now_ns) / NS_PER_S
            raise BusError(f"was created {ahead_s:.0f} s after now; check the clock of {message.sender}")
        return message
