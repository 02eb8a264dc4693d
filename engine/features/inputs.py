"""A row becomes the newest line of the ring of inputs."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.detmath import log
from engine.core.feature_state import (
    BASIS,
    CLOSE,
    FLOW,
    HIGH,
    INPUTS,
    INTEREST,
    LIQUIDATION_QUOTE,
    LIQUIDATIONS,
    LOG_RETURN,
    LOW,
    MID,
    OPEN,
    RECENT,
    STATUS,
    VOLUME,
)
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, ROW, ROW_FIELDS, Status
from engine.core.wide import add_wide, subtract_wide, to_float

WIDTH = len(INPUTS)
STALE = int(Status.STALE)
_NAMES = ROW.names or ()
OWN_FIELDS = np.array([_NAMES.index(name) for stage in ("features", "context") for name in ROW_FIELDS[stage]])
OWN_NULLS = np.array([np.float64(np.nan).view(np.int64) if ROW[int(i)].kind == "f" else NULL for i in OWN_FIELDS])


@kernel
def blank(members, words, fields, nulls):
    """Make every column of these stages null. words: the rows as int64 (symbols, fields of ROW)."""
    for i in range(members.shape[0]):
        for k in range(fields.shape[0]):
            words[members[i], fields[k]] = nulls[k]


@inlined
def priced(mantissa, unit):
    """A price of the row as a number; NaN for null."""
    return np.nan if mantissa == NULL else float(mantissa) / unit


@inlined
def write(line, place, value):
    """Put a value at both places of its minute."""
    line[place] = value
    line[place + RECENT] = value


@inlined
def taker_flow(row, quote_unit):
    """Taker buys less taker sells, in quote units: 2 * buys - total, exact until it is rounded once."""
    buy_hi, buy_lo = row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo
    twice_hi, twice_lo = add_wide(buy_hi, buy_lo, buy_hi, buy_lo)
    hi, lo = subtract_wide(twice_hi, twice_lo, row.quote_volume_hi, row.quote_volume_lo)
    return to_float(hi, lo) / quote_unit


@inlined
def put_line(ring, place, row, symbol, oi_stale_ms, units):
    """Write the inputs of a usable row."""
    price_unit = units[symbol.price_decimals + 1]
    base_unit, quote_unit = units[symbol.quantity_decimals], units[symbol.price_decimals + symbol.quantity_decimals]
    write(ring[OPEN], place, priced(row.open, price_unit))
    write(ring[HIGH], place, priced(row.high, price_unit))
    write(ring[LOW], place, priced(row.low, price_unit))
    write(ring[CLOSE], place, priced(row.close, price_unit))
    mid = priced(row.mid_close, price_unit)
    write(ring[MID], place, mid)
    before = ring[MID, place + RECENT - 1]
    write(ring[LOG_RETURN], place, log(mid) - log(before) if mid == mid and before == before else np.nan)
    write(ring[VOLUME], place, to_float(row.quote_volume_hi, row.quote_volume_lo) / quote_unit)
    write(ring[FLOW], place, taker_flow(row, quote_unit))
    fresh = row.oi_staleness_ms != NULL and row.oi_staleness_ms <= oi_stale_ms
    write(ring[INTEREST], place, row.oi_close if fresh else np.nan)
    basis = np.nan
    if row.index_price > 0.0:
        basis = 1e4 * (row.mark_price - row.index_price) / row.index_price
    write(ring[BASIS], place, basis)
    if row.liquidation_count != NULL:
        worth = float(symbol.contract_size) if symbol.inverse else mid
        write(ring[LIQUIDATIONS], place, float(row.liquidation_count))
        liquidated = float(row.liquidation_buy_base + row.liquidation_sell_base) / base_unit
        write(ring[LIQUIDATION_QUOTE], place, liquidated * worth)


@kernel
def observe(members, minute, oi_stale_ms, units, rows, symbols, newest, turn, ring):
    """Write the rows of `minute`, the newest of each member, into the ring; minutes without a row are NaN.

    A minute that is new turns the two states.
    """
    for i in range(members.shape[0]):
        s = members[i]
        if minute > newest[s]:
            first = max(newest[s] + 1, minute - RECENT + 1)
            for m in range(first, minute):
                for k in range(WIDTH):
                    write(ring[s, k], m % RECENT, np.nan)
            newest[s] = minute
            turn[s] ^= 1
        place = minute % RECENT
        for k in range(WIDTH):
            write(ring[s, k], place, np.nan)
        row = rows[s]
        write(ring[s, STATUS], place, float(row.dq_status))
        if row.dq_status != STALE:
            put_line(ring[s], place, row, symbols[s], oi_stale_ms, units)


@kernel
def forget(members, minute, rows, newest, ring):
    """The status of an older minute was lowered: nothing is looked at any more in one that is `stale`."""
    for i in range(members.shape[0]):
        s = members[i]
        if newest[s] - minute >= RECENT:
            continue
        place = minute % RECENT
        if rows[s].dq_status == STALE:
            for k in range(WIDTH):
                write(ring[s, k], place, np.nan)
            write(ring[s, LOG_RETURN], (minute + 1) % RECENT, np.nan)  # its other end is gone
        write(ring[s, STATUS], place, float(rows[s].dq_status))


UNITS = FLOAT_POWERS_OF_TEN
