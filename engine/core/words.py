"""Bytes and bits: the primitives below the scanner and the books.

A kernel reads raw frames through plain addresses, because a slice per field would cost more than the field. Every
address a caller passes lies inside a RecordBatch, whose SLACK_BYTES make a load of up to 64 bytes at its edges safe.
Words are little-endian int64. With NUMBA_DISABLE_JIT=1 the same functions are plain Python on the same memory.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numba
import numpy as np

WORD_BITS = 64
ALL_BITS = -1
ASCII_ZEROS = 0x3030303030303030
NEW_LINE, QUOTE, COMMA, MINUS, DOT, ZERO, CLOSE_LIST = 10, 34, 44, 45, 46, 48, 93


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _unsigned(value: int) -> int:
    return int(value) & ((1 << 64) - 1)


if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def _bytes(address: int, count: int) -> bytes:
        return ctypes.string_at(int(address), count)

    def load8(address: int) -> int:
        return _bytes(address, 1)[0]

    def load16(address: int) -> int:
        return int.from_bytes(_bytes(address, 2), "little")

    def load32(address: int) -> int:
        return int.from_bytes(_bytes(address, 4), "little")

    def load64(address: int) -> int:
        return int.from_bytes(_bytes(address, 8), "little", signed=True)

    def _mask(address: int, wanted: Any) -> int:
        return _signed(sum(1 << i for i, byte in enumerate(_bytes(address, 64)) if wanted(byte)))

    def digit_mask(address: int) -> int:
        return _mask(address, lambda byte: 48 <= byte <= 57)

    def quote_mask(address: int) -> int:
        return _mask(address, lambda byte: byte == QUOTE)

    def plain_mask(address: int) -> int:
        return _mask(address, lambda byte: chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-."))

    def line_mask(address: int) -> int:
        return _mask(address, lambda byte: byte == NEW_LINE)

    def shift_right(word: int, bits: int) -> int:
        return _signed(_unsigned(word) >> int(bits)) if bits < WORD_BITS else 0

    def shift_left(word: int, bits: int) -> int:
        return _signed(_unsigned(word) << int(bits)) if bits < WORD_BITS else 0

    def lowest_bit(word: int) -> int:
        word = _unsigned(word)
        return (word & -word).bit_length() - 1 if word else WORD_BITS

    def highest_bit(word: int) -> int:
        return _unsigned(word).bit_length() - 1

    def mix(word: int, other: int) -> Any:
        # A number of numpy's, so that sums of such words wrap around as they do in a compiled kernel.
        return np.int64(_signed(_unsigned(_unsigned(word) ^ _unsigned(other)) * 0x9E3779B97F4A7C15))

    def eight_digits(word: int) -> int:
        value = 0
        for byte in _unsigned(word).to_bytes(8, "little"):
            value = value * 10 + byte
        return value

    def move(target: int, source: int, count: int) -> int:
        ctypes.memmove(int(target), int(source), int(count))
        return count

else:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    I1, I8, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(64)

    def _constant(value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def _unary(emit: Any) -> Any:
        """An int64 -> int64 function from a function that emits LLVM for it."""

        @intrinsic
        def function(_typing: Any, value: Any) -> Any:
            return types.int64(types.int64), lambda _context, builder, _signature, args: emit(builder, args[0])

        return function

    def _binary(emit: Any) -> Any:
        @intrinsic
        def function(_typing: Any, left: Any, right: Any) -> Any:
            signature = types.int64(types.int64, types.int64)
            return signature, lambda _context, builder, _signature, args: emit(builder, args[0], args[1])

        return function

    def _load(bits: int) -> Any:
        def emit(builder: Any, address: Any) -> Any:
            value = builder.load(builder.inttoptr(address, ir.IntType(bits).as_pointer()))
            value.align = 1
            return value if bits == WORD_BITS else builder.zext(value, I64)

        return _unary(emit)

    def _byte_mask(test: Any) -> Any:
        """Bit i of the result says whether byte i of the 64 bytes at the address passes the test."""
        vector = ir.VectorType(I8, WORD_BITS)

        def emit(builder: Any, address: Any) -> Any:
            value = builder.load(builder.inttoptr(address, vector.as_pointer()))
            value.align = 1
            return builder.bitcast(test(builder, value, lambda byte: ir.Constant(vector, [byte] * WORD_BITS)), I64)

        return _unary(emit)

    def _between(builder: Any, value: Any, splat: Any, first: int, count: int) -> Any:
        return builder.icmp_unsigned("<", builder.sub(value, splat(first)), splat(count))

    def _is_plain(builder: Any, value: Any, splat: Any) -> Any:
        letter = _between(builder, builder.or_(value, splat(0x20)), splat, ord("a"), 26)
        other = builder.or_(_between(builder, value, splat, ZERO, 10), builder.icmp_unsigned("==", value, splat(95)))
        sign_or_dot = _between(builder, value, splat, MINUS, 2)  # neighbours
        return builder.or_(builder.or_(letter, other), sign_or_dot)

    def _emit_eight_digits(builder: Any, word: Any) -> Any:
        # Pairs, then fours, then eight: each step weighs the earlier (lower) half and adds the later one.
        pairs = builder.add(builder.mul(word, _constant(10)), builder.lshr(word, _constant(8)))
        low = builder.and_(pairs, _constant(0x000000FF000000FF))
        high = builder.and_(builder.lshr(pairs, _constant(16)), _constant(0x000000FF000000FF))
        weighed = builder.mul(low, _constant(100 + (1_000_000 << 32)))
        total = builder.add(weighed, builder.mul(high, _constant(1 + (10_000 << 32))))
        return builder.lshr(total, _constant(32))

    def _emit_move(builder: Any, target: Any, source: Any, count: Any) -> Any:
        pointer = I8.as_pointer()
        function = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, I64])
        builder.call(function, [builder.inttoptr(target, pointer), builder.inttoptr(source, pointer), count, I1(0)])
        return count

    load8, load16, load32, load64 = _load(8), _load(16), _load(32), _load(64)
    digit_mask = _byte_mask(lambda builder, value, splat: _between(builder, value, splat, ZERO, 10))
    quote_mask = _byte_mask(lambda builder, value, splat: builder.icmp_unsigned("==", value, splat(QUOTE)))
    plain_mask = _byte_mask(_is_plain)
    line_mask = _byte_mask(lambda builder, value, splat: builder.icmp_unsigned("==", value, splat(NEW_LINE)))
    shift_right = _binary(lambda builder, word, bits: builder.lshr(word, bits))
    shift_left = _binary(lambda builder, word, bits: builder.shl(word, bits))
    lowest_bit = _unary(lambda builder, word: builder.cttz(word, I1(0)))
    highest_bit = _unary(lambda builder, word: builder.sub(_constant(63), builder.ctlz(word, I1(0))))
    mix = _binary(lambda builder, word, other: builder.mul(builder.xor(word, other), _constant(0x9E3779B97F4A7C15)))
    eight_digits = _unary(_emit_eight_digits)

    @intrinsic
    def move(_typing: Any, target: Any, source: Any, count: Any) -> Any:
        signature = types.int64(types.int64, types.int64, types.int64)
        return signature, lambda _context, builder, _signature, args: _emit_move(builder, *args)
