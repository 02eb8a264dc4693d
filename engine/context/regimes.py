"""What sort of market it is: its volatility, liquidity and trend in classes, all in all, and how sure that is."""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.market import Liquidity, Market, Session, Trend, Untold, Volatility
from engine.core.market_state import ADX, SAMPLED_MINUTES, SLOPE, WINDOW_RV, WINDOW_SPREAD, WINDOW_VOLUME
from engine.core.schema import NULL
from engine.core.sorted_window import fold, rank

LOW, MIDDLE, HIGH, EXTREME = (int(code) for code in Volatility)  # the codes of Liquidity are the same
assert [int(code) for code in Liquidity] == [LOW, MIDDLE, HIGH, EXTREME]
SIDEWAYS, UP, DOWN = int(Trend.SIDEWAYS), int(Trend.UP), int(Trend.DOWN)
NORMAL, TRENDING, VOLATILE = int(Market.NORMAL), int(Market.TRENDING), int(Market.VOLATILE)
ASIA, EUROPE, OVERLAP, US = (int(code) for code in Session)
TOLD, FEW_SYMBOLS, FEW_MINUTES, NO_LEADER, NO_INPUT = (int(code) for code in Untold)
VALUES_MIN = 288  # of a window: a day
ADX_OF_A_TREND, ADX_OF_A_TRENDING_MARKET = 20.0, 25.0


@inlined
def class_of(percentile):
    """low, middle, high or extreme."""
    if percentile < 20.0:
        return LOW
    if percentile < 80.0:
        return MIDDLE
    return HIGH if percentile <= 95.0 else EXTREME


@inlined
def depth_of(percentile):
    """How deep in its class a percentile lies: 0 at a bound to another class, 1 as far from one as can be."""
    if percentile < 20.0:
        return (20.0 - percentile) / 20.0
    if percentile < 80.0:
        return min(percentile - 20.0, 80.0 - percentile) / 30.0
    if percentile <= 95.0:
        return min(percentile - 80.0, 95.0 - percentile) / 7.5
    return (percentile - 95.0) / 5.0


@inlined
def judge_volatility(row, counts, ordered):
    row.volatility_percentile = row.volatility_confidence = np.nan
    row.volatility_regime, row.volatility_reason = NULL, TOLD
    if row.market_rv_h_1 != row.market_rv_h_1:
        row.volatility_reason = FEW_SYMBOLS
    elif counts[WINDOW_RV] < VALUES_MIN:
        row.volatility_reason = FEW_MINUTES
    else:
        percentile = 100.0 * rank(row.market_rv_h_1, counts[WINDOW_RV], ordered[WINDOW_RV])
        row.volatility_percentile = percentile
        row.volatility_regime, row.volatility_confidence = class_of(percentile), depth_of(percentile)


@inlined
def judge_liquidity(row, counts, ordered):
    row.liquidity_percentile = row.liquidity_confidence = np.nan
    row.liquidity_regime, row.liquidity_reason = NULL, TOLD
    if row.market_volume_h_1 != row.market_volume_h_1 or row.market_spread_bp != row.market_spread_bp:
        row.liquidity_reason = FEW_SYMBOLS
    elif counts[WINDOW_VOLUME] < VALUES_MIN or counts[WINDOW_SPREAD] < VALUES_MIN:
        row.liquidity_reason = FEW_MINUTES
    else:
        volume = 100.0 * rank(row.market_volume_h_1, counts[WINDOW_VOLUME], ordered[WINDOW_VOLUME])
        spread = 100.0 * rank(row.market_spread_bp, counts[WINDOW_SPREAD], ordered[WINDOW_SPREAD])
        percentile = (volume + (100.0 - spread)) / 2.0
        row.liquidity_percentile = percentile
        row.liquidity_regime, row.liquidity_confidence = class_of(percentile), depth_of(percentile)


@inlined
def direction(slope, adx):
    """up, down or sideways, of inputs that are not null."""
    if adx <= ADX_OF_A_TREND or slope == 0.0:
        return SIDEWAYS
    return UP if slope > 0.0 else DOWN


@inlined
def has_trend(seen):
    """Whether both inputs of a symbol's trend are there."""
    return seen[SLOPE] == seen[SLOPE] and seen[ADX] == seen[ADX]


@inlined
def judge_trend(chosen, seen, row):
    row.trend_regime, row.trend_confidence, row.trend_reason = NULL, np.nan, TOLD
    if row.leader == NULL:
        row.trend_reason = NO_LEADER
        return
    if not has_trend(seen[row.leader]):
        row.trend_reason = NO_INPUT
        return
    row.trend_regime = direction(seen[row.leader, SLOPE], seen[row.leader, ADX])
    all_of_them, alike = 0, 0
    for i in range(chosen.shape[0]):
        own = seen[chosen[i]]
        if has_trend(own):
            all_of_them += 1
            alike += direction(own[SLOPE], own[ADX]) == row.trend_regime
    row.trend_confidence = float(alike) / float(all_of_them)


@inlined
def judge_market(seen, row):
    row.market_regime, row.market_confidence = NULL, np.nan
    row.market_reason = row.volatility_reason if row.volatility_reason != TOLD else row.trend_reason
    if row.market_reason != TOLD:
        return
    if row.volatility_regime >= HIGH:
        row.market_regime, row.market_confidence = VOLATILE, (row.volatility_percentile - 80.0) / 20.0
    elif row.trend_regime != SIDEWAYS and seen[row.leader, ADX] > ADX_OF_A_TRENDING_MARKET:
        row.market_regime, row.market_confidence = TRENDING, row.trend_confidence
    else:
        row.market_regime, row.market_confidence = NORMAL, (80.0 - row.volatility_percentile) / 80.0


@inlined
def session_of(minute):
    """Whose hours the minute opens in."""
    hour = minute % 1440 // 60
    if hour < 7:
        return ASIA
    if hour < 13:
        return EUROPE
    return OVERLAP if hour < 16 else US


@kernel
def judge_regimes(chosen, minute, seen, counts, ordered, row):
    """Every regime of the market row. counts, ordered: the windows of the venue."""
    judge_volatility(row, counts, ordered)
    judge_liquidity(row, counts, ordered)
    judge_trend(chosen, seen, row)
    judge_market(seen, row)
    row.session = session_of(minute)


@inlined
def take(value, window, counts, arrivals, ordered):
    """One more value of a window, if there is one."""
    if value == value:
        fold(value, counts[window], arrivals[window], ordered[window])
        counts[window] += 1


@kernel
def learn_levels(minute, row, counts, arrivals, ordered):
    """Fold a final minute into the windows of 30 days, if its label is one of those that are sampled."""
    if (minute + 1) % SAMPLED_MINUTES == 0:
        take(row.market_rv_h_1, WINDOW_RV, counts, arrivals, ordered)
        take(row.market_volume_h_1, WINDOW_VOLUME, counts, arrivals, ordered)
        take(row.market_spread_bp, WINDOW_SPREAD, counts, arrivals, ordered)
