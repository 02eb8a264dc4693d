"""Where the bus meets the outside: signals come onto it, and receivers may live in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import orjson

from engine.core.effects import Signal
from engine.core.minutes import NS_PER_MS
from engine.core.release import Reach
from engine.io.bus.bus import Bus
from engine.io.bus.message import Message, make
from engine.io.publish.entry import Entry

Put = Callable[[Sequence[tuple[str, str, bytes]]], Awaitable[None]]


def market_event(signal: Signal) -> Message:
    """A signal as it is said on the bus. Everything in it follows from the signal: created when its minute closed."""
    data = {"id": signal.id, "signal": orjson.loads(signal.payload)}
    return make("market_event", "alpha", None, data, signal.exchange_ts * NS_PER_MS)


class MarketEvents:
    """engine.io.publish.sink.Sink: signals as market_event, the internal topic. A repetition has the same id."""

    name, reach = "bus", Reach.INTERNAL

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        for entry in entries:
            self._bus.send(market_event(entry.signal), entry.position, entry.taken_ns)
        await self._bus.durable()

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
