"""What a row is to the market: its strength, whether it counts, and what the market reads of it."""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import CLOSE, LOG_RETURN, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.market import Exclusion
from engine.core.market_state import (
    ABOVE_50,
    ABOVE_200,
    ADX,
    FUNDING_RATE,
    FUNDING_S,
    LEAD,
    NEW_HIGH_LOW,
    RETURN_1,
    RETURN_5,
    REVISION,
    RV,
    SCORE,
    SEEN_LOG_RETURN,
    SHARE_MINUTES,
    SHOCK,
    SLOPE,
    SPREAD_BP,
    VOLUME_5,
    VOLUME_60,
    VOLUME_SUM_60,
    Z_VOL,
)
from engine.core.schema import NULL, Reason, Status

OK, STALE, OUTLIER = int(Status.OK), int(Status.STALE), int(Reason.RETURN_OUTLIER)
ELIGIBLE, NOT_IN_UNIVERSE, IS_OUTLIER, IS_STALE, IS_PARTIAL, IS_WARMING_UP, IS_ILLIQUID = (int(e) for e in Exclusion)
HOUR_MINUTES, HOUR_MINUTES_MIN = 60, 42
INTEREST_Z_MAX = 3.0


@inlined
def sign(x):
    """1, -1 or 0; 0 for null."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)


@inlined
def exclusion(row):
    """The first reason why a row does not count."""
    if row.universe_rev > 0 and row.is_in_universe == 0 and row.is_hot == 0:
        return NOT_IN_UNIVERSE
    if row.dq_reasons & OUTLIER:
        return IS_OUTLIER
    if row.dq_status != OK:
        return IS_STALE if row.dq_status == STALE else IS_PARTIAL
    if row.is_warming_up != 0:
        return IS_WARMING_UP
    return IS_ILLIQUID if row.illiquidity_hit != 0 else ELIGIBLE


@inlined
def relative_strength(row):
    """rs_score_m_5, and whether a term of it is null."""
    score, incomplete = 0.0, 0
    if row.z_ret_abs_m_1 == row.z_ret_abs_m_1 and row.ret_m_5 == row.ret_m_5:
        score += 0.5 * row.z_ret_abs_m_1 * sign(row.ret_m_5)
    else:
        incomplete = 1
    if row.z_vol_m_1 == row.z_vol_m_1:
        score += 0.3 * row.z_vol_m_1
    else:
        incomplete = 1
    if row.z_oi_roc_m_5 == row.z_oi_roc_m_5 and row.oi_roc_m_5 == row.oi_roc_m_5:
        score += 0.2 * sign(row.oi_roc_m_5) * min(abs(row.z_oi_roc_m_5), INTEREST_Z_MAX)
    else:
        incomplete = 1
    return score, incomplete


@inlined
def lead(row):
    """How much of the market's move a symbol makes; 0 where an input is null."""
    if row.ret_m_5 != row.ret_m_5 or row.z_vol_m_1 != row.z_vol_m_1:
        return 0.0
    agreeing = max(0.0, sign(row.ret_m_5) * sign(row.oi_roc_m_5))
    return abs(row.ret_m_5) * max(row.z_vol_m_1, 0.0) * (1.0 + 0.5 * agreeing)


@inlined
def above(price, mean):
    """1 if a price is above a mean, 0 if not; null if either is."""
    if price != price or mean != mean:
        return np.nan
    return 1.0 if price > mean else 0.0


@inlined
def total_volume(volumes, minutes_min):
    """Sum of what is present, oldest first; null with fewer than `minutes_min`."""
    total, present = 0.0, 0
    for i in range(volumes.shape[0]):
        if volumes[i] == volumes[i]:
            total += volumes[i]
            present += 1
    return total if present >= minutes_min else np.nan


@kernel
def gather(members, minute, rows, ring, seen, seen_minutes, excluded):
    """Write the columns of strength into the rows of `minute`, the newest of each member, and note what is read."""
    end = minute % RECENT + RECENT + 1
    for i in range(members.shape[0]):
        s = members[i]
        row, own, mine = rows[s], seen[s], ring[s]
        seen_minutes[s] = minute
        excluded[s] = exclusion(row)
        row.is_eligible = 1 if excluded[s] == ELIGIBLE else 0
        own[:] = np.nan
        own[REVISION] = float(row.universe_rev)
        own[VOLUME_60] = total_volume(mine[VOLUME, end - HOUR_MINUTES : end], HOUR_MINUTES_MIN)
        own[VOLUME_SUM_60] = total_volume(mine[VOLUME, end - HOUR_MINUTES : end], 0)
        own[FUNDING_RATE] = row.funding_rate_hour
        if row.dq_status != OK:
            continue
        row.rs_score_m_5, row.rs_is_incomplete = relative_strength(row)
        own[SCORE] = row.rs_score_m_5
        own[LEAD] = lead(row)
        own[RETURN_1], own[RETURN_5], own[SEEN_LOG_RETURN] = row.ret_m_1, row.ret_m_5, mine[LOG_RETURN, end - 1]
        own[Z_VOL], own[RV], own[SPREAD_BP] = row.z_vol_m_1, row.rv_h_1, row.spread_bp_mean
        own[SLOPE], own[ADX], own[FUNDING_S] = row.hma_100_slope, row.adx_14, row.time_to_next_funding_s
        spikes = row.is_vol_spike_m_1 == 1 or row.is_price_spike_up_m_1 == 1 or row.is_price_spike_down_m_1 == 1
        own[SHOCK] = 1.0 if spikes or row.is_oi_spike_up_m_5 == 1 or row.is_oi_spike_down_m_5 == 1 else 0.0
        own[ABOVE_50] = above(mine[CLOSE, end - 1], row.ma_50)
        own[ABOVE_200] = above(mine[CLOSE, end - 1], row.ma_200)
        if row.is_breakout != NULL and row.is_breakbelow != NULL:
            own[NEW_HIGH_LOW] = float(row.is_breakout - row.is_breakbelow)
        own[VOLUME_5] = total_volume(mine[VOLUME, end - SHARE_MINUTES : end], 1)
