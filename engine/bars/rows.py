"""Sums become the minute row."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN, POWERS_OF_TEN
from engine.core.kernel import inlined, kernel
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import NULL, OhlcSource
from engine.core.wide import add_wide, multiply, multiply_small, to_float
from engine.core.words import lowest_bit

NEVER = 2**63 - 1
FROM_TRADES, FROM_MIDS, FROM_NOTHING = int(OhlcSource.TRADE), int(OhlcSource.MID), int(OhlcSource.NONE)


@inlined
def age_ms(boundary_ns, time_ns):
    """Age at the boundary of something seen at `time_ns`, at least 0; NULL if it never was."""
    return np.int64(NULL) if time_ns < 0 else max(boundary_ns - time_ns, 0) // NS_PER_MS


@inlined
def conserved(total, minute):
    """Whether received = in the bar + duplicate + rejected."""
    return total.minute != minute or total.received == total.messages + total.duplicate + total.rejected


@inlined
def write_trades(row, total, minute, symbol):
    """Columns that come from trades; price columns only if there was one."""
    held = total.minute == minute
    messages = total.messages if held else np.int64(0)
    row.base_volume = total.base if held else 0
    row.taker_buy_base_volume = total.buy_base if held else 0
    row.trade_count = total.trades if held else 0
    row.received = total.received if held else 0
    row.late_merged = total.late_merged if held else 0
    row.late_dropped = 0  # they come after the close, if they come
    row.duplicate = total.duplicate if held else 0
    row.rejected = total.rejected if held else 0
    row.quote_volume_hi = row.quote_volume_lo = 0
    row.taker_buy_quote_volume_hi = row.taker_buy_quote_volume_lo = 0
    row.vwap = row.trade_size_mean = row.trade_size_std = np.nan
    row.trade_size_max = NULL
    row.ohlc_source = FROM_NOTHING
    row.open = row.high = row.low = row.close = NULL
    if messages == 0:
        return
    row.ohlc_source = FROM_TRADES
    row.open, row.high, row.low, row.close = 10 * total.open, 10 * total.high, 10 * total.low, 10 * total.close
    if symbol.inverse:
        # Contracts are worth contract_size quote units each; the scale of prices is in the column's scale as well.
        unit = symbol.contract_size * POWERS_OF_TEN[symbol.price_decimals]
        row.quote_volume_hi, row.quote_volume_lo = multiply(total.base, unit)
        row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo = multiply(total.buy_base, unit)
    else:
        row.quote_volume_hi, row.quote_volume_lo = total.quote_hi, total.quote_lo
        row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo = total.buy_quote_hi, total.buy_quote_lo
    quantity_unit = FLOAT_POWERS_OF_TEN[symbol.quantity_decimals]
    if total.base > 0:
        row.vwap = (
            to_float(total.quote_hi, total.quote_lo) / float(total.base) / FLOAT_POWERS_OF_TEN[symbol.price_decimals]
        )
    row.trade_size_mean = float(total.base) / float(messages) / quantity_unit
    row.trade_size_max = total.size_max
    # n * sum of squares - square of sum, exact in 128 bits, is n^2 times the variance.
    square_hi, square_lo = multiply_small(total.square_hi, total.square_lo, messages)
    minus_hi, minus_lo = multiply(total.base, -total.base)
    spread_hi, spread_lo = add_wide(square_hi, square_lo, minus_hi, minus_lo)
    if spread_hi >= 0:
        row.trade_size_std = np.sqrt(to_float(spread_hi, spread_lo)) / float(messages) / quantity_unit


@inlined
def write_quotes(row, total, minute, symbol):
    """Columns that come from the quote."""
    held = total.minute == minute and total.mid_open != NULL
    row.quote_count = total.quotes if total.minute == minute else 0
    row.mid_path_points = total.path_points if held else 0
    row.quote_ns = total.quote_ns if held else 0
    row.mid_open = row.mid_high = row.mid_low = row.mid_close = row.spread_max = row.ofi = NULL
    row.spread_mean = row.spread_bp_mean = row.obi_top1_mean = row.microprice_close = np.nan
    if not held:
        return
    price_unit = FLOAT_POWERS_OF_TEN[symbol.price_decimals]
    row.mid_open, row.mid_high, row.mid_low = 5 * total.mid_open, 5 * total.mid_high, 5 * total.mid_low
    row.spread_max = 10 * total.spread_max
    if total.mid_close != NULL:
        row.mid_close = 5 * total.mid_close
        row.microprice_close = total.microprice / price_unit
    if total.valid_quotes >= 2:
        row.ofi = total.ofi
    if total.quote_ns > 0:
        duration = float(total.quote_ns)
        row.spread_mean = total.spread_ns / duration / price_unit
        row.spread_bp_mean = total.spread_bp_ns / duration
        row.obi_top1_mean = total.imbalance1_ns / duration


@inlined
def fall_back_on_mids(row):
    """Open to close of a minute without a trade."""
    if row.ohlc_source == FROM_NOTHING and row.mid_open != NULL:
        row.ohlc_source = FROM_MIDS
        row.open, row.high, row.low, row.close = row.mid_open, row.mid_high, row.mid_low, row.mid_close


@inlined
def write_depths(row, total, minute, symbol):
    """Columns that come from the book."""
    row.book_count = total.books if total.minute == minute else 0
    row.book_ns = total.book_ns if total.minute == minute else 0
    row.obi_top5_mean = row.obi_top20_mean = row.depth_top20_mean = np.nan
    if total.minute == minute and total.book_ns > 0:
        duration = float(total.book_ns)
        row.obi_top5_mean = total.imbalance5_ns / duration
        row.obi_top20_mean = total.imbalance20_ns / duration
        row.depth_top20_mean = total.depth20_ns / duration / FLOAT_POWERS_OF_TEN[symbol.quantity_decimals]


@inlined
def carry_context(total, now):
    """What was newest in the minute is what holds at its end; nothing that came after the boundary is looked at."""
    if not np.isnan(total.interest):
        now.interest = total.interest
        now.interest_ns = total.interest_ns
    if not np.isnan(total.mark):
        now.mark = total.mark
    if not np.isnan(total.index):
        now.index = total.index
    if not np.isnan(total.funding):
        now.funding = total.funding


@inlined
def write_context(row, total, now, minute, boundary_ns, symbol):
    """Columns that come from slow channels."""
    held = total.minute == minute
    row.oi_open = row.oi_min = row.oi_max = row.oi_close = np.nan
    row.oi_staleness_ms = NULL
    if held:
        carry_context(total, now)
    if symbol.has_interest and now.interest_ns >= 0:
        row.oi_close = now.interest
        row.oi_staleness_ms = age_ms(boundary_ns, now.interest_ns)
        if held:
            row.oi_open, row.oi_min, row.oi_max = total.interest_open, total.interest_min, total.interest_max
    row.mark_price, row.index_price, row.funding_rate = now.mark, now.index, now.funding
    row.funding_rate_hour = np.nan
    if symbol.funding_interval_h > 0:
        row.funding_rate_hour = now.funding / symbol.funding_interval_h
    row.liquidation_count = row.liquidation_buy_base = row.liquidation_sell_base = NULL
    if symbol.has_liquidations:
        row.liquidation_count = total.liquidations if held else 0
        row.liquidation_buy_base = total.liquidation_buy if held else 0
        row.liquidation_sell_base = total.liquidation_sell if held else 0


@inlined
def newest_of(heard_ns, carriers):
    """The newest of some connections, a bit set, was heard then; -1: none of them."""
    newest_ns = np.int64(-1)
    while carriers != 0:
        newest_ns = max(newest_ns, heard_ns[lowest_bit(carriers)])
        carriers &= carriers - 1
    return newest_ns


@inlined
def write_ages(row, symbol, heard_ns, boundary_ns):
    """Age of the newest book or quote message, and the staler of the two channels.

    A channel that speaks only on change is proven by any frame of its connection: silence then means no change.
    """
    row.book_age_ms = age_ms(boundary_ns, max(symbol.newest_quote_ns, symbol.newest_book_ns))
    row.book_staleness_ms = NULL
    proof_ns = np.int64(NEVER)
    if symbol.quote_channel >= 0:
        proof_ns = symbol.newest_quote_ns
        if symbol.quote_on_change and proof_ns >= 0:
            proof_ns = max(proof_ns, newest_of(heard_ns, symbol.quote_carriers))
    if symbol.book_channel >= 0:
        book_ns = symbol.newest_book_ns
        if symbol.book_on_change and book_ns >= 0:
            book_ns = max(book_ns, newest_of(heard_ns, symbol.book_carriers))
        proof_ns = min(proof_ns, book_ns)
    if proof_ns < NEVER:
        row.book_staleness_ms = age_ms(boundary_ns, proof_ns)


@kernel
def write_rows(
    members, minute, heard_ns, skew_ms, lateness_ms, wait_ms, reason,
    symbols, trades, quotes, depths, contexts, context_now, rows,
):  # fmt: skip
    """Write the row of `minute` for every symbol of `members` into `rows`, ROW (symbols,).

    heard_ns: (connections,) receive time of the newest frame on the venue's clock; -1: none. The four numbers behind
    it are columns, equal for all symbols. Returns a symbol whose trades are not all accounted for; -1: there is none.
    """
    boundary_ns = (minute + 1) * NS_PER_MINUTE
    slot = minute & 3
    lost = -1
    for i in range(members.shape[0]):
        s = members[i]
        row, symbol = rows[s], symbols[s]
        if not conserved(trades[s, slot], minute):
            lost = s
        write_trades(row, trades[s, slot], minute, symbol)
        write_quotes(row, quotes[s, slot], minute, symbol)
        fall_back_on_mids(row)
        write_depths(row, depths[s, slot], minute, symbol)
        write_context(row, contexts[s, slot], context_now[s], minute, boundary_ns, symbol)
        write_ages(row, symbol, heard_ns, boundary_ns)
        row.clock_skew_ms, row.lateness_ms, row.close_wait_ms, row.close_reason = skew_ms, lateness_ms, wait_ms, reason
    return lost


@kernel
def rewrite_trades(members, minute, symbols, trades, rows):
    """Write the trade columns anew into rows that already hold the rest: late trades touch nothing else.

    Returns as write_rows.
    """
    lost = -1
    for i in range(members.shape[0]):
        s = members[i]
        if not conserved(trades[s, minute & 3], minute):
            lost = s
        write_trades(rows[s], trades[s, minute & 3], minute, symbols[s])
        fall_back_on_mids(rows[s])
    return lost
