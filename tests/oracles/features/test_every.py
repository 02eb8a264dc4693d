"""Every declared column has an oracle, and no row knows of later ones."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from engine.core.feature_columns import FEATURE_COLUMNS
from engine.core.market import MARKET_COLUMNS
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY, Stretch, day, days
from tests.oracles.features.every import Venue, features, venue

START = MONDAY * MINUTES_PER_DAY + 300


def symbols(seed: int, count: int = 6) -> dict[str, list[Minute]]:
    """A market of five hours, dear enough to be liquid; in the end each symbol lacks something else. No books."""
    random = Random(seed)
    kinds = ("ordinary", "stale", "no_quotes", "absent", "partial", "empty")
    found = {}
    for name, kind in list(zip(("BTC", "ETH", "SOL", "XRP", "BNB", "ADA"), kinds, strict=True))[:count]:
        plan = [
            Stretch("ordinary", 280, volume_factor=20),
            Stretch(kind, 10),
            Stretch("ordinary", 10, volume_factor=20),
        ]
        found[f"{name}USDT"] = [
            replace(row, bids=[], asks=[]) for row in day(START, plan, random.randrange(2**32), price_ticks=250_000)
        ]
    return found


@pytest.fixture(scope="module")
def whole() -> tuple[dict[str, list[Minute]], Venue]:
    made = symbols(7)
    return made, venue(made)


def test_every_declared_column_has_an_oracle(whole):
    _, found = whole
    assert set(found.rows["BTCUSDT"][0]) == {column.name for column in FEATURE_COLUMNS}
    declared = {column.name for column in MARKET_COLUMNS}
    breadth = {"breadth_prediction", "breadth_prediction_std", "z_breadth_residual"}
    assert set(found.markets[START]) - breadth - {"minute"} == declared - breadth


def test_the_market_of_these_tests_is_one(whole):
    """Once warm six symbols count, and the columns that need the fewest minutes are there."""
    _, found = whole
    assert [found.markets[START + i]["eligible_count"] for i in (200, 201, 240, 289)] == [0, 6, 6, 1]
    row = found.markets[START + 270]
    told = ("leader", "market_return_m_1", "breadth_m_5", "correlation_m_60", "first_factor_share_m_60")
    assert all(row[name] is not None for name in told)
    assert all(rows[250]["rs_score_m_5"] is not None for rows in found.rows.values())


@pytest.mark.parametrize("cut", [245, 299])
def test_a_venues_rows_are_the_same_whatever_comes_after(whole, cut):
    made, found = whole
    until = {name: [row for row in minutes if row.minute < START + cut] for name, minutes in made.items()}
    short = venue(until)
    assert short.rows == {name: found.rows[name][: len(minutes)] for name, minutes in until.items()}
    assert short.markets == {t: row for t, row in found.markets.items() if t < START + cut}


def test_the_order_of_symbols_does_not_matter(whole):
    made, found = whole
    backwards = venue(dict(reversed(list(made.items()))))
    assert backwards.rows == found.rows
    assert backwards.markets == found.markets


@settings(max_examples=6, deadline=None)
@given(minutes=days(warm_minutes=250))
def test_nothing_is_infinite_and_a_stale_row_says_nothing(minutes):
    for minute, row in zip(minutes, features(minutes), strict=True):
        assert all(value is None or abs(value) < 1e300 for value in row.values())
        if minute.status == "stale":
            assert set(row.values()) == {None}
