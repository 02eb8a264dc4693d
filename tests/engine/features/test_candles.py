"""Shapes of candles of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import Minute
from tests.oracles.features.candles import candles
from tests.oracles.features.days import days


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(candles, minutes)


def test_shapes_by_head() -> None:
    rows = to_rows(
        [
            Minute(100, open=10.0, high=11.0, low=9.0, close=9.5),
            Minute(101, open=9.5, high=11.0, low=9.0, close=10.5),  # covers the one before
            Minute(102, open=10.5, high=11.0, low=10.0, close=10.5),  # no body
            Minute(103, open=10.5, high=10.6, low=9.0, close=10.75),  # a long shadow below
            Minute(105, open=11.0, high=11.0, low=9.0, close=9.0),
        ]
    )
    assert [row["is_engulfing_up"] for row in rows] == [None, 1.0, 0.0, 0.0, None]
    assert [row["is_doji"] for row in rows] == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert [row["is_hammer"] for row in rows] == [0.0, 0.0, 0.0, 1.0, 0.0]


def test_volume_against_the_twenty_minutes_before() -> None:
    volumes = [10.0] * 14 + [15.0, 15.7]  # the mean before the newest is 155 / 15
    rows = to_rows([Minute(100 + k, quote_volume=volume) for k, volume in enumerate(volumes)])
    assert [row["is_volume_confirmed"] for row in rows] == [None] * 14 + [0.0, 1.0]
