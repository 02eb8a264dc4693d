"""Bars of a few minutes by head."""

from __future__ import annotations

from dataclasses import fields, replace
from math import e, log, sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.features import Minute
from tests.oracles.features.baselines import Baseline
from tests.oracles.features.days import days
from tests.oracles.features.rollups import MINUTES, Bar, RowMinute, rollups

BLOCK = 1_933_344  # of 15 minutes; 00:00 UTC
FIRST = BLOCK * 15


def row(i: int, **values: Any) -> RowMinute:
    """Minute i of the first block: one trade of 2 at 100."""
    plain: dict[str, Any] = dict(
        open=100.0, high=101.0, low=99.0, close=100.0, mid_open=100.0, mid_close=100.0, base_volume=2.0,
        quote_volume=200.0, taker_buy_quote_volume=50.0, taker_buy_base_volume=0.5, trade_count=1, vwap=100.0,
        ohlc_source="trade",
    )  # fmt: skip
    return RowMinute(FIRST + i, **{**plain, **values})


def quarter(minutes: list[RowMinute]) -> Bar:
    (bar,) = rollups(minutes, "15m")
    return bar


def test_the_block_begins_at_midnight():
    assert FIRST % 1440 == 0


def test_a_bar_stands_at_its_last_minute_and_needs_one_row():
    bars = rollups([row(3), row(31), row(44)], "15m")
    assert [(bar["bar"] - BLOCK, bar["minute"] - FIRST, bar["minutes_present"]) for bar in bars] == [
        (0, 14, 1),
        (2, 44, 2),
    ]
    assert [bar["minute"] - FIRST for bar in rollups([row(3), row(31), row(61)], "1h")] == [59, 119]


def test_sums_are_those_of_decimals():
    bar = quarter([row(i, base_volume=0.1, quote_volume=0.1, taker_buy_quote_volume=0.1) for i in range(3)])
    assert bar["base_volume"] == 0.3  # and not 0.30000000000000004
    assert bar["trade_count"] == 3
    assert bar["cvd_delta"] == 0.3
    assert bar["taker_sell_quote_volume"] == 0.0
    assert bar["signed_flow_ratio"] == 1.0


def test_flow_is_buys_less_sells():
    bar = quarter([row(i) for i in range(15)])
    assert (bar["quote_volume"], bar["taker_buy_quote_volume"], bar["taker_sell_quote_volume"]) == (
        3000.0,
        750.0,
        2250.0,
    )
    assert bar["cvd_delta"] == -1500.0
    assert bar["signed_flow_ratio"] == -0.5
    nothing = dict(quote_volume=0.0, taker_buy_quote_volume=0.0, base_volume=0.0, vwap=None)
    assert quarter([row(0, **nothing)])["signed_flow_ratio"] is None
    assert quarter([row(0, **nothing)])["vwap"] is None


def test_what_may_be_null_is_summed_over_what_is_there():
    bar = quarter([row(0, ofi=0.1), row(1), row(2, ofi=0.2, liquidation_count=3)])
    assert bar["ofi"] == 0.3
    assert bar["liquidation_count"] == 3
    assert bar["liquidation_buy_base"] is None


def test_prices_come_from_minutes_with_trades_if_there_are_any():
    mids = [row(0, ohlc_source="mid", open=90.0, high=200.0, low=1.0, close=95.0)]
    trades = [row(4, open=100.0, high=105.0, low=99.0), row(5, high=104.0, low=98.0, close=103.0)]
    none = [row(9, ohlc_source="none", open=None, high=None, low=None, close=None)]
    names = ("ohlc_source", "open", "high", "low", "close")
    assert [quarter(mids + trades + none)[name] for name in names] == ["trade", 100.0, 105.0, 98.0, 103.0]
    assert [quarter(mids + none)[name] for name in names] == ["mid", 90.0, 200.0, 1.0, 95.0]
    assert [quarter(none)[name] for name in names] == ["none", None, None, None, None]


