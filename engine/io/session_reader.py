"""The SESSION folder, read: manifest, digest lines, rows, and queries over the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from engine.core.errors import ConfigError
from engine.io.database import StoreUnavailableError, connect, first_line, first_link, unavailable
from engine.io.digest_line import DigestLine
from engine.io.disk import FILE_MODE, OS_DISK
from engine.io.manifest import FORMAT_VERSION, JournalReference, find_journal
from engine.io.session import DIGESTS, MANIFEST, STORE
from engine.io.tables import REVISIONS, TABLES, quoted

FORMATS = ("parquet", "csv")
_ORDER = {
    "features_snapshot": "exchange_ts, tf, venue, symbol",
    "features_15m": "exchange_ts, venue, symbol",
    "features_1h": "exchange_ts, venue, symbol",
    "feature_revisions": "link, rowid",
    "market_snapshot": "exchange_ts, venue",
    "rollup_revisions": "link, rowid",
    "market_revisions": "link, rowid",
    "candidates": "link, rowid",
    "signals": "link, rowid",
    "digests": "link, rowid",
}


class QueryError(ConfigError):
    """DuckDB does not accept a query; its own words."""


class SessionReader:
    """Raises ConfigError if `folder` is no session, or one of a format this program does not know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{folder} has no {MANIFEST}; give the folder of a session") from None
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{path} is not JSON ({error}); restore it, or replay the journal again") from None
        if self.manifest.get("format") != FORMAT_VERSION:
            raise ConfigError(
                f"{path} has format {self.manifest.get('format')}, this program reads {FORMAT_VERSION}; replay again"
            )
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> SessionReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def complete(self) -> bool:
        return bool(self.manifest["complete"])

    @property
    def first_link(self) -> int:
        """Where the session's chain begins; 0 unless the beginning of its journal had been removed."""
        return int(self.manifest.get("first_link", 0))

    @property
    def origin(self) -> str:
        """live, imported or simulated: of the journal if there is one; it is shown wherever rows are."""
        return str((self.manifest["journal"] or {}).get("origin") or self.manifest["origin"])

    def journal(self) -> Path:
        """Folder of the session's journal. Raises ConfigError if it is gone or another one."""
        reference = self.manifest["journal"]
        if not reference:
            raise ConfigError(f"{self.folder} names no journal, so it cannot be replayed")
        return find_journal(JournalReference(**reference), self.folder)

    def digests(self) -> Iterator[DigestLine]:
        """The chain in order; a torn last line is left out. Raises ConfigError for a line that is not one."""
        path = self.folder / DIGESTS
        if not path.exists():
            raise ConfigError(f"{path} is missing; restore it, or replay the journal again")
        with open(path, "rb") as file:
            for number, text in enumerate(file):
                if not text.endswith(b"\n"):
                    return
                try:
                    yield DigestLine(**orjson.loads(text))
                except (orjson.JSONDecodeError, TypeError) as error:
                    raise ConfigError(f"{path} line {number + 1} is not a digest ({error}); restore the file") from None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """The session's one read-only connection: it reads no other file and fetches no extension."""
        if self._connection is None:
            self._connection = open_store(self.folder / STORE, confined=True)
        return self._connection

    def rows(self, first_link: int, last_link: int, table: str = "feature_revisions") -> pa.Table:
        """Rows of some links, both included, in the order in which they were written, of a table of revisions."""
        return self._table(
            f"SELECT * FROM {table} WHERE link BETWEEN {first_link} AND {last_link} ORDER BY link, rowid"
        )

    def stored_digests(self, from_link: int = 0) -> pa.Table:
        """The table `digests`."""
        return self._table(f"SELECT * FROM digests WHERE link >= {from_link} ORDER BY link, rowid")

    def last_stored_link(self) -> int:
        """Greatest link in the store, -1 if it is empty."""
        return int(self._table("SELECT coalesce(max(link), -1) AS n FROM digests")["n"][0].as_py())

    def first_stored_link(self) -> int:
        """The first link the store is for: what was before it was removed for its age, or never given to it."""
        return first_link(self.connect())

    def row_count(self, from_link: int = 0) -> int:
        """Rows in all tables of revisions, also of links that are in no digest."""
        counts = [f"(SELECT count(*) FROM {of.table} WHERE link >= {from_link})" for of in REVISIONS]
        return int(self._table(f"SELECT {' + '.join(counts)} AS n")["n"][0].as_py())

    def query(self, sql: str) -> pa.Table:
        """The result of the last statement; an empty table for one without a result. Raises QueryError."""
        try:
            result = self.connect().sql(sql)
            return pa.table({}) if result is None else result.to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error)) from None

    def _table(self, sql: str) -> pa.Table:
        return self.connect().sql(sql).to_arrow_table()


def open_store(path: Path, confined: bool) -> duckdb.DuckDBPyConnection:
    """A read-only connection. ConfigError if the file is missing or damaged, StoreUnavailableError if it is held."""
    rebuild = "run `conveyor store rebuild` on the session"
    if not path.exists():
        raise ConfigError(f"{path} is missing; {rebuild}")
    try:
        return connect(path, read_only=True, confined=confined)
    except duckdb.Error as error:
        if reason := unavailable(path, error):
            raise StoreUnavailableError(reason) from error
        raise ConfigError(f"{path} cannot be read ({first_line(error)}); {rebuild}") from error


def export(session: SessionReader, table: str, form: str, out: Path, force: bool = False) -> int:
    """Write a whole table into one file, which appears when it is complete; returns its rows.

    A Parquet file carries the origin and the digests of the session as its metadata.
    """
    if table not in TABLES:
        raise ConfigError(f"table is {table!r}, expected one of {', '.join(TABLES)}")
    if form not in FORMATS:
        raise ConfigError(f"format is {form!r}, expected one of {', '.join(FORMATS)}")
    if out.exists() and not force:
        raise ConfigError(f"{out} exists; give another name, or --force to replace it")
    if not out.parent.is_dir():
        raise ConfigError(f"{out.parent} is no folder; create it first")
    draft = out.with_name(f".{out.name}.tmp-{os.getpid()}")
    facts = {"conveyor_origin": session.origin, "conveyor_chain": session.manifest["chain"]}
    facts |= {"conveyor_schema_digest": session.manifest["schema_digest"]}
    metadata = ", ".join(f"{name}: {quoted(str(value))}" for name, value in facts.items())
    options = (
        f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{metadata}}}" if form == "parquet" else "FORMAT csv, HEADER"
    )
    session.close()  # its connection may not write files, and DuckDB shares settings within a process
    connection = open_store(session.folder / STORE, confined=False)
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        copied = connection.execute(
            f"COPY (SELECT * FROM {table} ORDER BY {_ORDER[table]}) TO {quoted(str(draft))} ({options})"
        ).fetchone()
        handle = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        OS_DISK.rename(draft, out)
        OS_DISK.fsync_dir(out.resolve().parent)
    except duckdb.Error as error:
        raise StoreUnavailableError(f"{out} was not written: {first_line(error)}") from error
    finally:
        connection.close()
        draft.unlink(missing_ok=True)
    return int(copied[0]) if copied else 0
