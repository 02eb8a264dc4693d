"""Oscillators of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY, days
from tests.oracles.features.oscillators import oscillators

START = MONDAY * MINUTES_PER_DAY


def bar(t: int, close: float) -> Minute:
    return Minute(START + t, open=close, high=close, low=close, close=close, mid_close=close)


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(oscillators, minutes)


@settings(USUAL, max_examples=30)
@given(days(stretches_max=4, warm_minutes=60))
def test_any_days_that_are_warm(minutes: list[Minute]) -> None:
    compare(oscillators, minutes)


def test_two_up_one_down() -> None:
    """Every third minute falls by 1, the others rise by 1."""
    closes = [100.0]
    for t in range(1, 60):
        closes.append(closes[-1] + (-1.0 if t % 3 == 0 else 1.0))
    rows = to_rows([bar(t, close) for t, close in enumerate(closes)])
    assert rows[13]["rsi_14"] is None
    assert rows[14]["rsi_14"] == pytest.approx(100 * 10 / 14)
    assert rows[21]["rsi_21"] == pytest.approx(100 * 14 / 21)
    assert rows[50]["rsi_50"] == pytest.approx(100 * 34 / 50)


def test_a_price_that_does_not_move() -> None:
    rows = to_rows([bar(t, 0.1) for t in range(60)])
    assert (rows[14]["rsi_14"], rows[50]["rsi_50"]) == (50.0, 50.0)
    assert rows[24]["macd_line"] is None
    assert rows[25]["macd_line"] == pytest.approx(0.0, abs=1e-15)
    assert (rows[32]["macd_signal"], rows[33]["macd_signal"]) == (None, pytest.approx(0.0, abs=1e-15))
    assert (rows[13]["bb_width_20"], rows[12]["bb_width_20"], rows[20]["bb_position_20"]) == (0.0, None, None)
    assert (rows[20]["stoch_k_14"], rows[20]["stoch_d_14"]) == (None, None)


def test_bands_by_head() -> None:
    """10 and 12 in turn: mean 11, deviation 1."""
    rows = to_rows([bar(t, 12.0 if t % 2 else 10.0) for t in range(40)])
    newest = rows[39]
    assert (newest["bb_middle_20"], newest["bb_upper_20"], newest["bb_lower_20"]) == (11.0, 13.0, 9.0)
    assert (newest["bb_position_20"], newest["bb_width_20"]) == (0.75, 4 / 11)
    assert (newest["stoch_k_14"], newest["stoch_d_14"]) == (100.0, 200 / 3)
