"""What exists in which mode, what a restart continues, and that nothing of it stops the belt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from config.publish import Publish
from engine.core.effects import Released
from engine.core.errors import ConfigError
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MINUTE
from engine.core.release import Reach, Release
from engine.io.publish import publisher as module
from engine.io.publish.publisher import Publisher
from engine.io.publish.sink import SinkDownError
from replay.chaos.disk import MemoryDisk
from replay.exchange import VirtualClock, VirtualLoop
from tests.io.publish.made import BEGUN_NS, SESSION, Taker, ids, minute, minutes, signal

MOST = {"dry-run": Reach.LOG, "shadow": Reach.INTERNAL, "canary": Reach.OUTSIDE, "production": Reach.OUTSIDE}
FIRST = signal(0).exchange_ts // MS_PER_MINUTE - 1
BEFORE_NS = FIRST * NS_PER_MINUTE


def in_mode(mode: str, at_ns: int = BEFORE_NS) -> Release:
    return Release(canary_symbols=("BTC",), canary_classes=("spike",)).in_mode(mode, at_ns)


class Story:
    """A publisher on a loop of virtual time, whose webhook is a Taker. `made` has all that were ever made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mode: str, disk: MemoryDisk | None = None) -> None:
        self.disk, self.loop, self.made, self.notes = disk or MemoryDisk(), VirtualLoop(), list[Taker](), list[str]()
        self.internal = Taker()
        self.internal.name, self.internal.reach = "inside", Reach.INTERNAL  # type: ignore[misc]
        monkeypatch.setattr(module, "outside_sinks", lambda settings: {"taker": self._make})
        self.publisher = Publisher(
            SESSION, Publish(), clock=VirtualClock(self.loop, BEGUN_NS), rng=random.Random(1), release=in_mode(mode),
            most=MOST.__getitem__, disk=self.disk, threads=False, note=self.notes.append, inside=[self.internal],
        )  # fmt: skip

    def _make(self) -> Any:
        self.made.append(Taker())
        return self.made[-1]

    def play(self, told: Callable[[], Awaitable[None]]) -> None:
        async def live() -> None:
            self.publisher.start()
            await asyncio.sleep(1)
            await told()
            await asyncio.sleep(1)
            await self.publisher.stop()

        self.loop.run_until_complete(live())
        self.publisher.close()

    def release(self, release: Release) -> None:
        self.publisher.perform([Released(0, release)])


@pytest.mark.parametrize(("mode", "inside", "outside"), [
    ("dry-run", 0, 0), ("shadow", 6, 0), ("canary", 6, 2), ("production", 6, 6),
])  # fmt: skip
def test_what_may_not_publish_has_no_object_that_could(
    mode: str, inside: int, outside: int, monkeypatch: pytest.MonkeyPatch
):
    story = Story(monkeypatch, mode)

    async def told() -> None:
        story.publisher.perform(minutes(2, 3))
        assert story.publisher.status()["outside"] == (outside > 0)

    story.play(told)

    assert len(story.internal.got) == inside
    assert [len(taker.got) for taker in story.made] == ([outside] if outside else [])
    assert story.publisher.outbox.lines == 6


def test_modes_change_while_it_runs_and_neither_way_sends_what_was_held_back(monkeypatch: pytest.MonkeyPatch):
    story, rows = Story(monkeypatch, "shadow"), [minute(link, [signal(link * 100)]) for link in range(6)]
    at_ns = [BEFORE_NS + link * NS_PER_MINUTE for link in range(6)]
    release = in_mode("shadow")

    async def told() -> None:
        nonlocal release
        story.publisher.perform(rows[:2])
        await asyncio.sleep(1)
        assert story.made == []
        release = release.in_mode("production", at_ns[2])
        story.release(release)
        story.publisher.perform(rows[1:3])
        await asyncio.sleep(1)
        assert story.made[0].ids == ids(rows[2:3])
        release = release.in_mode("shadow", at_ns[3])
        story.release(release)
        story.publisher.perform(rows[3:4])
        await asyncio.sleep(1)
        assert story.made[0].closed == 1
        assert not story.publisher.status()["outside"]
        release = release.in_mode("canary", at_ns[4])
        story.release(release)
        story.publisher.perform(rows[4:])
        await asyncio.sleep(1)

    story.play(told)

    assert [taker.ids for taker in story.made] == [ids(rows[2:3]), ids(rows[4:])]
    assert story.made[1].closed == 1
    assert story.internal.ids == ids(rows)


def test_a_kill_within_a_batch_of_effects_counts_from_its_place_on(monkeypatch: pytest.MonkeyPatch):
    story = Story(monkeypatch, "production")
    killed = in_mode("production").without(["vol_spike"])

    async def told() -> None:
        later = [signal(100), signal(101, detector="oi_spike")]
        story.publisher.perform([minute(0, [signal(0)]), Released(0, killed), minute(1, later)])
        await asyncio.sleep(1)
        whys = [entry.why for entry in _entries(story)]
        assert whys == ["", "kill", ""]

    story.play(told)

    assert story.made[0].ids == ["s000101"]  # the kill acts on what was taken before it and had not been sent
    assert story.publisher.status()["signals"] == 3