def test_first_last_and_extremes():
    last = dict(
        mid_close=108.0, mark_price=110.1, index_price=110.0, oi_close=7.0, oi_staleness_ms=5, funding_rate=1e-4
    )
    bar = quarter(
        [
            row(0, mid_open=None, mid_high=101.0, mid_low=99.5, spread_max=0.5, oi_min=4.0, oi_max=6.0),
            row(7, mid_open=102.0, mid_high=103.0, mid_low=100.0, oi_open=5.0, oi_min=5.0, trade_size_max=3.0),
            row(14, mid_open=107.0, oi_open=8.0, **last),
        ]
    )
    assert (bar["mid_open"], bar["oi_open"]) == (102.0, 5.0)
    assert (bar["mid_high"], bar["mid_low"], bar["spread_max"], bar["trade_size_max"]) == (103.0, 99.5, 0.5, 3.0)
    assert (bar["oi_min"], bar["oi_max"]) == (4.0, 6.0)
    assert {name: bar[name] for name in last} == last
    assert bar["basis_bp"] == pytest.approx(1e3 / 110, rel=1e-12)
    cut = quarter([row(13, **last)])
    assert [cut[name] for name in (*last, "basis_bp")] == [None] * 7


def test_vwap_weighs_by_quantity():
    two = [
        row(0, base_volume=1.0, quote_volume=100.0, vwap=100.0),
        row(1, base_volume=3.0, quote_volume=330.0, vwap=110.0),
    ]
    assert quarter(two)["vwap"] == 107.5
    contracts = [replace(one, inverse=True, quote_volume=10 * one.base_volume, contract_size=10.0) for one in two]
    assert quarter(contracts)["vwap"] == 107.5


def test_means_weigh_by_the_time_they_were_taken_over():
    bar = quarter(
        [
            row(0, spread_mean=1.0, quote_ns=10, obi_top5_mean=0.5, book_ns=60),
            row(1, spread_mean=4.0, quote_ns=20, obi_top5_mean=None, book_ns=60),
            row(2, spread_mean=None, quote_ns=60, obi_top5_mean=0.25, book_ns=20),
        ]
    )
    assert bar["spread_mean"] == 3.0
    assert bar["obi_top5_mean"] == (30 + 5) / 80
    assert bar["depth_top20_mean"] is None


@pytest.mark.parametrize(
    ("tf", "bad", "status"),
    [("15m", 0, "ok"), ("15m", 1, "ok"), ("15m", 2, "partial"), ("15m", 4, "partial"), ("15m", 5, "stale"),
     ("1h", 6, "ok"), ("1h", 7, "partial"), ("1h", 18, "partial"), ("1h", 19, "stale")],
)  # fmt: skip
def test_how_many_minutes_may_be_bad(tf, bad, status):
    n = {"15m": 15, "1h": 60}[tf]
    missing = [row(i) for i in range(n) if i >= bad]
    worse = [row(i, status="partial" if i % 2 else "stale") if i < bad else row(i) for i in range(n)]
    for minutes in (missing, worse):
        (bar,) = rollups(minutes, tf)
        assert (bar["dq_status"], bar["minutes_ok"]) == (status, n - bad)


def test_reasons_are_all_of_them():
    bar = quarter([row(0, reasons=frozenset({"gap"})), row(1), row(2, reasons=frozenset({"gap", "no_trades"}))])
    assert bar["dq_reasons"] == {"gap", "no_trades"}


def test_a_bar_is_held_against_the_one_before():
    oi = dict(oi_staleness_ms=20_000)
    first, second = row(14, mid_close=100.0, oi_close=50.0, **oi), row(29, mid_close=98.0, oi_close=60.0, **oi)
    bars = rollups([first, second], "15m")
    assert [bars[0][name] for name in ("ret", "ret_abs", "oi_roc")] == [None] * 3
    assert [bars[1][name] for name in ("ret", "ret_abs", "oi_roc")] == [pytest.approx(-0.02), pytest.approx(0.02), 0.2]
    assert rollups([first, replace(second, oi_staleness_ms=20_001)], "15m")[1]["oi_roc"] is None
    assert rollups([replace(first, oi_close=0.0), second], "15m")[1]["oi_roc"] is None
    later = replace(second, minute=second.minute + 15)
    assert rollups([first, later], "15m")[1]["ret"] is None
    assert rollups([replace(first, minute=FIRST + 13), second], "15m")[1]["ret"] is None


