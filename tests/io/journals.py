"""The journal that the journal's tests write: its record number n is a function of n."""

from __future__ import annotations

from pathlib import Path
from random import Random

from engine.core.records import Record, iterate
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter
from replay.chaos.disk import MemoryDisk

FOLDER = Path("journal")
HEADER = {"origin": "simulated"}


def record(seq: int) -> Record:
    """A record of the tests' one journal: 20 s apart, payloads of 0 to 60 bytes."""
    payload = Random(seq).randbytes(seq * 7 % 61)
    return Record(seq, seq * 20 * 10**9, seq % 3, 1 + seq % 8, payload)


def append(writer: JournalWriter, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        one = record(seq)
        assert writer.append(one.kind, one.source, one.recv_ns, one.payload) == seq


def read(disk: MemoryDisk, from_seq: int = 0) -> list[Record]:
    return [one for batch in JournalReader(FOLDER, disk).batches(from_seq) for one in iterate(batch)]


def records_in(folder: Path) -> list[Record]:
    """Every record of a journal on the disk."""
    return [one for batch in JournalReader(folder).batches() for one in iterate(batch)]


def small_journal(*, close: bool) -> MemoryDisk:
    """Segments of about 1,000 raw bytes, blocks of at most 300, 60 records; the last commit is 57 to 59."""
    disk = MemoryDisk()
    writer = JournalWriter(
        FOLDER, header=HEADER, disk=disk, segment_bytes=1_000, block_bytes=300, seal_behind=False
    )  # fmt: skip
    for first in range(0, 60, 3):
        append(writer, first, first + 2)
        assert writer.commit() == first + 2
    if close:
        writer.close()
    else:
        writer.release()
    return disk.restart()
