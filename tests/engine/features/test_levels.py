"""Levels and events of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY, Stretch, day, days
from tests.oracles.features.levels import levels

FEWER = settings(USUAL, max_examples=25)  # of the oracle, which finds all levels of every minute anew
START = MONDAY * MINUTES_PER_DAY
WEEK = 7 * MINUTES_PER_DAY


def bar(t: int, low: float, high: float, close: float) -> Minute:
    return Minute(START + t, open=low, high=high, low=low, close=close, mid_close=close)


def wave(t: int) -> Minute:
    """Up and down between 100 and 106 in 12 minutes; a bar is 1 high and closes in its middle."""
    middle = 100.5 + abs(t % 12 - 6)
    return bar(t, middle - 0.5, middle + 0.5, middle)


@FEWER
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(levels, minutes)


@FEWER
@given(days(stretches_max=4, warm_minutes=60))
def test_any_days_that_are_warm(minutes: list[Minute]) -> None:
    compare(levels, minutes)


def test_more_than_a_window_of_swings() -> None:
    """Swings grow too old for a level, and are let go of, whatever else happens meanwhile."""
    plan = [Stretch("ordinary", 400), Stretch("flicker", 90), Stretch("absent", 120), Stretch("ordinary", 60)]
    found = compare(levels, day(START, plan, seed=5, price_ticks=250_000))
    assert sum(row["event_level"] is not None for row in found) > 300


def test_a_swing_is_known_two_minutes_later() -> None:
    rows = to_rows([wave(t) for t in range(30)])
    assert (rows[13]["swing_high"], rows[14]["swing_high"], rows[14]["swing_high_age"]) == (None, 107.0, 2.0)
    assert (rows[7]["swing_low"], rows[8]["swing_low"], rows[8]["swing_low_age"]) == (None, 100.0, 2.0)
    assert rows[19]["swing_low_age"] == 13.0


def test_three_swings_are_a_level() -> None:
    """atr_14 of the wave is 1.5: highs and lows are 7 apart and stay levels of their own."""
    rows = to_rows([wave(t) for t in range(60)])
    assert (rows[37]["level_above"], rows[38]["level_above"], rows[38]["level_above_touches"]) == (None, 107.0, 3.0)
    assert (rows[32]["level_below"], rows[32]["level_below_touches"]) == (100.0, 3.0)
    assert rows[50]["level_above_touches"] == 4.0


def test_what_a_minute_does_at_a_level() -> None:
    """The level below is 100.0, told by swings at minutes 6, 18 and 30."""
    begin = [wave(t) for t in range(43)]  # the newest closes at 101.5
    bounce = to_rows([*begin, bar(43, 99.5, 102.5, 102.0)])[-1]
    assert (bounce["event_level"], bounce["zone_strength"]) == (100.0, 0.5)
    assert (bounce["is_bounce"], bounce["is_reclaim"], bounce["is_failed"], bounce["is_held"]) == (1.0, 0.0, 0.0, 0.0)
    assert bounce["event_amount"] == 2.5 / 102.0
    failed = to_rows([*begin, bar(43, 99.0, 101.5, 99.5)])[-1]
    assert (failed["is_failed"], failed["event_amount"], failed["is_breakbelow"]) == (1.0, 2.0 / 99.5, 1.0)
    held = to_rows([*begin, bar(43, 100.5, 102.5, 102.0)])[-1]
    assert (held["is_held"], held["is_bounce"], held["event_amount"]) == (1.0, 0.0, 0.0)
    reclaim = to_rows([*begin, bar(43, 99.0, 101.5, 99.5), bar(44, 99.5, 101.5, 101.0)])[-1]
    assert (reclaim["is_reclaim"], reclaim["event_amount"]) == (1.0, 1.5 / 101.0)


def test_day_and_week_before() -> None:
    """Two weeks of flat bars, 1 high, a price for each day; a day of which a third is missing is not told."""
    minutes = [
        bar(t, 100.0 + t // 1_440, 101.0 + t // 1_440, 101.0 + t // 1_440)
        for t in range(WEEK + 3 * 1_440)
        if not 8 * 1_440 <= t < 8 * 1_440 + 433
    ]
    rows = {minute.minute - START: row for minute, row in zip(minutes, to_rows(minutes), strict=True)}
    assert rows[1_439]["prior_day_high"] is None
    assert (rows[1_440]["prior_day_high"], rows[1_440]["prior_day_low"]) == (101.0, 100.0)
    assert (rows[9 * 1_440 - 1]["prior_day_high"], rows[9 * 1_440]["prior_day_high"]) == (108.0, None)
    assert rows[WEEK - 1]["prior_week_high"] is None
    assert (rows[WEEK]["prior_week_high"], rows[WEEK]["prior_week_low"]) == (107.0, 100.0)
