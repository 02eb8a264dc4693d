"""Verbs that read what a run has left: `sql`, `export`, `diff`, `verify`, `store rebuild`, `journal info|check|cat`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.replay import compile_kernels
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.core.effects import Effect
    from engine.core.records import Record
    from engine.io.journal_reader import JournalInfo
    from engine.io.session_reader import SessionReader
    from replay.verify import Verdict

_folder = click.Path(file_okay=False, path_type=Path)
session_argument = click.argument("session", type=_folder)
TABLES = (  # as in engine.io.tables, which is slow to import
    "features_snapshot", "features_15m", "features_1h", "market_snapshot", "candidates", "signals", "feature_revisions",
    "rollup_revisions", "market_revisions", "digests",
)  # fmt: skip
ROWS_AT_ONCE = 4096


@click.command(cls=terminal.Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="[SESSION] QUERY")
@click.option("--rows", type=click.IntRange(1), default=10_000, show_default=True, help="At most, from an engine.")
@click.option("--timeout", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Seconds, of an engine.")
@terminal.json_option
def sql(arguments: tuple[str, ...], rows: int, timeout: float, as_json: bool) -> None:
    """Run a query over a session's store; nothing can be changed.

    features_snapshot holds the newest revision of every minute and bar, features_15m and features_1h the bars alone,
    market_snapshot the market of each minute; candidates what detectors found and what became of it, signals those that
    were published; feature_revisions, rollup_revisions and market_revisions hold every
    revision, digests the chain. DESCRIBE features_snapshot lists columns.

    Without SESSION, or while an engine runs in it, the engine answers, within --rows and --timeout.
    """
    if len(arguments) > 2:
        raise click.UsageError("give the query as one word, in quotes")
    query, session = arguments[-1], Path(arguments[0]) if len(arguments) == 2 else None
    result, origin = queried(session, query, rows, timeout)
    if as_json:
        names = _unique(result.column_names)
        lines = [dict(zip(names, row, strict=True)) for row in plain_rows(result, json=True)]
        terminal.emit({"origin": origin, "columns": names, "rows": lines})
    elif result.num_columns:
        terminal.table(result.column_names, plain_rows(result), title=_title(origin))


def queried(session: Path | None, query: str, rows_max: int = 10_000, timeout_s: float = 10.0) -> tuple[pa.Table, str]:
    """Result and origin of a query: from the engine that has the session open, else from its folder."""
    from engine.io.control_client import NoAnswerError, NotRunningError, engine_in
    from engine.io.session_reader import SessionReader

    try:
        stream = engine_in(session).sql(query, rows_max, timeout_s)
    except NotRunningError as error:
        if session is None:
            raise Stop(Exit.UNREACHABLE, str(error)) from None
    except NoAnswerError as error:
        raise Stop(Exit.TIMEOUT, str(error)) from None
    else:
        import pyarrow as pa

        with pa.ipc.open_stream(stream) as reader:
            result = reader.read_all()
        facts = result.schema.metadata
        if facts[b"conveyor_truncated"] == b"1":
            terminal.note(f"only the first {result.num_rows} rows are shown; ask for more with --rows")
        return result, facts[b"conveyor_origin"].decode()
    with SessionReader(session) as folder:
        return folder.query(query), folder.origin


@click.command(cls=terminal.Verb)
@session_argument
@click.option("--table", type=click.Choice(TABLES), default=TABLES[0], show_default=True, help="Which one.")
@click.option(
    "--format", "form", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True, help="Of the file."
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@terminal.json_option
def export(session: Path, table: str, form: str, out: Path, force: bool, as_json: bool) -> None:
    """Write a whole table of a session into a Parquet or CSV file."""
    from engine.io.session_reader import SessionReader
    from engine.io.session_reader import export as write

    with SessionReader(session) as reader:
        rows = write(reader, table, form, out, force)
        if as_json:
            terminal.emit({"origin": reader.origin, "table": table, "file": str(out), "rows": rows})
        else:
            click.echo(f"{rows} rows of {table} ({reader.origin}) written to {out}")


@click.command(cls=terminal.Verb)
@click.argument("session_a", type=_folder)
@click.argument("session_b", type=_folder)
@terminal.json_option
def diff(session_a: Path, session_b: Path, as_json: bool) -> None:
    """Name the first minute, stage, symbol and column in which two sessions differ; exit 4 if they do."""
    from engine.io.session_reader import SessionReader
    from replay.difference import difference

    # DuckDB opens a file once per process, so a session is compared with itself through one reader.
    same = session_a.resolve() == session_b.resolve()
    with SessionReader(session_a) as a, nullcontext(a) if same else SessionReader(session_b) as b:
        found = difference(a, b)
        if as_json:
            terminal.emit({"equal": found is None, "difference": found.as_dict() if found else None})
        else:
            click.echo(found.sentence() if found else f"no difference; chain {a.manifest['chain'] or 'empty'}")
    if found:
        raise Stop(Exit.VERIFICATION)


@click.command(cls=terminal.Verb)
@session_argument
@terminal.json_option
def verify(session: Path, as_json: bool) -> None:
    """Replay a session's journal and compare every digest and every stored cell; exit 4 and the first difference.

    Beside a running engine digests are compared, up to now. verified.json keeps how far it went, for promotions.
    """
    from engine.io.session_reader import SessionReader
    from replay.verify import first_link_of
    from replay.verify import verify as prove

    with SessionReader(session) as reader:
        is_running = _is_running(session)
        with _replaying("verify", reader) as effects:
            verdict = prove(reader, effects, first_link_of(reader), is_running)
        _keep(session, verdict, with_rows=not is_running)
        if as_json:
            found = verdict.difference
            counts = {"minutes": verdict.minutes, "links": verdict.links, "rows": verdict.rows, "chain": verdict.chain}
            counts |= {"links_before": verdict.links_before, "links_without_rows": verdict.links_without_rows}
            answer = {"verified": found is None, "origin": reader.origin, "complete": reader.complete} | counts
            terminal.emit(answer | {"difference": found.as_dict() if found else None})
        else:
            if is_running:  # it has the store
                verdict = replace(verdict, links_without_rows=0)
                cut = "; so far and by digest only, for an engine runs in it"
            else:
                cut = "" if reader.complete else "; the session was cut short, all it holds was compared"
            click.echo(verdict.sentence() + cut)
    if verdict.difference:
        raise Stop(Exit.VERIFICATION)


def _is_running(session: Path) -> bool:
    """Whether an engine has the session open."""
    from engine.io.control_client import NoAnswerError, NotRunningError, engine_in

    try:
        engine_in(session).status()
    except NotRunningError:
        return False
    except NoAnswerError:  # it is busy
        return True
    return True


def _keep(session: Path, verdict: Verdict, with_rows: bool) -> None:
    """The success, beside the session; a folder that cannot be written keeps none."""
    from engine.io.verified import Verified, write_verified

    if verdict.difference or verdict.last_link < 0:
        return
    try:
        write_verified(session, Verified(verdict.last_link, verdict.chain, verdict.last_exchange_ts, with_rows))
    except OSError as error:
        terminal.note(f"note: {terminal.told(error)}; this success is not kept, so it counts for no promotion")


@click.group(cls=terminal.Family)
def store() -> None:
    """Look after the store of a session."""


@store.command()
@session_argument
@terminal.json_option
def rebuild(session: Path, as_json: bool) -> None:
    """Write a session's store anew from its journal; the old one is replaced when the new one is whole."""
    from engine.io.session import rebuild_store
    from engine.io.session_reader import SessionReader
    from replay.verify import first_link_of

    with SessionReader(session) as reader, _replaying("rebuild", reader) as effects:
        status = rebuild_store(session, lambda: effects, first_link=first_link_of(reader))
    if as_json:
        terminal.emit({"links": status.links_written, "rows": status.rows_written})
    else:
        click.echo(f"store rebuilt: {status.links_written} links, {status.rows_written} rows")


