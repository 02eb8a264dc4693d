"""Price columns against numbers that can be checked by head."""

from __future__ import annotations

from math import e, log, pi, sqrt

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


def burst(*points: Number, start: Number = 1.0) -> Number:
    """drift_burst_m_1 of a minute: the open and its first points. A path that ends early stays where it is."""
    return price([Minute(0, mid_open=start, mids=[*points, *[points[-1]] * (60 - len(points))])])[0]["drift_burst_m_1"]


def less(window_s: int) -> float:
    """What chance is granted in windows of this length."""
    return sqrt(log(60 / window_s) / 2)


def test_a_straight_line_is_as_far_as_a_drift_goes():
    up = [e**k for k in range(1, 61)]
    assert burst(*up) == pytest.approx(sqrt(60), rel=1e-14)  # 60 in rv = sqrt(60); the shorter ones are less
    assert burst(*up[::-1], start=e**61) == pytest.approx(-sqrt(60), rel=1e-14)


def test_the_shorter_a_drift_the_shorter_the_window_that_sees_it():
    """n equal steps have rv = sqrt(n). A window of w seconds holds min(n, w) of them."""
    for steps, window_s, moved in ((1, 10, 1), (5, 10, 5), (10, 10, 10), (18, 20, 18), (28, 30, 28), (50, 60, 50)):
        expected = moved / sqrt(steps * window_s / 60) - less(window_s)
        assert burst(*(e**-k for k in range(1, steps + 1))) == pytest.approx(-expected, rel=1e-14)
    assert burst(e) == pytest.approx(1.5030, abs=5e-5)  # sqrt(6) - 0.9465
    assert burst(*(e**k for k in range(1, 11))) == pytest.approx(6.7995, abs=5e-5)  # sqrt(60) - 0.9465


def test_of_equal_moves_the_earliest_has_the_sign():
    there_and_back = sqrt(6 / 2) - less(10)  # rv = sqrt(2)
    assert burst(*[1.0] * 5, *[e] * 30, 1.0) == pytest.approx(there_and_back, rel=1e-14)
    assert burst(*[e] * 5, *[1.0] * 30, e, start=e) == pytest.approx(-there_and_back, rel=1e-14)
    # Two seconds there: back is in the window that begins last, at g_1. The end lies where the start was.
    assert burst(e, e, 1.0) == pytest.approx(-there_and_back, rel=1e-14)
    assert burst(*[1.0] * 51, *[e] * 8, 1.0) == pytest.approx(there_and_back, rel=1e-14)


def test_what_sways_drifts_nowhere():
    assert burst(*[e, 1.0] * 30) == 0.0  # after every even number of seconds it is where it was
    waves = [e, e**2, e, 1.0] * 15  # at most 2 in 10 s and rv = sqrt(60): 2 / sqrt(10) - 0.95 is below 0
    assert burst(*waves) == 0.0


def test_a_window_wants_both_its_points():
    def known(*places: int) -> Number:
        points: list[Number] = [None] * 61
        for n, place in enumerate(places):
            points[place] = e**n
        return price([Minute(0, mid_open=points[0], mids=points[1:])])[0]["drift_burst_m_1"]

    assert known(0, 60) == 1.0
    assert known(0, 59) == known(1, 60) == known(0, 5) == 0.0  # rv is 1, and no window of any length is whole
    assert known(5, 15) == pytest.approx(sqrt(6) - less(10), rel=1e-14)
    assert known(50, 60) == pytest.approx(sqrt(6) - less(10), rel=1e-14)
    assert known(1, 31) == pytest.approx(sqrt(2) - less(30), rel=1e-14)
    assert known(0, 7, 20) == pytest.approx(2 / sqrt(2) * sqrt(3) - less(20), rel=1e-14)  # g_7 is in rv alone


def test_without_a_volatility_there_is_no_drift():
    assert burst(5.0, start=5.0) is None  # rv is 0
    assert burst(None, start=5.0) is None  # one point
    assert price([Minute(0, "stale", mid_open=1.0, mids=[e] * 60)])[0]["drift_burst_m_1"] is None


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
