"""Sealing: a closed segment is rewritten compressed, with an index, under the name it has.

The new file is complete, synced and read back before one rename puts it in the old one's place: whenever the power
goes, the name leads to one whole segment, open or sealed, with the same records. What a crash leaves is at most an
unfinished file under another name, which the next opening removes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import zstandard

from engine.core.records import RecordBatch
from engine.io.disk import Disk, write_all
from engine.io.journal_reader import RESTORE, Buffers, DamageError, SegmentFile
from engine.io.segment import (
    COMPRESSED,
    UNFINISHED,
    Block,
    Summary,
    pack_block,
    pack_footer,
    pack_header,
    unpack_header,
)


def seal(disk: Disk, folder: Path, name: str, *, block_bytes: int, zstd_level: int) -> None:
    """Rewrite the open segment `name`; OSError leaves it as it is. block_bytes: raw bytes of a compressed block."""
    path, unfinished = folder / name, folder / (name + UNFINISHED)
    try:
        with SegmentFile(disk, path) as plain:
            handle = create_anew(disk, unfinished)
            try:
                _write_sealed(disk, handle, plain, block_bytes, zstd_level)
                disk.fdatasync(handle)
            finally:
                disk.close(handle)
            _verify(disk, unfinished, plain)
        disk.rename(unfinished, path)
    except OSError:
        with suppress(OSError):  # It may be what fills the disk.
            disk.unlink(unfinished)
        raise
    disk.fsync_dir(folder)


def create_anew(disk: Disk, path: Path) -> int:
    """A new file, in the place of what an earlier attempt may have left."""
    try:
        return disk.create(path)
    except FileExistsError:
        disk.unlink(path)
        return disk.create(path)


def _write_sealed(disk: Disk, handle: int, plain: SegmentFile, block_bytes: int, zstd_level: int) -> None:
    head = pack_header(plain.header.json, sealed=True)
    salt = unpack_header(plain.name, head).crc
    summary = Summary(plain.header.first_seq, chain_crc=plain.header.previous_crc)
    zstd = zstandard.ZstdCompressor(level=zstd_level)
    offset = write_all(disk, handle, head)
    for block, raw in _merged(plain.blocks(Buffers(), last=False), block_bytes):
        stored = zstd.compress(raw)
        packed = block._replace(
            flags=COMPRESSED, stored_bytes=len(stored), raw_bytes=len(raw), durable_bytes=0,
            stored_crc=zlib.crc32(stored),
        )  # fmt: skip
        summary.add(packed, offset)
        offset += write_all(disk, handle, pack_block(packed, salt) + stored)
    write_all(disk, handle, pack_footer(summary, salt))


def _verify(disk: Disk, unfinished: Path, plain: SegmentFile) -> None:
    with SegmentFile(disk, unfinished) as sealed:
        for _ in sealed.blocks(Buffers(), last=False):
            pass
    if sealed.reached != plain.reached:
        expected = f"seq and CRC {plain.reached} at the end, as in the open segment"
        raise DamageError(unfinished.name, sealed.size, expected, str(sealed.reached), RESTORE)


def _merged(blocks: Iterator[tuple[Block, int, RecordBatch]], block_bytes: int) -> Iterator[tuple[Block, bytearray]]:
    """Neighbours joined as long as they stay within block_bytes: an open segment has a block for every commit."""
    joined: Block | None = None
    raw = bytearray()
    for block, _, batch in blocks:
        if joined is not None and len(raw) + batch.nbytes > block_bytes:
            yield joined, raw
            joined, raw = None, bytearray()
        raw += batch.buffer.data[batch.start : batch.end]
        joined = block if joined is None else block._replace(
            first_seq=joined.first_seq,
            records=joined.records + block.records,
            least_recv_ns=min(joined.least_recv_ns, block.least_recv_ns),
            greatest_recv_ns=max(joined.greatest_recv_ns, block.greatest_recv_ns),
        )  # fmt: skip
    if joined is not None:
        yield joined, raw
