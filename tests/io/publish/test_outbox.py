"""The outbox: every signal once, in order, whatever happens to the process and the disk."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.effects import Signal
from engine.core.errors import InvariantError
from engine.core.minutes import NS_PER_S
from engine.core.release import Reach
from engine.io.disk import read_all
from engine.io.publish.outbox import SIGNALS, Outbox
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.publish.made import SESSION, World, ids, minute, minutes, signal


def entries_of(outbox: Outbox) -> list[str]:
    found: list[str] = []
    position = outbox.log.firsts[0]
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
    (name,) = world.disk.list(SESSION / SIGNALS)
    assert read_all(world.disk, SESSION / SIGNALS / name)[entry.position :].endswith(told.payload + b"}\n")
    assert entry.message(5).endswith(b',"payload":' + told.payload + b"}")


def test_what_is_replayed_after_a_crash_is_not_taken_twice():
    world, rows = World(), minutes(6, 4)
    world.perform(rows[:4])
    world.open()

    world.perform(rows[2:])
    world.perform(rows)

    assert entries_of(world.outbox) == ids(rows)
    assert world.outbox.lines == 24
    assert [entry.number for entry in world.outbox.read(0, 100)] == list(range(24))


def in_files(files: int) -> World:
    """An outbox of so many files, each of one minute with three signals, a minute apart."""
    world = World(file_bytes=500)
    for row in minutes(files, 3):
        world.perform([row])
        world.loop.run_until_complete(asyncio.sleep(60))
    assert len(world.outbox.log.firsts) == files
    return world


def test_what_is_too_much_goes_by_whole_files_the_oldest_first():
    world = in_files(6)
    log, rows = world.outbox.log, minutes(6, 3)
    size = log.durable - log.firsts[3]

    assert world.outbox.forget(0, log.durable, log.durable) == 0
    removed = world.outbox.forget(0, size, log.durable)

    assert removed == log.firsts[0] == log.durable - size
    assert entries_of(world.outbox) == ids(rows[3:])
    world.open()
    assert (world.outbox.lines, entries_of(world.outbox)) == (18, ids(rows[3:]))
    world.perform(rows)  # a replay from the beginning takes none of them twice
    assert entries_of(world.outbox) == ids(rows[3:])


def test_what_is_too_old_goes_once_all_of_its_file_is():
    world = in_files(6)
    begun_ns = world.clock.now_ns() - 6 * 60 * NS_PER_S

    world.outbox.forget(begun_ns + 150 * NS_PER_S, 1 << 30, world.outbox.log.durable)

    assert entries_of(world.outbox) == ids(minutes(6, 3)[2:])  # taken at 120 s and later, or their file is not over yet
    world.outbox.forget(begun_ns + 10**15, 1 << 30, world.outbox.log.durable)
    assert entries_of(world.outbox) == ids(minutes(6, 3)[5:])  # the last file grows


def test_what_is_needed_stays_whatever_its_age_and_size():
    world = in_files(6)
    log = world.outbox.log

    world.outbox.forget(2**62, 0, log.firsts[2] + 1)
    assert entries_of(world.outbox) == ids(minutes(6, 3)[2:])
    world.outbox.forget(2**62, 0, log.firsts[0])
    assert entries_of(world.outbox) == ids(minutes(6, 3)[2:])


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
