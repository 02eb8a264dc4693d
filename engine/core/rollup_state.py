"""What is remembered of the bars of longer timeframes, allocated once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.baseline import BASELINE, SEED_VALUES
from engine.core.layouts import layout
from engine.core.rings import RowRing
from engine.core.rollup_columns import BAR_BASELINES, ROLLUP, TIMEFRAMES

BAR_AVERAGES = layout("averages of bars", """
    block             newest bar that was taken; -1: none
    changes           bars since the averages began, less one
    ~high             of the newest bar
    ~low              likewise
    ~close            likewise
    ~gain             Wilder's mean of rises of the close; until there are 14 their sum, as all below
    ~loss             of falls
    ~range            of the true range
    ~up               of upward movement
    ~down             of downward movement
    ~direction        of the directional index
""")  # fmt: skip


class Frame(NamedTuple):
    """One timeframe. ring: its bars, which are counted by block as rows are by minute.

    baselines: BASELINE (symbols, what is normalised); seeds: (symbols, what is normalised, 200) float64;
    averages: BAR_AVERAGES (symbols,).
    """

    name: str
    minutes: int
    ring: RowRing
    baselines: np.ndarray
    seeds: np.ndarray
    averages: np.ndarray


class Rollups(NamedTuple):
    """draft, mids, returns: (symbols,), what a bar is made in; they hold nothing between two records."""

    draft: np.ndarray  # ROLLUP
    mids: np.ndarray  # int64
    returns: np.ndarray  # int64
    frames: tuple[Frame, ...]


def make_frame(name: str, minutes: int, symbols: int, bars: int) -> Frame:
    """A timeframe whose newest `bars` are remembered."""
    baselines, averages = np.zeros((symbols, len(BAR_BASELINES)), BASELINE), np.zeros(symbols, BAR_AVERAGES)
    baselines["minute"] = averages["block"] = -1
    baselines["waiting"] = np.nan
    seeds = np.zeros((symbols, len(BAR_BASELINES), SEED_VALUES))
    return Frame(name, minutes, RowRing(ROLLUP, symbols, bars), baselines, seeds, averages)


def make_rollups(limits: Any) -> Rollups:
    """limits: config.schema.Limits. A timeframe whose block and the minute before do not fit the ring is left out."""
    symbols, minutes = limits.symbols_max, limits.history_minutes
    return Rollups(
        draft=np.zeros(symbols, ROLLUP),
        mids=np.zeros(symbols, np.int64),
        returns=np.zeros(symbols, np.int64),
        frames=tuple(
            make_frame(name, length, symbols, 1 << (minutes // length + 1).bit_length())
            for name, length in TIMEFRAMES
            if length < minutes
        ),
    )
