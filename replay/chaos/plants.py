"""Bugs planted on purpose, to show that chaos finds what it is for: `conveyor chaos KIND --planted NAME` ends with 4.

Each is a few words' change to the journal or the session that no ordinary run would notice. They are put in for the
life of a process, or of a test that takes them out again; nothing of the engine knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Patch = tuple[Any, str, Any]  # object, name of its attribute, what stands there instead


def skip_fdatasync() -> list[Patch]:
    """A commit returns without having synced its blocks."""
    from engine.io.journal_writer import JournalWriter

    original = JournalWriter._sync

    def sync(self: Any, call: Any, target: Any, name: str) -> None:
        if call.__name__ != "fdatasync":
            original(self, call, target, name)

    return [(JournalWriter, "_sync", sync)]


def skip_fsync_of_folder() -> list[Patch]:
    """A new segment's name is not made durable."""
    from engine.io.journal_writer import JournalWriter

    original = JournalWriter._sync

    def sync(self: Any, call: Any, target: Any, name: str) -> None:
        if call.__name__ != "fsync_dir":
            original(self, call, target, name)

    return [(JournalWriter, "_sync", sync)]


def acknowledge_early() -> list[Patch]:
    """Every second commit acknowledges what it leaves for the next one."""
    from engine.io.journal_writer import JournalWriter

    original = JournalWriter.commit
    calls = 0

    def commit(self: Any) -> int:
        nonlocal calls
        calls += 1
        return self._next_seq - 1 if calls % 2 and self._chunk.records else original(self)

    return [(JournalWriter, "commit", commit)]


def ignore_crc() -> list[Patch]:
    """A block is read without a look at the CRC of its records."""
    from engine.io import journal_reader

    class Agreeable(int):
        """A CRC that is never the wrong one."""

        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return True

        def __ne__(self, other: object) -> bool:
            return False

    class Zlib:
        @staticmethod
        def crc32(data: Any, start: int = 0) -> int:
            return Agreeable()

    return [(journal_reader, "zlib", Zlib)]


def sealing_on(bad_disk: Callable[[Any], Any]) -> list[Patch]:
    """Sealing on a disk that is used otherwise than it should be."""
    from engine.io import journal_writer

    original = journal_writer.seal

    def seal(disk: Any, *arguments: Any, **named: Any) -> None:
        original(bad_disk(disk), *arguments, **named)

    return [(journal_writer, "seal", seal)]


class Behind:
    """A disk behind which another stands."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)


def seal_unsynced() -> list[Patch]:
    """A sealed segment takes the place of the open one before it is synced."""

    class Unsynced(Behind):
        def fdatasync(self, handle: int) -> None:
            return None

    return sealing_on(Unsynced)


def seal_deletes_first() -> list[Patch]:
    """The open segment is removed before the sealed one has its name."""

    class DeletesFirst(Behind):
        def rename(self, old: Any, new: Any) -> None:
            self.disk.unlink(new)
            self.disk.rename(old, new)

    return sealing_on(DeletesFirst)


def keep_the_short_write() -> list[Patch]:
    """What a failed commit wrote of its blocks is not cut off."""
    from engine.io.journal_writer import JournalWriter

    original = JournalWriter._errors

    def errors(self: Any, name: str, offset: int, *, undo: bool = False) -> Any:
        return original(self, name, offset)

    return [(JournalWriter, "_errors", errors)]


def keep_the_torn_tail() -> list[Patch]:
    """The next start goes on behind a torn tail without cutting it."""
    from engine.io.journal_writer import JournalWriter

    original = JournalWriter._make_whole

    def make_whole(self: Any, name: str, length: int | None) -> None:
        original(self, name, None)

    return [(JournalWriter, "_make_whole", make_whole)]


def accept_a_torn_state() -> list[Patch]:
    """State snapshots are written in place, and read without their digest."""
    import hashlib

    from engine import snapshot
    from engine.io import states

    original = snapshot.decode

    def write_in_place(disk: Any, path: Any, content: bytes) -> None:
        handle = disk.create(path)
        disk.write(handle, content)
        disk.close(handle)

    def decode(data: bytes) -> Any:
        body = data[:-32]
        return original(body + hashlib.sha256(body).digest())

    return [(states, "write_whole", write_in_place), (snapshot, "decode", decode)]


def accept_a_state_ahead() -> list[Patch]:
    """A state snapshot is used although digests, events or store have not come as far."""
    from engine import runner

    original = runner.recall

    def recall(states: Any, links: int, note: Any) -> Any:
        return original(states, 2**62, note)

    return [(runner, "recall", recall)]


def save_before_sync() -> list[Patch]:
    """A state snapshot is saved before the lines that it makes superfluous are durable."""
    from engine.io.session import SessionWriter

    def sync(self: Any) -> bool:
        return True

    return [(SessionWriter, "sync", sync)]


def manifest_in_place() -> list[Patch]:
    """The manifest is overwritten instead of replaced."""
    from engine.io import session

    def write_in_place(disk: Any, path: Any, content: bytes) -> None:
        if path.name in disk.list(path.parent):
            handle = disk.append(path)
            disk.truncate(handle, 0)
        else:
            handle = disk.create(path)
        disk.write(handle, content)
        disk.close(handle)

    return [(session, "write_whole", write_in_place)]


def store_acknowledges_early() -> list[Patch]:
    """The store's digest lines, which say that a link is in it, are committed before the rows."""
    from engine.io.database import Appender

    def append(self: Any, rows: Any, lines: Any) -> None:
        import time

        self._connection.register("incoming_rows", rows)
        self._connection.register("incoming_lines", lines)
        for statement in (self._append_lines, self._append_rows):
            self._connection.execute(self._begin)
            self._connection.execute(statement)
            self._connection.execute(self._commit)
            time.sleep(0.005)  # as a slow disk would

    return [(Appender, "append", append)]


# Which chaos is expected to find it; others may as well.
PLANTS: dict[str, tuple[Callable[[], list[Patch]], str]] = {
    "skip-fdatasync": (skip_fdatasync, "power"),
    "skip-fsync-of-folder": (skip_fsync_of_folder, "power"),
    "acknowledge-early": (acknowledge_early, "power"),
    "ignore-crc": (ignore_crc, "power"),
    "seal-unsynced": (seal_unsynced, "power"),
    "seal-deletes-first": (seal_deletes_first, "power"),
    "keep-the-torn-tail": (keep_the_torn_tail, "power"),
    "keep-the-short-write": (keep_the_short_write, "syscall"),
    "accept-a-torn-state": (accept_a_torn_state, "power"),
    "accept-a-state-ahead": (accept_a_state_ahead, "power"),
    "save-before-sync": (save_before_sync, "power"),
    "manifest-in-place": (manifest_in_place, "power"),
    "store-acknowledges-early": (store_acknowledges_early, "kill"),
}


def plant(name: str) -> None:
    """For the rest of this process's life."""
    for target, attribute, bad in PLANTS[name][0]():
        setattr(target, attribute, bad)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """For as long as the block lasts; nothing if `name` is empty."""
    patches = PLANTS[name][0]() if name else []
    kept = [(target, attribute, getattr(target, attribute)) for target, attribute, _ in patches]
    for target, attribute, bad in patches:
        setattr(target, attribute, bad)
    try:
        yield
    finally:
        for target, attribute, good in kept:
            setattr(target, attribute, good)