def test_realised_volatility_reaches_into_the_block_before():
    up = [row(i, mid_close=e if i % 2 else 1.0) for i in range(30)]
    bars = rollups(up, "15m")
    assert bars[0]["rv"] == pytest.approx(sqrt(15 / 14 * 14), rel=1e-15)  # 14 steps of 1, scaled to 15
    assert bars[1]["rv"] == pytest.approx(sqrt(15), rel=1e-15)
    holes = [row(i, mid_close=1.0) for i in range(15) if i not in (3, 6)]
    assert len(holes) == 13
    assert rollups(holes, "15m")[0]["rv"] is None  # 10 steps are left, 11 are needed
    assert rollups([row(i, mid_close=1.0) for i in range(15) if i != 3], "15m")[0]["rv"] == 0.0


def test_stale_minutes_count_in_everything_but_the_status():
    bar = quarter([row(i, status="stale") for i in range(15)])
    assert (bar["quote_volume"], bar["rv"], bar["dq_status"]) == (3000.0, 0.0, "stale")


def walk(blocks: int, seed: int = 1) -> list[RowMinute]:
    """One minute out of 15, the last, but all 15 present."""
    random = Random(seed)
    minutes, price = [], 1000.0
    for i in range(blocks * 15):
        price += random.choice((-1.0, 0.0, 1.0))
        prices = dict(open=price, high=price + 1, low=price - 1, close=price, mid_close=price)
        volume = e**2 / 15 if i // 15 % 2 else e / 15
        minutes.append(row(i, **prices, quote_volume=volume, spread_bp_mean=1.0, quote_ns=1))
    return minutes


