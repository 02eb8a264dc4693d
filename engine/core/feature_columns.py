"""The columns of the stages `features` and `context`, declared once; docs/features.md has the exact rules.

A line: name, unit, window, inputs, null rule, formula. Everything is float64 but what says otherwise. `unusable` in a
null rule is a minute whose status is `stale`; every column here is null in one. So each reads dq_status; that is said
only of those to which `ok` and `partial` are not the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.core.column import Column, Form

WARM = "fewer than 200 values of ok minutes before"
BASELINES: tuple[tuple[str, str, str, str], ...] = (  # name, inputs, what is normalised of the first, suffix
    ("vol", "quote_volume", "ln(1 + V)", "_m_1"),
    ("ret_abs", "ret_abs_m_1", "ln(x + 1e-6)", "_m_1"),
    ("oi_roc", "oi_roc_m_5", "sign(x) sqrt|x|", "_m_5"),
    ("spread", "spread_bp_mean", "ln x", "_m_1"),
    ("basis", "basis_bp_m_5", "x", "_m_5"),
    ("ret", "ret_m_1", "x", "_m_1"),
    ("cvd", "cvd_delta_m_1", "sign(x) sqrt|x| of the sum over 5", "_m_5"),
    ("cvd_slope", "cvd_slope_m_5", "sign(x) sqrt|x|", "_m_5"),
    ("spread_p95", "spread_p95_m_1 mid_close", "ln(1e4 x / m)", "_m_1"),
)
RESIDUALS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (  # name, stage, inputs of the prediction, what it is
    ("kalman", "features", ("mid_close",), "ln m by a damped local trend; the filter's innovation"),
    ("order_flow", "features", ("mid_close", "signed_flow_ratio_m_1", "ofi", "base_volume", "imbalance_top1", "vpin", "dq_status"), "r by ridge on order flow of t"),
    ("basis_carry", "features", ("basis_bp", "funding_rate_hour", "oi_roc_m_5", "rv_m_15", "dq_status"), "basis_bp by ridge"),
    ("lead_lag", "features", ("mid_close", "quote_volume"), "r by the lags 1 to 5 of the peer that led it"),
    ("seasonality", "features", ("quote_volume", "dq_status"), "ln(1 + V) by hour of day and day of week"),
    ("cross_sectional", "context", ("mid_close", "quote_volume", "spread_bp_mean", "funding_rate_hour", "is_eligible"), "r by ridge on the market and exposures"),
    ("vol_surface", "features", (), "implied volatility: no options feed"),
)  # fmt: skip


def _real(family: str, stage: str = "features") -> _Line:
    return _Line(family, stage, Form.REAL)


class _Line:
    """Makes the columns of one family."""

    def __init__(self, family: str, stage: str, form: Form) -> None:
        self.family, self.stage, self.form = family, stage, form

    def __call__(self, name: str, unit: str, window: str, inputs: str, null: str, source: str) -> Column:
        return Column(name, self.form, unit, self.stage, null, source, self.family, window, tuple(inputs.split()))


def _flags(family: str, stage: str = "features") -> _Line:
    return _Line(family, stage, Form.INTEGER)


def _baselines() -> Iterator[Column]:
    z = _real("baselines")
    for name, read, meaning, suffix in BASELINES:
        column, inputs = read.split()[0], f"{read} dq_status"
        unit = "1" if meaning.startswith("ln") else "as its input" if meaning == "x" else "root of its input"
        yield z(
            f"z_{name}{suffix}",
            "sigma",
            "half-life 1 d",
            inputs,
            f"{WARM}, or its input is null",
            f"({meaning} - b_mean) / b_scale of {column}",
        )
        yield z(
            f"b_mean_{name}{suffix}",
            unit,
            "half-life 8 h",
            inputs,
            WARM,
            f"robust location of {meaning} before t (Huber 1981)",
        )
        yield z(f"b_scale_{name}{suffix}", unit, "half-life 1 d", inputs, WARM, f"robust scale of {meaning} before t, as a standard deviation")  # fmt: skip


def _residuals() -> Iterator[Column]:
    for name, stage, inputs, meaning in RESIDUALS:
        line, joined = _real("residuals", stage), " ".join(inputs)
        judged = " ".join(dict.fromkeys((*inputs, "dq_status"))) if inputs else ""  # errors are those of ok minutes
        null = "always: no options feed" if name == "vol_surface" else "not fitted yet, or an input is null"
        yield line(f"{name}_prediction", "as predicted", "walk-forward", joined, null, meaning)
        yield line(
            f"{name}_prediction_std", "as predicted", "half-life 1 d", judged, null, "scale of its errors before t"
        )
        yield line(
            f"z_{name}_residual", "sigma", "walk-forward", judged, null, "(actual - prediction) / prediction_std"
        )


price, flow, positioning = _real("price"), _real("flow"), _real("positioning")
micro, trend, oscillator = _real("microstructure"), _real("trend"), _real("oscillators")
level, level_flag, candle_flag = _real("levels"), _flags("levels"), _flags("candles")
window, flag, strength = _real("windows"), _flags("flags"), _real("strength", "context")
MISSING_30 = "more than 30 % of the window missing"
EITHER = "either end null"

FEATURE_COLUMNS: tuple[Column, ...] = (
    price("ret_s_30", "1", "30s", "mid_close ticks", "no mid in force at second 30 or at the close", "m / g_30 - 1"),
    price("ret_m_1", "1", "1m", "mid_close", EITHER, "m_t / m_(t-1) - 1"),
    price("ret_m_5", "1", "5m", "mid_close", EITHER, "m_t / m_(t-5) - 1"),
    price("ret_m_15", "1", "15m", "mid_close", EITHER, "m_t / m_(t-15) - 1"),
    price("ret_abs_m_1", "1", "1m", "ret_m_1", "ret_m_1 null", "|ret_m_1|"),
    price("rv_m_1", "1", "1m", "mid_open ticks", "fewer than 2 mids on the 1 s grid", "sqrt of the sum of squared changes of ln mid on the 1 s grid (Andersen & Bollerslev 1998)"),
    price("atr_proxy_m_1", "1", "1m", "high low mid_close", "an input null", "(H - L) / m"),
    price("drift_burst_m_1", "sigma", "1m", "mid_open ticks", "rv_m_1 null or 0", "furthest drift in 10, 20, 30 or 60 s over rv_m_1 sqrt(w / 60), less sqrt(ln(60 / w) / 2), signed"),
    price("rv_m_15", "1", "15m", "mid_close", MISSING_30, "sqrt of 15 / present * the sum of r^2"),
    price("rv_h_1", "1", "60m", "mid_close", MISSING_30, "sqrt of 60 / present * the sum of r^2"),
    price("bpv_m_15", "1", "15m", "mid_close", "fewer than 10 pairs", "pi/2 sum |r_i| |r_(i-1)| (Barndorff-Nielsen & Shephard 2004)"),
    price("jump_m_15", "1", "15m", "rv_m_15 bpv_m_15", "an input null", "max(0, rv_m_15^2 - bpv_m_15)"),
    Column("taker_sell_quote_volume", Form.QUOTE, "quote", "features", "unusable", "quote_volume - taker_buy_quote_volume, exact", "flow", "1m", ("quote_volume", "taker_buy_quote_volume"), ("v_sell_m_1",)),
    flow("cvd_delta_m_1", "quote", "1m", "quote_volume taker_buy_quote_volume", "unusable", "taker buys - taker sells"),
    flow("cvd_level", "quote", "since 00:00 UTC", "cvd_delta_m_1", "unusable", "sum of cvd_delta_m_1"),
    flow("cvd_slope_m_5", "quote/min", "5m", "cvd_delta_m_1", "any of 5 missing", "least-squares slope of the running sum"),
    flow("signed_flow_ratio_m_1", "1", "1m", "cvd_delta_m_1 quote_volume", "no volume", "D / V (Chordia & Subrahmanyam 2004)"),
    flow("vwap_session", "quote/base", "since 00:00 UTC", "vwap base_volume", "no trade yet", "sum of vwap * B / sum of B"),
    flow("vwap_dev_bp", "bp", "since 00:00 UTC", "mid_close vwap_session", "an input null", "1e4 (m - vwap_session) / vwap_session"),
    flow("avg_trade_quote", "quote", "1m", "quote_volume trade_count", "no trade", "V / trade_count"),
    flow("kyle_lambda_m_15", "1/quote", "15m", "ret_m_1 cvd_delta_m_1", "fewer than 10 pairs, or no flow", "slope of ret_m_1 on cvd_delta_m_1 (Kyle 1985)"),
    flow("amihud_m_15", "1/quote", "15m", "ret_m_1 quote_volume", "fewer than 10 minutes with volume", "mean of |ret_m_1| / V (Amihud 2002)"),
    flow("vpin", "1", "50 buckets", "quote_volume taker_buy_quote_volume", "fewer than 50 buckets", "mean of |buy - sell| / (buy + sell) over buckets of equal volume (Easley, Lopez de Prado & O'Hara 2012)"),
    positioning("oi_delta_m_5", "base", "5m", "oi_close oi_staleness_ms", EITHER + ", or older than 20 s", "oi_t - oi_(t-5)"),
    positioning("oi_roc_m_5", "1", "5m", "oi_close oi_staleness_ms", "as oi_delta_m_5", "oi_delta_m_5 / oi_(t-5)"),
    positioning("oi_quote", "quote", "1m", "oi_close oi_staleness_ms mark_price", "an input null", "oi * mark_price"),
    positioning("basis_bp", "bp", "1m", "mark_price index_price", "no index above 0", "1e4 (mark - index) / index"),
    positioning("basis_bp_m_5", "bp", "5m", "basis_bp", "fewer than 4 present", "mean of basis_bp"),
    positioning("liq_count_m_5", "count", "5m", "liquidation_count", "channel absent, or any of 5 missing", "sum of liquidation_count"),
    positioning("liq_notional_m_5", "quote", "5m", "liquidation_count liquidation_buy_base liquidation_sell_base mid_close", "as liq_count_m_5", "sum of liquidated quantity * m"),
    positioning("time_to_next_funding_s", "s", "1m", "", "interval unknown", "from the close to the next multiple of the funding interval"),
    micro("spread_p95_m_1", "quote/base", "1m", "quote_count ticks", "fewer than 20 quotes or grid points", "nearest-rank 95th percentile of the spread on the 1 s grid"),
    micro("imbalance_top1", "1", "1m", "obi_top1_mean", "its input null", "2 obi_top1_mean - 1"),
    micro("imbalance_top5", "1", "1m", "obi_top5_mean", "its input null", "2 obi_top5_mean - 1"),
    micro("depth_top5_quote_median_m_1", "quote", "1m", "ticks", "no book on the grid", "median on the 1 s grid of price * quantity over 5 levels of both sides"),
    micro("depth_slope", "quote/bp", "1m", "ticks", "fewer than 3 levels on a side", "slope of cumulative depth on distance from the mid, 10 levels, mean of both sides"),
    micro("microprice_drift_s_30", "1", "30s", "microprice_close ticks", "as ret_s_30", "microprice_close / microprice at second 30 - 1"),
    trend("roc_10", "%", "10m", "close", EITHER, "100 (C_t / C_(t-10) - 1)"),
    trend("roc_20", "%", "20m", "close", EITHER, "100 (C_t / C_(t-20) - 1)"),
    trend("ma_50", "quote/base", "50m", "close", MISSING_30, "mean of C"),
    trend("ma_200", "quote/base", "200m", "close", MISSING_30, "mean of C"),
    trend("hma_raw", "quote/base", "100m", "close", MISSING_30, "2 WMA_50 - WMA_100"),
    trend("hma_100", "quote/base", "109m", "hma_raw", MISSING_30, "WMA_10 of hma_raw (Hull)"),
    trend("hma_100_slope", "1/min", "110m", "hma_100 close", "hma_100 of t or t-1 null", "(hma_t - hma_(t-1)) / C"),
    trend("atr_14", "quote/base", "recursive", "high low close", "fewer than 14 true ranges", "Wilder's mean of the true range (Wilder 1978)"),
    trend("atr_21", "quote/base", "recursive", "high low close", "fewer than 21 true ranges", "Wilder's mean of the true range"),
    trend("adx_14", "1 of 100", "recursive", "high low close", "fewer than 27 true ranges", "Wilder's mean of DX (Wilder 1978)"),
    trend("adx_21", "1 of 100", "recursive", "high low close", "fewer than 41 true ranges", "Wilder's mean of DX"),
    trend("donchian_pos_60", "1", "60m before", "high low close", MISSING_30 + ", or no range", "(C - LL) / (HH - LL)"),
    trend("breakout_z_60", "atr_14", "60m before", "high low close atr_14", "as donchian_pos_60, or atr_14 null", "distance of C beyond HH or LL, else 0"),
    oscillator("rsi_14", "1 of 100", "recursive", "close", "fewer than 14 changes", "100 gain / (gain + loss), Wilder's means"),
    oscillator("rsi_21", "1 of 100", "recursive", "close", "fewer than 21 changes", "100 gain / (gain + loss), Wilder's means"),
    oscillator("rsi_50", "1 of 100", "recursive", "close", "fewer than 50 changes", "100 gain / (gain + loss), Wilder's means"),
    oscillator("macd_line", "quote/base", "recursive", "close", "fewer than 26 closes", "EMA_12 - EMA_26 (Appel)"),
    oscillator("macd_signal", "quote/base", "recursive", "macd_line", "fewer than 34 closes", "EMA_9 of macd_line"),
    oscillator("macd_histogram", "quote/base", "recursive", "macd_line macd_signal", "as macd_signal", "macd_line - macd_signal"),
    oscillator("bb_middle_20", "quote/base", "20m", "close", MISSING_30, "mean of C"),
    oscillator("bb_upper_20", "quote/base", "20m", "close", MISSING_30, "middle + 2 population deviations (Bollinger)"),
    oscillator("bb_lower_20", "quote/base", "20m", "close", MISSING_30, "middle - 2 population deviations"),
    oscillator("bb_position_20", "1", "20m", "close bb_upper_20 bb_lower_20", "no deviation", "(C - lower) / (upper - lower)"),
    oscillator("bb_width_20", "1", "20m", "bb_upper_20 bb_lower_20 bb_middle_20", MISSING_30, "(upper - lower) / middle"),
    oscillator("stoch_k_14", "1 of 100", "14m", "high low close", MISSING_30 + ", or no range", "100 (C - LL) / (HH - LL) (Lane)"),
    oscillator("stoch_d_14", "1 of 100", "16m", "stoch_k_14", "any of 3 missing", "mean of three stoch_k_14"),
    level("swing_high", "quote/base", "256m", "high", "none known", "newest H_u = max(H_(u-3)..H_(u+2)), known from u+2 on"),
    level("swing_high_age", "min", "256m", "high", "none known", "t - u"),
    level("swing_low", "quote/base", "256m", "low", "none known", "newest L_u = min(L_(u-3)..L_(u+2)), known from u+2 on"),
    level("swing_low_age", "min", "256m", "low", "none known", "t - u"),
    level("level_above", "quote/base", "240m", "high low close atr_14", "none", "nearest mean of at least 3 swing prices within atr_14, above C"),
    level("level_above_touches", "count", "240m", "high low close atr_14", "none", "its swing prices"),
    level("level_below", "quote/base", "240m", "high low close atr_14", "none", "nearest such level at or below C"),
    level("level_below_touches", "count", "240m", "high low close atr_14", "none", "its swing prices"),
    level("event_level", "quote/base", "240m", "level_above level_below close", "no level at t-1", "of the levels at t-1 the one nearest to C_(t-1)"),
    level("zone_strength", "1", "240m", "event_level", "no level at t-1", "touches / (touches + 3)"),
    level("event_amount", "1", "2m", "event_level high low close mid_close", "no t-1 or atr_14", "(C - L)/m of a bounce or reclaim, (H - C)/m of a failure, else 0"),
    level("resonance_boost", "1", "240m", "event_level zone_strength", "no t-1 or atr_14", "0.3 bounce + 0.4 reclaim + 0.5 breakout + 0.2 zone_strength"),
    level_flag("is_bounce", "0|1", "2m", "event_level low close", "no t-1 or atr_14", "L < level < C, C_(t-1) > level"),
    level_flag("is_reclaim", "0|1", "2m", "event_level close", "no t-1 or atr_14", "C_(t-1) < level < C"),
    level_flag("is_failed", "0|1", "2m", "event_level close", "no t-1 or atr_14", "C_(t-1) > level > C"),
    level_flag("is_held", "0|1", "2m", "event_level low close atr_14", "no t-1 or atr_14", "L within atr_14 of the level, both closes above it, no bounce"),
    level_flag("is_breakout", "0|1", "60m before", "high close", "as donchian_pos_60", "C > HH"),
    level_flag("is_breakbelow", "0|1", "60m before", "high low close", "as donchian_pos_60", "C < LL"),
    level("prior_day_high", "quote/base", "UTC day before", "high", "fewer than 1,008 usable minutes", "largest H"),
    level("prior_day_low", "quote/base", "UTC day before", "high low", "fewer than 1,008 usable minutes", "smallest L"),
    level("prior_week_high", "quote/base", "ISO week before", "high", "fewer than 7,056 usable minutes", "largest H"),
    level("prior_week_low", "quote/base", "ISO week before", "high low", "fewer than 7,056 usable minutes", "smallest L"),
    candle_flag("is_doji", "0|1", "1m", "open high low close", "no price", "body < 0.1 of the range"),
    candle_flag("is_hammer", "0|1", "1m", "open high low close", "no price", "lower wick > 2 bodies, upper wick < body"),
    candle_flag("is_engulfing_up", "0|1", "2m", "open close", "t-1 missing", "an up body covers the down body of t-1"),
    candle_flag("is_engulfing_down", "0|1", "2m", "open close", "t-1 missing", "a down body covers the up body of t-1"),
    candle_flag("is_volume_confirmed", "0|1", "20m before", "quote_volume", MISSING_30, "V > 1.5 mean of V"),
    window("atr_percentile_7d", "1 of 100", "10,080 ok values", "atr_14 dq_status", "fewer than 1,440 values", "100 rank of atr_14"),
    window("compression_ratio", "1", "1,440 ok values", "rv_m_15 dq_status", "fewer than 240 values", "rv_m_15 / its median"),
    window("q_rv_m_15", "1", "1,440 ok values", "rv_m_15 dq_status", "fewer than 240 values", "rank of rv_m_15"),
    _flags("windows")("is_squeeze", "0|1", "1,440 ok values", "q_rv_m_15", "q_rv_m_15 null", "q_rv_m_15 < 0.2"),
    window("q_vol_m_1", "1", "1,440 ok values", "quote_volume dq_status", WARM, "rank of V"),
    window("q_ret_abs_m_1", "1", "1,440 ok values", "ret_abs_m_1 dq_status", WARM, "rank of ret_abs_m_1"),
    window("q_oi_roc_m_5", "1", "1,440 ok values", "oi_roc_m_5 dq_status", WARM, "rank of oi_roc_m_5"),
    *_baselines(),
    *_residuals(),
    flag("is_warming_up", "0|1", "1m", "b_scale_vol_m_1 b_scale_ret_abs_m_1", "unusable", "1 until the baselines of volume and return are there"),
    flag("illiquidity_hit", "0|1", "10,080 ok values", "quote_volume spread_mean is_warming_up dq_status", "not ok, or warming up", "V < max(10,000, 0.5 % of its week's median) or spread > 15 of its week's median"),
    flag("illiquidity_penalty", "0|1", "10,080 ok values", "quote_volume spread_mean is_warming_up dq_status", "not ok, or warming up", "no hit, but within 10 % of a bound"),
    flag("is_vol_spike_m_1", "0|1", "1m", "z_vol_m_1 trade_count illiquidity_hit", "an input null", "z_vol >= 3, trade_count >= 5"),
    flag("is_price_spike_up_m_1", "0|1", "1m", "z_ret_abs_m_1 ret_m_1 illiquidity_hit", "an input null", "z_ret_abs >= 2.5, ret > 0"),
    flag("is_price_spike_down_m_1", "0|1", "1m", "z_ret_abs_m_1 ret_m_1 illiquidity_hit", "an input null", "z_ret_abs >= 2.5, ret < 0"),
    flag("is_oi_spike_up_m_5", "0|1", "5m", "z_oi_roc_m_5 oi_roc_m_5 illiquidity_hit", "an input null", "z_oi_roc >= 2, oi_roc >= 1.5 %"),
    flag("is_oi_spike_down_m_5", "0|1", "5m", "z_oi_roc_m_5 oi_roc_m_5 illiquidity_hit", "an input null", "z_oi_roc <= -2, oi_roc <= -1.5 %"),
    flag("is_spread_stress_m_1", "0|1", "1m", "z_spread_m_1 illiquidity_hit", "an input null", "z_spread >= 2"),
    flag("is_liq_cluster_m_5", "0|1", "5m", "liq_count_m_5 illiquidity_hit", "an input null", "liq_count_m_5 >= 3"),
    flag("is_divergence_bullish_m_5", "0|1", "5m", "ret_m_5 cvd_delta_m_1 b_scale_cvd_m_5 illiquidity_hit", "an input null", "ret_m_5 <= -0.3 %, signed root of D over 5 >= 2 b_scale_cvd"),
    flag("is_divergence_bearish_m_5", "0|1", "5m", "ret_m_5 cvd_delta_m_1 b_scale_cvd_m_5 illiquidity_hit", "an input null", "ret_m_5 >= 0.3 %, signed root of D over 5 <= -2 b_scale_cvd"),
    strength("rs_score_m_5", "1", "5m", "z_ret_abs_m_1 ret_m_5 z_vol_m_1 oi_roc_m_5 z_oi_roc_m_5 dq_status", "not ok", "0.5 z_ret_abs sign(ret_m_5) + 0.3 z_vol + 0.2 sign(oi_roc) min(|z_oi_roc|, 3); null terms are 0"),
    _flags("strength", "context")("rs_is_incomplete", "0|1", "5m", "rs_score_m_5", "not ok", "a term of rs_score_m_5 was null"),
    _flags("strength", "context")("is_eligible", "0|1", "1m", "universe_rev is_in_universe is_hot dq_reasons dq_status is_warming_up illiquidity_hit", "never", "counted in the market row"),
)  # fmt: skip
