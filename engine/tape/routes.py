"""Names to symbols and channels: a hash table from the name of a stream, a symbol or an answer, as bytes of a frame."""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.words import ALL_BITS, load64, mix, shift_right

REJECT = -1


@inlined
def name_tag(dialect, address, length):
    """A 64-bit mix of a dialect and the first and last words of a name of 1 to 63 bytes."""
    begin = load64(address) & low_bytes(length)
    tail = load64(address + length - 8) if length > 8 else begin
    return mix(begin, mix(tail, length + 64 * dialect))


@inlined
def low_bytes(count):
    """Mask of the lowest `count` bytes of a word; all of them from 8 on."""
    return ALL_BITS if count >= 8 else shift_right(ALL_BITS, 64 - 8 * count)


@inlined
def same_name(name, address, length):
    """Whether the zero-padded words of `name` are the `length` bytes at `address`."""
    for i in range((length + 7) >> 3):  # noqa: SIM110 - kernels know no generators
        if name[i] != load64(address + 8 * i) & low_bytes(length - 8 * i):
            return False
    return True


@inlined
def route_of(routes, dialect, address, length):
    """Index of the route named by `length` bytes at `address`, else REJECT."""
    if length <= 0 or length >= 64:
        return np.int64(REJECT)
    tag = name_tag(dialect, address, length)
    slot = shift_right(tag, 32) & (routes.shape[0] - 1)
    while routes[slot].used:
        if (
            routes[slot].length == length
            and routes[slot].venue == dialect
            and same_name(routes[slot].name, address, length)
        ):
            return slot
        slot = (slot + 1) & (routes.shape[0] - 1)
    return np.int64(REJECT)


@kernel
def add_route(routes, dialect, address, length, channel, symbol):
    """Enter a name; an entry of the same name is replaced. The bytes behind the name must be zero up to a word."""
    slot = route_of(routes, dialect, address, length)
    if slot < 0:
        tag = name_tag(dialect, address, length)
        slot = shift_right(tag, 32) & (routes.shape[0] - 1)
        while routes[slot].used:
            slot = (slot + 1) & (routes.shape[0] - 1)
    routes[slot].used = 1
    routes[slot].venue = dialect
    routes[slot].length = length
    routes[slot].channel = channel
    routes[slot].symbol = symbol
    for i in range((length + 7) >> 3):
        routes[slot].name[i] = load64(address + 8 * i)
