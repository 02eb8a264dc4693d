"""The oracle's minutes through windows, baselines and flags alone: what other families write is given by the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.core.layouts import SET_HOUR_FACTORS
from engine.core.schema import ROW
from engine.core.state import EngineState
from engine.features import baselines, flags, windows
from engine.features.inputs import OWN_FIELDS, OWN_NULLS, UNITS, blank, observe
from tests.engine.features.rows import OI_STALE_MS, SYMBOL, a_state, columns, put
from tests.oracles.features import Columns, Minute

FAMILIES = (windows, baselines, flags)


def to_rows(minutes: Sequence[Minute], given: Sequence[Columns], hour_factors: bool = False) -> list[Columns]:
    """The engine's columns of each Minute, at its close. given: columns of other families, one dict a Minute."""
    state = a_state(minutes)
    state.tape.settings[SET_HOUR_FACTORS] = hour_factors
    rows = np.zeros(len(minutes), ROW)
    for n, (minute, told) in enumerate(zip(minutes, given, strict=True)):
        close(state, minute, told)
        rows[n] = state.bars.rows[0]
        for t in range(minute.minute, minutes[n + 1].minute if n + 1 < len(minutes) else minute.minute + 1):
            windows.settle(state, SYMBOL, t - 1)  # at the end of grace of t, whether the symbol has a row then or not
    return columns(rows)


def close(state: EngineState, minute: Minute, told: Columns) -> None:
    """A minute as the stage closes it, or closes it again; its row is remembered."""
    rows, own = state.bars.rows, state.features
    put(state, minute)
    blank(SYMBOL, rows.view(np.int64).reshape(len(rows), -1), OWN_FIELDS, OWN_NULLS)
    observe(SYMBOL, minute.minute, OI_STALE_MS, UNITS, rows, state.tape.symbols, own.newest, own.turn, own.ring)
    if minute.status != "stale":
        give(rows[0], told)
    for family in FAMILIES:
        family.compute(state, SYMBOL, minute.minute)
    state.remember(minute.minute, SYMBOL, rows[:1])


def give(row: Any, told: Columns) -> None:
    """Write what is not null into the columns that the row has by these names."""
    for name, value in told.items():
        if value is not None and name in (ROW.names or ()):
            row[name] = value
