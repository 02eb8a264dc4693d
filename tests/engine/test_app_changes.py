"""The detector pack of a running engine is changed: told, tried, journaled, in force, kept and brought back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from engine.app import App
from engine.core.control import read_epoch
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MINUTE, NS_PER_S
from engine.core.records import RecordKind
from engine.io.config_history import HISTORY, find_version, read_history
from engine.io.control import Wish
from replay.chaos.disk import MemoryDisk
from tests.engine.test_app import World, chain_of, proven, records, settings

THRESHOLD, OTHER = "core.signals.detectors.spike_vol_v1.threshold", "core.signals.detectors.spike_price_up_v1.threshold"


def life(world: World, until_ns: int, story: Any, **parts: Any) -> None:
    """One run, with a story beside it that is given the engine and a wait."""

    async def wait(minute: int, second: float) -> None:
        await asyncio.sleep((world.at(minute, second) - world.clock.now_ns()) / NS_PER_S)

    async def both() -> None:
        app = world.app(**parts)
        running = asyncio.create_task(app.run(until_ns))
        await story(app, wait)
        await running

    world.play(both)


def epochs(session: Path) -> list[Any]:
    return [read_epoch(one.payload) for one in records(session / "journal") if one.kind == RecordKind.CONFIG]


def test_a_change_is_journaled_whole_and_in_force_with_the_next_minute(tmp_path):
    world, answers, packs = World(tmp_path / "session", 4), [], []

    async def story(app: App, wait: Any) -> None:
        await wait(1, 30)
        packs.append(app.status()["pack"])
        answers.append(await app.changes.ask(Wish({THRESHOLD: 0.7}, why="a try"), "alice"))
        assert app.conveyor.minutes.epochs.of(world.at(0, 0) // NS_PER_MINUTE).settings.detectors == {}
        packs.append(app.status()["pack"])
        answers.append(await app.changes.ask(Wish(version="1.0.0"), "bob"))
        packs.append(app.status()["pack"])

    life(world, world.at(3, 20), story)
    there, back = answers

    assert (there["done"], there["version"]) == (True, "v1.0.1")
    assert there["changes"] == [(THRESHOLD, None, 0.7)]
    assert there["from_ts"] == (world.at(1, 0) // NS_PER_MINUTE + 1) * MS_PER_MINUTE
    assert (there["trial"]["minutes"], there["trial"]["symbols"]) == (2, 3)
    assert back["version"] == "v1.0.2"

    first, second, third = read_history(world.folder)
    assert [line["who"] for line in (first, second, third)] == ["start", "alice", "bob"]
    assert (second["why"], third["of"]) == ("a try", "v1.0.0")
    assert first["config_hash"] == third["config_hash"] != second["config_hash"]
    assert first["pack"] == third["pack"]
    assert packs == [{name: line[name] for name in packs[0]} for line in (first, second, third)]
    assert set(packs[0]) == {"version", "config_hash", "from_ts"}
    assert [change.who for _, change in epochs(world.folder)] == ["start", "alice", "bob"]
    assert [link.chain for link in world.kept.links] == chain_of(world.folder / "journal")
    assert proven(world.folder)


def test_what_is_refused_or_only_tried_is_not_in_the_journal(tmp_path):
    world, answers = World(tmp_path / "session", 3), []

    async def story(app: App, wait: Any) -> None:
        await wait(1, 10)
        for wish in (
            Wish({THRESHOLD: 11.0, "core.closing.grace_ms": 4000, "core.signals.detectors.spik_vol_v1.stage": "x"}),
            Wish({THRESHOLD: 0.7}, check=True),
            Wish({THRESHOLD: None}),
            Wish(version="v9.9.9"),
            Wish(),
            Wish({THRESHOLD: 2.0}, version="v1.0.0"),
        ):
            answers.append(await app.changes.ask(wish, "alice"))

    life(world, world.at(1, 20), story)
    wrong, tried, same, unknown, empty, both = answers

    assert (wrong["done"], len(wrong["problems"])) == (False, 4)
    assert "needs a restart" in wrong["sentence"]
    assert "Did you mean spike_vol_v1?" in wrong["sentence"]
    assert tried["done"]
    assert tried["trial"]["minutes"] == 2
    assert "nothing to change" in same["sentence"]
    assert (unknown["done"], "the newest are v1.0.0" in unknown["sentence"]) == (False, True)
    assert wrong["fault"] == unknown["fault"] == "input"
    assert empty["sentence"] == both["sentence"] == "give settings to change, or a version to go back to"
    assert len(epochs(world.folder)) == len(read_history(world.folder)) == 1


def test_a_change_waits_for_the_one_before_it_also_while_the_disk_takes_neither(tmp_path):
    """Each is made to what the one before left; made to what stood before both, it would take the first one back."""
    world, disk, answers = World(tmp_path / "session", 3), MemoryDisk(), []
    first, second = Wish({THRESHOLD: 0.7}), Wish({OTHER: 0.8})

    async def story(app: App, wait: Any) -> None:
        await wait(0, 20)
        disk.capacity = sum(len(inode.data) for inode in disk.entries.values())
        answers.append(await app.changes.ask(first, "alice"))
        answers.append(await app.changes.ask(second, "bob"))
        disk.capacity = None
        await wait(0, 50)
        answers.append(await app.changes.ask(second, "bob"))
        found = app.conveyor.core.signals.detectors
        assert (found["spike_vol_v1"].threshold, found["spike_price_up_v1"].threshold) == (0.7, 0.8)

    life(world, world.at(1, 20), story, disk=disk, session_folder=None)
    assert [(answer["done"], answer.get("fault")) for answer in answers] == [
        (False, "state"), (False, "state"), (True, None)
    ]  # fmt: skip
    assert "not obeyed yet" in answers[1]["sentence"]


def test_a_change_outlives_the_process_until_the_settings_change_themselves(tmp_path):
    world = World(tmp_path / "session", 6)

    async def change(app: App, wait: Any) -> None:
        await wait(0, 40)
        assert (await app.changes.ask(Wish({THRESHOLD: 2.5}), "alice"))["done"]

    def in_force(app: App) -> Any:
        own = app.conveyor.core.signals.detectors.get("spike_vol_v1")
        return None if own is None else own.threshold

    life(world, world.at(1, 20), change)
    again = world.run(world.at(2, 20))
    assert in_force(again) == 2.5
    assert any("was changed while it ran" in note for note in world.notes)
    other = world.run(world.at(3, 20), config=settings("core.signals.rearm_pct=60"))
    assert (in_force(other), other.conveyor.core.signals.rearm_pct) == (None, 60)
    same = world.run(world.at(4, 20), config=settings("core.signals.rearm_pct=60"))
    assert same.conveyor.core.signals.rearm_pct == 60

    assert [line["version"] for line in read_history(world.folder)] == ["v1.0.0", "v1.0.1", "v1.0.2"]
    assert proven(world.folder)


def test_the_history_is_a_projection_of_the_journal(tmp_path):
    world = World(tmp_path / "session", 4)

    async def story(app: App, wait: Any) -> None:
        await wait(0, 40)
        for threshold in (2.5, 2.75, 3.25):
            assert (await app.changes.ask(Wish({THRESHOLD: threshold}), "alice"))["done"]

    life(world, world.at(1, 20), story)
    whole = (world.folder / HISTORY).read_bytes()
    for name in (HISTORY, "state"):  # the file is lost; without a state the start reads the whole journal
        path = world.folder / name
        path.unlink() if path.is_file() else [state.unlink() for state in path.iterdir()]
    world.run(world.at(2, 20))

    assert (world.folder / HISTORY).read_bytes() == whole
    assert len(whole.splitlines()) == 4
    assert orjson.loads(whole.splitlines()[-1]) == find_version(read_history(world.folder), "1.0.3")
