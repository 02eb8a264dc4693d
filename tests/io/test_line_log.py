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


@pytest.mark.parametrize("file_bytes", [0, 50])
@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_step_every_durable_line_is_there_and_none_is_torn(power: bool, file_bytes: int):
    """In one file, or in one for every few lines."""
    steps = 0
    while True:
        steps += 1
        disk = MemoryDisk(fail_at=steps, how="kill", seed=steps)
        acknowledged = 0
        try:
            log = LineLog(disk, PATH, file_bytes=file_bytes)
            for number in range(6):
                log.append(line(number))
                if number % 2 and log.sync():
                    acknowledged = number + 1
            assert len(log.firsts) == (3 if file_bytes else 1)
            died = False
        except Killed:
            died = True
        disk = disk.cut_power() if power else disk.restart()
        known: list[bytes] = []
        log = LineLog(disk, PATH, lambda position, content, known=known: known.append(content), file_bytes)  # type: ignore[misc]

        there = lines_of(log)
        assert there == [line(number) for number in range(len(there))]
        assert known == there[len(there) - len(known) :]
        assert bool(known) == bool(there)  # whoever counts by the newest line is told of one
        assert len(there) >= acknowledged
        log.append(line(len(there)))
        assert log.sync()
        again = LineLog(disk.cut_power(), PATH, file_bytes=file_bytes)
        assert lines_of(again) == [line(number) for number in range(len(there) + 1)]
        if not died:
            break
    assert steps > 8


def folder_of(disk: MemoryDisk, count: int) -> LineLog:
    """Two lines a file."""
    log = LineLog(disk, PATH, file_bytes=50)
    for number in range(count):
        log.append(line(number))
        assert log.sync()
    return log


def test_the_oldest_files_go_and_positions_stay_what_they_were():
    disk = MemoryDisk()
    log = folder_of(disk, 12)
    firsts, end = log.firsts, log.durable
    whole = lines_of(log)
    kept = [content for _, content in log.read(firsts[2], bytes_max=10_000)]

    assert len(firsts) > 4
    assert [log.forget(), log.forget()] == [firsts[1], firsts[2] - firsts[1]]
    assert sorted(disk.list(PATH)) == [f"{first:020}.jsonl" for first in firsts[2:]]
    assert log.read(0) == log.read(firsts[2] - 1) == []
    assert [log.begins_at(position) for position in (0, firsts[1], firsts[2], end)] == [False, False, True, True]
    again = LineLog(disk.cut_power(), PATH, file_bytes=50)
    assert (again.firsts, again.durable) == (firsts[2:], end)
    assert [content for _, content in again.read(firsts[2], bytes_max=10_000)] == kept
    assert kept[0] in whole[2:]


def test_only_lines_behind_a_file_that_is_missing_are_there():
    disk = MemoryDisk()
    firsts = folder_of(disk, 12).firsts
    disk.unlink(PATH / f"{firsts[2]:020}.jsonl")

    assert LineLog(disk, PATH, file_bytes=50).firsts == firsts[3:]


def test_a_file_that_cannot_be_begun_keeps_its_lines_in_memory():
    disk = MemoryDisk()
    log = folder_of(disk, 2)
    disk.only, disk.how, disk.fail_at, disk.calls = "create", errno.ENOSPC, 1, 0
    log.append(line(2))
    assert not log.sync()
    assert log.error.startswith("lines.jsonl: No space left")

    disk.fail_at = 0
    assert log.sync()
    assert (lines_of(log), len(log.firsts)) == ([line(0), line(1), line(2)], 2)


def test_a_file_is_cut_at_the_first_line_that_is_not_whole():
    disk = MemoryDisk()
    handle = disk.create(PATH)
    write_all(disk, handle, line(0) + b"\n" + line(1)[:-3] + b"\n" + line(2) + b"\n")

    log = LineLog(disk, PATH)
    log.append(line(3))
    log.sync()

    assert lines_of(log) == [line(0), line(3)]
