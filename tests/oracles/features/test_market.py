"""The market row of a handful of symbols, by head and against numpy."""

from __future__ import annotations

from math import exp, sqrt
from random import Random
from typing import Any

import pytest

from tests.oracles.features import Columns, Minute
from tests.oracles.features.market import (
    Listed,
    Market,
    eligible,
    first_factor_share,
    is_coin,
    lead,
    market,
    markets,
    score,
    unit_returns,
)

T = 29_000_160  # 00:00 UTC
QUIET: Columns = {
    "ret_m_1": 0.0, "ret_m_5": 0.0, "z_ret_abs_m_1": 0.0, "z_vol_m_1": 0.0, "oi_roc_m_5": 0.0, "z_oi_roc_m_5": 0.0,
    "rv_h_1": 0.01, "ma_50": 100.0, "ma_200": 100.0, "is_breakout": 0.0, "is_breakbelow": 0.0,
    "time_to_next_funding_s": 3_600.0, "is_warming_up": 0.0, "illiquidity_hit": 0.0, "adx_14": 10.0,
    "hma_100_slope": 0.0, "is_vol_spike_m_1": 0.0, "is_price_spike_up_m_1": 0.0, "is_price_spike_down_m_1": 0.0,
    "is_oi_spike_up_m_5": 0.0, "is_oi_spike_down_m_5": 0.0,
}  # fmt: skip


def one(volume: float = 100.0, status: str = "ok", outlier: bool = False, **values: Any) -> Listed:
    """A symbol with one row, of minute T. What is no column of a feature is one of the row."""
    columns = {name: values.pop(name) for name in list(values) if name in QUIET}
    plain: dict[str, Any] = dict(mid_close=100.0, close=100.0, spread_bp_mean=1.0)
    row = Minute(T, status=status, quote_volume=volume, **{**plain, **values})
    return Listed([row], [{**QUIET, **columns}], frozenset({T}) if outlier else frozenset())


def told(universe_rev: int = 0, **symbols: Listed) -> Market:
    return market({name: symbols[name] for name in sorted(symbols)}, T, universe_rev)


# --- who counts -------------------------------------------------------------------------------------------------------


def test_the_first_reason_excludes():
    symbols = {
        "A": one(),
        "B": one(is_in_universe=False, is_hot=False, outlier=True),
        "C": one(is_in_universe=False, is_hot=True),
        "D": one(status="stale", outlier=True),
        "E": one(status="stale", is_warming_up=None),
        "F": one(status="partial", illiquidity_hit=None),
        "G": one(is_warming_up=1.0, illiquidity_hit=None),
        "H": one(illiquidity_hit=None),
        "I": one(illiquidity_hit=1.0),
    }
    row = told(universe_rev=3, **symbols)
    assert (row["symbol_count"], row["eligible_count"], row["excluded_count"], row["universe_rev"]) == (9, 2, 7, 3)
    excluded = [row[f"excluded_{why}"] for why in ("universe", "outlier", "stale", "partial", "warming_up", "illiquid")]
    assert excluded == [1, 1, 1, 1, 1, 2]
    assert eligible(symbols, T, 3) == ["A", "C"]
    assert row["dq_status"] == "partial"
    without = told(**symbols)
    assert (without["excluded_universe"], without["excluded_outlier"]) == (0, 2)


def test_five_make_a_market():
    assert told(**{name: one() for name in "ABCD"})["dq_status"] == "partial"
    assert told(**{name: one() for name in "ABCDE"})["dq_status"] == "ok"


def test_a_minute_has_a_market_if_any_symbol_has_a_row():
    later = Listed([Minute(T + 7)], [QUIET])
    assert {t: row["symbol_count"] for t, row in markets({"A": one(), "B": one(), "C": later}).items()} == {
        T: 2,
        T + 7: 1,
    }


# --- strength ---------------------------------------------------------------------------------------------------------


