"""A detector's view as plain values, as tests/oracles/detectors.py reads it, and findings compared with its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detector import View
from engine.core.feature_state import INPUTS, RECENT
from engine.core.market import LENGTHS, MARKET_CODES
from engine.core.schema import NULL, Status
from tests.oracles.detectors import Found, Row, Seen

# Of the row of a minute before, as it is remembered; prices and flows of it are among the inputs.
BEFORE = (
    "funding_rate_hour", "rv_m_1", "trade_count", "rsi_14", "macd_histogram", "is_volume_confirmed", "level_above",
    "level_below", "level_above_touches", "level_below_touches",
)  # fmt: skip
PRICES = {"open": "O", "high": "H", "low": "L", "close": "C", "volume": "V", "flow": "D"}
BAR = ("ret", "z_ret_abs", "z_vol", "oi_roc", "z_oi_roc")


def value_of(value: Any) -> Any:
    return None if value == NULL or value != value else value


def plain(row: np.void, names: tuple[str, ...]) -> Row:
    return {name: value_of(row[name].item()) for name in names}


def seen(view: View, minutes: int = RECENT) -> Seen:
    """The newest `minutes` of it. Symbols and sectors go by their numbers, which are in the order of the names."""
    everyone = sorted({*view.members.tolist(), *view.peers.tolist()})
    rows: dict[Any, dict[int, Row]] = {symbol: _minutes(view, symbol, minutes) for symbol in view.members.tolist()}
    bars: dict[Any, dict[int, Row]] = {
        symbol: {
            15 * int(bar) + 14: plain(view.bars_15m[place, symbol], BAR)
            for place, bar in enumerate(view.bars_15m_held[:, symbol].tolist())
            if bar >= 0
        }
        for symbol in everyone
    }
    known = (view.minute - np.arange(1, len(view.markets))).tolist()
    markets = {
        minute: _market(view.markets[minute % len(view.markets)])
        for minute in known
        if view.markets_held[minute % len(view.markets)] == minute
    }
    markets[view.minute] = _market(view.market[0])
    sectors = {symbol: int(view.sectors[symbol]) for symbol in everyone if view.sectors[symbol] >= 0}
    return Seen(view.minute, rows, markets, bars, view.peers.tolist(), sectors)


def _minutes(view: View, symbol: int, count: int) -> dict[int, Row]:
    t = view.minute
    names = view.rows.dtype.names or ()
    made = {t: plain(view.rows[symbol], names)}
    minutes = np.arange(t - count + 1, t + 1)
    inputs = {said: view.inputs[symbol, INPUTS.index(name), minutes % RECENT].tolist() for name, said in PRICES.items()}
    status = view.inputs[symbol, INPUTS.index("status"), minutes % RECENT].tolist()
    held = view.held[minutes % len(view.held), symbol] == minutes
    columns = {name: view.history[name][minutes % len(view.held), symbol].tolist() for name in BEFORE}
    for place, minute in enumerate(minutes.tolist()):
        row = made.setdefault(minute, {})
        if held[place] and minute < t:
            row |= {name: value_of(values[place]) for name, values in columns.items()}
        if status[place] == status[place]:
            row |= {said: value_of(values[place]) for said, values in inputs.items()}
            row["status"] = Status(int(status[place])).name.lower()
    return {minute: row for minute, row in made.items() if row}


def _market(row: np.void) -> Row:
    found = plain(row, tuple(name for name in row.dtype.names or () if name not in LENGTHS))
    return {
        name: MARKET_CODES[name](value).name.lower() if name in MARKET_CODES and value is not None else value
        for name, value in found.items()
    }


def problems(ours: np.void, theirs: Found) -> list[str]:
    """Fields in which a finding differs from the oracle's, reals beyond 1e-12 of it."""
    if theirs.measure is None:
        return [] if math.isnan(ours["measure"]) else [f"measure {ours['measure']} is to be null"]
    wrong = []
    for name in ("measure", "primary", "secondary"):
        mine, other = value_of(ours[name].item()), getattr(theirs, name)
        same = mine == other if mine is None or other is None else abs(mine - other) <= 1e-12 * abs(other)
        wrong += [] if same else [f"{name} {mine} is to be {other}"]
    for name in ("is_met", "is_allowed", "direction"):
        mine, other = int(ours[name]), int(getattr(theirs, name))
        wrong += [] if mine == other else [f"{name} {mine} is to be {other}"]
    return wrong
