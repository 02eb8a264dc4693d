"""A session that goes on: under other symbols, without the venue's REST, and what a start refuses before it writes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from engine.core.control import Command
from engine.core.errors import ConfigError, FeedError, InvariantError, JournalError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import RecordKind
from engine.io.session_reader import SessionReader
from replay.exchange import memory_front
from tests.engine.test_app import VENUE, World, proven, records, rows_of, settings


class Unreachable:
    """A venue whose sockets live while nobody answers requests."""

    async def request(self, method: str, url: str, body: bytes | None, timeout_s: float) -> Any:
        raise FeedError(f"{url}: connection refused")


def carried(world: World, minute: int) -> set[str]:
    """Symbols with a row in a minute of the market."""
    return {symbol for m, symbol in rows_of(world.kept.links) if m == world.at(minute, 0) // NS_PER_MINUTE}


def hosts(world: World) -> list[str]:
    return [orjson.loads(one.payload)["kind"] for one in records(world.folder / "journal") if one.kind == 10]


def test_a_known_session_goes_on_without_the_venue_s_rest(tmp_path):
    world = World(tmp_path / "session")
    with pytest.raises(ConfigError, match="does not tell what it lists") as refused:
        world.run(world.at(0, 20), http=Unreachable())
    assert isinstance(refused.value.__cause__, FeedError)
    assert not world.folder.exists()
    world.run(world.at(0, 40))
    with pytest.raises(ConfigError, match="does not tell what it lists"):  # HYPE was never heard of
        world.run(world.at(0, 50), http=Unreachable(), config=settings(symbols="BTC,HYPE"))
    with SessionReader(world.folder) as reader:
        assert reader.complete  # what is refused leaves everything as it was
    world.run(world.at(2, 20), http=Unreachable())
    assert carried(world, 1) == {"BTC", "ETH", "SOL"}
    assert "listing_failed" in hosts(world)
    assert proven(world.folder)


class Mirror:
    """The exchange behind somebody who does not say what it is, as a mirror of a real venue would not."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def request(self, *asked: Any) -> tuple[int, Mapping[str, str], bytes]:
        front = memory_front(self._world.exchange, clock=self._world.clock)
        status, _, body = await front.request(*asked)
        return status, {}, body


def test_what_an_exchange_of_ours_tells_is_labelled_simulated_also_at_the_speed_of_the_clock(tmp_path):
    host = settings("time.source=host")
    world = World(tmp_path / "session")
    assert world.run(world.at(0, 40), config=host).origin == "simulated"
    assert world.run(world.at(1, 20), config=host, http=Unreachable()).origin == "simulated"  # as its journal says
    with SessionReader(world.folder) as reader:
        assert reader.origin == "simulated"
    with pytest.raises(JournalError, match="expected a journal that is live, found one that is simulated"):
        world.run(world.at(1, 40), config=host, http=Mirror(world))
    other = World(tmp_path / "other")
    assert other.run(other.at(0, 40), config=host, http=Mirror(other)).origin == "live"


def test_the_symbols_of_the_newest_start_are_carried_whatever_was_asked_for_before(tmp_path):
    world = World(tmp_path / "session", 5)

    async def first() -> None:
        app = world.app(settings(symbols="BTC,ETH"))
        task = asyncio.create_task(app.run(world.at(1, 20)))
        await asyncio.sleep((world.at(0, 40) - world.clock.now_ns()) / NS_PER_S)
        assert (await app.commands.obey(Command("unpin", ["ETH"], "me")))["done"]
        await task

    world.play(first)
    assert carried(world, 0) >= {"BTC", "ETH"}
    world.run(world.at(2, 20), config=settings(symbols="BTC,ETH"))  # named again, it is wanted again
    assert carried(world, 1) == {"BTC", "ETH"}
    world.run(world.at(4, 20), config=settings(symbols="ETH,SOL"))
    assert carried(world, 3) == {"ETH", "SOL"}
    assert world.kept.events("universe")[-1].detail["removed"] == ("BTC",)
    assert proven(world.folder)


def test_a_recording_refuses_what_its_journal_could_not_be_replayed_with(tmp_path):
    world = World(tmp_path / "session", 2)
    parts: dict[str, Any] = {"journal_only": True, "session_folder": None}
    world.run(world.at(0, 5), **parts)
    before = records(world.folder / "journal")
    with pytest.raises(ConfigError, match=r"core\.limits changed"):
        world.run(world.at(0, 20), config=settings("core.limits.symbols_max=128"), **parts)
    assert records(world.folder / "journal") == before

    # As if the venue had told other decimals when the journal began.
    other, listed = World(tmp_path / "other", 2), world.exchange.instruments[0]
    changed = Instrument(VENUE, listed.symbol, listed.price_decimals + 1, listed.quantity_decimals)

    async def story() -> None:
        app = other.app(settings(symbols="ETH"), **parts)
        task = asyncio.create_task(app.run(other.at(0, 10)))
        await asyncio.sleep(2)
        app.append(int(RecordKind.INSTRUMENT), 0, changed.encode())
        await task

    other.play(story)
    with pytest.raises(ConfigError, match="changed the decimals of BTC"):
        other.run(other.at(0, 20), **parts)


def test_symbols_without_room_in_the_session_are_refused(tmp_path):
    world = World(tmp_path / "session", 2)
    limit = "core.limits.symbols_max=2"
    world.run(world.at(0, 5), config=settings(limit, symbols="BTC,ETH"))
    with pytest.raises(ConfigError, match="with these it has 3 symbols"):
        world.run(world.at(0, 20), config=settings(limit, symbols="SOL"))
    assert proven(world.folder)


def test_feeds_that_crash_again_and_again_end_the_run_with_a_whole_journal(tmp_path):
    world = World(tmp_path / "session", 3)

    async def story() -> None:
        app = world.app()
        task = asyncio.create_task(app.run(world.at(2, 30)))
        await asyncio.sleep((world.at(1, 10) - world.clock.now_ns()) / NS_PER_S)

        def broken(*_: object) -> bytes:
            raise ZeroDivisionError("planted")

        app.feeds.venues[VENUE].connections[0]._key = broken  # type: ignore[method-assign]
        await task

    with pytest.raises(InvariantError, match=r"crashed 5 times within ten minutes.*planted"):
        world.play(story)
    assert hosts(world).count("feed_crashed") == 5
    assert hosts(world)[-1] == "process_stop"
    crashed = [event.detail for event in world.kept.events("feed_crashed")]
    assert crashed[0]["error"] == "ZeroDivisionError: planted"
    assert crashed[0]["where"].startswith("test_app_goes_on.py:")
    assert (world.folder / "logs/crashes.txt").read_text().count("ZeroDivisionError: planted") == 5
    assert sum("planted" in note for note in world.notes) == 5
    assert proven(world.folder)
    world.run(world.at(2, 50))
