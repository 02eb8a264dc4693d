"""Single faults of the journal and what must follow from each; every fault in turn is tests/replay/test_chaos.py."""

from __future__ import annotations

import errno

import pytest

from engine.core.errors import JournalError
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalFull, JournalLost, JournalWriter
from engine.io.segment import is_segment
from replay.chaos.disk import Killed, MemoryDisk
from replay.chaos.journal_life import Writing
from tests.io.journals import FOLDER, HEADER, append, read, record

RECORDS = 48
WRITING = Writing.of([record(seq) for seq in range(RECORDS)], 800, 200, 8)


def opened(disk: MemoryDisk, **limits: int) -> JournalWriter:
    return JournalWriter(
        FOLDER, header=HEADER, disk=disk, block_bytes=200, seal_behind=False, **{"segment_bytes": 800, **limits}
    )


def test_a_killed_process_leaves_records_that_the_next_one_makes_durable() -> None:
    # Written but not synced: the next process sees it, so it must survive a power cut from then on.
    disk = MemoryDisk(how="kill")
    writer = opened(disk, segment_bytes=10_000)
    append(writer, 0, 4)
    writer.commit()
    append(writer, 5, 9)
    disk.only, disk.fail_at, disk.calls = "fdatasync", 1, 0
    with pytest.raises(Killed):
        writer.commit()

    disk.restart()
    opened(disk, segment_bytes=10_000).release()
    disk.cut_power()

    assert len(read(disk)) == 10


def test_recovery_makes_durable_even_without_room_to_seal() -> None:
    disk = MemoryDisk(how="kill")
    writer = opened(disk, segment_bytes=10_000)
    append(writer, 0, 9)
    disk.only, disk.fail_at, disk.calls = "fdatasync", 2, 0  # the one behind the blocks
    with pytest.raises(Killed):
        writer.commit()
    disk.restart().capacity = 0

    writer = opened(disk, segment_bytes=10_000)
    assert (writer.unsealed, writer.durable_seq) == (1, 9)
    disk.cut_power()

    assert len(read(disk)) == 10


def test_recovery_removes_what_never_held_a_record() -> None:
    for call, number in (("fdatasync", 1), ("rename", 1), ("fsync_dir", 1), ("fdatasync", 2)):
        disk = MemoryDisk(how="kill", seed=3)
        writer = opened(disk)
        append(writer, 0, 0)
        disk.only, disk.fail_at, disk.calls = call, number, 0
        with pytest.raises(Killed):
            writer.commit()
        disk.restart()
        assert len(disk.entries) == 1
        for inode in disk.entries.values():
            del inode.data[len(inode.synced) :]  # of the record, if it was written
        opened(disk).close()
        assert not disk.entries


def test_a_full_disk_stops_acknowledging_and_resumes_when_freed() -> None:
    disk = MemoryDisk()
    writer = opened(disk)
    append(writer, 0, 9)
    assert writer.commit() == 9
    disk.capacity = sum(len(inode.data) for inode in disk.entries.values()) + 100

    append(writer, 10, 19)
    for _ in range(3):
        with pytest.raises(JournalFull, match="free space") as caught:
            writer.commit()
        assert writer.durable_seq == 9
        assert is_segment(caught.value.segment)
    assert read(disk) == [record(seq) for seq in range(10)]  # cut back to the last good byte

    append(writer, 20, 29)
    disk.capacity = None
    assert writer.commit() == 29
    append(writer, 30, RECORDS - 1)
    writer.close()
    WRITING.check_whole(disk)


def test_a_disk_that_is_full_in_every_place_is_resumed() -> None:
    for capacity in range(0, 2_600, 13):
        disk = MemoryDisk(capacity=capacity)
        writer, acknowledged = opened(disk), -1
        append(writer, 0, RECORDS - 1)
        try:
            acknowledged = writer.commit()
        except JournalFull:
            acknowledged = writer.durable_seq
        assert acknowledged < RECORDS - 1 or capacity > 1_000
        WRITING.check(disk, [acknowledged])
        disk.capacity = None
        writer.close()
        opened(disk).close()  # seals what could not be compressed before
        WRITING.check_whole(disk)
        assert all(segment.sealed for segment in JournalReader(FOLDER, disk).info().segments)


def test_what_waits_in_memory_is_bounded() -> None:
    disk = MemoryDisk(capacity=0)
    writer = opened(disk, pending_bytes_max=1_000)
    with pytest.raises(JournalFull, match="in memory"):
        append(writer, 0, RECORDS - 1)

    disk.capacity = None
    taken = writer.commit()
    assert 10 < taken < 40
    for seq in range(taken + 1, RECORDS):
        append(writer, seq, seq)
        assert writer.commit() == seq
    writer.close()
    WRITING.check_whole(disk)


@pytest.mark.parametrize("call", ["fdatasync", "fsync_dir"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_ends_the_writer(call: str, code: int) -> None:
    disk = MemoryDisk(how=code)
    writer = opened(disk)
    append(writer, 0, 4)
    disk.only, disk.fail_at, disk.calls = call, 1, 0

    with pytest.raises(JournalLost, match="start it again"):
        writer.commit()

    assert writer.durable_seq == -1
    for later in (lambda: writer.append(1, 0, 0, b""), writer.commit, writer.close):
        with pytest.raises(JournalLost):
            later()


def test_damage_before_the_tail_is_not_taken_for_a_torn_tail() -> None:
    disk = MemoryDisk()
    writer = opened(disk, segment_bytes=10_000)
    for first in range(0, 30, 5):
        append(writer, first, first + 4)
        writer.commit()
    writer.release()
    (inode,) = disk.entries.values()
    length = len(inode.data)
    inode.data[length // 2] ^= 1

    for refused in (read, opened):
        with pytest.raises(JournalError, match="restore this file"):
            refused(disk)
    assert len(inode.data) == length  # evidence is not touched


def test_a_wrong_record_leaves_nothing_behind() -> None:
    disk = MemoryDisk()
    writer = opened(disk)
    append(writer, 0, 0)
    for wrong in ((1 << 16, 0, 0, b""), (1, -1, 0, b""), (1, 0, 1 << 63, b""), (1, 0, 0, "text"), (1, 0, 0.5, b"")):
        with pytest.raises(Exception):  # noqa: B017
            writer.append(*wrong)
    append(writer, 1, RECORDS - 1)
    writer.close()
    WRITING.check_whole(disk)


def test_a_journal_keeps_its_origin() -> None:
    disk = MemoryDisk()
    with opened(disk) as writer:
        append(writer, 0, 3)
    with pytest.raises(JournalError, match="expected a journal that is live, found one that is simulated"):
        JournalWriter(FOLDER, header={"origin": "live"}, disk=disk)
    with pytest.raises(ValueError, match="origin"):
        JournalWriter(FOLDER, header={"origin": "guessed"}, disk=disk)
