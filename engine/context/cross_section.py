"""What the market, size, thinness and funding say of each return, and what a minute's breadth says of the next.

One ridge for a venue and one for its breadth. Rules: docs/features.md, Residuals: cross_sectional and breadth_mode.
"""

from __future__ import annotations

import numpy as np

from engine.context.ranking import collect, sort_places
from engine.core.error_scale import RETURN_LEAST, scale_of, take_error
from engine.core.kernel import inlined, kernel
from engine.core.market import ELIGIBLE_MIN
from engine.core.market_state import FUNDING_RATE, SEEN_LOG_RETURN, SPREAD_BP, VOLUME_SUM_60
from engine.core.ridge import DAY_HALVES, STEPS_MIN, WEEK_HALVES, decay_model, fit, learn, predict
from engine.core.schema import Status

OK, STALE = int(Status.OK), int(Status.STALE)
WIDTH = 5  # of both models: an intercept and four
BREADTH_LEAST = 0.01  # below it a miss is no news
BROAD_MIN = 10  # symbols from which on breadth is something to predict


@inlined
def middle_of(values, count, places):
    """Median of the first `count`; null if there is none."""
    if count == 0:
        return np.nan
    sort_places(values, count, places)
    if count % 2 == 1:
        return values[places[count // 2]]
    return (values[places[count // 2 - 1]] + values[places[count // 2]]) / 2.0


@kernel
def rank_among(chosen, column, seen, values, places, out):
    """For each of the chosen: (those with less + half of those with as much) / all - 0.5; null where it has none."""
    count = chosen.shape[0]
    for i in range(count):
        value = seen[chosen[i], column]
        values[i] = value if value == value else np.inf
        out[i] = np.nan
    sort_places(values, count, places)
    begin = 0
    while begin < count and values[places[begin]] < np.inf:
        end = begin
        while end < count and values[places[end]] == values[places[begin]]:
            end += 1
        for k in range(begin, end):
            out[places[k]] = (float(begin) + 0.5 * float(end - begin)) / float(count) - 0.5
        begin = end


@kernel
def expose(chosen, seen, values, places, sizes, thins, turn, exposures):
    """Write y and x of each eligible symbol. exposures: (symbols, 2, 1 + WIDTH)."""
    rank_among(chosen, VOLUME_SUM_60, seen, values, places, sizes)
    rank_among(chosen, SPREAD_BP, seen, values, places, thins)
    middle = middle_of(values, collect(SEEN_LOG_RETURN, chosen, seen, values), places)
    for i in range(chosen.shape[0]):
        s = chosen[i]
        own = exposures[s, turn[s]]
        funding = seen[s, FUNDING_RATE]
        own[0] = seen[s, SEEN_LOG_RETURN]
        own[1] = 1.0
        own[2] = middle
        own[3] = middle * sizes[i]
        own[4] = middle * thins[i]
        own[5] = 1e4 * funding if funding == funding else 0.0


@kernel
def begin_exposures(members, minute, newest, turn, minutes, exposures):
    """A row of `minute` has come for these: until they are found eligible they have no exposures."""
    for i in range(members.shape[0]):
        s = members[i]
        if newest[s] != minute:
            newest[s] = minute
            turn[s] ^= 1
        minutes[s, turn[s]] = minute
        exposures[s, turn[s], :] = np.nan


@kernel
def write_cross_section(members, rows, model, turn, exposures, errors):
    """Predict the return of each eligible member; the errors of its ok minutes make the scale."""
    for i in range(members.shape[0]):
        s = members[i]
        row, now, before = rows[s], turn[s], turn[s] ^ 1
        own = exposures[s, now]
        prediction = predict(model, own[1:], WIDTH)
        error = own[0] - prediction
        row.cross_sectional_prediction = prediction
        row.cross_sectional_prediction_std = np.nan if row.dq_status == STALE else scale_of(errors[s, before])
        row.z_cross_sectional_residual = error / row.cross_sectional_prediction_std
        take_error(errors[s, before], errors[s, now], error if row.dq_status == OK else np.nan, RETURN_LEAST)


@inlined
def is_whole(own):
    """Whether y and all of x are there."""
    whole = True
    for k in range(WIDTH + 1):
        whole = whole and own[k] == own[k]
    return whole


@kernel
def learn_cross_section(order, minute, eligible_count, model, minutes, exposures):
    """Learn from a final minute: one step, in which each eligible symbol weighs the same."""
    if eligible_count < ELIGIBLE_MIN:
        return
    begun = False
    for i in range(order.shape[0]):
        for place in range(2):
            if minutes[order[i], place] != minute or not is_whole(exposures[order[i], place]):
                continue
            if not begun:
                decay_model(model, WEEK_HALVES, WIDTH)
                begun = True
            own = exposures[order[i], place]
            learn(model, own[1:], own[0], 1.0 / float(eligible_count), WIDTH)


@kernel
def fit_if_taught(model, room):
    """At a full hour."""
    if model.steps >= STEPS_MIN:
        fit(model, WIDTH, room)


@inlined
def fill_breadth(earlier, x):
    """What the market row of a minute says of the next one's breadth."""
    x[0] = 1.0
    x[1] = earlier.breadth_m_1
    x[2] = 100.0 * earlier.market_return_m_1
    x[3] = 100.0 * earlier.return_dispersion_m_5
    x[4] = earlier.z_vol_mean


@kernel
def write_breadth(row, earlier, has_earlier, model, before, now, x):
    """Predict the breadth of a market row from the row before it. before, now: ERROR_SCALE records."""
    prediction = np.nan
    if has_earlier:
        fill_breadth(earlier, x)
        prediction = predict(model, x, WIDTH)
    error = row.breadth_m_1 - prediction if row.eligible_count >= BROAD_MIN else np.nan
    row.breadth_prediction = prediction
    row.breadth_prediction_std = scale_of(before)
    row.z_breadth_residual = error / row.breadth_prediction_std
    take_error(before, now, error, BREADTH_LEAST)


@kernel
def learn_from_breadth(row, earlier, model, x):
    """Learn what the row before said of a final market row."""
    fill_breadth(earlier, x)
    whole = row.eligible_count >= BROAD_MIN and row.breadth_m_1 == row.breadth_m_1
    for k in range(WIDTH):
        whole = whole and x[k] == x[k]
    if whole:
        decay_model(model, DAY_HALVES, WIDTH)
        learn(model, x, row.breadth_m_1, 1.0, WIDTH)
