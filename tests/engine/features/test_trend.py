"""Trend columns of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY, days
from tests.oracles.features.trend import trend

START = MONDAY * MINUTES_PER_DAY


def bar(t: int, low: float, high: float, close: float) -> Minute:
    return Minute(START + t, open=low, high=high, low=low, close=close, mid_close=close)


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(trend, minutes)


@settings(USUAL, max_examples=30)
@given(days(stretches_max=4, warm_minutes=210))
def test_any_days_that_are_warm(minutes: list[Minute]) -> None:
    compare(trend, minutes)


def test_a_price_that_rises_by_one_a_minute() -> None:
    rows = to_rows([bar(t, 100.0 + t, 101.0 + t, 101.0 + t) for t in range(200)])
    assert [row["atr_14"] for row in rows[:15]] == [None] * 14 + [1.0]
    assert (rows[26]["adx_14"], rows[27]["adx_14"], rows[41]["adx_21"]) == (None, 100.0, 100.0)
    assert (rows[41]["donchian_pos_60"], rows[70]["breakout_z_60"]) == (None, 1.0)
    assert rows[70]["donchian_pos_60"] == 61 / 60
    assert rows[70]["roc_10"] == pytest.approx(100 * 10 / 161)
    assert (rows[49]["ma_50"], rows[199]["ma_200"]) == (125.5, 200.5)
    # WMA_n of a line lags (n - 1) / 3 behind it: 2 * 49/3 - 99/3 = -1/3 of a minute, and WMA_10 three minutes more.
    assert rows[150]["hma_raw"] == pytest.approx(251.0 + 1 / 3)
    assert rows[150]["hma_100"] == pytest.approx(248.0 + 1 / 3)
    assert rows[150]["hma_100_slope"] == pytest.approx(1 / 251)


def test_sixty_minutes_are_bridged_and_sixty_one_are_not() -> None:
    begin = [bar(t, 100.0, 101.0, 100.5) for t in range(20)]
    assert to_rows([*begin, bar(80, 100.0, 101.0, 100.5)])[-1]["atr_14"] == 1.0
    assert to_rows([*begin, bar(81, 100.0, 101.0, 100.5)])[-1]["atr_14"] is None
