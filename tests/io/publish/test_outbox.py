"""The outbox: every signal once, in order, whatever happens to the process and the disk."""

from __future__ import annotations

import pytest

from engine.core.effects import Signal
from engine.core.errors import InvariantError
from engine.core.release import Reach
from engine.io.disk import read_all
from engine.io.publish.outbox import SIGNALS, Outbox
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.publish.made import SESSION, World, ids, minute, minutes, signal


def entries_of(outbox: Outbox) -> list[str]:
    found: list[str] = []
    position = 0
    while some := outbox.read(position, 7, 500):
        found += [entry.id for entry in some]
        position = some[-1].after
    return found


def test_a_line_gives_back_the_signal_and_its_payload_byte_by_byte():
    world = World()
    told = signal(7, "ETH")
    world.reaches = lambda signal: (Reach.INTERNAL, "stage")
    world.perform([minute(3, [signal(1), told])])

    entry = world.outbox.read(0, 10)[1]

    assert entry.signal == told
    assert (entry.link, entry.place, entry.reach, entry.why) == (3, 1, Reach.INTERNAL, "stage")
    assert entry.taken_ns == world.clock.now_ns()
    assert read_all(world.disk, SESSION / SIGNALS)[entry.position :].endswith(told.payload + b"}\n")
    assert entry.message(5).endswith(b',"payload":' + told.payload + b"}")


def test_what_is_replayed_after_a_crash_is_not_taken_twice():
    world, rows = World(), minutes(6, 4)
    world.perform(rows[:4])
    world.open()

    world.perform(rows[2:])
    world.perform(rows)

    assert entries_of(world.outbox) == ids(rows)
    assert world.outbox.lines == 24


def test_another_run_is_not_continued():
    world = World()
    world.perform([minute(2, [signal(1)])])
    world.open()

    with pytest.raises(InvariantError, match=r"signal 0 of link 2 is s000001 there and s000002 here"):
        world.perform([minute(2, [signal(2)])])


def test_a_release_that_raises_lets_nothing_out():
    def broken(signal: Signal) -> tuple[Reach, str]:
        raise RuntimeError("no state")

    world = World()
    world.reaches = broken
    world.perform([minute(0, [signal(1)])])

    (entry,) = world.outbox.read(0, 10)
    assert (entry.reach, entry.why) == (Reach.LOG, "the release raised RuntimeError: no state")


@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_step_and_replayed_every_signal_is_there_once_and_in_order(power: bool):
    rows = minutes(5, 3)
    steps, died = 0, True
    while died:
        steps += 1
        disk = MemoryDisk(fail_at=steps, how="kill", seed=steps)
        durable = -1  # the link up to which a state snapshot would have been taken
        try:
            world = World(disk)
            for row in rows:
                world.outbox.perform([row])
                if world.outbox.sync():
                    durable = row.link
            died = False
        except Killed:
            died = True
        world = World(disk.cut_power() if power else disk.restart())

        world.perform(rows[durable + 1 :])

        assert entries_of(world.outbox) == ids(rows)
    assert steps > 10


def test_a_full_disk_keeps_signals_back_and_loses_none():
    world, rows = World(MemoryDisk(capacity=2000)), minutes(5, 3)
    for row in rows:
        world.outbox.perform([row])
        world.outbox.sync()

    assert world.outbox.log.error
    assert len(entries_of(world.outbox)) < 15
    world.disk.capacity = None
    assert world.outbox.sync()
    assert entries_of(world.outbox) == ids(rows)
