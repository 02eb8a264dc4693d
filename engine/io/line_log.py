"""Lines that count as written once they are durable, and are read back by position: where they begin in the file."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import orjson

from engine.io.disk import Disk, write_all

READ_BYTES = 256 << 10  # at a time
RETRY_S = 0.5  # between two attempts on a disk that refuses

Known = Callable[[int, bytes], None]


class LineLog:
    """JSON lines, only appended. One thread appends and reads, any thread may sync.

    What the disk refuses stays in memory and is written again from the last durable byte on: a sync that failed may
    have lost what it was for, whatever the next one says. A file that is there is cut at its first line that is not
    whole, and made durable before anything is read from it. known: told (position, line) of each line found in it.
    OSError if the file cannot be opened.
    """

    def __init__(self, disk: Disk, path: Path, known: Known = lambda position, line: None) -> None:
        self._disk, self.path = disk, path
        self._taking, self._writing = threading.Lock(), threading.Lock()
        self._pending, self._unsynced = bytearray(), bytearray()
        self._ragged = False  # behind the durable bytes may stand some of what was being written
        self.error = ""  # why lines wait in memory; empty while the disk takes them
        try:
            self._handle = disk.create(path)
            self.durable = 0
        except FileExistsError:
            self._handle = disk.append(path)
            size = disk.size(self._handle)
            self.durable = self._whole(size, known)
            if self.durable < size:
                disk.truncate(self._handle, self.durable)
            disk.fdatasync(self._handle)
        disk.fsync_dir(path.parent)
        self.end = self.durable  # where the next line will begin

    def append(self, line: bytes) -> int:
        """Add one line, without its line feed; its position."""
        with self._taking:
            position = self.end
            self._pending += line
            self._pending += b"\n"
            self.end += len(line) + 1
            return position

    def sync(self) -> bool:
        """Make everything appended so far durable; False if the disk refused, with the reason in `error`."""
        with self._writing:
            with self._taking:
                self._unsynced += self._pending
                self._pending = bytearray()
            if not self._unsynced:
                return True
            try:
                if self._ragged:
                    self._disk.truncate(self._handle, self.durable)
                self._ragged = True
                write_all(self._disk, self._handle, self._unsynced)
                self._disk.fdatasync(self._handle)
            except OSError as error:
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                return False
            self._ragged, self.error = False, ""
            self.durable += len(self._unsynced)
            self._unsynced = bytearray()
            return True

    def read(self, position: int, bytes_max: int = READ_BYTES) -> list[tuple[int, bytes]]:
        """(position, line) of durable lines from `position` on: what lies in bytes_max, but at least one."""
        durable = self.durable
        while position < durable:
            content = self._content(position, min(bytes_max, durable - position))
            lines = content.split(b"\n")[:-1]
            if lines:
                return _placed(position, lines)
            bytes_max *= 2
        return []

    def begins_at(self, position: int) -> bool:
        """Whether a durable line begins there, or the next one will."""
        if not 0 <= position <= self.durable:
            return False
        return position == 0 or self._content(position - 1, 1) == b"\n"

    def close(self) -> bool:
        """Sync and let go of the file; False if a line is missing."""
        whole = self.sync()
        self._disk.close(self._handle)
        return whole

    def _content(self, position: int, length: int) -> bytes:
        content = bytearray(length)
        return bytes(content[: self._disk.read(self._handle, position, memoryview(content))])

    def _whole(self, size: int, known: Known) -> int:
        """Bytes of the lines before the first that is torn or is no JSON."""
        position, length = 0, READ_BYTES
        while position < size:
            lines = self._content(position, min(length, size - position)).split(b"\n")[:-1]
            if not lines:
                if length >= size - position:
                    return position
                length *= 2
                continue
            for at, line in _placed(position, lines):
                try:
                    orjson.loads(line)
                except orjson.JSONDecodeError:
                    return at
                known(at, line)
                position = at + len(line) + 1
        return position


class Syncing:
    """Makes a log durable behind the loop's back, whenever `wake` says that there is something new.

    told: called in the loop after each attempt. executor: the sync runs in it; None: in the loop's own.
    """

    def __init__(self, log: LineLog, told: Callable[[], None], executor: Executor | None = None) -> None:
        self._log, self._told, self._executor = log, told, executor
        self._woken = asyncio.Event()
        self.wake = self._woken.set

    async def run(self) -> None:
        """For ever; what is there already counts as new."""
        loop = asyncio.get_running_loop()
        self._woken.set()
        while True:
            await self._woken.wait()
            self._woken.clear()
            while not await loop.run_in_executor(self._executor, self._log.sync):
                self._told()
                await asyncio.sleep(RETRY_S)
            self._told()


def _placed(position: int, lines: list[bytes]) -> list[tuple[int, bytes]]:
    placed = []
    for line in lines:
        placed.append((position, line))
        position += len(line) + 1
    return placed
