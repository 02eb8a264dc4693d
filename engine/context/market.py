"""Who counts, who leads, what the middle of the market does."""

from __future__ import annotations

import numpy as np

from engine.context.ranking import collect, deviation_of, mean_of, median_of, sort_places
from engine.context.roster import BTC, ETH
from engine.core.kernel import inlined, kernel
from engine.core.market import ELIGIBLE_MIN, LISTED, Exclusion
from engine.core.market_state import (
    FUNDING_S,
    LEAD,
    RETURN_5,
    REVISION,
    RV,
    SCORE,
    SEEN_LOG_RETURN,
    SHOCK,
    SPREAD_BP,
    VOLUME_5,
    VOLUME_60,
    Z_VOL,
)
from engine.core.schema import NULL, Status

OK, PARTIAL = int(Status.OK), int(Status.PARTIAL)
ELIGIBLE, NOT_IN_UNIVERSE, IS_OUTLIER, IS_STALE, IS_PARTIAL, IS_WARMING_UP, IS_ILLIQUID = (int(e) for e in Exclusion)
LEAD_MIN = 1e-9


@kernel
def elect(order, minute, seen, seen_minutes, excluded, chosen, row):
    """Count the symbols that have a row of `minute`, and why some are left out; choose the rest. Returns how many."""
    row.symbol_count = row.excluded_universe = row.excluded_outlier = row.excluded_stale = 0
    row.excluded_partial = row.excluded_warming_up = row.excluded_illiquid = row.universe_rev = 0
    count, measured, volume = 0, 0, 0.0
    for i in range(order.shape[0]):
        s = order[i]
        if seen_minutes[s] != minute:
            continue
        why = excluded[s]
        row.symbol_count += 1
        row.excluded_universe += why == NOT_IN_UNIVERSE
        row.excluded_outlier += why == IS_OUTLIER
        row.excluded_stale += why == IS_STALE
        row.excluded_partial += why == IS_PARTIAL
        row.excluded_warming_up += why == IS_WARMING_UP
        row.excluded_illiquid += why == IS_ILLIQUID
        row.universe_rev = max(row.universe_rev, int(seen[s, REVISION]))
        if why == ELIGIBLE:
            chosen[count] = s
            count += 1
        if why != NOT_IN_UNIVERSE and seen[s, VOLUME_60] == seen[s, VOLUME_60]:
            volume += seen[s, VOLUME_60]
            measured += 1
    row.eligible_count = count
    row.excluded_count = row.symbol_count - count
    row.dq_status = OK if count >= ELIGIBLE_MIN else PARTIAL
    row.market_volume_h_1 = volume if measured >= ELIGIBLE_MIN else np.nan
    return count


@inlined
def list_strongest(chosen, seen, values, places, row):
    """rs_top and rs_bottom; leaves the ranking, strongest first, in `places`."""
    count = chosen.shape[0]
    for i in range(count):
        values[i] = seen[chosen[i], SCORE]
    sort_places(values, count, places)
    for i in range(LISTED):
        row.rs_bottom[i] = chosen[places[i]] if i < count else NULL
    for i in range(count):
        values[i] = -values[i]
    sort_places(values, count, places)
    for i in range(LISTED):
        row.rs_top[i] = chosen[places[i]] if i < count else NULL


@inlined
def place_of(major, chosen, majors, seen):
    """Place of BTC or ETH among the chosen, of several the one with the largest volume_m_5; -1: none."""
    best = -1
    for i in range(chosen.shape[0]):
        if majors[chosen[i]] == major and (best < 0 or seen[chosen[i], VOLUME_5] > seen[chosen[best], VOLUME_5]):
            best = i
    return best


@inlined
def leader_of(chosen, majors, seen, places):
    """Place of the leader among the chosen; -1: none. `places`: the ranking, strongest first."""
    tenth = (chosen.shape[0] + 9) // 10
    btc, eth = place_of(BTC, chosen, majors, seen), place_of(ETH, chosen, majors, seen)
    best, most = -1, -1.0
    for i in range(tenth + 2):
        place = places[i] if i < tenth else (btc if i == tenth else eth)
        if place < 0:
            continue
        found = seen[chosen[place], LEAD]
        if found > most or (found == most and place < best):
            best, most = place, found
    return best if most >= LEAD_MIN else btc


@kernel
def find_leader(chosen, majors, seen, values, places, row):
    """rs_top, rs_bottom, leader, lead_score, dominance_share."""
    list_strongest(chosen, seen, values, places, row)
    place = leader_of(chosen, majors, seen, places)
    row.leader, row.lead_score, row.dominance_share = NULL, np.nan, np.nan
    if place < 0:
        return
    row.leader, row.lead_score = chosen[place], seen[chosen[place], LEAD]
    total = 0.0
    for i in range(chosen.shape[0]):
        total += seen[chosen[i], VOLUME_5]
    if total > 0.0:
        row.dominance_share = seen[chosen[place], VOLUME_5] / total


@kernel
def find_middle(chosen, seen, values, places, row):
    """Shocks, medians, dispersions, and the nearest funding."""
    shocks, nearest = 0, np.inf
    for i in range(chosen.shape[0]):
        shocks += seen[chosen[i], SHOCK] == 1.0
        if seen[chosen[i], FUNDING_S] < nearest:
            nearest = seen[chosen[i], FUNDING_S]
    row.shock_count = shocks
    row.min_time_to_next_funding_s = nearest if nearest < np.inf else np.nan
    row.shock_share = float(row.shock_count) / float(chosen.shape[0]) if chosen.shape[0] > 0 else np.nan
    row.market_return_m_1 = median_of(values, collect(SEEN_LOG_RETURN, chosen, seen, values), places)
    row.market_rv_h_1 = median_of(values, collect(RV, chosen, seen, values), places)
    row.market_spread_bp = median_of(values, collect(SPREAD_BP, chosen, seen, values), places)
    row.return_dispersion_m_5 = deviation_of(values, collect(RETURN_5, chosen, seen, values))
    count = collect(Z_VOL, chosen, seen, values)
    row.vol_dispersion_m_5 = deviation_of(values, count)
    row.z_vol_mean = mean_of(values, count)
