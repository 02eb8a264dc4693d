"""What a live engine's signals and messages leave through: publisher, module bus, and the way to modules elsewhere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import Config
from engine.core.effects import Effect, Heard, Released
from engine.core.errors import ConveyorError
from engine.core.records import RecordKind
from engine.core.release import Reach
from engine.io.bus.bus import Bus
from engine.io.bus.ends import MarketEvents
from engine.io.bus.link import Link
from engine.io.bus.message import BusError, Message, decode
from engine.io.disk import Disk
from engine.io.publish import publisher
from engine.io.publish.publisher import Publisher
from engine.modes import most

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.app.live import App


class Outward:
    """engine.core.ports.Sink. Made before the recovery, which may bring signals; from `start` to `stop` they leave.

    Raises ConfigError for an outbox, or settings, that cannot be.
    """

    def __init__(
        self, app: App, session: Path, *, disk: Disk, rng: random.Random, threads: bool, note: Callable[[str], None]
    ) -> None:
        self._app, self._rng, self._note = app, rng, note
        self._executor = ThreadPoolExecutor(1, "bus") if threads else None
        self.bus = Bus(session, app.clock, disk, self._executor)
        self.publisher = Publisher(
            session, app.config.publish, clock=app.clock, rng=rng, release=app.conveyor.release, most=most, disk=disk,
            threads=threads, note=note, inside=[MarketEvents(self.bus)],
        )  # fmt: skip
        self._link: Link | None = None
        self._trouble = ""
        self._released, self._halted, self._hears = asyncio.Event(), False, False
        self._following: asyncio.Task[None] | None = None

    def perform(self, effects: Iterable[Effect]) -> None:
        self.publisher.perform(effects)
        for effect in effects:
            if isinstance(effect, Heard):
                self.bus.send(decode(effect.message), effect.cause_seq, effect.at_ns)
            elif isinstance(effect, Released):
                self._released.set()

    def say(self, message: Message) -> None:
        """What a module says, here or elsewhere: a record first, and on the bus when that is durable.

        JournalFull if there is no room for it now, BusError if the engine stops.
        """
        if not self._hears:
            raise BusError("the engine stops; say it again when it runs")
        self._app.append(RecordKind.MESSAGE, 0, message.encode())

    def sync(self) -> bool:
        """Before a state snapshot: what it stands behind must be in outbox and bus for good."""
        return self.publisher.sync() and self.bus.sync()

    def start(self) -> None:
        self._hears = True
        self.bus.start()
        self.publisher.start()
        if self._app.config.bus.modules:
            self._released.set()
            self._following = asyncio.create_task(self._follow(), name="bus link")

    def halt(self) -> None:
        """Nothing more leaves this process, nor is anything heard: what computes has failed."""
        self.publisher.halt()
        self._halted = True
        self._released.set()

    async def stop_hearing(self) -> None:
        """Before the journal ends: a record behind its end would never be handed over."""
        self._hears = False
        if self._following:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await self._unlink()

    async def stop(self) -> None:
        """Of what was said all has been heard."""
        await self.publisher.stop()
        await self.bus.stop()

    def close(self) -> None:
        """What is not sent stays on the disk for the next start."""
        self.publisher.close()
        self.bus.close()
        if self._executor:
            self._executor.shutdown()

    def bus_status(self) -> dict[str, Any]:
        """As engine.io.status.Bus."""
        told = self.bus.status() | {"link": self._link.status() if self._link else None}
        told["trouble"] = told["trouble"] or self._trouble or (told["link"]["trouble"] if told["link"] else "")
        return told

    async def _follow(self) -> None:
        """Modules elsewhere are outside: the way to them exists where the mode lets anything go there."""
        while True:
            await self._released.wait()
            self._released.clear()
            if self._halted or most(self.publisher.release.mode) < Reach.OUTSIDE:
                await self._unlink()
            elif self._link is None:
                self._open_link()

    def _open_link(self) -> None:
        self._trouble = ""
        try:
            self._link = Link(self._app.config.bus, self.bus, say=self.say, clock=self._app.clock, rng=self._rng)
            self._link.start()
        except ConveyorError as error:  # an address that is none, a module that listens here already
            self._trouble = str(error)
            self._note(f"error: modules elsewhere: {error}")

    async def _unlink(self) -> None:
        link, self._link = self._link, None
        if link:
            await link.stop()


def must_be_usable(config: Config) -> None:
    """Raises ConfigError for a secret or a package that is not there, before a mode asks for it in the night."""
    publisher.must_be_usable(config.publish)
    publisher.must_have_clients("bus", config.bus.redis_url, config.bus.nats_url)
