"""The rows of a block's minutes become its bar; docs/features.md (Roll-ups) has every rule.

A block is walked minute by minute and in each minute symbol by symbol: that is the order in which rows lie in memory,
and for each symbol it runs from the oldest minute to the newest, which is the order of its sums.
"""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.detmath import log
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL, OhlcSource, Status
from engine.core.wide import add_wide, subtract_wide, to_float

FROM_TRADES, FROM_NOTHING = int(OhlcSource.TRADE), int(OhlcSource.NONE)
OK, PARTIAL, STALE = int(Status.OK), int(Status.PARTIAL), int(Status.STALE)


@inlined
def largest(before, value):
    """The larger of two integers; NULL is the least of all."""
    return max(before, value)


@inlined
def smallest(before, value):
    """The smaller of two integers, unless one is NULL."""
    if value == NULL:
        return before
    return value if before == NULL else min(before, value)


@inlined
def total(before, value):
    """The sum of two integers, unless one is NULL."""
    if value == NULL:
        return before
    return value if before == NULL else before + value


@inlined
def real_total(before, value):
    """The sum of two numbers, unless one is NaN."""
    if value != value:
        return before
    return value if before != before else before + value


@inlined
def add_prices(bar, row):
    """Open to close: a minute with trades counts for more than all that had none."""
    if row.ohlc_source == FROM_NOTHING:
        return
    if bar.ohlc_source == FROM_NOTHING or (row.ohlc_source == FROM_TRADES and bar.ohlc_source != FROM_TRADES):
        bar.ohlc_source = row.ohlc_source
        bar.open, bar.high, bar.low, bar.close = row.open, row.high, row.low, row.close
    elif row.ohlc_source == bar.ohlc_source:
        bar.high, bar.low, bar.close = max(bar.high, row.high), min(bar.low, row.low), row.close


@inlined
def add_volumes(bar, row, symbol):
    """Sums over trades. Until the bar is finished its vwap is the sum of vwap * B, wanted for inverse contracts."""
    bar.base_volume += row.base_volume
    bar.taker_buy_base_volume += row.taker_buy_base_volume
    bar.quote_volume_hi, bar.quote_volume_lo = add_wide(
        bar.quote_volume_hi, bar.quote_volume_lo, row.quote_volume_hi, row.quote_volume_lo
    )
    bar.taker_buy_quote_volume_hi, bar.taker_buy_quote_volume_lo = add_wide(
        bar.taker_buy_quote_volume_hi, bar.taker_buy_quote_volume_lo,
        row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo,
    )  # fmt: skip
    bar.trade_count += row.trade_count
    bar.trade_size_max = largest(bar.trade_size_max, row.trade_size_max)
    weight = float(row.base_volume) / FLOAT_POWERS_OF_TEN[symbol.quantity_decimals]
    bar.vwap = real_total(bar.vwap, row.vwap * weight)
    bar.liquidation_count = total(bar.liquidation_count, row.liquidation_count)
    bar.liquidation_buy_base = total(bar.liquidation_buy_base, row.liquidation_buy_base)
    bar.liquidation_sell_base = total(bar.liquidation_sell_base, row.liquidation_sell_base)


@inlined
def add_quotes(bar, row):
    """Sums over quotes and books. Until the bar is finished a mean is the sum of means times their duration."""
    if bar.mid_open == NULL:
        bar.mid_open = row.mid_open
    bar.mid_high = largest(bar.mid_high, row.mid_high)
    bar.mid_low = smallest(bar.mid_low, row.mid_low)
    bar.spread_max = largest(bar.spread_max, row.spread_max)
    bar.quote_count += row.quote_count
    bar.book_count += row.book_count
    bar.ofi = total(bar.ofi, row.ofi)
    bar.quote_ns += row.quote_ns
    bar.book_ns += row.book_ns
    quote_ns, book_ns = float(row.quote_ns), float(row.book_ns)
    bar.spread_mean = real_total(bar.spread_mean, row.spread_mean * quote_ns)
    bar.spread_bp_mean = real_total(bar.spread_bp_mean, row.spread_bp_mean * quote_ns)
    bar.obi_top1_mean = real_total(bar.obi_top1_mean, row.obi_top1_mean * quote_ns)
    bar.obi_top5_mean = real_total(bar.obi_top5_mean, row.obi_top5_mean * book_ns)
    bar.obi_top20_mean = real_total(bar.obi_top20_mean, row.obi_top20_mean * book_ns)
    bar.depth_top20_mean = real_total(bar.depth_top20_mean, row.depth_top20_mean * book_ns)


