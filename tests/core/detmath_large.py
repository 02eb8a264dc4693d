"""detmath against mpmath: the points, the error in ulp, and the run of 10^6 points per function.

    python -m tests.core.detmath_large [points] [function ...]

prints one line per function: points, largest error in ulp, where. It exits with 1 if any error passes `ULP_MAX`.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from mpmath import libmp  # type: ignore[import-untyped]

from engine.core import detmath

SEED = 20261121
ULP_MAX = 2.0
ORACLE_BITS = 200
CHUNK = 10_000

FUNCTIONS: dict[str, Any] = {
    "exp": detmath.exp,
    "expm1": detmath.expm1,
    "tanh": detmath.tanh,
    "log": detmath.log,
    "log1p": detmath.log1p,
    "pow": detmath.pow,
}


# ---- distance ----


def bits_of(x: float) -> int:
    """The 64 bits of a float64, unsigned."""
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


def ulp_error(result: float, exact: Any) -> float:
    """|result - exact| in units of the last place of a float64 of the size of `exact` (an mpmath libmp number).

    The unit is 2^-1074 among subnormals and never above 2^971. Infinity counts as 2^1024, and is right for all beyond.
    """
    if math.isnan(result):
        return math.inf
    _, mantissa, exponent, bit_count = exact
    unit = min(max(exponent + bit_count - 53, -1074), 971) if mantissa else -1074
    if math.isinf(result):
        if exponent + bit_count > 1024:
            return 0.0 if (result < 0) == bool(exact[0]) else math.inf
        result_exact = libmp.from_man_exp(-1 if result < 0 else 1, 1024)
    else:
        result_exact = libmp.from_float(result)
    difference = libmp.mpf_abs(libmp.mpf_sub(result_exact, exact, ORACLE_BITS))
    return float(libmp.to_float(libmp.mpf_shift(difference, -unit)))


def truth(name: str, arguments: tuple[float, ...]) -> Any:
    """The function's value to 200 bits."""
    x = libmp.from_float(arguments[0])
    bits = ORACLE_BITS
    if name == "exp":
        return libmp.mpf_exp(x, bits)
    if name == "expm1":
        # The bits that e^x - 1 loses near 0 are added beforehand.
        lost = max(0, -math.frexp(arguments[0])[1])
        return libmp.mpf_sub(libmp.mpf_exp(x, bits + 2 * lost + 10), libmp.fone, bits)
    if name == "tanh":
        return libmp.mpf_tanh(x, bits)
    if name == "log":
        return libmp.mpf_log(x, bits)
    if name == "log1p":
        return libmp.mpf_log(libmp.mpf_add(libmp.fone, x), bits)  # 1 + x exactly
    if arguments[0] < 0.0:
        odd = math.fmod(arguments[1], 2.0) != 0.0
        size = truth("pow", (-arguments[0], arguments[1]))
        return libmp.mpf_neg(size) if odd else size
    # e^(y ln x): |y ln x| below 2^11 costs 11 bits of the 264.
    power = libmp.mpf_mul(libmp.mpf_log(x, 264), libmp.from_float(arguments[1]), 264)
    return libmp.mpf_exp(power, bits)


def error_of(name: str, arguments: tuple[float, ...]) -> float:
    """Error in ulp of one call."""
    return ulp_error(FUNCTIONS[name](*arguments), truth(name, arguments))


# ---- points ----


def _magnitudes(random: np.random.Generator, count: int, low: int, high: int) -> np.ndarray:
    """Log-uniform positive numbers between 2^low and 2^high, subnormals included."""
    return np.ldexp(random.uniform(1.0, 2.0, count), random.integers(low, high, count))


def _signed(random: np.random.Generator, values: np.ndarray) -> np.ndarray:
    return values * random.choice([-1.0, 1.0], values.size)


def _near(random: np.random.Generator, centre: float, count: int) -> np.ndarray:
    """Numbers around `centre` at every relative distance from one ulp to one half."""
    return centre * (1.0 + _signed(random, _magnitudes(random, count, -52, -1)))


