"""One query beside a running engine: over the store it writes, reading only, bounded in time, rows and bytes."""

from __future__ import annotations

import io
import threading

import duckdb
import pyarrow as pa

from engine.core.errors import ConfigError
from engine.io.database import first_line
from engine.io.store import Store

ROWS_MAX = 100_000
TIMEOUT_S_MAX = 30.0
RESULT_BYTES_MAX = 32 << 20
TRUNCATED = b"conveyor_truncated"
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
_ROWS_AT_ONCE = 2048


def run_query(store: Store, query: str, rows_max: int, timeout_s: float, origin: str) -> bytes:
    """The result of one statement as an Arrow stream, with `conveyor_origin` and `conveyor_truncated` as metadata.

    The statement runs in a transaction that may only read, so it sees whole minutes and changes nothing.
    Raises ConfigError for what may not be asked, fails, or takes too long; StoreUnavailableError without a store.
    """
    if not 0 < rows_max <= ROWS_MAX or not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise ConfigError(f"at most {ROWS_MAX} rows and {TIMEOUT_S_MAX:g} s are given to a query beside an engine")
    with store.reader() as connection:
        return _asked(connection, query, rows_max, timeout_s, origin)


def _asked(connection: duckdb.DuckDBPyConnection, query: str, rows_max: int, timeout_s: float, origin: str) -> bytes:
    is_late = threading.Event()

    def stop() -> None:
        is_late.set()
        connection.interrupt()

    watchdog = threading.Timer(timeout_s, stop)
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type not in _READING:
            raise ConfigError("beside a running engine one statement is run, and it has to be a SELECT")
        connection.execute("BEGIN TRANSACTION READ ONLY")
        watchdog.start()
        return _stream(connection.sql(query).to_arrow_reader(_ROWS_AT_ONCE), rows_max, origin)
    except duckdb.OutOfMemoryException as error:
        raise ConfigError(
            f"the query needs more memory than it is given beside an engine: {first_line(error)}"
        ) from None
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # behind the first rows Arrow has other words for it
        if is_late.is_set():
            sentence = f"the query was stopped after {timeout_s:g} s; narrow it, or raise --timeout"
            raise ConfigError(sentence) from None
        raise ConfigError(str(error)) from None
    finally:
        watchdog.cancel()


def _stream(reader: pa.RecordBatchReader, rows_max: int, origin: str) -> bytes:
    batches: list[pa.RecordBatch] = []
    rows = nbytes = 0
    truncated = False
    for batch in reader:
        kept = batch.slice(0, rows_max - rows)
        truncated = kept.num_rows < batch.num_rows
        batches.append(kept)
        rows, nbytes = rows + kept.num_rows, nbytes + kept.nbytes
        if truncated or nbytes > RESULT_BYTES_MAX:
            truncated = True
            break
    facts = {b"conveyor_origin": origin.encode(), TRUNCATED: b"1" if truncated else b"0"}
    schema = reader.schema.with_metadata(facts)
    into = io.BytesIO()
    with pa.ipc.new_stream(into, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)
    return into.getvalue()
