"""wide: 128-bit integers on two int64 agree with Python's integers, in kernels and in plain Python."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.core import kernel, wide

ROOT = Path(__file__).resolve().parents[2]
LEAST, MOST = -(2**127), 2**127 - 1
LEAST_64, MOST_64 = -(2**63), 2**63 - 1

edges_64 = st.sampled_from(
    [0, 1, -1, 2, LEAST_64, LEAST_64 + 1, MOST_64, MOST_64 - 1, 2**32, -(2**32), 2**53, 2**53 + 1]
)
words = st.one_of(edges_64, st.integers(LEAST_64, MOST_64), st.integers(-1000, 1000))
edges_128 = st.sampled_from(
    [LEAST, LEAST + 1, MOST, MOST - 1, 2**64, 2**64 - 1, -(2**64), -(2**64) - 1, 2**63, -(2**63)]
)
near_powers = st.builds(
    lambda n, d, s: s * (2**n + d), st.integers(0, 126), st.integers(-3, 3), st.sampled_from([1, -1])
)
# Halfway between two neighbouring float64, and one to either side of it: the hard cases of rounding.
halfway = st.builds(
    lambda m, n, d, s: s * (((2**53 + m) * 2 + 1) * 2**n + d),
    st.integers(0, 2**53 - 1),
    st.integers(0, 72),
    st.integers(-1, 1),
    st.sampled_from([1, -1]),
)
wides = st.one_of(edges_128, near_powers, halfway, st.integers(LEAST, MOST), words)

# No deadline: the first call compiles. The same examples every time.
checked = settings(max_examples=300, deadline=None, derandomize=True)


def wrapped(n: int) -> int:
    """n modulo 2^128, as a signed number."""
    return (n + 2**127) % 2**128 - 2**127


def same(a: float, b: float) -> bool:
    return a == b and math.copysign(1.0, a) == math.copysign(1.0, b)


@checked
@given(wides)
def test_a_wide_integer_is_two_int64_and_comes_back(n: int) -> None:
    hi, lo = wide.from_int(n)
    assert LEAST_64 <= hi <= MOST_64
    assert LEAST_64 <= lo <= MOST_64
    assert wide.as_int(hi, lo) == n
    assert wide.as_int(np.int64(hi), np.int64(lo)) == n


@checked
@given(wides, words)
@example(MOST, 1)
@example(2**64 - 1, 1)
@example(0, -1)
def test_add_is_exact_and_wraps(n: int, value: int) -> None:
    assert wide.as_int(*wide.add(*wide.from_int(n), value)) == wrapped(n + value)


@checked
@given(wides, wides)
def test_add_wide_is_exact_and_wraps(n: int, m: int) -> None:
    assert wide.as_int(*wide.add_wide(*wide.from_int(n), *wide.from_int(m))) == wrapped(n + m)


@checked
@given(words, words)
@example(LEAST_64, LEAST_64)
@example(LEAST_64, MOST_64)
def test_multiply_is_exact_for_every_pair_of_int64(a: int, b: int) -> None:
    assert wide.as_int(*wide.multiply(a, b)) == a * b


@checked
@given(wides, words, words)
def test_add_product_is_exact_and_wraps(n: int, a: int, b: int) -> None:
    assert wide.as_int(*wide.add_product(*wide.from_int(n), a, b)) == wrapped(n + a * b)


@checked
@given(wides, words)
def test_multiply_small_is_exact_and_wraps(n: int, k: int) -> None:
    assert wide.as_int(*wide.multiply_small(*wide.from_int(n), k)) == wrapped(n * k)


@checked
@given(wides, wides)
@example(-1, 0)
@example(2**63, 2**63 - 1)
def test_less_orders_as_signed_numbers(n: int, m: int) -> None:
    assert wide.less(*wide.from_int(n), *wide.from_int(m)) == (n < m)
    assert not wide.less(*wide.from_int(n), *wide.from_int(n))


@checked
@given(wides)
@example(0)
@example(2**53 + 1)
@example(2**62)
@example(2**63 + 2**10)
@example(2**63 + 2**10 + 1)
@example(LEAST)
@example(MOST)
def test_to_float_rounds_to_the_nearest_ties_to_even(n: int) -> None:
    assert same(wide.to_float(*wide.from_int(n)), float(n))  # Python's own conversion is correctly rounded


@checked
@given(wides, st.integers(0, wide.SCALE_MAX))
@example(0, 5)
@example(LEAST, 27)
@example(MOST, 0)
@example(1, 27)
@example(-1, 1)
def test_divide_to_float_rounds_to_the_nearest_ties_to_even(n: int, scale: int) -> None:
    assert same(wide.divide_to_float(*wide.from_int(n), scale), n / 10**scale)  # as Python's division of integers


@checked
@given(st.integers(0, wide.SCALE_MAX), st.integers(2**52, 2**53 - 1), st.integers(-80, 20), st.integers(-2, 2))
def test_divide_to_float_holds_right_beside_the_middle_of_two_floats(
    scale: int, m: int, exponent: int, step: int
) -> None:
    # The integer nearest to 10^scale (m + 1/2) 2^exponent, and its neighbours.
    numerator = (2 * m + 1) * 10**scale
    n = (numerator << exponent if exponent >= 0 else numerator >> -exponent) + step
    if LEAST <= n <= MOST:
        assert same(wide.divide_to_float(*wide.from_int(n), scale), n / 10**scale)


def test_divide_to_float_is_null_for_a_scale_it_does_not_serve() -> None:
    assert math.isnan(wide.divide_to_float(0, 1, -1))
    assert math.isnan(wide.divide_to_float(0, 1, wide.SCALE_MAX + 1))


@numba.njit  # type: ignore[untyped-decorator]
def turnover(prices, sizes, out):  # type: ignore[no-untyped-def]
    hi, lo = 0, 0
    for i in range(prices.size):
        hi, lo = wide.add_product(hi, lo, prices[i], sizes[i])
    out[0], out[1] = hi, lo


def test_a_kernel_sums_price_times_size_of_a_minute_exactly() -> None:
    random = np.random.default_rng(20261121)
    prices = random.integers(1, 10**13, 2000)
    sizes = random.integers(-(10**17), 10**17, 2000)
    out = np.zeros(2, np.int64)

    turnover(prices, sizes, out)

    assert wide.as_int(*out) == sum(int(p) * int(q) for p, q in zip(prices, sizes, strict=True))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="this is the run in plain Python")  # type: ignore[attr-defined]
def test_all_of_this_holds_in_plain_python(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(Path(__file__))],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="no dispatchers in plain Python")  # type: ignore[attr-defined]
def test_only_dispatchers_stand_in_the_list_of_kernels() -> None:
    assert wide.add_product in kernel.KERNELS
    assert all(hasattr(compiled, "targetoptions") for compiled in kernel.KERNELS)
