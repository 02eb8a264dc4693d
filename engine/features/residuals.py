"""How far a minute lies from what models fitted before it would have said. Rules: docs/features.md, Residuals."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.detmath import log, log1p
from engine.core.error_scale import RETURN_LEAST, scale_of, take_error
from engine.core.feature_state import (
    BASIS,
    BASIS_CARRY,
    BASIS_CARRY_ERROR,
    KALMAN_ERROR,
    LEAD_LAG_ERROR,
    LOG_RETURN,
    MID,
    ORDER_FLOW,
    ORDER_FLOW_ERROR,
    RECENT,
    SEASONALITY_ERROR,
    VOLUME,
)
from engine.core.kernel import inlined, kernel
from engine.core.ridge import DAY_HALVES, STEPS_MIN, WEEK_HALVES, WEIGHTS, decay_model, fit, learn, predict
from engine.core.schema import NULL, Status
from engine.core.state import EngineState
from engine.features.kalman import step
from engine.features.lead_lag import find_leaders, predict_from_leader
from engine.features.seasonality import copy_season, learn_season, predict_season

OK, STALE = int(Status.OK), int(Status.STALE)
ORDER_FLOW_WIDTH, BASIS_CARRY_WIDTH = 5, 4
BASIS_LEAST, VOLUME_LEAST = 0.01, 0.05  # below it a miss is no news: bp; ln of quote units
ROOM = WEIGHTS * WEIGHTS + WEIGHTS


@inlined
def fill_order_flow(row, symbol, units, x):
    """What order flow says of a minute's return."""
    base = float(row.base_volume) / units[symbol.quantity_decimals]
    ofi = np.nan if row.ofi == NULL else float(row.ofi) / units[symbol.quantity_decimals]
    size = abs(ofi) + base
    x[0] = 1.0
    x[1] = row.signed_flow_ratio_m_1
    x[2] = ofi / size if size > 0.0 or size != size else 0.0
    x[3] = row.imbalance_top1
    x[4] = row.signed_flow_ratio_m_1 * row.vpin if row.vpin == row.vpin else 0.0


@inlined
def fill_basis_carry(row, x):
    """What carry says of the basis."""
    x[0] = 1.0
    x[1] = 1e4 * row.funding_rate_hour
    x[2] = 100.0 * row.oi_roc_m_5
    x[3] = 100.0 * row.rv_m_15


@inlined
def is_whole(x, y, width):
    """Whether an observation has all its parts."""
    whole = y == y
    for i in range(width):
        whole = whole and x[i] == x[i]
    return whole


@inlined
def weigh(before, now, error, status, least):
    """(scale of errors before, error in these); the error of an `ok` minute joins them. before, now: ERROR_SCALE."""
    scale = np.nan if status == STALE else scale_of(before)
    take_error(before, now, error if status == OK else np.nan, least)
    return scale, error / scale


