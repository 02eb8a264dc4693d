"""Orders that a book swallows, and a price that is printed off the book, with numbers that a head can check."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from engine.core.schema import NULL
from tests.detectors.hand import a_story, tell

STEP = 2.0**-10  # a volatility whose squares and roots are exact
SWALLOWED = {"signed_flow_ratio_m_1": 0.8, "trade_count": 150, "obi_top1_mean": 0.5, "rv_m_1": STEP}
QUIET = {"trade_count": 20, "rv_m_1": STEP}
PRICES = {"high": 10_100, "mid_high": 10_040, "mid_low": 10_000, "low": 9_990, "mid_close": 10_000}
PRINTED = PRICES | {"spread_bp_mean": 20.0}  # 60 bp above the highest mid, and half of the spread is 10 bp
CALM = {"rv_m_1": 1e-3 * sqrt(60)}  # 10 bp a second
NOW = {"spike_absorbed_v1": SWALLOWED, "spike_print_v1": PRINTED}
BEFORE = {"spike_absorbed_v1": [QUIET] * 5, "spike_print_v1": [CALM] * 3}
BEFORE_EACH = [(detector, place) for detector, before in BEFORE.items() for place in range(len(before))]


def told(detector: str, now: dict[str, float], *before: dict[str, float]) -> dict[str, float]:
    """What is found of one symbol; before: columns of the minutes before, the nearest first."""
    return tell(detector, a_story(now, before={back + 1: [one] for back, one in enumerate(before)}))[0]


# Orders against a side that stands ------------------------------------------------------------------------------------


def test_many_orders_of_one_side_in_a_minute_as_calm_as_those_before():
    """20 trades are usual and 30 more are chance: 150 are three times that, four fifths of it from one side."""
    found = told("spike_absorbed_v1", SWALLOWED, *[QUIET] * 5)
    assert found["measure"] == found["primary"] == pytest.approx(2.4, rel=1e-15)
    assert np.isnan(found["secondary"])
    assert (found["direction"], found["triggers"], found["is_allowed"]) == (0, True, 1)


@pytest.mark.parametrize(
    ("now", "before", "measure"),
    [
        ({"signed_flow_ratio_m_1": -0.8}, {}, 2.4),
        ({"signed_flow_ratio_m_1": 0.1}, {}, 0.3),  # both sides at once: a busy minute
        ({"signed_flow_ratio_m_1": 0.0}, {}, 0.0),
        ({"rv_m_1": 4 * STEP}, {}, 1.2),  # they moved the price: no book took them
        ({"rv_m_1": STEP / 4}, {}, 4.8),
        ({}, {"rv_m_1": 4 * STEP}, 4.8),
        ({}, {"trade_count": 120}, 0.8),  # a busy hour
        ({"trade_count": 2}, {"trade_count": 0}, 0.8 * 2 / 30),  # two trades behind none are no shock
        ({"trade_count": 0}, {}, 0.0),
    ],
)
def test_what_else_explains_the_orders_takes_them_away(now, before, measure):
    found = told("spike_absorbed_v1", SWALLOWED | now, *[QUIET | before] * 5)
    assert found["measure"] == pytest.approx(measure, rel=1e-15)


@pytest.mark.parametrize(
    ("ratio", "share_of_bids", "measure"),
    [
        (0.8, 0.25, 2.4 * 1.5),  # bought from asks that are three quarters of what stands
        (-0.8, 0.25, 2.4 * 0.5),
        (0.8, 0.75, 2.4 * 0.5),
        (-0.8, 0.75, 2.4 * 1.5),  # sold to bids that are
        (0.8, 1.0, 0.0),
        (-0.8, 1.0, 4.8),
        (-0.8, 0.0, 0.0),
    ],
)
def test_orders_are_weighed_by_the_side_that_stands_against_them(ratio, share_of_bids, measure):
    now = SWALLOWED | {"signed_flow_ratio_m_1": ratio, "obi_top1_mean": share_of_bids}
    assert told("spike_absorbed_v1", now, *[QUIET] * 5)["measure"] == pytest.approx(measure, rel=1e-15)


def test_usual_is_the_mean_of_counts_and_the_root_mean_square_of_volatility():
    before = [QUIET] * 3 + [QUIET | {"trade_count": 60}] * 2  # 36 of a mean
    assert told("spike_absorbed_v1", SWALLOWED, *before)["measure"] == pytest.approx(0.8 * 150 / 66, rel=1e-15)
    before = [QUIET] * 4 + [QUIET | {"rv_m_1": 4 * STEP}]  # 1, 1, 1, 1 and 16 are 4 of a mean
    assert told("spike_absorbed_v1", SWALLOWED, *before)["measure"] == pytest.approx(2.4 * sqrt(2), rel=1e-15)
    before = [QUIET | {"rv_m_1": 0.0}] * 4 + [QUIET]  # a fifth of it: the root of its root is taken
    assert told("spike_absorbed_v1", SWALLOWED, *before)["measure"] == pytest.approx(2.4 * 5**-0.25, rel=1e-15)


@pytest.mark.parametrize(("count", "triggers"), [(99, False), (100, True)])
def test_as_many_again_as_usual_are_the_threshold(count, triggers):
    now = SWALLOWED | {"signed_flow_ratio_m_1": 0.5, "trade_count": count}
    assert told("spike_absorbed_v1", now, *[QUIET] * 5)["triggers"] is triggers


# A print off the book -------------------------------------------------------------------------------------------------


def test_a_print_is_counted_from_the_furthest_quote_in_sigma_of_a_second():
    """60 bp above the highest mid, 50 bp above what half of the spread explains; a second is worth 10 bp."""
    found = told("spike_print_v1", PRINTED, *[CALM] * 3)
    assert found["measure"] == found["primary"] == pytest.approx(5.0, rel=1e-12)
    assert np.isnan(found["secondary"])
    assert (found["direction"], found["triggers"], found["is_allowed"]) == (1, True, 1)


@pytest.mark.parametrize(
    ("now", "measure", "direction"),
    [
        ({"low": 9_930}, 6.0, -1),  # 70 bp below the lowest mid
        ({"low": 9_940}, 5.0, 0),
        ({"low": 9_941}, 5.0, 1),
        ({"mid_close": 12_000}, 4.0, 1),  # 60 of 12,000 are 50 bp
        ({"spread_bp_mean": 0.0}, 6.0, 1),
        ({"spread_bp_mean": 120.0}, 0.0, 1),  # a wide spread explains all of it
        ({"spread_bp_mean": 140.0}, -1.0, 1),
        ({"high": 10_030, "low": 10_020}, -2.0, 1),  # between the mids: less than nothing
        ({"high": 10_000, "low": 10_020}, -3.0, -1),
    ],
)
def test_the_further_side_is_the_one_that_is_told(now, measure, direction):
    found = told("spike_print_v1", PRINTED | now, *[CALM] * 3)
    assert found["measure"] == pytest.approx(measure, rel=1e-12, abs=1e-12)
    assert found["direction"] == direction


@pytest.mark.parametrize(("high", "triggers"), [(10_064, False), (10_066, True)])
def test_one_and_a_half_sigma_beyond_the_spread_are_the_threshold(high, triggers):
    assert told("spike_print_v1", PRINTED | {"high": high}, *[CALM] * 3)["triggers"] is triggers


def test_a_second_is_as_volatile_as_the_three_minutes_before():
    five = {"rv_m_1": 5 * CALM["rv_m_1"]}
    for before in ((CALM, CALM, five), (CALM, five, CALM), (five, CALM, CALM)):  # 1, 1 and 25 are 9 of a mean
        assert told("spike_print_v1", PRINTED, *before)["measure"] == pytest.approx(5 / 3, rel=1e-12)
    for rv in (0.0, 1.0, np.nan):  # of this minute, and of the fourth before
        assert told("spike_print_v1", PRINTED | {"rv_m_1": rv}, *[CALM] * 3, {"rv_m_1": rv})["triggers"]
    still = {"rv_m_1": 0.0}
    assert told("spike_print_v1", PRINTED, CALM, still, still)["measure"] == pytest.approx(5 * sqrt(3), rel=1e-12)


# What both need -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detector", "now", "before"),
    [
        *[("spike_absorbed_v1", {name: np.nan}, {}) for name in ("signed_flow_ratio_m_1", "obi_top1_mean", "rv_m_1")],
        ("spike_absorbed_v1", {"rv_m_1": 0.0}, {}),
        ("spike_absorbed_v1", {}, {"rv_m_1": 0.0}),
        *[("spike_print_v1", {name: NULL}, {}) for name in PRICES],
        ("spike_print_v1", {"spread_bp_mean": np.nan}, {}),
        ("spike_print_v1", {}, {"rv_m_1": 0.0}),
    ],
)
def test_without_what_they_are_made_of_there_is_no_measure(detector, now, before):
    found = told(detector, NOW[detector] | now, *[one | before for one in BEFORE[detector]])
    assert np.isnan(found["measure"])
    assert not found["triggers"]


@pytest.mark.parametrize(("detector", "place"), BEFORE_EACH)
def test_every_minute_before_must_be_there_and_have_a_volatility(detector, place):
    whole = {back + 1: [one] for back, one in enumerate(BEFORE[detector])}
    without = {back: one for back, one in whole.items() if back != place + 1}
    null = whole | {place + 1: [BEFORE[detector][place] | {"rv_m_1": np.nan}]}
    assert tell(detector, a_story(NOW[detector], before=whole))[0]["triggers"]
    for before in (without, null):
        found = tell(detector, a_story(NOW[detector], before=before))[0]
        assert np.isnan(found["measure"])
        assert not found["triggers"]
