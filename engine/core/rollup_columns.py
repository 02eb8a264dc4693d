"""The columns of a roll-up bar, declared once; docs/features.md has the exact rules.

A column that a minute has as well keeps its name, form and unit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.core.schema import COLUMNS, Column, Form

TIMEFRAMES: tuple[tuple[str, int], ...] = (("15m", 15), ("1h", 60))  # name, minutes; made in this order

_OF_MINUTE = {column.name: column for column in COLUMNS}


def _as_minute(name: str, null: str, source: str) -> Column:
    of = _OF_MINUTE[name]
    return Column(name, of.form, of.unit, "rollups", null, source, "rollups", "block")


def _own(name: str, form: Form, unit: str, null: str, source: str) -> Column:
    return Column(name, form, unit, "rollups", null, source, "rollups", "block")


def _real(name: str, unit: str, null: str, source: str) -> Column:
    return _own(name, Form.REAL, unit, null, source)


# What is normalised: name, its input, and what of it, as of minutes; the least scale, in its own unit.
BAR_BASELINES: tuple[tuple[str, str, str, float], ...] = (
    ("vol", "quote_volume", "ln(1 + x)", 0.05),
    ("ret_abs", "ret_abs", "ln(x + 1e-6)", 0.05),
    ("oi_roc", "oi_roc", "sign(x) sqrt|x|", 1e-3),
    ("spread", "spread_bp_mean", "ln x", 0.05),
    ("basis", "basis_bp", "x", 0.01),
)


def _baselines() -> Iterator[Column]:
    for name, column, meaning, _ in BAR_BASELINES:
        unit = "bp" if name == "basis" else "1"
        yield _real(f"z_{name}", "sigma", f"{WARM}, or {column} null", f"({meaning} of {column} - b_mean) / b_scale")
        yield _real(f"b_mean_{name}", unit, WARM, f"robust location of {meaning} of {column}, of bars before")
        yield _real(f"b_scale_{name}", unit, WARM, f"robust scale of {meaning} of {column}, of bars before")


WARM = "fewer than 200 ok bars before"
NO_PRICE = "no minute with a price"
NONE = "no minute that has it"
LAST = "of the last minute of the block"
NO_LAST = "null in the last minute, or it has no row"
BEFORE = "no bar before, or either is null"

ROLLUP_COLUMNS: tuple[Column, ...] = (
    _as_minute("open", NO_PRICE, "of the first minute with the bar's ohlc_source"),
    _as_minute("high", NO_PRICE, "largest over the minutes with the bar's ohlc_source"),
    _as_minute("low", NO_PRICE, "smallest over the minutes with the bar's ohlc_source"),
    _as_minute("close", NO_PRICE, "of the last minute with the bar's ohlc_source"),
    _as_minute("ohlc_source", "never", "trade if any minute says so, else mid, else none"),
    _as_minute("base_volume", "never", "sum"),
    _as_minute("quote_volume", "never", "sum, exact"),
    _as_minute("taker_buy_base_volume", "never", "sum"),
    _as_minute("taker_buy_quote_volume", "never", "sum, exact"),
    _own("taker_sell_quote_volume", Form.QUOTE, "quote", "never", "quote_volume - taker_buy_quote_volume, exact"),
    _as_minute("trade_count", "never", "sum"),
    _as_minute("trade_size_max", NONE, "largest"),
    _as_minute("vwap", "no trade", "quote_volume / base_volume; inverse contracts: sum of vwap * B / sum of B"),
    _as_minute("mid_open", NONE, "the first that is not null"),
    _as_minute("mid_high", NONE, "largest"),
    _as_minute("mid_low", NONE, "smallest"),
    _as_minute("mid_close", NO_LAST, LAST),
    _as_minute("quote_ns", "never", "sum"),
    _as_minute("book_ns", "never", "sum"),
    _as_minute("spread_mean", NONE, "mean weighted by quote_ns"),
    _as_minute("spread_bp_mean", NONE, "mean weighted by quote_ns"),
    _as_minute("spread_max", NONE, "largest"),
    _as_minute("obi_top1_mean", NONE, "mean weighted by quote_ns"),
    _as_minute("obi_top5_mean", NONE, "mean weighted by book_ns"),
    _as_minute("obi_top20_mean", NONE, "mean weighted by book_ns"),
    _as_minute("depth_top20_mean", NONE, "mean weighted by book_ns"),
    _as_minute("ofi", NONE, "sum over the minutes that have it"),
    _as_minute("quote_count", "never", "sum"),
    _as_minute("book_count", "never", "sum"),
    _as_minute("oi_open", NONE, "the first that is not null"),
    _as_minute("oi_close", NO_LAST, LAST),
    _as_minute("oi_min", NONE, "smallest"),
    _as_minute("oi_max", NONE, "largest"),
    _as_minute("oi_staleness_ms", NO_LAST, LAST),
    _as_minute("mark_price", NO_LAST, LAST),
    _as_minute("index_price", NO_LAST, LAST),
    _real("basis_bp", "bp", "no index above 0", "1e4 (mark - index) / index"),
    _as_minute("funding_rate", NO_LAST, LAST),
    _as_minute("funding_rate_hour", NO_LAST, LAST),
    _as_minute("liquidation_count", NONE, "sum over the minutes that have it"),
    _as_minute("liquidation_buy_base", NONE, "sum over the minutes that have it"),
    _as_minute("liquidation_sell_base", NONE, "sum over the minutes that have it"),
    _real("cvd_delta", "quote", "never", "taker buys - taker sells, rounded once"),
    _real("signed_flow_ratio", "1", "no volume", "cvd_delta / quote_volume"),
    _real("ret", "1", BEFORE, "mid_close / that of the bar before - 1"),
    _real("ret_abs", "1", "ret null", "|ret|"),
    _real("rv", "1", "more than 30 % of the minutes without a return", "sqrt(n / present * sum of r^2), r of minutes"),
    _real("oi_roc", "1", BEFORE + ", or older than 20 s", "(oi - oi of the bar before) / oi of the bar before"),
    _own("minutes_present", Form.INTEGER, "count", "never", "minutes that have a row"),
    _own("minutes_ok", Form.INTEGER, "count", "never", "minutes whose row is ok"),
    _as_minute("dq_status", "never", "stale: more than 30 % of the minutes not ok; partial: more than 10 %"),
    _as_minute("dq_reasons", "never", "every reason of a minute"),
    *_baselines(),
    _as_minute("rsi_14", "stale, or fewer than 14 changes", "of closes of bars, as of minutes"),
    _as_minute("atr_14", "stale, or fewer than 14 true ranges", "Wilder's mean of the true range of bars"),
    _as_minute("adx_14", "stale, or fewer than 27 true ranges", "Wilder's mean of DX of bars"),
)


def _fields(column: Column) -> list[tuple[str, str]]:
    if column.form is Form.QUOTE:
        return [(f"{column.name}_hi", "<i8"), (f"{column.name}_lo", "<i8")]
    return [(column.name, "<f8" if column.form is Form.REAL else "<i8")]


ROLLUP = np.dtype([field for column in ROLLUP_COLUMNS for field in _fields(column)])
ROLLUP_REALS = np.array([i for i, name in enumerate(ROLLUP.names or ()) if ROLLUP[name].kind == "f"])
