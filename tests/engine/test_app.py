"""Stories of a whole engine against the local exchange, in memory, on a loop of virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from config.load import load
from config.schema import Config
from engine.app import App
from engine.conveyor import Conveyor
from engine.core.control import Command
from engine.core.effects import Effect, Event, MinuteRows
from engine.core.errors import ConfigError, InvariantError, JournalError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import Record, RecordKind, iterate
from engine.io.disk import OsDisk
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader
from replay.chaos.disk import MemoryDisk
from replay.exchange import CALM, Exchange, VirtualClock, VirtualLoop, memory_front, simulated
from replay.simulate import Market
from replay.verify import replayed, verify

VENUE = "hyperliquid"
COINS = ("BTC", "ETH", "SOL")
EXACT = ("open", "high", "low", "close", "base_volume", "trade_count", "quote_volume_hi", "quote_volume_lo")


def settings(*sets: str, symbols: str = "BTC,ETH,SOL") -> Config:
    return load("dry-run", sets=[
        f"venues.{VENUE}.enabled=true", f"venues.{VENUE}.symbols={symbols}", f"venues.{VENUE}.ws_url=ws://{VENUE}/ws",
        f"venues.{VENUE}.rest_url=http://{VENUE}", "time.source=http://exchange", *sets,
    ]).config  # fmt: skip


class Unsynced(OsDisk):
    """The real disk without the wait: thousands of commits of virtual time would each wait for it."""

    def fdatasync(self, handle: int) -> None: ...


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def perform(self, effects: Any) -> None:
        self.effects += effects

    def close(self) -> None: ...

    @property
    def links(self) -> list[MinuteRows]:
        return [effect for effect in self.effects if isinstance(effect, MinuteRows)]

    def events(self, kind: str) -> list[Event]:
        return [effect for effect in self.effects if isinstance(effect, Event) and effect.kind == kind]


class World:
    """One market, one exchange, one time; engines come and go."""

    def __init__(self, folder: Path, minutes: int = 4) -> None:
        market = Market(seed=3, minutes=minutes, symbols=3, venue="hyperliquid")
        self.exchange = Exchange(simulated(market, VENUE), CALM)
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, self.exchange.now_ns)
        self.folder, self.kept, self.notes = folder, Kept(), list[str]()

    def at(self, minute: int, second: float) -> int:
        return self.exchange.first_minute_ns + minute * NS_PER_MINUTE + round(second * NS_PER_S)

    def play(self, story: Callable[[], Any]) -> Any:
        return self.loop.run_until_complete(story())

    def app(self, config: Config | None = None, **parts: Any) -> App:
        front = memory_front(self.exchange, clock=self.clock)
        return App(config or settings(), **{
            "journal_folder": self.folder / "journal", "session_folder": self.folder, "clock": self.clock,
            "transport": front, "http": front, "rng": random.Random(1), "sinks": [self.kept], "threads": False,
            "note": self.notes.append, "disk": Unsynced(), **parts,
        })  # fmt: skip

    def run(self, until_ns: int, **parts: Any) -> App:
        async def story() -> App:
            app = self.app(**parts)
            await app.run(until_ns)
            return app

        return self.play(story)


def records(folder: Path, disk: MemoryDisk | None = None) -> list[Record]:
    reader = JournalReader(folder, disk) if disk else JournalReader(folder)
    return [record for batch in reader.batches() for record in iterate(batch)]


def chain_of(folder: Path, disk: MemoryDisk | None = None) -> list[str]:
    """The digest chain of a journal through a conveyor that never lived."""
    conveyor = Conveyor()
    reader = JournalReader(folder, disk) if disk else JournalReader(folder)
    effects = [effect for batch in reader.batches() for effect in conveyor.handle(batch)]
    return [effect.chain for effect in effects if isinstance(effect, MinuteRows)]


def proven(session: Path) -> str:
    with SessionReader(session) as reader:
        assert reader.complete
        verdict = verify(reader, replayed(reader))
    assert verdict.difference is None, verdict.sentence()
    return verdict.chain


def rows_of(links: list[MinuteRows]) -> dict[tuple[int, str], np.void]:
    """Newest revision of every row."""
    return {(link.minute, symbol): row for link in links for symbol, row in zip(link.symbols, link.rows, strict=True)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> World:
    world = World(tmp_path_factory.mktemp("app") / "session")
    world.run(world.at(3, 20))
    return world


def test_minutes_close_live_and_the_replay_of_the_journal_gives_the_same_digest(undisturbed):
    world = undisturbed
    assert [link.chain for link in world.kept.links] == chain_of(world.folder / "journal")
    assert proven(world.folder) == world.kept.links[-1].chain
    closed = rows_of(world.kept.links)
    minute = world.at(1, 0) // NS_PER_MINUTE
    assert {symbol for m, symbol in closed if m == minute} == set(COINS)
    assert [int(closed[minute, coin]["dq_status"]) for coin in COINS] == [0, 0, 0]
    assert all(int(closed[minute, coin]["trade_count"]) > 10 for coin in COINS)


def test_the_first_records_say_what_was_started_and_with_what(undisturbed):
    first = records(undisturbed.folder / "journal")[:6]
    assert [record.kind for record in first] == [
        RecordKind.CONFIG, RecordKind.HOST, *[RecordKind.INSTRUMENT] * 3, RecordKind.CONNECTION,
    ]  # fmt: skip
    assert orjson.loads(first[1].payload)["kind"] == "process_start"


def test_a_clean_end_tells_why_and_lets_go_of_everything(undisturbed):
    last = [record for record in records(undisturbed.folder / "journal") if record.kind in (3, 10)][-2:]
    assert [orjson.loads(record.payload).get("state", "") for record in last] == ["down", ""]
    assert orjson.loads(last[-1].payload)["kind"] == "process_stop"
    undisturbed.loop.run_until_complete(asyncio.sleep(5))
    assert asyncio.all_tasks(undisturbed.loop) == set()


def test_a_session_goes_on_after_a_clean_end_as_if_there_had_been_one_process(tmp_path, undisturbed):
    world = World(tmp_path / "session")
    world.run(world.at(1, 35))
    assert (tmp_path / "session/state").is_dir()
    held = world.kept.links[-1].chain
    assert proven(world.folder) == held
    world.run(world.at(3, 20))

    assert [link.chain for link in world.kept.links] == chain_of(world.folder / "journal")
    assert proven(world.folder) == world.kept.links[-1].chain != held
    ended = [orjson.loads(record.payload) for record in records(world.folder / "journal") if record.kind == 10]
    kinds = [told["kind"] for told in ended]
    assert kinds == ["process_start", "process_stop", "process_start", "process_stop"]
    # Minutes that the pause did not touch are those of an engine that never stopped.
    there, here = rows_of(undisturbed.kept.links), rows_of(world.kept.links)
    cut = world.at(1, 0) // NS_PER_MINUTE
    for (minute, coin), row in there.items():
        if minute != cut:
            assert [row[name] for name in EXACT] == [here[minute, coin][name] for name in EXACT], (minute, coin)
    assert all(int(here[cut, coin]["dq_reasons"]) for coin in COINS)


@pytest.mark.parametrize("stop_s", [61.003, 95.5, 119.997, 121.9])
def test_a_crash_loses_nothing_durable_and_the_next_start_tells_who_went_down(tmp_path, stop_s):
    world, disk = World(tmp_path / "session", 3), MemoryDisk()
    died: list[int] = []

    async def life() -> None:
        app = world.app(disk=disk, session_folder=None)
        task = asyncio.create_task(app.run())
        await asyncio.sleep((world.at(0, stop_s) - world.clock.now_ns()) / NS_PER_S)
        died.append(app.records - 1)
        disk._dead = True  # as kill -9: nothing it does from here on reaches the disk
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    world.play(life)
    disk.restart().cut_power()
    before = records(world.folder / "journal", disk)
    assert before[-1].seq >= died[0]
    world.kept = Kept()
    world.run(world.at(2, 30), disk=disk, session_folder=None)

    after = records(world.folder / "journal", disk)
    assert after[: len(before)] == before
    told = [record for record in after[len(before) :] if record.kind != RecordKind.TICK][:2]
    assert [record.kind for record in told] == [RecordKind.HOST, RecordKind.CONNECTION]
    assert orjson.loads(told[1].payload) == {"venue": VENUE, "state": "down", "reason": "process ended"}
    assert [link.chain for link in world.kept.links] == chain_of(world.folder / "journal", disk)
    assert len(world.kept.links) >= 3


def test_a_full_disk_pauses_the_minutes_and_room_brings_them(tmp_path):
    world, disk = World(tmp_path / "session", 3), MemoryDisk()

    async def story() -> None:
        app = world.app(disk=disk, session_folder=None)
        task = asyncio.create_task(app.run(world.at(2, 30)))
        await asyncio.sleep((world.at(0, 50) - world.clock.now_ns()) / NS_PER_S)
        disk.capacity = sum(len(inode.data) for inode in disk.entries.values())
        await asyncio.sleep(20)
        assert app.status()["journal"]["full_since_ns"] is not None
        held = len(world.kept.links)
        disk.capacity = None
        await asyncio.sleep(5)
        assert len(world.kept.links) > held
        assert app.status()["journal"]["full_since_ns"] is None
        await task

    world.play(story)
    assert [link.chain for link in world.kept.links] == chain_of(world.folder / "journal", disk)
    assert [event.kind for event in world.kept.events("journal_full")] == ["journal_full"]
    minute = world.at(1, 0) // NS_PER_MINUTE
    closed = rows_of(world.kept.links)
    assert [int(closed[minute, coin]["trade_count"]) > 0 for coin in COINS] == [True] * 3


def test_a_disk_that_lies_ends_the_run_with_one_sentence(tmp_path):
    world, disk = World(tmp_path / "session", 3), MemoryDisk()

    async def story() -> None:
        app = world.app(disk=disk, session_folder=None)
        task = asyncio.create_task(app.run())
        await asyncio.sleep(5)
        disk.only, disk.calls, disk.fail_at = "fdatasync", 0, 1
        await task

    with pytest.raises(JournalError, match="end this process and start it again"):
        world.play(story)
    assert world.notes == []  # it is no fault of the feeds, and nobody is told that it is


def test_a_conveyor_that_fails_is_told_and_the_journal_goes_on(tmp_path):
    world = World(tmp_path / "session", 3)

    async def story() -> None:
        app = world.app()
        task = asyncio.create_task(app.run(world.at(1, 20)))
        await asyncio.sleep((world.at(0, 30) - world.clock.now_ns()) / NS_PER_S)

        def broken(batch: Any) -> Any:
            raise RuntimeError("planted")

        app.conveyor.handle = broken  # type: ignore[method-assign]
        await task

    with pytest.raises(InvariantError, match="planted"):
        world.play(story)
    assert any("planted" in note for note in world.notes)
    kinds = [orjson.loads(record.payload)["kind"] for record in records(world.folder / "journal") if record.kind == 10]
    assert kinds == ["process_start", "conveyor_stopped", "process_stop"]
    assert records(world.folder / "journal")[-1].recv_ns >= world.at(1, 19)
    with SessionReader(world.folder) as reader:
        assert not reader.complete
    world.run(world.at(1, 40))  # the next start computes what the last one could not
    assert proven(world.folder)


def test_only_the_journal(tmp_path):
    world = World(tmp_path / "session", 2)
    for until_ns in (world.at(0, 20), world.at(1, 10)):
        world.run(until_ns, journal_only=True, session_folder=None)
    assert world.kept.effects == []
    assert len(chain_of(world.folder / "journal")) >= 2
    assert [path.name for path in world.folder.iterdir()] == ["journal"]


def test_nothing_is_written_if_the_run_cannot_start(tmp_path):
    world = World(tmp_path / "session", 2)
    with pytest.raises(ConfigError, match="lists no 'BTCC', did you mean BTC"):
        world.run(world.at(0, 20), config=settings(symbols="BTCC"))
    with pytest.raises(ConfigError, match="symbols_max is 2"):
        world.run(world.at(0, 20), config=settings("core.limits.symbols_max=2"))
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "session").mkdir()
    (tmp_path / "session/letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something, but no live session"):
        world.run(world.at(0, 20))
    assert [path.name for path in (tmp_path / "session").iterdir()] == ["letter.txt"]


def test_settings_that_do_not_fit_the_journal_are_refused_before_they_are_journaled(tmp_path):
    world = World(tmp_path / "session", 2)
    world.run(world.at(0, 5))
    before = records(world.folder / "journal")
    with pytest.raises(ConfigError, match=r"core\.limits changed"):
        world.run(world.at(0, 20), config=settings("core.limits.symbols_max=128"))
    assert records(world.folder / "journal") == before
    world.run(world.at(0, 20), config=settings("core.closing.watermark_ms=1600"))
    epochs = [record for record in records(world.folder / "journal") if record.kind == RecordKind.CONFIG]
    assert len(epochs) == 2
    assert proven(world.folder)


def test_a_clock_behind_the_journal_is_refused(tmp_path):
    world = World(tmp_path / "session", 2)
    world.run(world.at(0, 30))
    world.clock.origin_ns -= 3600 * NS_PER_S
    with pytest.raises(ConfigError, match="ahead of this clock"):
        world.run(world.at(0, 40))


def test_stop_is_a_command_and_the_status_tells_the_run(tmp_path):
    world = World(tmp_path / "session", 3)

    async def story() -> None:
        app = world.app()
        task = asyncio.create_task(app.run())
        await asyncio.sleep((world.at(1, 10) - world.clock.now_ns()) / NS_PER_S)
        status = app.status()
        orjson.dumps(status)
        assert status["process"]["state"] == "running"
        assert status["minutes"]["closed"] == 2
        assert [link["state"] for link in status["connections"]] == ["up"]
        assert [one["symbol"] for one in status["symbols"]] == sorted(COINS)
        assert status["minutes"]["close_to_row_ms"]["count"] == 2
        refused = await app.commands.obey(Command("dance", [], "me"))
        assert (refused["done"], "no command 'dance'" in refused["sentence"]) == (False, True)
        assert refused["fault"] == "input"
        pinned = await app.commands.obey(Command("hot", ["SOL"], "me"))
        assert pinned["done"], pinned
        asked = [record for record in records(world.folder / "journal") if record.kind == RecordKind.OPERATOR]
        assert [record.seq for record in asked] == [refused["seq"], pinned["seq"]]
        assert (await app.commands.obey(Command("stop", [], "me")))["done"]
        await task

    world.play(story)
    lines = (world.folder / "logs/minutes.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["rows"] for line in lines] == [3, 3]
    assert proven(world.folder)
