"""Long windows against lists that are sorted anew, and ranks and medians that can be checked by head."""

from __future__ import annotations

from statistics import median as middle_of

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.sorted_window import fold, median, rank

# Many values are equal, and what float32 cannot tell apart is there too.
VALUES = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.sampled_from([-0.0, 1.0, 1.0 + 1e-9, 1e-30]), st.floats(-1e6, 1e6)),
    max_size=60,
)


def folded(values: list[float], size: int) -> tuple[np.ndarray, np.ndarray]:
    arrivals, ordered = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for count, value in enumerate(values):
        fold(value, count, arrivals, ordered)
    return arrivals, ordered


@settings(deadline=None)  # the first call compiles
@given(VALUES, st.integers(1, 12))
def test_the_newest_values_are_kept_and_sorted(values: list[float], size: int) -> None:
    arrivals, ordered = folded(values, size)
    newest = [float(np.float32(value)) + 0.0 for value in values[-size:]]
    assert ordered[: len(newest)].tolist() == sorted(newest)
    for age, value in enumerate(reversed(newest)):
        assert arrivals[(len(values) - 1 - age) % size] == value
    assert not np.signbit(ordered[ordered == 0.0]).any()


@settings(deadline=None)  # the first call compiles
@given(VALUES, st.integers(1, 12), st.one_of(st.integers(-4, 4).map(float), st.floats(-2e6, 2e6)))
def test_ranks_and_medians_are_those_of_the_list(values: list[float], size: int, asked: float) -> None:
    _, ordered = folded(values, size)
    newest = [float(np.float32(value)) for value in values[-size:]]
    if not newest:
        assert np.isnan(rank(asked, 0, ordered))
        assert np.isnan(median(0, ordered))
        return
    rounded = float(np.float32(asked))
    below, equal = len([v for v in newest if v < rounded]), len([v for v in newest if v == rounded])
    assert rank(asked, len(values), ordered) == (below + 0.5 * equal) / len(newest)
    assert median(len(values), ordered) == middle_of(newest)


def test_a_rank_and_a_median_by_head() -> None:
    _, ordered = folded([9.0, 5.0, 1.0, 3.0, 3.0], 4)  # 9 has left
    assert ordered.tolist() == [1.0, 3.0, 3.0, 5.0]
    assert rank(3.0, 5, ordered) == 0.5
    assert rank(0.0, 5, ordered) == 0.0
    assert rank(6.0, 5, ordered) == 1.0
    assert median(5, ordered) == 3.0
    assert np.isnan(rank(np.nan, 5, ordered))


@pytest.mark.parametrize("size", [2, 3])
def test_an_infinity_of_float32_is_a_value_like_others(size: int) -> None:
    _, ordered = folded([1e300, 2.0, 1.0], size)
    assert ordered.tolist() == ([1.0, 2.0] if size == 2 else [1.0, 2.0, np.inf])
