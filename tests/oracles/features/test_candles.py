"""Candles against prices and volumes that can be checked by head."""

from __future__ import annotations

from tests.oracles.features import MINUTES_PER_DAY, Minute, Number
from tests.oracles.features.candles import NULL, candles
from tests.oracles.features.days import MONDAY, Stretch, day


def column(minutes: list[Minute], name: str) -> list[Number]:
    return [row[name] for row in candles(minutes)]


def test_shapes():
    def shape(open: float, high: float, low: float, close: float) -> tuple[Number, Number]:
        row = candles([Minute(0, open=open, high=high, low=low, close=close)])[0]
        return row["is_doji"], row["is_hammer"]

    assert shape(10.0, 20.0, 0.0, 11.0) == (1.0, 0.0)
    assert shape(10.0, 20.0, 0.0, 12.0) == (0.0, 0.0)  # a tenth is too much
    assert shape(10.0, 10.0, 10.0, 10.0) == (0.0, 0.0)
    assert shape(18.0, 20.5, 10.0, 20.0) == (0.0, 1.0)
    assert shape(20.0, 20.5, 10.0, 18.0) == (0.0, 1.0)
    assert shape(18.0, 22.0, 10.0, 20.0) == (0.0, 0.0)  # the upper shadow is as long as the body
    assert shape(18.0, 20.5, 14.0, 20.0) == (0.0, 0.0)  # the lower one is just twice the body
    assert shape(20.0, 20.5, 10.0, 20.0) == (1.0, 0.0)  # no body


def test_a_body_engulfs_the_one_before():
    def engulfing(before: tuple[float, float], now: tuple[float, float]) -> tuple[Number, Number]:
        bars = [Minute(t, open=o, close=c, high=max(o, c), low=min(o, c)) for t, (o, c) in enumerate((before, now))]
        row = candles(bars)[1]
        return row["is_engulfing_up"], row["is_engulfing_down"]

    assert engulfing((11.0, 10.0), (10.0, 12.0)) == (1.0, 0.0)
    assert engulfing((10.0, 11.0), (11.0, 9.0)) == (0.0, 1.0)
    assert engulfing((11.0, 10.0), (10.0, 11.0)) == (0.0, 0.0)  # no larger
    assert engulfing((10.0, 11.0), (9.0, 12.0)) == (0.0, 0.0)  # both rise
    assert engulfing((11.0, 10.0), (10.5, 12.0)) == (0.0, 0.0)  # begins inside
    assert column([Minute(t, open=1.0, close=2.0) for t in range(2)], "is_engulfing_up") == [None, 0.0]


def test_volume_confirms_when_it_is_half_again_the_mean_before():
    minutes = [Minute(t, quote_volume=10.0) for t in range(14)]
    assert column([*minutes, Minute(14, quote_volume=15.5)], "is_volume_confirmed") == [None] * 14 + [1.0]
    assert column([*minutes, Minute(14, quote_volume=15.0)], "is_volume_confirmed")[-1] == 0.0
    assert column([*minutes[1:], Minute(14, quote_volume=99.0)], "is_volume_confirmed")[-1] is None


def test_each_shape_happens_on_ordinary_days():
    rows = candles(day(MONDAY * MINUTES_PER_DAY, [Stretch("ordinary", 300)], seed=5))
    for name in NULL:
        assert {row[name] for row in rows[20:]} == {0.0, 1.0}, name
