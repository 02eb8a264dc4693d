"""Nothing that commit acknowledged is lost, whatever fails; what goes on afterwards equals a life without faults."""

from __future__ import annotations

import errno
import zlib
from contextlib import suppress
from copy import deepcopy
from random import Random

import pytest

from engine.core.errors import JournalError
from engine.core.records import encode
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalFull, JournalLost, JournalWriter
from engine.io.segment import is_segment
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.journals import FOLDER, HEADER, append, read, record

RECORDS = 48
UNINTERRUPTED_CRC = zlib.crc32(b"".join(encode(record(seq)) for seq in range(RECORDS)))


def opened(disk: MemoryDisk, **limits: int) -> JournalWriter:
    return JournalWriter(
        FOLDER, header=HEADER, disk=disk, block_bytes=200, seal_behind=False, **{"segment_bytes": 800, **limits}
    )


def live(disk: MemoryDisk, random: Random, acknowledged: list[int]) -> None:
    """One process: opens the journal, appends and commits from where it stands to the last record, closes."""
    writer = opened(disk)
    try:
        assert writer.durable_seq >= max(acknowledged, default=-1)
        following = writer.durable_seq + 1
        while following < RECORDS:
            last = min(RECORDS - 1, following + random.randrange(8))
            append(writer, following, last)
            following = last + 1
            try:
                acknowledged.append(writer.commit())
            except JournalFull:
                acknowledged.append(writer.durable_seq)  # The rest waits, and goes with the next commit.
        acknowledged.append(writer.commit())
        writer.close()
    finally:
        if writer.durable_seq >= 0:
            acknowledged.append(writer.durable_seq)
        writer.release()


def assert_nothing_is_lost(disk: MemoryDisk, acknowledged: list[int]) -> None:
    if any(is_segment(path.name) for path in disk.entries):
        found = read(disk)
        assert found == [record(seq) for seq in range(len(found))]
        assert len(found) > max(acknowledged, default=-1)
    else:
        assert not acknowledged


def assert_as_uninterrupted(disk: MemoryDisk) -> None:
    report = JournalReader(FOLDER, disk).check()
    assert read(disk) == [record(seq) for seq in range(RECORDS)]
    assert report.chain_crc == UNINTERRUPTED_CRC
    assert report.info.torn_bytes == 0
    assert all(is_segment(path.name) for path in disk.entries)


@pytest.mark.parametrize("after", ["restart", "power cut"])
@pytest.mark.parametrize("how", [errno.EIO, errno.ENOSPC, "short", "kill"], ids=["EIO", "ENOSPC", "short", "kill"])
def test_every_call_may_fail_once(how: int | str, after: str) -> None:
    failed_in = set()
    for number in range(1, 10_000):
        disk = MemoryDisk(fail_at=number, how=how, seed=number)
        acknowledged: list[int] = []
        with suppress(JournalError, Killed):
            live(disk, Random(5), acknowledged)
        if disk.failed_in is None:
            break  # A whole life without the fault: every call has had its turn.
        failed_in.add(disk.failed_in)

        disk.restart() if after == "restart" else disk.cut_power()

        assert_nothing_is_lost(disk, acknowledged)
        live(disk, Random(6), acknowledged)
        assert_as_uninterrupted(disk)
    assert number > 100
    assert failed_in >= {"write", "fdatasync", "rename", "fsync_dir", "create", "open", "read", "lock"}


@pytest.mark.parametrize("after", ["restart", "power cut"])
@pytest.mark.parametrize("how", [errno.EIO, errno.ENOSPC, "kill"], ids=["EIO", "ENOSPC", "kill"])
def test_every_call_of_a_recovery_may_fail_once(how: int | str, after: str) -> None:
    # Closed segments, an open one with whole commits behind each other, and a tail torn within its first block header,
    # so that nothing on the disk tells that the commit before it was acknowledged.
    killed = MemoryDisk()
    writer = opened(killed, segment_bytes=1_500)
    for seq in range(0, 40, 2):
        append(writer, seq, seq + 1)
        writer.commit()
    append(writer, 40, 44)
    killed.only, killed.how, killed.fail_at, killed.calls = "write", "kill", 1, 0
    with pytest.raises(Killed):
        writer.commit()
    killed.restart()
    last = killed.entries[max(killed.entries)]
    last.data[len(last.synced) :] = b"CVB\x01 torn"
    assert tail(killed) == 9
    failed_in = set()

    for number in range(1, 10_000):
        disk, acknowledged = deepcopy(killed), [39]
        disk.fail_at, disk.how, disk.calls = number, how, 0
        with suppress(JournalError, Killed):
            live(disk, Random(5), acknowledged)
        if disk.failed_in is None:
            break
        failed_in.add(disk.failed_in)
        disk.restart() if after == "restart" else disk.cut_power()
        assert_nothing_is_lost(disk, acknowledged)
        live(disk, Random(6), acknowledged)
        assert_as_uninterrupted(disk)
    assert failed_in >= {"append", "truncate", "fdatasync", "read", "size", "list"}


def test_two_hundred_kills_and_power_cuts_lose_nothing_acknowledged() -> None:
    random = Random(20)
    kills = torn = 0
    for life in range(400):
        disk = MemoryDisk(seed=life)
        acknowledged: list[int] = []
        while True:
            disk.fail_at, disk.how, disk.calls = random.randrange(1, 120), "kill", 0
            try:
                live(disk, random, acknowledged)
            except Killed:
                kills += 1
                disk.cut_power() if random.random() < 0.7 else disk.restart()
                assert_nothing_is_lost(disk, acknowledged)
                torn += any(is_segment(path.name) for path in disk.entries) and tail(disk) > 0
            else:
                break
        disk.restart()
        assert_as_uninterrupted(disk)
        if kills >= 200:
            break
    assert kills >= 200
    assert torn >= 10  # The model does tear tails.


def tail(disk: MemoryDisk) -> int:
    return JournalReader(FOLDER, disk).info().torn_bytes


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
    assert_as_uninterrupted(disk)


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
        assert_nothing_is_lost(disk, [acknowledged] if acknowledged >= 0 else [])
        disk.capacity = None
        writer.close()
        opened(disk).close()  # seals what could not be compressed before
        assert_as_uninterrupted(disk)
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
    assert_as_uninterrupted(disk)


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
    assert_as_uninterrupted(disk)


def test_a_journal_keeps_its_origin() -> None:
    disk = MemoryDisk()
    with opened(disk) as writer:
        append(writer, 0, 3)
    with pytest.raises(JournalError, match="expected a journal that is live, found one that is simulated"):
        JournalWriter(FOLDER, header={"origin": "live"}, disk=disk)
    with pytest.raises(ValueError, match="origin"):
        JournalWriter(FOLDER, header={"origin": "guessed"}, disk=disk)
