"""The feature stage: a row's columns from itself, the ring of inputs and the state through the minute before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.core.state import EngineState
from engine.features import (
    baselines,
    candles,
    flags,
    flow,
    levels,
    microstructure,
    oscillators,
    positioning,
    price,
    residuals,
    trend,
    windows,
)
from engine.features.inputs import OWN_FIELDS, OWN_NULLS, UNITS, blank, forget, observe

Family = Callable[[EngineState, np.ndarray, int], None]
FAMILIES: tuple[Family, ...] = (
    price.compute,
    flow.compute,
    positioning.compute,
    microstructure.compute,
    trend.compute,
    oscillators.compute,
    levels.compute,
    candles.compute,
    windows.compute,
    baselines.compute,
    residuals.compute,
    flags.compute,
)  # read downwards: later ones read columns of earlier ones


def compute(state: EngineState, members: np.ndarray, minute: int, oi_stale_ms: int) -> None:
    """Write the columns of the stage into the rows of `minute`: at its first close, or again for a revision in grace.

    members: symbols whose newest minute this is or becomes.
    """
    rows, own = state.bars.rows, state.features
    blank(members, rows.view(np.int64).reshape(len(rows), -1), OWN_FIELDS, OWN_NULLS)
    observe(members, minute, oi_stale_ms, UNITS, rows, state.tape.symbols, own.newest, own.turn, own.ring)
    for family in FAMILIES:
        family(state, members, minute)


def relearn(state: EngineState, members: np.ndarray, minute: int, oi_stale_ms: int) -> None:
    """The status of a minute whose values are final has changed: what it taught changes, its columns do not."""
    newest = members[state.features.newest[members] == minute]
    kept = state.bars.rows[members]
    compute(state, newest, minute, oi_stale_ms)
    state.bars.rows[members] = kept
    older = members[state.features.newest[members] > minute]
    forget(older, minute, state.bars.rows, state.features.newest, state.features.ring)


def settle(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Upkeep at the end of grace of the minute after `minute`: fold its final rows into the long windows and fits.

    members: every symbol of the venue, by name.
    """
    windows.settle(state, members, minute)
    residuals.settle(state, members, minute)
