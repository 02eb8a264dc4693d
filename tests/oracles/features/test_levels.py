"""Levels and events against prices that can be drawn by hand."""

from __future__ import annotations

import pytest

from tests.oracles.features import MINUTES_PER_DAY, Columns, Minute, Number, week_of
from tests.oracles.features.days import MONDAY, Stretch, day
from tests.oracles.features.levels import Level, clusters, extremes_by, levels, nearest_levels, peaks, prior


def bar(t: int, low: float, high: float, close: float | None = None, open: float | None = None) -> Minute:
    middle = (low + high) / 2
    closed = middle if close is None else close
    return Minute(t, open=middle if open is None else open, high=high, low=low, close=closed, mid_close=closed)


def highs(*values: float, start: int = 0) -> list[Minute]:
    return [bar(start + k, 0.0, value) for k, value in enumerate(values)]


def column(minutes: list[Minute], name: str) -> list[Number]:
    return [row[name] for row in levels(minutes)]


# --- swings ----------------------------------------------------------------------------------------------------------


def test_a_swing_is_above_three_before_and_not_below_two_after():
    assert peaks(dict(enumerate([1.0, 2.0, 3.0, 4.0, 4.0, 3.0]))) == {3: 4.0}  # the second 4 is not above the first
    assert peaks(dict(enumerate([1.0, 2.0, 3.0, 4.0, 4.0]))) == {}  # only one after
    assert peaks(dict(enumerate([1.0, 2.0, 3.0, 4.0, 5.0]))) == {}
    assert peaks(dict(enumerate([3.0, 1.0, 2.0, 3.0, 1.0, 1.0]))) == {}  # no higher than three before
    assert peaks(dict(enumerate([9.0, 1.0, 2.0, 2.5, 3.0, 1.0, 1.0]))) == {4: 3.0}  # four before does not count
    assert peaks({0: 1.0, 2: 2.0, 3: 4.0, 4: 3.0, 5: 1.0}) == {}  # minute 1 is missing


def test_a_swing_is_known_two_minutes_later_and_replaced_by_a_newer_one():
    minutes = highs(1, 1, 1, 5, 2, 2, 2, 4, 1, 1)
    assert column(minutes, "swing_high") == [None] * 5 + [5.0] * 4 + [4.0]
    assert column(minutes, "swing_high_age") == [None] * 5 + [2.0, 3.0, 4.0, 5.0, 2.0]


def test_a_swing_is_forgotten_after_256_minutes():
    found = column(highs(1, 1, 1, 5, *[1] * 300), "swing_high_age")
    assert found[3 + 255] == 255.0
    assert found[3 + 256] is None


def test_a_swing_low_mirrors_a_swing_high():
    minutes = [bar(t, low, 9.0) for t, low in enumerate((3.0, 3.0, 3.0, 1.0, 2.0, 1.0))]
    assert column(minutes, "swing_low") == [None] * 5 + [1.0]
    assert column(minutes, "swing_high") == [None] * 6


# --- levels ----------------------------------------------------------------------------------------------------------


def test_a_cluster_reaches_as_far_as_its_width_from_its_first_price():
    assert clusters([3.0, 1.0, 2.0], 2.0) == [Level(2.0, 3)]
    assert clusters([1.0, 2.0, 3.5], 2.0) == []
    # 3 is within 2 of 2, but 1 took it
    assert clusters([1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 6.0], 2.0) == [Level(2.0, 3), Level(12.5 / 3, 3)]
    assert clusters([], 1.0) == []


def test_the_nearest_levels_of_a_close():
    found = [Level(90.0, 3), Level(100.0, 4), Level(110.0, 5)]
    assert nearest_levels(found, 100.0) == {
        "level_above": 110.0, "level_above_touches": 5.0, "level_below": 100.0, "level_below_touches": 4.0,
    }  # fmt: skip
    assert nearest_levels(found, 89.0)["level_below"] is None
    assert set(nearest_levels(None, 89.0).values()) == {None}
    assert set(nearest_levels(found, None).values()) == {None}


def three_touches(count: int = 40) -> list[Minute]:
    """Highs of 110, 111 and 112 at minutes 10, 20 and 30, else 99 .. 101 with the close at 100: a level at 111."""
    minutes = [bar(t, 99.0, 101.0, 100.0) for t in range(count)]
    for t, high in ((10, 110.0), (20, 111.0), (30, 112.0)):
        minutes[t] = bar(t, 99.0, high, 100.0)
    return minutes


def test_three_touches_make_a_level_once_the_third_is_known():
    rows = levels(three_touches())
    assert rows[31]["level_above"] is None
    assert (rows[32]["level_above"], rows[32]["level_above_touches"]) == (111.0, 3.0)
    assert rows[32]["level_below"] is None
    assert (rows[32]["event_level"], rows[33]["event_level"]) == (None, 111.0)  # at t one asks what t-1 knew


def test_the_touches_of_a_level_age():
    found = column(three_touches(300), "level_above")  # minute 10 counts until 249
    assert found[249] == 111.0
    assert found[250] is None


# --- events ----------------------------------------------------------------------------------------------------------


def event(before: float, low: float, high: float, close: float) -> Columns:
    """What is told of minute 61, with the level at 111, after a close at `before` in minute 60."""
    return levels([*three_touches(60), bar(60, before - 1, before + 1, before), bar(61, low, high, close)])[-1]


EVENT_FLAGS = ("is_bounce", "is_reclaim", "is_failed", "is_held")


