"""The same day gives the same bits: run again, with symbols in another order, beside another venue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.contracts.venues import NAMES, Machine, Ran, day_of, difference, long_day, run
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import Minute
from tests.oracles.features.days import days

MINUTES = 560  # cross-sectional residuals and breadth have been fitted for two hours


@pytest.fixture(scope="module")
def ran() -> Ran:
    return run(long_day(NAMES, MINUTES, seed=11))


def test_the_same_day_again(ran: Ran) -> None:
    assert difference(run(ran.day).words(), ran.words()) == set()


def test_the_order_in_which_symbols_were_heard_of_decides_nothing(ran: Ran) -> None:
    """Leaders, ranks, medians and fits are among what is compared: the fifth has several peers to choose from."""
    there = ran.words()
    assert all((there[name] != there[name][0]).any() for name in ("lead_lag_prediction", "cross_sectional_prediction"))
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(len(NAMES)).tolist()
        assert difference(run(ran.day.of(order)).words(), there) == set()


def test_another_venue_changes_nothing(ran: Ran) -> None:
    """Of the same names, other prices, and its symbols first in every array."""
    other = replace(long_day(NAMES[:7], MINUTES, seed=12), names=NAMES[:7])
    machine = Machine(other, ran.day)
    machine.run()
    assert difference(machine.ran[1].words(), ran.words()) == set()


def test_a_restart_from_a_snapshot_changes_no_bit(ran: Ran) -> None:
    """Before the first fit, in the hour of the first market and behind every fit, each time from the state on disk."""
    machine, begin = Machine(ran.day), 0
    for end in (150, 230, 500, MINUTES):
        machine.run(ran.day.minutes[begin:end])
        machine.restart()
        begin = end
    assert difference(machine.ran[0].words(), ran.words()) == set()


@settings(USUAL, max_examples=12)
@given(days(stretches_max=4, warm_minutes=20), days(stretches_max=4), days(stretches_max=2))
def test_order_of_any_days(one: list[Minute], other: list[Minute], third: list[Minute]) -> None:
    """Symbols that come and go at unrelated times; only their first minutes are made equal."""
    made = {"ETHUSDT": one, "BTCUSDT": other, "XUSDT": third}
    for minutes in (other, third):
        shift = one[0].minute - minutes[0].minute
        for minute in minutes:
            minute.minute += shift
    day = day_of(made)
    assert difference(run(day.of([2, 0, 1])).words(), run(day).words()) == set()
