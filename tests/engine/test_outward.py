"""A live engine whose signals leave: planted ones, for real ones take hours to warm up. In memory, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from config.schema import Config
from engine.conveyor import Conveyor
from engine.core.effects import Found, MinuteRows
from engine.core.errors import ConfigError, InvariantError
from engine.core.minutes import NS_PER_S, close_ms
from engine.io.disk import OsDisk
from engine.io.publish import publisher
from engine.io.session import SessionWriter
from tests.engine.test_app import World, settings
from tests.engine.test_mode_changes import ask, played, started_in
from tests.io.publish.made import Taker, signal

EMPTY = np.empty(0)


def planted(minute: MinuteRows) -> Found:
    """Two signals of this minute; what they say follows from it alone, as with the core's."""
    told = [
        replace(signal(minute.minute * 2 + place, ("BTC", "SOL")[place]), exchange_ts=close_ms(minute.minute))
        for place in range(2)
    ]
    return Found(EMPTY, (), (), (), (), tuple(told), "")


@pytest.fixture
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each first close has signals when it leaves the conveyor for the sinks, live and at a recovery."""
    handle = Conveyor.handle

    def with_signals(self: Conveyor, batch: Any) -> list[Any]:
        return [
            replace(one, found=planted(one)) if isinstance(one, MinuteRows) and one.revision == 0 else one
            for one in handle(self, batch)
        ]

    monkeypatch.setattr(Conveyor, "handle", with_signals)
    perform = SessionWriter.perform

    def without_found(self: SessionWriter, effects: Any) -> None:
        """The store has tables for what detectors found; these were found by nobody."""
        perform(self, [replace(one, found=None) if isinstance(one, MinuteRows) else one for one in effects])

    monkeypatch.setattr(SessionWriter, "perform", without_found)


@pytest.fixture
def takers(monkeypatch: pytest.MonkeyPatch) -> list[Taker]:
    """Every outside sink that was ever made."""
    made: list[Taker] = []

    def make() -> Any:
        made.append(Taker())
        return made[-1]

    monkeypatch.setattr(publisher, "outside_sinks", lambda settings: {"taker": make})
    return made


def lines(world: World) -> list[dict[str, Any]]:
    files = sorted((world.folder / "signals").iterdir())
    return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]


@pytest.mark.usefixtures("_signals")
def test_a_dry_run_logs_every_signal_and_makes_nothing_that_could_send(tmp_path: Path, takers: list[Taker]):
    world = World(tmp_path / "session")
    world.run(world.at(3, 20))

    told = lines(world)
    assert [one["link"] for one in told] == [link.link for link in world.kept.links if link.revision == 0 for _ in "12"]
    assert {(one["reach"], one["why"]) for one in told} == {("log", "mode")}
    assert takers == []


@pytest.mark.usefixtures("_signals")
def test_from_shadow_to_canary_and_back_only_the_canary_s_signals_of_its_minutes_leave(
    tmp_path: Path, takers: list[Taker]
):
    world = World(tmp_path / "session", 5)
    steps = [(70.0, ask("mode", "canary", override="drill")), (190.0, ask("mode", "shadow"))]
    app = played(world, steps, world.at(4, 20), config=started_in("shadow"))

    told = lines(world)
    assert {one["reach"] for one in told if one["symbol"] == "SOL"} == {"internal"}
    left = [one["id"] for one in told if one["reach"] == "outside"]
    assert len(left) == 2  # minutes 1 and 2: open at the promotion, closed at the demotion
    (taker,) = takers
    assert taker.ids == left
    assert taker.closed == 1
    status = app.status()["publish"]
    assert (status["signals"], status["outside"]) == (len(told), False)


@pytest.mark.usefixtures("_signals")
def test_after_a_crash_the_same_signals_come_again_and_are_in_the_outbox_once(tmp_path: Path, takers: list[Taker]):
    class Crash(OsDisk):
        """The process dies at once where `at` comes."""

        def fdatasync(self, handle: int) -> None: ...

    world = World(tmp_path / "session", 5)

    async def story() -> None:
        app = world.app(started_in("shadow"), disk=Crash())
        task = asyncio.create_task(app.run(world.at(4, 20)))
        await asyncio.sleep((world.at(2, 30) - world.clock.now_ns()) / NS_PER_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.play(story)
    for state in (world.folder / "state").iterdir():
        state.unlink()  # it begins from the journal's beginning: all of them come again
    world.run(world.at(4, 20), config=started_in("shadow"))

    told = lines(world)
    assert len({one["id"] for one in told}) == len(told)
    assert sorted((one["link"], one["place"]) for one in told) == [(one["link"], one["place"]) for one in told]
    assert len(told) >= 8
    assert takers == []


@pytest.mark.usefixtures("_signals")
def test_a_conveyor_that_failed_publishes_nothing_more(
    tmp_path: Path, takers: list[Taker], monkeypatch: pytest.MonkeyPatch
):
    world = World(tmp_path / "session")

    async def promote(app: Any) -> None:
        await ask("mode", "canary", override="drill")(app)
        await asyncio.sleep(1)
        assert len(takers) == 1

        def broken(self: Conveyor, batch: Any) -> Any:
            raise InvariantError("planted")

        monkeypatch.setattr(Conveyor, "handle", broken)
        await asyncio.sleep(5)
        assert takers[0].closed == 1

    with pytest.raises(InvariantError, match="planted"):
        played(world, [(30.0, promote)], world.at(1, 20), config=started_in("shadow"))
    assert takers[0].got == []


def test_a_sink_whose_secret_is_missing_is_refused_before_anything_is_written(tmp_path: Path):
    world = World(tmp_path / "session")
    config: Config = settings("publish.webhook_url=http://127.0.0.1:1", "publish.webhook_secret_env=NOT_SET")

    with pytest.raises(ConfigError, match="NOT_SET is empty"):
        world.run(world.at(1, 0), config=config)

    assert not world.folder.exists()