@pytest.mark.parametrize(
    ("before", "low", "high", "close", "told", "amount", "boost"),
    [
        (113.0, 110.0, 114.0, 112.5, "is_bounce", 2.5 / 112.5, 0.3),
        (110.0, 109.5, 113.0, 112.0, "is_reclaim", 2.5 / 112, 0.4),
        (112.0, 109.0, 113.0, 110.0, "is_failed", 3 / 110, 0.0),
        (113.0, 112.0, 114.0, 113.0, "is_held", 0.0, 0.0),
        (113.0, 111.0, 114.0, 113.0, "is_held", 0.0, 0.0),  # touched to the tick is no bounce
        (113.0, 119.0, 121.0, 120.0, None, 0.0, 0.0),
        (108.0, 107.0, 109.0, 108.0, None, 0.0, 0.0),
        (111.0, 109.0, 112.0, 110.0, None, 0.0, 0.0),  # from the level itself nothing fails, bounces or is reclaimed
        (111.0, 109.0, 112.0, 112.0, None, 0.0, 0.0),
        (112.0, 109.0, 113.0, 111.0, None, 0.0, 0.0),
    ],
)
def test_what_the_price_did_at_its_level(before, low, high, close, told, amount, boost):
    row = event(before, low, high, close)
    assert row["event_level"] == 111.0
    assert row["zone_strength"] == 0.5
    assert [name for name in EVENT_FLAGS if row[name]] == ([told] if told else [])
    assert row["event_amount"] == amount
    # HH_60 is 112, or the high of minute 60
    is_breakout = close > max(112.0, before + 1)
    assert row["is_breakout"] == float(is_breakout)
    assert row["resonance_boost"] == pytest.approx(boost + 0.5 * is_breakout + 0.1)


def test_events_need_the_close_before():
    minutes = [*three_touches(), bar(40, 112.0, 114.0, 113.0), bar(41, 110.0, 114.0, 112.5)]
    minutes += [bar(t, 99.0, 101.0, 100.0) for t in range(42, 60)]
    minutes += [bar(t, 99.0, 101.0, 100.0) for t in range(60, 62)]
    minutes[40].status = "stale"
    minutes[60].status = "stale"
    rows = levels(minutes)
    names = ("event_level", "zone_strength", "event_amount", "resonance_boost", *EVENT_FLAGS)
    assert {rows[61][name] for name in names} == {None}
    assert rows[61]["is_breakout"] == 0.0  # which asks for the channel alone
    assert {rows[41][name] for name in names} == {None}
    assert rows[42]["event_level"] is not None


def test_without_a_level_nothing_happened():
    rows = levels([bar(t, 99.0, 101.0, 100.0) for t in range(50)])
    assert {rows[13][name] for name in EVENT_FLAGS} == {None}  # no atr_14 before
    row = rows[49]
    assert row["event_level"] is None
    assert row["zone_strength"] is None
    assert [row[name] for name in (*EVENT_FLAGS, "event_amount", "resonance_boost")] == [0.0] * 6
    assert rows[41]["is_breakout"] is None  # 41 minutes before it
    assert rows[41]["resonance_boost"] is None
    assert rows[42]["resonance_boost"] == 0.0


def test_of_two_levels_equally_near_the_lower_is_asked():
    minutes = three_touches()
    for t, low in ((12, 90.0), (22, 89.0), (32, 88.0)):  # mirrored: a level at 89
        minutes[t] = bar(t, low, 101.0, 100.0)
    rows = levels(minutes)
    assert (rows[39]["level_above"], rows[39]["level_below"]) == (111.0, 89.0)
    assert rows[39]["event_level"] == 89.0
    minutes[38] = bar(38, 99.0, 102.0, 100.5)
    assert levels(minutes)[39]["event_level"] == 111.0


# --- prior extremes --------------------------------------------------------------------------------------------------


def test_the_day_before_is_told_when_seven_tenths_of_it_are_there():
    midnight = MONDAY * MINUTES_PER_DAY
    minutes = [bar(midnight - k, 99.0 - (k == 1), 101.0 + (k == 1_440)) for k in range(1_440, 0, -1)]
    today = [bar(midnight, 1.0, 900.0), bar(midnight + 1_439, 1.0, 900.0)]
    for row in levels([*minutes, *today])[-2:]:
        assert (row["prior_day_high"], row["prior_day_low"]) == (102.0, 98.0)
    assert levels([*minutes[-1_008:], *today])[-1]["prior_day_high"] == 101.0
    assert levels([*minutes[-1_007:], *today])[-1]["prior_day_high"] is None
    assert levels([*minutes, *today])[1_439]["prior_day_high"] is None


def test_the_week_before_ends_on_sunday():
    monday = MONDAY * MINUTES_PER_DAY
    sunday = monday - 1
    highs = {t: 101.0 for t in range(monday - 7_056, monday)} | {monday - 7 * MINUTES_PER_DAY - 1: 900.0, monday: 900.0}
    lows = {t: 99.0 for t in highs} | {sunday: 98.0, monday: 1.0}
    extremes = extremes_by((highs, lows), week_of, 7_056)
    for t in (monday, monday + 7 * MINUTES_PER_DAY - 1):
        assert prior(extremes, week_of(t), "prior_week") == {"prior_week_high": 101.0, "prior_week_low": 98.0}
    assert prior(extremes, week_of(sunday), "prior_week")["prior_week_high"] is None
    assert not extremes_by((highs, lows), week_of, 7_057)


def test_levels_and_events_happen_on_ordinary_days():
    """So that days are worth comparing on: each event comes, and each kind of level."""
    rows = levels(day(MONDAY * MINUTES_PER_DAY, [Stretch("ordinary", 900)], seed=5))
    for name in (*EVENT_FLAGS, "is_breakout", "is_breakbelow"):
        assert {row[name] for row in rows[300:]} == {0.0, 1.0}, name
    for name in ("level_above", "level_below", "event_level"):
        assert sum(row[name] is not None for row in rows) > 100, name
