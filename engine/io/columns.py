"""Rows of minutes and bars to Arrow columns: the one place where the engine's numbers become values for people.

The null of integers (-2^63) and NaN become NULL, mantissas become DECIMAL(38,16) exactly, codes become text, bit sets
become lists of names, -0.0 becomes 0.0. No Python object is made per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import orjson
import pyarrow as pa

from engine.core.effects import Link, MinuteRows
from engine.core.errors import InvariantError
from engine.core.minutes import close_ms
from engine.core.rings import words_of
from engine.core.rollup_columns import ROLLUP, ROLLUP_COLUMNS
from engine.core.schema import CODES, COLUMNS, NULL, ROW, TIMEFRAME, Column, Form, reason_names

DECIMAL_DIGITS, DECIMAL_SCALE = 38, 16
_LIMIT = 10**DECIMAL_DIGITS
_LIMIT_HI, _LIMIT_LO = np.uint64(_LIMIT >> 64), np.uint64(_LIMIT & (2**64 - 1))
_LOW_HALF, _HALF = np.uint64(2**32 - 1), np.uint64(32)
_ONE = np.uint64(1)
_POWERS = np.array([10**exponent for exponent in range(DECIMAL_SCALE + 1)], np.uint64)
_REASON_BITS = 63  # the sign bit is no reason

DECIMAL = pa.decimal128(DECIMAL_DIGITS, DECIMAL_SCALE)
_ARROW = {
    Form.PRICE: DECIMAL,
    Form.BASE: DECIMAL,
    Form.QUOTE: DECIMAL,
    Form.INTEGER: pa.int64(),
    Form.REAL: pa.float64(),
    Form.STATUS: pa.string(),
    Form.REASONS: pa.list_(pa.string()),
}
_DECIMAL_FORMS = (Form.PRICE, Form.BASE, Form.QUOTE)


class _Names:
    """Texts as arrays, to be chosen by number. letters: uint8 (names, longest); written: where a letter stands."""

    def __init__(self, names: Sequence[str]) -> None:
        self.letters = np.array([name.encode() for name in names], bytes).reshape(-1, 1).view(np.uint8)
        self.written = self.letters != 0


_CODE_NAMES = {name: _Names([member.name.lower() for member in codes]) for name, codes in CODES.items()}
_REASON_NAMES = _Names([(reason_names(1 << bit) or [f"bit_{bit}"])[0] for bit in range(_REASON_BITS)])


@dataclass(frozen=True, slots=True)
class Field:
    """One column of the stored table: what a reader sees. stage is '' for the key."""

    name: str
    arrow: pa.DataType
    comment: str
    stage: str = ""


KEY_FIELDS: tuple[Field, ...] = (
    Field("venue", pa.string(), "venue of the feed; null: never; source: the instrument record"),
    Field("symbol", pa.string(), "the venue's own name; null: never; source: the instrument record"),
    Field("tf", pa.string(), "length of the bar; null: never; source: constant"),
    Field("exchange_ts", pa.int64(), "ms UTC; null: never; source: close of the minute by event time"),
    Field("timestamp", pa.timestamp("us", tz="UTC"), "instant; null: never; source: exchange_ts"),
    Field("rev", pa.int64(), "count; null: never; source: 0 is the first close of the minute, then each later one"),
    Field("link", pa.int64(), "position; null: never; source: the digest chain's link that holds this row"),
)


def comment_of(column: Column) -> str:
    return f"{column.unit}; window: {column.window}; null: {column.null}; source: {column.source}"


def _stored(column: Column) -> list[Field]:
    fields = [Field(column.name, _ARROW[column.form], comment_of(column), column.stage)]
    if column.form is Form.REASONS:
        comment = f"bits; null: {column.null}; source: {column.name}"
        fields.append(Field("dq_reason_bits", pa.int64(), comment, column.stage))
    return fields


class Table:
    """A table of revisions. fields: its columns; arrow: their types; stage_of: which stage a column is of."""

    def __init__(self, table: str, fields: tuple[Field, ...]) -> None:
        self.table, self.fields = table, fields
        self.arrow = pa.schema([(field.name, field.arrow) for field in fields])
        self.stage_of = {field.name: field.stage for field in fields}


class Layout(Table):
    """How a row becomes a line of its table: where its fields lie, and of its decimal columns the low and high word,
    the word that tells null, the scale.
    """

    def __init__(self, table: str, columns: Sequence[Column], row: np.dtype) -> None:
        super().__init__(table, KEY_FIELDS + tuple(field for column in columns for field in _stored(column)))
        self.columns, self.row = columns, row
        self.names: tuple[str, ...] = row.names or ()
        self.place = {name: place for place, name in enumerate(self.names)}
        self.reals = np.array([place for name, place in self.place.items() if row[name].kind == "f"])
        self.decimals = [column for column in columns if column.form in _DECIMAL_FORMS]
        self.quotes = np.array([column.form is Form.QUOTE for column in self.decimals])
        self.low = np.array([self.place[c.name + "_lo" * (c.form is Form.QUOTE)] for c in self.decimals])
        self.null = np.array([self.place[c.name + "_hi" * (c.form is Form.QUOTE)] for c in self.decimals])
        self.scaled = np.array([_DECIMAL_FORMS.index(column.form) for column in self.decimals])


MINUTES = Layout("feature_revisions", COLUMNS, ROW)
BARS = Layout("rollup_revisions", ROLLUP_COLUMNS, ROLLUP)
FIELDS, ARROW_SCHEMA = MINUTES.fields, MINUTES.arrow

DIGEST_FIELDS: tuple[Field, ...] = (
    Field("link", pa.int64(), "position; null: never; source: counted from 0 along the digest chain"),
    Field("venue", pa.string(), "venue whose minute closed; null: never; source: the instrument record"),
    Field("exchange_ts", pa.int64(), "ms UTC; null: never; source: close of the minute by event time"),
    Field("rev", pa.int64(), "count; null: never; source: 0 is the first close of the minute, then each later one"),
    Field(
        "symbols",
        pa.int64(),
        "count; null: never; source: rows of this link in feature_revisions, or in rollup_revisions",
    ),
    Field("cause_seq", pa.int64(), "record; null: never; source: seq of the journal record that caused the link"),
    Field("stages", pa.string(), "JSON, SHA-256 hex by stage; null: never; source: each stage's digest"),
    Field("chain", pa.string(), "SHA-256 hex; null: never; source: chain value before, and this link"),
)
DIGEST_SCHEMA = pa.schema([(field.name, field.arrow) for field in DIGEST_FIELDS])


class OutOfRangeError(InvariantError):
    """A value that the stored table cannot hold exactly."""

    def __init__(self, column: str, symbol: str, value: str, expected: str) -> None:
        super().__init__(
            f"column {column} of {symbol} is {value}, expected {expected}; the row is not stored: report it as a bug"
        )


def layout_of(link: Link) -> Layout:
    return MINUTES if isinstance(link, MinuteRows) else BARS


def rows_to_arrow(minutes: Sequence[Link]) -> pa.RecordBatch:
    """All rows of some minutes, or of some bars, as one batch of their layout, in the order given.

    Raises OutOfRangeError.
    """
    layout = layout_of(minutes[0])
    counts = np.array([len(minute.rows) for minute in minutes], np.int64)
    rows = minutes[0].rows if len(minutes) == 1 else np.concatenate([minute.rows for minute in minutes])
    symbols = [symbol for minute in minutes for symbol in minute.symbols]
    scales = np.concatenate([_scales(minute.scales) for minute in minutes])
    assert len(symbols) == len(scales) == len(rows), "a minute has one symbol and one pair of scales per row"
    close = np.repeat(np.array([close_ms(minute.minute) for minute in minutes], np.int64), counts)
    venues = [venue for minute in minutes for venue in [minute.venue] * len(minute.rows)]
    arrays: list[pa.Array] = [
        pa.array(venues, pa.string()),
        pa.array(symbols, pa.string()),
        pa.array([tf for minute in minutes for tf in [timeframe(minute)] * len(minute.rows)], pa.string()),
        pa.array(close),
        _array(pa.timestamp("us", tz="UTC"), close * 1000, None),
        pa.array(np.repeat(np.array([minute.revision for minute in minutes], np.int64), counts)),
        pa.array(np.repeat(np.array([minute.link for minute in minutes], np.int64), counts)),
    ]
    cells = _Cells(rows, layout)
    decimals = iter(_decimals(cells, scales, symbols))
    for column in layout.columns:
        if column.form in _DECIMAL_FORMS:
            arrays.append(next(decimals))
        elif column.form is Form.REAL:
            arrays.append(cells.array(column.name, pa.float64()))
        elif column.form is Form.INTEGER:
            arrays.append(cells.array(column.name, pa.int64()))
        elif column.form is Form.STATUS:
            arrays.append(_text(column.name, cells, symbols))
        else:
            arrays += [_reasons(column.name, cells, symbols), cells.array(column.name, pa.int64())]
    return pa.RecordBatch.from_arrays(arrays, schema=layout.arrow)


def timeframe(link: Link) -> str:
    return TIMEFRAME if isinstance(link, MinuteRows) else link.tf


def digests_to_arrow(minutes: Sequence[Link]) -> pa.RecordBatch:
    """One line per link, of DIGEST_SCHEMA."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([minute.link for minute in minutes], pa.int64()),
            pa.array([minute.venue for minute in minutes], pa.string()),
            pa.array([close_ms(minute.minute) for minute in minutes], pa.int64()),
            pa.array([minute.revision for minute in minutes], pa.int64()),
            pa.array([len(minute.symbols) for minute in minutes], pa.int64()),
            pa.array([minute.cause_seq for minute in minutes], pa.int64()),
            pa.array([orjson.dumps(minute.digests).decode() for minute in minutes], pa.string()),
            pa.array([minute.chain for minute in minutes], pa.string()),
        ],
        schema=DIGEST_SCHEMA,
    )


