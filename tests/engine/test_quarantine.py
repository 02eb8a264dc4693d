"""A detector that raises while an engine runs: kept out by name and reason across a kill, and so by every replay."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import orjson
import pytest

from detectors.table import TABLE
from engine.core.detector import View
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.io.health import indicators
from tests.engine.test_app import World, proven, settings

FAILS, REASON = "spike_vol_v1", "ValueError: no such shape"
FAILS_IN = 1  # minute of the market
CONFIG = settings("state.every_minutes=1")


@contextmanager
def planted(world: World) -> Iterator[list[int]]:
    """The table with a detector that raises from a minute on; the minutes it was asked about."""
    asked: list[int] = []

    def find(view: View, threshold: float, out: np.ndarray) -> None:
        asked.append(view.minute)
        if view.minute >= world.at(FAILS_IN, 0) // NS_PER_MINUTE:
            raise ValueError("no such shape")

    table = tuple(replace(one, find=find) if one.id == FAILS else one for one in TABLE)
    with mock.patch("engine.closing.TABLE", table):
        yield asked


def live_and_die(folder: str, stop_s: str) -> None:
    """A process of its own: an engine that is killed in the middle of its life."""
    world = World(Path(folder))

    async def life() -> None:
        app = world.app(CONFIG)
        running = asyncio.create_task(app.run())
        await until(world, float(stop_s))
        assert not running.done()
        os.kill(os.getpid(), signal.SIGKILL)

    with planted(world):
        world.play(life)


async def until(world: World, second: float) -> None:
    await asyncio.sleep((world.at(0, second) - world.clock.now_ns()) / NS_PER_S)


def quarantines(folder: Path) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]
    return [line["detail"] for line in lines if line["kind"] == "detector_quarantined"]


@pytest.mark.parametrize(("stop_s", "is_in_state"), [(130, False), (170, True)])
def test_a_quarantine_outlives_a_kill_and_the_replay_gives_the_same_digest(
    tmp_path: Path, stop_s: int, is_in_state: bool
):
    """The minute that fails closes at second 120; a state snapshot is taken in the quiet part of the next one."""
    folder = tmp_path / "session"
    told = f"from tests.engine.test_quarantine import live_and_die; live_and_die({str(folder)!r}, '{stop_s}')"
    root = Path(__file__).resolve().parents[2]
    died = subprocess.run([sys.executable, "-c", told], cwd=root, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    world = World(folder)
    world.play(lambda: until(world, stop_s + 5))
    statuses: list[Any] = []

    async def second_life() -> None:
        app = world.app(CONFIG)
        running = asyncio.create_task(app.run(world.at(3, 20)))
        await until(world, 190)
        statuses.append(app.status())
        await running

    with planted(world) as asked:
        world.play(second_life)
        # Asked again only for minutes that no state covers, where it fails as it did before; never live again.
        failed_in = world.at(FAILS_IN, 0) // NS_PER_MINUTE
        assert [minute for minute in asked if minute >= failed_in] == ([] if is_in_state else [failed_in])
        (status,) = statuses
        assert status["judged"]["quarantined"] == [FAILS]
        (events,) = (one for one in indicators(status) if one.name == "events")
        assert (events.colour, f"quarantined: {FAILS}, events.jsonl says why" in events.words) == ("amber", True)
        assert quarantines(folder) == [{"detector": FAILS, "reason": REASON}]
        assert proven(folder) == world.kept.links[-1].chain
