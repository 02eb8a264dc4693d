"""Flow columns of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from hypothesis import given, settings

from tests.engine.features.agreement import compare
from tests.engine.features.rows import to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import Stretch, day, days
from tests.oracles.features.flow import flow


@settings(USUAL, max_examples=30)
@given(days())
def test_any_days(minutes: list[Minute]) -> None:
    compare(flow, minutes)


@settings(USUAL, max_examples=25)
@given(days(stretches_max=5, minutes_max=300, warm_minutes=130))
def test_any_days_with_buckets(minutes: list[Minute]) -> None:
    """Long enough for a bucket size; gaps, midnight and jumps of volume among them."""
    compare(flow, minutes)


def test_two_days_fill_buckets() -> None:
    """Fifty take a day: here vpin is there, over quiet hours, a stale one and minutes of a hundred times the volume."""
    plan = [Stretch("ordinary", 1_700), Stretch("empty", 130), Stretch("stale", 61), Stretch("ordinary", 400)]
    plan += [Stretch("ordinary", 30, volume_factor=100), Stretch("absent", 300), Stretch("single_trade", 300)]
    rows = compare(flow, day(20_605 * MINUTES_PER_DAY + 415, plan, seed=11))
    known = [row["vpin"] for row in rows if row["vpin"] is not None]
    assert len(known) > 900
    assert len(set(known)) > 20


def traded(t: int, buy: float, sell: float, **columns: object) -> Minute:
    return Minute(t, quote_volume=buy + sell, taker_buy_quote_volume=buy, **columns)  # type: ignore[arg-type]


def test_the_difference_of_buys_and_sells_is_exact() -> None:
    (row,) = to_rows([Minute(100, quote_volume=0.3, taker_buy_quote_volume=0.1)])
    assert (row["taker_sell_quote_volume"], row["cvd_delta_m_1"]) == (0.2, -0.1)
    assert row["signed_flow_ratio_m_1"] == -0.1 / 0.3


def test_the_level_begins_at_midnight_and_the_slope_does_not() -> None:
    """Cumulative 4, 6, 3, 13, 12 on 0..4: (-2 * 4 - 6 + 13 + 2 * 12) / 10."""
    midnight = MINUTES_PER_DAY
    flows = ((5.0, 1.0), (2.0, 0.0), (1.0, 4.0), (10.0, 0.0), (0.0, 1.0))
    rows = to_rows([traded(midnight - 2 + k, buy, sell) for k, (buy, sell) in enumerate(flows)])
    assert [row["cvd_level"] for row in rows] == [4.0, 6.0, -3.0, 7.0, 6.0]
    assert [row["cvd_slope_m_5"] for row in rows] == [None, None, None, None, 2.3]


def test_impact_by_head() -> None:
    """Every 100 of flow moves the mid by one per cent of 100; ten such minutes are enough, nine are not."""
    mids = [100.0, 101.0] * 6
    minutes = [
        Minute(200 + k, mid_close=mid, quote_volume=100.0, taker_buy_quote_volume=100.0 if mid > 100.0 else 0.0)
        for k, mid in enumerate(mids)
    ]
    rows = to_rows(minutes)
    assert [row["kyle_lambda_m_15"] is None for row in rows] == [True] * 10 + [False] * 2
    up, down = 101 / 100 - 1, 100 / 101 - 1
    assert abs((rows[10]["kyle_lambda_m_15"] or 0.0) - (up - down) / 200) < 1e-15
    assert abs((rows[10]["amihud_m_15"] or 0.0) - (up - down) / 2 / 100) < 1e-15


def test_a_minute_of_a_million_buckets_ends() -> None:
    """The size is of quiet hours; what cannot be told one by one is told by the last ones, all alike."""
    quiet = [traded(60_000 + k, 0.001, 0.001) for k in range(119)]
    (*_, row) = to_rows([*quiet, traded(60_119, 30_000_000.0, 10_000_000.0)])
    assert abs((row["vpin"] or 0.0) - 0.5) < 1e-12
