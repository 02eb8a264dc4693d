"""A long window: the newest N values, once in the order of their arrival and once sorted, each as a float32.

`arrivals` and `ordered` have shape (N,); `count` is how many values ever came, so that min(count, N) stand there. The
n-th to come, counted from 0, stands at arrivals[n % N], and the first min(count, N) of `ordered` are ascending.
"""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel


@inlined
def values_below(ordered: np.ndarray, size: int, value: float) -> int:
    """How many of the first `size` are below `value`: the place of the first that is not."""
    low, high = 0, size
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def values_up_to(ordered: np.ndarray, size: int, value: float) -> int:
    """How many of the first `size` are below `value` or equal to it."""
    low, high = 0, size
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def fold(value: float, count: int, arrivals: np.ndarray, ordered: np.ndarray) -> None:
    """Take a value that is not NaN; the oldest of a full window leaves. The caller counts.

    What lies between the place that becomes free and the one that is taken moves by one, and nothing else. From one
    view to another, with indices that cannot be negative, both loops become memmove: 0.9 us instead of 6 in a window of
    10,080.
    """
    most = arrivals.shape[0]
    come = np.float32(value) + np.float32(0.0)  # -0.0 becomes 0.0: equal values have equal bits, wherever they stand
    place, size = count % most, min(count, most)
    free = size if count < most else values_below(ordered, size, arrivals[place])
    taken = values_below(ordered, size, come)
    arrivals[place] = come
    if taken > free:
        taken -= 1  # what leaves is below what comes
        to, of = ordered[free:taken], ordered[free + 1 : taken + 1]
        for i in range(to.shape[0]):
            to[i] = of[i]
    else:
        to, of = ordered[taken + 1 : free + 1], ordered[taken:free]
        for i in range(to.shape[0] - 1, -1, -1):
            to[i] = of[i]
    ordered[taken] = come


@kernel
def rank(value: float, count: int, ordered: np.ndarray) -> float:
    """The share of the window that is below `value`, which is rounded as its values are; of what equals it, half.

    NaN for NaN, and of an empty window.
    """
    size = min(count, ordered.shape[0])
    if size == 0 or value != value:
        return np.nan
    rounded = np.float32(value)
    below = up_to = values_below(ordered, size, rounded)
    if below < size and ordered[below] == rounded:
        up_to = values_up_to(ordered, size, rounded)
    return (float(below) + 0.5 * float(up_to - below)) / float(size)


@kernel
def median(count: int, ordered: np.ndarray) -> float:
    """The middle value, or the mean of the middle two; NaN of an empty window."""
    size = min(count, ordered.shape[0])
    if size == 0:
        return np.nan
    middle = size >> 1
    if size & 1:
        return np.float64(ordered[middle])
    return (np.float64(ordered[middle - 1]) + np.float64(ordered[middle])) / 2.0