class _Cells:
    """Rows turned into columns once: every column's words, nulls and validity lie one behind the other.

    words: int64 (fields, rows), reals as their bits and without -0.0. null: bool of the same shape.
    """

    def __init__(self, rows: np.ndarray, layout: Layout) -> None:
        self.layout, self.place = layout, layout.place
        self.words = words_of(rows).T.copy()
        self.null = self.words == NULL
        reals = self.words[layout.reals].view(np.float64) + 0.0
        self.words[layout.reals] = reals.view(np.int64)
        self.null[layout.reals] = np.isnan(reals)
        self._some_null: list[bool] = self.null.any(axis=1).tolist()
        self._validity = np.packbits(~self.null, axis=1, bitorder="little")

    def array(self, name: str, kind: pa.DataType) -> pa.Array:
        """A column of 8-byte values; nothing is copied."""
        place = self.place[name]
        return _array(kind, self.words[place], self.validity(name))

    def validity(self, name: str) -> np.ndarray | None:
        """Arrow's bitmap of what is not null; None where nothing is."""
        place = self.place[name]
        return self._validity[place] if self._some_null[place] else None


@lru_cache(maxsize=8)
def _scales(scales: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(rows, 2) int64; the same symbols come every minute."""
    return np.array(scales, np.int64).reshape(-1, 2)


def _array(kind: pa.DataType, values: np.ndarray, validity: np.ndarray | None) -> pa.Array:
    """values: contiguous, 8 or 16 bytes for each row."""
    rows = values.nbytes // (kind.bit_width // 8)
    return pa.Array.from_buffers(kind, rows, [_buffer(validity), pa.py_buffer(values)])


def _buffer(validity: np.ndarray | None) -> pa.Buffer | None:
    return None if validity is None else pa.py_buffer(validity)


def _text(name: str, cells: _Cells, symbols: Sequence[str]) -> pa.Array:
    """Names of the codes of a status column."""
    codes, null = cells.words[cells.place[name]], cells.null[cells.place[name]]
    names = len(_CODE_NAMES[name].letters)  # codes count from 0 without a hole
    unknown = ~null & ((codes < 0) | (codes >= names))
    if unknown.any():
        at = int(unknown.argmax())
        raise OutOfRangeError(name, symbols[at], str(codes[at]), f"a code from 0 to {names - 1}")
    return _strings(_CODE_NAMES[name], np.where(null, 0, codes), cells.validity(name))


def _strings(names: _Names, chosen: np.ndarray, validity: np.ndarray | None) -> pa.Array:
    """names[chosen], gathered letter by letter: Arrow's own `take` costs 80 ms of imports when it is first called."""
    letters, written = names.letters[chosen], names.written[chosen]
    offsets = np.zeros(len(chosen) + 1, np.int32)
    np.cumsum(written.sum(axis=1), out=offsets[1:])
    buffers = [_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(letters[written])]
    return pa.Array.from_buffers(pa.string(), len(chosen), buffers)


def _reasons(name: str, cells: _Cells, symbols: Sequence[str]) -> pa.Array:
    """Bit sets as lists of names, lowest bit first."""
    bits, null = cells.words[cells.place[name]], cells.null[cells.place[name]]
    if ((bits < 0) & ~null).any():
        at = int(((bits < 0) & ~null).argmax())
        raise OutOfRangeError(name, symbols[at], str(bits[at]), "a set of reason bits")
    known = np.where(null, 0, bits)
    width = int(np.bitwise_or.reduce(known)).bit_length()  # no look at reasons that no row has
    row, bit = np.nonzero((known[:, None] >> np.arange(width)) & 1)
    offsets = np.zeros(len(bits) + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=len(bits)), out=offsets[1:])
    names = _strings(_REASON_NAMES, bit, None)
    return pa.Array.from_buffers(
        pa.list_(pa.string()), len(bits), [_buffer(cells.validity(name)), pa.py_buffer(offsets)], children=[names]
    )


