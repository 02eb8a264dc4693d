"""From the core's signals to every sink that the settings name and the mode allows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from config.publish import Publish
from engine.core.effects import Effect, Released, Signal
from engine.core.errors import ConfigError, ConveyorError
from engine.core.ports import Clock
from engine.core.release import Reach, Release
from engine.io.disk import OS_DISK, Disk
from engine.io.line_log import Syncing
from engine.io.publish.delivery import Delivery
from engine.io.publish.jetstream import JetStream
from engine.io.publish.outbox import Outbox
from engine.io.publish.redis_streams import RedisStreams
from engine.io.publish.sink import Sink
from engine.io.publish.stream import Stream
from engine.io.publish.webhook import Webhook, secret_of

FOLDER = "outbox"  # of cursors and dead letters
AGAIN_S = 5.0  # until a sink that could not be made is tried again


class Publisher:
    """engine.core.ports.Sink. Outbox, deliveries and stream of one session.

    release: in force until the first Released effect. sinks: makes those that may take what goes outside, anew each
    time a mode allows it. most: how far a mode may let anything go; only where it says OUTSIDE do they exist. threads:
    False writes on the spot, for a loop of virtual time. Raises ConfigError for an outbox or settings that cannot be,
    and OSError if the folder cannot be written.
    """

    def __init__(
        self, session: Path, settings: Publish, *, clock: Clock, rng: random.Random, release: Release,
        most: Callable[[str], Reach], disk: Disk = OS_DISK, threads: bool = True,
        note: Callable[[str], None] = lambda line: None, inside: Iterable[Sink] = (),
    ) -> None:  # fmt: skip
        self._settings, self._clock, self._rng, self._disk, self._note = settings, clock, rng, disk, note
        self.release, self._most, self._inside = release, most, tuple(inside)
        must_be_usable(settings)
        self._folder = session / FOLDER
        disk.make_folder(self._folder)
        self.outbox = Outbox(session, clock, self.reaches, disk)
        self._executor = ThreadPoolExecutor(1, "outbox") if threads else None
        self._released = asyncio.Event()
        self._running: list[_Running] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.trouble = self._noted = ""
        self._has_all = False  # whether every sink that the mode allows is there
        self._syncing = Syncing(self.outbox.log, self._synced, self._executor)
        self.outbox.on_taken = self._syncing.wake

    def reaches(self, signal: Signal) -> tuple[Reach, str]:
        """How far it may go now. Asked when it is taken, and again right before each attempt to send it."""
        return self.release.reach(signal)

    # ---- effects ----

    def perform(self, effects: Iterable[Effect]) -> None:
        """Released effects count from their place among the others on."""
        for effect in effects:
            if isinstance(effect, Released):
                self.release = effect.release
                self._released.set()
            else:
                self.outbox.perform((effect,))

    def sync(self) -> bool:
        """Make the outbox durable; to be done before a state snapshot. In any thread."""
        return self.outbox.sync()

    def forget(self, before_ns: int, bytes_max: int) -> int:
        """Remove signals that were taken before that time, and the oldest above that size; bytes removed.

        What is still to be sent stays: what a sink or a consumer has before it, and everything while a sink that the
        mode allows is not there. In the loop. OSError if the disk refuses.
        """
        if not self._has_all:
            return 0
        needed = min((one.sink.needs_from for one in self._running), default=self.outbox.log.durable)
        return self.outbox.forget(before_ns, bytes_max, needed)

    # ---- life ----

    def start(self) -> None:
        """In the loop, when recovery is over."""
        self._tasks = [
            asyncio.create_task(self._syncing.run(), name="outbox"),
            asyncio.create_task(self._adapt(), name="sinks"),
        ]
        self._released.set()

    def halt(self) -> None:
        """Send nothing more in this process: what computes the signals has failed, so they are not to be trusted."""
        self._most = _nothing
        self._released.set()

    async def stop(self) -> None:
        """What is not sent stays in the outbox for the next start."""
        for task in self._tasks:
            await _ended(task)
        await self._close(above=Reach.LOG)

    def close(self) -> None:
        """The outbox itself, at last; nothing is performed after it."""
        self.outbox.close()
        if self._executor:
            self._executor.shutdown()

    def status(self) -> dict[str, Any]:
        """As engine.io.status.Publish."""
        return {
            "signals": self.outbox.lines,
            "outside": any(one.is_outside for one in self._running),
            "trouble": self.outbox.log.error or self.trouble,
            "sinks": [one.sink.status() | {"is_outside": one.is_outside} for one in self._running],
        }

    def _synced(self) -> None:
        self.outbox.told(asyncio.get_running_loop().time())

    # ---- what exists in which mode ----

    async def _adapt(self) -> None:
        """Make or end what the mode in force may have or may not; what could not be made is tried again."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S if self.trouble else None):
                    await self._released.wait()
            self._released.clear()
            self.trouble, self._has_all = "", False
            most = self._most(self.release.mode)
            await self._close(above=most)
            self._open(most)
            await self._open_stream(most)
            self._has_all = not self.trouble and self._most is not _nothing

    def _open(self, most: Reach) -> None:
        """The one place where anything is made that can send. What is there already stays as it is."""
        if most >= Reach.INTERNAL:
            for sink in self._inside:
                self._run(sink.name, partial(_same, sink), is_outside=False)
        if most >= Reach.OUTSIDE:
            for name, make in outside_sinks(self._settings).items():
                self._run(name, make, is_outside=True)

    def _run(self, name: str, make: Callable[[], Sink], is_outside: bool) -> None:
        if self._is_there(name):
            return
        try:
            delivery = Delivery(
                make(), self.outbox, self._folder, self._settings, clock=self._clock, rng=self._rng,
                reaches=self.reaches, disk=self._disk, executor=self._executor,
            )  # fmt: skip
        except Exception as error:  # a fault of ours in one sink is no trouble of the others
            self._tell(error)
            return
        task = asyncio.create_task(delivery.run(), name=name)
        self._running.append(_Running(delivery, task, is_outside))

    async def _open_stream(self, most: Reach) -> None:
        if most < Reach.OUTSIDE or not self._settings.stream_port or self._is_there(Stream.name):
            return
        stream = Stream(self.outbox, self._settings, clock=self._clock, reaches=self.reaches)
        try:
            await stream.start()
        except ConveyorError as error:
            self._tell(error)
            return
        self._running.append(_Running(stream, None, True))

    def _is_there(self, name: str) -> bool:
        return any(one.sink.name == name for one in self._running)

    def _tell(self, error: Exception) -> None:
        is_known = isinstance(error, ConveyorError | OSError)
        self.trouble = str(error) if is_known else f"error in Conveyor itself: {type(error).__name__}: {error}"
        if self.trouble != self._noted:
            self._note(f"error: publishing: {self.trouble}")
            self._noted = self.trouble

    async def _close(self, above: Reach) -> None:
        """End what reaches further than that."""
        for one in [one for one in self._running if above < (Reach.OUTSIDE if one.is_outside else Reach.INTERNAL)]:
            if one.task:
                await _ended(one.task)
            await one.sink.close()
            self._running.remove(one)


