"""What runs beside the line of a live engine: its control socket, its metrics, and who looks after the disk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from engine.io.control import Control, Query
from engine.io.metrics import MetricsPort
from engine.io.query import run_query
from engine.io.retention import DAY_S, MIB, DiskUse, Retention

if TYPE_CHECKING:
    from engine.app.live import App


class Beside:
    """From `start` to `close`; nothing of it is needed for a minute to close.

    Raises ConfigError if metrics.port is taken, before anything was written.
    """

    def __init__(self, app: App, session: Path) -> None:
        self._app, self._session = app, session
        self._control = Control(session, app.status, app.commands.obey, self._query, change=app.changes.ask)
        port = app.config.metrics.port
        self._metrics = MetricsPort(port, app.status) if port else None
        self._thread = ThreadPoolExecutor(1, "disk")
        self._looking: asyncio.Future[DiskUse] | None = None
        self._retention: Retention | None = None

    @property
    def disk(self) -> DiskUse | None:
        """The last look at it."""
        return self._retention.use if self._retention else None

    def start(self) -> None:
        """Raises ConfigError if the socket cannot be had."""
        app, store = self._app, self._app.session.store if self._app.session else None
        self._control.start()
        if self._metrics:
            self._metrics.start()
        loop = asyncio.get_running_loop()

        def report(kind: str, detail: dict[str, str]) -> None:
            """From the disk's thread."""
            loop.call_soon_threadsafe(partial(app.tell, kind, **detail))

        self._retention = Retention(
            self._session, app.journal_folder, app.config.retention, now_ns=app.clock.now_ns,
            forget_rows=store.forget_before if store else None, hold_store=store.hold if store else None,
            report=report,
        )  # fmt: skip
        self.look()

    def look(self) -> None:
        """At the disk, unless the last look goes on."""
        if self._retention and (self._looking is None or self._looking.done()):
            self._retention.removed_bytes += self._forget_signals()
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self._retention.look)

    def _forget_signals(self) -> int:
        """Of the outbox, which is read in the loop, so in the loop; bytes removed."""
        app, limits = self._app, self._app.config.retention
        if app.outward is None:
            return 0
        before_ns = app.clock.now_ns() - int(limits.signals_days_max * DAY_S * NS_PER_S)
        try:
            removed = app.outward.publisher.forget(before_ns, int(limits.signals_mib_max * MIB))
        except OSError as error:
            app.tell("signals_not_pruned", error=str(error))
            return 0
        if removed:
            app.tell("signals_pruned", bytes=removed, first_position=app.outward.publisher.outbox.log.firsts[0])
        return removed

    async def close(self) -> None:
        await self._control.close()
        if self._metrics:
            await self._metrics.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def release(self) -> None:
        """What the start of a run may have left, that did not come to its end."""
        if self._metrics:
            self._metrics.release()

    def _query(self, asked: Query) -> bytes:
        """For the control socket's thread."""
        if self._app.session is None:
            raise ConfigError("this engine keeps no store, so there is nothing to query")
        return run_query(self._app.session.store, asked.query, asked.rows_max, asked.timeout_s, self._app.origin)