def _decimals(cells: _Cells, scales: np.ndarray, symbols: Sequence[str]) -> list[pa.Array]:
    """Every decimal column of the table, in order: mantissa * 10^(16 - scale) in one vector pass over all of them."""
    layout = cells.layout
    low = cells.words[layout.low]
    high = low >> 63
    high[layout.quotes] = cells.words[layout.null[layout.quotes]]
    null = cells.null[layout.null]
    high[null], low[null] = 0, 0
    price, quantity = scales[:, 0], scales[:, 1]
    power = DECIMAL_SCALE - np.stack([price + 1, quantity, price + quantity])
    assert ((power >= 0) & (power <= DECIMAL_SCALE)).all(), "a decimal column has 0 to 16 decimals"
    words, overflow = scale_up(high, low.view(np.uint64), _POWERS[power][layout.scaled])
    if overflow.any():
        at, row = (int(index) for index in np.argwhere(overflow)[0])
        mantissa = (int(high[at, row]) << 64) + int(low[at, row] & -1) % 2**64
        value = f"{mantissa} * 10^-{DECIMAL_SCALE - int(power[layout.scaled[at], row])}"
        raise OutOfRangeError(layout.decimals[at].name, symbols[row], value, "at most 22 digits before the point")
    names = [layout.names[place] for place in layout.null]
    return [_array(DECIMAL, words[at], cells.validity(name)) for at, name in enumerate(names)]


