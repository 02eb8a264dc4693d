"""Every column of both stages against its oracle at once: a venue of several symbols, from bars to the market row.

Elsewhere each family is held to its oracle with the columns of the others given; here nothing is given, so that what
one family hands to the next is tested as well.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from engine.core.column import Column, Form
from engine.core.market import LENGTHS, MARKET_CODES, MARKET_COLUMNS
from engine.core.schema import NULL
from tests.contracts.venues import OWN, Ran, day_of, run
from tests.engine.features.rows import _numbers
from tests.oracles.features import Columns, Minute, agree
from tests.oracles.features.days import Stretch, day
from tests.oracles.features.every import Venue, venue
from tests.oracles.features.test_every import START

NAMES = ("SOLUSDT", "BTCUSDT", "XRPUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "LTCUSDT")
KINDS = ("ordinary", "stale", "no_quotes", "absent", "partial", "empty", "no_index")


def market_day(seed: int, minutes: int) -> dict[str, list[Minute]]:
    """A liquid market; of each symbol some minutes are otherwise, at about the same time."""
    random = Random(seed)
    made = {}
    for name, kind in zip(NAMES, KINDS, strict=True):
        begin = random.randrange(20, 40)
        plan = [
            Stretch("ordinary", minutes - 100, volume_factor=20), Stretch(kind, begin, volume_factor=20),
            Stretch("ordinary", 100 - begin, volume_factor=20),
        ]  # fmt: skip
        made[name] = day(START, plan, random.randrange(2**32), price_ticks=250_000)
    return made


def plain(ran: Ran) -> tuple[dict[str, list[Columns]], dict[int, dict[str, Any]]]:
    """The engine's columns as the oracle has them: of each row of a symbol, and of each market row."""
    rows: dict[str, list[Columns]] = {}
    for s, name in enumerate(ran.day.names):
        had = ran.rows[ran.day.has[:, s], s]
        values = {column.name: _numbers(had, column.name, column.form) for column in OWN}
        rows[name] = [{column: value[n] for column, value in values.items()} for n in range(len(had))]
    markets = {
        t: {column.name: told(column, row[column.name], ran.day.names) for column in MARKET_COLUMNS}
        for t, row in zip(ran.day.minutes, ran.markets, strict=True)
    }
    return rows, markets


def told(column: Column, value: Any, names: tuple[str, ...]) -> Any:
    if column.name in LENGTHS:
        return [None if one == NULL else names[one] for one in value]
    if column.form is Form.REAL:
        return None if np.isnan(value) else float(value)
    if value == NULL:
        return None
    if column.form is Form.SYMBOL:
        return names[value]
    return MARKET_CODES[column.name](value).name.lower() if column.form is Form.STATUS else int(value)


def differences(found: dict[str, Any], expected: dict[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """Column -> (found, expected), of what the oracle says."""
    wrong = {}
    for name, value in expected.items():
        if name in left_out or name == "minute":
            continue
        ours = found[name]
        same = agree(ours, value, name) if isinstance(value, float) and ours is not None else ours == value
        if not same:
            wrong[name] = (ours, value)
    return wrong


def compare(made: dict[str, list[Minute]], left_out: frozenset[str] = frozenset()) -> Venue:
    expected = venue(made)
    rows, markets = plain(run(day_of(made)))
    for name, minutes in made.items():
        for minute, ours, theirs in zip(minutes, rows[name], expected.rows[name], strict=True):
            assert differences(ours, theirs, left_out) == {}, (name, minute.minute - START, minute.status)
    for t, theirs in expected.markets.items():
        assert differences(markets[t], theirs, left_out) == {}, t - START
    return expected


def test_a_venue_of_five_hours() -> None:
    expected = compare(market_day(seed=7, minutes=330))
    assert expected.markets[START + 300]["eligible_count"] >= 3
    last = expected.rows["SOLUSDT"][-1]
    assert all(last[name] is not None for name in ("z_vol_m_1", "z_order_flow_residual", "rs_score_m_5"))


@pytest.mark.slow
def test_a_venue_of_a_day_and_a_half() -> None:
    """The oracle walks every window anew: some minutes of time. Books are left away, they cost the most."""
    made = market_day(seed=8, minutes=2_000)
    compare({name: [replace(minute, bids=[], asks=[]) for minute in minutes] for name, minutes in made.items()})
