"""Microstructure: what the grid points of the minute and the book at its close tell."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, Status
from engine.core.state import EngineState

STALE = int(Status.STALE)
QUOTES_MIN = POINTS_MIN = 20


@inlined
def spread_p95(path, runs, points):
    """The ceil(0.95 n)-th smallest spread of `points` grid points, mantissa: one of the four largest, as n <= 60."""
    first = second = third = fourth = np.int64(NULL)
    begin = np.int64(0)
    for i in range(runs):
        spread = path[i].spread
        for _ in range(min(path[i].end - begin, 4)):
            if spread <= fourth:
                break
            if spread > first:
                first, second, third, fourth = spread, first, second, third
            elif spread > second:
                second, third, fourth = spread, second, third
            elif spread > third:
                third, fourth = spread, third
            else:
                fourth = spread
        begin = path[i].end
    from_top = points - (95 * points + 99) // 100  # how many are larger
    if from_top == 0:
        return first
    if from_top == 1:
        return second
    return third if from_top == 2 else fourth


@inlined
def next_above(path, runs, depth):
    """The smallest depth of a run that is above `depth`; infinite: none is."""
    found = np.inf
    for i in range(runs):
        if path[i].depth5 > depth:
            found = min(found, path[i].depth5)
    return found


@inlined
def depth_median(path, runs):
    """Median of the depth at the grid points that have one, runs of (end, depth5); NaN: none has.

    A value is tried as the middle one only if it lies between those that were too small and too large, so that few are.
    """
    points, begin = 0, np.int64(0)
    for i in range(runs):
        if path[i].depth5 == path[i].depth5:
            points += path[i].end - begin
        begin = path[i].end
    if points == 0:
        return np.nan
    middle = (points - 1) // 2  # so many are before it
    too_small, too_large = -np.inf, np.inf
    for i in range(runs):
        tried = path[i].depth5
        if not too_small < tried < too_large:
            continue
        smaller, equal = 0, 0
        begin = np.int64(0)
        for k in range(runs):  # no branch: nobody can foretell it
            value, weight = path[k].depth5, path[k].end - begin
            begin = path[k].end
            smaller += weight * (value < tried)
            equal += weight * (value == tried)
        if smaller > middle:
            too_large = tried
        elif smaller + equal <= middle:
            too_small = tried
        elif points % 2 == 1 or smaller + equal > middle + 1:
            return tried
        else:
            return (tried + next_above(path, runs, tried)) / 2.0
    return np.nan


@kernel
def write_microstructure(members, minute, units, symbols, quotes, mid_paths, depths, depth_paths, rows):
    """The family's columns of `minute`, from the sums and paths of its slot."""
    slot = minute & 3
    for i in range(members.shape[0]):
        s = members[i]
        row, quote, depth = rows[s], quotes[s, slot], depths[s, slot]
        if row.dq_status == STALE:
            continue
        row.imbalance_top1 = 2.0 * row.obi_top1_mean - 1.0
        row.imbalance_top5 = 2.0 * row.obi_top5_mean - 1.0
        if quote.minute == minute:
            price_unit = units[symbols[s].price_decimals]
            if row.quote_count >= QUOTES_MIN and quote.path_points >= POINTS_MIN:
                row.spread_p95_m_1 = spread_p95(mid_paths[s, slot], quote.path_runs, quote.path_points) / price_unit
            row.microprice_drift_s_30 = row.microprice_close / (quote.microprice_s_30 / price_unit) - 1.0
        if depth.minute == minute:
            row.depth_top5_quote_median_m_1 = depth_median(depth_paths[s, slot], depth.path_runs)
            row.depth_slope = depth.slope


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the microstructure columns of `minute`."""
    bars = state.bars
    write_microstructure(
        members, minute, FLOAT_POWERS_OF_TEN, state.tape.symbols, bars.quote_sums, bars.mid_paths, bars.depth_sums,
        bars.depth_paths, bars.rows,
    )  # fmt: skip
