"""detmath: within 2 ulp of the truth, exact at the edges, and the same bits in every environment."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from mpmath import libmp  # type: ignore[import-untyped]

from engine.core import detmath, kernel
from tests.core.detmath_large import FUNCTIONS, ULP_MAX, bits_of, points_of, ulp_error, worst

ROOT = Path(__file__).resolve().parents[2]
INF = math.inf
NAN = math.nan
TINY = 5e-324  # the smallest subnormal
HUGE = 1.7976931348623157e308
QUIET_NAN_BITS = 0x7FF8000000000000
POINTS = 10_000
# Of 2000 fixed points per function. If it changes, the arithmetic has changed, and every journal replays differently.
DIGEST = "9669702b25ea632ebb330ec88e18cb72b587af166bcee5a52d08c16ca381b9f4"
SIZES = (0.0, TINY, 0.5, 1.0, 2.0, 2.5, 3.0, 1e300, 2.0**53, 2.0**53 - 1.0, HUGE, INF, NAN)
SPECIALS = (*SIZES, *(-x for x in SIZES))


def same(a: float, b: float) -> bool:
    """Equal bits, the sign of zero included; every NaN must be the one quiet NaN."""
    return bits_of(a) == (QUIET_NAN_BITS if math.isnan(b) else bits_of(b))


# ---- accuracy ----


def test_ulp_error_counts_units_in_the_last_place() -> None:
    one_and_a_half = libmp.from_float(1.5)
    assert ulp_error(1.5, one_and_a_half) == 0.0
    assert ulp_error(math.nextafter(1.5, 2.0), one_and_a_half) == 1.0
    assert ulp_error(3 * TINY, libmp.from_float(TINY)) == 2.0
    assert ulp_error(INF, libmp.from_float(HUGE)) == 1.0
    assert ulp_error(INF, libmp.from_man_exp(1, 1025)) == 0.0
    assert ulp_error(-INF, libmp.from_man_exp(1, 1025)) == INF
    assert ulp_error(NAN, one_and_a_half) == INF


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_is_at_most_two_ulp_on_ten_thousand_points(name: str) -> None:
    points = points_of(name, POINTS)
    assert len(points) > 0.99 * POINTS

    error, where = worst(name, points)

    assert error <= ULP_MAX, f"{name}{where}: {error} ulp"


# ---- edges ----


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (detmath.exp, 0.0, 1.0),
        (detmath.exp, -0.0, 1.0),
        (detmath.exp, TINY, 1.0),
        (detmath.exp, 1.0, math.e),
        (detmath.exp, INF, INF),
        (detmath.exp, -INF, 0.0),
        (detmath.exp, 709.782712893384, 1.7976931348622732e308),
        (detmath.exp, 709.7827128933841, INF),
        (detmath.exp, HUGE, INF),
        (detmath.exp, -745.1332191019411, TINY),
        (detmath.exp, -745.1332191019412, 0.0),
        (detmath.exp, -HUGE, 0.0),
        (detmath.expm1, 0.0, 0.0),
        (detmath.expm1, -0.0, -0.0),
        (detmath.expm1, TINY, TINY),
        (detmath.expm1, -TINY, -TINY),
        (detmath.expm1, 1e-17, 1e-17),
        (detmath.expm1, INF, INF),
        (detmath.expm1, -INF, -1.0),
        (detmath.expm1, -HUGE, -1.0),
        (detmath.expm1, -37.5, -1.0),
        (detmath.expm1, 709.7827128933841, INF),
        (detmath.tanh, 0.0, 0.0),
        (detmath.tanh, -0.0, -0.0),
        (detmath.tanh, TINY, TINY),
        (detmath.tanh, -TINY, -TINY),
        (detmath.tanh, 19.5, 1.0),
        (detmath.tanh, HUGE, 1.0),
        (detmath.tanh, INF, 1.0),
        (detmath.tanh, -INF, -1.0),
        (detmath.log, 0.0, -INF),
        (detmath.log, -0.0, -INF),
        (detmath.log, 1.0, 0.0),
        (detmath.log, INF, INF),
        (detmath.log, -TINY, NAN),
        (detmath.log, -1.0, NAN),
        (detmath.log, -INF, NAN),
        (detmath.log, TINY, -744.4400719213812),
        (detmath.log, HUGE, 709.782712893384),
        (detmath.log1p, 0.0, 0.0),
        (detmath.log1p, -0.0, -0.0),
        (detmath.log1p, TINY, TINY),
        (detmath.log1p, -TINY, -TINY),
        (detmath.log1p, -1.0, -INF),
        (detmath.log1p, -1.0000000000000002, NAN),
        (detmath.log1p, -INF, NAN),
        (detmath.log1p, INF, INF),
        (detmath.log1p, HUGE, 709.782712893384),
    ],
)
def test_edge_has_its_one_answer(function: Callable[[float], float], x: float, expected: float) -> None:
    assert same(function(x), expected)


@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "log", "log1p"])
def test_not_a_number_stays_the_one_quiet_nan(name: str) -> None:
    negative_nan = math.copysign(NAN, -1.0)
    assert bits_of(FUNCTIONS[name](NAN)) == QUIET_NAN_BITS
    assert bits_of(FUNCTIONS[name](negative_nan)) == QUIET_NAN_BITS


def test_tanh_and_its_mirror_have_the_same_bits() -> None:
    assert all(same(detmath.tanh(-x), -detmath.tanh(x)) for (x,) in points_of("tanh", 600))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (NAN, 0.0, 1.0),
        (NAN, -0.0, 1.0),
        (1.0, NAN, 1.0),
        (NAN, 1.0, NAN),
        (2.0, NAN, NAN),
        (-1.0, INF, 1.0),
        (-1.0, -INF, 1.0),
        (0.5, -INF, INF),
        (-0.5, -INF, INF),
        (2.0, -INF, 0.0),
        (0.5, INF, 0.0),
        (-2.0, INF, INF),
        (0.0, -3.0, INF),
        (-0.0, -3.0, -INF),
        (-0.0, -2.0, INF),
        (-0.0, -2.5, INF),
        (-0.0, -INF, INF),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, 0.5, 0.0),
        (-INF, -3.0, -0.0),
        (-INF, -2.0, 0.0),
        (-INF, 3.0, -INF),
        (-INF, 0.5, INF),
        (INF, -TINY, 0.0),
        (INF, TINY, INF),
        (-2.0, 0.5, NAN),
        (-TINY, TINY, NAN),
        (-1.0, 2.0**53 - 1.0, -1.0),
        (-1.0, 2.0**53, 1.0),
        (-1.0, 1e300, 1.0),
        (-2.0, 1025.0, -INF),
        (-2.0, -1075.0, -0.0),
        (-2.0, -1073.0, -2 * TINY),
        (2.0, 1023.0, 2.0**1023),
        (2.0, -1074.0, TINY),
        (math.nextafter(1.0, 2.0), 1e300, INF),
        (math.nextafter(1.0, 0.0), 1e300, 0.0),
        (HUGE, TINY, 1.0),
        (HUGE, 1.0, HUGE),
        (TINY, 1.0, TINY),
        (TINY, -1.0, INF),
    ],
)
def test_pow_answers_as_c99_asks(x: float, y: float, expected: float) -> None:
    assert same(detmath.pow(x, y), expected)


def test_pow_agrees_with_the_c_library_wherever_the_answer_is_special() -> None:
    c_pow = ctypes.CDLL(None).pow
    c_pow.argtypes = [ctypes.c_double, ctypes.c_double]
    c_pow.restype = ctypes.c_double
    for x, y in product(SPECIALS, SPECIALS):
        expected = c_pow(x, y)
        if math.isnan(expected) or math.isinf(expected) or expected == 0.0:
            assert same(detmath.pow(x, y), expected), (x, y)


def test_pow_is_exact_where_a_float_holds_the_result() -> None:
    assert all(detmath.pow(10.0, float(n)) == float(10**n) for n in range(23))
    assert all(detmath.pow(2.0, float(n)) == math.ldexp(1.0, n) for n in range(-1074, 1024))
    assert all(detmath.pow(-3.0, float(n)) == float((-3) ** n) for n in range(34))
    assert all(detmath.pow(float(n * n), 0.5) == float(n) for n in range(1, 2000))
    assert all(detmath.pow(x, 1.0) == x for x, _ in points_of("pow", 800))


# ---- the same bits everywhere ----


def digest_of_fixed_points(count: int) -> str:
    """SHA-256 over the bits of every function at its fixed points and at the edges."""
    digest = hashlib.sha256()
    for name, function in FUNCTIONS.items():
        edges = product(SPECIALS, SPECIALS) if name == "pow" else ((x,) for x in SPECIALS)
        for arguments in [*points_of_bits(count, 2 if name == "pow" else 1), *edges]:
            digest.update(bits_of(function(*arguments)).to_bytes(8, "little"))
    return digest.hexdigest()


def points_of_bits(count: int, arity: int) -> list[tuple[float, ...]]:
    """Points from integers, so that no library has a hand in them: magnitudes 2^-31 to 2^11 and their small parts."""
    points = []
    word = 20261121
    for _ in range(count):
        arguments = []
        for _ in range(arity):
            word = (word * 6364136223846793005 + 1442695040888963407) % 2**64
            sign = -1.0 if word & 1 else 1.0
            arguments.append(sign * (1 + (word >> 11)) / 2.0 ** (42 + (word >> 1) % 42))
        points.append(tuple(arguments))
    return points


def digest_in(environment: dict[str, str], cache: Path, count: int) -> str:
    """The digest a fresh process computes in a changed environment, with its own kernel cache."""
    program = f"from tests.core import test_detmath; print(test_detmath.digest_of_fixed_points({count}))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


ENVIRONMENTS = {
    "a processor without vector extensions": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "a compiler that does not optimise": {"NUMBA_OPT": "0"},
    "a libm without fused multiply-add": {
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX2,-FMA,-FMA4",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    },
}


def test_bits_are_the_committed_ones() -> None:
    assert digest_of_fixed_points(2000) == DIGEST


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_bits_are_the_same_on(environment: str, tmp_path: Path) -> None:
    assert digest_in(ENVIRONMENTS[environment], tmp_path, 2000) == DIGEST


def test_bits_are_the_same_in_plain_python(tmp_path: Path) -> None:
    assert digest_in({"NUMBA_DISABLE_JIT": "1"}, tmp_path, 300) == digest_of_fixed_points(300)


def test_the_digest_notices_one_changed_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of_fixed_points(10)
    monkeypatch.setitem(FUNCTIONS, "exp", lambda x: math.nextafter(detmath.exp(x), INF))
    assert digest_of_fixed_points(10) != before


def test_no_function_may_be_fused_or_reordered() -> None:
    for function in FUNCTIONS.values():
        assert function in kernel.KERNELS
        assert not function.targetoptions.get("fastmath")
        assert not function.targetoptions.get("parallel")
