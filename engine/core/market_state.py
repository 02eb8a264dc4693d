"""What the stage `context` remembers of each symbol and of each venue's market, allocated once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.error_scale import ERROR_SCALE
from engine.core.layouts import layout
from engine.core.market import MARKET
from engine.core.ridge import RIDGE, WEIGHTS

MARKET_MINUTES = 256  # market rows of a venue that are remembered; a power of two
CORRELATED_MINUTES = 60
SHARE_MINUTES = 5  # of quote volume, for the share of the leader

# What the market reads of a symbol's row, so that a revision of one symbol reads one row. NaN: null.
SEEN = (
    "score",  # rs_score_m_5
    "lead",
    "return_1", "return_5",  # ret_m_1, ret_m_5
    "log_return",  # r
    "z_vol",
    "rv",  # rv_h_1
    "spread_bp",
    "slope",  # hma_100_slope
    "adx",  # adx_14
    "funding_s",  # time_to_next_funding_s
    "shock",  # 1: a spike flag is 1
    "above_50", "above_200",  # 1: C above the mean of as many minutes
    "new_high_low",  # 1 new high, -1 new low, 0 neither
    "volume_5", "volume_60",  # V over so many minutes
    "revision",  # universe_rev
    "funding_rate",  # funding_rate_hour
    "volume_sum_60",  # as volume_60, where missing minutes add nothing
)  # fmt: skip
(
    SCORE, LEAD, RETURN_1, RETURN_5, SEEN_LOG_RETURN, Z_VOL, RV, SPREAD_BP, SLOPE, ADX, FUNDING_S, SHOCK, ABOVE_50,
    ABOVE_200, NEW_HIGH_LOW, VOLUME_5, VOLUME_60, REVISION,
    FUNDING_RATE, VOLUME_SUM_60,
) = range(len(SEEN))  # fmt: skip

# Windows of 30 days of a venue, a value of each minute whose label is a whole multiple of SAMPLED_MINUTES: they hold
# figures of a whole hour, so that more of them would say the same again.
WINDOWS = ("market_rv_h_1", "market_volume_h_1", "market_spread_bp")
WINDOW_RV, WINDOW_VOLUME, WINDOW_SPREAD = range(len(WINDOWS))
SAMPLED_MINUTES = 5
WINDOW_VALUES = 30 * 1_440 // SAMPLED_MINUTES

MOMENT = layout("moments of a breadth", """
    count             values that taught it
    ~mean             exponential mean
    ~variance         exponential variance
""")  # fmt: skip
BREADTHS = ("breadth_m_1", "share_above_ma_50", "share_above_ma_200", "new_high_low_m_60")


class Markets(NamedTuple):
    """What the stage owns."""

    rows: np.ndarray  # MARKET (venues, MARKET_MINUTES): of minute m at m % MARKET_MINUTES, its newest revision
    minutes: np.ndarray  # (venues, MARKET_MINUTES) int64: whose it is; -1: nobody's
    moments: np.ndarray  # MOMENT (venues, BREADTHS)
    counts: np.ndarray  # (venues, WINDOWS) int64: values that ever came
    arrivals: np.ndarray  # (venues, WINDOWS, WINDOW_VALUES) float32: see sorted_window.py
    ordered: np.ndarray  # the same, sorted
    seen: np.ndarray  # (symbols, SEEN) float64: of each symbol's newest row
    seen_minutes: np.ndarray  # (symbols,) int64: its minute; -1: none
    excluded: np.ndarray  # (symbols,) int64: code of Exclusion
    ridges: np.ndarray  # RIDGE (venues, 2): of returns, of breadth
    breadth_errors: np.ndarray  # ERROR_SCALE (venues, 2)
    breadth_newest: np.ndarray  # (venues,) int64: minute of the newest market row; -1: none
    breadth_turn: np.ndarray  # (venues,) int64, 0 or 1: its place
    exposures: np.ndarray  # (symbols, 2, 6) float64: return, and what is said of it; NaN: null
    exposed_minutes: np.ndarray  # (symbols, 2) int64: whose they are; -1: nobody's
    exposed_newest: np.ndarray  # (symbols,) int64: minute of the newest row; -1: none
    exposed_turn: np.ndarray  # (symbols,) int64, 0 or 1: its place
    errors: np.ndarray  # ERROR_SCALE (symbols, 2)


class MarketRoom(NamedTuple):
    """Memory that holds nothing between two closes."""

    chosen: np.ndarray  # (symbols,) int64: the eligible, by name
    values: np.ndarray  # (symbols,) float64
    places: np.ndarray  # (symbols,) int64
    gram: np.ndarray  # (CORRELATED_MINUTES, CORRELATED_MINUTES) float64
    vectors: np.ndarray  # (4, CORRELATED_MINUTES) float64
    ranks: np.ndarray  # (2, symbols) float64
    observation: np.ndarray  # (WEIGHTS,) float64
    equations: np.ndarray  # (WEIGHTS * (WEIGHTS + 1),) float64


def make_markets(limits: Any) -> Markets:
    """limits: config.schema.Limits."""
    venues, symbols = limits.venues_max, limits.symbols_max
    return Markets(
        rows=np.zeros((venues, MARKET_MINUTES), MARKET),
        minutes=np.full((venues, MARKET_MINUTES), -1, np.int64),
        moments=np.zeros((venues, len(BREADTHS)), MOMENT),
        counts=np.zeros((venues, len(WINDOWS)), np.int64),
        arrivals=np.zeros((venues, len(WINDOWS), WINDOW_VALUES), np.float32),
        ordered=np.zeros((venues, len(WINDOWS), WINDOW_VALUES), np.float32),
        seen=np.full((symbols, len(SEEN)), np.nan),
        seen_minutes=np.full(symbols, -1, np.int64),
        excluded=np.zeros(symbols, np.int64),
        ridges=np.zeros((venues, 2), RIDGE),
        breadth_errors=np.zeros((venues, 2), ERROR_SCALE),
        breadth_newest=np.full(venues, -1, np.int64),
        breadth_turn=np.zeros(venues, np.int64),
        exposures=np.full((symbols, 2, 6), np.nan),
        exposed_minutes=np.full((symbols, 2), -1, np.int64),
        exposed_newest=np.full(symbols, -1, np.int64),
        exposed_turn=np.zeros(symbols, np.int64),
        errors=np.zeros((symbols, 2), ERROR_SCALE),
    )


def make_market_room(limits: Any) -> MarketRoom:
    """limits: config.schema.Limits."""
    symbols = limits.symbols_max
    return MarketRoom(
        chosen=np.zeros(symbols, np.int64),
        values=np.zeros(symbols),
        places=np.zeros(symbols, np.int64),
        gram=np.zeros((CORRELATED_MINUTES, CORRELATED_MINUTES)),
        vectors=np.zeros((4, CORRELATED_MINUTES)),
        ranks=np.zeros((2, symbols)),
        observation=np.zeros(WEIGHTS),
        equations=np.zeros(WEIGHTS * (WEIGHTS + 1)),
    )
