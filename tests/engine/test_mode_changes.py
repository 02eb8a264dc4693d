"""Mode changes and kill switches while the belt runs, in memory on a loop of virtual time: nothing else changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.schema import Config
from engine.app import App
from engine.conveyor import Conveyor
from engine.core.control import COMMAND, Command, read_control
from engine.core.detector import STAGES
from engine.core.effects import Effect, MinuteRows, Released
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordKind
from engine.core.release import Reach, Release
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader
from engine.io.verified import Verified, write_verified
from replay.verify import replayed, verify
from tests.engine.test_app import World, proven, records, settings


def started_in(mode: str) -> Config:
    config = settings()
    return config.model_copy(update={"run": config.run.model_copy(update={"mode": mode})})


def releases(effects: list[Effect]) -> list[Release]:
    return [effect.release for effect in effects if isinstance(effect, Released)]


def commands(folder: Path) -> list[Command]:
    kept = [one.payload for one in records(folder / "journal") if one.kind == RecordKind.OPERATOR]
    return [read_control("operator", COMMAND, payload) for payload in kept]


Step = Callable[[App], Awaitable[Any]]


def played(world: World, steps: list[tuple[float, Step]], until_ns: int, **parts: Any) -> App:
    """A run in which a step is taken at each of some seconds of the market."""

    async def story() -> App:
        app = world.app(**parts)
        task = asyncio.create_task(app.run(until_ns))
        for second, step in steps:
            await asyncio.sleep((world.at(0, second) - world.clock.now_ns()) / NS_PER_S)
            await step(app)
        await task
        return app

    return world.play(story)  # type: ignore[no-any-return]


def ask(command: str, *arguments: str, override: str = "") -> Step:
    async def step(app: App) -> dict[str, Any]:
        answer = await app.commands.obey(Command(command, list(arguments), "me", override=override))
        assert answer["done"], answer
        return answer

    return step


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """The same market twice: left alone, and walked through the modes and back."""
    alone, walked = (World(tmp_path_factory.mktemp("modes") / name, 5) for name in ("alone", "walked"))
    alone.run(alone.at(4, 20))
    steps = [
        (40.0, ask("mode", "shadow", override="drill")),
        (100.5, ask("mode", "canary", override="drill")),
        (130.0, ask("kill", "all")),
        (150.0, ask("revive", "all")),
        (200.0, ask("mode", "dry-run")),
    ]
    played(walked, steps, walked.at(4, 20))
    return alone, walked


def test_no_minute_is_lost_and_the_chain_is_that_of_an_engine_that_was_left_alone(both: tuple[World, World]):
    """Rows hold no seq, and no row reads an operator's record: so not even one digest differs, link by link."""
    alone, walked = both
    ours, theirs = ([(one.link, one.minute, one.revision, one.chain) for one in world.kept.links] for world in both)
    assert len({minute for _, minute, _, _ in ours}) >= 4
    assert ours == theirs
    found = [[one.found.signals for one in world.kept.links if one.found is not None] for world in both]
    assert found[0] == found[1]  # what would be published is the same in every mode
    assert proven(walked.folder) == proven(alone.folder)


def test_every_change_is_journaled_with_who_and_why_and_the_replay_keeps_it(both: tuple[World, World]):
    _, walked = both
    asked = [(one.command, *one.arguments, one.who) for one in commands(walked.folder)]
    assert asked == [
        ("mode", "shadow", "me"), ("mode", "canary", "me"), ("kill", "all", "me"), ("revive", "all", "me"),
        ("mode", "dry-run", "me"),
    ]  # fmt: skip
    promotions = [one for one in commands(walked.folder) if one.override]
    assert all(one.unmet for one in promotions)  # they were measured, and passed over
    told = walked.kept.events("command")[0].detail
    assert (told["who"], told["override"], told["unmet"]) == ("me", "drill", promotions[0].unmet)
    lived = releases(walked.kept.effects)
    assert [(one.mode, one.killed) for one in lived] == [
        ("dry-run", ()), ("shadow", ()), ("canary", ()), ("canary", ("all",)), ("canary", ()), ("dry-run", ()),
    ]  # fmt: skip
    batches = JournalReader(walked.folder / "journal").batches()
    conveyor = Conveyor()
    assert releases([effect for batch in batches for effect in conveyor.handle(batch)]) == lived


def test_a_promotion_that_is_refused_tells_everything_that_is_unmet_and_changes_nothing(tmp_path: Path):
    world, answers = World(tmp_path / "session", 2), list[dict[str, Any]]()

    async def promote(app: App) -> None:
        answers.append(await app.commands.obey(Command("mode", ["production"], "me")))

    app = played(world, [(40.0, promote)], world.at(0, 50), config=started_in("shadow"))
    (answer,) = answers
    assert not answer["done"]
    for name in ("step: the mode is shadow, canary comes before", "quality: 0 rows", "replay: none of this session"):
        assert name in answer["sentence"]
    assert app.conveyor.release.mode == "shadow"
    status = app.status()["release"]
    assert (status["mode"], status["next"], status["target"]) == ("shadow", "canary", "production")
    assert status["unmet"] == commands(world.folder)[0].unmet != []
    assert proven(world.folder)


