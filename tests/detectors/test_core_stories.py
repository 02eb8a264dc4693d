"""Each family of the core catalogue, told in a minute or a few with numbers that a head can check."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from engine.core.schema import Status
from replay.detectors.world import MINUTE
from tests.detectors.hand import a_story, tell

SIGMA = 0.001  # of one minute's return in every story


# Spikes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interest", "up", "down"),
    [
        ({"z_oi_roc_m_5": 2.0, "oi_roc_m_5": 0.015}, True, False),
        ({"z_oi_roc_m_5": 1.99, "oi_roc_m_5": 0.5}, False, False),
        ({"z_oi_roc_m_5": 9.0, "oi_roc_m_5": 0.0149}, False, False),
        ({"z_oi_roc_m_5": -2.5, "oi_roc_m_5": -0.02}, False, True),
        ({"z_oi_roc_m_5": -2.5, "oi_roc_m_5": 0.02}, False, False),  # unusually little, but not less
        ({"z_oi_roc_m_5": 3.0}, False, False),
    ],
)
def test_open_interest_jumps_by_sigma_and_by_a_share(interest, up, down):
    view = a_story({"oi_staleness_ms": 20_000} | interest)

    assert tell("spike_oi_up_v1", view)[0]["triggers"] is up
    assert tell("spike_oi_down_v1", view)[0]["triggers"] is down


@pytest.mark.parametrize(("staleness_ms", "allowed"), [(0, 1), (20_000, 1), (20_001, 0), (None, 0)])
@pytest.mark.parametrize("detector", ["spike_oi_up_v1", "spike_oi_down_v1", "quad_uu_v1", "div_premium_v1"])
def test_open_interest_must_be_fresh(detector, staleness_ms, allowed):
    view = a_story({} if staleness_ms is None else {"oi_staleness_ms": staleness_ms})

    assert tell(detector, view)[0]["is_allowed"] == allowed


def test_a_jump_of_interest_is_worth_its_sigma_and_that_of_five_minutes():
    told = {"z_oi_roc_m_5": 3.0, "oi_roc_m_5": 0.02, "ret_m_5": -0.004, "b_scale_ret_m_1": SIGMA}
    up = tell("spike_oi_up_v1", a_story(told))[0]
    down = tell("spike_oi_down_v1", a_story(told | {"z_oi_roc_m_5": -3.0, "oi_roc_m_5": -0.02}))[0]

    assert (up["primary"], up["secondary"], up["direction"]) == (3.0, pytest.approx(4.0 / sqrt(5.0)), -1)
    assert (down["primary"], down["secondary"], down["direction"]) == (3.0, pytest.approx(4.0 / sqrt(5.0)), 0)


def test_forced_orders_are_counted_where_they_are_told():
    three, two, unknown = (
        tell("spike_liq_v1", a_story({"liquidation_count": 0, "liq_count_m_5": count, "z_ret_abs_m_1": 9.0}))[0]
        for count in (3.0, 2.0, np.nan)
    )

    assert (three["triggers"], three["measure"], three["secondary"]) == (True, 3.0, 9.0)
    assert three["primary"] == 2.0 * sqrt(3.0)
    assert not two["triggers"]
    assert np.isnan(unknown["measure"])  # a minute of five is missing: what else the row says does not stand in


def test_without_a_channel_of_forced_orders_their_traces_stand_in():
    traces = {
        "z_ret_abs_m_1": 2.5,
        "z_spread_p95_m_1": 1.5,
        "z_oi_roc_m_5": -2.0,
        "oi_roc_m_5": -0.01,
        "ret_m_5": -0.02,
    }
    found = tell("spike_liq_v1", a_story(traces))[0]

    assert (found["triggers"], found["measure"], found["direction"]) == (True, 3.0, -1)
    assert found["primary"] == pytest.approx(6.0 / sqrt(3.0)) == pytest.approx(2.0 * sqrt(3.0))
    assert not tell("spike_liq_v1", a_story(traces | {"oi_roc_m_5": 0.0}))[0]["triggers"]
    assert not tell("spike_liq_v1", a_story(traces | {"z_oi_roc_m_5": 2.0}))[0]["triggers"]  # 4 of 6
    assert np.isnan(tell("spike_liq_v1", a_story(traces | {"z_oi_roc_m_5": np.nan}))[0]["measure"])


# Shifts ---------------------------------------------------------------------------------------------------------------


def test_a_spread_is_torn():
    found = tell("shift_spread_v1", a_story({"z_spread_m_1": 2.0, "z_spread_p95_m_1": 3.0}, {"z_spread_m_1": 1.99}))

    assert [one["triggers"] for one in found] == [True, False]
    assert (found[0]["primary"], found[0]["secondary"], found[0]["direction"]) == (2.0, 3.0, 0)


@pytest.mark.parametrize("basis", [2.5, -2.5])
def test_a_basis_jolts_either_way(basis):
    found = tell("shift_basis_v1", a_story({"z_basis_m_5": basis, "z_oi_roc_m_5": -1.0}))[0]

    assert (found["triggers"], found["primary"], found["secondary"], found["direction"]) == (True, 2.5, -1.0, 0)


@pytest.mark.parametrize(
    ("now", "then", "measure"),
    [(0.0012, 0.0001, 1.1), (-0.0004, 0.0001, 0.5), (-0.002, 0.0001, 2.1), (np.nan, 0.0001, np.nan)],
)
def test_funding_jolts_against_an_hour_ago(now, then, measure):
    found = tell("shift_funding_v1", a_story({"funding_rate_hour": now}, before={60: [{"funding_rate_hour": then}]}))[0]

    assert found["measure"] == pytest.approx(measure, nan_ok=True)
    assert found["primary"] == pytest.approx(2.5 * measure, nan_ok=True)
    assert found["triggers"] == (measure >= 1.0)


@pytest.mark.parametrize("back", [59, 61, 60 + 256])
def test_funding_of_another_minute_is_not_that_of_an_hour_ago(back):
    view = a_story({"funding_rate_hour": 0.01}, before={back: [{"funding_rate_hour": 0.0}]})

    assert np.isnan(tell("shift_funding_v1", view)[0]["measure"])


# Quadrants ------------------------------------------------------------------------------------------------------------

QUADRANTS = {"uu": (1, 1, 1), "ud": (1, -1, 0), "du": (-1, 1, -1), "dd": (-1, -1, 0)}


@pytest.mark.parametrize("name", QUADRANTS)
def test_a_quadrant_is_reached_by_both_bounds_and_is_only_one(name):
    price, interest, direction = QUADRANTS[name]
    at_bounds = {"ret_m_5": price * 0.003, "oi_roc_m_5": interest * 0.01, "b_scale_ret_m_1": SIGMA,
                 "z_oi_roc_m_5": interest * 1.5}  # fmt: skip
    view = a_story(at_bounds, at_bounds | {"ret_m_5": price * 0.00299}, at_bounds | {"oi_roc_m_5": interest * 0.0099},
                   at_bounds | {"ret_m_5": price * 0.3, "oi_roc_m_5": interest * 0.02})  # fmt: skip
    found = tell(f"quad_{name}_v1", view)

    assert [one["triggers"] for one in found] == [True, False, False, True]
    assert [one["measure"] for one in found] == pytest.approx([1.0, 0.99667, 0.99, 2.0], rel=1e-5)
    assert found[0]["primary"] == pytest.approx(3.0 / sqrt(5.0))
    assert (found[0]["secondary"], found[0]["direction"]) == (1.5, direction)
    for other in set(QUADRANTS) - {name}:
        assert not any(one["triggers"] for one in tell(f"quad_{other}_v1", view))


# Divergences ----------------------------------------------------------------------------------------------------------


def test_price_rises_while_flow_sells():
    told = {"ret_m_5": 0.003, "z_cvd_m_5": -2.0, "b_scale_ret_m_1": SIGMA}
    found = tell(
        "div_cvd_v1", a_story(told, told | {"ret_m_5": 0.0029}, told | {"z_cvd_m_5": -1.9}, {"ret_m_5": 0.003})
    )

    assert [one["triggers"] for one in found] == [True, False, False, False]
    assert found[0]["primary"] == pytest.approx(3.0 / sqrt(5.0))
    assert (found[0]["secondary"], found[0]["direction"]) == (2.0, -1)


def test_flow_goes_one_way_and_price_nowhere():
    told = {"ret_m_5": -0.001, "z_cvd_slope_m_5": -2.5, "cvd_slope_m_5": -40.0}
    found = tell("div_flat_cvd_v1", a_story(told, told | {"ret_m_5": -0.0011}, told | {"z_cvd_slope_m_5": 1.9}))

    assert [one["triggers"] for one in found] == [True, False, False]
    assert (found[0]["primary"], found[0]["direction"]) == (2.5, -1)


def test_a_premium_that_no_new_interest_pays():
    told = {"z_basis_m_5": 2.0, "oi_roc_m_5": 0.0, "oi_staleness_ms": 0}
    found = tell("div_premium_v1", a_story(told, told | {"oi_roc_m_5": 1e-9}, told | {"z_basis_m_5": -3.0}))

    assert [one["triggers"] for one in found] == [True, False, False]
    assert (found[0]["primary"], found[0]["direction"]) == (2.0, -1)


# Synchrony ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shocks", "eligible", "triggers"),
    [(4, 5, True), (3, 5, False), (4, 26, True), (4, 27, False), (5, 27, True), (75, 500, True), (74, 500, False)],
)
def test_a_basket_is_four_or_fifteen_percent(shocks, eligible, triggers):
    market = {"shock_count": shocks, "eligible_count": eligible, "leader": 1, "dq_status": Status.OK}
    found = tell("sync_basket_v1", a_story({}, {}, {}, market=market))

    assert found[1]["triggers"] is triggers
    assert (found[1]["primary"], found[1]["is_allowed"], found[1]["direction"]) == (2.0 * sqrt(shocks), 1, 0)
    assert np.isnan(found[0]["measure"])
    assert np.isnan(found[2]["measure"])


def test_a_basket_needs_a_market_that_is_ok_and_one_who_leads():
    market = {"shock_count": 9, "eligible_count": 4, "dq_status": Status.PARTIAL}

    assert tell("sync_basket_v1", a_story({}, market=market | {"leader": 0}))[0]["is_allowed"] == 0
    assert not tell("sync_basket_v1", a_story({}, market=market))[0]["triggers"]


# Rotation -------------------------------------------------------------------------------------------------------------


def bar(volume: float, ret: float = 0.001, move: float = 0.0) -> dict[str, float]:
    """Of strength 0.5 move + 0.3 volume."""
    return {"z_vol": volume, "ret": ret, "z_ret_abs": move}


HOT = [[bar(4.0, 0.030), *[bar(0.0)] * 5], [bar(3.0, 0.020), *[bar(1.0)] * 5], [bar(1.0, 0.010), *[bar(2.0)] * 5]]


def the_rotation(bars: list[list[dict[str, float]]], minute: int = MINUTE) -> list[dict]:
    """bars: three, the oldest first; symbol 0 leads."""
    story = a_story(*[{}] * 6, market={"leader": 0}, bars=dict(zip((2, 1, 0), bars, strict=True)), minute=minute)
    return tell("rot_leader_v1", story)


def test_the_leader_cools_while_those_behind_it_get_hot():
    found = the_rotation(HOT)

    assert found[0]["triggers"]
    assert found[0]["measure"] == pytest.approx(0.6)  # medians 0, 0.3, 0.6
    assert (found[0]["primary"], found[0]["secondary"]) == (3.0, pytest.approx(1.2))
    assert all(np.isnan(one["measure"]) for one in found[1:])


def test_the_middle_of_the_followers_counts_not_their_mean():
    bars = [[bars[0], bar(50.0 * i), *bars[2:]] for i, bars in enumerate(HOT)]

    assert the_rotation(bars)[0]["measure"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("place", "leader"),
    [(2, bar(3.0, 0.010)), (1, bar(4.0, 0.020)), (2, bar(1.0, 0.025)), (1, bar(3.0, 0.030))],
)
def test_a_leader_that_does_not_cool_twice_is_no_rotation(place, leader):
    bars = [list(one) for one in HOT]
    bars[place][0] = leader

    assert not the_rotation(bars)[0]["triggers"]


def test_followers_must_rise_twice_and_be_five():
    falls = [HOT[0], [HOT[1][0], *[bar(-0.1)] * 5], HOT[2]]
    four = [[*one[:5], bar(np.nan)] for one in HOT]

    assert not the_rotation(falls)[0]["triggers"]
    assert np.isnan(the_rotation(four)[0]["measure"])


@pytest.mark.parametrize("minute", [MINUTE - 1, MINUTE + 1, MINUTE + 7])
def test_a_rotation_is_looked_for_only_behind_a_bar(minute):
    assert np.isnan(the_rotation(HOT, minute)[0]["measure"])


def test_strength_of_a_bar_has_volume_move_and_interest():
    rich = {"z_vol": 1.0, "ret": -0.01, "z_ret_abs": 2.0, "oi_roc": 0.02, "z_oi_roc": 7.0}  # 0.3 - 1 + 0.2 * 3
    bars = [[HOT[k][0], *[bar(-1.0 - (2 - k)) if k < 2 else rich] * 5] for k in range(3)]

    assert the_rotation(bars)[0]["measure"] == pytest.approx(-0.1 - 0.3 * -3.0)


NINE = [0, 0, 0, 1, 1, 1, 2, 2, 2]  # sector of each


def the_flip(before: list[float], now: list[float], sectors: list[int] = NINE) -> list[dict]:
    """before, now: volume of each symbol in the bar before the newest, and in the newest."""
    bars = {1: [bar(one) for one in before], 0: [bar(one) for one in now]}
    return tell("rot_sector_v1", a_story(*[{}] * 9, bars=bars, sectors=sectors))


def test_the_first_sector_becomes_the_third():
    found = the_flip([10, 10, 10, 5, 5, 5, 0, 0, 0], [0, 0, 0, 5, 5, 5, 10, 11, 10])

    assert [one["triggers"] for one in found] == [False] * 7 + [True, False]  # the strongest of the sector speaks
    assert found[7]["measure"] == pytest.approx(0.3 * 5)
    assert found[7]["primary"] == found[7]["secondary"] == pytest.approx(2 * 0.3 * 10)
    assert all(np.isnan(one["measure"]) for one in found[:7])


@pytest.mark.parametrize(
    "now",
    [
        [5, 5, 5, 0, 0, 0, 10, 10, 10],  # the old one is the second
        [10, 10, 10, 5, 5, 5, 0, 0, 0],  # nothing changed
        [0, 0, 0, 9, 9, 9, 10, 10, 10],  # it leads by 0.3
    ],
)
def test_no_flip(now):
    assert not any(one["triggers"] for one in the_flip([10, 10, 10, 5, 5, 5, 0, 0, 0], now))


def test_sectors_are_three_of_three_symbols_or_nothing_is_said():
    before, now = [10, 10, 10, 5, 5, 5, 0, 0, 0], [0, 0, 0, 5, 5, 5, 10, 11, 10]

    assert all(np.isnan(one["measure"]) for one in the_flip(before, now, [0, 0, 0, 1, 1, 1, 2, 2, -1]))
    assert all(np.isnan(one["measure"]) for one in the_flip(before, [*now[:8], np.nan]))
    assert all(np.isnan(one["measure"]) for one in the_flip(before, now, [-1] * 9))
