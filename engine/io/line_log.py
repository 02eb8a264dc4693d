"""Lines that count as written once they are durable, and are read back by position: where they begin in the file."""

from __future__ import annotations

import asyncio
import os
import threading
from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import orjson

from engine.io.disk import Disk, write_all

READ_BYTES = 256 << 10  # at a time
RETRY_S = 0.5  # between two attempts on a disk that refuses
SUFFIX = ".jsonl"  # of a file in a folder of them; before it, in 20 digits, the position of its first line

Known = Callable[[int, bytes], None]


class LineLog:
    """JSON lines, only appended. One thread appends, reads and forgets, any thread may sync.

    path: the file. With file_bytes, a folder of files: each is begun when the one before it has so many bytes, and the
    oldest may be forgotten; positions stay what they were.

    What the disk refuses stays in memory and is written again from the last durable byte on: a sync that failed may
    have lost what it was for, whatever the next one says. A file that is there is cut at its first line that is not
    whole, and made durable before anything is read from it; of a folder that is the last file, the others are whole.
    known: told (position, line) of each line found in that file. OSError if a file cannot be opened.
    """

    def __init__(
        self, disk: Disk, path: Path, known: Known = lambda position, line: None, file_bytes: int = 0
    ) -> None:  # fmt: skip
        self._disk, self.path, self._file_bytes = disk, path, file_bytes
        self._folder = path if file_bytes else path.parent
        self._files: list[tuple[int, int]] = []  # position of its first line and handle of each, oldest first
        self._taking, self._writing = threading.Lock(), threading.Lock()
        self._pending, self._unsynced = bytearray(), bytearray()
        self._ragged = False  # behind the durable bytes may stand some of what was being written
        self.error = ""  # why lines wait in memory; empty while the disk takes them
        self.durable = self._open_folder(known) if file_bytes else self._open_last(0, known)
        disk.fsync_dir(self._folder)
        self.end = self.durable  # where the next line will begin

    @property
    def firsts(self) -> list[int]:
        """Position of the first line of each file, oldest first."""
        return [first for first, _ in self._files]

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
                first, handle = self._growing()
                if self._ragged:
                    self._disk.truncate(handle, self.durable - first)
                self._ragged = True
                write_all(self._disk, handle, self._unsynced)
                self._disk.fdatasync(handle)
                if self.durable == first > 0:
                    self._disk.fsync_dir(self._folder)  # the file's name, with its first lines
            except OSError as error:
                self.error = f"{self.path.name}: {os.strerror(error.errno) if error.errno else error}"
                return False
            self._ragged, self.error = False, ""
            self.durable += len(self._unsynced)
            self._unsynced = bytearray()
            return True

    def read(self, position: int, bytes_max: int = READ_BYTES) -> list[tuple[int, bytes]]:
        """(position, line) of durable lines from `position` on: what lies in bytes_max, but at least one.

        Fewer where a file ends; none of what was forgotten.
        """
        durable = self.durable
        while self._files[0][0] <= position < durable:
            content = self._content(position, min(bytes_max, durable - position))
            lines = content.split(b"\n")[:-1]
            if lines:
                return _placed(position, lines)
            bytes_max *= 2
        return []

    def begins_at(self, position: int) -> bool:
        """Whether a durable line begins there, or the next one will."""
        begin = self._files[0][0]
        if not begin <= position <= self.durable:
            return False
        return position == begin or self._content(position - 1, 1) == b"\n"

    def forget(self) -> int:
        """Remove the oldest file; its bytes. Never the last one. OSError if the disk refuses; then it stays."""
        (first, handle), (after, _) = self._files[:2]
        self._disk.unlink(self._file(first))
        del self._files[0]
        self._disk.close(handle)
        self._disk.fsync_dir(self._folder)  # before the next one, so that no hole is left
        return after - first

    def close(self) -> bool:
        """Sync and let go of the files; False if a line is missing."""
        whole = self.sync()
        for _, handle in self._files:
            self._disk.close(handle)
        return whole

    def _file(self, first: int) -> Path:
        return self.path / f"{first:020}{SUFFIX}" if self._file_bytes else self.path

    def _growing(self) -> tuple[int, int]:
        """First position and handle of the file that lines go into; a new one where the last is full."""
        first, handle = self._files[-1]
        if 0 < self._file_bytes <= self.durable - first:
            first, handle = self.durable, self._disk.create(self._file(self.durable))
            self._files.append((first, handle))
        return first, handle

    def _open_folder(self, known: Known) -> int:
        """Open every file; the position behind the last whole line."""
        self._disk.make_folder(self.path)
        older = sorted(int(name[:20]) for name in self._disk.list(self.path) if name.endswith(SUFFIX)) or [0]
        while (durable := self._open_last(first := older.pop(), known)) == first and older:
            self._disk.close(self._files.pop()[1])  # begun, and no line of it came to be
            self._disk.unlink(self._file(first))
        for first in reversed(older):
            handle = self._disk.open(self._file(first))
            if first + self._disk.size(handle) != self._files[0][0]:  # somebody removed what stood behind it
                self._disk.close(handle)
                break
            self._files.insert(0, (first, handle))
        return durable

    def _open_last(self, first: int, known: Known) -> int:
        """Open the file that lines go into; the position behind its last whole line."""
        try:
            self._files = [(first, self._disk.create(self._file(first)))]
            return first
        except FileExistsError:
            handle = self._disk.append(self._file(first))
        self._files = [(first, handle)]
        end = first + self._disk.size(handle)
        durable = self._whole(first, end, known)
        if durable < end:
            self._disk.truncate(handle, durable - first)
        self._disk.fdatasync(handle)
        return durable

    def _content(self, position: int, length: int) -> bytes:
        """Of one file, so fewer bytes where it ends."""
        first, handle = self._files[bisect_right(self._files, position, key=lambda file: file[0]) - 1]
        content = bytearray(length)
        return bytes(content[: self._disk.read(handle, position - first, memoryview(content))])

    def _whole(self, position: int, end: int, known: Known) -> int:
        """Where the first line of the last file begins that is torn or is no JSON; its end without one."""
        length = READ_BYTES
        while position < end:
            lines = self._content(position, min(length, end - position)).split(b"\n")[:-1]
            if not lines:
                if length >= end - position:
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
