"""How many go along: breadth, and how unusual it is."""

from __future__ import annotations

import numpy as np

from engine.context.ranking import collect, mean_of
from engine.context.strength import sign
from engine.core.error_scale import FORGET
from engine.core.kernel import inlined, kernel
from engine.core.market_state import ABOVE_50, ABOVE_200, NEW_HIGH_LOW, RETURN_1, RETURN_5

DEVIATION_MIN = 0.01
COUNT_MIN = 200


@inlined
def balance_of(values, count):
    """(those above 0 - those below) / all; null if they are few."""
    for i in range(count):
        values[i] = sign(values[i])
    return mean_of(values, count)


@inlined
def z_of(value, moment):
    """How unusual a value is by what came before it; null while that is little."""
    if moment.count < COUNT_MIN:
        return np.nan
    return (value - moment.mean) / max(np.sqrt(moment.variance), DEVIATION_MIN)


@kernel
def find_breadth(chosen, seen, moments, values, row):
    """The breadths of a minute, and their z. moments: MOMENT (BREADTHS,), of minutes before."""
    row.breadth_m_1 = balance_of(values, collect(RETURN_1, chosen, seen, values))
    row.breadth_m_5 = balance_of(values, collect(RETURN_5, chosen, seen, values))
    row.share_above_ma_50 = mean_of(values, collect(ABOVE_50, chosen, seen, values))
    row.share_above_ma_200 = mean_of(values, collect(ABOVE_200, chosen, seen, values))
    row.new_high_low_m_60 = mean_of(values, collect(NEW_HIGH_LOW, chosen, seen, values))
    row.z_breadth_m_1 = z_of(row.breadth_m_1, moments[0])
    row.z_share_above_ma_50 = z_of(row.share_above_ma_50, moments[1])
    row.z_share_above_ma_200 = z_of(row.share_above_ma_200, moments[2])
    row.z_new_high_low_m_60 = z_of(row.new_high_low_m_60, moments[3])
    row.breadth_composite = (
        row.z_breadth_m_1 + row.z_share_above_ma_50 + row.z_share_above_ma_200 + row.z_new_high_low_m_60
    ) / 4.0


@inlined
def learn(value, moment):
    """A value of a final minute. It lies within -1 and 1, so no single one can spoil a plain mean (West 1979)."""
    if value != value:
        return
    rate = max(FORGET, 1.0 / float(moment.count + 1))
    step = value - moment.mean
    moment.count += 1
    moment.mean += rate * step
    moment.variance = (1.0 - rate) * (moment.variance + rate * step * step)


@kernel
def learn_breadth(row, moments):
    """Fold the breadths of a final minute."""
    learn(row.breadth_m_1, moments[0])
    learn(row.share_above_ma_50, moments[1])
    learn(row.share_above_ma_200, moments[2])
    learn(row.new_high_low_m_60, moments[3])
