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
from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordKind, batch_of, encode
from engine.io.bus import link
from engine.io.bus.message import Message, decode, make
from engine.io.publish import publisher
from tests.engine.test_app import World, proven, records, settings
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


class Elsewhere:
    """engine.io.bus.inbound.Source, and what has `put`: a trader in another process, in memory."""

    def __init__(self) -> None:
        self.to_say: list[bytes] = []
        self.told: list[Message] = []
        self.done_with = self.closed = 0

    async def take(self) -> list[tuple[int, bytes]]:
        await asyncio.sleep(1)
        said, self.to_say = self.to_say, []
        return list(enumerate(said))

    async def done(self, tokens: Any) -> None:
        self.done_with += len(tokens)

    async def put(self, messages: Any) -> None:
        self.told += [decode(content) for _, _, content in messages]

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    there = Elsewhere()
    monkeypatch.setattr(link, "ends_of", lambda settings: (there, there))
    return there


def with_trader() -> Any:
    return settings("bus.modules=trader", "bus.redis_url=redis://127.0.0.1:1", "run.mode=shadow")


def feedback(world: World, n: int) -> Message:
    return make("execution_feedback", "trader", "alpha", {"n": n}, world.clock.now_ns())


def test_what_a_module_elsewhere_says_is_a_record_first_and_a_replay_hears_it(tmp_path: Path, elsewhere: Elsewhere):
    world = World(tmp_path / "session", 4)
    heard: list[int] = []

    async def hear(message: Message) -> None:
        heard.append(message.data["n"])

    def say(*numbers: int) -> Step:
        async def step(app: Any) -> None:
            elsewhere.to_say += [feedback(world, n).encode() for n in numbers]

        return step

    async def begin(app: Any) -> None:
        app.outward.bus.register("alpha", "execution_feedback", hear)
        await say(1)(app)

    async def own(app: Any) -> None:
        """A module of this process speaks."""
        app.outward.say(make("intelligence_broadcast", "risk", None, {"n": 7}, world.clock.now_ns()))

    async def before_the_end(app: Any) -> None:
        assert app.status()["bus"]["link"] is None  # a demotion took it away
        assert app.status()["bus"]["said"] == {"execution_feedback": 3, "intelligence_broadcast": 1}

    steps: list[tuple[float, Step]] = [
        (5.0, begin),
        (20.0, ask("mode", "canary", override="drill")),
        (30.0, say(2, 3, 2)),
        (40.0, own),
        (100.0, ask("mode", "shadow")),
        (110.0, say(4)),
        (120.0, before_the_end),
    ]
    played(world, steps, world.at(2, 20), config=with_trader())
    replay_into(world.folder / "journal", tmp_path / "replayed")

    assert heard == [1, 2, 3]  # what was said before the promotion waited at the broker
    assert elsewhere.done_with == 4  # the one that came twice as well
    assert elsewhere.closed == 2  # both ends, by the demotion
    assert [message.data for message in elsewhere.told] == [{"n": 7}]
    journaled = [record for record in records(world.folder / "journal") if record.kind == RecordKind.MESSAGE]
    assert [decode(record.payload).data["n"] for record in journaled] == [1, 2, 3, 7]
    assert said(tmp_path / "replayed") == said(world.folder)
    assert [type_ for type_, *_ in said(world.folder)] == ["execution_feedback"] * 3 + ["intelligence_broadcast"]
    assert digests(tmp_path / "replayed") == digests(world.folder)
    assert proven(world.folder) == without_messages(world.folder / "journal")


def without_messages(journal: Path) -> str:
    """The chain that the journal would have if no module had said anything."""
    conveyor, chain = Conveyor(), ""
    for record in records(journal):
        if record.kind != RecordKind.MESSAGE:
            for effect in conveyor.handle(batch_of(encode(record))):
                chain = effect.chain if isinstance(effect, MinuteRows) else chain
    return chain


def test_a_message_is_on_the_bus_once_after_a_crash_that_makes_the_core_say_it_again(
    tmp_path: Path, elsewhere: Elsewhere
):
    world = World(tmp_path / "session", 4)

    async def story() -> None:
        app = world.app(with_trader())
        task = asyncio.create_task(app.run())
        await asyncio.sleep((world.at(0, 20) - world.clock.now_ns()) / NS_PER_S)
        await ask("mode", "canary", override="drill")(app)
        elsewhere.to_say = [feedback(world, n).encode() for n in range(3)]
        await asyncio.sleep((world.at(0, 50) - world.clock.now_ns()) / NS_PER_S)
        assert elsewhere.done_with == 3
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.play(story)
    for state in (world.folder / "state").iterdir():
        state.unlink()
    world.loop.run_until_complete(asyncio.sleep(3 * 3600))  # long behind their ends of life
    world.run(world.clock.now_ns() + 30 * NS_PER_S, config=with_trader())

    found = figures(read(world.folder / "bus.jsonl"))
    assert [(one["type"], one["count"]) for one in found["said"]] == [("execution_feedback", 3)]
    replay_into(world.folder / "journal", tmp_path / "replayed")
    assert digests(tmp_path / "replayed") == digests(world.folder)


def test_without_its_client_a_broker_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(publisher, "find_spec", lambda name: None)
    world = World(tmp_path / "session")

    with pytest.raises(ConfigError, match=r"bus\.redis_url is set and its client is not installed"):
        world.run(world.at(1, 0), config=with_trader())

    assert not world.folder.exists()
