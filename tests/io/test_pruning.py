"""A journal whose beginning is removed: what goes, what stays, and what a crash in the middle leaves."""

from __future__ import annotations

import pytest

from engine.core.errors import JournalError
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter
from engine.io.pruning import (
    PRUNED,
    keep_key_frame,
    kept_segments,
    key_frame_content,
    key_frames,
    prune,
    removable,
    sweep,
)  # fmt: skip
from engine.io.segment import is_segment
from replay.chaos.disk import Killed, MemoryDisk
from tests.io.journals import FOLDER, HEADER, append, read, record, small_journal


def frames(disk: MemoryDisk, *seqs: int) -> None:
    for seq in seqs:
        keep_key_frame(disk, FOLDER, seq, b"state behind %d" % seq)


def segments(disk: MemoryDisk) -> list[int]:
    return [int(path.name[:20]) for path in sorted(disk.entries) if is_segment(path.name)]


def test_without_a_key_frame_nothing_can_be_removed():
    assert removable(small_journal(close=True), FOLDER) == []


def test_a_key_frame_frees_the_sealed_segments_before_it():
    disk = small_journal(close=True)
    starts = segments(disk)
    assert len(starts) >= 4
    frames(disk, starts[1] - 2, starts[1] - 1, starts[2] + 1, 59)

    found = [(seq, [int(name[:20]) for name in names]) for seq, names in removable(disk, FOLDER)]

    assert found == [  # the first stands inside of the first segment; the last one frees all but the last segment
        (starts[1] - 1, starts[:1]), (starts[2] + 1, starts[:2]), (59, starts[:-1])
    ]  # fmt: skip


def test_a_segment_that_is_not_sealed_stays_and_all_behind_it():
    disk = MemoryDisk()
    writer = JournalWriter(FOLDER, header=HEADER, disk=disk, segment_bytes=1_000, block_bytes=300, seal_behind=False)
    writer._seal_later = lambda name: None  # type: ignore[method-assign]
    for first in range(0, 60, 3):
        append(writer, first, first + 2)
        writer.commit()
    writer.release()
    frames(disk, 59)

    assert removable(disk, FOLDER) == []


def pruned_journal() -> tuple[MemoryDisk, int]:
    """The small journal without what the key frame in its third segment frees; the seq of that key frame."""
    disk = small_journal(close=True)
    seq = segments(disk)[2] + 1
    frames(disk, 5, seq, 50)
    (names,) = (names for frame, names in removable(disk, FOLDER) if frame == seq)
    assert prune(disk, FOLDER, seq, names) > 0
    return disk, seq


def test_what_is_left_is_read_checked_and_continued():
    whole, (disk, seq) = small_journal(close=True), pruned_journal()

    reader = JournalReader(FOLDER, disk)
    assert reader.pruned is not None
    assert reader.pruned.state_seq == seq
    assert reader.first_seq == segments(whole)[2]
    assert reader.header == JournalReader(FOLDER, whole).header
    assert read(disk, seq + 1) == [record(n) for n in range(seq + 1, 60)]
    assert reader.check().chain_crc == JournalReader(FOLDER, whole).check().chain_crc
    assert key_frames(disk, FOLDER) == [seq, 50]
    assert key_frame_content(disk, FOLDER, seq) == b"state behind %d" % seq

    with JournalWriter(FOLDER, header=HEADER, disk=disk) as writer:
        append(writer, 60, 62)
        writer.commit()
    assert read(disk, seq + 1) == [record(n) for n in range(seq + 1, 63)]


def test_records_that_were_removed_are_refused_and_the_key_frame_is_named():
    disk, seq = pruned_journal()

    with pytest.raises(JournalError, match=f"begin behind record {seq}"):
        read(disk, 0)


def test_pruning_goes_on_where_it_stopped():
    disk, _ = pruned_journal()
    before = JournalReader(FOLDER, disk).pruned
    ((seq, names),) = removable(disk, FOLDER)[-1:]
    nbytes = prune(disk, FOLDER, seq, names)

    now = JournalReader(FOLDER, disk).pruned
    assert before is not None
    assert now is not None
    assert now.header == before.header
    assert (now.segments, now.nbytes) == (before.segments + len(names), before.nbytes + nbytes)
    assert read(disk, seq + 1) == [record(n) for n in range(seq + 1, 60)]


def test_a_segment_removed_by_hand_is_still_refused():
    disk, _ = pruned_journal()
    disk.unlink(FOLDER / kept_segments(disk, FOLDER)[0])

    with pytest.raises(JournalError, match="restore what is missing"):
        JournalReader(FOLDER, disk)


def test_an_unreadable_note_is_refused():
    disk, _ = pruned_journal()
    disk.unlink(FOLDER / PRUNED)
    disk.close(disk.create(FOLDER / PRUNED))

    with pytest.raises(JournalError, match="restore this file"):
        JournalReader(FOLDER, disk)


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_death_at_any_call_leaves_the_journal_as_before_or_as_after(power: bool):
    seq = segments(small_journal(close=True))[2] + 1
    outcomes = []
    for call in range(1, 200):
        disk = small_journal(close=True)
        frames(disk, 5, seq, 50)
        (names,) = (names for frame, names in removable(disk, FOLDER) if frame == seq)
        disk.fail_at, disk.how = disk.calls + call, "kill"
        try:
            prune(disk, FOLDER, seq, names)
            break
        except Killed:
            disk.random.seed(call)
            after = disk.cut_power() if power else disk.restart()
        for _ in range(2):
            reader = JournalReader(FOLDER, after)
            begin = reader.pruned.state_seq + 1 if reader.pruned else 0
            reader.check()
            assert read(after, begin) == [record(n) for n in range(begin, 60)]
            sweep(after, FOLDER)
        outcomes.append(reader.pruned is not None)
        if reader.pruned:
            assert segments(after)[0] == reader.first_seq
    assert set(outcomes) == {False, True}
