"""The market row of a venue's minute as a line of its table. There is one a minute, so it is made cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from engine.core.column import Column, Form
from engine.core.effects import MarketRow, MinuteRows
from engine.core.market import LENGTHS, MARKET_CODES, MARKET_COLUMNS
from engine.core.minutes import close_ms
from engine.core.schema import NULL
from engine.io.columns import KEY_FIELDS, Field, Table, comment_of

_NAMES = pa.list_(pa.string())
_KEY = tuple(field for field in KEY_FIELDS if field.name not in ("symbol", "tf"))


def _arrow(column: Column) -> pa.DataType:
    if column.form is Form.REAL:
        return pa.float64()
    if column.form is Form.INTEGER:
        return pa.int64()
    return _NAMES if column.name in LENGTHS else pa.string()


MARKETS = Table(
    "market_revisions",
    _KEY + tuple(Field(c.name, _arrow(c), comment_of(c), c.stage) for c in MARKET_COLUMNS),
)


def markets_to_arrow(minutes: Sequence[MinuteRows]) -> pa.RecordBatch:
    """The market rows of minutes that have one, in the order given."""
    told = [(minute, minute.market) for minute in minutes if minute.market is not None]
    close = [close_ms(minute.minute) for minute, _ in told]
    cells: list[Sequence[Any]] = [
        [minute.venue for minute, _ in told],
        close,
        [ms * 1000 for ms in close],
        [minute.revision for minute, _ in told],
        [minute.link for minute, _ in told],
    ]
    cells += [[_cell(column, market) for _, market in told] for column in MARKET_COLUMNS]
    arrays = [pa.array(values, field.arrow) for values, field in zip(cells, MARKETS.fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=MARKETS.arrow)


def _cell(column: Column, market: MarketRow) -> Any:
    """A value for people; None for null. Of several symbols those that are there."""
    value = market.row[column.name]
    if column.form is Form.REAL:
        return None if np.isnan(value) else float(value) + 0.0
    if column.name in LENGTHS:
        return [market.names[index] for index in value.tolist() if index != NULL]
    if value == NULL:
        return None
    if column.form is Form.SYMBOL:
        return market.names[int(value)]
    return MARKET_CODES[column.name](int(value)).name.lower() if column.form is Form.STATUS else int(value)
