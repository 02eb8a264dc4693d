"""What a live engine's signals and messages leave through: the publisher and the module bus of its session."""

from __future__ import annotations

import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.effects import Effect
from engine.io.bus.bus import Bus
from engine.io.bus.ends import MarketEvents
from engine.io.disk import Disk
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
        self._executor = ThreadPoolExecutor(1, "bus") if threads else None
        self.bus = Bus(session, app.clock, disk, self._executor)
        self.publisher = Publisher(
            session, app.config.publish, clock=app.clock, rng=rng, release=app.conveyor.release, most=most, disk=disk,
            threads=threads, note=note, inside=[MarketEvents(self.bus)],
        )  # fmt: skip

    def perform(self, effects: Iterable[Effect]) -> None:
        self.publisher.perform(effects)

    def sync(self) -> bool:
        """Before a state snapshot: what it stands behind must be in the outbox for good."""
        return self.publisher.sync()

    def start(self) -> None:
        self.bus.start()
        self.publisher.start()

    async def stop(self) -> None:
        await self.publisher.stop()
        await self.bus.stop()

    def close(self) -> None:
        """What is not sent stays on the disk for the next start."""
        self.publisher.close()
        self.bus.close()
        if self._executor:
            self._executor.shutdown()
