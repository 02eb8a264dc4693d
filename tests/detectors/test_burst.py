"""A burst of drift, told in four minutes with numbers that a head can check."""

from __future__ import annotations

import numpy as np
import pytest

from engine.core.schema import NULL
from tests.detectors.hand import a_story, tell

STEP = 2.0**-10  # volatilities and ranges in whole multiples of it are exact
FAR = {"drift_burst_m_1": 3.5, "mid_high": 10_040, "mid_low": 10_000, "mid_close": 10_240}  # a range of 4 steps
CALM = (STEP, STEP, STEP)


def told(now: dict[str, float], *before: float) -> dict[str, float]:
    """What is found of one symbol; before: rv_m_1 of the minutes before, the nearest first."""
    return tell("spike_burst_v1", a_story(now, before={k + 1: [{"rv_m_1": rv}] for k, rv in enumerate(before)}))[0]


@pytest.mark.parametrize(
    ("drift", "measure", "direction", "triggers"),
    [
        (3.5, 3.5, 1, True),
        (-3.5, 3.5, -1, True),
        (2.8, 2.8, 1, True),
        (np.nextafter(2.8, 0.0), 2.8, 1, False),
        (0.0, 0.0, 0, False),
    ],
)
def test_a_drift_to_either_side_is_told_by_its_size(drift, measure, direction, triggers):
    found = told(FAR | {"drift_burst_m_1": drift}, *CALM)
    assert found["measure"] == found["primary"] == pytest.approx(measure, rel=1e-15)
    assert (found["direction"], found["triggers"], found["is_allowed"]) == (direction, triggers, 1)


def test_without_a_drift_there_is_no_measure():
    found = told(FAR | {"drift_burst_m_1": np.nan}, *CALM)
    assert np.isnan(found["measure"])
    assert not found["triggers"]


@pytest.mark.parametrize(
    ("mid_high", "before", "is_met"),
    [
        (10_020, CALM, True),  # 20 of 10,240 are two steps
        (10_019, CALM, False),
        (10_060, (STEP, STEP, 5 * STEP), True),  # the root of the mean square of 1, 1 and 5 is 3
        (10_059, (STEP, STEP, 5 * STEP), False),
        (10_060, (5 * STEP, STEP, STEP), True),
        (10_059, (STEP, 5 * STEP, STEP), False),
        (10_000, (0.0, 0.0, 0.0), True),  # nothing is as far as twice nothing
        (10_001, (0.0, 0.0, 0.0), True),
    ],
)
def test_the_minute_ranges_at_least_twice_as_far_as_the_minutes_before_were_volatile(mid_high, before, is_met):
    found = told(FAR | {"mid_high": mid_high}, *before)
    assert found["measure"] == 3.5
    assert (found["is_met"], found["triggers"]) == (is_met, is_met)


def test_how_volatile_the_minute_itself_is_and_the_fourth_before_are_not_asked():
    for rv in (0.0, 1.0, np.nan):
        assert told(FAR | {"rv_m_1": rv}, *CALM, rv)["triggers"]


@pytest.mark.parametrize("name", ["mid_high", "mid_low", "mid_close"])
def test_with_a_null_in_it_a_range_is_not_far(name):
    found = told(FAR | {name: NULL}, *CALM)
    assert (found["measure"], found["is_met"], found["triggers"]) == (3.5, 0, False)


@pytest.mark.parametrize("place", range(3))
def test_each_of_three_minutes_before_is_needed(place):
    without = {back + 1: [{"rv_m_1": STEP}] for back in range(3) if back != place}
    null = without | {place + 1: [{"rv_m_1": np.nan}]}
    for before in (without, null):
        found = tell("spike_burst_v1", a_story(FAR, before=before))[0]
        assert (found["measure"], found["is_met"], found["triggers"]) == (3.5, 0, False)


@pytest.mark.parametrize(
    ("roc", "z", "secondary"),
    [
        (0.01, 3.0, 3.0),
        (-0.01, -4.0, 4.0),
        (np.nextafter(0.01, 0.0), 9.0, np.nan),
        (np.nextafter(-0.01, 0.0), 9.0, np.nan),
        (np.nan, 9.0, np.nan),
        (0.02, np.nan, np.nan),
    ],
)
def test_open_interest_counts_from_one_percent_on(roc, z, secondary):
    found = told(FAR | {"oi_roc_m_5": roc, "z_oi_roc_m_5": z}, *CALM)
    assert found["secondary"] == pytest.approx(secondary, nan_ok=True)
    assert found["triggers"]