@inlined
def add_interest(bar, row):
    """Open interest: the first sample and the extremes of the block."""
    if bar.oi_open != bar.oi_open:
        bar.oi_open = row.oi_open
    if row.oi_min == row.oi_min and not bar.oi_min <= row.oi_min:
        bar.oi_min = row.oi_min
    if row.oi_max == row.oi_max and not bar.oi_max >= row.oi_max:
        bar.oi_max = row.oi_max


@inlined
def add_quality(bar, row):
    """What the status of the bar is judged by."""
    bar.minutes_present += 1
    bar.minutes_ok += row.dq_status == OK
    bar.dq_reasons |= row.dq_reasons


@inlined
def begin_quality(bar):
    bar.minutes_present = bar.minutes_ok = bar.dq_reasons = 0


@inlined
def finish_quality(bar, minutes):
    """More than 30 % of the minutes not ok: stale; more than 10 %: partial. A minute without a row is not ok."""
    bad = minutes - bar.minutes_ok
    bar.dq_status = STALE if 10 * bad > 3 * minutes else PARTIAL if 10 * bad > minutes else OK


@inlined
def begin_bar(bar):
    """A bar of no minute yet."""
    bar.ohlc_source = FROM_NOTHING
    bar.open = bar.high = bar.low = bar.close = NULL
    bar.base_volume = bar.taker_buy_base_volume = bar.trade_count = 0
    bar.quote_volume_hi = bar.quote_volume_lo = bar.taker_buy_quote_volume_hi = bar.taker_buy_quote_volume_lo = 0
    bar.quote_ns = bar.book_ns = bar.quote_count = bar.book_count = 0
    bar.trade_size_max = bar.mid_open = bar.mid_high = bar.mid_low = bar.mid_close = bar.spread_max = bar.ofi = NULL
    bar.oi_staleness_ms = bar.liquidation_count = bar.liquidation_buy_base = bar.liquidation_sell_base = NULL
    bar.vwap = bar.spread_mean = bar.spread_bp_mean = bar.obi_top1_mean = bar.obi_top5_mean = np.nan
    bar.obi_top20_mean = bar.depth_top20_mean = bar.oi_open = bar.oi_close = bar.oi_min = bar.oi_max = np.nan
    bar.mark_price = bar.index_price = bar.basis_bp = bar.funding_rate = bar.funding_rate_hour = np.nan
    bar.cvd_delta = bar.signed_flow_ratio = bar.ret = bar.ret_abs = bar.oi_roc = np.nan
    bar.rv = 0.0
    begin_quality(bar)


@inlined
def take_last(bar, row):
    """What holds at the end of the block."""
    bar.mid_close, bar.oi_close, bar.oi_staleness_ms = row.mid_close, row.oi_close, row.oi_staleness_ms
    bar.mark_price, bar.index_price = row.mark_price, row.index_price
    bar.funding_rate, bar.funding_rate_hour = row.funding_rate, row.funding_rate_hour


