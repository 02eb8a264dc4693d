"""Positioning columns against numbers that can be checked by head."""

from __future__ import annotations

import pytest

from tests.oracles.features import Minute
from tests.oracles.features.positioning import positioning


def held(t: int, oi: float, staleness_ms: int | None = 0, **columns: object) -> Minute:
    return Minute(t, oi_close=oi, oi_staleness_ms=staleness_ms, **columns)  # type: ignore[arg-type]


def test_open_interest_changes_over_five_minutes_of_the_lattice():
    minutes = [held(t, 200.0 + t) for t in (0, 1, 5, 7)]
    rows = positioning(minutes)
    assert [row["oi_delta_m_5"] for row in rows] == [None, None, 5.0, None]
    assert [row["oi_roc_m_5"] for row in rows] == [None, None, 5 / 200, None]


def test_open_interest_older_than_its_bound_is_null():
    minutes = [held(0, 200.0, 20_000), held(5, 210.0, 20_001), held(10, 220.0, None)]
    assert [row["oi_delta_m_5"] for row in positioning(minutes)] == [None] * 3
    assert positioning(minutes, oi_stale_ms=20_001)[1]["oi_delta_m_5"] == 10.0


def test_no_interest_before_is_a_change_but_no_rate():
    row = positioning([held(0, 0.0), held(5, 10.0)])[1]
    assert (row["oi_delta_m_5"], row["oi_roc_m_5"]) == (10.0, None)


def test_open_interest_in_quote():
    linear = held(0, 3.0, mark_price=50.0)
    inverse = held(0, 3.0, contract_size=100.0, inverse=True)
    assert positioning([linear])[0]["oi_quote"] == 150.0
    assert positioning([inverse])[0]["oi_quote"] == 300.0
    assert positioning([held(0, 3.0)])[0]["oi_quote"] is None


def test_the_basis_in_bp_and_its_mean_of_at_least_four():
    marks = (101.0, 102.0, None, 103.0, 102.0, 100.0)
    rows = positioning([Minute(t, mark_price=mark, index_price=100.0) for t, mark in enumerate(marks)])
    assert [row["basis_bp"] for row in rows] == [100.0, 200.0, None, 300.0, 200.0, 0.0]
    assert [row["basis_bp_m_5"] for row in rows] == [None, None, None, None, 200.0, 175.0]
    for index in (None, 0.0, -1.0):
        assert positioning([Minute(0, mark_price=1.0, index_price=index)])[0]["basis_bp"] is None


def test_liquidations_of_five_whole_minutes():
    def liquidated(t: int, **columns: object) -> Minute:
        told = {"liquidation_count": 2, "liquidation_buy_base": 1.0, "liquidation_sell_base": 0.5, "mid_close": 10.0}
        return Minute(t, **(told | columns))  # type: ignore[arg-type]

    minutes = [liquidated(t) for t in range(6)]
    assert [row["liq_count_m_5"] for row in positioning(minutes)] == [None] * 4 + [10.0, 10.0]
    assert [row["liq_notional_m_5"] for row in positioning(minutes)] == [None] * 4 + [75.0, 75.0]
    minutes[3] = liquidated(3, mid_close=None)
    assert positioning(minutes)[5]["liq_count_m_5"] == 10.0
    assert positioning(minutes)[5]["liq_notional_m_5"] is None
    inverse = [liquidated(t, inverse=True, contract_size=100.0, mid_close=None) for t in range(5)]
    assert positioning(inverse)[4]["liq_notional_m_5"] == 750.0
    assert positioning([Minute(t, mid_close=10.0) for t in range(5)])[4]["liq_count_m_5"] is None


@pytest.mark.parametrize(
    ("minute", "interval_h", "seconds"),
    [
        (0, 1, 3_540),  # closes at 00:01
        (59, 1, 3_600),  # closes at 01:00: that funding is past
        (58, 1, 60),
        (479, 8, 28_800),
        (478, 8, 60),
        (1_439, 8, 28_800),  # closes at midnight
        (1_440 + 200, 4, 4 * 3_600 - 201 * 60),
    ],
)
def test_time_to_the_next_funding(minute, interval_h, seconds):
    assert positioning([Minute(minute, funding_interval_h=interval_h)])[0]["time_to_next_funding_s"] == seconds


def test_an_unknown_interval_has_no_next_funding():
    assert positioning([Minute(0)])[0]["time_to_next_funding_s"] is None
    assert positioning([Minute(0, status="stale", funding_interval_h=8)])[0]["time_to_next_funding_s"] is None
