"""Which trade ids were seen before: exact over at least the last 3/4 of a table's ids per symbol.

Two open-addressing tables per symbol; new ids go to one, both are searched, and when the one is three quarters full the
other is emptied and takes over. Exact for any kind of id, increasing (Binance) or not (Hyperliquid).
"""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.words import mix, shift_right


@inlined
def begin_of(trade_id, size):
    """Where to begin to look for an id: eight ids in a row share a cache line, so that counting up costs few misses."""
    return ((shift_right(mix(shift_right(trade_id, 3), 0), 20) << 3) | (trade_id & 7)) & (size - 1)


@kernel
def first_missing(tables, first, last):
    """The least id of first..last that is in neither table, else last + 1. tables: as below."""
    size = tables.shape[1]
    for trade_id in range(first, last + 1):
        found = False
        for table in range(2):
            slot = begin_of(trade_id, size)
            while not found and tables[table, slot] != 0:
                found = tables[table, slot] == trade_id + 1
                slot = (slot + 1) & (size - 1)
        if not found:
            return trade_id
    return last + 1


@inlined
def seen_before(symbol, tables, trade_id):
    """Whether `trade_id` is known; if not, it is now. symbol: SYMBOL record; tables: (2, power of two), id + 1."""
    size = tables.shape[1]
    start = begin_of(trade_id, size)
    stored = trade_id + 1
    generation = symbol.seen_generation
    for table in (1 - generation, generation):
        slot = start
        while tables[table, slot] != 0:
            if tables[table, slot] == stored:
                return True
            slot = (slot + 1) & (size - 1)
    tables[generation, slot] = stored
    symbol.seen_count += 1
    if symbol.seen_count >= size - (size >> 2):
        symbol.seen_generation = 1 - generation
        symbol.seen_count = 0
        for i in range(size):
            tables[1 - generation, i] = np.int64(0)
    return False
