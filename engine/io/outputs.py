"""Small files of a session: appended lines, and documents replaced as a whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from engine.io.disk import Disk

PENDING_BYTES_MAX = 64 << 20  # of lines that wait for a full disk; more are counted and lost


def write_whole(disk: Disk, path: Path, content: bytes | memoryview) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new one, never a part."""
    draft = path.with_name(path.name + ".tmp")
    if draft.name in disk.list(path.parent):
        disk.unlink(draft)
    handle = disk.create(draft)
    try:
        written = 0
        while written < len(content):
            written += disk.write(handle, content[written:])
        disk.fdatasync(handle)
    finally:
        disk.close(handle)
    disk.rename(draft, path)
    disk.fsync_dir(path.parent)


class LineFile:
    """Lines appended by several threads. What the disk refuses waits and is tried again with the next line.

    lines: whole lines that stood in the file when it was opened; a torn last one is cut off.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self.path = disk, path
        self._lock = threading.Lock()
        self._pending = bytearray()
        self.error = ""
        self.lost_lines = 0
        try:
            self._handle = disk.create(path)
            self.lines: list[bytes] = []
        except FileExistsError:
            self._handle = disk.append(path)
            content = bytearray(disk.size(self._handle))
            disk.read(self._handle, 0, memoryview(content))
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                disk.truncate(self._handle, whole)
            self.lines = bytes(content[:whole]).splitlines()

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
                while self._pending:
                    written = self._disk.write(self._handle, bytes(self._pending))
                    del self._pending[:written]
            except OSError as error:
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                return False
            return True

    def close(self) -> bool:
        """Flush and make durable; False if a line is missing."""
        whole = self.flush()
        with self._lock:
            try:
                self._disk.fdatasync(self._handle)
            except OSError as error:
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                whole = False
            self._disk.close(self._handle)
        return whole and not self.lost_lines
