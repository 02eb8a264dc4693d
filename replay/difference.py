"""Where two sessions, or a session and its replay, first differ: minute, stage, symbol, column, both values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.core.errors import ConveyorError
from engine.core.minutes import MS_PER_MINUTE, label
from engine.core.schema import TIMEFRAME
from engine.io.candidates import CANDIDATES
from engine.io.columns import BARS, MINUTES, Table
from engine.io.database import StoreUnavailableError, first_line
from engine.io.digest_line import DigestLine
from engine.io.session_reader import SessionReader
from engine.io.tables import REVISIONS

ROWS_AT_ONCE = 20_000
_KEY = ("venue", "symbol", "exchange_ts", "rev", "link")


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where `a` and `b` differ.

    what: one word of digest, row, length, store. What is not known, or does not apply, is empty (-1 for numbers).
    a, b: the two values as text. names: what a and b are called in the sentence.
    """

    what: str
    link: int = -1
    venue: str = ""
    exchange_ts: int = -1
    rev: int = -1
    stage: str = ""
    symbol: str = ""
    column: str = ""
    a: str = ""
    b: str = ""
    note: str = ""
    names: tuple[str, str] = ("a", "b")

    @property
    def minute(self) -> str:
        return label(self.exchange_ts // MS_PER_MINUTE - 1) if self.exchange_ts >= 0 else ""

    def sentence(self) -> str:
        """`minute 2024-08-08 23:56 of binance_usdm (rev 0, link 17), stage bars, BTCUSDT, close: a 1, b 2`."""
        where = [f"minute {self.minute} of {self.venue} (rev {self.rev}, link {self.link})"] if self.minute else []
        where += [f"stage {self.stage}"] if self.stage else []
        where += [part for part in (self.symbol, self.column) if part]
        values = f"{self.names[0]} {self.a}, {self.names[1]} {self.b}" if self.a or self.b else ""
        return ": ".join(part for part in (", ".join(where), values) if part) + (f" ({self.note})" if self.note else "")

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        names = ("what", "link", "venue", "exchange_ts", "minute", "rev", "stage", "symbol", "column", "a", "b", "note")
        found = {name: getattr(self, name) for name in names}
        return {name: None if value in ("", -1) else value for name, value in found.items()} | {
            "sentence": self.sentence()
        }


def difference(a: SessionReader, b: SessionReader) -> Difference | None:
    """The first difference of two sessions, a's order; None if every digest and every stored cell is the same."""
    names = (a.folder.name, b.folder.name) if a.folder.name != b.folder.name else (str(a.folder), str(b.folder))
    pending: list[DigestLine] = []
    for mine, other in zip_longest(a.digests(), b.digests()):
        if mine is None or other is None:
            line, longer = (mine, 0) if mine else (other, 1)
            ended = _compare_stored(a, b, pending) or Difference(
                "length", line.link, line.venue, line.exchange_ts, line.rev,
                note=f"{names[1 - longer]} ends before this link, {names[longer]} goes on",
            )  # fmt: skip
            return replace(ended, names=names)
        if found := digest_difference(mine, other):
            earlier = _compare_stored(a, b, pending)
            return replace(earlier or _row_of(a, b, mine, found), names=names)
        pending.append(mine)
        if sum(line.symbols for line in pending) >= ROWS_AT_ONCE:
            if found := _compare_stored(a, b, pending):
                return replace(found, names=names)
            pending = []
    last = _compare_stored(a, b, pending)
    return replace(last, names=names) if last else None


def digest_difference(a: DigestLine, b: DigestLine) -> Difference | None:
    """What of two lines of the chain differs: the minute itself, a stage, or only what came before."""
    at = Difference("digest", a.link, a.venue, a.exchange_ts, a.rev)
    for name in ("venue", "exchange_ts", "rev"):
        if getattr(a, name) != getattr(b, name):
            return replace(
                at, column=name, a=str(getattr(a, name)), b=str(getattr(b, name)), note="another minute closed"
            )
    for stage in dict.fromkeys((*a.stages, *b.stages)):
        mine, other = a.stages.get(stage, "no such stage"), b.stages.get(stage, "no such stage")
        if mine != other:
            return replace(at, stage=stage, a=mine[:16], b=other[:16])
    if a.symbols != b.symbols:
        return replace(at, column="symbols", a=str(a.symbols), b=str(b.symbols))
    if a.chain != b.chain:
        note = "every stage of this link is equal: the chain before it, or the line itself, was changed"
        return replace(at, column="chain", a=a.chain[:16], b=b.chain[:16], note=note)
    return None


def row_difference(a: pa.Table, b: pa.Table, of: Table = MINUTES) -> Difference | None:
    """The first cell, in the order of the rows and of their columns, that differs; exact, NULL equal to NULL only.

    a, b: rows as stored, or as `rows_to_arrow` makes them. Only columns of both are compared if their layouts differ.
    """
    columns = [name for name in a.column_names if name in b.column_names]
    absent = next((name for name in of.arrow.names if (name in a.column_names) != (name in b.column_names)), None)
    a, b = _alike(a.select(columns), of), _alike(b.select(columns), of)
    if a.num_rows != b.num_rows or not all(_same(a[name], b[name]) for name in _KEY if name in columns):
        return _key_difference(a, b)
    first: tuple[int, str] | None = None
    for name in columns:
        if not _same(a[name], b[name]):
            row = _first_unequal(a[name], b[name])
            if first is None or row < first[0]:
                first = row, name
    if first is None:
        if absent:
            return Difference("store", column=absent, note="only one of the two has this column")
        return None
    row, name = first
    return replace(
        _at(a, row), column=name, stage=of.stage_of.get(name, ""), a=text(a[name][row]), b=text(b[name][row])
    )


def text(value: Any) -> str:
    """A stored value for people: exact, decimals without trailing zeros, NULL as `null`."""
    if isinstance(value, pa.Scalar):
        value = value.value if isinstance(value, pa.TimestampScalar) else value.as_py()
    if value is None:
        return "null"
    if isinstance(value, Decimal):
        plain = f"{value:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    if isinstance(value, list):
        return "[" + ", ".join(str(part) for part in value) + "]"
    return repr(value) if isinstance(value, float) else str(value)


def stored_rows(session: SessionReader, first_link: int, last_link: int, of: Table = MINUTES) -> pa.Table | Difference:
    """Rows of some links, or a Difference that says why the store cannot give them."""
    try:
        return session.rows(first_link, last_link, of.table)
    except StoreUnavailableError:
        raise  # somebody else has it open: that is no difference
    except (duckdb.Error, ConveyorError) as error:
        return Difference("store", note=first_line(error))


def _compare_stored(a: SessionReader, b: SessionReader, lines: Iterable[DigestLine]) -> Difference | None:
    links = [line.link for line in lines]
    if not links:
        return None
    for of in REVISIONS:
        mine, other = (stored_rows(session, links[0], links[-1], of) for session in (a, b))
        for rows in (mine, other):
            if isinstance(rows, Difference):
                return rows
        if found := row_difference(mine, other, of):
            return replace(found, note="the digests are equal: a store was changed after it was written")
    return None


def _row_of(a: SessionReader, b: SessionReader, line: DigestLine, found: Difference) -> Difference:
    """The cell behind a digest that differs, if the stores can name it."""
    of = CANDIDATES if found.stage in ("detectors", "signals") else MINUTES if line.tf == TIMEFRAME else BARS
    mine, other = (stored_rows(session, line.link, line.link, of) for session in (a, b))
    for rows in (mine, other):
        if isinstance(rows, Difference):
            return replace(found, note=rows.note)
    return explain(found, mine, other, of)


def explain(found: Difference, a: pa.Table, b: pa.Table, of: Table = MINUTES) -> Difference:
    """A digest's difference made a cell's: the rows of the link say which."""
    if found.note:
        return found
    cell = row_difference(a, b, of)
    if cell is None:
        note = "all columns of the row are equal: the stage differs in what it does not store, or a digest was changed"
        return replace(found, note=note)
    return replace(cell, stage=cell.stage or found.stage)


def _key_difference(a: pa.Table, b: pa.Table) -> Difference:
    """Rows that are missing, added or out of order."""
    for row, (mine, other) in enumerate(zip_longest(_keys(a), _keys(b))):
        if mine != other:
            table = a if mine else b
            at = _at(table, row)
            if mine and other and mine[:1] + mine[2:] == other[:1] + other[2:]:
                return replace(at, symbol="", column="symbol", a=mine[1], b=other[1])
            return replace(at, a=_key_text(mine), b=_key_text(other))
    raise AssertionError("the keys of both are equal")


def _keys(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """A market row is of no symbol."""
    absent = [""] * rows.num_rows
    return zip(*(rows[n].to_pylist() if n in rows.column_names else absent for n in _KEY), strict=True)


def _key_text(key: tuple[Any, ...] | None) -> str:
    if key is None:
        return "no row"
    venue, symbol, exchange_ts, rev, link = key
    return f"{venue} {symbol} {exchange_ts} rev {rev} link {link}"


def _at(rows: pa.Table, row: int) -> Difference:
    cells = {name: rows[name][row].as_py() for name in _KEY if name in rows.column_names}
    symbol = cells.pop("symbol", "")
    return Difference("row", symbol=symbol, **cells)


def _alike(rows: pa.Table, of: Table) -> pa.Table:
    """One chunk per column, of the table's types where it knows the column and the types allow it."""
    fields = [of.arrow.field(f.name) if f.name in of.arrow.names else f for f in rows.schema]
    return rows.cast(pa.schema([pa.field(field.name, field.type) for field in fields])).combine_chunks()


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats as their bits, so that -0.0 is not 0.0 and NaN is itself."""
    if not pa.types.is_float64(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    return bool(_bits(a).equals(_bits(b)))


def _first_unequal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> int:
    a, b = _bits(a), _bits(b)
    if pa.types.is_list(a.type):
        return next(
            row for row, (mine, other) in enumerate(zip(a.to_pylist(), b.to_pylist(), strict=True)) if mine != other
        )
    unequal = pc.fill_null(pc.not_equal(a, b), False)
    one_null = pc.not_equal(pc.is_null(a), pc.is_null(b))
    return int(np.argmax(pc.or_(unequal, one_null).to_numpy()))
