"""Revisions: one in grace begins from the state through the minute before, a later one hides what is looked back at."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.schema import ROW
from engine.core.state import EngineState
from engine.features import stage
from tests.engine.features.rows import OI_STALE_MS, SYMBOL, a_state, columns, put, to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY, days

FEWER = settings(USUAL, max_examples=25)
START = MONDAY * MINUTES_PER_DAY


def wave(t: int) -> Minute:
    """Up and down between 100 and 106 in 12 minutes; a bar is 1 high and closes in its middle."""
    middle = 100.5 + abs(t % 12 - 6)
    return Minute(START + t, open=middle, high=middle + 0.5, low=middle - 0.5, close=middle, mid_close=middle)


def close(state: EngineState, minute: Minute) -> None:
    """The first close of a minute, or a revision of it in grace; its row is remembered."""
    put(state, minute)
    stage.compute(state, SYMBOL, minute.minute, OI_STALE_MS)
    state.remember(minute.minute, SYMBOL, state.bars.rows[:1])


def another(minute: Minute, random: Random) -> Minute:
    """The minute as it might have looked at first: other prices, or not to be trusted at all."""
    if minute.close is None or random.random() < 0.3:
        return replace(minute, status="stale" if minute.status == "ok" else "ok")
    moved = {name: round(getattr(minute, name) + 1.25, 3) for name in ("open", "high", "low", "close")}
    return replace(minute, **moved, taker_buy_quote_volume=0.0)


@FEWER
@given(minutes=days(stretches_max=4, warm_minutes=60), seed=st.integers(0, 1_000))
def test_a_revision_in_grace_leaves_no_trace(minutes: list[Minute], seed: int) -> None:
    """In no column of any family."""
    random, state, rows = Random(seed), a_state(minutes), np.zeros(len(minutes), ROW)
    for n, minute in enumerate(minutes):
        for _ in range(random.choice((0, 0, 1, 2))):
            close(state, another(minute, random))
        close(state, minute)
        rows[n] = state.bars.rows[0]
        for t in range(minute.minute, minutes[n + 1].minute if n + 1 < len(minutes) else minute.minute + 1):
            stage.settle(state, SYMBOL, t - 1)
    for minute, found, expected in zip(minutes, columns(rows), to_rows(minutes), strict=True):
        wrong = {name: (found[name], value) for name, value in expected.items() if found[name] != value}
        assert wrong == {}, (minute.minute - minutes[0].minute, minute.status, wrong)


def test_a_minute_lowered_later_is_looked_at_no_more() -> None:
    """Windows do without it from then on; what it taught, the newest swing high among it, stays."""
    minutes = [wave(t) for t in range(24)]
    state, rows = a_state(minutes), np.zeros(24, ROW)
    for n, minute in enumerate(minutes):
        if n == 22:
            put(state, replace(minutes[12], status="stale"))
            stage.relearn(state, SYMBOL, minutes[12].minute, OI_STALE_MS)
        close(state, minute)
        rows[n] = state.bars.rows[0]
    before, lowered, after = columns(rows)[21:]
    assert (before["swing_high"], before["swing_high_age"]) == (107.0, 9.0)
    assert (lowered["swing_high"], lowered["swing_high_age"]) == (107.0, 10.0)
    assert (before["roc_10"] is None, lowered["roc_10"] is None, after["roc_10"] is None) == (False, True, False)
    assert lowered["atr_14"] == to_rows(minutes)[22]["atr_14"]
