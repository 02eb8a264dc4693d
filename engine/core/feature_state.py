"""What the stage `features` remembers of each symbol, allocated once. The first axis is the symbol.

Recursive values stand twice: `turn` says which of the two places belongs to the newest minute. Row t is computed from
the other place, which holds the state through t-1, into this one; so a revision of t can be computed again, and the
close of t+1 only turns the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.baseline import BASELINE, SEED_VALUES
from engine.core.error_scale import ERROR_SCALE
from engine.core.feature_columns import BASELINES
from engine.core.layouts import GRID_POINTS, layout
from engine.core.ridge import RIDGE, WEIGHTS

RECENT = 256  # minutes of inputs that are remembered; a power of two
RESTART_MINUTES = 60  # a recursion that saw no usable minute for longer begins anew

# Columns of the ring. What a row does not have is NaN, and so is everything of a minute that is not usable.
INPUTS = (
    "status",  # code of Status; NaN: no row
    "open", "high", "low", "close",
    "mid",  # mid_close
    "log_return",  # r_t: ln m_t - ln m_(t-1)
    "volume",  # V, quote
    "flow",  # D: taker buys - taker sells, quote
    "interest",  # oi
    "basis",  # basis_bp
    "liquidations",  # liquidation_count
    "liquidation_quote",  # liquidated quantity * m
    "hma_raw", "hma", "stoch_k",  # columns of the row whose own past is looked at again
)  # fmt: skip
(
    STATUS, OPEN, HIGH, LOW, CLOSE, MID, LOG_RETURN, VOLUME, FLOW, INTEREST, BASIS, LIQUIDATIONS, LIQUIDATION_QUOTE,
    HMA_RAW, HMA, STOCH_K,
) = range(len(INPUTS))  # fmt: skip

SWINGS = 160  # swing highs and lows of 240 minutes: two of a kind are at least 3 minutes apart

TREND_STATE = layout("trend", """
    minute            newest usable minute with a close; -1: none
    ranges            true ranges since the recursion began
    ~high             of that minute
    ~low              of that minute
    ~close            of that minute
    ~range[2]         Wilder's mean of the true range, over 14 and 21; a sum until there are as many
    ~up[2]            of the movement upwards
    ~down[2]          of the movement downwards
    ~direction[2]     of the directional index
""")  # fmt: skip

OSCILLATOR_STATE = layout("oscillators", """
    minute            newest usable minute with a close; -1: none
    closes            closes since the recursion began
    ~close            of that minute
    ~gain[3]          Wilder's mean of gains, over 14, 21 and 50; a sum until there are as many
    ~loss[3]          of losses
    ~fast             mean that remembers, over 12; a sum until there are as many
    ~slow             over 26
    ~signal           over 9, of their differences
""")  # fmt: skip

LEVEL_STATE = layout("levels", f"""
    minute            newest usable minute with a close; -1: none
    ~width            atr_14 of that minute; NaN: none
    ~nearest          level of that minute that is nearest to its close; NaN: none
    nearest_touches   its swing prices
    high_minute       newest swing high
    low_minute        newest swing low
    ~high             price of the newest swing high
    ~low              price of the newest swing low
    swings            swings kept: those younger than 240 minutes, highs and lows
    ~swing_price[{SWINGS}] ascending
    swing_minute[{SWINGS}] where they are
    period[2]         day and week of the newest usable minute; day 0 is 1970-01-01, week 0 its ISO week
    minutes[2]        usable minutes of that day and week so far
    ~highest[2]       their largest high
    ~lowest[2]        their smallest low
    ~prior_highest[2] of the day and the week before; NaN: too few minutes
    ~prior_lowest[2]  of the day and the week before
""")  # fmt: skip

HOURS, WEEKDAYS = 24, 7

KALMAN = layout("local trend", """
    minute            minute of its newest step; -1: none
    ~level            of ln mid, after the step
    ~slope            per minute, after the step
    ~p00              covariance of the state
    ~p01              likewise
    ~p11              likewise
""")  # fmt: skip

LEADER = layout("what leads a symbol", """
    peer              index of the symbol; -1: none
    ~weights[6]       of 1 and of its log returns 1 to 5 minutes before
""")  # fmt: skip

SEASON = layout("seasonal volume", f"""
    values            values that were learned
    fitted            1: there is a copy to predict from
    ~mean             of ln(1 + V)
    hour_values[{HOURS}]    values of each hour of the day
    ~hour_effect[{HOURS}]   their mean distance from the mean
    day_values[{WEEKDAYS}]     values of each day of the week, Monday first
    ~day_effect[{WEEKDAYS}]    their mean distance from mean and hour
    ~fitted_mean      the copy, taken at a full hour, effects shrunk
    ~fitted_hour[{HOURS}]   likewise
    ~fitted_day[{WEEKDAYS}]    likewise
""")  # fmt: skip

# The estimators whose errors are judged, and their places in Features.errors.
KALMAN_ERROR, ORDER_FLOW_ERROR, BASIS_CARRY_ERROR, LEAD_LAG_ERROR, SEASONALITY_ERROR = range(5)
ORDER_FLOW, BASIS_CARRY = range(2)  # places in Features.ridges

BUCKETS = 50  # of equal volume, whose imbalance vpin is the mean of

FLOW_STATE = layout("flow", f"""
    day               UTC day of the newest usable minute; 1970-01-01 is 0
    hour              its hour, counted from there
    ~level            sum of D of that day
    ~traded_quote     sum of vwap * B of that day
    ~traded_base      sum of B over the minutes with a trade
    ~bucket_size      quote volume of a bucket; 0: there are none yet
    ~bought           in the running bucket
    ~sold             in the running bucket
    buckets           full ones so far
    ~vpin             mean of the newest 50; NaN: fewer
    ~imbalances[{BUCKETS}]   of the newest full ones, the n-th at n % {BUCKETS}
