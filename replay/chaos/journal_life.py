"""One life of a journal on a disk in memory: opened, appended to, committed, closed; and what must hold after it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

from engine.core.records import Record, encode
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalFull, JournalWriter
from engine.io.segment import is_segment
from replay.chaos.disk import MemoryDisk
from replay.chaos.material import Loss

FOLDER = Path("journal")
HEADER = {"origin": "simulated"}


@dataclass(frozen=True)
class Writing:
    """What is written, and how finely it is cut: raw bytes of a segment and a block, most records of one commit."""

    records: Sequence[Record]
    raw: bytes
    ends: Sequence[int]  # of each record, in raw
    segment_bytes: int
    block_bytes: int
    commit_records_max: int

    @classmethod
    def of(cls, records: Sequence[Record], segment_bytes: int, block_bytes: int, commit_records_max: int) -> Writing:
        parts = [encode(one) for one in records]
        ends = list(accumulate(map(len, parts)))
        return cls(records, b"".join(parts), ends, segment_bytes, block_bytes, commit_records_max)

    def opened(self, disk: MemoryDisk) -> JournalWriter:
        return JournalWriter(
            FOLDER, header=HEADER, disk=disk, segment_bytes=self.segment_bytes, block_bytes=self.block_bytes,
            seal_behind=False,
        )  # fmt: skip

    def append(self, writer: JournalWriter, first: int, last: int) -> None:
        for one in self.records[first : last + 1]:
            seq = writer.append(one.kind, one.source, one.recv_ns, one.payload)
            if seq != one.seq:
                raise Loss(f"record {one.seq} was given seq {seq}")

    def live(self, disk: MemoryDisk, random: Random, acknowledged: list[int]) -> None:
        """One process: opens the journal, goes on from where it stands to the last record, closes.

        acknowledged: gets every seq that the writer called durable, as it does; what it calls so, it may not lose.
        """
        writer, last = self.opened(disk), len(self.records) - 1
        try:
            if writer.durable_seq < max(acknowledged, default=-1):
                raise Loss(f"seq {max(acknowledged)} was acknowledged, the next start stands at {writer.durable_seq}")
            following = writer.durable_seq + 1
            while following <= last:
                until = min(last, following + random.randrange(self.commit_records_max))
                self.append(writer, following, until)
                following = until + 1
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

    def check(self, disk: MemoryDisk, acknowledged: Sequence[int]) -> int:
        """Everything acknowledged is there, and what is there is what was written; returns the records there."""
        promised = max(acknowledged, default=-1)
        if not any(is_segment(path.name) for path in disk.entries):
            if promised >= 0:
                raise Loss(f"seq {promised} was acknowledged, and there is no segment at all")
            return 0
        found = b"".join(bytes(batch.buffer.data[batch.start : batch.end]) for batch in reader(disk).batches())
        if not self.raw.startswith(found):
            raise Loss("the journal reads, but not as the records that were written")
        count = self.ends.index(len(found)) + 1 if found else 0
        if count <= promised:
            raise Loss(f"seq {promised} was acknowledged, the journal ends with seq {count - 1}")
        return count

    def check_whole(self, disk: MemoryDisk) -> None:
        """As a life without faults leaves it: every record, no torn tail, nothing but segments."""
        report = reader(disk).check()
        expected = len(self.records), zlib.crc32(self.raw), 0
        if (report.info.records, report.chain_crc, report.info.torn_bytes) != expected:
            raise Loss(
                f"{expected[0]} records with chain CRC {expected[1]:08x} were written, the journal has "
                f"{report.info.records} with {report.chain_crc:08x} and {report.info.torn_bytes} torn bytes"
            )
        if strange := [path.name for path in disk.entries if not is_segment(path.name)]:
            raise Loss(f"{strange[0]} was left behind")


def reader(disk: MemoryDisk) -> JournalReader:
    return JournalReader(FOLDER, disk)


def torn_bytes(disk: MemoryDisk) -> int:
    """Bytes of the torn tail as a reader counts them."""
    return reader(disk).info().torn_bytes if any(is_segment(path.name) for path in disk.entries) else 0
