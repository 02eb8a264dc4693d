"""Trend columns against numbers that can be checked by head."""

from __future__ import annotations

import pytest

from tests.oracles.features import Minute, Number
from tests.oracles.features.trend import adx, direction, movements, runs, trend, true_ranges, weighted_average, wilder


def line(*closes: Number, start: int = 0, reach: float = 0.0) -> list[Minute]:
    """Minutes whose high and low lie `reach` beyond the close."""
    return [
        Minute(start + k, close=c, open=c, high=None if c is None else c + reach, low=None if c is None else c - reach)
        for k, c in enumerate(closes)
    ]


def column(minutes: list[Minute], name: str) -> list[Number]:
    return [row[name] for row in trend(minutes)]


# --- windows ---------------------------------------------------------------------------------------------------------


def test_rate_of_change_in_percent():
    assert column(line(*[100.0] * 10, 150.0), "roc_10") == [None] * 10 + [50.0]
    assert column(line(*[100.0] * 20, 25.0), "roc_20")[-1] == -75.0


def test_a_moving_average_bears_thirty_percent_missing():
    closes = [float(k) for k in range(1, 51)]
    assert column(line(*closes), "ma_50")[-1] == 25.5
    assert column(line(*closes), "ma_50")[34] == 18.0  # 35 of 50
    assert column(line(*closes), "ma_50")[33] is None
    minutes = line(*closes)
    del minutes[10:25]
    assert column(minutes, "ma_50")[-1] == (1275 - sum(range(11, 26))) / 35
    del minutes[10]
    assert column(minutes, "ma_50")[-1] is None
    assert column(line(*[5.0] * 140), "ma_200") == [None] * 139 + [5.0]


def test_weights_stay_with_their_minutes_when_some_are_missing():
    assert weighted_average({1: 10.0, 2: 20.0, 3: 60.0}, 3, 3) == (10 + 40 + 180) / 6
    values = {t: 1.0 for t in range(1, 11)} | {10: 11.0}
    del values[1], values[2], values[3]
    assert weighted_average(values, 10, 10) == (4 + 5 + 6 + 7 + 8 + 9 + 110) / 49
    del values[4]
    assert weighted_average(values, 10, 10) is None


def test_the_hull_average_of_a_straight_line_is_the_line():
    """WMA_n of t lags (n - 1) / 3: raw is ahead by 99/3 - 2 * 49/3 = 1/3, and WMA_10 takes 9/3 back."""
    rows = trend(line(*[1_000.0 + t for t in range(120)]))
    assert rows[119]["hma_raw"] == pytest.approx(1_119 + 1 / 3, rel=1e-14)
    assert rows[119]["hma_100"] == pytest.approx(1_119 + 1 / 3 - 3, rel=1e-14)
    assert rows[119]["hma_100_slope"] == pytest.approx(1 / 1_119, rel=1e-10)
    assert [row["hma_raw"] is None for row in rows] == [t < 69 for t in range(120)]
    # WMA_100 is there from 70 minutes on, WMA_10 from 7 of those, the slope one later
    assert [row["hma_100"] is None for row in rows] == [t < 75 for t in range(120)]
    assert [row["hma_100_slope"] is None for row in rows] == [t < 76 for t in range(120)]


def test_the_hull_slope_needs_the_minute_before():
    minutes = line(*[1_000.0 + t for t in range(120)])
    minutes[118].status = "stale"
    rows = trend(minutes)
    assert rows[118]["hma_100"] is None
    assert rows[119]["hma_100"] is not None
    assert rows[119]["hma_100_slope"] is None


def test_the_channel_is_of_the_sixty_minutes_before():
    closes = [100.0, 120.0] + [110.0] * 59
    assert column(line(*closes), "donchian_pos_60")[60] == 0.5
    assert column(line(*closes, 125.0), "donchian_pos_60")[61] == 1.5  # 110 .. 120 were left
    assert column(line(*[100.0] * 61), "donchian_pos_60")[60] is None
    assert [found is None for found in column(line(*closes), "donchian_pos_60")] == [t < 42 for t in range(61)]


