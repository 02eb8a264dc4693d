"""Exact sums beyond 64 bits: a signed 128-bit integer on two int64.

A price times a size, both integers at the instrument's scales, and the sum of such products over a minute, need more
than 64 bits. A wide integer is the pair (hi, lo): two's complement, hi the upper 64 bits with the sign, lo the lower 64
bits read as unsigned though stored in an int64. Every sum and product is exact modulo 2^128, so it is exact while the
true value stays in [-2^127, 2^127), about 1.7e38; beyond, it wraps and nothing tells. A price of 100,000 at scale 8
times a size of a thousand million at scale 8 is 1e30: a hundred million such trades fit.

In kernels the primitives are LLVM's i128 instructions; with NUMBA_DISABLE_JIT=1 they are Python integers. All the rest
is written once on top of them, so both give the same values. No library routine is called for a division.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsInt

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from engine.core.detmath import NAN, power_of_two
from engine.core.kernel import inlined

SCALE_MAX = 27  # 5^27 < 2^63 < 5^28: the divisor of `divide_to_float` stays in an int64
POWERS_OF_FIVE = tuple(5**n for n in range(SCALE_MAX + 1))

_WORD = 2**64
_WIDE = 2**128


# ---- plain Python ----


def as_int(hi: SupportsInt, lo: SupportsInt) -> int:
    """The Python integer of a wide one."""
    return (int(hi) << 64) | (int(lo) % _WORD)


def from_int(n: int) -> tuple[int, int]:
    """(hi, lo) of n modulo 2^128; exact for -2^127 <= n < 2^127."""
    n %= _WIDE
    hi, lo = n >> 64, n % _WORD
    return hi - _WORD * (hi >> 63), lo - _WORD * (lo >> 63)


# ---- primitives, twice: Python integers, and i128 instructions ----

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def _add(hi: int, lo: int, hi2: int, lo2: int) -> tuple[int, int]:
        return from_int(as_int(hi, lo) + as_int(hi2, lo2))

    def _subtract(hi: int, lo: int, hi2: int, lo2: int) -> tuple[int, int]:
        return from_int(as_int(hi, lo) - as_int(hi2, lo2))

    def _multiply(a: int, b: int) -> tuple[int, int]:
        return from_int(int(a) * int(b))

    def _multiply_small(hi: int, lo: int, k: int) -> tuple[int, int]:
        return from_int(as_int(hi, lo) * int(k))

    def _less(hi: int, lo: int, hi2: int, lo2: int) -> bool:
        return as_int(hi, lo) < as_int(hi2, lo2)

    def _shift_left(hi: int, lo: int, count: int) -> tuple[int, int]:
        return from_int(as_int(hi, lo) << count)

    def _shift_right(hi: int, lo: int, count: int) -> tuple[int, int]:
        return from_int((as_int(hi, lo) % _WIDE) >> count)

    def _bit_length(hi: int, lo: int) -> int:
        return (as_int(hi, lo) % _WIDE).bit_length()

else:
    _I64 = ir.IntType(64)
    _I128 = ir.IntType(128)
    _PAIR = types.UniTuple(types.int64, 2)  # type: ignore[no-untyped-call]

    def _joined(builder: Any, hi: Any, lo: Any) -> Any:
        upper = builder.shl(builder.zext(hi, _I128), _I128(64))
        return builder.or_(upper, builder.zext(lo, _I128))

    def _primitive(arity: int, operation: Callable[[Any, list[Any]], Any], result: Any = _PAIR) -> tuple[Any, Any]:
        """What an intrinsic returns: its signature over `arity` int64, and the code generator around `operation`."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = operation(builder, list(arguments))
            if result is not _PAIR:
                return value
            hi = builder.trunc(builder.lshr(value, _I128(64)), _I64)
            return context.make_tuple(builder, _PAIR, (hi, builder.trunc(value, _I64)))

        return result(*[types.int64] * arity), generate

    @intrinsic
    def _add(typing_context: Any, hi: Any, lo: Any, hi2: Any, lo2: Any) -> Any:
        return _primitive(4, lambda b, a: b.add(_joined(b, a[0], a[1]), _joined(b, a[2], a[3])))

    @intrinsic
    def _subtract(typing_context: Any, hi: Any, lo: Any, hi2: Any, lo2: Any) -> Any:
        return _primitive(4, lambda b, a: b.sub(_joined(b, a[0], a[1]), _joined(b, a[2], a[3])))

    @intrinsic
    def _multiply(typing_context: Any, a: Any, b: Any) -> Any:
        return _primitive(2, lambda b, a: b.mul(b.sext(a[0], _I128), b.sext(a[1], _I128)))

    @intrinsic
    def _multiply_small(typing_context: Any, hi: Any, lo: Any, k: Any) -> Any:
        return _primitive(3, lambda b, a: b.mul(_joined(b, a[0], a[1]), b.sext(a[2], _I128)))

    @intrinsic
    def _less(typing_context: Any, hi: Any, lo: Any, hi2: Any, lo2: Any) -> Any:
        def operation(b: Any, a: Any) -> Any:
            return b.icmp_signed("<", _joined(b, a[0], a[1]), _joined(b, a[2], a[3]))

        return _primitive(4, operation, types.boolean)

    @intrinsic
    def _shift_left(typing_context: Any, hi: Any, lo: Any, count: Any) -> Any:
        return _primitive(3, lambda b, a: b.shl(_joined(b, a[0], a[1]), b.zext(a[2], _I128)))

    @intrinsic
    def _shift_right(typing_context: Any, hi: Any, lo: Any, count: Any) -> Any:
        return _primitive(3, lambda b, a: b.lshr(_joined(b, a[0], a[1]), b.zext(a[2], _I128)))

    @intrinsic
    def _bit_length(typing_context: Any, hi: Any, lo: Any) -> Any:
        def operation(b: Any, a: Any) -> Any:
            zeros = b.ctlz(_joined(b, a[0], a[1]), cgutils.false_bit)
            return b.trunc(b.sub(_I128(128), zeros), _I64)

        return _primitive(2, operation, types.int64)


