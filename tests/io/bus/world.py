"""A bus on a loop of virtual time with a disk in memory, and handlers that keep what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from engine.io.bus.bus import Bus
from engine.io.bus.message import Message, make
from engine.io.disk import read_all
from replay.chaos.disk import MemoryDisk
from replay.exchange import VirtualClock, VirtualLoop

SESSION = Path("/session")
BEGUN_NS = 1_700_000_000_000_000_000


class Heard:
    """A handler that keeps what it hears. answer: called first, and may raise or wait."""

    def __init__(self, answer: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self.answer = answer
        self.messages: list[Message] = []
        self.attempts_s: list[float] = []

    async def __call__(self, message: Message) -> None:
        self.attempts_s.append(asyncio.get_running_loop().time())
        if self.answer:
            await self.answer(message)
        self.messages.append(message)

    @property
    def said(self) -> list[Any]:
        return [message.data["n"] for message in self.messages]


class World:
    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk, self.loop = disk or MemoryDisk(), VirtualLoop()
        self.clock = VirtualClock(self.loop, BEGUN_NS)
        self.bus = Bus(SESSION, self.clock, self.disk)

    def plan(self, n: int) -> Message:
        return make("trading_plan", "alpha", "decision_maker", {"n": n}, self.clock.now_ns())

    def for_s(self, span_s: float, told: Callable[[], Awaitable[None]] | None = None) -> None:
        async def live() -> None:
            self.bus.start()
            if told:
                await told()
            await asyncio.sleep(span_s)
            await self.bus.stop()

        try:
            self.loop.run_until_complete(live())
        finally:
            self.loop.run_until_complete(self._bury({*asyncio.all_tasks(self.loop), *self.bus._tasks}))

    @staticmethod
    async def _bury(left: set[asyncio.Task[Any]]) -> None:
        """What a killed process leaves: collected at some later time, it would run inside whatever runs then."""
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in read_all(self.disk, SESSION / name).splitlines()]


def failing(*failures: int) -> Callable[[Message], Awaitable[None]]:
    """Raises at those attempts, counted from 1."""
    attempts: list[int] = []

    async def answer(message: Message) -> None:
        attempts.append(1)
        if len(attempts) in failures:
            raise RuntimeError("planted")

    return answer
