"""Cheap flags of a minute, and the guards that silence them: warm-up and illiquidity."""

from __future__ import annotations

import numpy as np

from engine.core.baseline import SEED_VALUES
from engine.core.feature_columns import BASELINES
from engine.core.feature_state import FLOW, LONG_SPREAD, LONG_VOLUME, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, Status
from engine.core.state import EngineState
from engine.features.baselines import flow_of_5, signed_root
from engine.features.windows import median_of

OK, STALE = int(Status.OK), int(Status.STALE)
BASELINE_NAMES = tuple(name for name, *_ in BASELINES)
VOL, RET_ABS = BASELINE_NAMES.index("vol"), BASELINE_NAMES.index("ret_abs")

VOLUME_MIN = 10_000.0  # quote; a quieter minute is illiquid whatever is usual
VOLUME_SHARE = 0.005  # of the week's median
SPREAD_TIMES = 15.0  # the week's median
MEDIAN_VALUES_MIN = 200
NEAR = 0.1  # how far from a bound a minute is nearly illiquid

VOLUME_SIGMA, TRADES_MIN = 3.0, 5
PRICE_SIGMA = 2.5
INTEREST_SIGMA, INTEREST_MOVE = 2.0, 0.015
SPREAD_SIGMA = 2.0
LIQUIDATIONS_MIN = 3
DIVERGENCE_MOVE, DIVERGENCE_SIGMA = 0.003, 2.0


@inlined
def raised(is_null, is_liquid, holds):
    """A flag: null if an input is, 0 in an illiquid minute."""
    return NULL if is_null else np.int64(is_liquid and holds)


@kernel
def write_guards(row, volume, ordered, counts):
    """Illiquidity of an `ok` minute, by itself and by its week; both null if volume or spread is."""
    if volume != volume or row.spread_mean != row.spread_mean:
        return
    volume_min, spread_max = VOLUME_MIN, np.inf
    middle = median_of(ordered, counts, LONG_VOLUME, MEDIAN_VALUES_MIN)
    if middle == middle:
        volume_min = max(volume_min, VOLUME_SHARE * middle)
    middle = median_of(ordered, counts, LONG_SPREAD, MEDIAN_VALUES_MIN)
    if middle == middle:
        spread_max = SPREAD_TIMES * middle
    hit = volume < volume_min or row.spread_mean > spread_max
    near = volume < (1.0 + NEAR) * volume_min or row.spread_mean > (1.0 - NEAR) * spread_max
    row.illiquidity_hit = np.int64(hit)
    row.illiquidity_penalty = np.int64(near and not hit)


@kernel
def write_flags(row, flow):
    """What a minute with guards shows. flow: sum of D over five minutes; NaN: null."""
    is_liquid = row.illiquidity_hit == 0
    no_guard = row.illiquidity_hit == NULL
    z, trades = row.z_vol_m_1, row.trade_count
    row.is_vol_spike_m_1 = raised(no_guard or z != z, is_liquid, z >= VOLUME_SIGMA and trades >= TRADES_MIN)

    z, move = row.z_ret_abs_m_1, row.ret_m_1
    null = no_guard or z != z or move != move
    row.is_price_spike_up_m_1 = raised(null, is_liquid, z >= PRICE_SIGMA and move > 0.0)
    row.is_price_spike_down_m_1 = raised(null, is_liquid, z >= PRICE_SIGMA and move < 0.0)

    z, move = row.z_oi_roc_m_5, row.oi_roc_m_5
    null = no_guard or z != z or move != move
    row.is_oi_spike_up_m_5 = raised(null, is_liquid, z >= INTEREST_SIGMA and move >= INTEREST_MOVE)
    row.is_oi_spike_down_m_5 = raised(null, is_liquid, z <= -INTEREST_SIGMA and move <= -INTEREST_MOVE)

    z = row.z_spread_m_1
    row.is_spread_stress_m_1 = raised(no_guard or z != z, is_liquid, z >= SPREAD_SIGMA)

    count = row.liq_count_m_5
    row.is_liq_cluster_m_5 = raised(no_guard or count != count, is_liquid, count >= LIQUIDATIONS_MIN)

    move, pressed, much = row.ret_m_5, signed_root(flow), DIVERGENCE_SIGMA * row.b_scale_cvd_m_5
    null = no_guard or move != move or pressed != pressed or much != much
    row.is_divergence_bullish_m_5 = raised(null, is_liquid, move <= -DIVERGENCE_MOVE and pressed >= much)
    row.is_divergence_bearish_m_5 = raised(null, is_liquid, move >= DIVERGENCE_MOVE and pressed <= -much)


@kernel
def judge(members, minute, rows, ring, baselines, ordered, counts):
    """Warm-up of every usable row; guards and flags of those that are `ok` and warm."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        if row.dq_status == STALE:
            continue
        cold = baselines[s, VOL].values < SEED_VALUES or baselines[s, RET_ABS].values < SEED_VALUES
        row.is_warming_up = np.int64(cold)
        if row.dq_status == OK and not cold:
            write_guards(row, ring[s, VOLUME, place], ordered[s], counts[s])
            write_flags(row, flow_of_5(ring[s, FLOW], place))


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    own = state.features
    judge(members, minute, state.bars.rows, own.ring, own.baselines, own.long_sorted, own.long_counts)