def test_a_score_by_head():
    column = QUIET | {"z_ret_abs_m_1": 2.0, "ret_m_5": -0.01, "z_vol_m_1": 1.0, "oi_roc_m_5": 0.1, "z_oi_roc_m_5": -5.0}
    assert score(Minute(T), column) == {"rs_score_m_5": -1.0 + 0.3 + 0.2 * 3, "rs_is_incomplete": 0.0}
    lacking = column | {"z_ret_abs_m_1": None, "oi_roc_m_5": None}
    assert score(Minute(T), lacking) == {"rs_score_m_5": 0.3, "rs_is_incomplete": 1.0}
    assert score(Minute(T, status="partial"), column) == {"rs_score_m_5": None, "rs_is_incomplete": None}


def test_the_strongest_and_the_weakest():
    scores = {"A": 1.0, "B": 3.0, "C": 3.0, "D": -2.0, "E": 0.0, "F": -2.0}
    row = told(**{name: one(z_vol_m_1=value) for name, value in scores.items()})
    assert row["rs_top"] == ["B", "C", "A", "E", "D"]
    assert row["rs_bottom"] == ["D", "F", "E", "A", "B"]
    assert told(A=one(), B=one())["rs_top"] == ["A", "B", None, None, None]


def test_a_lead_by_head():
    assert lead(QUIET | {"ret_m_5": -0.02, "z_vol_m_1": 3.0, "oi_roc_m_5": -0.1}) == pytest.approx(0.09)
    assert lead(QUIET | {"ret_m_5": -0.02, "z_vol_m_1": 3.0, "oi_roc_m_5": 0.1}) == pytest.approx(0.06)
    assert lead(QUIET | {"ret_m_5": -0.02, "z_vol_m_1": 3.0, "oi_roc_m_5": None}) == pytest.approx(0.06)
    assert lead(QUIET | {"ret_m_5": -0.02, "z_vol_m_1": -3.0}) == 0.0
    assert lead(QUIET | {"ret_m_5": None}) == 0.0


def test_the_leader_is_btc_or_eth_or_among_the_first_tenth():
    mover, still = one(ret_m_5=0.02, z_vol_m_1=1.0), one()
    assert told(BTC=still, ETH=mover, SOL=still)["leader"] == "ETH"
    stronger = one(ret_m_5=0.03, z_vol_m_1=0.9)  # moves more, but is not the first of the ranking
    row = told(BTC=still, ETH=still, SOL=stronger, XRP=mover)
    assert (row["leader"], row["lead_score"]) == ("XRP", 0.02)
    assert told(BTC=still, ETH=still, SOL=still)["leader"] == "BTC"
    assert told(BTC=still)["lead_score"] == 0.0
    assert told(ETH=still, SOL=still)["leader"] is None
    assert told(BTC=one(status="stale"), ETH=still)["lead_score"] is None


def test_dominance_is_the_leaders_share_of_five_minutes():
    lead_of_btc = dict(ret_m_5=0.02, z_vol_m_1=1.0)
    assert told(BTC=one(300.0, **lead_of_btc), ETH=one(100.0))["dominance_share"] == 0.75
    assert told(BTC=one(0.0, **lead_of_btc), ETH=one(0.0))["dominance_share"] is None
    rows = [Minute(T - i, quote_volume=10.0**i, status="stale" if i == 2 else "ok") for i in (5, 4, 3, 2, 1, 0)]
    both = {"BTC": Listed(rows, [QUIET | {"ret_m_5": 1.0, "z_vol_m_1": 1.0}] * 6), "ETH": one(11_011.0)}
    assert market(both, T, 0)["dominance_share"] == 11_011 / 22_022


@pytest.mark.parametrize(
    ("name", "is_btc"),
    [("BTC", True), ("btc", True), ("BTCUSDT", True), ("BTCUSDT_260925", True), ("BTC-PERP", True), ("BTC/USDC", True),
     ("BTCEUR", True), ("BTCFDUSD", True), ("BTCDOMUSDT", False), ("BTC2", False), ("WBTC", False), ("1BTC", False)],
)  # fmt: skip
def test_which_names_are_btc(name, is_btc):
    assert is_coin(name, "BTC") == is_btc


