"""The disk the journal stands on, as an object: tests put one in its place that fails, tears and forgets.

Every method is one system call (or one obvious run of them) and raises OSError as the system does. Nothing here
retries, hides or logs: what an error means is decided by the journal.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

FILE_MODE = 0o600
FOLDER_MODE = 0o700


class Disk(Protocol):
    """Files are named by path and used by handle; a handle is a small integer."""

    def make_folder(self, folder: Path) -> None:
        """Create the folder (0700) if it is not there, durably; an existing folder keeps its mode."""

    def list(self, folder: Path) -> list[str]:
        """Sorted names in a folder."""

    def create(self, path: Path) -> int:
        """A new file (0600) whose writes go to its end; FileExistsError if it is there."""

    def append(self, path: Path) -> int:
        """An existing file whose writes go to its end."""

    def open(self, path: Path) -> int:
        """An existing file, to read."""

    def size(self, handle: int) -> int: ...

    def read(self, handle: int, offset: int, into: memoryview) -> int:
        """Bytes put into `into`, from `offset` on; fewer than asked only at the end of the file."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Bytes written, which may be fewer than given."""

    def fdatasync(self, handle: int) -> None: ...

    def truncate(self, handle: int, length: int) -> None: ...

    def close(self, handle: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None:
        """Atomic; replaces `new`. Durable after fsync_dir."""

    def unlink(self, path: Path) -> None: ...

    def fsync_dir(self, folder: Path) -> None:
        """Make creations, renames and removals in a folder durable."""

    def lock(self, folder: Path) -> int:
        """The one exclusive lock of a folder, held until the handle is closed; BlockingIOError if another has it."""


class OsDisk:
    """The real one."""

    def make_folder(self, folder: Path) -> None:
        with suppress(FileExistsError):
            os.mkdir(folder, FOLDER_MODE)
        self.fsync_dir(folder.parent)  # Also if it was there: who made it may have died before this line.

    def list(self, folder: Path) -> list[str]:
        return sorted(os.listdir(folder))

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)

    def append(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def read(self, handle: int, offset: int, into: memoryview) -> int:
        done = 0
        while done < len(into):
            count = os.preadv(handle, [into[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return os.write(handle, data)

    def fdatasync(self, handle: int) -> None:
        os.fdatasync(handle)

    def truncate(self, handle: int, length: int) -> None:
        os.ftruncate(handle, length)

    def close(self, handle: int) -> None:
        os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def fsync_dir(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, folder: Path) -> int:
        # The folder itself is locked, so that no lock file is left behind; the kernel drops the lock with the process.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle


OS_DISK = OsDisk()


def write_all(disk: Disk, handle: int, data: bytes | bytearray | memoryview) -> int:
    """Write all of it, however often it takes; returns its length."""
    rest = memoryview(data)
    while rest:
        count = disk.write(handle, rest)
        if count == 0:
            raise OSError(errno.ENOSPC, "nothing was written")
        rest = rest[count:]
    return len(data)


def read_all(disk: Disk, path: Path) -> bytes:
    """The whole of a file."""
    handle = disk.open(path)
    try:
        content = bytearray(disk.size(handle))
        return bytes(content[: disk.read(handle, 0, memoryview(content))])
    finally:
        disk.close(handle)
