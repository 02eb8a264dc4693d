"""Patterns drawn by hand: what each is worth by head, and near misses that are none; other scales and other times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from detectors.table import TABLE
from engine.core.detector import Detector
from replay.detectors import shapes
from replay.detectors.shapes import PATHS, Path, bars_of, closes_of, mirrored
from tests.detectors.belt import found_by, last_of, views
from tests.detectors.markets import history
from tests.oracles.histories import NOTHING, Finding, Row

MINUTE = 28_000_000
MINUTES = 250
BY_ID = {detector.id: detector for detector in TABLE}
PATTERNS = [detector for detector in TABLE if not detector.is_core]
Columns = Mapping[str, float | None]


def drawn(path: Path, told: Mapping[int, Columns] | None = None, **columns: float) -> dict[int, Row]:
    """Minutes of a path around 200, in which atr_14 is 1. told: columns of single minutes, by how long ago they are."""
    closes = 200.0 + closes_of(path, MINUTES)
    opened, high, low = bars_of(closes)
    told = told or {}
    usual = {"V": 2.0, "D": 0.0, "atr_14": 1.0, "is_volume_confirmed": 1, "z_vol_m_1": 1.5, **columns}
    return {
        MINUTE + n: {
            "O": float(opened[n]), "H": float(high[n]), "L": float(low[n]), "C": float(closes[n]),
            **usual, **told.get(n - MINUTES + 1, {}),
        }
        for n in range(MINUTES)
    }  # fmt: skip


def told_of(name: str, minutes: Mapping[int, Row]) -> Finding:
    return last_of(BY_ID[name], minutes)


def bent(path: Path, minute: int, price: float) -> Path:
    """The same path with another price at one knot."""
    return tuple((m, price if m == minute else p) for m, p in path)


def is_worth(found: Finding, measure: float, direction: int) -> bool:
    return (
        found.measure is not None
        and abs(found.measure - measure) < 1e-9
        and (found.is_met, found.is_allowed, found.direction) == (True, True, direction)
    )


# Charts and diagonals: how far the last close of each shape is beyond its line. Bars reach 0.1 beyond open and close. -

WORTH = {  # by head: line at minute 0, less or plus the close
    "pattern_double_top_v1": (0.9 - 0.2, -1),  # the low between the tops is 1.0 - 0.1
    "pattern_double_bottom_v1": (0.9 - 0.2, 1),
    "pattern_head_shoulders_v1": (0.9 + 42 / 22 * 0.2 - 0.3, -1),  # the neck rises from 0.9 to 1.1 in 22 minutes
    "pattern_falling_wedge_v1": (3.4 - 2.6, 1),  # highs 10.1, 7.1, 4.1: 0.15 a minute
    "pattern_ascending_triangle_v1": (6.0 - 5.1, 1),
    "pattern_bull_flag_v1": (8.2 - (9.1 - 2.5), 1),  # highs are 9.1 in minute -13 and fall 2.5 in 13 minutes
    "pattern_diagonal_support_v1": (4.3 - 3.5, -1),  # lows -0.1, 0.9, 1.9, 2.9: 0.1 a minute
    "pattern_diagonal_resistance_v1": (4.3 - 3.5, 1),
    "pattern_channel_break_v1": (5.9 - 4.9, -1),  # lows -0.1, 1.9, 3.9: 0.1 a minute
}


def with_volume(path: Path, name: str) -> dict[int, Row]:
    """A flag needs less volume than its pole."""
    return drawn(path, {ago: {"V": 1.0} for ago in range(-13, 0)} if name == "pattern_bull_flag_v1" else None)


@pytest.mark.parametrize("name", sorted(WORTH))
def test_a_shape_is_worth_what_it_is_by_head(name: str):
    assert is_worth(told_of(name, with_volume(PATHS[name], name)), *WORTH[name])


@pytest.mark.parametrize("name", sorted(WORTH))
def test_a_shape_is_found_in_the_minute_of_its_break_only(name: str):
    """Not a minute before, and not behind it while the price stays beyond the line."""
    path, (_, direction) = PATHS[name], WORTH[name]
    later = (*((minute - 1, price) for minute, price in path[1:]), (0, path[-1][1] + 0.5 * direction))
    assert told_of(name, with_volume((path[0], *later), name)).measure is None
    minutes = with_volume(path, name)
    del minutes[max(minutes)]
    assert told_of(name, minutes).measure is None


@pytest.mark.parametrize("name", sorted(set(WORTH) - {"pattern_channel_break_v1"}))
def test_upside_down_it_is_not_found(name: str):
    assert told_of(name, with_volume(mirrored(PATHS[name]), name)) == NOTHING


@pytest.mark.parametrize("name", sorted(WORTH))
@pytest.mark.parametrize("gone", [{}, None])
def test_a_minute_that_is_missing_or_stale_breaks_it(name: str, gone: Row | None):
    """In the middle of the shape; the same minute before all that is looked at changes nothing."""
    for ago, is_found in ((28, False), (150, True)):
        minutes: dict[int, Row] = with_volume(PATHS[name], name)
        at = max(minutes) - ago
        if gone is None:
            del minutes[at]
        else:
            minutes[at] = gone
        assert (told_of(name, minutes).measure is not None) == is_found, ago


NEAR_MISSES: Sequence[tuple[str, Path, str]] = (
    ("pattern_double_top_v1", bent(shapes.DOUBLE_TOP, -36, 4.1), "tops more than one atr_14 apart"),
    ("pattern_double_top_v1", bent(shapes.DOUBLE_TOP, -60, 1.5), "it did not come from below"),
    ("pattern_double_top_v1", bent(shapes.DOUBLE_TOP, -24, 2.5), "too flat"),
    ("pattern_head_shoulders_v1", bent(shapes.HEAD_SHOULDERS, -31, 5.1), "the head is no higher than a shoulder"),
    ("pattern_head_shoulders_v1", bent(shapes.HEAD_SHOULDERS, -52, 2.6), "shoulders of two heights"),
    ("pattern_head_shoulders_v1", bent(shapes.HEAD_SHOULDERS, -42, -0.4), "the neck is too steep"),
    ("pattern_falling_wedge_v1", bent(shapes.FALLING_WEDGE, -20, 1.0), "the lines run side by side"),
    ("pattern_falling_wedge_v1", bent(shapes.FALLING_WEDGE, -42, 1.5), "the lower line does not fall"),
    ("pattern_falling_wedge_v1", bent(shapes.FALLING_WEDGE, -30, 8.0), "a high that is not on the line"),
    ("pattern_ascending_triangle_v1", bent(shapes.ASCENDING_TRIANGLE, -30, 5.6), "highs of two heights"),
    ("pattern_ascending_triangle_v1", bent(shapes.ASCENDING_TRIANGLE, -20, 0.4), "lows do not rise"),
    ("pattern_ascending_triangle_v1", bent(shapes.ASCENDING_TRIANGLE, -20, 3.2), "too near to the apex"),
    ("pattern_bull_flag_v1", bent(shapes.BULL_FLAG, -14, 4.5), "the pole is too short"),
    ("pattern_bull_flag_v1", bent(shapes.BULL_FLAG, -1, 4.0), "more than half is given back"),
    ("pattern_diagonal_support_v1", bent(shapes.RISING_LINE, -24, 0.0), "a low that is not on the line"),
    ("pattern_channel_break_v1", bent(shapes.CHANNEL, -30, 11.0), "a high that is not on the line"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "path", "why"), NEAR_MISSES, ids=lambda one: one if isinstance(one, str) else "")
def test_a_near_miss_is_none(name: str, path: Path, why: str):
    assert told_of(name, with_volume(path, name)).measure is None


def test_a_flag_without_less_volume_is_none():
    assert told_of("pattern_bull_flag_v1", drawn(shapes.BULL_FLAG)) == NOTHING


def test_a_shape_without_volume_is_not_allowed():
    found = told_of("pattern_double_top_v1", drawn(shapes.DOUBLE_TOP, is_volume_confirmed=0))
    assert (found.is_met, found.is_allowed) == (True, False)


def test_a_channel_breaks_upwards_too():
    """The upper line is at 11.1 in minute 0."""
    path = (*shapes.CHANNEL[:-2], (-4, 9.0), (-1, 10.5), (0, 12.0))
    assert is_worth(told_of("pattern_channel_break_v1", drawn(path)), 0.9, 1)


# Pairs of swings ------------------------------------------------------------------------------------------------------

USUAL = {"hma_100_slope": 1e-4, "adx_14": 30.0, "atr_percentile_7d": 50.0}


def rsi(before: float, newest: float) -> Mapping[int, Columns]:
    return {-25: {"rsi_14": before}, -5: {"rsi_14": newest}}


def test_the_smaller_leg_counts():
    """The price made a high 1.0 higher; rsi_14 is 4 points or 40 points lower."""
    for fall, measure in ((4.0, 0.8), (40.0, 1.0)):
        found = told_of("div_rsi_bear_v1", drawn(shapes.HIGHER_HIGHS, rsi(70.0, 70.0 - fall), **USUAL))
        assert is_worth(found, measure, -1)


def test_a_divergence_that_is_none_has_a_negative_measure():
    found = told_of("div_rsi_bear_v1", drawn(shapes.HIGHER_HIGHS, rsi(60.0, 65.0), **USUAL))
    assert (found.measure, found.is_met) == (-1.0, True)


def test_macd_is_counted_in_atr():
    told = {-25: {"macd_histogram": 0.5}, -5: {"macd_histogram": 0.34}}
    assert is_worth(told_of("div_macd_bear_v1", drawn(shapes.HIGHER_HIGHS, told, **USUAL)), 0.8, -1)


@pytest.mark.parametrize(("adx", "is_met"), [(19.9, False), (20.0, True), (40.0, True), (40.1, False)])
def test_a_classic_divergence_needs_a_trend_that_is_no_storm(adx: float, is_met: bool):
    columns = USUAL | {"adx_14": adx}
    assert told_of("div_rsi_bear_v1", drawn(shapes.HIGHER_HIGHS, rsi(70.0, 60.0), **columns)).is_met == is_met


def test_hidden_momentum_at_a_level():
    """A low 1.0 higher at 198.9, rsi_14 lower by 10 points; a level 0.9 below it, then 1.1."""
    for level, is_allowed in ((198.0, True), (197.8, False)):
        path = drawn(shapes.HIGHER_LOWS, rsi(45.0, 35.0), **USUAL, level_below=level)
        found = told_of("div_hidden_bull_v1", path)
        assert found.measure == pytest.approx(1.0)
        assert (found.is_met, found.is_allowed, found.direction) == (True, is_allowed, 1)
    falls = USUAL | {"hma_100_slope": -1e-4}
    assert not told_of("div_hidden_bull_v1", drawn(shapes.HIGHER_LOWS, rsi(45.0, 35.0), **falls)).is_met
    path = drawn(mirrored(shapes.HIGHER_LOWS), rsi(45.0, 55.0), **falls, level_above=201.1)
    assert is_worth(told_of("div_hidden_bear_v1", path), 1.0, -1)


def test_a_swing_is_looked_at_in_the_minute_in_which_it_is_known():
    minutes = drawn(shapes.HIGHER_HIGHS, rsi(70.0, 60.0), **USUAL)
    newest = max(minutes)
    for shift in (-1, 1):
        path = tuple((minute + shift, price) for minute, price in shapes.HIGHER_HIGHS)
        assert told_of("div_rsi_bear_v1", drawn(path, rsi(70.0, 60.0), **USUAL)).measure is None
    del minutes[newest - 28]  # one of the five before the older swing is enough to break it
    assert told_of("div_rsi_bear_v1", minutes).measure is None


def test_flow_against_the_price():
    """20 minutes of flow behind the older swing: 16 sold and 4 bought 3.0 each, so -12 / sqrt(20) sigma."""
    told = {ago: {"D": 3.0 if ago % 5 == 0 else -3.0} for ago in range(-24, -4)}
    found = told_of("div_delta_volume_bear_v1", drawn(shapes.HIGHER_HIGHS, told, level_above=206.5))
    assert is_worth(found, 1.0, -1)  # the price's leg is smaller
    told = {ago: {"D": 3.0 if ago % 2 else -3.0 - (ago == -6)} for ago in range(-24, -4)}
    found = told_of("div_delta_volume_bear_v1", drawn(shapes.HIGHER_HIGHS, told, level_above=206.5))
    assert found.measure == pytest.approx(1.0 / np.sqrt(19 * 9.0 + 16.0))


# Candles and levels ---------------------------------------------------------------------------------------------------


def test_a_hammer_behind_a_fall():
    """The bar opens at 0, closes at 0.3, reaches 0.1 beyond: 0.5 high; the fall before was 5 bars of 4/3."""
    columns = {"is_hammer": 1, "level_below": 199.5}
    assert is_worth(told_of("pattern_hammer_v1", drawn(shapes.FALL, **columns)), 0.5, 1)
    assert not told_of("pattern_hammer_v1", drawn(shapes.FALL, is_hammer=0, level_below=199.5)).is_met
    assert not told_of("pattern_hammer_v1", drawn(shapes.FALL, is_hammer=1, level_below=198.8)).is_allowed
    assert not told_of("pattern_hammer_v1", drawn(mirrored(shapes.FALL), **columns)).is_met


def test_a_doji_and_an_engulfing_bar_turn_against_the_move():
    for path, side in ((shapes.FALL, 1), (mirrored(shapes.FALL), -1)):
        doji = told_of("pattern_doji_v1", drawn(path, is_doji=1, level_above=200.1))
        assert is_worth(doji, 0.5, side)
        flags = {"is_engulfing_up": int(side > 0), "is_engulfing_down": int(side < 0)}
        assert is_worth(told_of("pattern_engulfing_v1", drawn(path, **flags, level_above=200.1)), 0.3, side)
        against = {"is_engulfing_up": int(side < 0), "is_engulfing_down": int(side > 0)}
        assert not told_of("pattern_engulfing_v1", drawn(path, **against, level_above=200.1)).is_met


def test_a_level_that_held_breaks():
    """The price jumps from 200 to 203 through 201."""
    level = {"level_above": 201.0, "level_above_touches": 4.0}
    found = told_of("pattern_resistance_break_v1", drawn(shapes.JUMP, **level))
    assert is_worth(found, 2.0, 1)
    weak = told_of("pattern_resistance_break_v1", drawn(shapes.JUMP, **level | {"level_above_touches": 3.0}))
    assert (weak.measure, weak.is_met) == (2.0, False)
    young = {-6: {"level_above": 202.5}}
    assert not told_of("pattern_resistance_break_v1", drawn(shapes.JUMP, young, **level)).is_met
    crossed = ((shapes.FIRST, 0), (-5, 0), (-4, 1.5), (-3, 0), (-1, 0), (0, 3))
    assert not told_of("pattern_resistance_break_v1", drawn(crossed, **level)).is_met
    level = {"level_below": 199.0, "level_below_touches": 4.0}
    assert is_worth(told_of("pattern_support_break_v1", drawn(mirrored(shapes.JUMP), **level)), 2.0, -1)


# Other scales, other times --------------------------------------------------------------------------------------------

PRICED = ("O", "H", "L", "C", "atr_14", "macd_histogram", "level_above", "level_below")


def every_finding(histories: Sequence[Mapping[int, Row]]) -> dict[str, list[bytes]]:
    """Detector -> bytes of what it finds, minute by minute, of the symbols that are looked at."""
    found: dict[str, list[bytes]] = {detector.id: [] for detector in PATTERNS}
    for view in views(histories):
        for detector in PATTERNS:
            found[detector.id].append(found_by(detector, view)[view.members].tobytes())
    return found


def scaled(minutes: Mapping[int, Row], factor: float) -> dict[int, Row]:
    return {
        minute: {name: one * factor if name in PRICED and one is not None else one for name, one in row.items()}
        for minute, row in minutes.items()
    }


@pytest.fixture(scope="module")
def some() -> list[dict[int, Row]]:
    return [history(seed, minutes=300) for seed in range(100, 108)]


def test_prices_of_another_scale_change_no_bit(some: list[dict[int, Row]]):
    """A power of two, so that nothing is rounded differently."""
    usual = every_finding(some)
    for factor in (2.0**-7, 2.0**10):
        assert every_finding([scaled(one, factor) for one in some]) == usual


def test_another_time_changes_no_bit(some: list[dict[int, Row]]):
    """Also where the rings turn over at another minute."""
    usual = every_finding(some)
    for minutes in (1, 77, 1_440):
        moved = [{minute + minutes: row for minute, row in one.items()} for one in some]
        assert every_finding(moved) == usual


def test_who_stands_beside_changes_no_bit(some: list[dict[int, Row]]):
    together = every_finding(some[:2])
    alone: list[dict[str, list[bytes]]] = [every_finding([one]) for one in some[:2]]
    last: Detector = PATTERNS[-1]
    assert len(together[last.id]) == len(alone[0][last.id])
    for name, findings in together.items():
        joined = [one + other for one, other in zip(alone[0][name], alone[1][name], strict=True)]
        assert joined == findings, name
