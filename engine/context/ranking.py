"""Helpers over one number of several symbols: what is there, its mean, its middle, its order."""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.market import ELIGIBLE_MIN


@inlined
def collect(column, chosen, seen, values):
    """Write what the chosen symbols have in a column of `seen` to `values`, in their order; returns how many do."""
    count = 0
    for i in range(chosen.shape[0]):
        value = seen[chosen[i], column]
        if value == value:
            values[count] = value
            count += 1
    return count


@inlined
def mean_of(values, count):
    """Mean of the first `count`; null if they are few."""
    if count < ELIGIBLE_MIN:
        return np.nan
    total = 0.0
    for i in range(count):
        total += values[i]
    return total / float(count)


@inlined
def deviation_of(values, count):
    """Population deviation of the first `count`, mean first, then squares; null if they are few."""
    mean = mean_of(values, count)
    if mean != mean:
        return np.nan
    squares = 0.0
    for i in range(count):
        squares += (values[i] - mean) * (values[i] - mean)
    return np.sqrt(squares / float(count))


@inlined
def comes_before(values, a, b):
    """Whether place a stands before place b: by value, then by place."""
    return values[a] < values[b] or (values[a] == values[b] and a < b)


@kernel
def sort_places(values, count, places):
    """Fill the first `count` places with 0 .. count - 1 by ascending value, ties by place. (A heap: no memory.)"""
    for i in range(count):
        places[i] = i
    for turn in range(count // 2 + count - 1):
        if turn < count // 2:
            root, size = count // 2 - 1 - turn, count  # the heap is built
        else:
            root, size = 0, count - 1 - (turn - count // 2)  # its greatest goes behind it
            places[0], places[size] = places[size], places[0]
        sinking = places[root]
        while 2 * root + 1 < size:
            child = 2 * root + 1
            if child + 1 < size and comes_before(values, places[child], places[child + 1]):
                child += 1
            if not comes_before(values, sinking, places[child]):
                break
            places[root] = places[child]
            root = child
        places[root] = sinking


@inlined
def median_of(values, count, places):
    """The middle one of the first `count`, or the mean of the middle two; null if they are few."""
    if count < ELIGIBLE_MIN:
        return np.nan
    sort_places(values, count, places)
    middle = count >> 1
    if count & 1:
        return values[places[middle]]
    return (values[places[middle - 1]] + values[places[middle]]) / 2.0
