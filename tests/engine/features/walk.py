"""The oracle's minutes through the families over prices, without the engine around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.feature_columns import FEATURE_COLUMNS
from engine.core.feature_state import make_features
from engine.core.layouts import SYMBOL
from engine.core.schema import NULL, ROW, Status
from engine.features import candles, levels, oscillators, trend
from engine.features.inputs import OWN_FIELDS, OWN_NULLS, blank, observe
from tests.oracles.features import Columns, Minute, Number, agree

PRICE_DECIMALS, QUANTITY_DECIMALS = 2, 3
OI_STALE_MS = 20_000
FAMILIES = ("trend", "oscillators", "levels", "candles")
NAMES = [column.name for column in FEATURE_COLUMNS if column.family in FAMILIES]
Oracle = Callable[[Sequence[Minute]], list[Columns]]


def make_state(symbols: int) -> Any:
    """What the families ask of an EngineState."""
    table = np.zeros(symbols, SYMBOL)
    table["price_decimals"], table["quantity_decimals"], table["contract_size"] = PRICE_DECIMALS, QUANTITY_DECIMALS, 1
    return SimpleNamespace(
        bars=SimpleNamespace(rows=np.zeros(symbols, ROW)),
        tape=SimpleNamespace(symbols=table),
        features=make_features(SimpleNamespace(symbols_max=symbols)),
    )


def mantissa(value: Number, decimals: int) -> int:
    return NULL if value is None else round(value * 10**decimals)


def real(value: Number) -> float:
    return np.nan if value is None else value


def fill(row: Any, minute: Minute) -> None:
    """The columns of bars and quality that `observe` and the families over prices read."""
    row["dq_status"] = Status[minute.status.upper()]
    for name in ("open", "high", "low", "close", "mid_close"):
        row[name] = mantissa(getattr(minute, name), PRICE_DECIMALS + 1)
    for name in ("quote_volume", "taker_buy_quote_volume"):
        value = mantissa(getattr(minute, name), PRICE_DECIMALS + QUANTITY_DECIMALS)
        row[f"{name}_hi"], row[f"{name}_lo"] = 0, value  # below 2^63 on the days of the tests
    for name in ("oi_close", "mark_price", "index_price"):
        row[name] = real(getattr(minute, name))
    row["oi_staleness_ms"] = NULL if minute.oi_staleness_ms is None else minute.oi_staleness_ms
    row["liquidation_count"] = NULL if minute.liquidation_count is None else minute.liquidation_count
    for name in ("liquidation_buy_base", "liquidation_sell_base"):
        row[name] = mantissa(getattr(minute, name), QUANTITY_DECIMALS)


def close(state: Any, symbol: int, minute: Minute) -> Columns:
    """One minute of one symbol through the families, as the stage does it. Gives its columns, None is null."""
    rows, own, members = state.bars.rows, state.features, np.array([symbol])
    fill(rows[symbol], minute)
    blank(members, rows.view(np.int64).reshape(len(rows), -1), OWN_FIELDS, OWN_NULLS)
    table, t = state.tape.symbols, minute.minute
    observe(members, t, OI_STALE_MS, FLOAT_POWERS_OF_TEN, rows, table, own.newest, own.turn, own.ring)
    for family in (trend, oscillators, levels, candles):
        family.compute(state, members, minute.minute)
    return {name: number(rows[symbol][name]) for name in NAMES}


def number(value: Any) -> Number:
    is_null = np.isnan(value) if isinstance(value, np.floating) else value == NULL
    return None if is_null else float(value)


def to_rows(minutes: Sequence[Minute]) -> list[Columns]:
    """These columns of every minute of one symbol."""
    state = make_state(1)
    return [close(state, 0, minute) for minute in minutes]


def compare(oracle: Oracle, minutes: Sequence[Minute]) -> list[Columns]:
    """Every column that the oracle gives, in every minute; the engine's rows."""
    found = to_rows(minutes)
    for minute, ours, theirs in zip(minutes, found, oracle(minutes), strict=True):
        wrong = {name: (ours[name], value) for name, value in theirs.items() if not agree(ours[name], value, name)}
        assert wrong == {}, (minute.minute - minutes[0].minute, minute.status, wrong)
    return found
