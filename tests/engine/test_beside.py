"""What runs beside the line of an engine: served and looked after in its loop, and gone with it."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.folder import Retention
from config.schema import Config, Metrics
from engine.app.beside import Beside
from engine.core.errors import ConfigError
from engine.io.control import SOCKET
from engine.io.control_client import Engine
from engine.io.journal_writer import JournalWriter
from engine.io.store import Store
from tests.engines import WELL
from tests.io.journals import HEADER, append


def an_app(session: Path, store: Store | None, port: int = 0) -> Any:
    with JournalWriter(session / "journal", header=HEADER) as writer:
        append(writer, 0, 9)
        writer.commit()
    return SimpleNamespace(
        config=Config(metrics=Metrics(port=port)), status=lambda: WELL, command=None, origin="simulated", outward=None,
        session=SimpleNamespace(store=store) if store else None, journal_folder=session / "journal",
        clock=SimpleNamespace(now_ns=time.time_ns), tell=lambda kind, **detail: None,
        changes=SimpleNamespace(ask=None), commands=SimpleNamespace(obey=None),
    )  # fmt: skip


def test_it_serves_queries_and_measures_the_disk_until_it_is_closed(tmp_path: Path):
    store = Store(tmp_path / "store.duckdb")

    async def life() -> None:
        beside = Beside(an_app(tmp_path, store), tmp_path)
        beside.start()
        loop, engine = asyncio.get_running_loop(), Engine(tmp_path)
        assert await loop.run_in_executor(None, engine.status) == WELL
        assert b"conveyor_origin" in await loop.run_in_executor(None, engine.sql, "SELECT 1", 1, 5.0)
        assert beside._looking is not None
        await beside._looking
        assert beside.disk is not None
        assert beside.disk.journal_bytes == sum(path.stat().st_size for path in (tmp_path / "journal").iterdir())
        assert beside.disk.store_bytes > 0
        beside.look()
        await beside._looking
        await beside.close()

    try:
        asyncio.run(life())
    finally:
        store.close()
    assert not (tmp_path / SOCKET).exists()


def test_the_outbox_is_kept_within_its_limits_and_what_goes_is_told(tmp_path: Path):
    asked: list[tuple[int, int]] = []
    told: list[tuple[str, dict[str, Any]]] = []
    answers = iter((700, 0, OSError("read-only")))

    def forget(before_ns: int, bytes_max: int) -> int:
        asked.append((before_ns, bytes_max))
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def life() -> None:
        app = an_app(tmp_path, None)
        app.config = Config(retention=Retention(signals_days_max=2, signals_mib_max=10))
        app.clock.now_ns = lambda: 10 * 86_400 * 10**9
        app.tell = lambda kind, **detail: told.append((kind, detail))
        outbox = SimpleNamespace(log=SimpleNamespace(firsts=[4_000, 9_000]))
        app.outward = SimpleNamespace(publisher=SimpleNamespace(forget=forget, outbox=outbox))
        beside = Beside(app, tmp_path)
        beside.start()
        for _ in range(2):
            assert beside._looking is not None
            await beside._looking
            beside.look()
        assert beside.disk is not None
        assert beside.disk.removed_bytes == 700
        assert beside._looking is not None
        await beside._looking
        await beside.close()

    asyncio.run(life())
    assert asked == [(8 * 86_400 * 10**9, 10 << 20)] * 3
    assert told == [
        ("signals_pruned", {"bytes": 700, "first_position": 4_000}), ("signals_not_pruned", {"error": "read-only"}),
    ]  # fmt: skip


def test_an_engine_that_only_records_answers_no_query(tmp_path: Path):
    async def life() -> None:
        beside = Beside(an_app(tmp_path, None), tmp_path)
        beside.start()
        with pytest.raises(ConfigError, match="keeps no store"):
            await asyncio.get_running_loop().run_in_executor(None, Engine(tmp_path).sql, "SELECT 1", 1, 5.0)
        await beside.close()

    asyncio.run(life())


def test_a_port_that_is_taken_is_told_before_anything_is_written(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        app = an_app(tmp_path, None, other.getsockname()[1])
        with pytest.raises(ConfigError, match=r"metrics\.port"):
            Beside(app, tmp_path)

    assert not (tmp_path / SOCKET).exists()
