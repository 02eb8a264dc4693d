"""Location and scale of what is normalised, and the z of a minute by what came before it; engine.core.baseline."""

from __future__ import annotations

import numpy as np

from engine.core.baseline import (
    MEAN_HALF_LIFE,
    RETURN_MIN,
    SEED_VALUES,
    normalise,
    positive_log,
    signed_root,
    step_weight,
)
from engine.core.detmath import log, log1p
from engine.core.feature_columns import BASELINES
from engine.core.feature_state import BASELINE_COUNT, FLOW, MID, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.layouts import SET_HOUR_FACTORS
from engine.core.schema import ROW, Status
from engine.core.state import EngineState

OK, STALE = int(Status.OK), int(Status.STALE)
HALF_LIFE_MINUTES = 1_440.0
FLOW_MINUTES = 5
HOUR_SHRINK = 30.0  # a factor of so many values counts half

# Least scale of each baseline, in its own unit: below it a move means nothing, however still the market was before.
SCALES_MIN = np.array([0.05, 0.05, 1e-3, 0.05, 0.01, 1e-6, 1.0, 1.0, 0.05])

_PLACES = {name: place for place, name in enumerate(ROW.names or ())}
FIELDS = np.array(
    [[_PLACES[f"{what}_{name}{suffix}"] for what in ("z", "b_mean", "b_scale")] for name, _, _, suffix in BASELINES]
)
assert len(SCALES_MIN) == BASELINE_COUNT


@kernel
def flow_of_5(flows, place):
    """Sum of D over five minutes, the oldest first; NaN if any is missing. flows: a symbol's ring of D."""
    total = 0.0
    for i in range(place - FLOW_MINUTES + 1, place + 1):
        total += flows[i]
    return total


@kernel
def hour_factor(hours, is_there, mean, minute, value, is_ok):
    """What the hour of a minute adds, as far as it is known; and teach what waited, in a minute's first close.

    is_there, mean: of the baseline, before what waited is folded.
    """
    if minute > hours.minute:
        hour = hours.minute // 60 % 24
        if is_there and hours.waiting == hours.waiting:
            hours.values[hour] += 1
            hours.sum[hour] += hours.waiting - mean
        hours.minute = minute
    hours.waiting = value if is_ok else np.nan
    hour = minute // 60 % 24
    n = hours.values[hour]
    return hours.sum[hour] / n * (n / (n + HOUR_SHRINK)) if n else 0.0


@inlined
def inputs_of(row, ring, place):
    """The nine numbers of a minute that is not stale, in the order of BASELINES; NaN for null."""
    return (
        log1p(ring[VOLUME, place]),
        log(row.ret_abs_m_1 + RETURN_MIN),
        signed_root(row.oi_roc_m_5),
        positive_log(row.spread_bp_mean),
        row.basis_bp_m_5,
        row.ret_m_1,
        signed_root(flow_of_5(ring[FLOW], place)),
        signed_root(row.cvd_slope_m_5),
        positive_log(row.spread_p95_m_1 / ring[MID, place] * 1e4),
    )


@kernel
def write_baselines(members, minute, with_hours, scales_min, fields, rows, numbers, ring, baselines, seeds, hours):
    """z, location and scale of every baseline. numbers: the rows as float64, (symbols, fields of ROW)."""
    place = minute % RECENT + RECENT
    mean_weight, scale_weight = step_weight(MEAN_HALF_LIFE * HALF_LIFE_MINUTES), step_weight(HALF_LIFE_MINUTES)
    for i in range(members.shape[0]):
        s = members[i]
        is_ok, is_stale = rows[s].dq_status == OK, rows[s].dq_status == STALE
        values = inputs_of(rows[s], ring[s], place)
        for k in range(BASELINE_COUNT):
            baseline, value = baselines[s, k], np.nan if is_stale else values[k]
            if with_hours:
                is_there = baseline.values >= SEED_VALUES
                value -= hour_factor(hours[s, k], is_there, baseline.mean, minute, value, is_ok)
            z, mean, scale = normalise(
                baseline, seeds[s, k], minute, value, is_ok, mean_weight, scale_weight, scales_min[k]
            )
            if not is_stale:
                numbers[s, fields[k, 0]], numbers[s, fields[k, 1]], numbers[s, fields[k, 2]] = z, mean, scale


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    own, rows = state.features, state.bars.rows
    write_baselines(
        members, minute, state.tape.settings[SET_HOUR_FACTORS], SCALES_MIN, FIELDS, rows,
        rows.view(np.float64).reshape(len(rows), -1), own.ring, own.baselines, own.seeds, own.hours,
    )  # fmt: skip