@inlined
def finish_bar(bar, symbol, minutes, returns):
    """Sums become means; what is made of columns of the bar alone."""
    quote_unit = FLOAT_POWERS_OF_TEN[symbol.price_decimals + symbol.quantity_decimals]
    volume = to_float(bar.quote_volume_hi, bar.quote_volume_lo)
    if bar.base_volume == 0:
        bar.vwap = np.nan
    elif symbol.inverse:
        bar.vwap /= float(bar.base_volume) / FLOAT_POWERS_OF_TEN[symbol.quantity_decimals]
    else:
        bar.vwap = volume / float(bar.base_volume) / FLOAT_POWERS_OF_TEN[symbol.price_decimals]
    if bar.quote_ns > 0:
        bar.spread_mean /= float(bar.quote_ns)
        bar.spread_bp_mean /= float(bar.quote_ns)
        bar.obi_top1_mean /= float(bar.quote_ns)
    if bar.book_ns > 0:
        bar.obi_top5_mean /= float(bar.book_ns)
        bar.obi_top20_mean /= float(bar.book_ns)
        bar.depth_top20_mean /= float(bar.book_ns)
    buys_hi, buys_lo = bar.taker_buy_quote_volume_hi, bar.taker_buy_quote_volume_lo
    sells_hi, sells_lo = subtract_wide(bar.quote_volume_hi, bar.quote_volume_lo, buys_hi, buys_lo)
    bar.taker_sell_quote_volume_hi, bar.taker_sell_quote_volume_lo = sells_hi, sells_lo
    flow_hi, flow_lo = subtract_wide(buys_hi, buys_lo, sells_hi, sells_lo)
    bar.cvd_delta = to_float(flow_hi, flow_lo) / quote_unit
    if volume > 0.0:
        bar.signed_flow_ratio = bar.cvd_delta / (volume / quote_unit)
    if bar.index_price > 0.0:
        bar.basis_bp = 10_000.0 * (bar.mark_price - bar.index_price) / bar.index_price
    bar.rv = np.sqrt(float(minutes) / float(returns) * bar.rv) if 10 * returns >= 7 * minutes else np.nan
    finish_quality(bar, minutes)


@kernel
def write_bars(members, first, minutes, rows, held, symbols, mids, returns, bars):
    """Write the bar of the block `first` .. `first + minutes - 1` of every symbol of `members` into `bars`.

    rows: ROW (minutes of the ring, symbols), held: whose minute stands there; mids, returns: int64 (symbols,), which
    hold nothing before and afterwards; bars: ROLLUP (symbols,).
    """
    mask = rows.shape[0] - 1
    before = (first - 1) & mask
    for i in range(members.shape[0]):
        s = members[i]
        begin_bar(bars[s])
        returns[s] = 0
        mids[s] = rows[before, s].mid_close if held[before, s] == first - 1 else NULL
    for minute in range(first, first + minutes):
        place = minute & mask
        for i in range(members.shape[0]):
            s = members[i]
            if held[place, s] != minute:
                mids[s] = NULL
                continue
            row, bar = rows[place, s], bars[s]
            add_prices(bar, row)
            add_volumes(bar, row, symbols[s])
            add_quotes(bar, row)
            add_interest(bar, row)
            add_quality(bar, row)
            if mids[s] != NULL and row.mid_close != NULL:
                unit = FLOAT_POWERS_OF_TEN[symbols[s].price_decimals + 1]
                change = log(float(row.mid_close) / unit) - log(float(mids[s]) / unit)
                bar.rv += change * change
                returns[s] += 1
            mids[s] = row.mid_close
            if minute == first + minutes - 1:
                take_last(bar, row)
    for i in range(members.shape[0]):
        s = members[i]
        finish_bar(bars[s], symbols[s], minutes, returns[s])


@inlined
def interest_of(bar, oi_stale_ms):
    """Open interest that is not too old; NaN for null."""
    return bar.oi_close if bar.oi_staleness_ms != NULL and bar.oi_staleness_ms <= oi_stale_ms else np.nan


@kernel
def compare_bars(members, block, oi_stale_ms, kept, held, bars):
    """Write what looks at the bar before. kept: ROLLUP (ring, symbols), held: whose block it is."""
    place = (block - 1) & (kept.shape[0] - 1)
    for i in range(members.shape[0]):
        s = members[i]
        if held[place, s] != block - 1:
            continue
        bar, before = bars[s], kept[place, s]
        if bar.mid_close != NULL and before.mid_close != NULL:
            bar.ret = float(bar.mid_close) / float(before.mid_close) - 1.0
            bar.ret_abs = abs(bar.ret)
        interest, interest_before = interest_of(bar, oi_stale_ms), interest_of(before, oi_stale_ms)
        if interest == interest and interest_before > 0.0:
            bar.oi_roc = (interest - interest_before) / interest_before


@kernel
def judge_again(members, first, minutes, rows, held, bars):
    """Count anew how many minutes of a block are ok, and the status that follows, in bars that hold the rest."""
    for i in range(members.shape[0]):
        s = members[i]
        begin_quality(bars[s])
        for minute in range(first, first + minutes):
            place = minute & (rows.shape[0] - 1)
            if held[place, s] == minute:
                add_quality(bars[s], rows[place, s])
        finish_quality(bars[s], minutes)
