"""Orders that a book swallows and a book that is torn open, with numbers that a head can check."""

from __future__ import annotations

import numpy as np
import pytest

from tests.detectors.hand import a_story, tell

SWALLOWED = {"signed_flow_ratio_m_1": 0.8, "trade_count": 150, "rv_m_1": 1e-3, "ret_m_1": 1e-4}
QUIET = {"trade_count": 20, "rv_m_1": 1e-3}
TORN = {"spread_bp_mean": 6.0, "atr_proxy_m_1": 2e-3, "ret_m_1": -5e-4}
WHOLE = {"spread_bp_mean": 3.0, "rv_m_1": 1e-3}
NOW = {"spike_absorbed_v1": SWALLOWED, "spike_torn_v1": TORN}
BEFORE = {"spike_absorbed_v1": [QUIET] * 5, "spike_torn_v1": [WHOLE] * 3}


def told(detector: str, now: dict[str, float], *before: dict[str, float]) -> dict[str, float]:
    """What is found of one symbol; before: columns of the minutes before, the nearest first."""
    return tell(detector, a_story(now, before={back + 1: [one] for back, one in enumerate(before)}))[0]


def test_many_orders_of_one_side_in_a_minute_as_calm_as_those_before():
    """20 trades are usual and 30 more are chance: 150 are three times that, four fifths of it from one side."""
    found = told("spike_absorbed_v1", SWALLOWED, *[QUIET] * 5)
    assert found["measure"] == pytest.approx(2.4)
    assert (found["primary"], found["direction"], found["triggers"]) == (found["measure"], 0, True)


@pytest.mark.parametrize(
    ("now", "before", "measure"),
    [
        ({"signed_flow_ratio_m_1": -0.8}, {}, 2.4),
        ({"signed_flow_ratio_m_1": 0.1}, {}, 0.3),  # both sides at once: a busy minute
        ({"rv_m_1": 4e-3}, {}, 0.6),  # they moved the price: no book took them
        ({}, {"trade_count": 120}, 0.8),  # a busy hour
        ({"trade_count": 2}, {"trade_count": 0}, 0.8 * 2 / 30),  # two trades behind none are no shock
        ({}, {"rv_m_1": 2e-3}, 4.8),
    ],
)
def test_what_else_explains_the_orders_takes_them_away(now, before, measure):
    found = told("spike_absorbed_v1", SWALLOWED | now, *[QUIET | before] * 5)
    assert found["measure"] == pytest.approx(measure)


def test_usual_is_the_mean_of_counts_and_the_root_mean_square_of_volatility():
    before = [QUIET] * 3 + [QUIET | {"trade_count": 60}] * 2  # 36 of a mean
    assert told("spike_absorbed_v1", SWALLOWED, *before)["measure"] == pytest.approx(0.8 * 150 / 66)
    before = [QUIET] * 4 + [QUIET | {"rv_m_1": 4e-3}]  # 1, 1, 1, 1 and 16 are 4 of a mean
    assert told("spike_absorbed_v1", SWALLOWED, *before)["measure"] == pytest.approx(4.8)


def test_a_book_is_torn_where_its_spread_leaves_the_widest_before_behind_and_a_price_is_printed_far_away():
    found = told("spike_torn_v1", TORN, WHOLE, WHOLE | {"spread_bp_mean": 4.0}, WHOLE)
    assert found["measure"] == found["primary"] == pytest.approx(1.5)
    assert (found["direction"], found["triggers"]) == (-1, True)


@pytest.mark.parametrize(
    ("now", "before", "triggers"),
    [
        ({"spread_bp_mean": 3.5}, {}, False),
        ({"atr_proxy_m_1": 1.9e-3}, {}, False),  # wide, and nothing printed: what shift_spread_v1 is for
        ({"atr_proxy_m_1": 3.9e-3}, {"rv_m_1": 2e-3}, False),
        ({"atr_proxy_m_1": 4.1e-3}, {"rv_m_1": 2e-3}, True),
        ({"atr_proxy_m_1": np.nan}, {}, False),
        ({}, {"rv_m_1": np.nan}, False),
    ],
)
def test_a_wide_spread_alone_is_no_torn_book(now, before, triggers):
    assert told("spike_torn_v1", TORN | now, *[WHOLE | before] * 3)["triggers"] is triggers


@pytest.mark.parametrize(
    ("detector", "now", "before"),
    [
        *[("spike_absorbed_v1", {name: np.nan}, {}) for name in ("signed_flow_ratio_m_1", "rv_m_1")],
        *[("spike_absorbed_v1", {}, {"rv_m_1": rv}) for rv in (0.0, np.nan)],
        ("spike_absorbed_v1", {"rv_m_1": 0.0}, {}),
        ("spike_torn_v1", {"spread_bp_mean": np.nan}, {}),
        *[("spike_torn_v1", {}, {"spread_bp_mean": spread}) for spread in (0.0, np.nan)],
    ],
)
def test_without_what_is_usual_there_is_no_measure(detector, now, before):
    found = told(detector, NOW[detector] | now, *[one | before for one in BEFORE[detector]])
    assert np.isnan(found["measure"])
    assert not found["triggers"]


@pytest.mark.parametrize("detector", NOW)
@pytest.mark.parametrize("missing", range(5))
def test_every_minute_before_must_be_there(detector, missing):
    before = {back + 1: [one] for back, one in enumerate(BEFORE[detector]) if back != missing}
    found = tell(detector, a_story(NOW[detector], before=before))[0]
    assert np.isnan(found["measure"]) == (missing < len(BEFORE[detector]))


@pytest.mark.parametrize("place", range(3))
def test_one_null_among_the_spreads_before_is_not_passed_over(place):
    before = [WHOLE | ({"spread_bp_mean": np.nan} if back == place else {}) for back in range(3)]
    assert np.isnan(told("spike_torn_v1", TORN, *before)["measure"])
