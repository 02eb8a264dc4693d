"""The journal's format, as bytes in and bytes out: no file is touched here.

A segment is one file: a header, blocks one behind the other and, once it is sealed, a footer. All numbers are little
endian. Every byte is covered by a CRC32 (zlib's polynomial). `docs/journal.md` shows the same tables; a test compares.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.core.errors import JournalError
from engine.core.minutes import minute_of

FORMAT_VERSION = 1
FIRST_SEQ = 0  # of a journal's first record
RECORD_BYTES_MAX = 64 << 20  # payload of one record
JSON_BYTES_MAX = 64 << 10
ORIGINS = ("live", "imported", "simulated")
SUFFIX, UNFINISHED = ".seg", ".tmp"

SEALED = 1  # header flag: compressed, complete, with a footer; without it the segment is open (plain blocks, no footer)
COMPRESSED = 1  # block flag: the stored bytes are one zstd frame

SEGMENT_MAGIC = b"\x89CVJ\r\n\x1a\n"  # as PNG's: shows a text-mode copy and a stripped eighth bit
BLOCK_MAGIC = b"CVB\x01"
FOOTER_MAGIC = b"CVF\x01"

# (field, struct code, meaning); the tuples below get their order and the struct its layout from here.
HEADER_FIELDS = (
    ("magic", "8s", "89 43 56 4A 0D 0A 1A 0A"),
    ("version", "H", "format version, 1"),
    ("flags", "H", "bit 0: sealed"),
    ("json_bytes", "I", "length of the JSON that follows; behind it a u32 CRC32 of everything before it"),
)
BLOCK_FIELDS = (
    ("magic", "4s", "43 56 42 01"),
    ("flags", "I", "bit 0: compressed"),
    ("stored_bytes", "I", "bytes that follow this header"),
    ("raw_bytes", "I", "bytes of the records; equal to stored_bytes if plain"),
    ("first_seq", "q", "seq of the first record"),
    ("records", "I", "how many; their seq are consecutive"),
    ("chain_crc", "I", "CRC32 of all raw record bytes of the journal, from its first record to this block's end"),
    ("least_recv_ns", "q", "least receive time of the block's records, ns UTC"),
    ("greatest_recv_ns", "q", "greatest receive time, ns UTC"),
    ("durable_bytes", "q", "length of this file known to be on the disk when the block was written; 0 if sealed"),
    ("stored_crc", "I", "CRC32 of the stored bytes if compressed, else 0 (chain_crc covers them)"),
    ("header_crc", "I", "CRC32 of the 60 bytes before, seeded with the segment header's CRC"),
)
INDEX_FIELDS = (
    ("minute", "q", "greatest receive time of the block // 60 s"),
    ("first_seq", "q", "first seq of the block"),
    ("offset", "q", "position in the file of the first block that reaches this minute"),
)
FOOTER_FIELDS = (
    ("magic", "4s", "43 56 46 01"),
    ("entries", "I", "index entries before this trailer"),
    ("first_seq", "q", "as in the header"),
    ("records", "q", "records in the segment"),
    ("raw_bytes", "q", "bytes of the records"),
    ("least_recv_ns", "q", "least receive time, ns UTC"),
    ("greatest_recv_ns", "q", "greatest receive time, ns UTC"),
    ("blocks", "I", "blocks in the segment"),
    ("chain_crc", "I", "chain_crc of the last block"),
    ("footer_bytes", "I", "index entries and this trailer"),
    ("footer_crc", "I", "CRC32 of the footer before this field, seeded with the segment header's CRC"),
)


def _struct(fields: tuple[tuple[str, str, str], ...]) -> struct.Struct:
    return struct.Struct("<" + "".join(code for _, code, _ in fields))


_HEADER, _BLOCK, _INDEX, _FOOTER = map(_struct, (HEADER_FIELDS, BLOCK_FIELDS, INDEX_FIELDS, FOOTER_FIELDS))
HEADER_BYTES_MAX = _HEADER.size + JSON_BYTES_MAX + 4
BLOCK_HEADER_BYTES, TRAILER_BYTES = _BLOCK.size, _FOOTER.size
_CRC = struct.Struct("<I")


class Block(NamedTuple):
    """One block header without its magic and its own CRC; the fields of BLOCK_FIELDS."""

    flags: int
    stored_bytes: int
    raw_bytes: int
    first_seq: int
    records: int
    chain_crc: int
    least_recv_ns: int
    greatest_recv_ns: int
    durable_bytes: int
    stored_crc: int


class IndexEntry(NamedTuple):
    minute: int
    first_seq: int
    offset: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """json: the header's JSON; size: bytes before the first block; crc: the header's CRC, which seeds the others'."""

    json: dict[str, Any]
    sealed: bool
    size: int
    crc: int

    @property
    def first_seq(self) -> int:
        return int(self.json["first_seq"])

    @property
    def previous_crc(self) -> int:
        return int(self.json["previous_crc"])


