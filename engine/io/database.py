"""One DuckDB file: how it is opened, what an error of it means, what it holds."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from engine.core.errors import ConveyorError
from engine.io.tables import LAYOUT_DIGEST, REVISIONS, ddl

APPENDED = (*(of.table for of in REVISIONS), "digests")
NOTHING_KEPT = "1KB"  # a limit that cannot be met: only then does DuckDB look for all that can go
FIRST_LINK = "first_link"  # in store_facts, unless 0: earlier links never came, or were removed for their age


class StoreUnavailableError(ConveyorError):
    """The file cannot be opened now, and it is not damaged: another process has it, or the disk is full."""


@dataclass(slots=True)
class Ledger:
    """Which links the file holds."""

    last: int = -1
    holes: set[int] = field(default_factory=set)

    def holds(self, link: int) -> bool:
        return link <= self.last and link not in self.holes

    def add(self, link: int) -> None:
        self.holes.discard(link)
        self.holes.update(range(self.last + 1, link))
        self.last = max(self.last, link)


class Incoming:
    """What is to be appended to a table next, under one name for good: DuckDB asks it anew for each statement."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_schema__(self) -> object:
        return self.batch.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self.batch.schema, [self.batch])
        return reader.__arrow_c_stream__(requested_schema)


class Appender:
    """Appends to a store's tables, and makes its connection fit for nothing else: none of its statements is optimized,
    as a scan of what is at hand leaves nothing to choose.

    Binding two hundred columns costs more than their values. So a statement is prepared once, with a source whose
    schema stays: of 10 ms before the commit of a minute of 50 symbols that left 3. The source is registered under a
    name: found as a variable it would need external access, which every query over the file would then have as well.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("PRAGMA disable_optimizer")
        self._connection = connection
        self._begin, self._commit = connection.extract_statements("BEGIN; COMMIT")
        self._incoming: dict[str, Incoming] = {}
        self._appends: dict[str, duckdb.Statement] = {}

    def append(self, batches: dict[str, pa.RecordBatch]) -> None:
        """Rows by table, in one transaction: all are in the file and durable, or none is. After an error give up the
        connection.
        """
        for table, batch in batches.items():
            incoming = self._incoming.get(table)
            if incoming is None or incoming.batch.schema != batch.schema:
                self._prepare(table, batch)
            else:
                incoming.batch = batch
        self._connection.execute(self._begin)
        for table in batches:
            self._connection.execute(self._appends[table])
        self._connection.execute(self._commit)

    def _prepare(self, table: str, batch: pa.RecordBatch) -> None:
        self._incoming[table] = Incoming(batch)
        self._connection.register(f"incoming_{table}", self._incoming[table])
        self._connection.execute(f"PREPARE append_{table} AS INSERT INTO {table} SELECT * FROM incoming_{table}")
        (self._appends[table],) = self._connection.extract_statements(f"EXECUTE append_{table}")


def connect(
    path: Path, memory_limit: str = "1GB", read_only: bool = False, confined: bool = False, locked: bool = True
) -> duckdb.DuckDBPyConnection:
    """A connection with the settings that every use of the file shares; never fetches an extension.

    confined: queries reach no other file and, if locked, change no setting. DuckDB shares settings among the
    connections of one process to one file, so a file open as confined is opened again as confined only.
    """
    connection = duckdb.connect(
        str(path),
        read_only=read_only,
        config={
            "threads": 1,
            "memory_limit": memory_limit,
            "checkpoint_threshold": "4GB",
            "autoinstall_known_extensions": False,
            "enable_external_access": not confined,
        },
    )
    if connection.execute("SELECT current_setting('lock_configuration')").fetchone() != (True,):
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        if confined and locked:
            connection.execute("SET lock_configuration = true")
    return connection


def forget_blocks(connection: duckdb.DuckDBPyConnection, memory_limit: str) -> None:
    """Drop what is kept in memory of blocks that stand in the file: a limit that cannot be met lets them go.

    A writer never looks at them again, and kept up to the limit they are hours of growth. Neither does DuckDB forget
    the handles of blocks that are gone, some fifty of each query, before 32,768 of a kind have gathered: a megabyte an
    hour, for a day. Only a search in vain throws them away. No query may run meanwhile.
    """
    with suppress(duckdb.OutOfMemoryException):  # what is in use stays
        connection.execute(f"SET memory_limit = '{NOTHING_KEPT}'")
    connection.execute(f"SET memory_limit = '{memory_limit}'")


def unavailable(path: Path, error: duckdb.Error) -> str:
    """Why a file that could not be opened is not damaged, and what to do; empty if it is damaged."""
    text = str(error).lower()
    if "lock" in text and ("conflicting" in text or "could not set lock" in text):
        return (
            f"{path.name} is open in another process, and DuckDB lets one process in at a time; wait until the replay "
            "or the other `conveyor sql` that has it open has ended"
        )
    if "no space left" in text or "disk full" in text or "file too large" in text:
        return f"{path.name}: no space left on the disk; free some, the rows waiting are written then"
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        return f"{path.name} may not be read and written by this user; correct the owner or mode of the session folder"
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"{path.name}: {first_line(error)}"
    return ""


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def log_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def prepare(connection: duckdb.DuckDBPyConnection, begins_at: int = 0) -> bool:
    """Make the tables in an empty file, for links from `begins_at` on; False if it has tables of another layout."""
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        connection.begin()
        for statement in ddl():
            connection.execute(statement)
        set_first_link(connection, begins_at)
        connection.commit()
        return True
    if "store_facts" not in tables:
        return False
    found = connection.execute("SELECT value FROM store_facts WHERE name = 'layout_digest'").fetchone()
    return found == (LAYOUT_DIGEST,)


def read_ledger(connection: duckdb.DuckDBPyConnection) -> Ledger:
    first = first_link(connection)
    count, last = connection.execute(
        "SELECT count(*), coalesce(max(link), ?) FROM digests WHERE link >= ?", [first - 1, first]
    ).fetchone() or (0, -1)
    if count == last + 1 - first:
        return Ledger(last)
    missing = connection.execute(
        "SELECT range FROM range(?, ?) WHERE range NOT IN (SELECT link FROM digests)", [first, last]
    )
    return Ledger(last, {link for (link,) in missing.fetchall()})


def first_link(connection: duckdb.DuckDBPyConnection) -> int:
    """The first link this file is for."""
    found = connection.execute("SELECT value FROM store_facts WHERE name = ?", [FIRST_LINK]).fetchall()
    return int(found[0][0]) if found else 0


def set_first_link(connection: duckdb.DuckDBPyConnection, link: int) -> None:
    if link:
        connection.execute("DELETE FROM store_facts WHERE name = ?", [FIRST_LINK])
        connection.execute("INSERT INTO store_facts VALUES (?, ?)", [FIRST_LINK, str(link)])


def forget_before(connection: duckdb.DuckDBPyConnection, exchange_ts: int) -> bool:
    """Remove the first links as far as all of them closed before a time, ms UTC; False if there are none."""
    ((link,),) = connection.execute("SELECT min(link) FROM digests WHERE exchange_ts >= ?", [exchange_ts]).fetchall()
    if link is None or link <= first_link(connection):
        return False
    connection.begin()
    for table in APPENDED:
        connection.execute(f"DELETE FROM {table} WHERE link < ?", [link])
    set_first_link(connection, link)
    connection.commit()
    return True
