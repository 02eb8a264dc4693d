"""From the record that closes a minute to its rows in DuckDB, both on the disk: the whole way, and each part of it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.closes import made_minutes, minutes_of
from bench.harness import ResultDiffersError, Row, no_collection, now_ns, row
from bench.made import warmed
from bench.material import bare
from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import Record, RecordKind, batch_of, encode
from engine.io import store as store_module
from engine.io.columns import rows_to_arrow
from engine.io.database import Appender, connect, log_of
from engine.io.disk import OsDisk
from engine.io.journal_writer import JournalWriter, journal_header
from engine.io.store import Store, StoreLimits

WHOLE = "store: close decision to durable row"
BARE = "bare disk: the same bytes, written and synced twice"
PARTS = ("journal, written and synced", "close, all stages", "hand-over to the writer", "Arrow", "DuckDB, committed")


class CountingDisk(OsDisk):
    """The real disk. written: bytes so far."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, handle: int, data: bytes | memoryview) -> int:
        count = super().write(handle, data)
        self.written += count
        return count


@contextmanager
def stamped(owner: Any, name: str) -> Iterator[list[tuple[int, int]]]:
    """When each call of `owner.name` began and ended, in whatever thread it ran."""
    original = getattr(owner, name)
    stamps: list[tuple[int, int]] = []

    @wraps(original)
    def timed(*args: Any) -> Any:
        begun = now_ns()
        result = original(*args)
        stamps.append((begun, now_ns()))
        return result

    setattr(owner, name, timed)
    try:
        yield stamps
    finally:
        setattr(owner, name, original)


def store(symbols: int, minutes: int = 60) -> Iterator[Row]:
    """One minute after the other as a live run has them: its last record is made durable, then it may close.

    The clock runs from before that record is appended until DuckDB's commit returned in the store's thread. Beside each
    minute the bare disk takes as many bytes as the journal and DuckDB's log took, in two writes with a sync each.
    """
    made_minutes(symbols, 1)  # loads the kernels, as the start of an engine does
    conveyor = warmed(symbols).conveyor
    assert conveyor.state is not None
    conveyor.state.tape.connections["votes"][conveyor.state.tape.connections["venue"] == 0] = 1
    parts: list[tuple[int, ...]] = []
    bare_waits: list[int] = []
    chains: list[str] = []
    disk = CountingDisk()
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        path = Path(folder) / "store.duckdb"
        # Minutes follow each other at once here; live a checkpoint comes every ten, in a quiet second.
        writer = Store(path, StoreLimits(checkpoint_rows=10_000_000, memory_limit="1GB"))
        raw = os.open(Path(folder) / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        with (
            JournalWriter(Path(folder) / "journal", header=journal_header("simulated", ""), disk=disk) as journal,
            stamped(store_module, "links_to_arrow") as arrow,
            stamped(Appender, "append") as committed,
            no_collection(),
        ):
            journal.append(RecordKind.TICK, 0, 0, b"")
            journal.commit()  # begins the segment, which a run does once in 64 MiB
            for minute in minutes_of(conveyor, symbols, minutes):
                recv_ns = (minute + 1) * NS_PER_MINUTE + NS_PER_S
                journaled, logged = disk.written, _size(log_of(path))
                begun = now_ns()
                seq = journal.append(RecordKind.TICK, 0, recv_ns, b"")
                journal.commit()
                durable = now_ns()
                effects = conveyor.handle(batch_of(encode(Record(seq, recv_ns, 0, RecordKind.TICK, b""))))
                closed = now_ns()
                (rows,) = (effect for effect in effects if isinstance(effect, MinuteRows))
                writer.put(rows)
                writer.drain()
                times = (begun, durable, closed, arrow[-1][0], committed[-1][0], committed[-1][1])
                parts.append(tuple(after - before for before, after in pairwise(times)))
                chains.append(rows.chain)
                bare_waits.append(_write(raw, disk.written - journaled, max(_size(log_of(path)) - logged, 0)))
        status = writer.close()
        os.close(raw)
        digest = _read_back(path, symbols, chains, rows)
    if (len(arrow), len(committed), status.links_written) != (minutes, minutes, minutes):
        raise ResultDiffersError(f"{WHOLE}: {minutes} minutes closed, {status.links_written} written alone: {status}")
    waits, alone = np.array(parts).sum(axis=1), np.array(bare_waits)
    yield row(
        WHOLE, bare(symbols), minutes, "ms", waits / 1e6,
        rate=symbols * minutes / waits.sum() * 1e9, rate_unit="rows/s",
        against=BARE, ratio=float(np.median(alone) / np.median(waits)), digest=digest,
    )  # fmt: skip
    for name, spent in zip(PARTS, np.array(parts).T, strict=True):
        yield row(
            f"store: of it {name}", bare(symbols), minutes, "ms", spent / 1e6,
            rate=100.0 * spent.sum() / waits.sum(), rate_unit="% of it", digest=digest,
        )  # fmt: skip
    yield row(BARE, bare(symbols), minutes, "ms", alone / 1e6)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _write(handle: int, *lengths: int) -> int:
    """ns of writes of so many bytes, each followed by a sync."""
    contents = [os.urandom(length) for length in lengths]
    begun = now_ns()
    for content in contents:
        os.write(handle, content)
        os.fdatasync(handle)
    return now_ns() - begun


def _read_back(path: Path, symbols: int, chains: list[str], last: MinuteRows) -> str:
    """SHA-256 of the chain values in the file. ResultDiffersError if they, or rows, are not those that were closed."""
    with connect(path, read_only=True) as connection:
        found = [chain for (chain,) in connection.execute("SELECT chain FROM digests ORDER BY link").fetchall()]
        counted = connection.execute("SELECT count(*) FROM feature_revisions").fetchall()
        query = f"SELECT * FROM feature_revisions WHERE link = {last.link} ORDER BY rowid"
        rows = connection.sql(query).to_arrow_table()
    if found != chains or counted != [(symbols * len(chains),)]:
        raise ResultDiffersError(
            f"{WHOLE}: {len(chains)} links closed, {len(found)} in the file with {counted[0][0]} rows"
        )
    if rows.to_pylist() != pa.Table.from_batches([rows_to_arrow([last])]).to_pylist():
        raise ResultDiffersError(f"{WHOLE}: the rows of link {last.link} in the file are not those that were closed")
    return hashlib.sha256("".join(found).encode()).hexdigest()
