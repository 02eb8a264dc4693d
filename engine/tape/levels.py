"""The levels of all books at once, for state snapshots."""

from __future__ import annotations

from engine.core.kernel import kernel
from engine.tape.book import levels_of


@kernel
def copy_levels(members, books, quantities, bits, spill_keys, spill_quantities, out, ends):
    """Write the levels of both sides of the books of `members` behind each other: how many; -1: `out` is too small.

    out: (2, room) prices and quantities, worst first. ends: (members, 2) where each side ends.
    """
    most = quantities.shape[2] + spill_keys.shape[2]
    end = 0
    for i in range(members.shape[0]):
        s = members[i]
        for side in range(2):
            if end + most > out.shape[1]:
                return -1
            end += levels_of(
                books[s], side, quantities[s, side], bits[s, side], spill_keys[s, side], spill_quantities[s, side],
                out[0, end:], out[1, end:],
            )  # fmt: skip
            ends[i, side] = end
    return end
