"""A delivery: at least once, in order, closed on error, whatever the sink and the disk do."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest

from engine.core.effects import Signal
from engine.core.errors import ConfigError
from engine.core.release import Reach
from engine.io.disk import read_all
from engine.io.publish.consumer import Deduplicator
from engine.io.publish.delivery import Delivery
from engine.io.publish.entry import Entry
from engine.io.publish.outbox import FILE_BYTES
from engine.io.publish.sink import SinkDownError, SinkRefusedError
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.publish.made import SESSION, Taker, World, ids, minute, minutes, outside, signal

CURSOR, DEAD = SESSION / "outbox" / "taker.json", SESSION / "outbox" / "taker.dead.jsonl"


def dead(world: World) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in read_all(world.disk, DEAD).splitlines()]


def test_everything_is_delivered_in_order_in_batches_and_the_cursor_says_so():
    world, taker, rows = World(batch_signals_max=5), Taker(), minutes(3, 4)
    delivery = world.delivery(taker)
    world.perform(rows)

    world.for_s(1, delivery.run())

    assert taker.ids == ids(rows)
    assert taker.batches == [5, 5, 2]
    told = delivery.status()
    assert (told["delivered"], told["waiting"], told["oldest_s"], told["trouble"]) == (12, 0, None, "")
    assert orjson.loads(read_all(world.disk, CURSOR)) == {
        "position": world.outbox.log.durable, "lines": 12, "delivered": 12, "held": 0, "dead": 0
    }  # fmt: skip


def test_what_comes_while_it_waits_is_delivered_and_its_latency_measured():
    world, taker = World(), Taker()
    delivery = world.delivery(taker)

    async def later() -> None:
        await asyncio.sleep(2)
        world.perform(minutes(1, 3))
        await asyncio.sleep(60)

    world.for_s(5, delivery.run(), later())

    assert len(taker.got) == 3
    assert delivery.status()["latency_ms"]["count"] == 3


def test_a_new_sink_begins_where_the_outbox_ended_at_the_start():
    world, taker, rows = World(), Taker(), minutes(4, 2)
    world.perform(rows[:2])
    world.open()
    world.perform(rows[2:])  # what a recovery brings, before there is any delivery
    delivery = world.delivery(taker)

    world.for_s(1, delivery.run())

    assert taker.ids == ids(rows[2:])
    assert delivery.status()["waiting"] == 0


def test_ten_minutes_without_the_sink_lose_nothing_and_change_no_order():
    """5,000 signals a minute for ten minutes while it is down."""
    world = World(backoff_max_s=30.0)

    def answer(entries: Sequence[Entry]) -> None:
        if world.loop.time() < 600:
            raise SinkDownError("nobody is there")

    taker = Taker(answer)
    delivery = world.delivery(taker)
    sent: list[str] = []

    async def market() -> None:
        for link in range(10):
            row = minute(link, [signal(link * 5000 + n, f"S{n % 50}") for n in range(5000)])
            sent.extend(ids([row]))
            world.perform([row])
            await asyncio.sleep(60)

    world.for_s(590, delivery.run(), market())
    told = delivery.status()
    assert told["waiting"] == 50_000
    assert told["oldest_s"] == pytest.approx(590, abs=1)
    assert told["failed"] > 20
    assert told["trouble"] == "nobody is there"

    world.for_s(60, delivery.run())

    assert taker.ids == sent
    assert delivery.status()["waiting"] == 0
    assert max(taker.batches) == 500


def test_retries_wait_longer_and_longer_and_obey_retry_after():
    world = World(backoff_min_s=1.0, backoff_max_s=20.0)
    asked_s: list[float] = []

    def answer(entries: Sequence[Entry]) -> None:
        asked_s.append(world.loop.time())
        raise SinkDownError("busy", retry_after_s=7.0 if len(asked_s) == 3 else 0.0)

    delivery = world.delivery(Taker(answer))
    world.perform(minutes(1, 1))
    world.for_s(200, delivery.run())

    waits = [after - before for before, after in pairwise(asked_s)]
    assert 7.0 <= waits[2] <= 7.7
    assert max(waits) > 8.0
    assert all(wait <= 20.0 for wait in waits)


def test_a_fault_of_ours_in_a_sink_is_told_and_tried_again():
    attempts: list[int] = []

    def answer(entries: Sequence[Entry]) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ZeroDivisionError("planted")

    world, taker = World(), Taker(answer)
    delivery = world.delivery(taker)
    world.perform(minutes(1, 2))
    world.for_s(1, delivery.run())

    assert (len(taker.got), delivery.failed, len(attempts)) == (2, 1, 2)


def test_an_outbox_that_cannot_be_read_is_told_and_read_again():
    world, taker, rows = World(), Taker(), minutes(2, 3)
    delivery = world.delivery(taker)
    world.perform(rows)
    world.disk.only, world.disk.how, world.disk.fail_at = "read", errno.EIO, world.disk.calls + 1

    with pytest.raises(OSError, match="Input/output"):
        world.outbox.read(0, 1, 1)
    world.disk.fail_at = world.disk.calls + 1
    assert delivery.status()["oldest_s"] is None
    world.disk.fail_at = world.disk.calls + 1
    world.for_s(5, delivery.run())

    assert taker.ids == ids(rows)
    assert (delivery.failed, delivery.trouble) == (1, "")


def test_a_sink_that_never_answers_is_asked_again():
    class Silent(Taker):
        async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
            await asyncio.sleep(3600)

    world = World(timeout_s=2.0)
    delivery = world.delivery(Silent())
    world.perform(minutes(1, 1))
    world.for_s(5, delivery.run())

    assert delivery.failed >= 2
    assert delivery.trouble == "taker took longer than 2 s"


def test_of_a_refused_batch_only_the_refused_signal_is_a_dead_letter():
    def answer(entries: Sequence[Entry]) -> None:
        if any(entry.id == "s000103" for entry in entries):
            raise SinkRefusedError("422: too spiky")

    world, taker, rows = World(refusals_max=3), Taker(answer), minutes(3, 8)
    delivery = world.delivery(taker)
    world.perform(rows)
    world.for_s(60, delivery.run())

    assert taker.ids == [one for one in ids(rows) if one != "s000103"]
    (letter,) = dead(world)
    assert (letter["id"], letter["refusals"], letter["reason"]) == ("s000103", 3, "422: too spiky")
    assert letter["payload"] == orjson.loads(signal(103).payload)
    assert delivery.status()["dead"] == 1
    assert delivery.status()["waiting"] == 0


def test_a_kill_holds_back_for_good_also_what_already_waits_for_a_sink_that_is_down():
    world = World()
    killed: list[str] = []

    def answer(entries: Sequence[Entry]) -> None:
        if world.loop.time() < 60:
            raise SinkDownError("down")

    def reaches(signal: Signal) -> tuple[Reach, str]:
        return (Reach.LOG, "kill") if signal.detector in killed else outside(signal)

    world.reaches = reaches
    taker = Taker(answer)
    delivery = world.delivery(taker)
    world.perform([minute(0, [signal(0), signal(1, detector="oi_spike"), signal(2)])])

    world.for_s(30, delivery.run())
    killed.append("oi_spike")
    world.for_s(120, delivery.run())
    killed.clear()
    world.for_s(120, delivery.run())

    assert taker.ids == ["s000000", "s000002"]
    assert delivery.status()["held"] == 1


def test_what_was_held_back_when_it_was_taken_is_never_sent():
    world, taker = World(), Taker()
    delivery = world.delivery(taker)
    world.reaches = lambda signal: (Reach.INTERNAL, "mode")
    world.perform([minute(0, [signal(0)])])
    world.reaches = outside
    world.perform([minute(1, [signal(100)])])
    world.for_s(10, delivery.run())

    assert taker.ids == ["s000100"]


def test_a_release_that_raises_closes_the_way_until_it_answers():
    world, taker = World(), Taker()
    delivery = world.delivery(taker)
    world.perform(minutes(1, 2))

    def broken(signal: Signal) -> tuple[Reach, str]:
        raise KeyError("state")

    world.reaches = broken
    world.for_s(120, delivery.run())
    assert taker.got == []
    assert delivery.trouble == "the kill switch raised KeyError: 'state'; nothing is sent"

    world.reaches = outside
    world.for_s(60, delivery.run())
    assert len(taker.got) == 2
    assert delivery.status()["held"] == 0


def test_on_a_full_disk_no_dead_letter_is_lost_and_nothing_overtakes_it():
    def answer(entries: Sequence[Entry]) -> None:
        if entries[0].id == "s000000":
            raise SinkRefusedError("400")

    world, taker = World(refusals_max=1, batch_signals_max=1), Taker(answer)
    delivery = world.delivery(taker)
    world.perform(minutes(1, 3))
    world.disk.capacity = 1
    world.for_s(30, delivery.run())
    assert taker.got == []
    assert delivery.status()["dead"] == 0

    world.disk.capacity = None
    world.for_s(30, delivery.run())
    assert taker.ids == ["s000001", "s000002"]
    assert "s000000" in {letter["id"] for letter in dead(world)}


def test_a_cursor_that_the_disk_refuses_stops_no_delivery():
    world, taker, rows = World(batch_signals_max=2), Taker(), minutes(2, 3)
    delivery = world.delivery(taker)
    world.perform(rows)
    world.disk.capacity = 1

    world.for_s(30, delivery.run())

    assert taker.ids == ids(rows)
    assert "No space left" in delivery.trouble


@pytest.mark.parametrize("file_bytes", [FILE_BYTES, 500])
@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_step_each_signal_arrives_and_a_consumer_sees_it_once_in_its_order(power: bool, file_bytes: int):
    """Also where all that was sent is removed at once."""
    rows = minutes(4, 5)
    steps, died = 0, True
    while died:
        steps += 1
        disk = MemoryDisk(seed=steps)
        world = World(disk, file_bytes, batch_signals_max=4)
        first = Taker()
        delivery = world.delivery(first)
        disk.fail_at, disk.calls, disk.how = steps, 0, "kill"
        durable = [-1]

        async def market(world: World = world, delivery: Delivery = delivery, durable: list[int] = durable) -> None:
            for row in rows:
                world.perform([row])
                durable.append(row.link)
                await asyncio.sleep(1)
                world.outbox.forget(2**62, 0, delivery.needs_from)

        try:
            world.for_s(20, delivery.run(), market())
            died = False
        except Killed:
            died = True
        world = World(disk.cut_power() if power else disk.restart(), file_bytes, batch_signals_max=4)
        second = Taker()
        delivery = world.delivery(second)
        world.perform(rows[durable[-1] + 1 :])
        world.for_s(20, delivery.run())

        consumer = Deduplicator()
        arrived = [*first.got, *second.got]
        seen = [entry.id for entry in arrived if consumer.is_news(orjson.loads(entry.message(0)))]
        assert seen == ids(rows)
    assert steps > 20
    assert (world.outbox.log.firsts[0] > 0) == (file_bytes < FILE_BYTES)


def test_a_consumer_ignores_what_is_older_than_the_last_of_its_key():
    consumer = Deduplicator(ids_kept=2)

    def told(id_: str, key: str, emitted_at: int) -> bool:
        return consumer.is_news({"id": id_, "payload": {"event": {"debounce_key": key, "emitted_at": emitted_at}}})

    assert [told("a", "k", 5), told("a", "k", 5), told("b", "k", 4), told("c", "other", 4), told("d", "k", 5)] == [
        True, False, False, True, True,
    ]  # fmt: skip
    assert (consumer.repeated, consumer.older) == (1, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"position":3,"lines":1,"delivered":0,"held":0,"dead":0}', "where no line of"),
        (b'{"position":99999,"lines":1,"delivered":0,"held":0,"dead":0}', "where no line of"),
        (b"[]", "is no cursor"),
        (b"", "is no cursor"),
    ],
)
def test_a_cursor_that_cannot_be_is_refused(content: bytes, said: str):
    world = World()
    world.perform(minutes(1, 2))
    world.disk.write(world.disk.create(CURSOR), content)

    with pytest.raises(ConfigError, match=said):
        world.delivery(Taker())


def test_a_sink_that_did_not_run_goes_on_with_the_oldest_that_is_left():
    world, taker, rows = World(file_bytes=500), Taker(), minutes(6, 3)
    for row in rows[:2]:
        world.perform([row])
    world.for_s(1, world.delivery(taker).run())  # new: it begins at the end of what was there at the start
    world.for_s(1, (delivery := world.delivery(taker)).run())
    assert (taker.ids, delivery.needs_from) == (ids(rows[:2]), world.outbox.log.durable)

    for row in rows[2:]:
        world.perform([row])
    log = world.outbox.log
    world.outbox.forget(0, log.durable - log.firsts[4], log.durable)
    delivery = world.delivery(again := Taker())
    world.for_s(1, delivery.run())

    assert again.ids == ids(rows[4:])
    told = delivery.status()
    assert (told["delivered"], told["held"], told["waiting"]) == (12, 6, 0)


def test_order_holds_under_a_sink_that_fails_at_random():
    rng = random.Random(5)

    def answer(entries: Sequence[Entry]) -> None:
        if rng.random() < 0.3:
            raise SinkDownError("unlucky")
        if rng.random() < 0.05:
            raise SinkRefusedError("unlucky")

    world, taker, rows = World(batch_signals_max=7, refusals_max=50), Taker(answer), minutes(20, 30)
    delivery = world.delivery(taker)
    world.perform(rows)
    world.for_s(5000, delivery.run())

    assert taker.ids == ids(rows)
