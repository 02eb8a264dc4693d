"""The market of five symbols, by head; correlation against numpy; order, rank and middle against plain lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.context.correlation import correlate
from engine.context.ranking import sort_places
from engine.context.roster import BTC, ETH, Rosters, major_of
from engine.core.feature_state import INPUTS, LOG_RETURN, RECENT
from engine.core.instruments import Instrument
from engine.core.market import MARKET
from engine.core.registry import Registry
from tests.engine.context.stages import OUTLIER, RING, Stage

T = 29_000_160  # 00:00 UTC
CALM: dict[str, Any] = {
    "is_in_universe": 1, "is_hot": 0, "is_warming_up": 0, "illiquidity_hit": 0, "z_ret_abs_m_1": 1.0,
    "z_vol_m_1": 1.0, "ret_m_1": 0.001, "ret_m_5": 0.01, "oi_roc_m_5": 0.01, "z_oi_roc_m_5": 1.0, "rv_h_1": 0.01,
    "spread_bp_mean": 2.0, "hma_100_slope": 1e-4, "adx_14": 30.0, "time_to_next_funding_s": 600.0, "ma_50": 99.0,
    "ma_200": 101.0, "is_breakout": 0, "is_breakbelow": 0, "is_vol_spike_m_1": 0, "is_price_spike_up_m_1": 0,
    "is_price_spike_down_m_1": 0, "is_oi_spike_up_m_5": 0, "is_oi_spike_down_m_5": 0,
}  # fmt: skip
INPUT = {"close": 100.0, "volume": 1_000.0, "log_return": 0.001}
FIVE = ("AUSDT", "BTCUSDT", "CUSDT", "DUSDT", "EUSDT")


def market_of(stage: Stage, **own: Mapping[str, Any]) -> dict[str, Any]:
    """The market row of minute T, every symbol calm but for what is said of it."""
    for name in stage.names:
        told = {**CALM, **INPUT, **own.get(name, {})}
        inputs = {RING[key]: told.pop(key) for key in INPUT}
        stage.put(name, T, told, inputs)
    return stage.close(T)


# --- by head ----------------------------------------------------------------------------------------------------------


def test_a_score_by_head() -> None:
    stage = Stage(FIVE)
    market_of(
        stage,
        AUSDT={"z_ret_abs_m_1": 2.0, "z_vol_m_1": 3.0, "z_oi_roc_m_5": -4.0},  # 1 + 0.9 + 0.2 * 3
        BTCUSDT={"ret_m_5": -0.01, "oi_roc_m_5": -0.01, "z_oi_roc_m_5": -2.0},  # -0.5 + 0.3 - 0.4
        CUSDT={"ret_m_5": 0.0, "oi_roc_m_5": None},  # 0 + 0.3, no open interest
        DUSDT={"z_vol_m_1": None, "ret_m_5": None},  # 0.2 alone
        EUSDT={"dq_status": "partial"},
    )
    scores = [stage.row(name, "rs_score_m_5") for name in FIVE]
    assert scores[:4] == pytest.approx([2.5, -0.6, 0.3, 0.2], rel=1e-15)
    assert [stage.row(name, "rs_is_incomplete") for name in FIVE] == [0, 0, 1, 1, None]
    assert scores[4] is None
    assert [stage.row(name, "is_eligible") for name in FIVE] == [1, 1, 1, 1, 0]


def test_the_strongest_and_the_weakest_ties_by_name() -> None:
    names = [*reversed(FIVE), "FUSDT"]
    row = market_of(Stage(names), DUSDT={"z_vol_m_1": 5.0}, AUSDT={"z_vol_m_1": -5.0}, FUSDT={"illiquidity_hit": None})
    assert row["rs_top"] == ["DUSDT", "BTCUSDT", "CUSDT", "EUSDT", "AUSDT"]
    assert row["rs_bottom"] == ["AUSDT", "BTCUSDT", "CUSDT", "EUSDT", "DUSDT"]
    assert market_of(Stage(FIVE[:2]))["rs_top"] == ["AUSDT", "BTCUSDT", None, None, None]


def test_the_leader_leads_and_btc_stands_in() -> None:
    row = market_of(Stage(FIVE), DUSDT={"z_vol_m_1": 2.0, "ret_m_5": -0.02, "z_ret_abs_m_1": -9.0, "volume": 6_000.0})
    assert row["leader"] == "DUSDT"  # the first tenth of five is one: 4.5 + 0.6 + 0.2 is the largest score
    assert row["lead_score"] == 0.02 * 2.0  # its open interest grows while it falls
    assert row["dominance_share"] == 0.6
    still: dict[str, dict[str, Any]] = {name: {"ret_m_5": 0.0} for name in FIVE}
    assert market_of(Stage(FIVE), **still)["leader"] == "BTCUSDT"
    assert market_of(Stage(FIVE), **still)["lead_score"] == 0.0
    without = market_of(Stage(FIVE), **{**still, "BTCUSDT": {"dq_status": "stale"}})
    assert [without[name] for name in ("leader", "lead_score", "dominance_share")] == [None, None, None]


def test_of_two_btc_the_larger_leads() -> None:
    names = ["BTCUSDC", "BTCUSDT", "XUSDT"]
    still = {name: {"ret_m_5": 0.0} for name in names}
    assert (
        market_of(
            Stage(names),
            **still,
        )["leader"]
        == "BTCUSDC"
    )  # ties by name
    assert market_of(Stage(names), **{**still, "BTCUSDT": {"ret_m_5": 0.0, "volume": 1_001.0}})["leader"] == "BTCUSDT"


def test_whoever_is_left_out_is_counted_under_one_reason() -> None:
    row = market_of(
        Stage([*FIVE, "F", "G", "H"]),
        AUSDT={"universe_rev": 2, "is_in_universe": 0, "dq_status": "stale", "dq_reasons": OUTLIER},
        BTCUSDT={"universe_rev": 2, "is_in_universe": 0, "is_hot": 1},
        CUSDT={"dq_status": "stale", "dq_reasons": OUTLIER},
        DUSDT={"dq_status": "stale"},
        EUSDT={"dq_status": "partial", "is_warming_up": 1},
        F={"is_warming_up": 1, "illiquidity_hit": None},
        G={"illiquidity_hit": 1},
    )  # fmt: skip
    reasons = ("universe", "outlier", "stale", "partial", "warming_up", "illiquid")
    assert [row[f"excluded_{reason}"] for reason in reasons] == [1, 1, 1, 1, 1, 1]
    assert (row["symbol_count"], row["eligible_count"], row["excluded_count"]) == (8, 2, 6)
    assert (row["dq_status"], row["universe_rev"]) == ("partial", 2)
    assert row["breadth_m_1"] is None  # two are few
    assert row["market_volume_h_1"] is None  # no symbol has an hour of minutes


def test_the_middle_and_breadth_by_head() -> None:
    row = market_of(
        Stage(FIVE),
        AUSDT={"ret_m_1": -0.001, "ret_m_5": 0.03, "log_return": 0.005, "z_vol_m_1": 6.0, "is_oi_spike_down_m_5": 1},
        BTCUSDT={"ret_m_1": 0.0, "log_return": -0.2, "rv_h_1": 0.5, "is_vol_spike_m_1": 1, "is_price_spike_up_m_1": 1},
        CUSDT={"close": 102.0, "is_breakout": 1, "spread_bp_mean": 1.0, "time_to_next_funding_s": None},
        DUSDT={"close": 98.0, "is_breakbelow": 1, "spread_bp_mean": 9.0, "time_to_next_funding_s": 60.0},
        EUSDT={"is_breakout": 1, "log_return": 0.002},
    )
    assert row["market_return_m_1"] == 0.001  # -0.2 0.001 0.001 0.002 0.005
    assert (row["market_rv_h_1"], row["market_spread_bp"]) == (0.01, 2.0)
    assert row["return_dispersion_m_5"] == pytest.approx(0.008, rel=1e-15)  # 0.03 and four times 0.01
    assert (row["z_vol_mean"], row["vol_dispersion_m_5"]) == (2.0, 2.0)  # 6 and four times 1
    assert (row["shock_count"], row["shock_share"]) == (2, 0.4)
    assert row["min_time_to_next_funding_s"] == 60.0
    assert (row["breadth_m_1"], row["breadth_m_5"]) == (0.4, 1.0)  # 3 up, 1 down, 1 still
    assert (row["share_above_ma_50"], row["share_above_ma_200"]) == (0.8, 0.2)
    assert row["new_high_low_m_60"] == 0.2  # 2 highs, 1 low
    assert (row["session"], row["trend_regime"], row["trend_confidence"]) == ("asia", "up", 1.0)
    assert (row["volatility_reason"], row["liquidity_reason"]) == ("few_minutes", "few_symbols")
    assert (row["market_regime"], row["market_reason"]) == (None, "few_minutes")


def test_a_value_that_four_have_is_null() -> None:
    row = market_of(Stage(FIVE), AUSDT={"ret_m_5": None, "spread_bp_mean": None, "is_breakout": None, "ma_50": None})
    few = ("return_dispersion_m_5", "market_spread_bp", "breadth_m_5", "new_high_low_m_60", "share_above_ma_50")
    assert {name: row[name] for name in few} == dict.fromkeys(few)
    assert (row["breadth_m_1"], row["share_above_ma_200"]) == (1.0, 0.0)


# --- correlation ------------------------------------------------------------------------------------------------------


def correlation_of(returns: np.ndarray) -> tuple[int, float, float]:
    """returns: (symbols, 60). Number of symbols, mean correlation of pairs, share of the first factor."""
    ring = np.full((len(returns), len(INPUTS), 2 * RECENT), np.nan)
    end = T % RECENT + RECENT + 1
    ring[:, LOG_RETURN, end - 60 : end] = returns
    row = np.zeros(1, MARKET)
    correlate(np.arange(len(returns)), T, ring, np.empty((60, 60)), np.empty((4, 60)), row[0])
    return tuple(row[["correlation_count", "correlation_m_60", "first_factor_share_m_60"]][0].tolist())


@pytest.mark.parametrize(("symbols", "common"), [(5, 1.0), (40, 0.7), (300, 2.0)])
def test_correlation_is_numpys(symbols: int, common: float) -> None:
    rng = np.random.default_rng(symbols)
    returns = rng.normal(size=(symbols, 60)) + common * rng.normal(size=60)
    matrix = np.corrcoef(returns)
    count, mean, share = correlation_of(returns)
    assert count == symbols
    assert mean == pytest.approx((matrix.sum() - symbols) / symbols / (symbols - 1), rel=1e-12)
    assert share == pytest.approx(np.linalg.eigvalsh(matrix)[-1] / symbols, rel=1e-12)


def test_without_a_common_factor_the_share_is_a_little_low() -> None:
    returns = np.random.default_rng(4).normal(size=(200, 60))
    largest = np.linalg.eigvalsh(np.corrcoef(returns))[-1] / 200
    assert 0.95 * largest < correlation_of(returns)[2] <= largest


def test_two_camps_are_one_factor() -> None:
    """Half move against the other half: the sum of all is 0, and still one factor explains everything."""
    up = np.tile([1.0, -1.0, -1.0, 1.0], 15)
    count, mean, share = correlation_of(np.array([up, -up, 2 * up, -3 * up, up, -up]))
    assert (count, mean) == (6, pytest.approx(-0.2))  # 6 pairs of 15 agree
    assert share == pytest.approx(1.0)


def test_who_does_not_move_or_was_away_is_in_no_correlation() -> None:
    returns = np.random.default_rng(2).normal(size=(7, 60))
    returns[0] = 0.001
    returns[1, :19] = np.nan  # 41 are left
    returns[2, 5:20] = np.nan  # 45 are left: the rest counts as nothing
    held = np.where(np.isnan(returns[2]), np.nanmean(returns[2]), returns[2])
    count, mean, _ = correlation_of(returns)
    assert count == 5
    matrix = np.corrcoef(np.vstack([held, returns[3:]]))
    assert mean == pytest.approx((matrix.sum() - 5) / 20, rel=1e-10)
    assert correlation_of(returns[:6])[0] == 4
    assert np.isnan(correlation_of(returns[:6])[1:]).all()


# --- order ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.one_of(st.integers(-2, 2).map(float), st.floats(-1e9, 1e9)), max_size=50))
def test_places_are_sorted_by_value_and_then_by_place(values: list[float]) -> None:
    places = np.full(len(values), -1)
    sort_places(np.array(values), len(values), places)
    assert places.tolist() == sorted(range(len(values)), key=lambda i: (values[i], i))


@pytest.mark.parametrize(
    ("name", "major"),
    [
        ("BTC", BTC), ("BTCUSDT", BTC), ("BTCUSD_PERP", BTC), ("btc-usd", BTC), ("BTC_241227", BTC), ("BTCEUR", BTC),
        ("ETHFDUSD", ETH), ("ETH", ETH), ("BTCDOMUSDT", 0), ("BTCSTUSDT", 0), ("WBTCUSDT", 0), ("ETHWUSDT", 0),
        ("BT", 0),
    ],
)  # fmt: skip
def test_majors_are_told_by_their_names(name: str, major: int) -> None:
    assert major_of(name) == major


def test_a_roster_has_the_symbols_of_its_venue_by_name_and_grows() -> None:
    registry, rosters = Registry(["one", "two"]), Rosters()
    for venue, name in (("two", "BTC"), ("one", "SOL"), ("one", "ETHUSDT")):
        registry.add(Instrument(venue, name, 2, 3))
    assert rosters.of(0, registry).order.tolist() == [2, 1]
    assert rosters.of(0, registry).majors.tolist() == [BTC, 0, ETH]
    registry.add(Instrument("one", "A", 2, 3))
    assert rosters.of(0, registry).order.tolist() == [3, 2, 1]
    assert rosters.of(1, registry).order.tolist() == [0]
