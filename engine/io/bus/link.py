"""The way between the bus and modules in other processes, over one broker: TOPIC.in and TOPIC.out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from config.bus import Bus as Settings
from engine.core.ports import Clock
from engine.io.bus.brokers import NatsSource, RedisSource
from engine.io.bus.bus import Bus
from engine.io.bus.ends import Put, Remote
from engine.io.bus.inbound import Inbound, Source
from engine.io.bus.message import KINDS, Message
from engine.io.feeds.pace import Backoff
from engine.io.publish.jetstream import JetStream
from engine.io.publish.redis_streams import RedisStreams

LENGTH_MAX = 100_000  # of TOPIC.out in Redis, about
BACKOFF_S = (0.1, 5.0)
OF_SIGNALS = "market_event"  # leaves by the sinks alone, which ask the release before each attempt


class Link:
    """Exists only while the mode lets anything outside; from `start` to `stop` its modules are receivers of the bus.

    say: journals a message. Raises ConfigError for an address that is none.
    """

    def __init__(
        self, settings: Settings, bus: Bus, *, say: Callable[[Message], None], clock: Clock, rng: random.Random
    ) -> None:
        self._modules, self._bus = settings.modules, bus
        source, self._out = ends_of(settings)
        self._inbound = Inbound(
            source, bus, modules=settings.modules, say=say, clock=clock, backoff=Backoff(*BACKOFF_S, rng)
        )
        self._source = source
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """In the loop."""
        put: Put = self._out.put
        for module in self._modules:
            for kind in KINDS:
                if kind.type != OF_SIGNALS and (not kind.receivers or module in kind.receivers):
                    self._bus.register(module, kind.type, Remote(put))
        self._task = asyncio.create_task(self._inbound.run(), name="bus link")

    async def stop(self) -> None:
        """What is pending waits on the bus, and at the broker."""
        for module in self._modules:
            self._bus.unregister(module)
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for end in (self._source, self._out):
            with suppress(Exception):  # what it held is nobody's any more
                await end.close()

    def status(self) -> dict[str, Any]:
        """As engine.io.status.BusLink."""
        return {"came": self._inbound.came, "refused": self._inbound.refused, "trouble": self._inbound.trouble}


def ends_of(settings: Settings) -> tuple[Source, Any]:
    """What reads TOPIC.in, and what has `put` for TOPIC.out."""
    said, told = f"{settings.topic}.in", f"{settings.topic}.out"
    if settings.redis_url:
        return RedisSource(settings.redis_url, said), RedisStreams(settings.redis_url, told, LENGTH_MAX)
    return NatsSource(settings.nats_url, said), JetStream(settings.nats_url, told)