def test_of_several_btc_the_largest_counts():
    row = told(**{"BTCUSDT": one(100.0), "BTCUSDC": one(900.0), "ETHUSDT": one()})
    assert row["leader"] == "BTCUSDC"
    assert told(**{"BTCUSDT": one(100.0), "BTCUSDC": one(100.0)})["leader"] == "BTCUSDC"


def test_shocks_count_symbols():
    row = told(
        A=one(is_vol_spike_m_1=1.0, is_oi_spike_up_m_5=1.0), B=one(is_price_spike_down_m_1=1.0), C=one(), D=one()
    )
    assert (row["shock_count"], row["shock_share"]) == (2, 0.5)
    assert told(A=one(status="stale"))["shock_share"] is None
    assert told(A=one(is_vol_spike_m_1=None))["shock_count"] == 0


# --- middle and breadth -----------------------------------------------------------------------------------------------


def test_middle_and_dispersion():
    returns = (0.01, -0.01, 0.03, 0.0, 0.02)
    names = "ABCDE"
    symbols = {
        name: one(
            ret_m_5=ret, z_vol_m_1=100 * ret, rv_h_1=abs(ret), spread_bp_mean=i + 1.0, time_to_next_funding_s=60.0 + i
        )
        for i, (name, ret) in enumerate(zip(names, returns, strict=True))
    }
    row = told(**symbols)
    assert row["return_dispersion_m_5"] == pytest.approx(sqrt(2) / 100, rel=1e-12)  # of -1, 0, 1, 2, 3 %
    assert row["vol_dispersion_m_5"] == pytest.approx(sqrt(2), rel=1e-12)
    assert row["z_vol_mean"] == pytest.approx(1.0, rel=1e-12)
    assert row["market_rv_h_1"] == 0.01
    assert row["market_spread_bp"] == 3.0
    assert row["min_time_to_next_funding_s"] == 60.0
    assert row["market_return_m_1"] is None  # no minute before
    symbols["E"] = one(ret_m_5=None)
    assert told(**symbols)["return_dispersion_m_5"] is None
    assert told(**symbols)["vol_dispersion_m_5"] is not None


def test_the_market_return_is_the_median_of_log_returns():
    def moved(ret: float) -> Listed:
        return Listed([Minute(T - 1, mid_close=1.0), Minute(T, mid_close=exp(ret))], [QUIET, QUIET])

    symbols = {name: moved(ret) for name, ret in zip("ABCDEF", (0.1, -0.1, 0.3, 0.0, 0.02, 0.04), strict=True)}
    assert market(symbols, T, 0)["market_return_m_1"] == pytest.approx(0.03, rel=1e-12)


def test_breadth_is_what_advances_less_what_declines():
    values = (0.1, -0.1, 0.2, 0.0, 0.3)
    symbols = {name: one(ret_m_1=value, ret_m_5=-value) for name, value in zip("ABCDE", values, strict=True)}
    assert told(**symbols)["breadth_m_1"] == 0.4
    assert told(**symbols)["breadth_m_5"] == -0.4
    assert told(**(symbols | {"F": one(ret_m_1=None, ret_m_5=None)}))["breadth_m_1"] == 0.4


def test_averages_and_extremes():
    symbols = {name: one(close=100.0 + i) for i, name in enumerate("ABCDE")}
    symbols["B"] = one(close=101.0, is_breakout=1.0)
    symbols["C"] = one(close=102.0, is_breakbelow=1.0)
    symbols["D"] = one(close=103.0, is_breakout=1.0)
    row = told(**symbols, F=one(ma_50=None, is_breakbelow=None, is_breakout=1.0))
    assert row["share_above_ma_50"] == 0.8
    assert row["share_above_ma_200"] == 4 / 6
    assert row["new_high_low_m_60"] == 0.2


