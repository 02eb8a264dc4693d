"""Reading a journal: every byte checked on its way, refused with segment and offset where it is not what was written.

The one thing forgiven is a torn tail: what stands at the end of the last segment, cannot be read, and was never
reported as durable. It is skipped here (and counted), and cut by the writer.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import zstandard

from engine.core.errors import JournalError
from engine.core.minutes import minute_of
from engine.core.records import HEADER_BYTES, SLACK_BYTES, RecordBatch, padded
from engine.io.disk import OS_DISK, Disk
from engine.io.pruning import key_frame_content, read_pruned, state_name
from engine.io.segment import (
    BLOCK_HEADER_BYTES,
    COMPRESSED,
    FIRST_SEQ,
    HEADER_BYTES_MAX,
    TRAILER_BYTES,
    Block,
    Summary,
    durable_behind,
    footer_bytes,
    footer_length,
    is_segment,
    segment_name,
    unpack_block,
    unpack_footer,
    unpack_header,
)

RECORD = Struct("<IHHqq")  # engine.core.records.HEADER: length, kind, source, seq, recv_ns
RESTORE = "restore this file from a copy"
CHECK_DISK = "check the disk, then restore this file from a copy"


class DamageError(JournalError):
    """Bytes that are not what was written; at the end of an open last segment they may be a torn tail."""


@dataclass(frozen=True, slots=True)
class Torn:
    """A torn tail: `nbytes` from `offset` on, and why the first of them cannot be read."""

    segment: str
    offset: int
    nbytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    name: str
    sealed: bool
    stored_bytes: int
    header: dict[str, Any]
    summary: Summary


@dataclass(frozen=True, slots=True)
class JournalInfo:
    """A journal in figures. Times are ns UTC of receipt, 0 without records; `minutes` counts from first to last."""

    segments: list[SegmentInfo]
    records: int
    last_seq: int
    raw_bytes: int
    stored_bytes: int
    first_recv_ns: int
    last_recv_ns: int
    minutes: int
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Every byte was read and every record walked. kinds: records of each RecordKind number."""

    info: JournalInfo
    kinds: dict[int, int]
    chain_crc: int


class Buffers:
    """Two blocks of memory used in turn, so that one batch may be worked on while the next is read."""

    def __init__(self) -> None:
        self._arrays = [np.zeros(0, np.uint8), np.zeros(0, np.uint8)]

    def batch(self, nbytes: int) -> RecordBatch:
        """Room for `nbytes`, with its slack; the batch before the last one is overwritten."""
        self._arrays.reverse()
        need = nbytes + 2 * SLACK_BYTES
        if len(self._arrays[0]) < need:
            self._arrays[0] = np.zeros(max(need, 256 << 10), np.uint8)
        end = SLACK_BYTES + nbytes
        self._arrays[0][end : end + SLACK_BYTES] = 0
        return RecordBatch(self._arrays[0], SLACK_BYTES, end)


