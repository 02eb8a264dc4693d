"""The byte and bit primitives mean the same compiled and in plain Python."""

import json
import os
import subprocess
import sys

import numba
import numpy as np

from engine.core import words

TEXT = b'{"p":"61800.20","q":"0.006"}_zA~\xff\\' + bytes(range(40, 120))
PROGRAM = """
import numba, numpy as np
from engine.core import words
from tests.core.test_words import TEXT, answers
buffer = np.zeros(512, np.uint8)
buffer[64 : 64 + len(TEXT)] = np.frombuffer(TEXT, np.uint8)
print([int(value) for value in answers(buffer.ctypes.data + 64)])
"""


@numba.njit
def answers(address):
    out = []
    for offset in range(0, 40, 3):
        a = address + offset
        out.append(words.load8(a))
        out.append(words.load16(a))
        out.append(words.load32(a))
        out.append(words.load64(a))
        out.append(words.digit_mask(a))
        out.append(words.quote_mask(a))
        out.append(words.plain_mask(a))
        out.append(words.line_mask(a))
        out.append(words.mix(words.load64(a), words.load64(a + 8)))
        out.append(words.lowest_bit(words.digit_mask(a)))
        out.append(words.highest_bit(words.plain_mask(a)))
        out.append(words.shift_right(words.load64(a), 13))
        out.append(words.shift_left(words.load64(a), 51))
    return out


def test_compiled_and_interpreted_primitives_agree():
    buffer = np.zeros(512, np.uint8)
    buffer[64 : 64 + len(TEXT)] = np.frombuffer(TEXT, np.uint8)
    compiled = [int(value) for value in answers(buffer.ctypes.data + 64)]
    plain = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert json.loads(plain.stdout) == compiled


def test_eight_digits_are_read_as_their_number():
    @numba.njit
    def value(address):
        return words.eight_digits(words.load64(address) ^ words.ASCII_ZEROS)

    for number in (0, 1, 9, 10, 12345678, 99999999, 10203040):
        buffer = np.zeros(64, np.uint8)
        buffer[:8] = np.frombuffer(b"%08d" % number, np.uint8)
        assert value(buffer.ctypes.data) == number


def test_masks_name_the_bytes_they_promise():
    buffer = np.zeros(64, np.uint8)
    buffer[:8] = np.frombuffer(b'7"a_\\.-\n', np.uint8)

    @numba.njit
    def masks(address):
        return (
            words.digit_mask(address),
            words.quote_mask(address),
            words.plain_mask(address),
            words.line_mask(address),
        )

    found = [mask & 0xFF for mask in masks(buffer.ctypes.data)]
    assert found == [0b00000001, 0b00000010, 0b01101101, 0b10000000]


def test_a_move_may_overlap_itself():
    @numba.njit
    def shift(array):
        words.move(array.ctypes.data + 8, array.ctypes.data, 8 * 3)

    array = np.array([1, 2, 3, 4])
    shift(array)
    assert array.tolist() == [1, 1, 2, 3]