""")  # fmt: skip


BASELINE_COUNT = len(BASELINES)

HOUR_FACTORS = layout("hour factors", f"""
    minute            newest minute they were asked about; -1: none
    ~waiting          value of that minute, if it is ok: learned at the next close; NaN: none
    values[{HOURS}]        values that each hour of the day was taught by
    ~sum[{HOURS}]          of their distance from the location before them
""")  # fmt: skip

# Long windows: what they hold and how many of the newest values. They lie one behind the other in a symbol's row.
DAY, WEEK = 1_440, 10_080
LONG_WINDOWS = (
    ("vol", DAY), ("ret_abs", DAY), ("oi_roc", DAY), ("rv", DAY), ("volume", WEEK), ("spread", WEEK), ("atr", WEEK),
)  # fmt: skip
LONG_VOL, LONG_RET_ABS, LONG_OI_ROC, LONG_RV, LONG_VOLUME, LONG_SPREAD, LONG_ATR = range(len(LONG_WINDOWS))
LONG_SIZES = tuple(size for _, size in LONG_WINDOWS)
LONG_STARTS = tuple(int(start) for start in np.cumsum((0, *LONG_SIZES)))


class Features(NamedTuple):
    """What the stage owns."""

    ring: np.ndarray  # (symbols, INPUTS, 2 * RECENT) float64: minute m stands at m % RECENT and RECENT further on
    newest: np.ndarray  # (symbols,) int64: newest minute of the ring; -1: none
    turn: np.ndarray  # (symbols,) int64, 0 or 1: the place of the newest minute's state
    trend: np.ndarray  # TREND_STATE (symbols, 2)
    oscillators: np.ndarray  # OSCILLATOR_STATE (symbols, 2)
    levels: np.ndarray  # LEVEL_STATE (symbols, 2)
    kalman: np.ndarray  # KALMAN (symbols, 2)
    errors: np.ndarray  # ERROR_SCALE (symbols, 2, estimators)
    ridges: np.ndarray  # RIDGE (symbols, models)
    leaders: np.ndarray  # LEADER (symbols,)
    seasons: np.ndarray  # SEASON (symbols,)
    leader_model: np.ndarray  # RIDGE (1,): room of a fit; holds nothing between two closes, as the three below
    path_logs: np.ndarray  # (GRID_POINTS + 1,) float64: room for a minute's mids; holds nothing between two closes
    observation: np.ndarray  # (WEIGHTS,) float64: room for one observation; holds nothing between two closes
    equations: np.ndarray  # (WEIGHTS * (WEIGHTS + 1),) float64: room of a fit
    flow: np.ndarray  # FLOW_STATE (symbols, 2)
    long_values: np.ndarray  # (symbols, LONG_STARTS[-1]) float32: long windows, in order of arrival
    long_sorted: np.ndarray  # the same values, each window ascending
    long_counts: np.ndarray  # (symbols, LONG_WINDOWS) int64: values that ever came
    baselines: np.ndarray  # BASELINE (symbols, BASELINES)
    seeds: np.ndarray  # (symbols, BASELINES, SEED_VALUES) float64: first values of each, ascending
    hours: np.ndarray  # HOUR_FACTORS (symbols, BASELINES)


def make_features(limits: Any) -> Features:
    """limits: config.schema.Limits."""
    symbols = limits.symbols_max
    trend, oscillators, levels = (
        np.zeros((symbols, 2), layout) for layout in (TREND_STATE, OSCILLATOR_STATE, LEVEL_STATE)
    )
    for array in (trend, oscillators, levels):
        array["minute"] = -1
    levels["high_minute"] = levels["low_minute"] = levels["period"] = -1
    kalman, leaders = np.zeros((symbols, 2), KALMAN), np.zeros(symbols, LEADER)
    kalman["minute"] = leaders["peer"] = -1
    flow = np.zeros((symbols, 2), FLOW_STATE)
    flow["day"] = flow["hour"] = -1
    flow["vpin"] = np.nan
    baselines = np.zeros((symbols, BASELINE_COUNT), BASELINE)
    hours = np.zeros((symbols, BASELINE_COUNT), HOUR_FACTORS)
    for waits in (baselines, hours):
        waits["minute"], waits["waiting"] = -1, np.nan
    return Features(
        ring=np.full((symbols, len(INPUTS), 2 * RECENT), np.nan),
        newest=np.full(symbols, -1, np.int64),
        turn=np.zeros(symbols, np.int64),
        trend=trend,
        oscillators=oscillators,
        levels=levels,
        kalman=kalman,
        errors=np.zeros((symbols, 2, SEASONALITY_ERROR + 1), ERROR_SCALE),
        ridges=np.zeros((symbols, BASIS_CARRY + 1), RIDGE),
        leaders=leaders,
        seasons=np.zeros(symbols, SEASON),
        leader_model=np.zeros(1, RIDGE),
        path_logs=np.zeros(GRID_POINTS + 1),
        observation=np.zeros(WEIGHTS),
        equations=np.zeros(WEIGHTS * (WEIGHTS + 1)),
        flow=flow,
        long_values=np.zeros((symbols, LONG_STARTS[-1]), np.float32),
        long_sorted=np.zeros((symbols, LONG_STARTS[-1]), np.float32),
        long_counts=np.zeros((symbols, len(LONG_WINDOWS)), np.int64),
        baselines=baselines,
        seeds=np.zeros((symbols, BASELINE_COUNT, SEED_VALUES)),
        hours=hours,
    )