@click.group(cls=terminal.Family)
def journal() -> None:
    """Look at a journal."""


@journal.command()
@click.argument("folder", metavar="JOURNAL", type=_folder)
@terminal.json_option
def info(folder: Path, as_json: bool) -> None:
    """Show what a journal holds, from its headers and footers."""
    from engine.io.journal_reader import JournalReader

    reader = JournalReader(folder)
    facts = journal_facts(reader.header, reader.info())
    if as_json:
        terminal.emit(facts)
    else:
        terminal.table(["fact", "value"], list(facts.items()))


@journal.command()
@click.argument("folder", metavar="JOURNAL", type=_folder)
@terminal.json_option
def check(folder: Path, as_json: bool) -> None:
    """Read every byte of a journal and walk every record; exit 1 with segment and offset where one is damaged."""
    from engine.core.records import RecordKind
    from engine.io.journal_reader import JournalReader

    reader = JournalReader(folder)
    report = reader.check()
    names = {kind.value: kind.name.lower() for kind in RecordKind}
    facts = journal_facts(reader.header, report.info) | {"chain_crc": f"{report.chain_crc:08x}"}
    kinds = {names.get(kind, f"kind_{kind}"): count for kind, count in report.kinds.items()}
    if as_json:
        terminal.emit(facts | {"kinds": kinds, "whole": True})
    else:
        terminal.table(["fact", "value"], [*facts.items(), *((f"records {name}", n) for name, n in kinds.items())])


