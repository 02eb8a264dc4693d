"""Averages that remember, means and extremes of a window: steps that several families take, in one fixed order.

A recursive average is one number and the count of its values: the running sum until there are n, from then on the mean.
A window is (length,) float64, oldest first, NaN where a minute is missing; more than 30 % missing make it NaN.
"""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import RESTART_MINUTES
from engine.core.kernel import inlined


@inlined
def begins_anew(newest, minute):
    """Whether too many minutes lie between `newest`, -1 for none, and `minute` for a recursion to go on."""
    return newest < 0 or minute - newest - 1 > RESTART_MINUTES


@inlined
def wilder(average, value, count, n):
    """Wilder's mean of n with `value` as its count-th value."""
    if count < n:
        return average + value
    if count == n:
        return (average + value) / n
    return (average * (n - 1) + value) / n


@inlined
def exponential(average, value, count, n):
    """EMA of n, begun with the mean of the first n, with `value` as its count-th value."""
    if count < n:
        return average + value
    if count == n:
        return (average + value) / n
    return average + 2.0 / (n + 1) * (value - average)


@inlined
def true_range(high, low, close_before):
    """Wilder's range of a bar, with the gap from the close before."""
    return max(high - low, abs(high - close_before), abs(low - close_before))


@inlined
def movement(high, low, high_before, low_before):
    """(+DM, -DM): how far a bar reaches beyond the one before, on the side where it reaches further."""
    rise, fall = high - high_before, low_before - low
    return rise if rise > fall and rise > 0.0 else 0.0, fall if fall > rise and fall > 0.0 else 0.0


@inlined
def direction(up, down):
    """DX of smoothed movements, 0 .. 100; 0 without any."""
    both = up + down
    return 100.0 * abs(up - down) / both if both > 0.0 else 0.0


@inlined
def relative_strength(gain, loss):
    """Smoothed gains as a part of all changes, 0 .. 100; 50 without any."""
    both = gain + loss
    return 100.0 * gain / both if both > 0.0 else 50.0


@inlined
def is_enough(present, length):
    """Whether at most 30 % of a window are missing."""
    return 10 * present >= 7 * length


@inlined
def mean(values):
    """Mean of what is present."""
    present, total = 0, 0.0
    for i in range(values.shape[0]):
        if values[i] == values[i]:
            present += 1
            total += values[i]
    return total / present if is_enough(present, values.shape[0]) else np.nan


@inlined
def weighted_mean(values):
    """Mean of what is present, weighted 1, 2, .. from the oldest place to the newest."""
    present, weights, total = 0, 0, 0.0
    for i in range(values.shape[0]):
        if values[i] == values[i]:
            present += 1
            weights += i + 1
            total += (i + 1) * values[i]
    return total / weights if is_enough(present, values.shape[0]) else np.nan


@inlined
def extremes(highs, lows):
    """(largest high, smallest low) of what is present; both are null in the same minutes."""
    present, highest, lowest = 0, -np.inf, np.inf
    for i in range(highs.shape[0]):
        if highs[i] == highs[i]:
            present += 1
            highest = max(highest, highs[i])
            lowest = min(lowest, lows[i])
    if not is_enough(present, highs.shape[0]):
        return np.nan, np.nan
    return highest, lowest
