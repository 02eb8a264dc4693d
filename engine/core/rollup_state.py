"""What is remembered of the bars of longer timeframes, allocated once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.rings import RowRing
from engine.core.rollup_columns import ROLLUP, TIMEFRAMES


class Frame(NamedTuple):
    """One timeframe. ring: its bars, which are counted by block as rows are by minute."""

    name: str
    minutes: int
    ring: RowRing


class Rollups(NamedTuple):
    """draft, mids, returns: (symbols,), what a bar is made in; they hold nothing between two records."""

    draft: np.ndarray  # ROLLUP
    mids: np.ndarray  # int64
    returns: np.ndarray  # int64
    frames: tuple[Frame, ...]


def make_rollups(limits: Any) -> Rollups:
    """limits: config.schema.Limits. A timeframe whose block and the minute before do not fit the ring is left out."""
    symbols, minutes = limits.symbols_max, limits.history_minutes
    return Rollups(
        draft=np.zeros(symbols, ROLLUP),
        mids=np.zeros(symbols, np.int64),
        returns=np.zeros(symbols, np.int64),
        frames=tuple(
            Frame(name, length, RowRing(ROLLUP, symbols, 1 << (minutes // length + 1).bit_length()))
            for name, length in TIMEFRAMES
            if length < minutes
        ),
    )
