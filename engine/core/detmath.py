"""exp, expm1, tanh, log, log1p and pow with the same bits on every machine.

The platform's own functions do not have them: libm and numpy pick other code on other CPUs. Here everything is made of
float64 + - * /, comparisons and bit casts, each correctly rounded by IEEE 754 and never fused (kernels have no
fastmath), so the bits depend neither on CPU, compiler level nor libc, and are the same with NUMBA_DISABLE_JIT=1.

Two cores carry all six functions, both in double-double (an unevaluated sum high + low, |low| <= ulp(high) / 2):
`exponential` gives e^(x + x_low) - 1 to 2^-58, `logarithm` gives ln x to a relative 2^-64. The functions round once at
the end; a subnormal result is rounded once more when it is scaled. The errors in the docstrings are those measured
against mpmath on 10^6 points per function: `python -m tests.core.detmath_large`. A NaN that goes in, and a result that
does not exist, is the one quiet NaN 0x7ff8000000000000.

Sources: argument reduction, the split of ln 2 and the special cases follow fdlibm (Sun Microsystems 1993: e_exp.c,
e_log.c, e_pow.c, s_tanh.c); sums and products without error follow T. J. Dekker, "A floating-point technique for
extending the available precision", Numer. Math. 18 (1971), and D. E. Knuth, TAOCP 2, 4.2.2. The series are Taylor's.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from engine.core.kernel import inlined, kernel

INFINITY = math.inf
NAN = math.nan

INVERSE_LN2 = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01  # 33 bits, so its product with any exponent is exact
LN2_LOW = 1.9082149292705877e-10
THIRD_LOW = 1.850371707708594e-17  # 1/3 - float(1/3)
TO_INTEGER = 6755399441055744.0  # 1.5 * 2^52: adding and subtracting it rounds to the nearest integer
SPLITTER = 134217729.0  # 2^27 + 1: halves a significand (Veltkamp)
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # bits of sqrt(1/2)
FRACTION_BITS = 52
EXPONENT_BIAS = 1023

FACTORIAL_INVERSE = tuple(1.0 / math.factorial(n) for n in range(16))
ODD_INVERSE = tuple(1.0 / (2 * n + 1) for n in range(14))


# ---- bit casts: a machine instruction in kernels, `struct` in plain Python ----

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def to_bits(x: float) -> int:
        """The 64 bits of a float64 as a signed integer."""
        return int(struct.unpack("<q", struct.pack("<d", x))[0])

    def from_bits(bits: int) -> float:
        """The float64 that has these 64 bits."""
        return float(struct.unpack("<d", struct.pack("<q", bits))[0])

else:

    @intrinsic
    def to_bits(typing_context: Any, x: Any) -> Any:
        """The 64 bits of a float64 as a signed integer."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], ir.IntType(64))

        return types.int64(types.float64), generate

    @intrinsic
    def from_bits(typing_context: Any, bits: Any) -> Any:
        """The float64 that has these 64 bits."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], ir.DoubleType())

        return types.float64(types.int64), generate


@inlined
def power_of_two(exponent: int) -> float:
    """2^exponent, for -1022 <= exponent <= 1023."""
    power: float = from_bits((exponent + EXPONENT_BIAS) << FRACTION_BITS)
    return power


@inlined
def scaled(x: float, exponent: int) -> float:
    """x * 2^exponent, rounded once, for |exponent| <= 2000 and |x| in [1/4, 4]; overflows to inf, underflows to 0."""
    half = exponent >> 1
    result: float = x * power_of_two(half) * power_of_two(exponent - half)
    return result


# ---- sums and products without error ----


@inlined
def two_sum(a: float, b: float) -> tuple[float, float]:
    """(s, e) with s = fl(a + b) and s + e = a + b exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inlined
def two_sum_ordered(a: float, b: float) -> tuple[float, float]:
    """`two_sum` for |a| >= |b|, or a = 0."""
    s = a + b
    return s, b - (s - a)


@inlined
def two_product(a: float, b: float) -> tuple[float, float]:
    """(p, e) with p = fl(a b) and p + e = a b exactly, for factors below 2^996 and a product above 2^-968."""
    p = a * b
    t = SPLITTER * a
    a_high = t - (t - a)
    a_low = a - a_high
    t = SPLITTER * b
    b_high = t - (t - b)
    b_low = b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


# ---- the two cores ----