def _nothing(mode: str) -> Reach:
    return Reach.LOG


def _same(sink: Sink) -> Sink:
    return sink


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class _Told(Protocol):
    """A delivery or the stream."""

    @property
    def name(self) -> str: ...
    @property
    def needs_from(self) -> int: ...
    def status(self) -> dict[str, Any]: ...
    async def close(self) -> None: ...


class _Running:
    def __init__(self, sink: _Told, task: asyncio.Task[None] | None, is_outside: bool) -> None:
        self.sink, self.task, self.is_outside = sink, task, is_outside


def must_be_usable(settings: Publish) -> None:
    """Raises ConfigError for a secret or a package that is not there, before a mode asks for it in the night."""
    if settings.webhook_url:
        secret_of(settings)
    must_have_clients("publish", settings.redis_url, settings.nats_url)


def must_have_clients(section: str, redis_url: str, nats_url: str) -> None:
    """Raises ConfigError for a broker whose client is not installed. The extra has the name of the package."""
    for package, url in (("redis", redis_url), ("nats", nats_url)):
        if url and find_spec(package) is None:
            raise ConfigError(
                f"{section}.{package}_url is set and its client is not installed; pip install conveyor[{package}]"
            )


def outside_sinks(settings: Publish) -> dict[str, Callable[[], Sink]]:
    """Of those the settings name, what makes each."""
    found: dict[str, Callable[[], Sink]] = {}
    if settings.webhook_url:
        found[Webhook.name] = lambda: Webhook(settings.webhook_url, secret_of(settings))
    if settings.redis_url:
        found[RedisStreams.name] = lambda: RedisStreams(settings.redis_url, settings.topic, settings.redis_length_max)
    if settings.nats_url:
        found[JetStream.name] = lambda: JetStream(settings.nats_url, settings.topic)
    return found