# ---- sums and products; a value that is not named wide is an int64 ----


@inlined
def add(hi: int, lo: int, value: int) -> tuple[int, int]:
    """hi:lo + value."""
    hi, lo = _add(hi, lo, value >> 63, value)
    return hi, lo


@inlined
def add_wide(hi: int, lo: int, hi2: int, lo2: int) -> tuple[int, int]:
    """hi:lo + hi2:lo2."""
    hi, lo = _add(hi, lo, hi2, lo2)
    return hi, lo


@inlined
def subtract_wide(hi: int, lo: int, hi2: int, lo2: int) -> tuple[int, int]:
    """hi:lo - hi2:lo2."""
    hi, lo = _subtract(hi, lo, hi2, lo2)
    return hi, lo


@inlined
def multiply(a: int, b: int) -> tuple[int, int]:
    """a b, exact for every pair of int64."""
    hi, lo = _multiply(a, b)
    return hi, lo


@inlined
def add_product(hi: int, lo: int, a: int, b: int) -> tuple[int, int]:
    """hi:lo + a b: one step of a sum of price times size."""
    product_hi, product_lo = _multiply(a, b)
    hi, lo = _add(hi, lo, product_hi, product_lo)
    return hi, lo


@inlined
def multiply_small(hi: int, lo: int, k: int) -> tuple[int, int]:
    """k times hi:lo."""
    hi, lo = _multiply_small(hi, lo, k)
    return hi, lo


@inlined
def less(hi: int, lo: int, hi2: int, lo2: int) -> bool:
    """hi:lo < hi2:lo2, as signed numbers."""
    answer: bool = _less(hi, lo, hi2, lo2)
    return answer


@inlined
def magnitude(hi: int, lo: int) -> tuple[int, int]:
    """|hi:lo| as an unsigned wide integer, 2^127 included."""
    if hi < 0:
        hi, lo = _subtract(0, 0, hi, lo)
    return hi, lo


# ---- to float64 ----


@inlined
def to_float(hi: int, lo: int) -> float:
    """The float64 nearest to hi:lo, ties to even, for every wide integer."""
    top_hi, top = magnitude(hi, lo)
    excess = _bit_length(top_hi, top) - 62
    size = 0.0
    if excess <= 0:
        size = float(top)  # top_hi is 0
    else:
        # 62 bits hold the 53 to keep and the rounding bit; one sticky bit stands for all that is cut off.
        _, kept = _shift_right(top_hi, top, excess)
        back_hi, back = _shift_left(0, kept, excess)
        sticky = 0 if back_hi == top_hi and back == top else 1
        size = float(kept | sticky) * power_of_two(excess)
    return -size if hi < 0 else size


@inlined
def divide_to_float(hi: int, lo: int, scale: int) -> float:
    """The float64 nearest to hi:lo / 10^scale, ties to even: correctly rounded for 0 <= scale <= 27, NaN outside.

    The quotient by 5^scale is found as an exact integer of 55 to 57 bits and a sticky bit: a first guess in float64,
    a second one of what it left, then whole steps. The power of two in 10^scale only moves the exponent.
    """
    if scale < 0 or scale > SCALE_MAX:
        return NAN
    if hi == 0 and lo == 0:
        return 0.0
    divisor = POWERS_OF_FIVE[scale]
    rest_hi, rest = magnitude(hi, lo)
    shift = _bit_length(0, divisor) + 56 - _bit_length(rest_hi, rest)
    sticky = 0
    if shift >= 0:
        rest_hi, rest = _shift_left(rest_hi, rest, shift)
    else:
        cut_hi, cut = _shift_right(rest_hi, rest, -shift)
        back_hi, back = _shift_left(cut_hi, cut, -shift)
        sticky = 0 if back_hi == rest_hi and back == rest else 1
        rest_hi, rest = cut_hi, cut

    quotient = 0
    for _ in range(2):
        guess = int(to_float(rest_hi, rest) / float(divisor))
        guess_hi, guess_lo = _multiply(guess, divisor)
        rest_hi, rest = _subtract(rest_hi, rest, guess_hi, guess_lo)
        quotient += guess
    while rest_hi < 0:
        rest_hi, rest = add(rest_hi, rest, divisor)
        quotient -= 1
    while not _less(rest_hi, rest, 0, divisor):
        rest_hi, rest = _subtract(rest_hi, rest, 0, divisor)
        quotient += 1
    if rest != 0:
        sticky = 1

    size: float = float((quotient << 1) | sticky) * power_of_two(-1 - shift - scale)
    return -size if hi < 0 else size
