"""Price columns against numbers that can be checked by head."""

from __future__ import annotations

from math import e, pi, sqrt

import pytest

from tests.oracles.features import NO_POINTS, Minute, Number, agree
from tests.oracles.features.price import price


def line(*mids: Number, start: int = 0, **columns: object) -> list[Minute]:
    return [Minute(start + k, mid_close=mid, **columns) for k, mid in enumerate(mids)]  # type: ignore[arg-type]


def test_returns_look_back_on_the_lattice_not_along_the_rows():
    minutes = [Minute(t, mid_close=mid) for t, mid in ((0, 100.0), (1, 110.0), (5, 121.0), (6, 132.0))]
    rows = price(minutes)
    assert [row["ret_m_1"] for row in rows] == [None, 110 / 100 - 1, None, 132 / 121 - 1]
    assert [row["ret_m_5"] for row in rows] == [None, None, 121 / 100 - 1, 132 / 110 - 1]
    assert [row["ret_m_15"] for row in rows] == [None] * 4


def test_a_fall_has_a_positive_absolute_return():
    row = price(line(100.0, 90.0))[1]
    assert row["ret_m_1"] == 90 / 100 - 1
    assert row["ret_abs_m_1"] == 1 - 90 / 100


def test_of_a_stale_row_nothing_is_told_and_nothing_is_read():
    minutes = line(100.0, 110.0, 121.0)
    minutes[1].status = "stale"
    rows = price(minutes)
    assert set(rows[1].values()) == {None}
    assert rows[2]["ret_m_1"] is None
    minutes[1].status = "partial"
    assert price(minutes)[2]["ret_m_1"] == 121 / 110 - 1


def test_half_a_minute_is_measured_from_the_30th_point():
    points = [100.0] * 29 + [80.0] + [90.0] * 30
    minute = Minute(0, mid_close=88.0, mids=points, high=90.0, low=79.0)
    row = price([minute])[0]
    assert row["ret_s_30"] == 88 / 80 - 1
    assert row["atr_proxy_m_1"] == 11 / 88
    minute.mids = [*points[:29], None, *points[30:]]
    assert price([minute])[0]["ret_s_30"] is None


def test_realised_volatility_bridges_missing_points_and_counts_the_open():
    points: list[Number] = list(NO_POINTS)
    points[10], points[50] = e, 1.0
    assert price([Minute(0, mid_open=1.0, mids=points)])[0]["rv_m_1"] == sqrt(2)
    assert price([Minute(0, mid_open=None, mids=points)])[0]["rv_m_1"] == 1.0
    points[50] = None
    assert price([Minute(0, mid_open=None, mids=points)])[0]["rv_m_1"] is None
    assert price([Minute(0, mid_open=5.0, mids=[5.0] * 60)])[0]["rv_m_1"] == 0.0


def test_realised_volatility_of_a_window_is_scaled_up_to_its_whole():
    mids = [e if t % 2 else 1.0 for t in range(16)]  # |r| = 1 throughout
    assert price(line(*mids))[-1]["rv_m_15"] == sqrt(15)
    assert price(line(*mids))[-2]["rv_m_15"] == pytest.approx(sqrt(15), rel=1e-15)  # 14 of 15, scaled
    assert price(line(*mids[:12]))[-1]["rv_m_15"] == pytest.approx(sqrt(15), rel=1e-15)  # 11 of 15
    assert price(line(*mids[:11]))[-1]["rv_m_15"] is None
    hour = price(line(*[e if t % 2 else 1.0 for t in range(61)]))
    assert hour[60]["rv_h_1"] == sqrt(60)
    assert [row["rv_h_1"] is None for row in hour] == [t < 42 for t in range(61)]


def test_bipower_variation_of_equal_moves():
    mids = [e if t % 2 else 1.0 for t in range(16)]
    row = price(line(*mids))[-1]
    assert row["bpv_m_15"] == pytest.approx(pi / 2 * 15, rel=1e-15)  # 14 pairs of 1, scaled to 15
    assert row["jump_m_15"] == 0.0  # 15 - 23.6
    assert price(line(*mids[:12]))[-1]["bpv_m_15"] == pytest.approx(pi / 2 * 15, rel=1e-15)  # 11 r, 10 pairs
    assert price(line(*mids[:11]))[-1]["bpv_m_15"] is None


def test_what_left_the_window_is_forgotten():
    mids = [1.0] * 3 + [e**3] + [e**4 if t % 2 else e**3 for t in range(15)]  # r = 3, then 15 times 1
    row = price(line(*mids))[-1]
    assert row["rv_m_15"] == pytest.approx(sqrt(14), rel=1e-15)  # from e^3 to e^3, then 14 times 1
    assert row["bpv_m_15"] == pytest.approx(pi / 2 * 15 / 14 * 13, rel=1e-15)


def test_one_jump_is_in_the_variance_and_not_in_the_bipower():
    row = price(line(*[1.0] * 8, *[e] * 8))[-1]
    assert (row["rv_m_15"], row["bpv_m_15"], row["jump_m_15"]) == (1.0, 0.0, 1.0)


def test_a_hole_in_the_middle_costs_two_returns_and_three_pairs():
    mids: list[Number] = [e if t % 2 else 1.0 for t in range(16)]
    mids[8] = None  # r_8, r_9
    row = price(line(*mids))[-1]
    assert row["rv_m_15"] == pytest.approx(sqrt(15 / 13 * 13), rel=1e-15)
    assert row["bpv_m_15"] == pytest.approx(pi / 2 * 15, rel=1e-15)  # 14 - 3 pairs
    mids[4] = None  # 8 pairs
    assert price(line(*mids))[-1]["bpv_m_15"] is None
    assert price(line(*mids))[-1]["rv_m_15"] is not None


def test_numbers_agree_within_their_bound_and_null_only_with_null():
    assert agree(None, None, "ma_50")
    assert not agree(None, 0.0, "ma_50")
    assert not agree(0.0, None, "ma_50")
    assert agree(1.0 + 5e-13, 1.0, "ma_50")
    assert not agree(1.0 + 2e-12, 1.0, "ma_50")
    assert not agree(1e-20, 0.0, "ma_50")
    assert agree(1e-16, 0.0, "ret_m_1")
    assert not agree(1e-14, 0.0, "ret_m_1")
