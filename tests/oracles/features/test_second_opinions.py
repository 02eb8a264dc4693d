"""The oracles against libraries that others wrote: TA-Lib, numpy, scipy, river. After warm-up, where seeds differ.

A day of 1,500 ordinary minutes, so that a difference at the start has faded: (20/21)^1200 is 1e-25.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.oracles.features import MINUTES_PER_DAY, Columns, Minute, Number
from tests.oracles.features.days import MONDAY, Stretch, day
from tests.oracles.features.flow import flow
from tests.oracles.features.levels import levels
from tests.oracles.features.microstructure import microstructure
from tests.oracles.features.oscillators import ema, oscillators
from tests.oracles.features.price import price
from tests.oracles.features.trend import trend, wilder

FADED = 1_200
MINUTES = day(MONDAY * MINUTES_PER_DAY, [Stretch("ordinary", 1_500)], seed=11)


def numbers(rows: list[Columns], name: str) -> np.ndarray:
    return np.array([np.nan if (value := row[name]) is None else value for row in rows])


def inputs(name: str) -> np.ndarray:
    return np.array([getattr(minute, name) for minute in MINUTES])


HIGH, LOW, CLOSE = (inputs(name) for name in ("high", "low", "close"))


def same(found: np.ndarray, expected: np.ndarray, since: int = 0, bound: float = 1e-9) -> None:
    """Null in the same places from `since` on, not everywhere, and close: absolutely below 1, relatively above."""
    assert np.array_equal(np.isnan(found[since:]), np.isnan(expected[since:]))
    assert np.isfinite(found[since:]).sum() > 250
    np.testing.assert_allclose(found[since:], expected[since:], rtol=bound, atol=bound)


# --- TA-Lib ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def talib() -> Any:
    return pytest.importorskip("talib", reason="TA-Lib, a second opinion on indicators, is not installed")


@pytest.fixture(scope="module")
def trends() -> list[Columns]:
    return trend(MINUTES)


@pytest.fixture(scope="module")
def oscillations() -> list[Columns]:
    return oscillators(MINUTES)


@pytest.mark.parametrize("n", [14, 21, 50])
def test_rsi_is_that_of_talib_from_its_first_value_on(talib, oscillations, n):
    same(numbers(oscillations, f"rsi_{n}"), talib.RSI(CLOSE, n))


@pytest.mark.parametrize("n", [14, 21])
def test_atr_is_that_of_talib_from_its_first_value_on(talib, trends, n):
    same(numbers(trends, f"atr_{n}"), talib.ATR(HIGH, LOW, CLOSE, n))


@pytest.mark.parametrize("n", [14, 21])
def test_adx_becomes_that_of_talib(talib, trends, n):
    """TA-Lib begins its sums with n - 1 movements, then smooths alike; the first value comes at the same bar."""
    found, expected = numbers(trends, f"adx_{n}"), talib.ADX(HIGH, LOW, CLOSE, n)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    same(found, expected, FADED)


def test_macd_becomes_that_of_talib(talib, oscillations):
    """TA-Lib begins EMA_12 with the mean of minutes 15 to 26; the first values come at the same bar."""
    line, signal, histogram = talib.MACD(CLOSE, 12, 26, 9)
    for name, expected in (("macd_signal", signal), ("macd_histogram", histogram)):
        assert np.array_equal(np.isnan(numbers(oscillations, name)), np.isnan(expected))
        same(numbers(oscillations, name), expected, FADED)
    same(numbers(oscillations, "macd_line"), line, FADED)


def test_bands_are_those_of_talib(talib, oscillations):
    for name, expected in zip(("upper", "middle", "lower"), talib.BBANDS(CLOSE, 20, 2, 2), strict=True):
        same(numbers(oscillations, f"bb_{name}_20"), expected, 19)  # TA-Lib bears nothing missing


def test_the_stochastic_is_that_of_talib(talib, oscillations):
    fast_k, fast_d = talib.STOCHF(HIGH, LOW, CLOSE, 14, 3)
    same(numbers(oscillations, "stoch_k_14"), fast_k, 15)
    same(numbers(oscillations, "stoch_d_14"), fast_d, 15)


def test_rates_of_change_and_moving_averages_are_those_of_talib(talib, trends):
    same(numbers(trends, "roc_10"), talib.ROC(CLOSE, 10))
    same(numbers(trends, "roc_20"), talib.ROC(CLOSE, 20))
    same(numbers(trends, "ma_50"), talib.SMA(CLOSE, 50), 49)
    same(numbers(trends, "ma_200"), talib.SMA(CLOSE, 200), 199)


def test_the_hull_average_is_made_of_weighted_averages_of_talib(talib, trends):
    raw = 2 * talib.WMA(CLOSE, 50) - talib.WMA(CLOSE, 100)
    hull = talib.WMA(raw[99:], 10)
    same(numbers(trends, "hma_100")[99 + 9 :], hull[9:])
    same(numbers(trends, "hma_100_slope")[99 + 10 :], (np.diff(hull) / CLOSE[100:])[9:], bound=1e-12)


# --- numpy and scipy -------------------------------------------------------------------------------------------------


def windows(values: np.ndarray, n: int) -> np.ndarray:
    """Line k holds values[k : k + n], the window of minute k + n - 1."""
    return np.lib.stride_tricks.sliding_window_view(values, n)


def test_deviations_and_channels_are_those_of_numpy(trends, oscillations):
    width = 4 * windows(CLOSE, 20).std(axis=1) / windows(CLOSE, 20).mean(axis=1)
    same(numbers(oscillations, "bb_width_20")[19:], width, bound=1e-12)
    highest, lowest = windows(HIGH, 60).max(axis=1)[:-1], windows(LOW, 60).min(axis=1)[:-1]
    same(numbers(trends, "donchian_pos_60")[60:], (CLOSE[60:] - lowest) / (highest - lowest), bound=1e-12)


def test_realised_variances_are_those_of_numpy():
    rows = price(MINUTES)
    r = np.diff(np.log(inputs("mid_close")))
    same(numbers(rows, "rv_m_15")[15:], np.sqrt((windows(r, 15) ** 2).sum(axis=1)), bound=1e-13)
    same(numbers(rows, "rv_h_1")[60:], np.sqrt((windows(r, 60) ** 2).sum(axis=1)), bound=1e-13)
    products = np.abs(r[1:] * r[:-1])
    same(numbers(rows, "bpv_m_15")[15:], np.pi / 2 * 15 / 14 * windows(products, 14).sum(axis=1), bound=1e-14)
    grids = np.array([[minute.mid_open, *minute.mids] for minute in MINUTES])
    rv = np.sqrt((np.diff(np.log(grids)) ** 2).sum(axis=1))
    same(numbers(rows, "rv_m_1"), rv, bound=1e-13)
    scores = [
        np.abs(np.log(grids[:, w:] / grids[:, :-w])).max(axis=1) / rv * np.sqrt(60 / w) - np.sqrt(np.log(60 / w) / 2)
        for w in (10, 20, 30, 60)
    ]
    same(np.abs(numbers(rows, "drift_burst_m_1")), np.max(scores, axis=0).clip(0.0), bound=1e-10)


def test_session_sums_are_those_of_numpy():
    rows = flow(MINUTES)
    buys, volumes, bases = (inputs(name) for name in ("taker_buy_quote_volume", "quote_volume", "base_volume"))
    today = slice(0, MINUTES_PER_DAY)
    level = np.concatenate([np.cumsum((2 * buys - volumes)[today]), np.cumsum((2 * buys - volumes)[MINUTES_PER_DAY:])])
    same(numbers(rows, "cvd_level"), level)
    vwap = np.cumsum((inputs("vwap") * bases)[today]) / np.cumsum(bases[today])
    same(numbers(rows, "vwap_session")[today], vwap, bound=1e-13)


def test_slopes_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy, a second opinion on slopes, is not installed")
    rows = flow(MINUTES)
    deltas, returns = numbers(rows, "cvd_delta_m_1"), numbers(price(MINUTES), "ret_m_1")
    for t in range(15, 1_500, 7):
        held = slice(t - 14, t + 1)
        expected = stats.linregress(deltas[held], returns[held]).slope
        assert rows[t]["kyle_lambda_m_15"] == pytest.approx(expected, rel=1e-9)
        sums = np.cumsum(deltas[t - 4 : t + 1])
        assert rows[t]["cvd_slope_m_5"] == pytest.approx(stats.linregress(range(5), sums).slope, rel=1e-9, abs=1e-8)


def test_books_are_measured_as_by_numpy_and_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy, a second opinion on slopes, is not installed")
    some = MINUTES[:200]
    for minute, row in zip(some, microstructure(some), strict=True):
        assert row["depth_top5_quote_median_m_1"] == np.median(np.array(minute.depths5, dtype=float))
        spreads = np.array(minute.spreads, dtype=float)
        p95 = np.percentile(spreads, 95, method="inverted_cdf")
        assert row["spread_p95_m_1"] == (p95 if minute.quote_count >= 20 else None)
        assert row["depth_slope"] == (
            pytest.approx(book_slope(stats, minute), rel=1e-9) if len(minute.bids) > 2 else None
        )


def book_slope(stats: Any, minute: Minute) -> float:
    mid = (minute.bids[0][0] + minute.asks[0][0]) / 2
    slopes = []
    for side in (minute.bids, minute.asks):
        prices, quantities = np.array(side[:10]).T
        slopes.append(stats.linregress(1e4 * np.abs(prices - mid) / mid, np.cumsum(prices * quantities)).slope)
    return float(np.mean(slopes))


def test_swings_are_those_of_scipy():
    """A strict peak of three on either side is a swing; of others it is not asked."""
    signal = pytest.importorskip("scipy.signal", reason="scipy, a second opinion on swings, is not installed")
    rows = levels(MINUTES[:400])
    strict = [int(u) for u in signal.argrelmax(HIGH[:400], order=3)[0] if 3 <= u < 397]
    assert len(strict) > 20
    for u in strict:
        assert (rows[u + 2]["swing_high"], rows[u + 2]["swing_high_age"]) == (HIGH[u], 2.0)
    told = {t - 2 for t, row in enumerate(rows) if row["swing_high_age"] == 2.0}
    weak = [u for u in range(3, 398) if HIGH[u] == HIGH[u - 3 : u + 3].max() and HIGH[u] > HIGH[u - 3 : u].max()]
    assert told == set(weak)


# --- river -----------------------------------------------------------------------------------------------------------


def test_averages_that_remember_become_those_of_river():
    stats = pytest.importorskip("river.stats", reason="river, a second opinion on online statistics, is not installed")

    def river_average(weight: float) -> np.ndarray:
        average = stats.EWMean(fading_factor=weight)
        found = []
        for close in CLOSE:
            average.update(close)
            found.append(average.get())
        return np.array(found)

    def found(values: list[Number]) -> np.ndarray:
        return np.array(values, dtype=float)

    same(found(ema(CLOSE.tolist(), 26)), river_average(2 / 27), FADED)
    same(found(wilder(CLOSE.tolist(), 21)), river_average(1 / 21), FADED)
