"""Microstructure columns of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import NO_POINTS, POINTS, Minute
from tests.oracles.features.days import days
from tests.oracles.features.microstructure import microstructure


@settings(USUAL, max_examples=30)
@given(days(stretches_max=6, minutes_max=40))
def test_any_days(minutes: list[Minute]) -> None:
    compare(microstructure, minutes)


def quoted(spreads: Sequence[float | None], quote_count: int = 60) -> Minute:
    return Minute(100, mids=[None if x is None else 100.0 for x in spreads], spreads=spreads, quote_count=quote_count)


def test_the_95th_percentile_of_the_spread_by_head() -> None:
    """Of 60 points the 57th smallest, of 40 the 38th, of 20 the 19th; 19 points or 19 quotes are too few."""
    spreads = [(k * 7 % 60 + 1) / 100 for k in range(60)]  # 0.01 .. 0.60 in some order
    assert to_rows([quoted([*spreads])])[0]["spread_p95_m_1"] == 0.57
    assert to_rows([quoted([None] * 20 + [k / 100 for k in range(1, 41)])])[0]["spread_p95_m_1"] == 0.38
    assert to_rows([quoted([k / 100 for k in range(20, 0, -1)] + [None] * 40)])[0]["spread_p95_m_1"] == 0.19
    assert to_rows([quoted([0.01] * 19 + [None] * 41)])[0]["spread_p95_m_1"] is None
    assert to_rows([quoted([*spreads], 19)])[0]["spread_p95_m_1"] is None
    assert to_rows([quoted([0.05] * 57 + [0.90] * 3)])[0]["spread_p95_m_1"] == 0.05
    assert to_rows([quoted([0.05] * 56 + [0.90] * 4)])[0]["spread_p95_m_1"] == 0.9


@pytest.mark.parametrize(
    ("depths", "median"),
    [
        ([5.0] * POINTS, 5.0),
        ([5.0] * 30 + [7.0] * 30, 6.0),
        ([7.0] * 31 + [5.0] * 29, 7.0),
        ([float(k * 7 % 60) for k in range(60)], 29.5),
        ([None] * 59 + [3.0], 3.0),
        ([2.0, 1.0] + [None] * 58, 1.5),
        ([3.0, None, 1.0, 2.0] + [None] * 56, 2.0),
        (list(NO_POINTS), None),
    ],
)
def test_the_median_depth_by_head(depths: list[float | None], median: float | None) -> None:
    assert to_rows([Minute(100, depths5=depths)])[0]["depth_top5_quote_median_m_1"] == median


def test_microprice_drift_by_head() -> None:
    microprices = [None] * 29 + [100.0] + [None] * 30
    mids = [100.0] * POINTS
    (row,) = to_rows([Minute(100, mids=mids, spreads=mids, microprices=microprices, microprice_close=101.0)])
    assert row["microprice_drift_s_30"] == 101 / 100 - 1


def test_imbalance_of_shares() -> None:
    (row,) = to_rows([Minute(100, obi_top1_mean=0.75, obi_top5_mean=0.0)])
    assert (row["imbalance_top1"], row["imbalance_top5"]) == (0.5, -1.0)
