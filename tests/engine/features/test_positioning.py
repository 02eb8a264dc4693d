"""Positioning columns of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import Minute
from tests.oracles.features.days import days
from tests.oracles.features.positioning import positioning


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(positioning, minutes)


def told(t: int, interest: float, **columns: Any) -> Minute:
    return Minute(t, oi_close=interest, oi_staleness_ms=0, **columns)


def test_open_interest_by_head() -> None:
    minutes = [told(100 + k, 1_000.0 + 50.0 * k, mark_price=2.0) for k in range(6)]
    row = to_rows(minutes)[-1]
    assert (row["oi_delta_m_5"], row["oi_roc_m_5"], row["oi_quote"]) == (250.0, 0.25, 2_500.0)
    minutes[0].oi_staleness_ms = 20_001
    assert to_rows(minutes)[-1]["oi_delta_m_5"] is None
    minutes[0].oi_staleness_ms, minutes[0].oi_close = 20_000, 0.0
    row = to_rows(minutes)[-1]
    assert (row["oi_delta_m_5"], row["oi_roc_m_5"]) == (1_250.0, None)


def test_contracts_are_worth_their_size() -> None:
    more: dict[str, Any] = {"inverse": True, "contract_size": 100.0, "liquidation_count": 1, "mid_close": 50.0}
    minutes = [told(100 + k, 7.0, liquidation_buy_base=2.0, liquidation_sell_base=1.0, **more) for k in range(5)]
    row = to_rows(minutes)[-1]
    assert (row["oi_quote"], row["liq_count_m_5"], row["liq_notional_m_5"]) == (700.0, 5.0, 1_500.0)
    assert to_rows(minutes[1:])[-1]["liq_count_m_5"] is None


def test_basis_by_head() -> None:
    minutes = [Minute(100 + k, mark_price=101.0, index_price=100.0) for k in range(5)]
    minutes[2].index_price = None
    rows = to_rows(minutes)
    assert [row["basis_bp"] for row in rows] == [100.0, 100.0, None, 100.0, 100.0]
    assert [row["basis_bp_m_5"] for row in rows] == [None, None, None, None, 100.0]


def test_the_next_funding_is_never_now() -> None:
    """Every 8 h from 00:00 UTC: at the close of 07:59 it is a whole interval away."""
    minutes = [Minute(14_400 + t, funding_interval_h=8) for t in (0, 478, 479)]
    assert [row["time_to_next_funding_s"] for row in to_rows(minutes)] == [28_740.0, 60.0, 28_800.0]
    assert to_rows([Minute(14_400)])[0]["time_to_next_funding_s"] is None
