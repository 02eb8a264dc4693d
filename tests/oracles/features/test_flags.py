"""Each flag with a minute just on and just off its bound."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracles.features import Columns, Minute, Number
from tests.oracles.features.flags import all_of, flags, guards

FIRST = 29_000_160
WARM = 201  # minutes until vol and ret_abs have both 200 values
QUIET: Columns = {
    "ret_m_1": 0.0, "ret_m_5": 0.0, "ret_abs_m_1": 0.0, "oi_roc_m_5": 0.0, "liq_count_m_5": 0.0, "cvd_delta_m_1": 0.0,
    "z_vol_m_1": 0.0, "z_ret_abs_m_1": 0.0, "z_oi_roc_m_5": 0.0, "z_spread_m_1": 0.0, "b_scale_cvd_m_5": 10.0,
    "cvd_slope_m_5": 0.0, "basis_bp_m_5": 0.0, "spread_p95_m_1": 0.1,
}  # fmt: skip
SPIKES = (
    "is_vol_spike_m_1", "is_price_spike_up_m_1", "is_price_spike_down_m_1", "is_oi_spike_up_m_5",
    "is_oi_spike_down_m_5", "is_spread_stress_m_1", "is_liq_cluster_m_5", "is_divergence_bearish_m_5",
    "is_divergence_bullish_m_5",
)  # fmt: skip


def session(count: int = WARM + 1) -> tuple[list[Minute], list[Columns]]:
    minutes = [
        Minute(
            minute=FIRST + i, status="ok", quote_volume=1e6, spread_mean=0.1, spread_bp_mean=1.0, mid_close=100.0,
            trade_count=50,
        )
        for i in range(count)
    ]  # fmt: skip
    return minutes, [dict(QUIET) for _ in minutes]


def last(quote_volume: float = 1e6, spread_mean: Number = 0.1, trade_count: int = 50, **values: Any) -> Columns:
    """The newest minute of a quiet session, but for what is named; cvd is that of each of its five minutes."""
    minutes, columns = session()
    minutes[-1].quote_volume, minutes[-1].spread_mean = quote_volume, spread_mean
    minutes[-1].trade_count = trade_count
    for column in columns[-5:]:
        column["cvd_delta_m_1"] = values.get("cvd_delta_m_1", 0.0)
    columns[-1].update(values)
    return flags(minutes, columns)[-1]


def raised(**values: Any) -> list[str]:
    row = last(**values)
    assert all(row[name] is not None for name in SPIKES)
    return [name for name in SPIKES if row[name]]


def test_warm_up_ends_with_the_two_hundredth_value_of_both():
    minutes, columns = session()
    columns[7]["ret_abs_m_1"] = None
    rows = flags(minutes, columns)
    assert [row["is_warming_up"] for row in rows] == [1.0] * 201 + [0.0]
    assert [name for name in rows[200] if rows[200][name] is not None] == ["is_warming_up"]
    assert rows[201]["is_vol_spike_m_1"] == 0.0


def test_warm_up_is_told_of_usable_minutes_and_the_rest_of_ok_ones():
    minutes, columns = session()
    minutes[-1].status, minutes[3].status = "partial", "stale"
    rows = flags(minutes, columns)
    assert set(rows[3].values()) == {None}
    assert rows[-1]["is_warming_up"] == 0.0
    assert [name for name in rows[-1] if rows[-1][name] is not None] == ["is_warming_up"]


def test_nothing_happens_in_a_quiet_minute():
    row = last()
    assert set(row.values()) == {0.0}
    assert len(row) == 12


def interest(z_oi_roc_m_5: float, oi_roc_m_5: float) -> dict[str, float]:
    return {"z_oi_roc_m_5": z_oi_roc_m_5, "oi_roc_m_5": oi_roc_m_5}


def five(ret_m_5: float, cvd_delta_m_1: float) -> dict[str, float]:
    """Five minutes of 80 have the root 20, which is two scales."""
    return {"ret_m_5": ret_m_5, "cvd_delta_m_1": cvd_delta_m_1}


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("is_vol_spike_m_1", {"z_vol_m_1": 3.0, "trade_count": 5}, {"z_vol_m_1": 3.0, "trade_count": 4}),
        ("is_vol_spike_m_1", {"z_vol_m_1": 3.0}, {"z_vol_m_1": 2.999}),
        ("is_price_spike_up_m_1", {"z_ret_abs_m_1": 2.5, "ret_m_1": 1e-9}, {"z_ret_abs_m_1": 2.5, "ret_m_1": 0.0}),
        ("is_price_spike_up_m_1", {"z_ret_abs_m_1": 2.5, "ret_m_1": 0.1}, {"z_ret_abs_m_1": 2.499, "ret_m_1": 0.1}),
        ("is_price_spike_down_m_1", {"z_ret_abs_m_1": 2.5, "ret_m_1": -1e-9}, {"z_ret_abs_m_1": 2.5, "ret_m_1": 0.0}),
        ("is_oi_spike_up_m_5", interest(2.0, 0.015), interest(2.0, 0.0149)),
        ("is_oi_spike_up_m_5", interest(2.0, 0.5), interest(1.99, 0.5)),
        ("is_oi_spike_down_m_5", interest(-2.0, -0.015), interest(-2.0, -0.014)),
        ("is_oi_spike_down_m_5", interest(-2.0, -0.5), interest(-1.99, -0.5)),
        ("is_spread_stress_m_1", {"z_spread_m_1": 2.0}, {"z_spread_m_1": 1.99}),
        ("is_liq_cluster_m_5", {"liq_count_m_5": 3.0}, {"liq_count_m_5": 2.0}),
        ("is_divergence_bearish_m_5", five(0.003, -80.0), five(0.0029, -80.0)),
        ("is_divergence_bearish_m_5", five(0.003, -80.0), five(0.003, -79.9)),
        ("is_divergence_bullish_m_5", five(-0.003, 80.0), five(-0.0029, 80.0)),
        ("is_divergence_bullish_m_5", five(-0.003, 80.0), five(-0.003, 79.9)),
    ],
)  # fmt: skip
def test_a_flag_is_raised_on_its_bound_and_not_below(name, on, off):
    assert raised(**on) == [name]
    assert raised(**off) == []


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("is_vol_spike_m_1", "z_vol_m_1"), ("is_price_spike_up_m_1", "ret_m_1"),
        ("is_price_spike_down_m_1", "z_ret_abs_m_1"),
        ("is_oi_spike_up_m_5", "oi_roc_m_5"), ("is_oi_spike_down_m_5", "z_oi_roc_m_5"),
        ("is_spread_stress_m_1", "z_spread_m_1"), ("is_liq_cluster_m_5", "liq_count_m_5"),
        ("is_divergence_bearish_m_5", "b_scale_cvd_m_5"), ("is_divergence_bullish_m_5", "ret_m_5"),
        ("is_divergence_bullish_m_5", "cvd_delta_m_1"),
    ],
)  # fmt: skip
def test_a_missing_input_is_no_flag_at_all_also_in_an_illiquid_minute(name, missing):
    assert last(**{missing: None})[name] is None
    illiquid = last(quote_volume=1.0, **{missing: None})
    assert illiquid["illiquidity_hit"] == 1.0
    assert illiquid[name] is None


def test_an_illiquid_minute_raises_nothing():
    spike = {
        "z_vol_m_1": 9.0,
        "z_ret_abs_m_1": 9.0,
        "ret_m_1": 0.5,
        "z_oi_roc_m_5": 9.0,
        "oi_roc_m_5": 0.5,
        "z_spread_m_1": 9.0,
    }
    assert len(raised(**spike)) == 4
    row = last(quote_volume=9_999.0, **spike)
    assert row["illiquidity_hit"] == 1.0
    assert [row[name] for name in SPIKES] == [0.0] * 9


def test_volume_is_held_against_ten_thousand_or_a_share_of_its_week():
    assert guards(9_999.0, 0.1, None, None) == (True, False)
    assert guards(10_000.0, 0.1, None, None) == (False, True)
    assert guards(11_000.0, 0.1, None, None) == (False, False)
    assert guards(14_999.0, 0.1, 3e6, None) == (True, False)
    assert guards(16_499.0, 0.1, 3e6, None) == (False, True)
    assert guards(16_501.0, 0.1, 3e6, None) == (False, False)
    assert guards(10_000.0, 0.1, 3e5, None) == (False, True)  # the share would be 1,500


def test_spread_is_held_against_fifteen_times_that_of_its_week():
    assert guards(1e6, 15.0, 1e6, 1.0) == (False, True)
    assert guards(1e6, 15.1, 1e6, 1.0) == (True, False)
    assert guards(1e6, 13.5, 1e6, 1.0) == (False, False)
    assert guards(1e6, 1e9, 1e6, None) == (False, False)


def test_without_a_spread_nobody_knows():
    assert guards(1.0, None, 1e6, 1.0) == (None, None)
    row = last(spread_mean=None)
    assert [row[name] for name in (*SPIKES, "illiquidity_hit", "illiquidity_penalty")] == [None] * 11
    assert row["is_warming_up"] == 0.0


def test_the_week_counts_from_two_hundred_values_up_to_two_minutes_before():
    minutes, columns = session(WARM + 1)
    minutes[-1].spread_mean = 1.6  # more than 15 times 0.1; at the last minute 200 values are held
    assert flags(minutes, columns)[-1]["illiquidity_hit"] == 1.0
    minutes[5].spread_mean = None
    assert flags(minutes, columns)[-1]["illiquidity_hit"] == 0.0  # 199


def test_null_is_stronger_than_false():
    assert all_of(False, None) is None
    assert all_of(True, False) is False
    assert all_of(True, True) is True