class SegmentFile:
    """One segment, open to be read.

    torn, reached: what `blocks` found at its end: a torn tail or None; the next seq and the chain CRC.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self.name, self._disk = path.name, disk
        self.torn: Torn | None = None
        self.reached = 0, 0
        self._zstd = zstandard.ZstdDecompressor()
        try:
            self._handle = disk.open(path)
        except OSError as error:
            raise JournalError(self.name, 0, "a segment that can be opened", str(error.strerror), RESTORE) from error
        try:
            self.size = self._size()
            self.header = unpack_header(self.name, self._bytes(0, min(self.size, HEADER_BYTES_MAX)))
            self.footer = self._footer() if self.header.sealed else None
            self._end = self.size - (0 if self.footer is None else footer_length(self.footer))  # of the blocks
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._disk.close(self._handle)

    def must_follow(self, reached: tuple[int, int]) -> None:
        """Refuse a segment that does not go on where the one before it ended: at (seq, chain CRC)."""
        found = self.header.first_seq, self.header.previous_crc
        if found != reached:
            expected = f"seq {reached[0]} after chain CRC {reached[1]:08x}, where the segment before it ends"
            action = "a segment is missing or was cut: restore what is missing from a copy"
            raise JournalError(self.name, 0, expected, f"seq {found[0]} after {found[1]:08x}", action)

    def blocks(self, buffers: Buffers, *, last: bool, from_seq: int = 0) -> Iterator[tuple[Block, int, RecordBatch]]:
        """Each block, its offset and its records, checked; blocks that end before `from_seq` are stepped over."""
        seq, crc, offset = self.header.first_seq, self.header.previous_crc, self.header.size
        self.reached = seq, crc
        while offset < self._end:
            try:
                block = self._block(offset, seq)
                begin = offset + BLOCK_HEADER_BYTES
                batch = self._load(block, begin, crc, buffers) if seq + block.records > from_seq else None
            except DamageError as damage:
                self._forgive(damage, offset, last)
                return
            if batch is not None:
                yield block, offset, batch
            seq, crc, offset = seq + block.records, block.chain_crc, begin + block.stored_bytes
            self.reached = seq, crc
        if self.footer is not None and (seq, crc) != (self.footer.end_seq, self.footer.chain_crc):
            expected = f"records to seq {self.footer.end_seq - 1} with CRC {self.footer.chain_crc:08x}"
            raise DamageError(self.name, offset, expected, f"seq {seq - 1} with CRC {crc:08x}", RESTORE)

    def summary(self, *, last: bool) -> Summary:
        """What the segment holds: from its footer if it is sealed, else by reading it."""
        if self.footer is not None:
            return self.footer
        summary = Summary(self.header.first_seq, chain_crc=self.header.previous_crc)
        for block, offset, _ in self.blocks(Buffers(), last=last):
            summary.add(block, offset)
        return summary

    def _block(self, offset: int, seq: int) -> Block:
        """The block header at `offset`, whose first record must be `seq`."""
        rest = self._end - offset
        block = unpack_block(self._bytes(offset, min(BLOCK_HEADER_BYTES, rest)), self.header.crc)
        if block is None:
            raise DamageError(self.name, offset, "a block header", f"{rest} bytes that do not begin with one", RESTORE)
        if block.stored_bytes > rest - BLOCK_HEADER_BYTES:
            found = f"{rest - BLOCK_HEADER_BYTES} to the end"
            raise DamageError(self.name, offset, f"{block.stored_bytes} stored bytes", found, RESTORE)
        if block.first_seq != seq:
            # Its CRC is right, so it was written like this: never a torn tail.
            raise JournalError(self.name, offset, f"seq {seq}", f"seq {block.first_seq}", RESTORE)
        return block

    def _forgive(self, damage: DamageError, offset: int, last: bool) -> None:
        """Take the rest of the file for a torn tail if it can be one; else raise the damage."""
        if not last or self.header.sealed:
            raise damage
        tail = self._bytes(offset, self.size - offset)
        if durable_behind(tail, self.header.crc) > offset:
            raise damage  # A block behind it was written when this place was already on the disk.
        self.torn = Torn(self.name, offset, self.size - offset, str(damage))

    def _load(self, block: Block, offset: int, crc: int, buffers: Buffers) -> RecordBatch:
        """The block's records in memory, their CRC checked."""
        batch = buffers.batch(block.raw_bytes)
        raw = batch.buffer.data[batch.start : batch.end]
        if block.flags & COMPRESSED:
            stored = self._bytes(offset, block.stored_bytes)
            found = zlib.crc32(stored)
            if found != block.stored_crc:
                raise DamageError(self.name, offset, f"stored CRC {block.stored_crc:08x}", f"{found:08x}", RESTORE)
            self._decompress(stored, raw, offset)
        else:
            self._read(offset, raw)
        found = zlib.crc32(raw, crc)
        if found != block.chain_crc:
            raise DamageError(self.name, offset, f"chain CRC {block.chain_crc:08x}", f"{found:08x}", RESTORE)
        return batch

    def _decompress(self, stored: bytes, into: memoryview, offset: int) -> None:
        done = 0
        try:
            with self._zstd.stream_reader(stored) as reader:
                while done < len(into) and (count := reader.readinto(into[done:])):
                    done += count
        except zstandard.ZstdError as error:
            raise DamageError(self.name, offset, "a zstd frame", str(error), RESTORE) from error
        if done != len(into):
            raise DamageError(self.name, offset, f"{len(into)} raw bytes", str(done), RESTORE)

    def _footer(self) -> Summary:
        length = footer_bytes(self._bytes(max(0, self.size - TRAILER_BYTES), min(self.size, TRAILER_BYTES)))
        if length is None or length > self.size - self.header.size:
            place = max(0, self.size - TRAILER_BYTES)
            raise DamageError(self.name, place, "a footer's trailer", "other bytes", RESTORE)
        footer = unpack_footer(self._bytes(self.size - length, length), self.header.crc)
        if footer is None:
            raise DamageError(self.name, self.size - length, "a footer with its CRC", "a wrong byte in it", RESTORE)
        return footer

    def _size(self) -> int:
        try:
            return self._disk.size(self._handle)
        except OSError as error:
            raise JournalError(self.name, 0, "a file with a length", str(error.strerror), CHECK_DISK) from error

    def _bytes(self, offset: int, length: int) -> bytes:
        data = bytearray(length)
        self._read(offset, memoryview(data))
        return bytes(data)

    def _read(self, offset: int, into: memoryview) -> None:
        try:
            count = self._disk.read(self._handle, offset, into)
        except OSError as error:
            raise JournalError(self.name, offset, f"{len(into)} bytes", str(error.strerror), CHECK_DISK) from error
        if count != len(into):
            raise DamageError(self.name, offset, f"{len(into)} bytes", f"{count} (the file was cut)", RESTORE)