def _entries(story: Story) -> list[Any]:
    return story.publisher.outbox.read(0, 100)


def test_signals_go_once_every_sink_that_the_mode_allows_has_them(monkeypatch: pytest.MonkeyPatch):
    story = Story(monkeypatch, "production")
    monkeypatch.setattr(story.publisher.outbox.log, "_file_bytes", 500)
    log, rows, removed = story.publisher.outbox.log, minutes(6, 3), list[int]()

    def refuse(entries: Any) -> None:
        raise SinkDownError("nobody is there")

    def forget() -> int:
        removed.append(story.publisher.forget(2**62, 0))
        return removed[-1]

    assert forget() == 0  # the sinks are not made yet
    for row in rows[:2]:
        story.publisher.perform([row])
        story.publisher.sync()

    async def told() -> None:
        (taker,) = story.made
        taker.answer = refuse
        for row in rows[2:]:
            story.publisher.perform([row])
            await asyncio.sleep(1)
        assert forget() == log.firsts[0] > 0  # what both had before one of them went down
        held = log.firsts
        assert (len(held), forget()) == (4, 0)
        taker.answer = lambda entries: None
        await asyncio.sleep(120)
        assert taker.ids == ids(rows)
        assert forget() > 0
        assert log.firsts == held[-1:]
        story.publisher.halt()
        await asyncio.sleep(1)
        assert forget() == 0

    story.play(told)


def test_what_no_sink_may_have_goes_by_age_and_size_alone(monkeypatch: pytest.MonkeyPatch):
    """A cursor that the last higher mode left holds nothing back: what waits there may never go again."""
    story = Story(monkeypatch, "dry-run")
    monkeypatch.setattr(story.publisher.outbox.log, "_file_bytes", 500)

    async def told() -> None:
        for row in minutes(4, 3):
            story.publisher.perform([row])
            await asyncio.sleep(1)
        assert len(story.publisher.outbox.log.firsts) == 4
        assert story.publisher.forget(2**62, 0) > 0
        assert len(story.publisher.outbox.log.firsts) == 1

    story.play(told)


def test_what_recovery_brings_before_the_start_is_sent_then_and_a_restart_continues(monkeypatch: pytest.MonkeyPatch):
    rows = minutes(6, 2)
    story = Story(monkeypatch, "production")
    story.publisher.perform(rows[:3])

    async def told() -> None: ...

    story.play(told)
    assert story.made[0].ids == ids(rows[:3])

    again = Story(monkeypatch, "production", story.disk.restart())
    again.publisher.perform(rows[1:])
    again.play(told)

    assert again.made[0].ids == ids(rows[3:])


@pytest.mark.parametrize(("error", "said"), [
    (ConfigError("no secret"), "no secret"),
    (KeyError("number"), "error in Conveyor itself: KeyError: 'number'"),
])  # fmt: skip
def test_a_sink_that_cannot_be_made_is_told_and_stops_nothing(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
):
    story = Story(monkeypatch, "production")

    def broken() -> Any:
        raise error

    monkeypatch.setattr(module, "outside_sinks", lambda settings: {"broken": broken, "taker": story._make})

    async def told() -> None:
        story.publisher.perform(minutes(1, 1))

    story.play(told)

    assert len(story.made[0].got) == 1
    assert story.publisher.status()["trouble"] == said
    assert story.notes == [f"error: publishing: {said}"]


def test_the_outbox_is_durable_before_a_state_snapshot_and_a_full_disk_says_so(monkeypatch: pytest.MonkeyPatch):
    story = Story(monkeypatch, "production")
    story.publisher.perform(minutes(1, 1))
    story.disk.capacity = 1
    assert not story.publisher.sync()
    assert "No space left" in story.publisher.status()["trouble"]

    async def told() -> None:
        assert all(taker.got == [] for taker in story.made)
        story.disk.capacity = None
        await asyncio.sleep(10)

    story.play(told)

    assert len(story.made[-1].got) == 1
    assert story.publisher.status()["trouble"] == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook_url": "http://127.0.0.1:1", "webhook_secret_env": "MISSING"}, "MISSING is empty"),
        ({"redis_url": "redis://127.0.0.1"}, r"pip install conveyor\[redis\]"),
        ({"nats_url": "nats://127.0.0.1"}, r"pip install conveyor\[nats\]"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "find_spec", lambda package: None)

    with pytest.raises(ConfigError, match=said):
        Publisher(
            SESSION, Publish(**settings), clock=VirtualClock(VirtualLoop(), 0), rng=random.Random(1),  # type: ignore[arg-type]
            release=Release(), most=MOST.__getitem__, disk=MemoryDisk(),
        )  # fmt: skip


def test_addresses_are_checked_by_their_scheme():
    for name, url in (("webhook_url", "ftp://x"), ("redis_url", "http://x"), ("nats_url", "redis://x")):
        with pytest.raises(ValueError, match="an address with"):
            Publish(**{name: url})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not both"):
        Publish(webhook_secret_env="A", webhook_secret_file="b")
    with pytest.raises(ValueError, match="backoff_min_s <= backoff_max_s"):
        Publish(backoff_min_s=5, backoff_max_s=1)
