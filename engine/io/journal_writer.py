"""Writing a journal: append only buffers, commit makes durable, and nothing that commit reported is ever lost.

Opening is recovery: a torn tail is cut, what stood open is sealed, and a new segment goes on with seq and CRC chain. So
every segment's header tells with which versions all of its records were written.
"""

from __future__ import annotations

import errno
import platform
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.core.errors import JournalError
from engine.core.records import HEADER_BYTES, padded
from engine.core.schema import SCHEMA_DIGEST
from engine.io.disk import OS_DISK, Disk, write_all
from engine.io.journal_reader import RECORD, JournalReader, Torn
from engine.io.journal_seal import create_anew, seal
from engine.io.segment import (
    FIRST_SEQ,
    ORIGINS,
    RECORD_BYTES_MAX,
    UNFINISHED,
    Block,
    is_segment,
    pack_block,
    pack_header,
    segment_name,
    unpack_header,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PADDING = [bytes(n) for n in range(8)]


class JournalFull(JournalError):  # noqa: N818
    """No room: nothing more is acknowledged, nothing acknowledged is lost; commit again when there is room."""


class JournalLost(JournalError):  # noqa: N818
    """The disk no longer does what it says: the process must end. Starting again is recovery.

    After a failed fsync the kernel may have thrown the pages away and marked them clean, so that a second fsync would
    succeed without them: there is nothing this process could still find out or repair.
    """


@dataclass(slots=True)
class Chunk:
    """A block to be: whole records, encoded."""

    first_seq: int
    raw: bytearray = field(default_factory=bytearray)
    records: int = 0
    least_recv_ns: int = 2**63 - 1
    greatest_recv_ns: int = -(2**63)


def journal_header(origin: str, config_digest: str) -> dict[str, Any]:
    """What a segment's header tells of where its records came from. origin: one of ORIGINS."""
    from llvmlite import binding  # With numba, seconds of import that a reader of journals does not need.

    from engine.core.kernel import SOURCE_DIGEST

    versions = {"python": platform.python_version()}
    for package in ("numpy", "numba", "conveyor"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "origin": origin,
        "versions": versions,
        "schema_digest": SCHEMA_DIGEST,
        "kernel_digest": SOURCE_DIGEST,
        "config_digest": config_digest,
        "cpu": binding.get_host_cpu_name(),
    }


class JournalWriter:
    """The one writer of a journal folder.

    append may be called by one thread and commit by another, but each by one at a time.
    header: journal_header(...), or any dict with an "origin".
    segment_bytes, block_bytes: raw bytes of records after which a segment is closed, and in one block.
    pending_bytes_max: raw bytes that wait in memory at most while the disk is full.
    seal_behind: compress closed segments in a thread of its own, at most one at a time; False: inside commit.
    torn: the torn tail that opening cut, or None; for the caller to log.
    on_durable: told each chunk when it is durable, in order, by the thread of commit; nobody else keeps the chunk.
    unsealed: closed segments that could not be compressed (disk full); valid, and sealed at the next opening.
    """

    def __init__(
        self, folder: Path | str, *, header: dict[str, Any], disk: Disk = OS_DISK, segment_bytes: int = 64 << 20,
        block_bytes: int = 256 << 10, zstd_level: int = 3, pending_bytes_max: int = 64 << 20, seal_behind: bool = True,
    ) -> None:  # fmt: skip
        if header.get("origin") not in ORIGINS:
            raise ValueError(f"a journal's origin is one of {ORIGINS}, not {header.get('origin')!r}")
        self._folder, self._disk, self._header = Path(folder), disk, header
        self._segment_bytes, self._block_bytes, self._zstd_level = segment_bytes, block_bytes, zstd_level
        self._pending_bytes_max = pending_bytes_max
        self.torn: Torn | None = None
        self.on_durable: Callable[[Chunk], object] | None = None
        self.unsealed = 0
        self._mutex = threading.Lock()  # over what append and commit both touch: the pending chunks
        self._pending: deque[Chunk] = deque()
        self._pending_bytes = 0
        self._handle: int | None = None  # of the open segment; its name, header CRC, length and raw bytes:
        self._name, self._salt, self._length, self._segment_raw = "", 0, 0, 0
        self._lost: JournalError | None = None
        self._sealer = ThreadPoolExecutor(1, "journal-seal") if seal_behind else None
        self._sealing: Future[None] | None = None
        self._lock: int | None = self._take_lock()
        try:
            self._durable_seq, self._crc = self._recover()
        except BaseException:
            self.release()
            raise
        self._next_seq = self._durable_seq + 1
        self._chunk = Chunk(self._next_seq)

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.release()

    @property
    def durable_seq(self) -> int:
        """The last seq that survives a power cut; -1 if there is none."""
        return self._durable_seq

    @property
    def pending_bytes(self) -> int:
        """Raw bytes of records that are not durable yet."""
        return self._pending_bytes

    def append(self, kind: int, source: int, recv_ns: int, payload: bytes) -> int:
        """Take a record into memory and give it its seq. No disk is touched; JournalFull if too much is waiting."""
        length = len(payload)
        nbytes = HEADER_BYTES + padded(length)
        with self._mutex:
            self._raise_if_lost()
            if length > RECORD_BYTES_MAX:
                raise ValueError(f"a record's payload may have {RECORD_BYTES_MAX} bytes, this one has {length}")
            if self._pending_bytes + nbytes > self._pending_bytes_max and self._pending_bytes:
                waiting = f"{self._pending_bytes} waiting"
                action = "commit what is waiting (free disk space if that fails), then append this record again"
                raise JournalFull(self._name, self._length, f"room for {nbytes} bytes in memory", waiting, action)
            chunk = self._chunk
            if chunk.records and len(chunk.raw) + nbytes > self._block_bytes:
                chunk = self._next_chunk()
            seq = self._next_seq
            # One addition: if a field or the payload is of a wrong type, nothing of the record is kept.
            chunk.raw += RECORD.pack(length, kind, source, seq, recv_ns) + payload + PADDING[-length & 7]
            chunk.records += 1
            if recv_ns < chunk.least_recv_ns:
                chunk.least_recv_ns = recv_ns
            if recv_ns > chunk.greatest_recv_ns:
                chunk.greatest_recv_ns = recv_ns
            self._pending_bytes += nbytes
            self._next_seq = seq + 1
            return seq

    def commit(self) -> int:
        """Make everything appended so far durable; returns the last durable seq.

        JournalFull: some or all of it still waits in memory, in order; call again. JournalLost: end the process.
        """
        self._raise_if_lost()
        with self._mutex:
            if self._chunk.records:
                self._next_chunk()
            waiting = len(self._pending)
        while waiting:
            group = self._group(waiting)
            if self._handle is None:
                self._begin_segment(group[0].first_seq)
            self._write_group(group)
            with self._mutex:
                for chunk in group:
                    self._pending.popleft()
                    self._pending_bytes -= len(chunk.raw)
            waiting -= len(group)
            if self.on_durable is not None:
                for chunk in group:
                    self.on_durable(chunk)
        return self._durable_seq

    def close(self) -> None:
        """Commit, seal and let go. After JournalFull the writer is as before: free space and close again."""
        self.commit()
        try:
            self._end_segment()
            self._join_sealing()
        finally:
            self.release()

    def release(self) -> None:
        """Let go of the folder without writing anything: what was not committed is gone. Harmless after close."""
        held, self._handle, self._lock = (self._handle, self._lock), None, None
        if self._sealer is not None:
            self._sealer.shutdown(wait=True)
        for handle in held:
            if handle is not None:
                self._disk.close(handle)
        if self._lost is None:
            self._lost = JournalError(self._folder.name, 0, "an open journal", "a closed one", "open it again")

    def _next_chunk(self) -> Chunk:
        self._pending.append(self._chunk)
        self._chunk = Chunk(self._next_seq)
        return self._chunk

    def _group(self, waiting: int) -> list[Chunk]:
        """The first chunks that go into one segment: the open one if it has room, else a new one."""
        group: list[Chunk] = []
        raw = self._segment_raw
        if raw and raw + len(self._pending[0].raw) > self._segment_bytes:
            self._end_segment()
            raw = 0
        for position in range(waiting):
            chunk = self._pending[position]
            raw += len(chunk.raw)
            if group and raw > self._segment_bytes:
                break
            group.append(chunk)
        return group

    def _write_group(self, group: list[Chunk]) -> None:
        """Blocks, then one fdatasync; the state moves only after it. Without room the file is cut to what it was."""
        assert self._handle is not None
        length, crc = self._length, self._crc
        with self._errors(self._name, length, undo=True):
            for chunk in group:
                crc = zlib.crc32(chunk.raw, crc)
                block = Block(
                    0, len(chunk.raw), len(chunk.raw), chunk.first_seq, chunk.records, crc,
                    chunk.least_recv_ns, chunk.greatest_recv_ns, durable_bytes=self._length, stored_crc=0,
                )  # fmt: skip
                length += write_all(self._disk, self._handle, pack_block(block, self._salt) + chunk.raw)
        self._sync(self._disk.fdatasync, self._handle, self._name)
        self._length, self._crc = length, crc
        self._segment_raw += sum(len(chunk.raw) for chunk in group)
        self._durable_seq = group[-1].first_seq + group[-1].records - 1

    def _begin_segment(self, first_seq: int) -> None:
        """A new segment under its name only when its header is on the disk, so that no header is ever torn."""
        name = segment_name(first_seq)
        path, unfinished = self._folder / name, self._folder / (name + UNFINISHED)
        head = pack_header({**self._header, "first_seq": first_seq, "previous_crc": self._crc}, sealed=False)
        with self._errors(name, 0):
            handle = create_anew(self._disk, unfinished)
            try:
                write_all(self._disk, handle, head)
                self._sync(self._disk.fdatasync, handle, name)
                self._disk.rename(unfinished, path)
                self._sync(self._disk.fsync_dir, self._folder, name)
            except BaseException:
                self._disk.close(handle)
                raise
        self._handle, self._name, self._length, self._segment_raw = handle, name, len(head), 0
        self._salt = unpack_header(name, head).crc

    def _end_segment(self) -> None:
        if self._handle is not None:
            handle, self._handle, self._segment_raw = self._handle, None, 0
            self._disk.close(handle)
            self._seal_later(self._name)

    def _seal_later(self, name: str) -> None:
        self._join_sealing()
        if self._sealer is None:
            self._seal(name)
        else:
            self._sealing = self._sealer.submit(self._seal, name)

    def _join_sealing(self) -> None:
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()

    def _seal(self, name: str) -> None:
        try:
            seal(self._disk, self._folder, name, block_bytes=self._block_bytes, zstd_level=self._zstd_level)
        except OSError as error:
            if error.errno not in FULL:
                raise self._lose(error, name, 0) from error
            self.unsealed += 1  # The open form is as good, only larger.
        except JournalError as error:
            self._lost = error
            raise

    def _recover(self) -> tuple[int, int]:
        """Make what stands in the folder whole, durable and sealed; returns its last seq and its chain CRC."""
        with self._errors(self._folder.name, 0):
            names = self._disk.list(self._folder)
            for name in names:
                if name.endswith(UNFINISHED) and is_segment(name.removesuffix(UNFINISHED)):
                    self._disk.unlink(self._folder / name)
            if not any(map(is_segment, names)):
                return FIRST_SEQ - 1, 0
            reader = JournalReader(self._folder, self._disk)
            segments = reader.info().segments
            if reader.header["origin"] != self._header["origin"]:
                expected, action = f"a journal that is {self._header['origin']}", "write to a folder of its own"
                raise JournalError(segments[0].name, 0, expected, f"one that is {reader.header['origin']}", action)
            self.torn = reader.torn
            last = segments[-1]
            if not last.sealed:
                self._make_whole(last.name, None if self.torn is None else self.torn.offset)
                if last.summary.records == 0:
                    self._disk.unlink(self._folder / segments.pop().name)
            self._sync(self._disk.fsync_dir, self._folder, last.name)
            for segment in segments:
                if not segment.sealed:
                    self._seal_later(segment.name)
            return last.summary.end_seq - 1, last.summary.chain_crc

    def _make_whole(self, name: str, length: int | None) -> None:
        """Cut a torn tail; make durable what a killed process had written but not synced."""
        handle = self._disk.append(self._folder / name)
        try:
            if length is not None:
                self._disk.truncate(handle, length)
            self._sync(self._disk.fdatasync, handle, name)
        finally:
            self._disk.close(handle)

    def _take_lock(self) -> int:
        try:
            self._disk.make_folder(self._folder)
            return self._disk.lock(self._folder)
        except BlockingIOError as error:
            expected, action = "a journal without a writer", "stop the other writer, or write to another folder"
            raise JournalError(self._folder.name, 0, expected, "one that is being written", action) from error
        except OSError as error:
            expected, action = "a folder to write in", "check the path and its permissions"
            raise JournalError(self._folder.name, 0, expected, str(error.strerror), action) from error

    def _sync(self, call: Callable[[Any], None], target: int | Path, name: str) -> None:
        """fdatasync or fsync_dir, whose failure is final whatever the error says."""
        try:
            call(target)
        except OSError as error:
            raise self._lose(error, name, self._length) from error

    @contextmanager
    def _errors(self, name: str, offset: int, *, undo: bool = False) -> Iterator[None]:
        """What an OSError means: no room is JournalFull, the rest JournalLost. undo: first cut the open segment."""
        try:
            yield
        except OSError as error:
            if undo and self._handle is not None:
                try:
                    self._disk.truncate(self._handle, self._length)
                except OSError as second:
                    raise self._lose(second, name, offset) from error
            if error.errno not in FULL:
                raise self._lose(error, name, offset) from error
            action = "free space on this disk; records wait in memory and the next commit writes them"
            raise JournalFull(name, offset, "room on the disk", str(error.strerror), action) from error

    def _lose(self, error: OSError, name: str, offset: int) -> JournalError:
        action = "end this process and start it again: opening the journal recovers every record that was acknowledged"
        self._lost = JournalLost(name, offset, "a write or sync that succeeds", str(error.strerror), action)
        return self._lost

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            raise self._lost