def test_a_start_never_promotes(tmp_path: Path):
    """Asked for canary a new session begins in shadow; in canary at last, asked for production it stays there."""
    world = World(tmp_path / "session", 4)
    steps = [(40.0, ask("mode", "canary", override="drill")), (50.0, ask("kill", "spike_vol_v1"))]
    app = played(world, steps, world.at(1, 20), config=started_in("canary"))
    assert releases(world.kept.effects)[0].mode == "shadow"
    assert "canary was asked for, the mode is shadow" in world.notes[0]
    assert "`conveyor ctl mode canary` promotes it" in world.notes[0]
    since_ns = app.conveyor.release.since_ns
    for minute, asked, runs_in in ((2, "production", "canary"), (3, "shadow", "shadow"), (3, "canary", "shadow")):
        app = world.run(world.at(minute, 20 + 10 * (asked == "canary")), config=started_in(asked))
        release = app.conveyor.release
        assert release.mode == runs_in, asked
        assert release.killed == ("spike_vol_v1",)  # a kill survives every start
        if asked == "production":
            assert release.since_ns == since_ns
    assert proven(world.folder)


def test_a_state_snapshot_holds_mode_and_kills(tmp_path: Path):
    world = World(tmp_path / "session", 3)
    steps = [(70.0, ask("mode", "shadow", override="drill")), (71.0, ask("kill", "all"))]
    app = played(world, steps, world.at(1, 40))
    assert list((tmp_path / "session/state").iterdir())
    before = app.conveyor.release
    world.kept.effects.clear()
    app = world.run(world.at(2, 10), config=started_in("shadow"))
    assert releases(world.kept.effects) == [before]  # the start's; what came before it stood in the snapshot
    assert app.conveyor.release == before
    assert proven(world.folder)


def test_beside_a_running_engine_its_digests_are_verified_and_count_for_a_promotion(tmp_path: Path):
    world = World(tmp_path / "session", 4)
    seen: list[list[str]] = []

    async def prove(app: App) -> None:
        seen.append(await app.fitness.look("shadow"))
        with SessionReader(world.folder) as reader:
            verdict = verify(reader, replayed(reader), is_running=True)
        assert verdict.difference is None
        assert verdict.links == verdict.links_without_rows
        assert (verdict.minutes, verdict.chain) == (3, app.conveyor.chain)
        good = Verified(verdict.last_link, verdict.chain, verdict.last_exchange_ts, False)
        write_verified(world.folder, good)
        assert app.session is not None
        assert app.session.store.drain()
        seen.append(await app.fitness.look("shadow"))
        write_verified(world.folder, Verified(good.link, "0" * 64, good.exchange_ts, False))  # of another run
        seen.append(await app.fitness.look("shadow"))

    played(world, [(150.0, prove)], world.at(2, 40))
    assert [any("none of this session" in one for one in unmet) for unmet in seen] == [True, False, True]


@pytest.mark.parametrize("mode", STAGES)
def test_the_same_journal_in_every_mode_gives_the_same_chain_and_only_the_reach_differs(
    both: tuple[World, World], mode: str
):
    """One journal, whose start asks for another mode and is then promoted: equal digests, equal candidates."""
    alone, _ = both
    conveyor, effects = Conveyor(), list[Effect]()
    for batch in JournalReader(alone.folder / "journal").batches():
        effects += conveyor.handle(batch)
        if conveyor.release.since_ns and conveyor.release.mode != mode:
            conveyor.release = conveyor.release.in_mode(mode, conveyor.release.since_ns)
    links = [effect for effect in effects if isinstance(effect, MinuteRows)]
    assert [(one.link, one.chain) for one in links] == [(one.link, one.chain) for one in alone.kept.links]
    for mine, theirs in zip(links, alone.kept.links, strict=True):
        assert (mine.found is None) == (theirs.found is None)
        if mine.found is not None and theirs.found is not None:
            assert mine.found.rows.tobytes() == theirs.found.rows.tobytes()
            assert mine.found.signals == theirs.found.signals
    assert conveyor.release.mode == mode
    assert orjson.loads(orjson.dumps(conveyor.release.encode()))["mode"] == mode
    highest = {"dry-run": Reach.LOG, "shadow": Reach.INTERNAL}.get(mode, Reach.OUTSIDE)
    signals = [signal for one in links if one.found for signal in one.found.signals]
    assert all(conveyor.release.reach(signal)[0] <= highest for signal in signals)
