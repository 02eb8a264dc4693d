"""One configured connection: the same streams for the whole run, over as many links as that takes.

A venue that ends connections after a day is left before it does so: the successor lives on the line's other id, and
the old connection goes only after both have been heard for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.core.minutes import NS_PER_S
from engine.io.feeds.connection import Connection, World
from engine.io.feeds.endless import OnCrash, endless
from engine.io.venues.end import Answer, Streams

LIFETIME_SHARE = 0.9  # of what the venue allows; spread over the next 8 % so that lines do not move together
LIFETIME_SPREAD = 0.08
LOOK_S = 1.0


class Line:
    """ids: of its connection and of the planned successor."""

    def __init__(
        self,
        world: World,
        ids: tuple[int, int],
        on_answer: Callable[[Connection, Answer], None],
        on_crash: OnCrash,
    ) -> None:
        self.world, self.ids, self._on_crash = world, ids, on_crash
        self.streams: list[tuple[str, str]] = []
        self._make = lambda source: Connection(world, source, self.streams, on_answer, on_crash)
        self.current = self._make(ids[0])
        self.successor: Connection | None = None
        self._paused = False
        self._due_ns = 0  # when to move; 0: not set
        self._ready_ns = 0  # since when the successor is heard
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.current.start()
        job = endless(self._look_after, self._on_crash, self.world.clock, self.world.rng)
        self._task = asyncio.ensure_future(job)

    async def stop(self, reason: str) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for connection in self.connections:
            await connection.stop(reason)

    @property
    def connections(self) -> list[Connection]:
        return [self.current, *([self.successor] if self.successor is not None else [])]

    def carry(self, streams: Streams) -> None:
        self.streams = list(streams)
        for connection in self.connections:
            connection.carry(self.streams)

    def pause(self, on: bool) -> None:
        self._paused = on
        for connection in self.connections:
            connection.pause(on)

    def move(self) -> None:
        """Move to a successor now: the venue said that it will end the connection."""
        if self.successor is None:
            self._begin()

    def _begin(self) -> None:
        other = self.ids[0] if self.current.source == self.ids[1] else self.ids[1]
        self.successor, self._ready_ns = self._make(other), 0
        self.successor.pause(self._paused)
        self.successor.start()

    async def _look_after(self) -> None:
        clock = self.world.clock
        while True:
            await asyncio.sleep(clock.seconds(LOOK_S))
            now_ns = clock.now_ns()
            if self.successor is None:
                if self._is_old(now_ns):
                    self._begin()
            elif not self.successor.subscribed:
                self._ready_ns = 0
            else:
                self._ready_ns = self._ready_ns or now_ns
                both_s = (now_ns - self._ready_ns) / NS_PER_S
                if both_s >= self.world.settings.overlap_s or self.current.state != "up":
                    old, self.current, self.successor = self.current, self.successor, None
                    await old.stop("planned: its successor carries on")

    def _is_old(self, now_ns: int) -> bool:
        """Whether the connection has lived most of what the venue allows. Drawn anew for each of them."""
        lifetime_s = self.world.end.limits.lifetime_s
        current = self.current
        if not lifetime_s or current.state != "up":
            self._due_ns = 0
            return False
        if self._due_ns <= current.up_ns:
            share = LIFETIME_SHARE + LIFETIME_SPREAD * self.world.rng.random()
            self._due_ns = current.up_ns + int(lifetime_s * share * NS_PER_S)
        return now_ns >= self._due_ns
