"""The oracle's Minutes through the engine's feature stage: mantissas and grids into its arrays, then close by close.

Scales are those of tests/oracles/features/days.py: prices lie on 0.01, quantities on 0.001, mids between two ticks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from engine.conveyor import Conveyor
from engine.core.column import Form
from engine.core.depth import depth_slope
from engine.core.feature_columns import FEATURE_COLUMNS
from engine.core.schema import COLUMNS, NULL, ROW, Status
from engine.core.state import EngineState
from engine.core.wide import as_int, from_int
from engine.features import stage
from tests.engine.running import core
from tests.oracles.features import Columns, Minute, Number

PRICE_DECIMALS, QUANTITY_DECIMALS = 2, 3
OI_STALE_MS = 20_000
SYMBOL = np.zeros(1, np.int64)
OWN = tuple(column for column in FEATURE_COLUMNS if column.stage == "features")
FORMS = {column.name: column.form for column in COLUMNS}
BLANK = np.array(tuple(np.nan if ROW[name].kind == "f" else NULL for name in ROW.names or ()), ROW)
GIVEN = tuple(name for name in FORMS if name in Minute.__dataclass_fields__)


def to_rows(minutes: Sequence[Minute]) -> list[Columns]:
    """The engine's feature columns of each Minute, at its close; between two closes the upkeep of the one before."""
    state = a_state(minutes)
    rows = np.zeros(len(minutes), ROW)
    for n, minute in enumerate(minutes):
        put(state, minute)
        stage.compute(state, SYMBOL, minute.minute, OI_STALE_MS)
        rows[n] = state.bars.rows[0]
        state.remember(minute.minute, SYMBOL, rows[n : n + 1])
        for t in range(minute.minute, minutes[n + 1].minute if n + 1 < len(minutes) else minute.minute + 1):
            stage.settle(state, SYMBOL, t - 1)  # at the end of grace of t, whether the symbol has a row then or not
    return columns(rows)


def a_state(minutes: Sequence[Minute]) -> EngineState:
    """A state with one symbol, which is what the minutes say."""
    conveyor = Conveyor()
    conveyor.configure(core(limits={"symbols_max": 1}))
    assert conveyor.state is not None
    symbol = conveyor.state.tape.symbols[0]
    symbol["venue"], symbol["active"] = 0, 1
    symbol["price_decimals"], symbol["quantity_decimals"] = PRICE_DECIMALS, QUANTITY_DECIMALS
    symbol["inverse"], symbol["contract_size"] = minutes[0].inverse, minutes[0].contract_size
    symbol["funding_interval_h"] = next((m.funding_interval_h for m in minutes if m.funding_interval_h), 0)
    return conveyor.state


def put(state: EngineState, minute: Minute) -> None:
    """Write what bars and quality would have written of a minute, and of its inside."""
    state.bars.rows[0] = BLANK
    row = state.bars.rows[0]
    for name in GIVEN:
        _write(row, name, getattr(minute, name))
    row["dq_status"] = Status[minute.status.upper()]
    row["mid_path_points"] = sum(mid is not None for mid in minute.mids)
    slot = minute.minute & 3
    _put_quotes(state, slot, minute)
    _put_depths(state, slot, minute)


def _write(row: Any, name: str, value: Any) -> None:
    form = FORMS[name]
    if value is None:
        return
    if form is Form.QUOTE:
        row[f"{name}_hi"], row[f"{name}_lo"] = from_int(_mantissa(value, PRICE_DECIMALS + QUANTITY_DECIMALS))
    elif form is Form.PRICE:
        row[name] = _mantissa(value, PRICE_DECIMALS + 1)
    elif form is Form.BASE:
        row[name] = _mantissa(value, QUANTITY_DECIMALS)
    else:
        row[name] = value


def _mantissa(value: float, decimals: int) -> int:
    """The whole number that a person's decimal stands for; one that needs more decimals is a fault of the day."""
    scaled = Fraction(repr(value)) * 10**decimals
    assert scaled.denominator == 1, f"{value!r} has more than {decimals} decimals"
    return scaled.numerator


def _runs(points: Sequence[Any]) -> list[tuple[int, Any]]:
    """(one past its last point, value) of each stretch of equal points."""
    return [(k, points[k - 1]) for k in range(1, len(points) + 1) if k == len(points) or points[k] != points[k - 1]]


def _put_quotes(state: EngineState, slot: int, minute: Minute) -> None:
    total, path = state.bars.quote_sums[0, slot], state.bars.mid_paths[0, slot]
    total["minute"] = minute.minute
    total["mid_open"] = NULL if minute.mid_open is None else 2 * _mantissa(minute.mid_open, PRICE_DECIMALS + 1) // 10
    half = minute.microprices[29]
    total["microprice_s_30"] = np.nan if half is None else half * 10**PRICE_DECIMALS
    runs = _runs(list(zip(minute.mids, minute.spreads, strict=True)))
    for k, (end, (mid, spread)) in enumerate(runs):
        path[k]["end"] = end
        path[k]["mid"] = NULL if mid is None else 2 * _mantissa(mid, PRICE_DECIMALS + 1) // 10
        path[k]["spread"] = NULL if spread is None else _mantissa(spread, PRICE_DECIMALS)
    total["path_runs"] = len(runs)
    total["path_points"] = sum(mid is not None for mid in minute.mids)


def _put_depths(state: EngineState, slot: int, minute: Minute) -> None:
    total, path = state.bars.depth_sums[0, slot], state.bars.depth_paths[0, slot]
    total["minute"] = minute.minute
    runs = _runs(minute.depths5)
    for k, (end, depth5) in enumerate(runs):
        path[k]["end"], path[k]["depth5"] = end, np.nan if depth5 is None else depth5
    total["path_runs"] = len(runs)
    prices, quantities = state.tape.top_price[0], state.tape.top_quantity[0]
    prices[...] = quantities[...] = 0
    for side, levels in enumerate((minute.bids, minute.asks)):
        for k, (price, quantity) in enumerate(levels):
            prices[side, k] = _mantissa(price, PRICE_DECIMALS)
            quantities[side, k] = _mantissa(quantity, QUANTITY_DECIMALS)
    total["slope"] = depth_slope(state.tape.symbols[0], prices, quantities)


def columns(rows: np.ndarray) -> list[Columns]:
    """The stage's own columns of rows as numbers; None is null. Nothing may be infinite or -0.0."""
    values = {column.name: _numbers(rows, column.name, column.form) for column in OWN}
    return [{name: column[n] for name, column in values.items()} for n in range(len(rows))]


def _numbers(rows: np.ndarray, name: str, form: Form) -> list[Number]:
    if form is Form.QUOTE:
        unit = 10 ** (PRICE_DECIMALS + QUANTITY_DECIMALS)
        words = zip(rows[f"{name}_hi"].tolist(), rows[f"{name}_lo"].tolist(), strict=True)
        return [None if hi == NULL else float(Fraction(as_int(hi, lo), unit)) for hi, lo in words]
    column = rows[name]
    if form is not Form.REAL:
        return [None if value == NULL else float(value) for value in column.tolist()]
    assert not np.isinf(column).any(), name
    assert not np.signbit(column[column == 0.0]).any(), name
    return [None if math.isnan(value) else value for value in column.tolist()]
