"""How kernels are compiled: the flags, and the one rewrite of the compiler that must stay off."""

import numpy as np

from engine.core.kernel import JIT, KERNELS, kernel
from engine.core.words import load32, load64


@JIT
def word(address, offset, kind):
    place = address + (offset & 56)  # used in two other blocks, so that code generation repeats it in both
    if kind == 1:
        return load64(place)
    if kind == 2:
        return load32(place) * 3
    return 0


@JIT
def caller(address, kind):
    return word(address, address * 0, kind)  # the offset becomes 0 only inside the compiler


def test_a_helper_reads_the_same_alone_and_inlined_where_its_offset_is_zero():
    data = np.arange(1, 65, dtype=np.uint8)
    address = data.ctypes.data
    assert word(address, 0, 1) == caller(address, 1) == 0x0807060504030201
    assert word(address, 0, 2) == caller(address, 2) == 3 * 0x04030201


def test_a_kernel_that_allocates_or_reorders_sums_is_not_a_kernel():
    @kernel
    def nothing(value):
        return value

    options = KERNELS.pop().targetoptions
    assert nothing(3) == 3
    assert "fastmath" not in options
    assert "parallel" not in options
    assert options["_nrt"] is False
    assert options["no_cfunc_wrapper"] is True
