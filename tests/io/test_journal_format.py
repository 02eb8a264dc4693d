"""What was appended is what is read; a byte that is not what was written is refused with its place."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import JournalError
from engine.core.records import SLACK_BYTES, Record, encode, iterate
from engine.io import segment
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter
from replay.chaos.disk import MemoryDisk
from tests.io.journals import FOLDER, HEADER, append, read, record, small_journal


@given(
    payloads=st.lists(st.binary(max_size=600), max_size=60),
    commits=st.sets(st.integers(0, 59)),
    reopens=st.sets(st.integers(0, 59), max_size=3),
    from_seq=st.integers(0, 61),
    segment_bytes=st.sampled_from((1, 900, 1 << 20)),
    block_bytes=st.sampled_from((1, 200, 1 << 18)),
)
@settings(max_examples=150, deadline=None)
def test_what_was_appended_is_read(payloads, commits, reopens, from_seq, segment_bytes, block_bytes) -> None:
    disk = MemoryDisk()

    def opened() -> JournalWriter:
        return JournalWriter(
            FOLDER, header=HEADER, disk=disk, segment_bytes=segment_bytes, block_bytes=block_bytes, seal_behind=False
        )

    writer = opened()
    for seq, payload in enumerate(payloads):
        writer.append(seq % 9, seq % 5, seq * 10**9 - 10, payload)
        if seq in commits:
            assert writer.commit() == writer.durable_seq == seq
        if seq in reopens:
            writer.close()
            writer = opened()
    writer.close()

    if not payloads:
        assert not disk.entries
        return
    expected = [Record(seq, seq * 10**9 - 10, seq % 5, seq % 9, payload) for seq, payload in enumerate(payloads)]
    assert read(disk) == expected
    assert read(disk, from_seq) == expected[from_seq:]
    report = JournalReader(FOLDER, disk).check()
    assert report.info.records == len(payloads)
    assert report.info.raw_bytes == sum(len(encode(one)) for one in expected)
    assert (report.info.first_recv_ns, report.info.last_recv_ns) == (expected[0].recv_ns, expected[-1].recv_ns)


def test_batches_hold_whole_records_with_slack_and_stay_valid_for_one_more() -> None:
    disk = small_journal(close=True)

    encoded, held = b"", None
    for batch in JournalReader(FOLDER, disk).batches():
        assert batch.start >= SLACK_BYTES
        assert len(batch.buffer) - batch.end >= SLACK_BYTES
        encoded += batch.buffer[batch.start : batch.end].tobytes()
        if held is not None:
            assert held[0].buffer[held[0].start : held[0].end].tobytes() == held[1]
        held = batch, batch.buffer[batch.start : batch.end].tobytes()

    assert encoded == b"".join(encode(record(seq)) for seq in range(60))


def attempt(disk: MemoryDisk) -> tuple[list[Record], int, JournalError | None]:
    """Records read, bytes of the torn tail skipped, and why the journal was refused if it was."""
    try:
        reader = JournalReader(FOLDER, disk)
        found = [one for batch in reader.batches() for one in iterate(batch)]
    except JournalError as error:
        return [], 0, error
    return found, reader.torn_bytes, None


@pytest.mark.parametrize("close", [True, False], ids=["sealed", "open"])
def test_a_changed_byte_is_refused_with_its_segment_or_is_in_the_torn_tail(close: bool) -> None:
    disk = small_journal(close=close)
    random = Random(1)
    names = sorted(path.name for path in disk.entries)
    assert len(names) >= 3

    for path, inode in disk.entries.items():
        original = bytes(inode.data)
        for place in range(len(original)):
            inode.data[place] = original[place] ^ (1 << random.randrange(8))
            found, torn_bytes, refused = attempt(disk)
            if refused is not None:
                assert refused.segment == path.name
                assert refused.offset <= len(original)
            else:
                # Only the last commit can be taken for one that never ended: 57 to 59.
                assert not close
                assert path.name == names[-1]
                assert found == [record(seq) for seq in range(57)]
                assert torn_bytes > 0
            inode.data[place] = original[place]
    assert read(disk) == [record(seq) for seq in range(60)]


@pytest.mark.parametrize("close", [True, False], ids=["sealed", "open"])
def test_a_cut_file_is_refused_or_loses_only_what_was_cut(close: bool) -> None:
    pristine = small_journal(close=close)
    paths = sorted(pristine.entries)
    original = bytes(pristine.entries[paths[-1]].data)

    for length in range(len(original)):
        disk = deepcopy(pristine)
        disk.entries[paths[-1]].data = bytearray(original[:length])
        found, torn_bytes, refused = attempt(disk)
        if refused is not None:
            assert refused.segment == paths[-1].name
            assert close or length < 200  # bytes of the header
            continue
        assert not close
        assert found == [record(seq) for seq in range(len(found))]
        assert len(found) % 3 == 0
        # The writer cuts the same, and goes on as if nothing had been there.
        writer = JournalWriter(FOLDER, header=HEADER, disk=disk, seal_behind=False)
        assert writer.durable_seq == len(found) - 1
        assert (writer.torn.nbytes if writer.torn else 0) == torn_bytes
        append(writer, len(found), 60)
        writer.close()
        assert read(disk) == [record(seq) for seq in range(61)]


def test_a_cut_before_the_last_segment_is_refused() -> None:
    disk = small_journal(close=True)
    for path in sorted(disk.entries)[:-1]:
        whole = disk.entries[path].data
        for length in range(0, len(whole), 3):
            disk.entries[path].data = whole[:length]
            with pytest.raises(JournalError):
                read(disk)
        disk.entries[path].data = whole


def test_a_missing_segment_is_refused() -> None:
    disk = small_journal(close=True)
    for path in sorted(disk.entries)[:-1]:
        kept = disk.entries.pop(path)
        for refused in (read, lambda d: JournalReader(FOLDER, d).info()):
            with pytest.raises(JournalError, match="missing"):
                refused(disk)
        with pytest.raises(JournalError, match="missing"):
            JournalWriter(FOLDER, header=HEADER, disk=disk.restart())
        disk.entries[path] = kept


def test_a_segment_of_another_journal_is_refused() -> None:
    disk, other = small_journal(close=True), MemoryDisk()
    writer = JournalWriter(FOLDER, header=HEADER, disk=other, segment_bytes=1_000, block_bytes=300, seal_behind=False)
    for seq in range(60):
        writer.append(1, 1, 1, record(seq).payload)
    writer.close()
    name = sorted(disk.entries)[1]
    assert name in other.entries

    disk.entries[name] = other.entries[name]

    with pytest.raises(JournalError, match="chain CRC"):
        read(disk)


def test_a_segment_under_another_name_is_refused() -> None:
    disk = small_journal(close=True)
    path = sorted(disk.entries)[1]
    disk.entries[FOLDER / segment.segment_name(13)] = disk.entries.pop(path)

    with pytest.raises(JournalError, match="first seq"):
        read(disk)


def test_the_index_leads_to_the_block_where_a_minute_begins() -> None:
    for close in (True, False):
        reader = JournalReader(FOLDER, small_journal(close=close))
        index = [entry for segment in reader.info().segments for entry in segment.summary.index]
        for minute in range(20):  # records 3 * minute to 3 * minute + 2
            begin = next(entry.first_seq for entry in index if entry.minute >= minute)
            first = next(iterate(next(reader.batches(begin))))
            assert first.seq == begin <= 3 * minute
            assert begin > 3 * minute - 20  # not much too early: a block has 300 bytes
        assert all(entry.minute < 20 for entry in index)


def test_a_record_larger_than_a_block_or_a_segment_has_its_own() -> None:
    disk = MemoryDisk()
    writer = JournalWriter(FOLDER, header=HEADER, disk=disk, segment_bytes=2_000, block_bytes=100, seal_behind=False)
    for payload in (b"a", bytes(5_000), b"c"):
        writer.append(5, 0, 0, payload)
    writer.close()

    assert [one.payload for one in read(disk)] == [b"a", bytes(5_000), b"c"]


def test_an_empty_or_foreign_folder_is_refused_with_a_sentence() -> None:
    with pytest.raises(JournalError, match=r"expected segments .* found none; name a JOURNAL folder"):
        JournalReader(FOLDER, MemoryDisk())


def test_the_document_shows_the_tables_of_the_format() -> None:
    document = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()

    assert segment.describe() in document
