"""State snapshots on disk: whole or not there, the newest two kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.io.disk import OS_DISK, Disk, read_all
from engine.io.outputs import DRAFT, write_whole

SUFFIX = ".state"
KEPT = 2


class StateFolder:
    """`<seq>.state` files, 20 digits, in one folder of mode 0700."""

    def __init__(self, folder: Path, disk: Disk = OS_DISK) -> None:
        self.folder, self._disk = folder, disk
        disk.make_folder(folder)

    def save(self, seq: int, data: bytes | bytearray) -> Path:
        """Write a snapshot whole (temporary file, fsync, rename, fsync of the folder); keep the newest two."""
        path = self.folder / f"{seq:020d}{SUFFIX}"
        write_whole(self._disk, path, memoryview(data))  # a part of it is then no copy
        for old in self._paths()[:-KEPT]:
            self._disk.unlink(old)
        return path

    def newest_first(self) -> Iterator[tuple[int, bytes]]:
        """(seq, content) of every snapshot; the reader decides whether it can use one."""
        for path in reversed(self._paths()):
            yield int(path.stem), read_all(self._disk, path)

    def clear(self) -> None:
        """Forget them all, and what a crash left of one: the session is complete, or begins anew."""
        for path in self._paths((SUFFIX, SUFFIX + DRAFT)):
            self._disk.unlink(path)
        self._disk.fsync_dir(self.folder)

    def _paths(self, suffixes: tuple[str, ...] = (SUFFIX,)) -> list[Path]:
        return [self.folder / name for name in self._disk.list(self.folder) if name.endswith(suffixes)]
