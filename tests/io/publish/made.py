"""Signals by hand, and the parts around a delivery, on a loop of virtual time and a disk in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from config.publish import Publish
from engine.core.effects import Found, MinuteRows, Signal
from engine.core.release import Reach
from engine.io.publish.delivery import Delivery
from engine.io.publish.entry import Entry
from engine.io.publish.outbox import FILE_BYTES, Outbox
from replay.chaos.disk import MemoryDisk
from replay.exchange import VirtualClock, VirtualLoop

SESSION = Path("/session")
BEGUN_NS = 1_700_000_000_000_000_000
ROWS = np.empty(0)


def signal(number: int, symbol: str = "BTC", detector: str = "vol_spike", stage: str = "production") -> Signal:
    """The same number gives the same signal."""
    key, exchange_ts = f"hyperliquid:{symbol}:spike:1m", 1_700_000_040_000 + number // 100 * 60_000
    event = {"debounce_key": key, "emitted_at": exchange_ts, "event_id": f"s{number:06}", "subtype": detector}
    payload = {"event": event, "text": 'a text with ,"payload":{ in it', "value": 0.1 + number}
    return Signal(
        f"s{number:06}", "hyperliquid", symbol, key, detector, "spike", stage, exchange_ts, 70, 1,
        orjson.dumps(payload, option=orjson.OPT_SORT_KEYS),
    )  # fmt: skip


def minute(link: int, signals: Sequence[Signal]) -> MinuteRows:
    found = Found(ROWS, (), (), (), (), tuple(signals), "hash")
    return MinuteRows(link, link, "hyperliquid", link, (), (), ROWS, {}, "chain", found=found)


def minutes(count: int, each: int, symbols: Sequence[str] = ("BTC", "ETH", "SOL")) -> list[MinuteRows]:
    """Of links 0 to count - 1, each with so many signals."""
    return [
        minute(link, [signal(link * 100 + place, symbols[place % len(symbols)]) for place in range(each)])
        for link in range(count)
    ]


def ids(rows: Sequence[MinuteRows]) -> list[str]:
    return [one.id for row in rows if row.found for one in row.found.signals]


def outside(signal: Signal) -> tuple[Reach, str]:
    return Reach.OUTSIDE, ""


class Taker:
    """A sink that keeps what it gets. answer: called before each batch is taken; it may raise."""

    name, reach = "taker", Reach.OUTSIDE

    def __init__(self, answer: Callable[[Sequence[Entry]], None] = lambda entries: None) -> None:
        self.answer = answer
        self.got: list[Entry] = []
        self.batches: list[int] = []
        self.closed = 0

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        self.answer(entries)
        self.got += entries
        self.batches.append(len(entries))

    async def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[str]:
        return [entry.id for entry in self.got]


class World:
    """One loop of virtual time, one disk, one outbox and deliveries from it. `open` again is a restart."""

    def __init__(self, disk: MemoryDisk | None = None, file_bytes: int = FILE_BYTES, **settings: Any) -> None:
        self.disk, self.file_bytes = disk or MemoryDisk(), file_bytes
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, BEGUN_NS)
        self.settings = Publish(**settings)
        self.reaches: Callable[[Signal], tuple[Reach, str]] = outside
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(SESSION, self.clock, self._asked, self.disk, self.file_bytes)

    def _asked(self, signal: Signal) -> tuple[Reach, str]:
        return self.reaches(signal)

    def delivery(self, sink: Any) -> Delivery:
        return Delivery(
            sink, self.outbox, SESSION / "outbox", self.settings, clock=self.clock, rng=random.Random(1),
            reaches=self._asked, disk=self.disk,
        )  # fmt: skip

    def perform(self, rows: Sequence[MinuteRows]) -> None:
        """Into the outbox, and durable."""
        self.outbox.perform(rows)
        assert self.outbox.sync()
        self.outbox.told(self.loop.time())

    def for_s(self, span_s: float, *jobs: Coroutine[Any, Any, None]) -> None:
        """Run jobs so long, then cancel them. Whatever one raises is raised."""

        async def live() -> None:
            tasks = [asyncio.ensure_future(job) for job in jobs]
            await asyncio.sleep(span_s)
            for task in tasks:
                task.cancel()
            for told in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(told, BaseException) and not isinstance(told, asyncio.CancelledError):
                    raise told

        self.loop.run_until_complete(live())
