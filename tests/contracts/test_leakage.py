"""No row knows what comes after it: whole day and beginning, revisions, minutes that are lowered later; every column.

Row t from minutes up to t alone, rows of a longer day up to t, and rows of a day that goes on otherwise are one and the
same thing here, as a run of this engine makes row t before it has seen what follows: so it is put to the test by days
that differ behind t, and by revisions, which are the only way in which a minute is looked at twice.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.schema import ROW, Status
from tests.contracts.venues import (
    GIVEN,
    INSIDE,
    NAMES,
    OWN,
    Day,
    Machine,
    Ran,
    bits,
    change,
    day_of,
    difference,
    long_day,
    run,
)
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import Minute
from tests.oracles.features.days import days

MINUTES = 500


def until(day: Day, minutes: int) -> Day:
    """The first minutes of a day."""
    return replace(day, **{name: getattr(day, name)[:minutes] for name in INSIDE})


def garbled(day: Day, seed: int) -> Day:
    """Another version of every row: each column that is given moved, some minutes stale, some without an inside."""
    rng, other = np.random.default_rng(seed), day.of()
    for column in GIVEN:
        change(other, column, rng)
    status = other.rows["dq_status"]
    status[rng.random(status.shape) < 0.1] = Status.STALE
    other.quotes["minute"][rng.random(status.shape) < 0.1] = -1
    return other


def mixed(day: Day, other: Day, where: np.ndarray) -> Day:
    """The day, with what another version of it says `where`, (minutes, symbols) bool."""
    made = day.of()
    for name in INSIDE:
        getattr(made, name)[where] = getattr(other, name)[where]
    return made


@pytest.fixture(scope="module")
def long() -> Day:
    return long_day(NAMES, MINUTES, seed=21)


@pytest.fixture(scope="module")
def whole(long: Day) -> Ran:
    return run(long)


# --- what comes later -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [239, 240, 241, 460])
def test_what_comes_later_changes_no_row(long: Day, whole: Ran, cut: int) -> None:
    """Cut where fits are made, and where they have been made: 239 is the last minute of an hour."""
    later = np.arange(MINUTES)[:, None] >= np.full(len(NAMES), cut)
    there = whole.words(rows=slice(cut))
    assert difference(run(mixed(long, garbled(long, cut), later)).words(rows=slice(cut)), there) == set()
    assert difference(run(until(long, cut)).words(), there) == set()


@settings(USUAL, max_examples=12)
@given(days(stretches_max=4, warm_minutes=40), st.data())
def test_the_beginning_of_any_day(made: list[Minute], data: st.DataObject) -> None:
    day = day_of({"BTCUSDT": made})
    cut = data.draw(st.integers(1, len(day.rows)))
    assert difference(run(until(day, cut)).words(), run(day).words(rows=slice(cut))) == set()


# --- revisions in grace ----------------------------------------------------------------------------------------------


def revised(day: Day, seed: int, share: float) -> Ran:
    """A run in which some minutes of some symbols first close with other rows, and are revised before grace ends.

    The rows of other symbols may have read a first version, in `context`; so they are revised as well.
    """
    rng, machine = np.random.default_rng(seed), Machine(day)
    wrong = rng.random(day.has.shape) < share
    first = mixed(day, garbled(day, seed), wrong)
    first.has[:] = day.has
    for at, minute in enumerate(day.minutes):
        machine.close(minute, day=first)
        if wrong[at].any():
            late = np.flatnonzero(wrong[at])
            for part in np.array_split(rng.permutation(late), 1 + int(rng.integers(2))):
                machine.close(minute, only=part.tolist())
            machine.close(minute)
        machine.end_grace(minute)
    return machine.ran[0]


def test_a_revision_gives_the_bits_of_a_first_close(long: Day, whole: Ran) -> None:
    """Every tenth row of each symbol, all columns and the market: nothing remembers the first version."""
    assert difference(revised(long, seed=5, share=0.1).words(), whole.words()) == set()


@settings(USUAL, max_examples=12)
@given(days(stretches_max=4, warm_minutes=40), st.integers(0, 99))
def test_revisions_of_any_day(made: list[Minute], seed: int) -> None:
    day = day_of({"BTCUSDT": made})
    assert difference(revised(day, seed, share=0.3).words(), run(day).words()) == set()


# --- lowered later ---------------------------------------------------------------------------------------------------

LOWERED, AFTER = 300, 4  # the minute, and how many closed before it was lowered
# What looks at inputs of older minutes anew, and at nothing else: as if the minute had been stale from the beginning.
LOOKED_AT = {
    "ret_m_1": 1, "ret_m_5": 5, "ret_m_15": 15, "rv_m_15": 15, "rv_h_1": 60, "bpv_m_15": 15, "cvd_slope_m_5": 4,
    "kyle_lambda_m_15": 15, "amihud_m_15": 15, "oi_delta_m_5": 5, "basis_bp_m_5": 4, "liq_count_m_5": 4,
    "liq_notional_m_5": 4, "roc_10": 10, "roc_20": 20, "ma_50": 49, "ma_200": 199, "hma_raw": 99, "bb_middle_20": 19,
    "stoch_k_14": 13, "donchian_pos_60": 60, "is_breakout": 60, "is_volume_confirmed": 20,
}  # fmt: skip


def lowered(day: Day) -> Ran:
    """A run in which a minute of the third symbol turns out to be stale a while after its grace."""
    machine = Machine(day)
    machine.run(day.minutes[: LOWERED + AFTER])
    machine.lower(day.minutes[LOWERED], 2, Status.STALE)
    machine.run(day.minutes[LOWERED + AFTER :])
    return machine.ran[0]


def test_a_minute_that_is_lowered_later_is_missing_from_then_on(long: Day, whole: Ran) -> None:
    """Rows before keep what they read; rows behind it find no input of it."""
    found = lowered(long)
    assert difference(found.words(rows=slice(LOWERED)), whole.words(rows=slice(LOWERED))) == set()
    between = slice(LOWERED + 1, LOWERED + AFTER)
    assert difference(found.words(rows=between), whole.words(rows=between)) == set()
    row, first = found.rows[LOWERED, 2], whole.rows[LOWERED, 2]
    assert {name for name in ROW.names or () if bits(row[name]) != bits(first[name])} == {"dq_status"}
    stale = long.of()
    stale.rows["dq_status"][LOWERED, 2] = Status.STALE
    never = run(stale)
    for name, minutes in LOOKED_AT.items():
        rows = slice(LOWERED + AFTER, LOWERED + minutes + 1)
        assert np.array_equal(bits(found.rows[name][rows, 2]), bits(never.rows[name][rows, 2])), name


@pytest.mark.parametrize("status", [Status.STALE, Status.PARTIAL])
def test_a_minute_lowered_before_it_taught_teaches_nothing(long: Day, status: Status) -> None:
    """Behind grace but before the next close: what follows is as if it had been so when it closed first."""
    machine = Machine(long)
    machine.run(long.minutes[: LOWERED + 1])
    machine.lower(long.minutes[LOWERED], 2, status)
    machine.run(long.minutes[LOWERED + 1 :])
    other = long.of()
    other.rows["dq_status"][LOWERED, 2] = status
    rows, names = slice(LOWERED + 1, None), [column.name for column in OWN if column.stage == "features"]
    assert difference(machine.ran[0].words(names, rows), run(other).words(names, rows)) == set()


# --- levels and swings -----------------------------------------------------------------------------------------------


def test_swings_are_known_two_minutes_later_and_not_before(whole: Ran) -> None:
    """A swing is the extreme of the three minutes before it and the two behind it, all of them closed by then."""
    for name, price, sign in (("swing_high", "high", 1), ("swing_low", "low", -1)):
        ages, prices = whole.rows[f"{name}_age"], sign * whole.rows[price] / 1_000
        at, symbol = np.nonzero(~np.isnan(ages))
        when = at - ages[at, symbol].astype(int)
        assert (ages[at, symbol] >= 2).all()
        assert np.array_equal(sign * whole.rows[name][at, symbol], prices[when, symbol])
        before, after = (np.stack([prices[when + k, symbol] for k in some]) for some in ((-3, -2, -1), (1, 2)))
        assert (prices[when, symbol] > before.max(axis=0)).all()
        assert (prices[when, symbol] >= after.max(axis=0)).all()
