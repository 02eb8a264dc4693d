"""Families that remember: a revision begins from the same state again, and symbols know nothing of each other."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.features.walk import close, make_state, to_rows
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import Minute
from tests.oracles.features.days import days


def another(minute: Minute, random: Random) -> Minute:
    """The minute as it might have looked at first: other prices, or not to be trusted at all."""
    if minute.close is None or random.random() < 0.3:
        return replace(minute, status="stale" if minute.status == "ok" else "ok")
    moved = {name: getattr(minute, name) + 1.25 for name in ("open", "high", "low", "close")}
    return replace(minute, **moved)


@USUAL
@given(minutes=days(stretches_max=4, warm_minutes=60), seed=st.integers(0, 1_000))
def test_a_minute_that_was_revised_leaves_no_trace(minutes: list[Minute], seed: int) -> None:
    random, state = Random(seed), make_state(2)
    found = []
    for minute in minutes:
        for _ in range(random.choice((0, 0, 1, 2))):
            close(state, 1, another(minute, random))
        found.append(close(state, 1, minute))
    assert found == to_rows(minutes)