class JournalReader:
    """A journal's folder. Nothing is kept open between calls, so a journal that is being written may be read as well:
    the reader then sees what stood in the folder when it was made, to the last whole block.

    header: of the segment that holds, or held, record 0. pruned: where the journal begins if its beginning was removed.
    """

    def __init__(self, folder: Path | str, disk: Disk = OS_DISK) -> None:
        self._folder, self._disk = Path(folder), disk
        try:
            self.pruned = read_pruned(disk, self._folder)
            self.first_seq = self.pruned.first_seq if self.pruned else FIRST_SEQ
            begin = segment_name(self.first_seq)
            self._names = [name for name in disk.list(self._folder) if is_segment(name) and name >= begin]
        except OSError as error:
            action = "name a JOURNAL folder"
            raise JournalError(self._folder.name, 0, "a folder", str(error.strerror), action) from error
        if not self._names:
            raise JournalError(self._folder.name, 0, "segments (*.seg)", "none", "name a JOURNAL folder")
        if self._names[0] != begin:
            expected = f"the journal's first segment, {begin}"
            raise JournalError(self._names[0], 0, expected, "this as the first", "restore what is missing from a copy")
        self.torn: Torn | None = None
        with self._open(self._names[0]) as first:
            self.header: dict[str, Any] = self.pruned.header if self.pruned else first.header.json

    @property
    def torn_bytes(self) -> int:
        """Bytes of the torn tail; 0 until a call has read to the end of the last segment."""
        return self.torn.nbytes if self.torn else 0

    def batches(self, from_seq: int = 0) -> Iterator[RecordBatch]:
        """Records from `from_seq` on, a block at a time. A batch is overwritten when the next but one is drawn.

        Raises JournalError if records from there on were removed: a replay then begins behind the key frame.
        """
        if self.pruned and from_seq < self.first_seq:
            action = f"begin behind record {self.pruned.state_seq}, with {state_name(self.pruned.state_seq)}"
            raise JournalError(self._names[0], 0, f"record {from_seq}", "it and others were removed", action)
        for _, block, _, batch in self._walk(from_seq):
            if block.first_seq < from_seq:
                for _ in range(from_seq - block.first_seq):
                    batch.start += HEADER_BYTES + padded(RECORD.unpack_from(batch.buffer.data, batch.start)[0])
            yield batch

    def key_frame(self) -> bytes | None:
        """The state with which a replay of this journal begins; None: it begins with record 0."""
        return key_frame_content(self._disk, self._folder, self.pruned.state_seq) if self.pruned else None

    def info(self) -> JournalInfo:
        """Figures, from footers; only an open segment is read. The chain from segment to segment is checked."""
        segments: list[SegmentInfo] = []
        reached: tuple[int, int] | None = None
        for name in self._names:
            with self._open(name) as segment:
                if reached is not None:
                    segment.must_follow(reached)
                summary = segment.summary(last=name == self._names[-1])
                segments.append(SegmentInfo(name, segment.header.sealed, segment.size, segment.header.json, summary))
                reached, self.torn = (summary.end_seq, summary.chain_crc), segment.torn
        full = [segment.summary for segment in segments if segment.summary.records]
        first_recv_ns = min((summary.least_recv_ns for summary in full), default=0)
        last_recv_ns = max((summary.greatest_recv_ns for summary in full), default=0)
        return JournalInfo(
            segments,
            records=sum(summary.records for summary in full),
            last_seq=segments[-1].summary.end_seq - 1,
            raw_bytes=sum(summary.raw_bytes for summary in full),
            stored_bytes=sum(segment.stored_bytes for segment in segments),
            first_recv_ns=first_recv_ns,
            last_recv_ns=last_recv_ns,
            minutes=minute_of(last_recv_ns) - minute_of(first_recv_ns) + 1 if full else 0,
            torn_bytes=self.torn_bytes,
        )

    def check(self) -> CheckReport:
        """Read every byte and walk every record; JournalError with segment and offset where one is not right."""
        kinds: Counter[int] = Counter()
        summaries: dict[str, Summary] = {}
        for name, block, offset, batch in self._walk(self.first_seq):
            check_records(name, offset, block, batch, kinds)
            summaries.setdefault(name, Summary(block.first_seq)).add(block, offset)
        info = self.info()
        for segment in info.segments:
            walked = summaries.get(segment.name, segment.summary)
            if walked != segment.summary:
                raise DamageError(segment.name, 0, f"a footer that says {walked}", str(segment.summary), RESTORE)
        return CheckReport(info, dict(sorted(kinds.items())), info.segments[-1].summary.chain_crc)

    def _walk(self, from_seq: int) -> Iterator[tuple[str, Block, int, RecordBatch]]:
        """Each block from the one that holds `from_seq` on: its segment, header, offset and records."""
        buffers = Buffers()
        reached: tuple[int, int] | None = None
        firsts = [int(name[:20]) for name in self._names]
        start = max((i for i, first in enumerate(firsts) if first <= from_seq), default=0)
        for name in self._names[start:]:
            with self._open(name) as segment:
                if reached is not None:
                    segment.must_follow(reached)
                for block, offset, batch in segment.blocks(buffers, last=name == self._names[-1], from_seq=from_seq):
                    yield name, block, offset, batch
                reached, self.torn = segment.reached, segment.torn

    def _open(self, name: str) -> SegmentFile:
        return SegmentFile(self._disk, self._folder / name)


def check_records(name: str, offset: int, block: Block, batch: RecordBatch, kinds: Counter[int]) -> None:
    """Walk a block's records: whole, consecutive, and within the times its header says. Counts their kinds."""
    position, seq, least, greatest = batch.start, block.first_seq, block.greatest_recv_ns, block.least_recv_ns
    while position < batch.end:
        length, kind, _, found_seq, recv_ns = RECORD.unpack_from(batch.buffer.data, position)
        following = position + HEADER_BYTES + padded(length)
        if found_seq != seq or following > batch.end:
            place = offset + BLOCK_HEADER_BYTES
            found = f"seq {found_seq} with {length} bytes at raw byte {position - batch.start}"
            raise DamageError(name, place, f"record {seq}, whole in {batch.nbytes} raw bytes", found, RESTORE)
        kinds[kind] += 1
        position, seq = following, seq + 1
        least, greatest = min(least, recv_ns), max(greatest, recv_ns)
    found_fields = (seq - block.first_seq, least, greatest)
    fields = (block.records, block.least_recv_ns, block.greatest_recv_ns)
    if found_fields != fields:
        raise DamageError(name, offset, f"{fields} (records, least, greatest receive ns)", str(found_fields), RESTORE)