def test_the_volume_of_an_hour_counts_who_is_carried():
    def hour(minutes: int, **row: Any) -> Listed:
        rows = [Minute(T - i, quote_volume=1.0, **row) for i in reversed(range(minutes))]
        return Listed(rows, [QUIET] * minutes)

    symbols = {name: hour(70, status="ok" if name != "B" else "partial") for name in "ABCD"}
    assert market(symbols, T, 0)["market_volume_h_1"] is None
    assert market(symbols | {"E": hour(42)}, T, 0)["market_volume_h_1"] == 282.0
    assert market(symbols | {"E": hour(41)}, T, 0)["market_volume_h_1"] is None
    left = hour(70, is_in_universe=False)
    assert market(symbols | {"E": left}, T, 0)["market_volume_h_1"] == 300.0
    assert market(symbols | {"E": left}, T, 1)["market_volume_h_1"] is None


# --- correlation ------------------------------------------------------------------------------------------------------


def walks(count: int, loading: float, seed: int = 3) -> dict[str, Listed]:
    """Symbols that share a factor; their mids over 61 minutes."""
    random = Random(seed)
    factor = [random.gauss(0, 1) for _ in range(61)]
    symbols = {}
    for i in range(count):
        mid, rows = 100.0, []
        for k in range(61):
            mid *= exp(1e-3 * (loading * factor[k] + sqrt(1 - loading**2) * random.gauss(0, 1)))
            rows.append(Minute(T - 60 + k, mid_close=mid))
        symbols[f"S{i}"] = Listed(rows, [QUIET] * 61)
    return symbols


def test_equal_walks_are_one_factor():
    row = market({name: walks(1, 0.5)["S0"] for name in "ABCDE"}, T, 0)
    assert row["correlation_count"] == 5
    assert row["correlation_m_60"] == pytest.approx(1.0, rel=1e-12)
    assert row["first_factor_share_m_60"] == pytest.approx(1.0, rel=1e-12)


def test_a_flat_or_a_young_symbol_is_left_out():
    symbols = walks(5, 0.5)
    flat = Listed([Minute(T - i, mid_close=100.0) for i in reversed(range(61))], [QUIET] * 61)
    young = Listed(symbols["S0"].minutes[-42:], [QUIET] * 42)  # 41 returns
    row = market({**symbols, "T": flat, "U": young}, T, 0)
    assert (row["eligible_count"], row["correlation_count"]) == (7, 5)
    del symbols["S0"]
    row = market({**symbols, "T": flat, "U": young}, T, 0)
    assert (row["correlation_count"], row["correlation_m_60"], row["first_factor_share_m_60"]) == (4, None, None)
    old_enough = Listed(walks(5, 0.5)["S0"].minutes[-43:], [QUIET] * 43)
    assert market({**symbols, "U": old_enough}, T, 0)["correlation_count"] == 5


def test_what_is_missing_is_the_mean():
    returns = {T - i: float(i % 2) for i in range(60) if i % 4 != 2}
    unit = unit_returns(returns, T)
    assert unit is not None
    assert unit[-3] == 0.0
    assert sum(value * value for value in unit) == pytest.approx(1.0, rel=1e-12)
    assert unit_returns({T - i: float(i % 2) for i in range(41)}, T) is None


def test_correlation_agrees_with_numpy():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    symbols = walks(8, 0.7)
    row = market(symbols, T, 0)
    mids = numpy.array([[minute.mid_close for minute in one.minutes] for one in symbols.values()])
    matrix = numpy.corrcoef(numpy.diff(numpy.log(mids)))
    pairs = matrix[~numpy.eye(8, dtype=bool)]
    assert row["correlation_m_60"] == pytest.approx(float(pairs.mean()), rel=1e-10)
    assert row["first_factor_share_m_60"] == pytest.approx(float(numpy.linalg.eigvalsh(matrix)[-1]) / 8, rel=1e-6)


def test_the_share_of_the_first_factor_is_a_lower_bound_where_there_is_none():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    symbols = walks(12, 0.0, seed=9)
    units = [unit for one in symbols.values() if (unit := unit_returns(one.returns, T)) is not None]
    exact = float(numpy.linalg.eigvalsh(numpy.array(units) @ numpy.array(units).T)[-1]) / 12
    share = first_factor_share(units)
    assert share is not None
    assert 0.97 * exact < share <= exact * (1 + 1e-12)
