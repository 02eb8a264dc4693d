"""A stand-in for a running engine: a loop in a thread that serves a control socket, and a status dict to serve."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from engine.core.control import Command
from engine.core.minutes import NS_PER_S
from engine.io.control import Control, Query, Wish
from engine.io.local_http import Limits
from engine.io.status import Quantiles, Status, quantiles

NOW_NS = 1_767_225_785_250_000_000  # 2026-01-01 00:03:05.25 UTC
MIB = 1 << 20


def spread(*values: float) -> Quantiles:
    return quantiles(list(values))


def row(symbol: str, status: str = "ok", reasons: tuple[str, ...] = (), book_ms: int = 40) -> Any:
    return {
        "venue": "hyperliquid", "symbol": symbol, "exchange_ts": 1_767_225_780_000, "status": status,
        "reasons": list(reasons), "trade_count": 312, "book_staleness_ms": book_ms, "oi_staleness_ms": 900,
        "is_warming_up": False,
    }  # fmt: skip


def link(number: int, state: str = "up", silent: tuple[str, ...] = (), reason: str = "") -> Any:
    return {
        "venue": "hyperliquid", "id": number, "state": state, "since_ns": NOW_NS - 125 * NS_PER_S,
        "last_frame_ns": NOW_NS - 40_000_000, "frames": 48_211, "bytes": 9_400_000, "reconnects": 0, "streams": 12,
        "silent": list(silent), "reason": reason,
    }  # fmt: skip


WELL: Status = {
    "process": {
        "state": "running", "mode": "dry-run", "origin": "live", "session": "sessions/20260101-0000", "pid": 4242,
        "version": "0.1.0", "started_ns": NOW_NS - 3725 * NS_PER_S, "now_ns": NOW_NS, "time_source": "host",
        "speed": 1.0,
    },
    "minutes": {
        "closed": 60, "rows": 180, "ok": 179, "partial": 1, "stale": 0, "cut": 0, "reasons": {"book_gap": 1},
        "last_close_ns": 1_767_225_780_000_000_000, "close_to_row_ms": spread(1480.0, 1510.2, 1544.9),
        "bar_finalize_ms": spread(9.0, 11.4, 12.3), "ingest_lag_ms": spread(11.0, 12.0, 14.0),
    },
    "symbols": [row("BTC"), row("ETH"), row("SOL", book_ms=310)],
    "clock": {"host_offset_ms": 0.2, "slew_ppm": 12.0, "steps": 0, "venue_offset_ms": {"hyperliquid": 63.0}},
    "connections": [link(1)],
    "rest": [{"venue": "hyperliquid", "weight_used": 40, "weight_limit": 1200, "queued": 0, "failed": 0,
              "banned_until_ns": None}],
    "journal": {
        "folder": "sessions/20260101-0000/journal", "durable_seq": 48_400, "records": 48_401, "bytes": 11 * MIB,
        "waiting_bytes": 0, "lag_ms": 4.0, "clamped": 0, "commit_ms": spread(1.0, 2.0),
        "durable_ms": spread(5.0, 9.0), "full_since_ns": None,
    },
    "store": {"last_link": 59, "queued_rows": 0, "dropped_rows": 0, "errors": 0, "trouble": "", "rebuild": "",
              "write_ms": 3.4},
    "disk": {
        "state": "green", "free_bytes": 180 << 30, "total_bytes": 400 << 30, "journal_bytes": 11 * MIB,
        "journal_bytes_max": 40 << 30, "store_bytes": 3 * MIB, "logs_bytes": 20_000,
        "growth_bytes_per_day": 2.2 * (1 << 30), "days_left": 81.8, "removed_bytes": 0, "trouble": "",
    },
    "load": {"level": "calm", "cpu_pct": 7.0, "memory_pct": 31.0, "rss_bytes": 310 * MIB,
             "loop_lag_ms": spread(1.0, 3.0), "stalls": 0},
    "judged": {
        "reasons": {"budget_symbol": 1, "published": 40, "threshold": 59}, "classes": {"shift": 10, "spike": 30},
        "severity": spread(74.0, 78.0, 91.0), "quarantined": [],
    },
    "universe": [{"venue": "hyperliquid", "revision": 0, "symbols": ["BTC", "ETH", "SOL"], "without_depth": [],
                  "parked": [], "reason": "configured"}],
    "events": [],
}  # fmt: skip


def changed(**sections: Any) -> Status:
    """WELL with some figures of some sections changed; lists are replaced whole."""
    status: Any = deepcopy(WELL)
    for name, figures in sections.items():
        if isinstance(figures, dict):
            status[name] = status.get(name, {}) | figures
        else:
            status[name] = figures
    return status


class FakeEngine:
    """What it was told to do, and what it says of itself."""

    def __init__(self) -> None:
        self.said: Status = WELL
        self.commands: list[Command] = []
        self.wishes: list[Wish] = []
        self.answer: dict[str, Any] = {"done": True, "seq": 7, "sentence": "done"}

    def status(self) -> Status:
        return self.said

    async def command(self, command: Command) -> dict[str, Any]:
        self.commands.append(command)
        return self.answer

    async def change(self, wish: Wish, who: str) -> dict[str, Any]:
        self.wishes.append(wish)
        return self.answer


@contextmanager
def loop_in_thread() -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """An event loop in a thread of its own; the function given runs a coroutine in it and waits for its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    try:
        yield run
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@contextmanager
def serving(
    session: Path, engine: FakeEngine | None = None, query: Callable[[Query], bytes] | None = None,
    limits: Limits | None = None,
) -> Iterator[FakeEngine]:  # fmt: skip
    """A fake engine behind a real socket in `session`."""
    engine = engine or FakeEngine()
    session.mkdir(parents=True, exist_ok=True)
    control = Control(session, engine.status, engine.command, query, limits, engine.change)

    async def start() -> None:
        control.start()

    with loop_in_thread() as run:
        run(start())
        try:
            yield engine
        finally:
            run(control.close())
