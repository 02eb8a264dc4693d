"""A disk in memory that does what real ones do: fails, fills up, dies in mid-write, forgets what was not synced."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 64  # bytes that reach this disk together, or not at all


class Killed(BaseException):
    """The process ends here: no `except OSError`, and no call on the disk after it, has any effect."""


@dataclass
class Inode:
    """data: what a reader sees; synced: what survives for certain; ghosts: contents cut off since the last sync."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    ghosts: list[bytes] = field(default_factory=list)


class MemoryDisk:
    """Implements engine.io.disk.Disk.

    fail_at: the number of the call (from 1) that fails, among those named `only` if given.
    how: an errno, "short" (half of a write), "kill" (the process dies in it, a write having reached the file in part).
    failed_in: the call that failed so.
    capacity: bytes of all files together.
    """

    def __init__(
        self, fail_at: int = 0, how: int | str = errno.EIO, capacity: int | None = None, seed: int = 0
    ) -> None:
        self.fail_at, self.how, self.capacity = fail_at, how, capacity
        self.only: str | None = None
        self.calls = 0
        self.failed_in: str | None = None
        self.random = Random(seed)
        self.entries: dict[Path, Inode] = {}
        # By folder: what it holds for certain, then what it held after each change since its last sync.
        self._histories: dict[Path, list[dict[Path, Inode]]] = {}
        self._handles: dict[int, Inode | Path] = {}
        self._next_handle = 3
        self._dead = False

    # What happens to the machine.

    def restart(self) -> MemoryDisk:
        """The process is gone; what it wrote is still there, and still only as durable as it was."""
        self._handles.clear()
        self._dead, self.fail_at, self.only, self.failed_in = False, 0, None, None
        return self

    def cut_power(self) -> MemoryDisk:
        """Only what was synced is certain; of the rest anything may be there, or zeros, or garbage."""
        self.entries = {}
        for folder, history in self._histories.items():
            found = self.random.choice(history)
            self.entries |= found
            self._histories[folder] = [found]
        for inode in self.entries.values():
            inode.data = bytearray(self._after_power_cut(inode))
            inode.synced, inode.ghosts = bytes(inode.data), []
        return self.restart()

    def _after_power_cut(self, inode: Inode) -> bytes:
        written = self.random.choice([bytes(inode.data), *inode.ghosts])
        if not written.startswith(inode.synced):
            return written  # It was cut to less than what was synced: either length may be found.
        tail = bytearray(written[len(inode.synced) :])
        match self.random.choice(("cut", "zeros", "garbage", "holes")):
            case "cut":
                del tail[self.random.randrange(len(tail) + 1) :]
            case "zeros" if tail:
                begin = self.random.randrange(len(tail) + 1)
                tail[begin:] = bytes(len(tail) - begin + self.random.randrange(200))
            case "garbage" if tail:
                begin = self.random.randrange(len(tail) + 1)
                tail[begin:] = self.random.randbytes(len(tail) - begin + self.random.randrange(200))
            case "holes":
                for begin in range(0, len(tail), SECTOR):
                    if self.random.random() < 0.5:
                        end = min(begin + SECTOR, len(tail))
                        tail[begin:end] = bytes(end - begin)
        return inode.synced + bytes(tail)

    # The disk.

    def make_folder(self, folder: Path) -> None:
        self._call("make_folder")

    def list(self, folder: Path) -> list[str]:
        self._call("list")
        return sorted(path.name for path in self.entries if path.parent == folder)

    def create(self, path: Path) -> int:
        self._call("create")
        if path in self.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._change(path.parent, {**self.entries, path: Inode()})
        return self._handle(self.entries[path])

    def append(self, path: Path) -> int:
        self._call("append")
        return self._handle(self._find(path))

    def open(self, path: Path) -> int:
        self._call("open")
        return self._handle(self._find(path))

    def size(self, handle: int) -> int:
        self._call("size")
        return len(self._inode(handle).data)

    def read(self, handle: int, offset: int, into: memoryview) -> int:
        self._call("read")
        found = self._inode(handle).data[offset : offset + len(into)]
        into[: len(found)] = found
        return len(found)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        inode, count = self._inode(handle), len(data)
        try:
            short = self._call("write")
        except Killed:
            if self.failed_in == "write" and self.calls == self.fail_at:
                inode.data += data[: self.random.randrange(count + 1)]
            raise
        except OSError:
            inode.data += data[: count // 2]
            raise
        if short:
            count = count // 2
        if self.capacity is not None:
            free = self.capacity - sum(len(other.data) for other in self.entries.values())
            if count > 0 and free <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count = min(count, free)
        inode.data += data[:count]
        return count

    def fdatasync(self, handle: int) -> None:
        self._call("fdatasync")
        inode = self._inode(handle)
        inode.synced, inode.ghosts = bytes(inode.data), []

    def truncate(self, handle: int, length: int) -> None:
        self._call("truncate")
        inode = self._inode(handle)
        inode.ghosts.append(bytes(inode.data))
        del inode.data[length:]

    def close(self, handle: int) -> None:
        self._handles.pop(handle, None)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        inode = self._find(old)
        assert old.parent == new.parent, "a rename between folders is two changes, which nothing here makes"
        self._change(old.parent, {path: other for path, other in self.entries.items() if path != old} | {new: inode})

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        self._find(path)
        self._change(path.parent, {other: inode for other, inode in self.entries.items() if other != path})

    def fsync_dir(self, folder: Path) -> None:
        self._call("fsync_dir")
        self._histories[folder] = [self._within(folder)]

    def lock(self, folder: Path) -> int:
        self._call("lock")
        if folder in self._handles.values():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._handle(folder)

    def _call(self, name: str) -> bool:
        """Count a call and let it fail if it is its turn; True if it is to be a short one."""
        if self._dead:
            self.fail_at = 0
            raise Killed
        self.calls += self.only in (None, name)
        if self.calls != self.fail_at or self.only not in (None, name):
            return False
        self.failed_in = name
        if self.how == "kill":
            self._dead = True
            raise Killed
        if isinstance(self.how, int):
            raise OSError(self.how, os.strerror(self.how))
        return True

    def _within(self, folder: Path) -> dict[Path, Inode]:
        return {path: inode for path, inode in self.entries.items() if path.parent == folder}

    def _change(self, folder: Path, entries: dict[Path, Inode]) -> None:
        self.entries = entries
        self._histories.setdefault(folder, [{}]).append(self._within(folder))

    def _find(self, path: Path) -> Inode:
        if path not in self.entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.entries[path]

    def _handle(self, target: Inode | Path) -> int:
        self._next_handle += 1
        self._handles[self._next_handle] = target
        return self._next_handle

    def _inode(self, handle: int) -> Inode:
        inode = self._handles[handle]
        assert isinstance(inode, Inode)
        return inode
