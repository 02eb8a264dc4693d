"""One sink's way through the outbox: at least once, in order, at its own pace."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from config.publish import Publish
from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock
from engine.io.disk import Disk
from engine.io.feeds.pace import Backoff
from engine.io.line_log import LineLog
from engine.io.publish import cursor as cursors
from engine.io.publish.cursor import Cursor
from engine.io.publish.entry import PAYLOAD, Entry
from engine.io.publish.outbox import Outbox, Reaches
from engine.io.publish.sink import Sink, SinkDownError, SinkRefusedError
from engine.io.status import Quantiles, quantiles

LATENCIES_KEPT = 10_000
BATCH_BYTES = 1 << 20
DISK_RETRY_S = 0.5


class ClosedError(SinkDownError):
    """The kill switch could not be asked, so nothing is sent."""


class Delivery:
    """A sink without a cursor begins where the outbox ended when it was opened.

    reaches: asked for each signal right before each attempt; if it may no longer go so far it is held back for good, an
    exception closes the way until it is answered again.
    Waits are of the machine's time, as is whoever stands at the other end. ConfigError for a cursor that cannot be.
    """

    def __init__(
        self, sink: Sink, outbox: Outbox, folder: Path, settings: Publish, *, clock: Clock, rng: random.Random,
        reaches: Reaches, disk: Disk, executor: Executor | None = None,
    ) -> None:  # fmt: skip
        self.sink, self._outbox, self._settings = sink, outbox, settings
        self._clock, self._reaches, self._disk, self._executor = clock, reaches, disk, executor
        self._path, self._dead_path = folder / f"{sink.name}.json", folder / f"{sink.name}.dead.jsonl"
        self._dead: LineLog | None = None
        self._backoff = Backoff(settings.backoff_min_s, settings.backoff_max_s, rng)
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.failed, self.trouble = 0, ""
        self.name = sink.name
        self.cursor = self._begin()

    def _begin(self) -> Cursor:
        outbox = self._outbox
        found = cursors.load(self._disk, self._path)
        if found is None:
            found = Cursor(outbox.opened_at, outbox.opened_lines)
            cursors.save(self._disk, self._path, found)
        elif found.position < (oldest := outbox.log.firsts[0]):
            # It was not running, by its mode or its settings: what came in meanwhile is held back for good.
            (first,) = outbox.read(oldest, 1, 1)
            found.held += first.number - found.lines
            found.position, found.lines = oldest, first.number
        elif not outbox.log.begins_at(found.position):
            raise ConfigError(
                f"{self._path} stands at byte {found.position}, where no line of {outbox.log.path} begins; "
                "restore the file it was made for, or remove the cursor to begin at the end"
            )
        return found

    @property
    def needs_from(self) -> int:
        """Position of the oldest line that is still to be sent."""
        return self.cursor.position

    async def run(self) -> None:
        """For ever; a cancelled delivery goes on from its cursor."""
        more = self._outbox.waker()
        try:
            while True:
                more.clear()
                try:
                    entries = self._outbox.read(self.cursor.position, self._settings.batch_signals_max, BATCH_BYTES)
                except Exception as error:  # nothing is left out: it is read again
                    await self._wait(f"the outbox cannot be read: {error}")
                    continue
                if not entries:
                    await more.wait()
                    continue
                await self._deliver([entry for entry in entries if entry.reach >= self.sink.reach])
                self.cursor.position = entries[-1].after
                self.cursor.lines += len(entries)
                await self._save()
        finally:
            self._outbox.give_back(more)

    async def close(self) -> None:
        with suppress(Exception):  # what it held is nobody's any more
            await self.sink.close()
        if self._dead:
            self._dead.close()

    def status(self) -> dict[str, Any]:
        """As engine.io.status.Sink, but for is_outside."""
        cursor = self.cursor
        waiting = self._outbox.lines - cursor.lines
        oldest_s = None
        with suppress(Exception):  # whoever sends them tells that they cannot be read
            if waiting and (oldest := self._outbox.read(cursor.position, 1, 1)):
                oldest_s = round((self._clock.now_ns() - oldest[0].taken_ns) / NS_PER_S, 3)
        latency: Quantiles = quantiles(list(self._latencies_ms))
        return {
            "name": self.sink.name, "delivered": cursor.delivered, "failed": self.failed, "dead": cursor.dead,
            "held": cursor.held, "waiting": waiting, "oldest_s": oldest_s, "latency_ms": latency,
            "trouble": self.trouble,
        }  # fmt: skip

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        """Until each was taken, held back, or is a dead letter."""
        refusals = 0
        while True:
            try:
                entries = self._let_through(entries)
                if not entries:
                    return
                async with asyncio.timeout(self._settings.timeout_s):
                    await self.sink.send(entries, self._clock.now_ns())
                break
            except SinkRefusedError as error:
                if len(entries) > 1:
                    await self._deliver(entries[: len(entries) // 2])
                    entries = entries[len(entries) // 2 :]
                    continue
                refusals += 1
                if refusals >= self._settings.refusals_max:
                    await self._bury(entries[0], refusals, str(error))
                    return
                await self._wait(str(error))
            except TimeoutError:
                await self._wait(f"{self.sink.name} took longer than {self._settings.timeout_s:g} s")
            except SinkDownError as error:
                await self._wait(str(error), error.retry_after_s)
            except Exception as error:  # a fault of ours in one sink is no trouble of the others
                await self._wait(f"error in Conveyor itself: {type(error).__name__}: {error}")
        self._taken(entries)

    def _let_through(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those that may go now. ClosedError if that is not to be learned."""
        try:
            passing = [entry for entry in entries if self._reaches(entry.signal)[0] >= self.sink.reach]
        except Exception as error:
            raise ClosedError(f"the kill switch raised {type(error).__name__}: {error}; nothing is sent") from error
        self.cursor.held += len(entries) - len(passing)
        return passing

    def _taken(self, entries: Sequence[Entry]) -> None:
        self._backoff.reset()
        self.trouble = ""
        self.cursor.delivered += len(entries)
        now_s = asyncio.get_running_loop().time()
        for entry in entries:
            since_s = self._outbox.durable_since(entry.after)
            if since_s is not None:
                self._latencies_ms.append(round((now_s - since_s) * 1000, 3))

    async def _wait(self, trouble: str, at_least_s: float = 0.0) -> None:
        self.failed += 1
        self.trouble = trouble
        await asyncio.sleep(self._backoff.next_s(min(at_least_s, self._settings.backoff_max_s)))

    async def _bury(self, entry: Entry, refusals: int, reason: str) -> None:
        """A dead letter is durable before anything behind it is sent."""
        self.trouble = reason
        head = {
            "position": entry.position, "id": entry.id, "at_ns": self._clock.now_ns(), "refusals": refusals,
            "reason": reason,
        }  # fmt: skip
        line = orjson.dumps(head)[:-1] + PAYLOAD + entry.signal.payload + b"}"
        written = False
        while not written:
            try:
                if self._dead is None:
                    self._dead = LineLog(self._disk, self._dead_path)
                if line:
                    self._dead.append(line)
                    line = b""
                written = await self._in_thread(self._dead.sync)
            except OSError as error:
                self.trouble = f"{self._dead_path.name}: {error.strerror or error}"
            if not written:
                await asyncio.sleep(DISK_RETRY_S)
        self._backoff.reset()
        self.cursor.dead += 1

    async def _save(self) -> None:
        """A cursor that the disk refuses costs repetitions after a crash, no signal."""
        try:
            await self._in_thread(cursors.save, self._disk, self._path, replace(self.cursor))
        except OSError as error:
            self.trouble = f"{self._path.name}: {error.strerror or error}"

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
