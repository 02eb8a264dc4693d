"""Days: what hypothesis draws is what docs/minute.md allows, and no column of a minute knows of later ones."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.feature_columns import FEATURE_COLUMNS
from tests.oracles.features import MINUTES_PER_DAY, NO_POINTS, Minute, Number, needed, week_of
from tests.oracles.features.candles import candles
from tests.oracles.features.days import KINDS, MONDAY, Stretch, day, days
from tests.oracles.features.flow import flow
from tests.oracles.features.levels import levels
from tests.oracles.features.microstructure import microstructure
from tests.oracles.features.oscillators import oscillators
from tests.oracles.features.positioning import positioning
from tests.oracles.features.price import price
from tests.oracles.features.trend import trend

ORACLES = (price, flow, positioning, microstructure, trend, oscillators, levels, candles)


def decimals(number: Number) -> int:
    return 0 if number is None else max(0, -Decimal(repr(number)).normalize().as_tuple().exponent)  # type: ignore[operator]


@given(days())
@settings(max_examples=20, deadline=None)
def test_a_drawn_day_is_one_that_a_venue_could_tell(minutes):
    assert all(old.minute < new.minute for old, new in pairwise(minutes))
    for minute in minutes:
        assert minute.low <= min(minute.open, minute.close) <= max(minute.open, minute.close) <= minute.high
        assert 0 <= minute.taker_buy_quote_volume <= minute.quote_volume
        assert (minute.trade_count == 0) == (minute.vwap is None) == (minute.base_volume == 0.0)
        assert max(decimals(p) for p in (minute.open, minute.high, minute.low, minute.close, *minute.mids)) <= 3
        assert max(decimals(q) for q in (minute.base_volume, *(quantity for _, quantity in minute.bids))) <= 3
        assert max(decimals(v) for v in (minute.quote_volume, minute.taker_buy_quote_volume)) <= 5
        assert not minute.bids or minute.bids[0][0] < minute.asks[0][0]
        assert minute.bids == sorted(minute.bids, reverse=True)
        assert minute.asks == sorted(minute.asks)
        assert minute.mid_close in (None, minute.mids[-1]) or minute.status == "partial"


def test_every_kind_of_stretch_does_what_its_name_says():
    start = MONDAY * MINUTES_PER_DAY

    def of(kind: str) -> list[Minute]:
        return day(start, [Stretch(kind, 40)], seed=3)

    assert week_of(start) == week_of(start - 1) + 1
    assert len({minute.close for minute in of("ordinary")}) > 10
    assert len({price for minute in of("constant") for price in (minute.high, minute.low)}) == 1
    assert {minute.trade_count for minute in of("single_trade")} == {1}
    assert {minute.quote_volume for minute in of("empty")} == {0.0}
    assert max(minute.base_volume for minute in of("zero_volume")) == 0.001
    assert {(minute.mid_close, minute.mids) for minute in of("no_quotes")} == {(None, NO_POINTS)}
    assert {len(minute.bids) for minute in of("no_book")} == {0}
    assert {minute.oi_close for minute in of("no_interest")} == {None}
    assert {minute.index_price for minute in of("no_index")} == {None, 0.0}
    assert {minute.status for minute in of("partial")} == {"partial"}
    assert {minute.status for minute in of("stale")} == {"stale"}
    assert 20 < len(of("flicker")) < 40
    assert of("absent") == []


def test_the_same_seed_gives_the_same_day():
    plan = [Stretch(kind, 3) for kind in KINDS]
    assert day(0, plan, seed=1) == day(0, plan, seed=1) != day(0, plan, seed=2)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_later_minutes_change_nothing(oracle, data):
    minutes = data.draw(days(stretches_max=4, minutes_max=62, warm_minutes=30))
    cut = data.draw(st.integers(1, len(minutes)))
    whole = oracle(minutes)
    assert oracle(minutes[:cut]) == whole[:cut]
    assert {tuple(sorted(row)) for row in whole} == {tuple(sorted(whole[0]))}  # one set of columns


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.__name__)
def test_a_stale_row_is_as_good_as_none(oracle):
    plan = [Stretch("ordinary", 100), Stretch("stale", 20), Stretch("ordinary", 50), Stretch("stale", 62)]
    minutes = day(MONDAY * MINUTES_PER_DAY - 90, [*plan, Stretch("ordinary", 50)], seed=8)
    kept = [minute for minute in minutes if minute.status != "stale"]
    rows = oracle(minutes)
    assert [row for row, minute in zip(rows, minutes, strict=True) if minute.status != "stale"] == oracle(kept)
    assert {
        value for row, minute in zip(rows, minutes, strict=True) if minute.status == "stale" for value in row.values()
    } == {None}


def test_every_declared_column_of_these_families_has_an_oracle():
    told = {oracle.__name__: set(oracle([Minute(0)])[0]) for oracle in ORACLES}
    declared = {name: {column.name for column in FEATURE_COLUMNS if column.family == name} for name in told}
    assert told == declared


def test_seven_tenths_are_rounded_up():
    assert [needed(n) for n in (5, 10, 14, 15, 20, 60, 100, 200)] == [4, 7, 10, 11, 14, 42, 70, 140]
