"""The bench of detectors times each of them, and what it times is right."""

from __future__ import annotations

import numpy as np
import pytest

from bench import detectors, harness
from detectors.table import TABLE


def test_every_core_detector_is_timed_beside_the_whole():
    rows = list(detectors.core(12, minutes=16))

    whole = [detectors.USUAL, detectors.BEHIND_A_BAR, detectors.ON_CPU]
    assert [row.what for row in rows] == [*whole, *(f"detectors: {one.id}" for one in TABLE if one.is_core)]
    assert [row.count for row in rows[:3]] == [14, 2, 16]
    assert len({row.digest for row in rows[:3]}) == 1


def test_a_measure_that_is_not_numpys_ends_the_run(monkeypatch):
    def other(view):
        return {"spike_vol_v1": np.nan_to_num(view.rows["z_vol_m_1"][view.members]) + 1.0}

    monkeypatch.setattr(detectors, "by_numpy", other)
    with pytest.raises(harness.ResultDiffersError, match="spike_vol_v1"):
        list(detectors.core(5, minutes=1))
