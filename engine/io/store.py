"""DuckDB as a projection: rows appended by one thread, and rebuilt from the journal whenever the file is lost.

Nothing here raises into the engine. What goes wrong is kept, counted and told by `Store.status`; rows wait in a bounded
queue and are tried again. A link that is already in the file is skipped, so feeding the same effects again fills holes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from engine.core.effects import Link
from engine.io.columns import OutOfRangeError
from engine.io.database import (
    Appender,
    Ledger,
    StoreUnavailableError,
    connect,
    first_line,
    forget_before,
    forget_blocks,
    log_of,
    prepare,
    read_ledger,
    unavailable,
)
from engine.io.disk import FILE_MODE
from engine.io.memory import give_back
from engine.io.store_status import StoreLimits, StoreStatus
from engine.io.tables import links_to_arrow

BATCH_ROWS = 20_000  # of one transaction; live it is one minute
READERS_S = 1.0  # that close() waits for queries it has interrupted
CLOSING_ATTEMPTS = 3  # after close() is asked for; then what is left is reported missing
REBUILD = "run `conveyor store rebuild` on the session"


class Store:
    """Append-only writer of one database file.

    first_link: where a new file begins; earlier links are never given to it.
    report(kind, detail) is called from the writer's thread for what a person should read: store_set_aside,
    store_lost, store_trouble, store_recovered, store_dropped. stored(link), from there too: the file holds every link
    given to it up to this one.
    """

    def __init__(
        self,
        path: Path,
        limits: StoreLimits | None = None,
        report: Callable[[str, dict[str, str]], None] | None = None,
        stored: Callable[[int], None] | None = None,
        first_link: int = 0,
    ) -> None:
        self.path, self.limits, self._first_link = path, limits or StoreLimits(), first_link
        self._report = report or (lambda kind, detail: None)
        self._stored = stored or (lambda link: None)
        self._queue: deque[Link] = deque()
        self._changed = threading.Condition()  # guards the queue, the status and the count of readers
        self._status = StoreStatus(path)
        self._ledger = Ledger()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._appender: Appender | None = None
        self._log_is_private = False
        self._inode = -1
        self._rows_since_checkpoint = 0
        self._checkpointed_at = time.monotonic()
        self._readers: list[duckdb.DuckDBPyConnection] = []
        self._stopping = False
        self._held = False  # told to wait, because the disk is nearly full
        self._forget_ms: int | None = None  # rows of closes before it are to be removed
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()
        self._opened.wait()

    # The caller's side.

    def put(self, minute: Link) -> None:
        """Queue one minute; never raises. `minute.rows` must be a copy that nobody writes to any more."""
        rows, limits = len(minute.rows), self.limits
        with self._changed:
            if self._stopping:
                self._drop(minute, rows)
                return
            deadline = time.monotonic() + limits.patience_s
            while self._queue and self._status.queued_rows + rows > limits.queue_rows:
                left = deadline - time.monotonic()
                if not limits.wait or self._stopping or (self._status.trouble and left <= 0):
                    self._drop(minute, rows)
                    return
                if not self._status.trouble:
                    deadline = time.monotonic() + limits.patience_s
                self._changed.wait(0.2)
            self._queue.append(minute)
            self._update(queued_links=len(self._queue), queued_rows=self._status.queued_rows + rows)
            self._changed.notify_all()

    @property
    def status(self) -> StoreStatus:
        with self._changed:
            return self._status

    def drain(self, timeout_s: float = 60.0) -> bool:
        """Wait until nothing is queued; False if time ran out."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._queue and time.monotonic() < deadline:
                self._changed.wait(0.05)
            return not self._queue

    def close(self, timeout_s: float = 120.0) -> StoreStatus:
        """Write what is queued, checkpoint, close; who still reads is interrupted. The status says what is missing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            deadline = time.monotonic() + READERS_S
            while self._readers and time.monotonic() < deadline:
                for reader in self._readers:
                    reader.interrupt()  # again and again: between two steps of a query it is not heard
                self._changed.wait(0.01)
        self._thread.join(timeout_s)
        return self.status

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own to the open file, for any thread. It must only be given queries.

        Raises StoreUnavailableError while the file is not open, or once it is to be closed.
        """
        with self._changed:
            cursor = self._cursor()
            self._readers.append(cursor)
        try:
            yield cursor
        finally:
            with self._changed:
                self._readers.remove(cursor)
                self._changed.notify_all()
            cursor.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        connection = self._connection
        if connection is None or self._stopping:
            raise StoreUnavailableError(self.status.trouble or f"{self.path.name} is closed")
        try:
            return connection.cursor()
        except duckdb.Error as error:  # the writer gave it up in this moment
            raise StoreUnavailableError(first_line(error)) from error

    def hold(self, held: bool) -> None:
        """Write nothing while held, because the disk is nearly full: rows wait, as in trouble."""
        with self._changed:
            self._held = held
            self._changed.notify_all()

    def forget_before(self, exchange_ts: int) -> None:
        """Remove links of closes before this (ms UTC), in a quiet moment."""
        with self._changed:
            self._forget_ms = exchange_ts

    # The writer's side: everything below runs in its thread.

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                if self._connection is None:
                    self._open()
                    self._opened.set()
                if self._wait_while_held():
                    continue
                batch = self._next()
                if batch is None:
                    self._checkpoint()
                    self._disconnect()
                    self._settle()
                    break
                if batch:
                    self._write(batch)
                elif self._forget_ms is not None:
                    self._forget()
                elif self._checkpoint_due():
                    self._checkpoint()
                failures = 0
                self._settle()
            except Exception as error:  # the thread must outlive whatever happens to the file
                failures += 1
                self._failed(error)
                self._opened.set()
                if self._stopping and failures >= CLOSING_ATTEMPTS:
                    break
                self._pause(failures)
        with self._changed:
            self._update(closed=True)
            self._changed.notify_all()

    def _next(self) -> list[Link] | None:
        """What to write now: minutes still in the queue, nothing after a quiet while, None at the end."""
        with self._changed:
            if not self._queue and not self._stopping:
                self._changed.wait(self.limits.idle_s)
            if not self._queue:
                return None if self._stopping else []
            batch: list[Link] = []
            rows = 0
            for minute in self._queue:
                rows += len(minute.rows)
                if batch and rows > BATCH_ROWS:
                    break
                batch.append(minute)
            return batch

    def _wait_while_held(self) -> bool:
        """A while, with the file left open: closing it would write. False if nothing holds, or the end has come."""
        with self._changed:
            if not self._held or self._stopping:
                return False
            fresh, words = not self._status.trouble, "the disk is nearly full: rows wait, only the journal is written"
            self._update(trouble=words)
            if not fresh:
                self._changed.wait(self.limits.idle_s)
        if fresh:
            self._report("store_trouble", {"error": words})
        return True

    def _write(self, batch: list[Link]) -> None:
        started = time.perf_counter()
        if self._file_lost():
            raise StoreUnavailableError(
                f"{self.path.name} was removed or replaced while open; it is started again, empty"
            )
        new = [minute for minute in batch if not self._ledger.holds(minute.link)]
        written, rows = new, 0
        if new:
            try:
                rows = self._insert(new)
            except OutOfRangeError as error:
                written, rows = self._insert_one_by_one(new)
                self._note(error)
            for minute in written:
                self._ledger.add(minute.link)
        self._rows_since_checkpoint += rows
        with self._changed:
            for _ in batch:
                self._queue.popleft()
            done = {minute.link for minute in written}
            self._update(
                last_link=self._ledger.last,
                holes=len(self._ledger.holes),
                links_written=self._status.links_written + len(written),
                rows_written=self._status.rows_written + rows,
                links_skipped=self._status.links_skipped + len(batch) - len(new),
                queued_links=len(self._queue),
                queued_rows=self._status.queued_rows - sum(len(minute.rows) for minute in batch),
                write_ms=(time.perf_counter() - started) * 1e3,
            )
            for minute in new:
                if minute.link not in done:
                    self._drop(minute, len(minute.rows))
            self._changed.notify_all()
        self._stored(batch[-1].link)
        if self._rows_since_checkpoint >= self.limits.checkpoint_rows:
            self._checkpoint()

    def _insert(self, batch: list[Link]) -> int:
        """One transaction. Rows and their digest lines appear together or not at all."""
        batches = links_to_arrow(batch)
        rows = sum(len(link.rows) for link in batch)
        assert self._appender is not None
        self._appender.append(batches)
        if not self._log_is_private:  # the first commit after a checkpoint makes a new one
            self._protect()
            self._log_is_private = True
        return rows

    def _insert_one_by_one(self, batch: list[Link]) -> tuple[list[Link], int]:
        """Everything but the minutes that hold a value no column can hold."""
        written, rows = [], 0
        for minute in batch:
            try:
                rows += self._insert([minute])
            except OutOfRangeError as error:
                self._note(error)
                continue
            written.append(minute)
            self._ledger.add(minute.link)
        return written, rows

    # Opening, checkpoints, and what goes wrong.

    def _open(self) -> None:
        for attempt in (1, 2):
            connection = None
            try:
                connection = connect(self.path, self.limits.memory_limit, confined=True, locked=False)
                if not prepare(connection, self._first_link):
                    connection.close()
                    self._set_aside("other-layout", "it was made by another version of this program")
                    continue
                self._ledger = read_ledger(connection)
                break
            except duckdb.Error as error:
                if connection is not None:
                    connection.close()
                reason = unavailable(self.path, error)
                if reason or attempt == 2:
                    raise StoreUnavailableError(reason or first_line(error)) from error
                self._set_aside("corrupt", f"it cannot be read: {first_line(error)}")
        else:
            raise StoreUnavailableError(f"{self.path.name} cannot be started anew; free the name and start again")
        self._connection, self._appender = connection, Appender(connection)
        self._inode = os.stat(self.path).st_ino
        self._protect()
        with self._changed:
            self._update(last_link=self._ledger.last, holes=len(self._ledger.holes))

    def _set_aside(self, suffix: str, why: str) -> None:
        """Rename the file, and its write-ahead log with it, so that the evidence is kept and an empty one can start."""
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.{suffix}-{number}")).exists():
            number += 1
        log = log_of(self.path)
        if log.exists():
            os.replace(log, log_of(target))
        os.replace(self.path, target)
        self._needs_rebuild("store_set_aside", f"{self.path.name} was set aside as {target.name}: {why}")

    def _needs_rebuild(self, kind: str, why: str) -> None:
        with self._changed:
            self._update(rebuild=f"{why}; {REBUILD}")
        self._report(kind, {"reason": why, "action": REBUILD})

    def _file_lost(self) -> bool:
        try:
            return os.stat(self.path).st_ino != self._inode
        except FileNotFoundError:
            return True

    def _protect(self) -> None:
        for path in (self.path, log_of(self.path)):
            if path.exists() and os.stat(path).st_mode & 0o777 != FILE_MODE:
                os.chmod(path, FILE_MODE)

    def _checkpoint_due(self) -> bool:
        late = time.monotonic() - self._checkpointed_at >= self.limits.checkpoint_s
        return self._rows_since_checkpoint > 0 and late

    def _checkpoint(self) -> None:
        assert self._connection is not None
        self._connection.execute("CHECKPOINT")
        self._log_is_private = False
        self._rows_since_checkpoint, self._checkpointed_at = 0, time.monotonic()
        with self._changed:
            if not self._readers:
                forget_blocks(self._connection, self.limits.memory_limit)
        give_back()

    def _forget(self) -> None:
        assert self._connection is not None
        with self._changed:
            before_ms, self._forget_ms = self._forget_ms, None
        if before_ms is not None and forget_before(self._connection, before_ms):
            self._checkpoint()  # until then nothing of their place is free

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._appender, self._log_is_private = None, False
        if connection is not None:
            connection.close()

    def _failed(self, error: Exception) -> None:
        """After any error the connection is given up: DuckDB answers nothing on one that met a fatal error."""
        was_open = self._connection is not None
        try:
            self._disconnect()
        except duckdb.Error as second:
            self._note(second)
        self._note(error)
        try:
            if was_open and self._file_lost():
                if (log := log_of(self.path)).exists():
                    os.replace(log, log.with_name(f"{log.name}.lost"))  # it belongs to the file that is gone
                self._needs_rebuild("store_lost", f"{self.path.name} was removed or replaced while open")
        except OSError as second:  # a folder that cannot be reached tells nothing of the file
            self._note(second)
        with self._changed:
            fresh = not self._status.trouble
            self._update(trouble=first_line(error))
        if fresh:
            self._report("store_trouble", {"error": first_line(error)})

    def _settle(self) -> None:
        """A whole turn went well: trouble is over. An opened file alone proves nothing, the disk may still be full."""
        if self._status.trouble:
            with self._changed:
                self._update(trouble="")
                self._changed.notify_all()
            self._report("store_recovered", {"last_link": str(self._ledger.last)})

    def _note(self, error: Exception) -> None:
        with self._changed:
            self._update(errors=self._status.errors + 1, last_error=first_line(error))

    def _pause(self, failures: int) -> None:
        wait = min(self.limits.retry_s_min * 2 ** min(failures - 1, 16), self.limits.retry_s_max)
        deadline = time.monotonic() + wait
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                was_stopping = self._stopping
                self._changed.wait(left)
                if self._stopping and not was_stopping:
                    return

    def _drop(self, minute: Link, rows: int) -> None:
        """Called with the lock held."""
        first = self._status.first_dropped_link
        self._update(
            dropped_links=self._status.dropped_links + 1,
            dropped_rows=self._status.dropped_rows + rows,
            first_dropped_link=minute.link if first < 0 else first,
            rebuild=self._status.rebuild or f"link {minute.link} was dropped; {REBUILD}",
        )
        if first < 0:
            self._report("store_dropped", {"first_link": str(minute.link), "error": self._status.last_error})

    def _update(self, **changes: object) -> None:
        """Called with the lock held."""
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]
