"""ROW arrays to Arrow columns: the one place where the engine's numbers become values for people.

The null of integers (-2^63) and NaN become NULL, mantissas become DECIMAL(38,16) exactly, codes become text, bit sets
become lists of names, -0.0 becomes 0.0. No Python object is made per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.core.effects import MinuteRows
from engine.core.errors import InvariantError
from engine.core.minutes import close_ms
from engine.core.schema import CODES, COLUMNS, NULL, TIMEFRAME, Column, Form, reason_names

DECIMAL_DIGITS, DECIMAL_SCALE = 38, 16
_LIMIT = 10**DECIMAL_DIGITS
_LIMIT_HI, _LIMIT_LO = np.uint64(_LIMIT >> 64), np.uint64(_LIMIT & (2**64 - 1))
_LOW_HALF, _HALF = np.uint64(2**32 - 1), np.uint64(32)
_ONE = np.uint64(1)
_POWERS = np.array([10**exponent for exponent in range(DECIMAL_SCALE + 1)], np.uint64)
_REASON_BITS = 63  # the sign bit is no reason
_REASON_NAMES = pa.array([(reason_names(1 << bit) or [f"bit_{bit}"])[0] for bit in range(_REASON_BITS)], pa.string())

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


def _comment(column: Column) -> str:
    return f"{column.unit}; null: {column.null}; source: {column.source}"


def _stored(column: Column) -> list[Field]:
    fields = [Field(column.name, _ARROW[column.form], _comment(column), column.stage)]
    if column.form is Form.REASONS:
        comment = f"bits; null: {column.null}; source: {column.name}"
        fields.append(Field("dq_reason_bits", pa.int64(), comment, column.stage))
    return fields


FIELDS: tuple[Field, ...] = KEY_FIELDS + tuple(field for column in COLUMNS for field in _stored(column))
ARROW_SCHEMA = pa.schema([(field.name, field.arrow) for field in FIELDS])
STAGE_OF = {field.name: field.stage for field in FIELDS}

DIGEST_FIELDS: tuple[Field, ...] = (
    Field("link", pa.int64(), "position; null: never; source: counted from 0 along the digest chain"),
    Field("venue", pa.string(), "venue whose minute closed; null: never; source: the instrument record"),
    Field("exchange_ts", pa.int64(), "ms UTC; null: never; source: close of the minute by event time"),
    Field("rev", pa.int64(), "count; null: never; source: 0 is the first close of the minute, then each later one"),
    Field("symbols", pa.int64(), "count; null: never; source: rows of this link in feature_revisions"),
    Field("cause_seq", pa.int64(), "record; null: never; source: seq of the journal record that caused the link"),
    Field("stages", pa.map_(pa.string(), pa.string()), "SHA-256 hex; null: never; source: each stage's digest"),
    Field("chain", pa.string(), "SHA-256 hex; null: never; source: chain value before, and this link"),
)
DIGEST_SCHEMA = pa.schema([(field.name, field.arrow) for field in DIGEST_FIELDS])


class OutOfRangeError(InvariantError):
    """A value that the stored table cannot hold exactly."""

    def __init__(self, column: str, symbol: str, value: str, expected: str) -> None:
        super().__init__(
            f"column {column} of {symbol} is {value}, expected {expected}; the row is not stored: report it as a bug"
        )


def rows_to_arrow(minutes: Sequence[MinuteRows]) -> pa.RecordBatch:
    """All rows of some minutes as one batch of ARROW_SCHEMA, in the order given. Raises OutOfRangeError."""
    counts = np.array([len(minute.rows) for minute in minutes], np.int64)
    rows = minutes[0].rows if len(minutes) == 1 else np.concatenate([minute.rows for minute in minutes])
    symbols = [symbol for minute in minutes for symbol in minute.symbols]
    scales = np.array([scale for minute in minutes for scale in minute.scales], np.int64).reshape(-1, 2)
    assert len(symbols) == len(scales) == len(rows), "a minute has one symbol and one pair of scales per row"
    close = np.repeat(np.array([close_ms(minute.minute) for minute in minutes], np.int64), counts)
    arrays: list[pa.Array] = [
        pa.array(np.repeat(np.array([minute.venue for minute in minutes], object), counts), pa.string()),
        pa.array(symbols, pa.string()),
        pa.array(np.repeat(np.array([TIMEFRAME], object), len(rows)), pa.string()),
        pa.array(close),
        pa.array(close * 1000).cast(pa.timestamp("us", tz="UTC")),
        pa.array(np.repeat(np.array([minute.revision for minute in minutes], np.int64), counts)),
        pa.array(np.repeat(np.array([minute.link for minute in minutes], np.int64), counts)),
    ]
    decimals = iter(_decimals(rows, scales, symbols))
    for column in COLUMNS:
        if column.form in _DECIMAL_FORMS:
            arrays.append(next(decimals))
        elif column.form is Form.REAL:
            arrays.append(_real(rows[column.name]))
        elif column.form is Form.INTEGER:
            arrays.append(_integer(rows[column.name]))
        elif column.form is Form.STATUS:
            arrays.append(_text(column.name, rows[column.name], symbols))
        else:
            arrays += [_reasons(column.name, rows[column.name], symbols), _integer(rows[column.name])]
    return pa.RecordBatch.from_arrays(arrays, schema=ARROW_SCHEMA)


def digests_to_arrow(minutes: Sequence[MinuteRows]) -> pa.RecordBatch:
    """One line per link, of DIGEST_SCHEMA."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([minute.link for minute in minutes], pa.int64()),
            pa.array([minute.venue for minute in minutes], pa.string()),
            pa.array([close_ms(minute.minute) for minute in minutes], pa.int64()),
            pa.array([minute.revision for minute in minutes], pa.int64()),
            pa.array([len(minute.symbols) for minute in minutes], pa.int64()),
            pa.array([minute.cause_seq for minute in minutes], pa.int64()),
            pa.array([list(minute.digests.items()) for minute in minutes], DIGEST_SCHEMA.field("stages").type),
            pa.array([minute.chain for minute in minutes], pa.string()),
        ],
        schema=DIGEST_SCHEMA,
    )


