"""Oscillator columns against numbers that can be checked by head."""

from __future__ import annotations

import pytest

from tests.oracles.features import Minute, Number
from tests.oracles.features.oscillators import ema, oscillators, population_deviation
from tests.oracles.features.test_trend import line


def column(minutes: list[Minute], name: str) -> list[Number]:
    return [row[name] for row in oscillators(minutes)]


def test_strength_is_the_share_of_gains():
    zigzag = [100.0 + (3 * (t // 2) + 4 * (t % 2)) for t in range(15)]  # up 4, down 1, seven times
    assert column(line(*zigzag), "rsi_14") == [None] * 14 + [100 * 28 / 14 / (28 / 14 + 7 / 14)]
    assert column(line(*zigzag, zigzag[-1] + 1.5), "rsi_14")[-1] == pytest.approx(
        100 * (2 * 13 + 1.5) / (2.5 * 13 + 1.5), rel=1e-14
    )
    assert column(line(*[1.0 + t for t in range(22)]), "rsi_21") == [None] * 21 + [100.0]
    assert column(line(*[100.0 - t for t in range(22)]), "rsi_21")[-1] == 0.0
    assert column(line(*[7.0] * 51), "rsi_50") == [None] * 50 + [50.0]


def test_an_exponential_average_begins_with_the_mean():
    assert ema([1.0, 2.0, 6.0, 5.0, 4.0], 3) == [None, None, 3.0, 4.0, 4.0]


def test_the_macd_of_a_straight_line_is_the_difference_of_lags():
    """EMA_n of t lags (n - 1) / 2: 12.5 - 5.5 = 7, from the first value on."""
    rows = oscillators(line(*[float(t) for t in range(1, 61)]))
    assert [row["macd_line"] for row in rows] == [None] * 25 + [pytest.approx(7.0, rel=1e-13)] * 35
    assert [row["macd_signal"] for row in rows] == [None] * 33 + [pytest.approx(7.0, rel=1e-13)] * 27
    assert [row["macd_histogram"] for row in rows] == [None] * 33 + [pytest.approx(0.0, abs=1e-13)] * 27


def test_bands_are_two_population_deviations_wide():
    row = oscillators(line(*[100.0, 104.0] * 10))[-1]
    assert row["bb_middle_20"] == 102.0
    assert (row["bb_lower_20"], row["bb_upper_20"]) == (98.0, 106.0)
    assert row["bb_position_20"] == (104 - 98) / 8
    assert row["bb_width_20"] == 8 / 102
    assert [found is None for found in column(line(*[100.0, 104.0] * 10), "bb_middle_20")] == [
        t < 13 for t in range(20)
    ]


def test_a_constant_price_has_no_position_in_its_bands():
    row = oscillators(line(*[0.1] * 20))[-1]  # twenty tenths sum to 2.0000000000000004
    assert row["bb_position_20"] is None
    assert row["bb_width_20"] == 0.0
    assert row["bb_upper_20"] == row["bb_lower_20"] == row["bb_middle_20"] == pytest.approx(0.1)
    assert population_deviation([0.1] * 20) == 0.0


def test_without_a_close_there_are_bands_but_no_place_in_them():
    row = oscillators(line(*[100.0, 104.0] * 10, None))[-1]
    assert row["bb_middle_20"] == (10 * 104 + 9 * 100) / 19
    assert row["bb_position_20"] is None
    assert row["rsi_14"] is None


def test_the_stochastic_counts_its_own_minute():
    closes = [100.0] * 11 + [110.0, 104.0, 105.0]
    rows = oscillators(line(*closes))
    assert [row["stoch_k_14"] for row in rows] == [None] * 11 + [100.0, 40.0, 50.0]
    assert rows[-1]["stoch_d_14"] == 190 / 3
    assert rows[-2]["stoch_d_14"] is None
    minutes = line(*closes, 106.0)
    minutes[12].status = "stale"
    rows = oscillators(minutes)
    assert [row["stoch_k_14"] for row in rows[11:]] == [100.0, None, 50.0, 60.0]
    assert rows[-1]["stoch_d_14"] is None