@journal.command()
@click.argument("folder", metavar="JOURNAL", type=_folder)
@click.option("--kind", "kinds", multiple=True, help="Repeatable; the names of `conveyor describe --journal`.  [frame]")
@click.option("--symbol", help="Only records that name this symbol, as the venue spells it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a record: seq, recv_ns, source, kind, payload.")
def cat(folder: Path, kinds: tuple[str, ...], symbol: str | None, as_json: bool) -> None:
    """Print records in order, one a line: `<receive ns> <payload>`. Frames are as the venue sent them.

    A frame names a symbol if it holds the name in quotes, an answer by REST if that was asked for the symbol.
    What cannot be printed, such as a line feed, is a space; --json keeps every character.
    """
    import orjson

    from engine.core.records import RecordKind, iterate
    from engine.io.journal_reader import JournalReader

    names = {kind.name.lower(): kind for kind in RecordKind}
    if wrong := [name for name in kinds if name not in names]:
        raise click.BadParameter(f"{', '.join(wrong)}; expected of {', '.join(names)}", param_hint="--kind")
    wanted = {names[name] for name in kinds} or {RecordKind.FRAME}
    for batch in JournalReader(folder).batches():
        for record in iterate(batch):
            if record.kind not in wanted or (symbol and not _names(record, symbol.encode())):
                continue
            payload = record.payload.decode("utf-8", "backslashreplace")
            if as_json:
                facts = {"seq": record.seq, "recv_ns": record.recv_ns, "source": record.source}
                click.echo(orjson.dumps(facts | {"kind": RecordKind(record.kind).name.lower(), "payload": payload}))
            else:
                click.echo(f"{record.recv_ns} {terminal.printable(payload)}")


def _names(record: Record, symbol: bytes) -> bool:
    from engine.core.records import RecordKind

    if record.kind in (RecordKind.REST, RecordKind.REST_ERROR):
        return symbol in record.payload.partition(b"\n")[0].split()
    return b'"' + symbol + b'"' in record.payload


def journal_facts(header: dict[str, Any], found: JournalInfo) -> dict[str, Any]:
    """A journal in figures, in the order in which a person wants them."""
    from engine.io.manifest import instant

    return {
        "origin": header.get("origin", ""),
        "records": found.records,
        "minutes": found.minutes,
        "first_received": instant(found.first_recv_ns) if found.records else None,
        "last_received": instant(found.last_recv_ns) if found.records else None,
        "raw_bytes": found.raw_bytes,
        "stored_bytes": found.stored_bytes,
        "segments": len(found.segments),
        "last_seq": found.last_seq,
        "first_seq": int(found.segments[0].name[:20]),
        "torn_bytes": found.torn_bytes,
    }


def plain_rows(result: pa.Table, json: bool = False) -> Iterator[list[Any]]:
    """Rows for people: decimals exact and without trailing zeros, times in UTC. json: lists, maps and numbers stay."""
    for batch in result.to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from zip(*(_plain(column, json) for column in batch.columns), strict=True)  # type: ignore[misc]


def _plain(column: pa.Array, json: bool) -> list[Any]:
    import pyarrow as pa

    from replay.difference import text

    kind = column.type
    if pa.types.is_timestamp(kind):
        return [None if instant is None else _instant(instant) for instant in _microseconds(column)]
    values = column.to_pylist()
    if pa.types.is_decimal(kind):
        return [None if value is None else text(value) for value in values]
    if pa.types.is_map(kind):
        values = [None if value is None else dict(value) for value in values]
    if json or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return values
    return [None if value is None else text(value) for value in values]


def _microseconds(column: pa.Array) -> list[int | None]:
    import pyarrow as pa

    return column.cast(pa.timestamp("us", column.type.tz), safe=False).view(pa.int64()).to_pylist()


def _instant(microseconds: int) -> str:
    """`2024-08-08T23:56:00Z`; with digits behind the second if there are any."""
    from datetime import datetime, timedelta

    return (datetime(1970, 1, 1) + timedelta(microseconds=microseconds)).isoformat() + "Z"


def _unique(names: Iterable[str]) -> list[str]:
    """Column names as keys of an object: the second `a` becomes `a_2`."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _title(origin: str) -> str:
    """A heading for what was not measured on a market."""
    return "simulated market" if origin == "simulated" else ""


@contextmanager
def _replaying(description: str, reader: SessionReader) -> Iterator[Iterator[Effect]]:
    """The effects of the session's journal, computed anew, with a bar over the bytes of the journal."""
    from engine.io.journal_reader import JournalReader
    from replay.verify import replayed

    compile_kernels()
    total = JournalReader(reader.journal()).info().raw_bytes
    with terminal.progress(description, total, "bytes") as advance:
        yield replayed(reader, advance=advance)
