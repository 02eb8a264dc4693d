"""Percentiles, regimes and the moments of breadth by head."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracles.features import Columns, Minute
from tests.oracles.features.market import Listed, Market
from tests.oracles.features.regimes import (
    Moments,
    all_in_all,
    depth,
    going,
    liquidity,
    percentile,
    regime_of,
    regimes,
    session,
    trend,
    windows_of,
    z_of_breadth,
)
from tests.oracles.features.test_market import QUIET

T = 29_000_160  # 00:00 UTC


def test_moments_by_head():
    moments = Moments()
    moments.fold(0.4)
    assert (moments.mean, moments.variance) == (0.4, 0.0)
    moments.fold(0.8)
    assert moments.mean == pytest.approx(0.6, rel=1e-12)
    assert moments.variance == pytest.approx(0.04, rel=1e-12)  # that of 0.4 and 0.8
    assert moments.z(1.0) is None
    for _ in range(99):
        moments.fold(0.4)
        moments.fold(0.8)
    assert moments.z(1.0) == pytest.approx(2.0, rel=1e-9)
    assert moments.z(None) is None


def test_a_breadth_that_never_moves_has_a_least_deviation():
    moments = Moments()
    for _ in range(200):
        moments.fold(0.0)
    assert moments.z(0.5) == 50.0


def market_rows(count: int, **values: float | None) -> dict[int, Market]:
    plain: Market = dict.fromkeys(("breadth_m_1", "share_above_ma_50", "share_above_ma_200", "new_high_low_m_60"), 0.5)
    return {T + i: {**plain, **values} for i in range(count)}


def test_breadth_is_judged_by_rows_up_to_two_minutes_before():
    rows = market_rows(203)
    rows[T + 200]["breadth_m_1"] = 1.0
    found = z_of_breadth(rows)
    assert found[T + 200]["z_breadth_m_1"] is None  # 199 values
    assert found[T + 201]["z_breadth_m_1"] == 0.0  # 200; the one of the minute before is not among them
    assert found[T + 202]["z_breadth_m_1"] == pytest.approx(-0.5 / 201 / (0.5 * 200**0.5 / 201), rel=1e-9)
    assert found[T + 202]["z_new_high_low_m_60"] == 0.0
    assert found[T + 202]["breadth_composite"] == pytest.approx((found[T + 202]["z_breadth_m_1"] or 0) / 4, rel=1e-12)
    assert z_of_breadth(market_rows(300, share_above_ma_200=None))[T + 299]["breadth_composite"] is None


def test_a_month_holds_every_fifth_minute():
    rows: dict[int, Market] = {T + i: {"x": float(i)} for i in range(20)}
    held = windows_of(rows, "x")
    assert held[T + 5] == []
    assert held[T + 6] == [4.0]  # its label is 00:05
    assert held[T + 19] == [4.0, 9.0, 14.0]


def test_percentiles_need_a_day():
    assert percentile(None, []) == (None, "few_symbols")
    assert percentile(5.0, [1.0] * 287) == (None, "few_minutes")
    assert percentile(5.0, [float(i) for i in range(288)]) == (100 * 5.5 / 288, "none")


@pytest.mark.parametrize(
    ("p", "number", "confidence"),
    [(0, 0, 1), (10, 0, 0.5), (20, 1, 0), (50, 1, 1), (65, 1, 0.5), (80, 2, 0), (87.5, 2, 1), (95, 2, 0), (96, 3, 0.2),
     (100, 3, 1)],
)  # fmt: skip
def test_classes_and_how_deep(p, number, confidence):
    assert depth(p) == (number, pytest.approx(confidence))


def test_a_regime_has_a_reason_where_it_is_null():
    classes = ("low", "medium", "high", "extreme")
    assert regime_of("volatility", (90.0, "none"), classes) == {
        "volatility_percentile": 90.0,
        "volatility_regime": "high",
        "volatility_confidence": pytest.approx(5 / 7.5),
        "volatility_reason": "none",
    }
    told = regime_of("volatility", (None, "few_minutes"), classes)
    assert list(told.values()) == [None, None, None, "few_minutes"]


def test_liquidity_is_much_volume_and_little_spread():
    assert liquidity((80.0, "none"), (10.0, "none")) == (85.0, "none")
    assert liquidity((None, "few_minutes"), (None, "few_symbols")) == (None, "few_symbols")
    assert liquidity((80.0, "none"), (None, "few_minutes")) == (None, "few_minutes")


def test_where_it_goes():
    assert [going(20.1, 1e-9), going(20.1, -1e-9), going(20.1, 0.0), going(20.0, 1.0)] == [
        "up",
        "down",
        "sideways",
        "sideways",
    ]


def listed(**values: Any) -> Listed:
    column: Columns = {**QUIET, **values}
    return Listed([Minute(T)], [column])


def test_the_trend_is_the_leaders_and_its_confidence_who_agrees():
    up, down = dict(adx_14=30.0, hma_100_slope=0.1), dict(adx_14=30.0, hma_100_slope=-0.1)
    symbols = {"A": listed(**up), "B": listed(**down), "C": listed(**up), "D": listed(), "E": listed(adx_14=None)}
    assert trend(symbols, T, 0, "A") == {"trend_regime": "up", "trend_confidence": 0.5, "trend_reason": "none"}
    assert trend(symbols, T, 0, "D")["trend_confidence"] == 0.25
    assert trend(symbols, T, 0, "E")["trend_reason"] == "no_input"
    assert trend(symbols, T, 0, None)["trend_reason"] == "no_leader"


@pytest.mark.parametrize(
    ("volatility", "p", "direction", "adx", "regime", "confidence"),
    [("high", 90.0, "up", 40.0, "volatile", 0.5), ("extreme", 100.0, "sideways", 1.0, "volatile", 1.0),
     ("medium", 60.0, "down", 25.1, "trending", 0.75), ("medium", 60.0, "down", 25.0, "normal", 0.25),
     ("low", 8.0, "sideways", 40.0, "normal", 0.9)],
)  # fmt: skip
def test_the_market_all_in_all(volatility, p, direction, adx, regime, confidence):
    row = {
        "volatility_regime": volatility, "volatility_percentile": p, "volatility_reason": "none",
        "trend_regime": direction, "trend_confidence": 0.75, "trend_reason": "none",
    }  # fmt: skip
    expected = {"market_regime": regime, "market_confidence": pytest.approx(confidence), "market_reason": "none"}
    assert all_in_all(row, adx) == expected


def test_the_market_gives_the_first_reason():
    row = {"volatility_reason": "few_minutes", "trend_reason": "no_leader"}
    assert all_in_all(row, None) == {"market_regime": None, "market_confidence": None, "market_reason": "few_minutes"}
    assert all_in_all(row | {"volatility_reason": "none"}, None)["market_reason"] == "no_leader"


def test_sessions_by_the_hour_of_the_open():
    opens = (0, 6, 7, 12, 13, 15, 16, 23)
    assert [session(T + 60 * hour) for hour in opens] == [
        "asia", "asia", "europe", "europe", "overlap", "overlap", "us", "us",
    ]  # fmt: skip
    assert session(T + 60 * 7 - 1) == "asia"


def test_a_day_of_rows_gives_the_first_percentile():
    count = 288 * 5 + 10
    minutes = [Minute(T + i, quote_volume=1.0, spread_bp_mean=1.0) for i in range(count)]
    columns = [{**QUIET, "rv_h_1": float(i)} for i in range(count)]
    symbols = {name: Listed(minutes, columns) for name in ("BTC", "A")}
    rows: dict[int, Market] = {  # only what is read here

        T + i: {
            "market_rv_h_1": float(i), "market_volume_h_1": 5.0, "market_spread_bp": 1.0, "leader": "BTC",
            "universe_rev": 0, "breadth_m_1": None, "share_above_ma_50": None, "share_above_ma_200": None,
            "new_high_low_m_60": None,
        }
        for i in range(count)
    }  # fmt: skip
    found = regimes(symbols, rows)
    first = next(t - T for t in sorted(found) if found[t]["volatility_regime"] is not None)
    assert first == 288 * 5 + 1  # the 288th value is that of minute 1439, which counts from 1441 on
    assert found[T + first]["volatility_percentile"] == 100.0
    assert found[T + first]["liquidity_percentile"] == 50.0
    assert found[T + first - 1]["volatility_reason"] == "few_minutes"
    assert found[T + first]["market_regime"] == "volatile"
    assert found[T + first]["trend_regime"] == "sideways"
