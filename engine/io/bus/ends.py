"""Where the bus meets the outside: signals come onto it, and receivers may live in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import orjson

from engine.core.release import Reach
from engine.io.bus.bus import Bus
from engine.io.bus.message import Message, make
from engine.io.publish.entry import Entry

Put = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


class MarketEvents:
    """engine.io.publish.sink.Sink: signals as market_event, the internal topic. A repetition has the same id."""

    name, reach = "bus", Reach.INTERNAL

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        for entry in entries:
            payload = orjson.loads(entry.signal.payload)
            self._bus.send(make("market_event", "alpha", None, {"id": entry.id, "signal": payload}, entry.taken_ns))

    async def close(self) -> None:
        """The bus is its owner's."""


class Remote:
    """A handler for a receiver in another process: the same envelope, put into Redis or NATS.

    put: of RedisStreams or JetStream; what it raises is tried again by the bus. There engine.io.bus.message.decode
    reads it, and tells repetitions by message_id.
    """

    def __init__(self, put: Put) -> None:
        self._put = put

    async def __call__(self, message: Message) -> None:
        await self._put([(message.message_id, message.type, message.encode())])
