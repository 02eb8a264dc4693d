"""A burst of drift, told in four minutes with numbers that a head can check."""

from __future__ import annotations

import numpy as np
import pytest

from tests.detectors.hand import a_story, tell

NOW = {"rv_m_1": 1e-3, "atr_proxy_m_1": 6e-3, "ret_m_1": 0.005}


def told(now: dict[str, float], *before: float) -> dict[str, float]:
    """What is found of one symbol; before: rv_m_1 of the minutes before, the nearest first."""
    return tell("spike_burst_v1", a_story(now, before={k + 1: [{"rv_m_1": rv}] for k, rv in enumerate(before)}))[0]


def test_a_range_is_compared_with_the_volatility_of_its_own_minute_and_of_those_before():
    assert told(NOW, 1e-3, 1e-3, 1e-3)["measure"] == pytest.approx(6.0)
    # Eight times the volatility before counts twice, the cube root of 8.
    assert told(NOW, 8e-3, 8e-3, 8e-3)["measure"] == pytest.approx(3.0)
    assert told(NOW | {"rv_m_1": 8e-3}, 1e-3, 1e-3, 1e-3)["measure"] == pytest.approx(1.5)
    # Of minutes that differ, the root of the mean square: that of 1, 1 and 5 is 3.
    assert told(NOW, 1e-3, 1e-3, 5e-3)["measure"] == pytest.approx(6.0 / 3.0 ** (1 / 3))
    found = told(NOW, 1e-3, 1e-3, 1e-3)
    assert (found["primary"], found["direction"], found["triggers"]) == (found["measure"], 1, True)


@pytest.mark.parametrize(("ret", "direction"), [(-0.001, -1), (0.0, 0), (np.nan, 0)])
def test_its_direction_is_that_of_the_return(ret, direction):
    assert told(NOW | {"ret_m_1": ret}, 1e-3, 1e-3, 1e-3)["direction"] == direction


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (NOW, (1e-3, 1e-3)),
        (NOW, (1e-3, np.nan, 1e-3)),
        (NOW, (0.0, 0.0, 0.0)),
        (NOW | {"rv_m_1": 0.0}, (1e-3, 1e-3, 1e-3)),
        (NOW | {"rv_m_1": np.nan}, (1e-3, 1e-3, 1e-3)),
        (NOW | {"atr_proxy_m_1": np.nan}, (1e-3, 1e-3, 1e-3)),
    ],
)
def test_without_a_volatility_there_is_no_measure(now, before):
    found = told(now, *before)
    assert np.isnan(found["measure"])
    assert not found["triggers"]


@pytest.mark.parametrize(
    ("roc", "z", "secondary"), [(0.01, 3.0, 3.0), (-0.02, -4.0, 4.0), (0.0099, 9.0, np.nan), (np.nan, 9.0, np.nan)]
)
def test_open_interest_counts_from_one_percent_on(roc, z, secondary):
    found = told(NOW | {"oi_roc_m_5": roc, "z_oi_roc_m_5": z}, 1e-3, 1e-3, 1e-3)
    assert found["secondary"] == pytest.approx(secondary, nan_ok=True)
