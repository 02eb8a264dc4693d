"""The feature columns a second time, written from docs/features.md alone: naive, in plain floats, a window at a time.

Every oracle takes the minutes of one symbol, ascending; a minute that has no row is not in the list. It gives one dict
a Minute: column -> float or None (null). Flags are 1.0 and 0.0. What several oracles need stands here: what a minute
is, which values a window holds, and when two numbers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Number = float | None
Columns = dict[str, Number]

MINUTES_PER_HOUR = 60
MINUTES_PER_DAY = 1_440
RECENT = 256  # minutes a symbol's ring remembers
RESTART_MINUTES = 60  # more of them without a value, and an average begins anew
POINTS = 60  # of the 1 s grid of a minute; point k = 1..60 is item k - 1
NO_POINTS: tuple[Number, ...] = (None,) * POINTS


@dataclass
class Minute:
    """One row as a person would type it; None is null.

    minute      index of the minute: it opens at minute * 60 s UTC
    mids, ..    the 60 points of the 1 s grid: what was in force just before second k ended. depths5: quote value of
                the best 5 levels of both sides
    bids, asks  (price, quantity), best first, of the book in force at the close; empty: no book
    """

    minute: int
    status: str = "ok"  # ok, partial, stale
    open: Number = None
    high: Number = None
    low: Number = None
    close: Number = None
    mid_open: Number = None
    mid_close: Number = None
    base_volume: float = 0.0
    quote_volume: float = 0.0
    taker_buy_quote_volume: float = 0.0
    trade_count: int = 0
    vwap: Number = None
    spread_mean: Number = None
    spread_bp_mean: Number = None
    obi_top1_mean: Number = None
    obi_top5_mean: Number = None
    microprice_close: Number = None
    ofi: Number = None
    quote_count: int = 0
    oi_close: Number = None
    oi_staleness_ms: int | None = None
    mark_price: Number = None
    index_price: Number = None
    funding_rate_hour: Number = None
    liquidation_count: int | None = None
    liquidation_buy_base: Number = None
    liquidation_sell_base: Number = None
    is_in_universe: bool = True
    is_hot: bool = False
    mids: Sequence[Number] = NO_POINTS
    spreads: Sequence[Number] = NO_POINTS
    microprices: Sequence[Number] = NO_POINTS
    depths5: Sequence[Number] = NO_POINTS
    bids: list[tuple[float, float]] = field(default_factory=list)
    asks: list[tuple[float, float]] = field(default_factory=list)
    funding_interval_h: int | None = None
    contract_size: float = 1.0
    inverse: bool = False


# --- rules for all ---------------------------------------------------------------------------------------------------


def usable(minutes: Sequence[Minute]) -> dict[int, Minute]:
    """The minutes that count, by their index: those that are not stale."""
    return {minute.minute: minute for minute in minutes if minute.status != "stale"}


def series(minutes: Mapping[int, Minute], value: Callable[[Minute], Number]) -> dict[int, float]:
    """Minute -> value, of the minutes where it is not null."""
    found = {t: value(minute) for t, minute in minutes.items()}
    return {t: number for t, number in found.items() if number is not None}


def needed(n: int) -> int:
    """How many minutes of n have to be present: ceil(0.7 n)."""
    return -(-7 * n // 10)


def window(values: Mapping[int, float], t: int, n: int) -> list[float]:
    """What is present of the n minutes t-n+1 .. t, oldest first."""
    return [values[u] for u in range(t - n + 1, t + 1) if u in values]


def full_enough(values: Mapping[int, float], t: int, n: int) -> list[float] | None:
    """`window`, or None where more than 30 % of it are missing."""
    present = window(values, t, n)
    return present if len(present) >= needed(n) else None


def whole(values: Mapping[int, float], t: int, n: int) -> list[float] | None:
    """`window`, or None where any of it is missing."""
    present = window(values, t, n)
    return present if len(present) == n else None


def total(values: Sequence[float]) -> float:
    """Sum from the first to the last, each step rounded. (From Python 3.12 on, sum() corrects its rounding.)"""
    result = 0.0
    for value in values:
        result += value
    return result


def mean(values: Sequence[float]) -> float:
    return total(values) / len(values)


def slope(xs: Sequence[float], ys: Sequence[float]) -> Number:
    """Least-squares slope of y on x, with intercept; None where all x are equal. Means first, then the products."""
    if min(xs) == max(xs):
        return None
    x_mean, y_mean = mean(xs), mean(ys)
    products = [(x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)]
    squares = [(x - x_mean) ** 2 for x in xs]
    return total(products) / total(squares)


def flag(truth: bool) -> float:
    return 1.0 if truth else 0.0


def day_of(t: int) -> int:
    """UTC day that the minute opens in, days since 1970-01-01."""
    return t // MINUTES_PER_DAY


def week_of(t: int) -> int:
    """ISO week (it begins on Monday) that the minute opens in; 1970-01-01 was a Thursday."""
    return (day_of(t) + 3) // 7


# --- when two numbers agree ------------------------------------------------------------------------------------------

RELATIVE = 1e-12
# Absolute bounds of columns that are a small difference of larger numbers: near zero their relative error says nothing.
# Each bound is a few roundings (2.2e-16) of the numbers that are subtracted; prices of the days here are below 5,000.
_OF_ONE = 1e-15  # a ratio less 1
_OF_10_000 = 1e-11  # the same in bp
_OF_PRICE = 1e-11  # averages of prices, subtracted
_OF_VOLUME = 1e-7  # sums of signed volumes of up to 1e8; the least trade of these days is worth 2e-3
FLOORS: dict[str, float] = {
    **dict.fromkeys(("ret_s_30", "ret_m_1", "ret_m_5", "ret_m_15", "ret_abs_m_1", "microprice_drift_s_30"), _OF_ONE),
    **dict.fromkeys(("atr_proxy_m_1", "imbalance_top1", "imbalance_top5", "oi_roc_m_5", "event_amount"), _OF_ONE),
    # ln m - ln m' by two libraries: each may be off by an ulp of ln 5,000, 0.9e-15; n of them under one root.
    **dict.fromkeys(("rv_m_1", "rv_m_15", "rv_h_1"), 2e-14),
    # Ten times what one ulp up or down in each logarithm changed on 36 drawn days. It never changed the sign: the best
    # scores of both are the same to the last bit, where moves go there and back, or at least 1e-6 apart.
    "drift_burst_m_1": 1e-10,
    # Products of two such differences: the error of one times the sum of the others, below 1 on these days.
    **dict.fromkeys(("bpv_m_15", "jump_m_15"), 1e-14),
    **dict.fromkeys(("cvd_level", "cvd_slope_m_5"), _OF_VOLUME),
    "vpin": 1e-10,  # a minute's volume less whole buckets, up to 1e5 of them
    **dict.fromkeys(("vwap_dev_bp", "basis_bp", "basis_bp_m_5"), _OF_10_000),
    "oi_delta_m_5": 1e-9,  # of 1e6, in steps of 1e-3
    **dict.fromkeys(("roc_10", "roc_20"), 100 * _OF_ONE),
    "hma_100_slope": 1e-13,  # sums of 100 weighted prices, subtracted and divided by the price
    **dict.fromkeys(("macd_line", "macd_signal", "macd_histogram"), _OF_PRICE),
    # Down to seasonality: ten times and more what one ulp up or down in each logarithm changed on 12 drawn days.
    "compression_ratio": 1e-11,
    **dict.fromkeys(("z_vol_m_1", "z_ret_abs_m_1"), 1e-13),
    **dict.fromkeys(("z_spread_m_1", "z_spread_p95_m_1"), 1e-11),  # logarithms over a small scale
    **dict.fromkeys(("rs_score_m_5", "vol_dispersion_m_5", "z_vol_mean"), 1e-12),
    "market_return_m_1": 2e-14,
    "correlation_m_60": 1e-12,
    "first_factor_share_m_60": 1e-9,  # 32 powers, not converged where the second factor is as large
    **dict.fromkeys(("order_flow_prediction", "lead_lag_prediction", "cross_sectional_prediction"), 2e-14),
    "basis_carry_prediction": 2e-11,
    # y less its prediction, of which all but 1e-4 or so is equal, over a standard deviation of that size.
    **dict.fromkeys(("z_kalman_residual", "z_order_flow_residual", "z_lead_lag_residual"), 2e-11),
    **dict.fromkeys(("z_cross_sectional_residual", "z_basis_carry_residual", "z_seasonality_residual"), 2e-11),
    # A bound of the input over a scale: 1e-15 of returns over 1e-5, 1e-11 bp over 0.1 bp, 1e-7 of volume over 1e3.
    **dict.fromkeys(("z_ret_m_1", "z_oi_roc_m_5", "z_basis_m_5", "z_cvd_m_5", "z_cvd_slope_m_5"), 1e-10),
    **dict.fromkeys(("b_mean_ret_m_1", "b_mean_oi_roc_m_5", "return_dispersion_m_5"), _OF_ONE),
    **dict.fromkeys(("b_mean_cvd_m_5", "b_mean_cvd_slope_m_5"), _OF_VOLUME),
    "b_mean_basis_m_5": _OF_10_000,
    **dict.fromkeys(("b_mean_vol_m_1", "b_mean_ret_abs_m_1", "b_mean_spread_m_1", "b_mean_spread_p95_m_1"), 1e-13),
    # Values between -1 and 1, over a deviation of at least 0.01.
    **dict.fromkeys(("z_breadth_m_1", "z_share_above_ma_50", "z_share_above_ma_200", "z_new_high_low_m_60"), 1e-12),
    **dict.fromkeys(("breadth_composite", "breadth_prediction", "z_breadth_residual"), 1e-12),
    # Columns of bars: as those of minutes.
    **dict.fromkeys(("ret", "ret_abs", "oi_roc"), _OF_ONE),
    "rv": 2e-14,
    **dict.fromkeys(("z_vol", "z_ret_abs", "z_spread"), 1e-11),
    **dict.fromkeys(("z_oi_roc", "z_basis"), 1e-10),
    "bb_width_20": 1e-14,
    "bb_position_20": 1e-9,  # of price, divided by a width of a tick
}


def agree(found: Number, expected: Number, column: str) -> bool:
    """Both null, or within 1e-12 relative, or within the column's absolute bound in FLOORS."""
    if found is None or expected is None:
        return found is None and expected is None
    return abs(found - expected) <= max(RELATIVE * abs(expected), FLOORS.get(column, 0.0))
