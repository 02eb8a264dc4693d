"""Residuals of one symbol against the oracle: long enough for fits, errors and seasons."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Columns, Minute, agree
from tests.oracles.features.days import MONDAY, Stretch, day, days
from tests.oracles.features.residuals import residuals

INPUTS = ("signed_flow_ratio_m_1", "vpin", "imbalance_top1", "basis_bp", "oi_roc_m_5", "rv_m_15")


def compare(minutes: Sequence[Minute]) -> list[Columns]:
    """The engine's residuals, from its own columns: other tests hold those to their oracles."""
    found = to_rows(minutes)
    expected = residuals(minutes, [{name: row[name] for name in INPUTS} for row in found])
    for minute, ours, theirs in zip(minutes, found, expected, strict=True):
        wrong = {name: (ours[name], value) for name, value in theirs.items() if not agree(ours[name], value, name)}
        assert wrong == {}, (minute.minute - minutes[0].minute, minute.status, wrong)
    return found


@USUAL
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(minutes)


@settings(USUAL, max_examples=10)
@given(days(stretches_max=5, minutes_max=300, warm_minutes=300))
def test_any_days_behind_a_fit(minutes: list[Minute]) -> None:
    compare(minutes)


def test_two_days_with_seasons() -> None:
    plan = [Stretch("ordinary", 1_500), Stretch("stale", 20), Stretch("ordinary", 300), Stretch("absent", 70)]
    rows = compare(day(MONDAY * MINUTES_PER_DAY + 415, [*plan, Stretch("ordinary", 400)], seed=5))
    names = ("kalman", "order_flow", "basis_carry", "seasonality")
    told = {name: sum(row[f"z_{name}_residual"] is not None for row in rows) for name in names}
    assert min(told.values()) > 300, told


def test_a_line_of_steady_slope_is_predicted_ever_better() -> None:
    """ln m grows by 1e-3 a minute. The slope is damped, so an innovation stays, and it is below half of a step."""
    minutes = [Minute(1_000 + k, mid_close=round(100.0 * 1.001**k, 2)) for k in range(60)]
    rows = to_rows(minutes)
    assert rows[0]["kalman_prediction"] is None
    errors = [
        abs(rows[k]["kalman_prediction"] - rows[k + 1]["kalman_prediction"] + 1e-3)  # type: ignore[operator]
        for k in range(40, 58)
    ]
    assert max(errors) < 5e-4


@pytest.mark.parametrize("name", ["prediction", "prediction_std"])
def test_no_options_feed_no_volatility_surface(name: str) -> None:
    (row,) = to_rows([Minute(1_000, mid_close=100.0)])
    assert row[f"vol_surface_{name}"] is None
    assert row["z_vol_surface_residual"] is None