def test_indicators_agree_with_ta_lib():
    talib = pytest.importorskip("talib", reason="TA-Lib, a second opinion on indicators, is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    bars = rollups(walk(60), "15m")
    high, low, close = (numpy.array([bar[name] for bar in bars]) for name in ("high", "low", "close"))
    for name, expected in (("rsi_14", talib.RSI(close, 14)), ("atr_14", talib.ATR(high, low, close, 14))):
        told = [(bar[name], value) for bar, value in zip(bars, expected, strict=True) if not numpy.isnan(value)]
        assert len(told) == 46
        assert all(found == pytest.approx(value, rel=1e-9) for found, value in told)
    assert [bar["adx_14"] is None for bar in bars] == [True] * 27 + [False] * 33


def test_indicators_bridge_four_bars_and_not_five():
    minutes = walk(60)
    four = [one for one in minutes if not 20 <= one.minute // 15 - BLOCK < 24]
    five = [one for one in minutes if not 20 <= one.minute // 15 - BLOCK < 25]
    known = {bar["bar"] - BLOCK: bar["rsi_14"] for bar in rollups(four, "15m")}
    assert [t for t in known if known[t] is None] == list(range(14))
    known = {bar["bar"] - BLOCK: bar["rsi_14"] for bar in rollups(five, "15m")}
    assert [t for t in known if known[t] is None] == [*range(14), *range(25, 39)]


def test_a_stale_bar_has_no_indicators_and_moves_none():
    minutes = walk(40)
    spoiled = [replace(one, status="stale", close=1e9) if one.minute // 15 - BLOCK == 30 else one for one in minutes]
    bars = rollups(spoiled, "15m")
    assert [bars[30][name] for name in ("rsi_14", "atr_14", "adx_14")] == [None] * 3
    without = [one for one in minutes if one.minute // 15 - BLOCK != 30]
    assert bars[31]["rsi_14"] == rollups(without, "15m")[30]["rsi_14"]


def test_a_bar_is_normalised_by_the_ok_bars_before_it():
    bars = rollups(walk(203), "15m")
    assert bars[199]["z_vol"] is None
    middle = (log(1 + e) + log(1 + e**2)) / 2
    away = (log(1 + e**2) - log(1 + e)) / 2
    assert bars[200]["b_mean_vol"] == pytest.approx(middle, rel=1e-12)
    assert bars[200]["b_scale_vol"] == pytest.approx(away, rel=1e-12)
    assert bars[200]["z_vol"] == pytest.approx(-1, rel=1e-9)
    assert bars[201]["b_mean_vol"] == pytest.approx(middle - away / 201, rel=1e-12)
    assert bars[200]["z_ret_abs"] is None  # the first bar had no return: 199 values
    assert bars[201]["z_ret_abs"] is not None
    assert (bars[200]["z_spread"], bars[200]["b_mean_spread"], bars[200]["z_basis"]) == (0.0, 0.0, None)


def test_only_ok_bars_teach():
    minutes = walk(203)
    spoiled = [replace(one, status="stale") if one.minute // 15 == BLOCK else one for one in minutes]
    bars = rollups(spoiled, "15m")
    assert bars[200]["z_vol"] is None
    assert bars[201]["z_vol"] is not None


@pytest.mark.parametrize("half_life", [672, 720])
def test_bars_forget_half_in_their_half_life(half_life):
    baseline = Baseline(half_life)
    for i in range(2_000):
        baseline.fold(9.0 if i % 2 else 11.0)
    before = baseline.mean
    for _ in range(half_life // 3):  # the location; the scale takes the whole of it
        baseline.fold(10.5)
    assert 10.5 - baseline.mean == pytest.approx((10.5 - before) / 2, rel=1e-9)


# --- drawn days -------------------------------------------------------------------------------------------------------


def told_to_bars(minutes: list[Minute]) -> list[RowMinute]:
    """The minutes with what only bars read, made up where a Minute does not say it."""
    return [
        RowMinute(
            **{one.name: getattr(row, one.name) for one in fields(Minute)},
            ohlc_source="trade" if row.trade_count else "none" if row.close is None else "mid",
            reasons=frozenset() if row.status == "ok" else frozenset({row.status}),
            quote_ns=0 if row.spread_mean is None else 60 * 10**9,
            oi_open=row.oi_close,
        )
        for row in minutes
    ]


@settings(max_examples=20, deadline=None)
@given(minutes=days(stretches_max=12), tf=st.sampled_from(("15m", "1h")), data=st.data())
def test_a_bar_is_the_same_whatever_comes_after(minutes, tf, data):
    rows = told_to_bars(minutes)
    n = MINUTES[tf]
    block = data.draw(st.sampled_from([row.minute // n for row in rows]))
    until = [row for row in rows if row.minute < (block + 1) * n]
    short = rollups(until, tf)
    assert short == rollups(rows, tf)[: len(short)]
    assert short[-1]["bar"] == block


@settings(max_examples=20, deadline=None)
@given(minutes=days(stretches_max=12), tf=st.sampled_from(("15m", "1h")))
def test_bars_leave_nothing_out(minutes, tf):
    rows = told_to_bars(minutes)
    bars = rollups(rows, tf)
    assert sum(bar["minutes_present"] for bar in bars) == len(rows)
    assert sum(bar["trade_count"] for bar in bars) == sum(row.trade_count for row in rows)
    for bar in bars:
        inside = [row for row in rows if row.minute // MINUTES[tf] == bar["bar"]]
        traded = [row for row in inside if row.trade_count] or inside
        assert bar["high"] in [row.high for row in traded]
        assert bar["low"] <= min(bar["open"], bar["close"]) <= max(bar["open"], bar["close"]) <= bar["high"]
        assert bar["taker_buy_quote_volume"] + bar["taker_sell_quote_volume"] == pytest.approx(bar["quote_volume"])
        assert (bar["dq_status"] == "ok") == (10 * (MINUTES[tf] - bar["minutes_ok"]) <= MINUTES[tf])
        assert (
            bar["vwap"] is None
            or bar["low"] * (1 - 1e-9) <= bar["vwap"] <= bar["high"] * (1 + 1e-9)
            or inside[0].inverse
        )
