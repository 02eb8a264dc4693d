"""Lines that are durable, on a disk that fails, tears and forgets."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.io.disk import write_all
from engine.io.line_log import LineLog
from replay.chaos.disk import Killed, MemoryDisk

PATH = Path("/session/lines.jsonl")


def line(number: int) -> bytes:
    return b'{"number":%d,"filling":"%s"}' % (number, b"x" * (number % 50))


def lines_of(log: LineLog) -> list[bytes]:
    found: list[bytes] = []
    position = 0
    while some := log.read(position, bytes_max=100):
        found += [content for _, content in some]
        position = some[-1][0] + len(some[-1][1]) + 1
    return found


def test_only_what_is_durable_is_read_and_positions_lead_back_to_it():
    log = LineLog(MemoryDisk(), PATH)

    positions = [log.append(line(number)) for number in range(100)]
    assert log.read(0) == []
    assert log.sync()

    assert lines_of(log) == [line(number) for number in range(100)]
    assert log.read(positions[40], bytes_max=1) == [(positions[40], line(40))]
    assert all(log.begins_at(position) for position in [*positions, log.durable])
    assert not any(log.begins_at(position) for position in (-1, 1, positions[40] + 1, log.durable + 1))


def test_a_line_longer_than_what_is_read_at_once_is_read_whole():
    log = LineLog(MemoryDisk(), PATH)
    long = b'"%s"' % (b"y" * 5000)
    log.append(long)
    log.append(line(1))
    log.sync()

    assert lines_of(log) == [long, line(1)]


@pytest.mark.parametrize(
    ("call", "how"),
    [("write", errno.EIO), ("write", errno.ENOSPC), ("write", "short"), ("fdatasync", errno.EIO)],
)
def test_what_the_disk_refuses_is_written_again_whole_and_once(call: str, how: int | str):
    disk = MemoryDisk()
    log = LineLog(disk, PATH)
    log.append(line(0))
    assert log.sync()

    disk.only, disk.how, disk.fail_at, disk.calls = call, how, 1, 0
    log.append(line(1))
    refused = not log.sync()
    disk.fail_at = 0
    log.append(line(2))

    assert refused == (how != "short")
    assert bool(log.error) == refused
    assert lines_of(log) == [line(0)] + [line(1)] * (not refused)
    assert log.sync()
    assert log.error == ""
    assert lines_of(log) == [line(0), line(1), line(2)]
    assert lines_of(LineLog(disk.cut_power(), PATH)) == [line(0), line(1), line(2)]


def test_a_full_disk_loses_no_line():
    disk = MemoryDisk(capacity=300)
    log = LineLog(disk, PATH)
    for number in range(20):
        log.append(line(number))
        log.sync()

    assert log.error.startswith("lines.jsonl: No space left")
    before = lines_of(log)
    disk.capacity = None
    assert log.sync()
    assert before == [line(number) for number in range(len(before))]
    assert lines_of(log) == [line(number) for number in range(20)]


@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_step_every_durable_line_is_there_and_none_is_torn(power: bool):
    steps = 0
    while True:
        steps += 1
        disk = MemoryDisk(fail_at=steps, how="kill", seed=steps)
        acknowledged = 0
        try:
            log = LineLog(disk, PATH)
            for number in range(6):
                log.append(line(number))
                if number % 2 and log.sync():
                    acknowledged = number + 1
            died = False
        except Killed:
            died = True
        disk = disk.cut_power() if power else disk.restart()
        known: list[bytes] = []
        log = LineLog(disk, PATH, lambda position, content, known=known: known.append(content))  # type: ignore[misc]

        assert known == lines_of(log) == [line(number) for number in range(len(known))]
        assert len(known) >= acknowledged
        log.append(line(len(known)))
        assert log.sync()
        assert lines_of(LineLog(disk.cut_power(), PATH)) == [line(number) for number in range(len(known) + 1)]
        if not died:
            break
    assert steps > 8


def test_a_file_is_cut_at_the_first_line_that_is_not_whole():
    disk = MemoryDisk()
    handle = disk.create(PATH)
    write_all(disk, handle, line(0) + b"\n" + line(1)[:-3] + b"\n" + line(2) + b"\n")

    log = LineLog(disk, PATH)
    log.append(line(3))
    log.sync()

    assert lines_of(log) == [line(0), line(3)]
