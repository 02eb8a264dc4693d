"""Small files of a session: appended lines, and documents replaced as a whole."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

import orjson

from engine.io.disk import Disk, write_all

DRAFT = ".tmp"
PENDING_BYTES_MAX = 64 << 20  # of lines that wait for a full disk; more are counted and lost


def write_whole(disk: Disk, path: Path, content: bytes | memoryview) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new one, never a part.

    OSError names the file, and leaves the old content and no draft.
    """
    draft = path.with_name(path.name + DRAFT)
    try:
        if draft.name in disk.list(path.parent):
            disk.unlink(draft)
        handle = disk.create(draft)
        try:
            write_all(disk, handle, content)
            disk.fdatasync(handle)
        finally:
            disk.close(handle)
        disk.rename(draft, path)
        disk.fsync_dir(path.parent)
    except OSError as error:
        with suppress(OSError):  # It may be what fills the disk.
            disk.unlink(draft)
        raise OSError(error.errno, error.strerror, str(path)) from error


class LineFile:
    """JSON lines appended by several threads. What the disk refuses waits and is tried again with the next line.

    lines: what stood in the file when it was opened. From the first line on that is not whole JSON the file is cut: it
    was being written when the power went, in whatever order its sectors reached the disk.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self.path = disk, path
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._length = 0  # bytes that the disk said it took
        self._ragged = False  # a write failed: behind them may stand some of it
        self._unsynced = False  # a sync failed: what it was for may be gone, whatever the next sync says
        self.error = ""
        self.lost_lines = 0
        try:
            self._handle = disk.create(path)
            self.lines: list[bytes] = []
        except FileExistsError:
            self._handle = disk.append(path)
            content = bytearray(disk.size(self._handle))
            disk.read(self._handle, 0, memoryview(content))
            self.lines = whole_lines(bytes(content))
            self._length = sum(len(line) + 1 for line in self.lines)
            if self._length < len(content):
                disk.truncate(self._handle, self._length)

    def append(self, line: bytes) -> None:
        """Add one line, without its line feed; never raises for the disk."""
        with self._lock:
            if len(self._pending) + len(line) > PENDING_BYTES_MAX:
                self.lost_lines += 1
                return
            self._pending += line + b"\n"

    def flush(self) -> bool:
        """Hand what is pending to the system; False if it did not take all, with the reason in `error`."""
        with self._lock:
            try:
                if self._ragged:
                    self._disk.truncate(self._handle, self._length)
                    self._ragged = False
                while self._pending:
                    written = self._disk.write(self._handle, bytes(self._pending))
                    del self._pending[:written]
                    self._length += written
                    if not written:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._ragged = True
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                return False
            return True

    def sync(self) -> bool:
        """Flush and make durable; False if a line is missing."""
        whole = self.flush()
        with self._lock:
            try:
                self._disk.fdatasync(self._handle)
            except OSError as error:
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                self._unsynced = True
        return whole and not self.lost_lines and not self._unsynced

    def close(self) -> bool:
        """Sync, and let go of the file; False if a line is missing."""
        whole = self.sync()
        with self._lock:
            self._disk.close(self._handle)
        return whole


def whole_lines(content: bytes) -> list[bytes]:
    """The lines before the first that is torn or is no JSON."""
    lines = content.split(b"\n")[:-1]
    for number, line in enumerate(lines):
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError:
            return lines[:number]
    return lines