@inlined
def exponential(x: float, x_low: float) -> tuple[int, float, float]:
    """(k, high, low) with e^(x + x_low) = 2^k (1 + high + low), |high| < 0.42; k = 0 when |x| < 0.34.

    |x| <= 800, |x_low| <= 2^-40. The error is below 2^-58, and below 2^-57 |high| when k = 0.
    Reduction r = x - k ln 2, then r + r^2/2 in double-double and the Taylor series from r^3/3! to r^15/15! in float64.
    """
    nearest = (x * INVERSE_LN2 + TO_INTEGER) - TO_INTEGER
    r, r_low = two_sum(x - nearest * LN2_HIGH, x_low - nearest * LN2_LOW)
    square, square_low = two_product(r, r)
    c = FACTORIAL_INVERSE
    fourth = square * square
    eighth = fourth * fourth
    even = (c[3] + square * c[5]) + fourth * (c[7] + square * c[9])
    even += eighth * ((c[11] + square * c[13]) + fourth * c[15])
    odd = (c[4] + square * c[6]) + fourth * (c[8] + square * c[10])
    odd += eighth * (c[12] + square * c[14])
    high, low = two_sum_ordered(r, 0.5 * square)
    low += (0.5 * square_low + r * square * (even + r * odd)) + r_low * (1.0 + high)
    high, low = two_sum_ordered(high, low)
    return int(nearest), high, low


@inlined
def logarithm(x: float) -> tuple[float, float]:
    """(high, low) with ln x = high + low to a relative 2^-64, for finite x > 0, subnormal included.

    x = 2^k m with m in [sqrt(1/2), sqrt(2)), s = (m - 1)/(m + 1), ln m = 2 s (1 + z/3 + z^2/5 + ...) with z = s^2:
    in double-double but for z/5 + ... + z^12/27, which is summed in float64.
    """
    k = 0
    if x < 2.2250738585072014e-308:
        x *= 18014398509481984.0  # 2^54
        k = -54
    bits = to_bits(x)
    exponent = (bits - ROOT_HALF_BITS) >> FRACTION_BITS
    k += exponent
    f = from_bits(bits - (exponent << FRACTION_BITS)) - 1.0

    divisor, divisor_low = two_sum_ordered(2.0, f)
    s = f / divisor
    product, product_low = two_product(s, divisor)
    s_low = (((f - product) - product_low) - s * divisor_low) / divisor

    z, z_low = two_product(s, s)
    z_low += 2.0 * s * s_low
    c = ODD_INVERSE
    z2 = z * z
    z4 = z2 * z2
    tail = ((c[2] + z * c[3]) + z2 * (c[4] + z * c[5])) + z4 * (
        ((c[6] + z * c[7]) + z2 * (c[8] + z * c[9])) + z4 * ((c[10] + z * c[11]) + z2 * (c[12] + z * c[13]))
    )
    factor, factor_low = two_sum_ordered(c[1], z * tail)
    factor_low += THIRD_LOW + z_low * c[2]
    series, series_low = two_product(z, factor)
    series_low += z * factor_low + z_low * factor
    product, product_low = two_product(s, series)
    product_low += s * series_low + s_low * series
    high, low = two_sum_ordered(s, product)
    low += s_low + product_low

    whole, whole_low = two_sum_ordered(k * LN2_HIGH, 2.0 * high)
    whole_low += 2.0 * low + k * LN2_LOW
    high, low = two_sum_ordered(whole, whole_low)
    return high, low


# ---- the functions ----


@kernel
def exp(x: float) -> float:
    """e^x for every float64. Largest error measured: 0.53 ulp, 0.75 where the result is subnormal.

    Infinity above 709.782712893384, 0 below -745.1332191019412; exp(+-0) = 1, exp(-inf) = 0.
    """
    x = float(x)
    if x != x:
        return NAN
    if x > 710.0:
        return INFINITY
    if x < -746.0:
        return 0.0
    k, high, low = exponential(x, 0.0)
    high, rest = two_sum_ordered(1.0, high)
    result: float = scaled(high + (rest + low), k)
    return result


@kernel
def expm1(x: float) -> float:
    """e^x - 1 for every float64, without cancellation near 0. Largest error measured: 0.58 ulp.

    Infinity above 709.782712893384, -1 below -38; expm1(+-0) = +-0, expm1(-inf) = -1.
    """
    x = float(x)
    if x != x:
        return NAN
    if x > 710.0:
        return INFINITY
    if x < -38.0:
        return -1.0
    if abs(x) < 8.673617379884035e-19:  # 2^-60: the next term, x^2/2, is below 2^-8 ulp
        return x
    k, high, low = exponential(x, 0.0)
    one = 0.0 if k > 60 else power_of_two(-k)
    base, base_low = two_sum(1.0, -one)
    high, rest = two_sum(base, high)
    result: float = scaled(high + (rest + base_low + low), k)
    return result