@kernel
def write_residuals(
    members, minute, rows, symbols, units, newest, ring, turn, kalman, errors, ridges, leaders, seasons, x
):  # fmt: skip
    """Predict, compare, and take the errors of `ok` minutes into the scale. x: float64, room for one observation."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, now, earlier = rows[s], turn[s], turn[s] ^ 1
        status, before, after = row.dq_status, errors[s, earlier], errors[s, now]

        mid = ring[s, MID, place]
        actual = log(mid) if mid == mid else np.nan
        row.kalman_prediction = step(kalman[s, earlier], kalman[s, now], minute, actual)
        error = actual - row.kalman_prediction
        row.kalman_prediction_std, row.z_kalman_residual = weigh(
            before[KALMAN_ERROR], after[KALMAN_ERROR], error, status, RETURN_LEAST
        )

        fill_order_flow(row, symbols[s], units, x)
        row.order_flow_prediction = predict(ridges[s, ORDER_FLOW], x, ORDER_FLOW_WIDTH)
        error = ring[s, LOG_RETURN, place] - row.order_flow_prediction
        row.order_flow_prediction_std, row.z_order_flow_residual = weigh(
            before[ORDER_FLOW_ERROR], after[ORDER_FLOW_ERROR], error, status, RETURN_LEAST
        )

        fill_basis_carry(row, x)
        row.basis_carry_prediction = predict(ridges[s, BASIS_CARRY], x, BASIS_CARRY_WIDTH)
        error = ring[s, BASIS, place] - row.basis_carry_prediction
        row.basis_carry_prediction_std, row.z_basis_carry_residual = weigh(
            before[BASIS_CARRY_ERROR], after[BASIS_CARRY_ERROR], error, status, BASIS_LEAST
        )

        row.lead_lag_prediction = (
            np.nan if status == STALE else predict_from_leader(leaders[s], minute, newest, ring, place)
        )
        error = ring[s, LOG_RETURN, place] - row.lead_lag_prediction
        row.lead_lag_prediction_std, row.z_lead_lag_residual = weigh(
            before[LEAD_LAG_ERROR], after[LEAD_LAG_ERROR], error, status, RETURN_LEAST
        )

        volume = ring[s, VOLUME, place]
        row.seasonality_prediction = np.nan if status == STALE else predict_season(seasons[s], minute)
        error = (log1p(volume) if volume == volume else np.nan) - row.seasonality_prediction
        row.seasonality_prediction_std, row.z_seasonality_residual = weigh(
            before[SEASONALITY_ERROR], after[SEASONALITY_ERROR], error, status, VOLUME_LEAST
        )


@kernel
def learn_final(members, minute, final, symbols, units, ring, ridges, seasons, x):
    """Learn from the final rows of `minute`. members: symbols that have one; final: ROW (symbols,)."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row = final[s]
        if row.dq_status != OK:
            continue
        fill_order_flow(row, symbols[s], units, x)
        y = ring[s, LOG_RETURN, place]
        if is_whole(x, y, ORDER_FLOW_WIDTH):
            decay_model(ridges[s, ORDER_FLOW], DAY_HALVES, ORDER_FLOW_WIDTH)
            learn(ridges[s, ORDER_FLOW], x, y, 1.0, ORDER_FLOW_WIDTH)
        fill_basis_carry(row, x)
        y = ring[s, BASIS, place]
        if is_whole(x, y, BASIS_CARRY_WIDTH):
            decay_model(ridges[s, BASIS_CARRY], WEEK_HALVES, BASIS_CARRY_WIDTH)
            learn(ridges[s, BASIS_CARRY], x, y, 1.0, BASIS_CARRY_WIDTH)
        learn_season(seasons[s], minute, ring[s, VOLUME, place])


@kernel
def fit_all(members, ridges, seasons, room):
    """At a full hour: what was learned so far is what the next hour is predicted from."""
    for i in range(members.shape[0]):
        s = members[i]
        if ridges[s, ORDER_FLOW].steps >= STEPS_MIN:
            fit(ridges[s, ORDER_FLOW], ORDER_FLOW_WIDTH, room)
        if ridges[s, BASIS_CARRY].steps >= STEPS_MIN:
            fit(ridges[s, BASIS_CARRY], BASIS_CARRY_WIDTH, room)
        copy_season(seasons[s])


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the residual columns of the rows of `minute`."""
    own = state.features
    write_residuals(
        members, minute, state.bars.rows, state.tape.symbols, FLOAT_POWERS_OF_TEN, own.newest, own.ring, own.turn,
        own.kalman, own.errors, own.ridges, own.leaders, own.seasons, own.observation,
    )  # fmt: skip


def settle(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Upkeep: learn from the final rows of `minute`; at a full hour fit anew and look for leaders.

    members: symbols of one venue, in the order of their names.
    """
    own, history = state.features, state.history
    held = members[history.has(minute, members)]
    final = history.rows[minute % history.minutes]
    learn_final(
        held, minute, final, state.tape.symbols, FLOAT_POWERS_OF_TEN, own.ring, own.ridges, own.seasons,
        own.observation,
    )  # fmt: skip
    if (minute + 1) % 60 == 0:
        fit_all(members, own.ridges, own.seasons, own.equations)
        find_leaders(state, members, minute)
