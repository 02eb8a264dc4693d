"""What modules were told live, and what a replay of the journal says they were told: the same, in the same order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import cli
from engine.commands.bus import figures, read
from engine.commands.replay import replay_into
from engine.core.minutes import NS_PER_S
from engine.io.bus.message import Message
from tests.engine.test_app import World
from tests.engine.test_mode_changes import Step, ask, played, started_in
from tests.engine.test_outward import _signals  # noqa: F401 - a fixture


class Module:
    """A module that hears market events. ill: seconds of the market between which it raises."""

    def __init__(self, world: World, ill: tuple[float, float]) -> None:
        self._world, self._ill = world, tuple(world.at(0, second) for second in ill)
        self.heard: list[str] = []
        self.attempts = 0

    async def __call__(self, message: Message) -> None:
        self.attempts += 1
        if self._ill[0] <= self._world.clock.now_ns() < self._ill[1]:
            raise RuntimeError("planted")
        self.heard.append(message.message_id)

    def listen(self) -> Step:
        async def step(app: Any) -> None:
            app.outward.bus.register("decision_maker", "market_event", self)

        return step


def said(session: Path) -> list[tuple[str, str, int, int, int]]:
    """(type, id, created_at, priority, ttl_s) of every message, in order."""
    messages = [told.message for told in read(session / "bus.jsonl").told.values()]
    return [(one.type, one.message_id, one.created_at, one.priority, one.ttl_s) for one in messages]


def digests(session: Path) -> list[dict[str, Any]]:
    return figures(read(session / "bus.jsonl"))["said"]  # type: ignore[no-any-return]


@pytest.mark.usefixtures("_signals")
def test_a_replay_says_the_messages_that_a_module_heard_or_failed_to_take(tmp_path: Path):
    world = World(tmp_path / "session", 6)
    module = Module(world, ill=(170, 200))  # when minute 2 closes
    steps = [
        (5.0, module.listen()),
        (70.0, ask("mode", "shadow", override="drill")),  # from minute 1 on
        (245.0, ask("kill", "all")),  # behind the close of minute 3, before that of minute 4
    ]
    played(world, steps, world.at(5, 20))
    replay_into(world.folder / "journal", tmp_path / "replayed")

    live, told = said(world.folder), said(tmp_path / "replayed")
    assert told == live
    assert digests(tmp_path / "replayed") == digests(world.folder)
    ids = [id_ for _, id_, *_ in live]
    assert len(set(ids)) == 6  # two each of minutes 1, 2 and 3
    assert module.heard == ids[:2] + ids[4:]
    assert module.attempts == 4 + 2 * 4  # three retries of each that failed
    (row,) = figures(read(world.folder / "bus.jsonl"))["modules"]
    assert row == {"name": "decision_maker", "delivered": 4, "failed": 2, "expired": 0, "pending": 0}
    assert figures(read(tmp_path / "replayed/bus.jsonl"))["modules"] == []  # nobody was there to answer

    shown = CliRunner().invoke(cli, ["bus", str(world.folder)])
    digest = digests(world.folder)[0]["digest"][:16]
    assert shown.output.splitlines() == [
        f"market_event                    6 said       digest {digest}",
        "decision_maker                  4 delivered  2 failed, 0 expired, 0 pending",
    ]


@pytest.mark.usefixtures("_signals")
def test_a_session_of_two_processes_and_a_replay_of_two_say_each_message_once(tmp_path: Path):
    world = World(tmp_path / "session", 6)

    async def story() -> None:
        app = world.app(started_in("shadow"))
        task = asyncio.create_task(app.run())
        await asyncio.sleep((world.at(3, 2) - world.clock.now_ns()) / NS_PER_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.play(story)
    for state in (world.folder / "state").iterdir():
        state.unlink()  # every signal comes again
    world.run(world.at(5, 20), config=started_in("shadow"))

    replayed = tmp_path / "replayed"
    replay_into(world.folder / "journal", replayed)
    whole = (replayed / "bus.jsonl").read_bytes()
    (replayed / "bus.jsonl").write_bytes(whole[: len(whole) // 2])  # as a crash leaves it
    (replayed / "manifest.json").unlink()
    (replayed / "digests.jsonl").unlink()
    (replayed / "store.duckdb").unlink()
    replay_into(world.folder / "journal", replayed)

    assert (replayed / "bus.jsonl").read_bytes() == whole
    assert len(said(world.folder)) >= 8
    assert said(replayed) == said(world.folder)
    assert digests(replayed) == digests(world.folder)


@pytest.mark.usefixtures("_signals")
def test_a_dry_run_says_nothing_and_force_begins_the_file_anew(tmp_path: Path):
    world = World(tmp_path / "session")
    world.run(world.at(2, 20))
    replay_into(world.folder / "journal", tmp_path / "replayed")
    assert said(tmp_path / "replayed") == said(world.folder) == []
    assert CliRunner().invoke(cli, ["bus", str(world.folder)]).output == "nothing was said\n"

    (tmp_path / "replayed/bus.jsonl").write_bytes(b'{"totals":{"said":{},"counts":{}}}\n')
    replay_into(world.folder / "journal", tmp_path / "replayed", force=True)
    assert (tmp_path / "replayed/bus.jsonl").read_bytes() == b""


def test_a_folder_without_a_bus_is_told_so(tmp_path: Path):
    shown = CliRunner().invoke(cli, ["bus", str(tmp_path)])

    assert shown.exit_code == 2
    assert "has no bus.jsonl" in shown.output