@kernel
def tanh(x: float) -> float:
    """Hyperbolic tangent for every float64. Largest error measured: 0.57 ulp.

    +-1 beyond 20, tanh(+-inf) = +-1, tanh(+-0) = +-0; odd in x to the last bit.
    """
    x = float(x)
    if x != x:
        return NAN
    size = abs(x)
    if size < 9.313225746154785e-10:  # 2^-30: the next term, x^3/3, is below 2^-8 ulp
        return x
    if size > 20.0:
        return 1.0 if x > 0.0 else -1.0
    # tanh |x| = -e/(2 + e) with e = e^(-2|x|) - 1 between -1 and 0, all in double-double.
    k, high, low = exponential(-2.0 * size, 0.0)
    unit = power_of_two(k)
    base, base_low = two_sum_ordered(-1.0, unit)
    e, e_low = two_sum(base, unit * high)
    e_low += base_low + unit * low
    divisor, divisor_low = two_sum_ordered(2.0, e)
    divisor_low += e_low
    quotient = e / divisor
    product, product_low = two_product(quotient, divisor)
    remainder = (((e - product) - product_low) + e_low) - quotient * divisor_low
    result: float = -(quotient + remainder / divisor)
    return result if x > 0.0 else -result


@kernel
def log(x: float) -> float:
    """Natural logarithm. Largest error measured: 0.501 ulp.

    Domain x >= 0: log(+-0) = -inf, log(1) = +0, log(inf) = inf; NaN for x < 0.
    """
    x = float(x)
    if x != x or x < 0.0:
        return NAN
    if x == 0.0:
        return -INFINITY
    if x == INFINITY:
        return INFINITY
    high, low = logarithm(x)
    result: float = high + low
    return result


@kernel
def log1p(x: float) -> float:
    """ln(1 + x), without cancellation near 0. Largest error measured: 0.61 ulp.

    Domain x >= -1: log1p(-1) = -inf, log1p(+-0) = +-0, log1p(inf) = inf; NaN for x < -1.
    """
    x = float(x)
    if x != x or x < -1.0:
        return NAN
    if x == -1.0:
        return -INFINITY
    if x == INFINITY:
        return INFINITY
    if abs(x) < 8.673617379884035e-19:  # 2^-60: the next term, x^2/2, is below 2^-8 ulp
        return x
    u, u_low = two_sum(1.0, x)
    high, low = logarithm(u)
    t = u_low / u
    high, rest = two_sum(high, t)
    result: float = high + (rest + (low - 0.5 * t * t))
    return result


@kernel
def pow(x: float, y: float) -> float:
    """x^y for every pair of float64. Largest error measured: 0.78 ulp.

    Exact wherever the true value is a float64 (10^22, 4^0.5, (-3)^3). Special cases of C99 F.9.4.4: 1 if y = +-0 or
    x = 1, even with a NaN beside it; else NaN if either is NaN, or if x < 0 is finite and y is finite and no integer;
    (-1)^+-inf = 1; |x| < 1 to -inf and |x| > 1 to +inf are inf, the other two 0; +-0 and +-inf to a finite y are 0 or
    inf, and keep their sign for odd integers y. Overflow gives +-inf, underflow +-0.
    """
    x = float(x)
    y = float(y)
    if y == 0.0 or x == 1.0:
        return 1.0
    if x != x or y != y:
        return NAN
    size = abs(x)
    y_size = abs(y)
    grows = (size > 1.0) == (y > 0.0)
    if size == 1.0 and y_size == INFINITY:
        return 1.0
    if y_size > 36893488147419103232.0:  # 2^65: every such y is even, and |y ln x| > 2^11 unless |x| = 1
        return 1.0 if size == 1.0 else (INFINITY if grows else 0.0)
    integer = y_size >= 9007199254740992.0 or float(int(y_size)) == y_size  # 2^53 and above: even integers
    sign = 1.0
    if to_bits(x) < 0 and integer and y_size < 9007199254740992.0 and int(y_size) & 1:
        sign = -1.0
    if size == 0.0 or size == INFINITY:
        return sign * (INFINITY if grows else 0.0)
    if x < 0.0 and not integer:
        return NAN
    if y_size < 2.710505431213761e-20:  # 2^-65: |y ln x| < 2^-55
        return 1.0
    log_high, log_low = logarithm(size)
    power, power_low = two_product(y, log_high)
    if power > 710.0:
        return sign * INFINITY
    if power < -746.0:
        return sign * 0.0
    k, high, low = exponential(power, power_low + y * log_low)
    high, rest = two_sum_ordered(1.0, high)
    result: float = sign * scaled(high + (rest + low), k)
    return result
