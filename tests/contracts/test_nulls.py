"""When a column is null and when not: first minutes of a day without holes, stale minutes, and what a number may be.

The first minutes follow from docs/features.md by counting; nothing here asks the engine for them.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from engine.core.column import Column, Form
from engine.core.feature_columns import BASELINES
from engine.core.market import MARKET_COLUMNS
from engine.core.schema import NULL
from tests.contracts.venues import EVERY, NAMES, OWN, START, Ran, day_of, long_day, run
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import days

# Of a day that begins at a full hour: minute 0 is the first that has a row, of every symbol, and all are `ok`.
FIRST: dict[int, str] = {
    0: """ret_s_30 rv_m_1 drift_burst_m_1 atr_proxy_m_1 taker_sell_quote_volume cvd_delta_m_1 cvd_level
        signed_flow_ratio_m_1 vwap_session vwap_dev_bp avg_trade_quote oi_quote basis_bp time_to_next_funding_s
        spread_p95_m_1 imbalance_top1 imbalance_top5 depth_top5_quote_median_m_1 depth_slope microprice_drift_s_30
        is_doji is_hammer is_warming_up rs_score_m_5 rs_is_incomplete is_eligible symbol_count eligible_count
        excluded_count excluded_universe excluded_outlier excluded_stale excluded_partial excluded_warming_up
        excluded_illiquid dq_status universe_rev shock_count correlation_count volatility_reason liquidity_reason
        trend_reason market_reason session""",
    1: "ret_m_1 ret_abs_m_1 is_engulfing_up is_engulfing_down kalman_prediction",
    3: "basis_bp_m_5",  # 4 of 5
    4: "cvd_slope_m_5 liq_count_m_5 liq_notional_m_5",
    5: "ret_m_5 oi_delta_m_5 oi_roc_m_5",
    9: "stoch_k_14",  # 10 of 14
    10: "kyle_lambda_m_15 amihud_m_15 roc_10",  # 10 returns
    11: "rv_m_15 bpv_m_15 jump_m_15 stoch_d_14",  # 11 of 15 returns; 3 of stoch_k_14
    13: "bb_middle_20 bb_upper_20 bb_lower_20 bb_position_20 bb_width_20",  # 14 of 20
    14: "atr_14 rsi_14 is_volume_confirmed",
    15: "ret_m_15 event_amount is_bounce is_reclaim is_failed is_held",  # atr_14 of t-1
    20: "roc_20",
    21: "atr_21 rsi_21",
    25: "macd_line",
    27: "adx_14",  # 14 DX, the first of 14 movements
    31: "kalman_prediction_std z_kalman_residual",  # 30 errors before
    33: "macd_signal macd_histogram",
    34: "ma_50",
    41: "adx_21 market_volume_h_1",
    42: "rv_h_1 donchian_pos_60 breakout_z_60 resonance_boost is_breakout is_breakbelow",
    50: "rsi_50",
    69: "hma_raw",
    75: "hma_100",  # 7 of 10 hma_raw
    76: "hma_100_slope",
    139: "ma_200",
    201: """q_vol_m_1 illiquidity_hit illiquidity_penalty is_vol_spike_m_1 is_price_spike_up_m_1 is_price_spike_down_m_1
        is_spread_stress_m_1 is_liq_cluster_m_5 rs_top rs_bottom leader lead_score dominance_share shock_share
        market_return_m_1 return_dispersion_m_5 vol_dispersion_m_5 z_vol_mean market_rv_h_1 market_spread_bp
        min_time_to_next_funding_s breadth_m_1 breadth_m_5 share_above_ma_50 share_above_ma_200 new_high_low_m_60
        correlation_m_60 first_factor_share_m_60 trend_regime trend_confidence""",  # the end of warm-up
    202: "q_ret_abs_m_1",  # 200 values of t-2 and before, the first at 1
    204: "is_divergence_bullish_m_5 is_divergence_bearish_m_5",
    205: "is_oi_spike_up_m_5 is_oi_spike_down_m_5",
    206: "q_oi_roc_m_5",
    241: "order_flow_prediction basis_carry_prediction lead_lag_prediction",  # fitted on minutes up to 239
    252: "compression_ratio q_rv_m_15 is_squeeze",
    271: """order_flow_prediction_std z_order_flow_residual basis_carry_prediction_std z_basis_carry_residual
        lead_lag_prediction_std z_lead_lag_residual""",
    402: "z_breadth_m_1 z_share_above_ma_50 z_share_above_ma_200 z_new_high_low_m_60 breadth_composite",
    421: "cross_sectional_prediction breadth_prediction",  # 200 minutes with a market, up to 419
    451: "cross_sectional_prediction_std z_cross_sectional_residual breadth_prediction_std z_breadth_residual",
    1_020: "prior_day_high prior_day_low",  # the day begins at 07:00, the next one 1,020 minutes later
    1_441: "seasonality_prediction",
    1_455: "atr_percentile_7d",
    1_471: "seasonality_prediction_std z_seasonality_residual",
    1_641: """volatility_percentile volatility_regime volatility_confidence liquidity_percentile liquidity_regime
        liquidity_confidence market_regime market_confidence""",  # 288 values, one in five minutes, the first at 204
}  # fmt: skip
# Not before: a swing, three of a kind, 50 buckets need what the market does as well.
NOT_BEFORE = {
    5: "swing_high swing_high_age swing_low swing_low_age",
    14: "level_above level_above_touches level_below level_below_touches",
    15: "event_level zone_strength",
    61: "vpin",
}
LATER = "prior_week_high prior_week_low"  # a week before this one
NEVER = "vol_surface_prediction vol_surface_prediction_std z_vol_surface_residual"  # as they say: no options feed
STARTS = {"quote_volume": 0, "ret_abs_m_1": 1, "oi_roc_m_5": 5, "spread_bp_mean": 0, "basis_bp_m_5": 3, "ret_m_1": 1,
          "cvd_delta_m_1": 4, "cvd_slope_m_5": 4, "spread_p95_m_1": 0}  # fmt: skip
# 200 values and then it is told: what is normalised is there from STARTS on.
BASELINE_FIRST = {
    f"{what}_{name}{suffix}": 200 + STARTS[inputs.split()[0]]
    for name, inputs, _, suffix in BASELINES
    for what in ("z", "b_mean", "b_scale")
}
EXACT = {name: minute for minute, names in FIRST.items() for name in names.split()} | BASELINE_FIRST
LEAST = {name: minute for minute, names in NOT_BEFORE.items() for name in names.split()}
# Which of these a day that begins at another minute, or has holes, may tell sooner: fits are made at full hours.
OF_THE_CLOCK = {name for name, minute in EXACT.items() if minute in (241, 271, 421, 451, 1_020, 1_441, 1_471)}


def told(ran: Ran, column: Column) -> np.ndarray:
    """(minutes,) bool of a market column, (minutes, symbols) of the others: where it is not null."""
    if column in MARKET_COLUMNS:
        values = ran.markets[column.name]
        values = values.reshape(len(values), -1)[:, 0]
    else:
        values = ran.rows[f"{column.name}_hi" if column.form is Form.QUOTE else column.name]
    return ~np.isnan(values) if values.dtype.kind == "f" else values != NULL


def firsts(there: np.ndarray) -> list[int]:
    """The first minute of each symbol that has one."""
    each = there.reshape(len(there), -1)
    return [int(np.argmax(each[:, s])) for s in range(each.shape[1]) if each[:, s].any()]


@pytest.fixture(scope="module")
def long() -> Ran:
    return run(long_day(NAMES, 1_700, seed=1))


def test_every_column_is_in_one_of_these_tables() -> None:
    named = [*EXACT, *LEAST, *LATER.split(), *NEVER.split()]
    assert sorted(named) == sorted(column.name for column in EVERY)


@pytest.mark.parametrize("column", EVERY, ids=lambda column: column.name)
def test_null_until_warm_and_then_told(column: Column, long: Ran) -> None:
    found = firsts(told(long, column))
    if column.name in EXACT:
        if "lead_lag" in column.name:  # who has no peer yet is looked for again at the next full hour
            assert min(found) == EXACT[column.name]
            assert {minute % 60 for minute in found} == {EXACT[column.name] % 60}
        else:
            assert found == [EXACT[column.name]] * (len(NAMES) if column in OWN else 1)
    elif column.name in LEAST:
        assert len(found) == len(NAMES)
        assert min(found) >= LEAST[column.name]
    else:
        assert found == []
        assert column.null.startswith("always") == (column.name in NEVER.split())


def test_the_week_before_is_told_from_monday_on() -> None:
    """7,060 minutes of a week, and the first of the next one."""
    ran = run(long_day(("XUSDT",), 7_070, seed=2, first=START + 7 * MINUTES_PER_DAY - 7_060))
    for name in LATER.split():
        assert firsts(~np.isnan(ran.rows[name])) == [7_060]


# --- what a value may be ----------------------------------------------------------------------------------------------


def wrong_values(ran: Ran) -> list[str]:
    """Columns of a day that hold what none may: an infinity, -0.0, a flag or code that there is not."""
    found, rows = [], ran.rows[ran.day.has]
    for column in EVERY:
        table = ran.markets if column in MARKET_COLUMNS else rows
        values = table[f"{column.name}_hi" if column.form is Form.QUOTE else column.name]
        if column.form is Form.REAL:
            bad = np.isinf(values) | ((values == 0.0) & np.signbit(values))
        elif column.unit == "0|1":
            bad = ~np.isin(values, (0, 1, NULL))
        elif column.form is Form.STATUS:
            bad = ~np.isin(values, (*range(len(column.unit.split("|"))), NULL))
        else:
            continue
        found += [column.name] if bad.any() else []
    return found


def untold_wrongly(ran: Ran) -> list[str]:
    """Columns that are told in a stale minute, null where they never are, or told before they can be."""
    found, status = [], np.where(ran.day.has, ran.day.rows["dq_status"], -1)
    minutes = np.arange(len(status))[:, None]
    begin = np.argmax(ran.day.has, axis=0)  # of each symbol
    for column in EVERY:
        there = told(ran, column)
        least = 0 if column.name in OF_THE_CLOCK else EXACT.get(column.name, LEAST.get(column.name, 0))
        if column in MARKET_COLUMNS:
            bad = ~there if column.null == "never" else there[:least]
        elif column.null == "never":
            bad = (status >= 0) & ~there
        else:
            bad = there & ((status == 2) | (minutes < begin + least))
        found += [column.name] if bad.any() else []
    return found


def test_numbers_of_a_long_day(long: Ran) -> None:
    assert wrong_values(long) == []
    assert untold_wrongly(long) == []


@settings(USUAL, max_examples=15)
@given(days(stretches_max=6), days(stretches_max=3, warm_minutes=210))
def test_numbers_of_any_days(one: list[Minute], other: list[Minute]) -> None:
    """Two symbols, each with holes, gaps, prices that do not move, minutes without a trade."""
    shift = one[0].minute - other[0].minute  # so that both begin in the same minute
    for minute in other:
        minute.minute += shift
    ran = run(day_of({"BTCUSDT": one, "XUSDT": other}))
    assert wrong_values(ran) == []
    assert untold_wrongly(ran) == []