def _validity(null: np.ndarray) -> pa.Buffer | None:
    """Arrow's bitmap of what is not null; None where nothing is."""
    return pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None


def _array(kind: pa.DataType, values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(kind, len(null), [_validity(null), pa.py_buffer(values)])


def _integer(values: np.ndarray) -> pa.Array:
    values = np.ascontiguousarray(values)
    return _array(pa.int64(), values, values == NULL)


def _real(values: np.ndarray) -> pa.Array:
    values = values + 0.0  # a copy without -0.0
    return _array(pa.float64(), values, np.isnan(values))


def _text(name: str, codes: np.ndarray, symbols: Sequence[str]) -> pa.Array:
    """Names of the codes of a status column."""
    names = [member.name.lower() for member in CODES[name]]  # codes count from 0 without a hole
    codes = np.ascontiguousarray(codes)
    null = codes == NULL
    unknown = ~null & ((codes < 0) | (codes >= len(names)))
    if unknown.any():
        at = int(unknown.argmax())
        raise OutOfRangeError(name, symbols[at], str(codes[at]), f"a code from 0 to {len(names) - 1}")
    return pa.array(names, pa.string()).take(pa.array(codes, mask=null))


def _reasons(name: str, bits: np.ndarray, symbols: Sequence[str]) -> pa.Array:
    """Bit sets as lists of names, lowest bit first."""
    bits = np.ascontiguousarray(bits)
    null = bits == NULL
    if ((bits < 0) & ~null).any():
        at = int(((bits < 0) & ~null).argmax())
        raise OutOfRangeError(name, symbols[at], str(bits[at]), "a set of reason bits")
    row, bit = np.nonzero((np.where(null, 0, bits)[:, None] >> np.arange(_REASON_BITS)) & 1)
    offsets = np.zeros(len(bits) + 1, np.int32)
    np.cumsum(np.bincount(row, minlength=len(bits)), out=offsets[1:])
    names = _REASON_NAMES.take(pa.array(bit))
    return pa.Array.from_buffers(
        pa.list_(pa.string()), len(bits), [_validity(null), pa.py_buffer(offsets)], children=[names]
    )


def _decimals(rows: np.ndarray, scales: np.ndarray, symbols: Sequence[str]) -> list[pa.Array]:
    """Every decimal column of the table, in order: mantissa * 10^(16 - scale) in one vector pass over all of them."""
    columns = [column for column in COLUMNS if column.form in _DECIMAL_FORMS]
    high = np.empty((len(columns), len(rows)), np.int64)
    low = np.empty((len(columns), len(rows)), np.int64)
    power = np.empty((len(columns), len(rows)), np.int64)
    null = np.empty((len(columns), len(rows)), bool)
    price, quantity = scales[:, 0], scales[:, 1]
    scale_of = {Form.PRICE: price + 1, Form.BASE: quantity, Form.QUOTE: price + quantity}
    for at, column in enumerate(columns):
        if column.form is Form.QUOTE:
            high[at], low[at] = rows[f"{column.name}_hi"], rows[f"{column.name}_lo"]
            null[at] = high[at] == NULL
        else:
            low[at] = rows[column.name]
            high[at] = low[at] >> 63
            null[at] = low[at] == NULL
        power[at] = DECIMAL_SCALE - scale_of[column.form]
    assert ((power >= 0) & (power <= DECIMAL_SCALE)).all(), "a decimal column has 0 to 16 decimals"
    high[null], low[null] = 0, 0
    words, overflow = scale_up(high, low.view(np.uint64), _POWERS[power])
    if overflow.any():
        at, row = (int(index) for index in np.argwhere(overflow)[0])
        mantissa = (int(high[at, row]) << 64) + int(low[at, row] & -1) % 2**64
        value = f"{mantissa} * 10^-{DECIMAL_SCALE - int(power[at, row])}"
        raise OutOfRangeError(columns[at].name, symbols[row], value, "at most 22 digits before the point")
    return [_array(DECIMAL, words[at], null[at]) for at in range(len(columns))]


def scale_up(high: np.ndarray, low: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed 128-bit numbers times an unsigned factor below 2^63, element by element.

    high: int64, low: uint64, factor: uint64, all of one shape. Returns little-endian (low, high) words as uint64 with a
    last axis of two, and where the product has more than 38 digits (the words there mean nothing).
    """
    negative = high < 0
    low, above = _negate(low, high.view(np.uint64), negative)
    carry, product_low = _multiply(low, factor)
    beyond, product_high = _multiply(above, factor)
    product_high = product_high + carry
    beyond = beyond + (product_high < carry)
    overflow = (beyond != 0) | (product_high > _LIMIT_HI) | ((product_high == _LIMIT_HI) & (product_low >= _LIMIT_LO))
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