def scale_up(high: np.ndarray, low: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed 128-bit numbers times an unsigned factor below 2^63, element by element.

    high: int64, low: uint64, factor: uint64, all of one shape. Returns little-endian (low, high) words as uint64 with a
    last axis of two, and where the product has more than 38 digits (the words there mean nothing).
    """
    negative = high < 0
    low, above = _negate(low, high.view(np.uint64), negative)
    product_high, product_low = _multiply(low, factor)
    lost: np.ndarray | bool = False
    if above.any():  # hardly ever: 2^64 units of the last decimal place
        beyond, product_above = _multiply(above, factor)
        product_high = product_high + product_above
        lost = (beyond != 0) | (product_high < product_above)
    overflow = lost | (product_high > _LIMIT_HI) | ((product_high == _LIMIT_HI) & (product_low >= _LIMIT_LO))
    words = np.empty((*high.shape, 2), np.uint64)
    words[..., 0], words[..., 1] = _negate(product_low, product_high, negative)
    return words, overflow


def _negate(low: np.ndarray, high: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two's complement of 128-bit words where asked."""
    return np.where(where, ~low + _ONE, low), np.where(where, ~high + (low == 0), high)


def _multiply(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(high, low) words of a 64 x 64 bit product."""
    left_low, left_high = left & _LOW_HALF, left >> _HALF
    right_low, right_high = right & _LOW_HALF, right >> _HALF
    lowest = left_low * right_low
    middle = left_high * right_low + (lowest >> _HALF)
    cross = left_low * right_high + (middle & _LOW_HALF)
    return left_high * right_high + (middle >> _HALF) + (cross >> _HALF), (cross << _HALF) | (lowest & _LOW_HALF)
