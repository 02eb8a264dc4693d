"""Price columns of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import POINTS, Minute
from tests.oracles.features.days import days
from tests.oracles.features.price import price


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(price, minutes)


@settings(USUAL, max_examples=30)
@given(days(stretches_max=4, warm_minutes=61))
def test_any_days_that_are_warm(minutes: list[Minute]) -> None:
    compare(price, minutes)


def test_returns_by_head() -> None:
    minutes = [Minute(100 + k, mid_close=mid) for k, mid in enumerate((100.0, 110.0, 99.0, 99.0, 99.0, 150.0))]
    rows = to_rows(minutes)
    assert [row["ret_m_1"] for row in rows] == [None, 110 / 100 - 1, 99 / 110 - 1, 0.0, 0.0, 150 / 99 - 1]
    assert rows[5]["ret_m_5"] == 0.5
    assert rows[2]["ret_abs_m_1"] == 1 - 99 / 110


def test_a_gap_on_the_lattice_has_no_return() -> None:
    rows = to_rows([Minute(100, mid_close=100.0), Minute(102, mid_close=110.0), Minute(105, mid_close=120.0)])
    assert [row["ret_m_1"] for row in rows] == [None, None, None]
    assert rows[2]["ret_m_5"] == 120 / 100 - 1


def test_volatility_inside_the_minute_by_head() -> None:
    """From 100 at the open to 110 and back: two log moves. A hole between two points is bridged."""
    mids = [None] * 10 + [110.0] * 5 + [None] * 5 + [100.0] * 40
    (row,) = to_rows([Minute(100, mid_open=100.0, mid_close=100.0, mids=mids, spreads=mids)])
    assert math.isclose(row["rv_m_1"] or 0.0, math.sqrt(2) * math.log(1.1), rel_tol=1e-12)
    assert row["ret_s_30"] == 0.0
    quiet = [None] * (POINTS - 1) + [100.0]
    (row,) = to_rows([Minute(100, mid_close=100.0, mids=quiet, spreads=quiet)])
    assert (row["rv_m_1"], row["ret_s_30"]) == (None, None)


TEN_SECONDS = math.sqrt(math.log(6) / 2)  # 0.9465: what chance finds in so short a window, half of it


def drift_of(*mids: float | None, mid_open: float | None = 100.0) -> float | None:
    """drift_burst_m_1 of a minute with these first points of its grid; then it stays where it is."""
    path = [*mids, *[mids[-1]] * (POINTS - len(mids))]
    spreads = [None if mid is None else 0.01 for mid in path]
    (row,) = to_rows([Minute(100, mid_open=mid_open, mid_close=100.0, mids=path, spreads=spreads)])
    return row["drift_burst_m_1"]


def test_drift_inside_the_minute_by_head() -> None:
    """rv_m_1 of n equal steps is sqrt(n) of them. Prices lie on a tick: steps are equal to 5e-4 of themselves."""
    line = [round(100 * 1.01**k, 3) for k in range(POINTS + 1)]
    assert drift_of(*line[1:]) == pytest.approx(math.sqrt(60), rel=1e-6)
    assert drift_of(*line[-2::-1], mid_open=line[-1]) == pytest.approx(-math.sqrt(60), rel=1e-6)
    assert drift_of(*[100.0] * 29, 90.0) == pytest.approx(-(math.sqrt(6) - TEN_SECONDS), rel=1e-12)
    assert drift_of(*[100.0] * 25, *line[1:11]) == pytest.approx(math.sqrt(60) - TEN_SECONDS, rel=1e-4)


def test_of_equal_moves_there_and_back_the_first_has_the_sign() -> None:
    size = math.sqrt(3) - TEN_SECONDS  # rv is sqrt(2) moves
    assert drift_of(*[100.0] * 5, *[107.0] * 30, 100.0) == pytest.approx(size, rel=1e-12)
    assert drift_of(*[107.0] * 5, *[100.0] * 30, 107.0, mid_open=107.0) == pytest.approx(-size, rel=1e-12)


def test_a_drift_is_none_where_nothing_drifts_and_null_where_nothing_moves() -> None:
    assert drift_of(*[101.0, 100.0] * 30) == 0.0
    assert drift_of(*[None] * 4, 101.0, *[None] * 55) == 0.0  # two points, and no window has both
    assert drift_of(None) is None
    assert drift_of(100.0) is None


def test_a_window_may_lack_30_per_cent() -> None:
    """15 returns want 11 present; what is missing is scaled up."""
    step = math.log(1.01)
    minutes = [Minute(100 + k, mid_close=100.0 if k % 2 else 101.0) for k in range(16)]
    for holes, present in (((), 15), ((3,), 13), ((3, 7), 11), ((3, 7, 11), 9)):
        last = to_rows([minute for k, minute in enumerate(minutes) if k not in holes])[-1]
        if present < 11:
            assert last["rv_m_15"] is None
        else:
            assert math.isclose(last["rv_m_15"] or 0.0, math.sqrt(15 / present * present * step**2), rel_tol=1e-12)
