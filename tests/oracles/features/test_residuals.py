"""Residuals of one symbol: when they begin, what they are by head, and that no later minute has a say in them."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.features import Columns, Minute
from tests.oracles.features.days import days
from tests.oracles.features.residuals import (
    ErrorScale,
    Season,
    basis_carry,
    flow_of,
    hour_of,
    kalman,
    order_flow,
    residuals,
    seasonality,
    share_of_ofi,
    weekday_of,
)

FIRST = 29_000_160  # 00:00 UTC
TAKEN = ("signed_flow_ratio_m_1", "vpin", "imbalance_top1", "basis_bp", "oi_roc_m_5", "rv_m_15")


def columns(minutes: list[Minute], seed: int = 1, missing: float = 0.0) -> list[Columns]:
    random = Random(seed)
    return [{name: None if random.random() < missing else random.gauss(0, 1) for name in TAKEN} for _ in minutes]


def walk(count: int, seed: int = 2) -> list[Minute]:
    random = Random(seed)
    mid, minutes = 100.0, []
    for i in range(count):
        mid *= math.exp(random.gauss(0, 1e-3))
        minutes.append(
            Minute(FIRST + i, mid_close=mid, base_volume=random.random(), ofi=random.gauss(0, 1), quote_volume=100.0,
                   funding_rate_hour=random.gauss(0, 1e-5))
        )  # fmt: skip
    return minutes


def begins(rows: list[Columns], name: str) -> int:
    return next(i for i, row in enumerate(rows) if row[name] is not None)


# --- how large errors are ---------------------------------------------------------------------------------------------


def test_the_scale_of_errors_is_told_from_thirty_on():
    errors = ErrorScale(least=0.5)
    for _ in range(30):
        assert errors.told() is None
        errors.fold(-1.0)
    assert errors.told() == pytest.approx(1.0, rel=1e-12)
    errors.fold(1e9)  # counts as 8 scales: the mean of thirty ones and 64
    assert errors.told() == pytest.approx(math.sqrt((30 + 64) / 31), rel=1e-12)


def test_where_nothing_moves_the_scale_is_the_least_one_and_it_grows_again():
    errors = ErrorScale(least=0.5)
    for _ in range(1_000):
        errors.fold(0.0)
    assert errors.told() == 0.5
    errors.fold(100.0)  # counts as 4: (0.25 * 1000 + 16) / 1001
    assert errors.told() == pytest.approx(math.sqrt(266 / 1_001), rel=1e-12)


# --- ridge ------------------------------------------------------------------------------------------------------------


def test_order_flow_is_fitted_at_the_full_hour_and_used_from_the_minute_after_the_next():
    minutes = walk(400)
    rows = order_flow(minutes, columns(minutes))
    assert begins(rows, "order_flow_prediction") == 241  # minute 239 closes an hour, with 239 observations
    assert begins(rows, "order_flow_prediction_std") == 271  # thirty errors later
    assert begins(rows, "z_order_flow_residual") == 271
    one = rows[300]
    returned = math.log(minutes[300].mid_close or 0) - math.log(minutes[299].mid_close or 0)
    prediction, std = one["order_flow_prediction"], one["order_flow_prediction_std"]
    assert prediction is not None
    assert std is not None
    assert one["z_order_flow_residual"] == pytest.approx((returned - prediction) / std, rel=1e-12)


def test_a_hundred_and_ninety_nine_observations_are_not_enough():
    minutes = walk(400)
    for row in minutes[:40]:
        row.ofi = None
    rows = order_flow(minutes, columns(minutes))  # 40 .. 239: 200
    assert begins(rows, "order_flow_prediction") == 241
    minutes[40].ofi = None
    rows = order_flow(minutes, columns(minutes))
    assert begins(rows, "order_flow_prediction") == 301


def test_flow_that_moves_the_price_is_found():
    minutes, known = walk(2_000), columns(walk(2_000))
    for row, before, column in zip(minutes[1:], minutes, known[1:], strict=False):
        assert before.mid_close is not None
        row.mid_close = before.mid_close * math.exp(0.002 * (column["imbalance_top1"] or 0))
    rows = order_flow(minutes, known)
    for row, column in zip(rows[1_900:], known[1_900:], strict=True):
        assert row["order_flow_prediction"] == pytest.approx(0.002 / 1.1 * (column["imbalance_top1"] or 0), abs=2e-4)
    predicted, actual = rows[1_999]["order_flow_prediction"], 0.002 * (known[1_999]["imbalance_top1"] or 0)
    std, z = rows[1_999]["order_flow_prediction_std"], rows[1_999]["z_order_flow_residual"]
    assert predicted is not None
    assert std is not None
    assert z == pytest.approx((actual - predicted) / std, rel=1e-9)


def test_what_order_flow_reads():
    row = Minute(FIRST, ofi=-3.0, base_volume=1.0)
    column: Columns = {"signed_flow_ratio_m_1": 0.5, "imbalance_top1": 0.1, "vpin": 0.4}
    assert flow_of(row, column) == (0.5, -0.75, 0.1, 0.2)
    assert flow_of(row, column | {"vpin": None}) == (0.5, -0.75, 0.1, 0.0)
    assert flow_of(row, column | {"signed_flow_ratio_m_1": None}) == (None, -0.75, 0.1, None)
    assert share_of_ofi(Minute(FIRST, ofi=0.0)) == 0.0
    assert share_of_ofi(Minute(FIRST)) is None


def test_basis_that_is_carry_is_found():
    """With x of mean 0 and no noise, basis = 2 + 3 x comes back as 2 and 3 / 1.1."""
    minutes, known = walk(1_000), columns(walk(1_000))
    for i, (row, column) in enumerate(zip(minutes, known, strict=True)):
        row.funding_rate_hour = 1e-4 if i % 2 else -1e-4
        column |= {"basis_bp": 5.0 if i % 2 else -1.0, "oi_roc_m_5": 0.0, "rv_m_15": 0.0}
    rows = basis_carry(minutes, known)
    assert begins(rows, "basis_carry_prediction") == 241
    last_fit = rows[961]  # fitted from 0 .. 959, as many of both
    assert last_fit["basis_carry_prediction"] == pytest.approx(2 + 3 / 1.1, abs=2e-3)


def test_only_ok_minutes_are_learned_but_partial_ones_are_told():
    minutes = walk(400)
    known = columns(minutes)
    told = order_flow(minutes, known)
    minutes[250].status = "partial"
    spoiled = [*known[:250], known[250] | {"imbalance_top1": 1e6}, *known[251:]]
    rows = order_flow(minutes, spoiled)
    assert abs(rows[250]["order_flow_prediction"] or 0) > 1
    assert rows[399]["order_flow_prediction"] is not None
    assert abs(rows[399]["order_flow_prediction"] or 0) < 0.1
    minutes[250].status = "stale"
    assert set(order_flow(minutes, known)[250].values()) == {None}
    assert told[250]["order_flow_prediction"] is not None


# --- kalman -----------------------------------------------------------------------------------------------------------


def test_two_steps_of_the_filter_by_head():
    rows = kalman([Minute(FIRST, mid_close=1.0), Minute(FIRST + 1, mid_close=math.e), Minute(FIRST + 2, mid_close=1.0)])
    assert [row["kalman_prediction"] for row in rows[:2]] == [None, 0.0]
    assert rows[2]["kalman_prediction"] == pytest.approx(2.01 / 2.11 + 0.95 * 1.0 / 2.11 * 1.0, rel=1e-14)


def test_the_filter_agrees_with_its_matrices():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    minutes = walk(300)
    rows = kalman(minutes)
    a, c = numpy.array([[1, 1], [0, 0.95]]), numpy.array([[1.0, 0.0]])
    state, p = numpy.array([[math.log(minutes[0].mid_close or 0)], [0.0]]), numpy.eye(2)
    for row, found in zip(minutes[1:], rows[1:], strict=True):
        state, p = a @ state, a @ p @ a.T + 0.01 * numpy.eye(2)
        assert found["kalman_prediction"] == pytest.approx(float(state[0, 0]), rel=1e-13)
        gain = p @ c.T / (p[0, 0] + 0.1)
        state = state + gain * (math.log(row.mid_close or 0) - float(state[0, 0]))
        p = p - gain @ c @ p
    assert begins(rows, "z_kalman_residual") == 31


def test_a_straight_line_is_followed_but_for_what_its_slope_fades():
    """In the long run the error e is constant: level gains k0 e + slope a step, and slope = 0.95 slope + k1 e."""
    minutes = [Minute(FIRST + i, mid_close=math.exp(0.001 * i)) for i in range(2_000)]
    rows = kalman(minutes)
    errors = [0.001 * i - (rows[i]["kalman_prediction"] or 0) for i in (1_998, 1_999)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)
    assert 0 < errors[1] < 0.001


def test_the_filter_begins_anew_after_more_than_sixty_minutes():
    for gap, bridged in ((61, True), (62, False)):
        rows = kalman([Minute(FIRST, mid_close=1.0), Minute(FIRST + gap, mid_close=1.0)])
        assert (rows[1]["kalman_prediction"] is not None) == bridged
    minutes = walk(40)
    late = [Minute(FIRST + 500, mid_close=100.0), Minute(FIRST + 501, mid_close=100.0)]
    rows = kalman([*minutes, *late])
    assert (rows[40]["kalman_prediction"], rows[41]["kalman_prediction"]) == (None, math.log(100.0))
    assert rows[40]["kalman_prediction_std"] is not None


# --- seasonality ------------------------------------------------------------------------------------------------------


def test_hours_and_weekdays_are_those_of_the_open():
    assert (hour_of(FIRST), hour_of(FIRST + 59), hour_of(FIRST + 60), hour_of(FIRST - 1)) == (0, 0, 1, 23)
    monday = 20_605 * 1_440  # 2026-06-01
    assert [weekday_of(monday - 1), weekday_of(monday), weekday_of(monday + 1_439), weekday_of(monday + 1_440)] == [
        6,
        0,
        0,
        1,
    ]


def test_a_constant_volume_is_predicted_exactly():
    minutes = [Minute(FIRST + i, quote_volume=math.e - 1) for i in range(1_600)]
    rows = seasonality(minutes)
    assert begins(rows, "seasonality_prediction") == 1_441
    assert rows[1_441]["seasonality_prediction"] == pytest.approx(1.0, rel=1e-14)
    assert rows[1_599]["seasonality_prediction_std"] == 0.05  # the least there is


def test_seasons_by_head():
    season = Season()
    season.learn(0, 5.0)  # the first value is the mean
    assert (season.mean, season.hours[0], season.weekdays[3]) == (5.0, 0.0, 0.0)
    season.learn(1, 7.0)  # 2 away; the mean takes a half
    assert (season.mean, season.hours[0]) == (6.0, 1.0)
    assert season.of_hour(0) == 2 / 32
    assert season.weekdays[3] == (2 - 2 / 32) / 2  # 1970-01-01 was a Thursday
    season.learn(60, 9.0)  # another hour: 3 away
    assert (season.mean, season.hours[1]) == (7.0, 3.0)
    assert season.of_weekday(3) == season.weekdays[3] * 3 / 1_443


def test_a_busy_hour_is_learned_in_a_week():
    minutes = [
        Minute(FIRST + i, quote_volume=math.exp(9.0 if (i // 60) % 24 == 13 else 7.0) - 1) for i in range(8 * 1_440)
    ]
    rows = seasonality(minutes)
    busy, quiet = rows[7 * 1_440 + 13 * 60 + 10], rows[7 * 1_440 + 15 * 60 + 10]
    assert busy["seasonality_prediction"] == pytest.approx(9.0, abs=0.25)  # shrunk by 420 / 450
    assert quiet["seasonality_prediction"] == pytest.approx(7.0, abs=0.1)


# --- no look ahead ----------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(minutes=days(warm_minutes=290), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_residual_is_the_same_whatever_comes_after(minutes, seed, data):
    known = columns(minutes, seed, missing=0.02)
    cut = data.draw(st.integers(1, len(minutes)))
    whole = residuals(minutes, known)
    assert residuals(minutes[:cut], known[:cut]) == whole[:cut]
    assert len(whole[0]) == 15