def points_of(name: str, count: int, seed: int = SEED) -> list[tuple[float, ...]]:
    """About `count` finite arguments over the whole range, with the hard places given as much room as the easy ones."""
    random = np.random.default_rng([seed, sorted(FUNCTIONS).index(name)])
    if name == "pow":
        return _pow_points(random, count)
    part = count // 6
    ln2 = math.log(2.0)
    if name in ("exp", "expm1"):
        families = [
            random.uniform(-745.5, 710.0, part),
            random.uniform(-2.0, 2.0, part),
            _signed(random, _magnitudes(random, part, -60, 9)),
            _signed(random, _magnitudes(random, part, -1074, 0)),
            _near(random, 709.782712893384, part // 2),
            random.uniform(-745.2, -708.3, part // 2),  # subnormal results
            random.uniform(-40.0, 0.0, part // 2),
            # Where the reduction changes its k.
            (random.integers(-1070, 1023, part // 2) + 0.5) * ln2 * (1.0 + random.uniform(-1e-3, 1e-3, part // 2)),
        ]
    elif name == "tanh":
        families = [
            _signed(random, random.uniform(0.0, 1.0, 2 * part)),
            _signed(random, random.uniform(0.0, 23.0, part)),
            _signed(random, _magnitudes(random, part, -32, 5)),
            _signed(random, _magnitudes(random, part, -1074, 0)),
            _near(random, ln2 / 4, part // 2),
            _signed(random, _magnitudes(random, part // 2, 0, 1023)),
        ]
    elif name == "log":
        families = [
            _magnitudes(random, 2 * part, -1074, 1023),
            random.uniform(0.0, 3.0, part),
            _near(random, 1.0, part),
            _near(random, math.sqrt(0.5), part // 2),
            _near(random, math.sqrt(2.0), part // 2),
            _magnitudes(random, part, -1074, -1022),
        ]
    else:
        families = [
            _signed(random, _magnitudes(random, part, -60, 0)) * 0.999,
            _signed(random, _magnitudes(random, part, -1074, 0)) * 0.999,
            _magnitudes(random, part, -3, 1023),
            random.uniform(-1.0, 3.0, part),
            np.maximum(_near(random, -1.0, part), -1.0 + 2.0**-53),
            _magnitudes(random, part, 50, 56),
        ]
    values = np.concatenate(families)
    smallest = {"log": 5e-324, "log1p": -1.0 + 2.0**-53}.get(name, -math.inf)
    return [(float(x),) for x in values[np.isfinite(values)] if x >= smallest]


def _pow_points(random: np.random.Generator, count: int) -> list[tuple[float, ...]]:
    part = count // 10
    x_wide = _magnitudes(random, part, -1074, 1023)
    target = random.uniform(-746.0, 710.0, part)  # y chosen so that y ln x covers the whole range of exp
    near_one = np.abs(_near(random, 1.0, part))
    near_one[near_one == 1.0] = 1.0 + 2.0**-52
    edge = np.concatenate([random.uniform(-745.2, -707.0, part // 2), random.uniform(708.0, 709.8, part - part // 2)])
    x_edge = _magnitudes(random, part, -1022, 1023)
    # Large powers of numbers near sqrt(1/2) and sqrt(2), where the series of the logarithm is longest: the worst place.
    x_worst = np.concatenate([random.uniform(0.7072, 0.75, part), random.uniform(1.35, 1.4142, part)])
    far = _signed(random, random.uniform(500.0, 709.0, 2 * part))
    integers = random.integers(-60, 61, part).astype(np.float64)
    halves = random.choice([0.5, -0.5, 1.5, 2.0, -1.0, 3.0, 1.0 / 3.0, 0.25, 0.75], part)
    with np.errstate(all="ignore"):
        families = [
            (x_wide, target / np.log(x_wide)),
            (near_one, random.uniform(-746.0, 710.0, part) / np.log(near_one)),
            (x_edge, edge / np.log(x_edge)),
            (x_worst, far / np.log(x_worst)),
            (_signed(random, random.uniform(0.0, 1000.0, part)), integers),
            (_magnitudes(random, part, -1074, 1023), halves),
            (random.uniform(0.0, 10.0, part), random.uniform(-10.0, 10.0, part)),
            (_magnitudes(random, part, -1074, 1023), _signed(random, _magnitudes(random, part, -70, 0))),
            (_signed(random, _magnitudes(random, part, -1074, 1023)), random.integers(-4, 5, part).astype(np.float64)),
        ]
    pairs = [(float(x), float(y)) for xs, ys in families for x, y in zip(xs, ys, strict=True)]
    return [(x, y) for x, y in pairs if x != 0.0 and math.isfinite(x) and math.isfinite(y)]


def worst(name: str, points: list[tuple[float, ...]]) -> tuple[float, tuple[float, ...]]:
    """(largest error in ulp, its arguments)."""
    return max((error_of(name, arguments), arguments) for arguments in points)


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for index in range(-(-count // CHUNK)):
        yield SEED + 1 + index, min(CHUNK, count - index * CHUNK)


def main(arguments: list[str]) -> int:
    """Run `points` (default 10^6) points of every named function."""
    count = int(arguments[0]) if arguments else 1_000_000
    failed = False
    for name in arguments[1:] or FUNCTIONS:
        done, error = 0, 0.0
        where: tuple[float, ...] = ()
        for seed, size in _chunks(count):
            points = points_of(name, size, seed)
            done += len(points)
            error, where = max((error, where), worst(name, points))
        failed |= error > ULP_MAX
        place = ", ".join(x.hex() for x in where)
        print(f"{name:6} {done:8} points, largest error {error:.4f} ulp at {place}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
