"""The road from the market's events to z, and the judgement of what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.drift import COLUMNS, MARKETS, drift, keeps, rows_of, worst


def test_minutes_have_what_the_baselines_read() -> None:
    market = replace(MARKETS[0], minutes=8)
    *_, (minute, rows, trades) = rows_of(market)
    assert minute == market.first_minute_ns // (60 * 10**9) + 7
    assert min(trades) > 0
    for name in ("ret_m_1", "ret_abs_m_1", "oi_roc_m_5", "basis_bp_m_5", "cvd_slope_m_5", "spread_p95_m_1"):
        assert not np.isnan(rows[name]).any(), name
    assert (rows["spread_bp_mean"] > 0.0).all()
    assert (rows["low"] <= rows["close"]).all()


def test_what_is_kept() -> None:
    assert keeps(0.2, 1.2)
    assert keeps(-0.2, 0.8)
    assert not keeps(0.21, 1.0)
    assert not keeps(0.0, 1.21)


@pytest.mark.slow
def test_a_simulated_week_keeps_the_promise() -> None:
    """Ten minutes or so for each of the markets; `python -m bench.drift` has all three."""
    found = drift(MARKETS[1])
    assert set(worst(found)) == set(COLUMNS)
    assert [line for line in found if not line["kept"]] == []