@dataclass(slots=True)
class Summary:
    """What a run of blocks holds; also the footer of a sealed segment."""

    first_seq: int
    records: int = 0
    raw_bytes: int = 0
    least_recv_ns: int = 0
    greatest_recv_ns: int = 0
    blocks: int = 0
    chain_crc: int = 0
    index: list[IndexEntry] = field(default_factory=list)

    @property
    def end_seq(self) -> int:
        """The seq behind the last record."""
        return self.first_seq + self.records

    def add(self, block: Block, offset: int) -> None:
        """Count a block in, and index it if it reaches a minute that none before it reached."""
        minute = minute_of(block.greatest_recv_ns)
        if not self.index or minute > self.index[-1].minute:
            self.index.append(IndexEntry(minute, block.first_seq, offset))
        first = self.blocks == 0
        self.least_recv_ns = block.least_recv_ns if first else min(self.least_recv_ns, block.least_recv_ns)
        self.greatest_recv_ns = block.greatest_recv_ns if first else max(self.greatest_recv_ns, block.greatest_recv_ns)
        self.records += block.records
        self.raw_bytes += block.raw_bytes
        self.blocks += 1
        self.chain_crc = block.chain_crc


def segment_name(first_seq: int) -> str:
    return f"{first_seq:020d}{SUFFIX}"


def is_segment(name: str) -> bool:
    return len(name) == 20 + len(SUFFIX) and name.endswith(SUFFIX) and name[:20].isdigit()


def pack_header(fields: dict[str, Any], *, sealed: bool) -> bytes:
    """A segment's header. fields: first_seq, previous_crc, and whatever else is to be known of where it came from."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    if len(text) > JSON_BYTES_MAX:
        raise ValueError(f"a journal's header may have {JSON_BYTES_MAX} bytes of JSON, this one has {len(text)}")
    head = _HEADER.pack(SEGMENT_MAGIC, FORMAT_VERSION, SEALED if sealed else 0, len(text)) + text
    return head + _CRC.pack(zlib.crc32(head))


def unpack_header(name: str, head: bytes) -> SegmentHeader:
    """The header at the beginning of `head`, which holds at least the header (or the whole file)."""
    restore = "restore this file from a copy"
    if len(head) < _HEADER.size or head[:8] != SEGMENT_MAGIC:
        raise JournalError(name, 0, "a segment header", f"{head[:16].hex(' ') or 'an empty file'}", restore)
    _, version, flags, length = _HEADER.unpack_from(head)
    end = _HEADER.size + length
    if version != FORMAT_VERSION:
        action = "read it with the version of conveyor that wrote it"
        raise JournalError(name, 8, f"format version {FORMAT_VERSION}", f"version {version}", action)
    if length > JSON_BYTES_MAX or len(head) < end + 4:
        raise JournalError(name, 12, f"{length} bytes of JSON and a CRC", f"{len(head)} bytes in all", restore)
    crc = zlib.crc32(head[:end])
    if _CRC.unpack_from(head, end)[0] != crc:
        raise JournalError(name, end, f"header CRC {crc:08x}", head[end : end + 4][::-1].hex(), restore)
    header = SegmentHeader(json.loads(head[_HEADER.size : end]), bool(flags & SEALED), end + 4, crc)
    if segment_name(header.first_seq) != name.removesuffix(UNFINISHED):
        action = "give the file its own name back"
        raise JournalError(name, _HEADER.size, f"first seq {name[:20]}", f"first seq {header.first_seq}", action)
    return header


def pack_block(block: Block, salt: int) -> bytes:
    """A block header. salt: CRC of the segment's header, so that no block of another file is taken for one of this."""
    head = _BLOCK.pack(BLOCK_MAGIC, *block, 0)[:-4]
    return head + _CRC.pack(zlib.crc32(head, salt))