def test_a_breakout_is_told_in_true_ranges():
    quiet = [100.0] * 60
    rows = trend(line(*quiet, 106.0, reach=1.0))
    atr_14 = rows[60]["atr_14"]
    assert atr_14 == (2.0 * 13 + 7.0) / 14  # 107 - 100
    assert rows[60]["breakout_z_60"] == (106 - 101) / atr_14
    assert trend(line(*quiet, 94.0, reach=1.0))[60]["breakout_z_60"] == (94 - 99) / atr_14
    assert trend(line(*quiet, 101.0, reach=1.0))[60]["breakout_z_60"] == 0.0


# --- recursions ------------------------------------------------------------------------------------------------------


def test_wilder_begins_with_the_mean():
    assert wilder([1.0, 2.0, 6.0, 6.0], 3) == [None, None, 3.0, 4.0]
    assert wilder([1.0, 2.0], 3) == [None, None]
    assert wilder([], 3) == []


def test_the_true_range_includes_the_close_before():
    assert true_ranges([(0, 0, 10.0), (12.0, 9.0, 9.0), (8.0, 7.0, 7.5), (20.0, 19.0, 19.5)]) == [3.0, 2.0, 12.5]


def test_the_average_true_range_begins_after_n_of_them():
    found = column(line(*[100.0] * 15, 103.0, reach=1.0), "atr_14")
    assert found == [None] * 14 + [2.0, (2.0 * 13 + 4.0) / 14]
    assert column(line(*[100.0] * 22, reach=1.0), "atr_21") == [None] * 21 + [2.0]


def test_only_the_larger_movement_counts():
    bars = [(10.0, 5.0, 7.0), (12.0, 4.0, 7.0), (13.0, 1.0, 7.0), (12.0, 2.0, 7.0), (13.0, 1.0, 7.0)]
    assert movements(bars) == ([2.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0])  # outside bar: up; down; inside bar; a tie


def test_a_one_sided_trend_has_full_direction():
    rising = [(float(t), t - 1.0, t - 0.5) for t in range(40)]
    assert adx(rising, 14) == [None] * 27 + [100.0] * 13
    assert adx([(5.0, 5.0, 5.0)] * 30, 14)[-1] == 0.0
    assert direction(3.0, 1.0) == direction(1.0, 3.0) == 50.0
    assert adx(rising[:1], 14) == [None]
    minutes = [Minute(t, high=high, low=low, close=close) for t, (high, low, close) in enumerate(rising)]
    assert column(minutes, "adx_14") == [None] * 27 + [100.0] * 13


def test_runs_bridge_sixty_missing_minutes():
    assert runs({1: 0, 2: 0, 63: 0}) == [[1, 2, 63]]
    assert runs({1: 0, 2: 0, 64: 0}) == [[1, 2], [64]]
    assert runs({}) == []


def test_an_average_goes_on_after_a_gap_and_begins_anew_after_a_long_one():
    before = line(*[100.0] * 15, reach=1.0)
    short = column([*before, *line(110.0, start=15 + 60, reach=1.0)], "atr_14")
    assert short[-1] == (2.0 * 13 + 11.0) / 14
    long = column([*before, *line(*[110.0] * 15, start=15 + 61, reach=1.0)], "atr_14")
    assert long[14:] == [2.0] + [None] * 14 + [2.0]  # and the jump of 10 is in no true range


def test_a_minute_without_a_close_and_a_stale_one_leave_the_state():
    minutes = line(*[100.0] * 15, None, 100.0, 103.0, reach=1.0)
    minutes[16].status = "stale"
    minutes[16].high = 1_000.0
    assert column(minutes, "atr_14")[14:] == [2.0, None, None, (2.0 * 13 + 4.0) / 14]