def unpack_block(head: bytes | memoryview, salt: int) -> Block | None:
    """The block header in the first BLOCK_HEADER_BYTES of `head`, or None if these are not one."""
    if len(head) < BLOCK_HEADER_BYTES or head[:4] != BLOCK_MAGIC:
        return None
    fields = _BLOCK.unpack_from(head)
    if fields[-1] != zlib.crc32(head[: BLOCK_HEADER_BYTES - 4], salt):
        return None
    return Block(*fields[1:-1])


def durable_behind(tail: bytes, salt: int) -> int:
    """The greatest durable_bytes of the block headers that stand anywhere in `tail`; 0 if there are none.

    Behind a place that cannot be read, this tells a torn tail (nothing written later relied on it) from damage.
    """
    greatest, position = 0, tail.find(BLOCK_MAGIC)
    while position >= 0:
        block = unpack_block(tail[position : position + BLOCK_HEADER_BYTES], salt)
        if block is not None:
            greatest = max(greatest, block.durable_bytes)
        position = tail.find(BLOCK_MAGIC, position + 1)
    return greatest


def pack_footer(summary: Summary, salt: int) -> bytes:
    entries = b"".join(_INDEX.pack(*entry) for entry in summary.index)
    trailer = _FOOTER.pack(
        FOOTER_MAGIC, len(summary.index), summary.first_seq, summary.records, summary.raw_bytes,
        summary.least_recv_ns, summary.greatest_recv_ns, summary.blocks, summary.chain_crc,
        footer_length(summary), 0,
    )  # fmt: skip
    footer = (entries + trailer)[:-4]
    return footer + _CRC.pack(zlib.crc32(footer, salt))


def footer_length(summary: Summary) -> int:
    return _INDEX.size * len(summary.index) + TRAILER_BYTES


def footer_bytes(trailer: bytes | memoryview) -> int | None:
    """Length of the whole footer, from its last TRAILER_BYTES; None if these are not a trailer."""
    if len(trailer) < TRAILER_BYTES or trailer[:4] != FOOTER_MAGIC:
        return None
    fields = _FOOTER.unpack_from(trailer)
    return int(fields[9]) if fields[9] == TRAILER_BYTES + _INDEX.size * fields[1] else None


def unpack_footer(footer: bytes, salt: int) -> Summary | None:
    """The footer that `footer` is, whole; None if a byte of it is wrong."""
    if footer_bytes(footer[-TRAILER_BYTES:]) != len(footer):
        return None
    fields = _FOOTER.unpack_from(footer, len(footer) - TRAILER_BYTES)
    if fields[-1] != zlib.crc32(footer[:-4], salt):
        return None
    index = [IndexEntry(*entry) for entry in _INDEX.iter_unpack(footer[:-TRAILER_BYTES])]
    summary = Summary(*fields[2:9])
    summary.index = index
    return summary


def describe() -> str:
    """The format's tables as Markdown, for the docs and `conveyor describe --journal`."""
    parts = []
    for title, fields in (
        ("Segment header", HEADER_FIELDS), ("Block header", BLOCK_FIELDS), ("Index entry", INDEX_FIELDS),
        ("Footer trailer", FOOTER_FIELDS),
    ):  # fmt: skip
        offset, rows = 0, ["| byte | field | type | meaning |", "|---|---|---|---|"]
        for name, code, meaning in fields:
            rows.append(f"| {offset} | {name} | {_TYPES.get(code, 'bytes')} | {meaning} |")
            offset += struct.calcsize("<" + code)
        parts.append(f"**{title}** ({offset} bytes)\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


_TYPES = {"H": "u16", "I": "u32", "q": "i64"}
