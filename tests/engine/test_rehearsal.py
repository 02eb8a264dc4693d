"""A pack that is tried on the last hour: what it would have found, and that the engine does not notice."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from config.change import changed
from engine import snapshot
from engine.app.rehearsal import Outcome, rehearse, told, warnings
from engine.conveyor import Conveyor
from engine.core.detector import View
from engine.core.effects import MinuteRows
from engine.core.pack import make_pack
from engine.core.records import Record
from engine.core.signal_columns import Stop
from tests.engine.test_packs import HAND, at, effects_of, hand, links, plain

__all__ = ["hand", "plain"]  # fixtures

WARM = {"is_warming_up": 0, "illiquidity_hit": 0, "is_in_universe": 1}


@pytest.fixture
def lived(plain: list[Record]) -> tuple[Conveyor, list[MinuteRows]]:
    """A conveyor behind a session, and the minutes it told."""
    conveyor = Conveyor()
    return conveyor, links(effects_of(conveyor, plain))


def fail(view: View, threshold: float, out: np.ndarray) -> None:
    raise ValueError("no such shape")


def tried(conveyor: Conveyor, threshold: float | None):
    """From the table's own threshold to another one, in a class that publishes whatever its severity."""
    every = {"core.signals.classes.spike.severity_min": 0}
    packs = [make_pack(HAND, changed(at(one), every, "test", ["trades_v1"]).signals) for one in (None, threshold)]
    return asyncio.run(rehearse(conveyor, *packs))


def test_the_pack_in_force_finds_what_it_found(lived):
    conveyor, minutes = lived
    newest = {(link.minute, one["symbol"]): Stop(one["reason"]).name.lower()
              for link in minutes if link.found is not None for one in link.found.rows}  # fmt: skip
    found = tried(conveyor, None)

    expected = sorted(["spike", reason, count, count] for reason, count in Counter(newest.values()).items())
    assert sorted(found["rows"]) == expected
    assert found["candidates"] == [len(newest)] * 2
    assert (found["minutes"], found["symbols"]) == (len({minute for minute, _ in newest}), 3)
    assert found["published"] == [0, 0]
    assert found["warnings"] == []


def test_another_threshold_is_counted_by_the_rows_that_reach_it(lived):
    conveyor, _ = lived
    ring = conveyor.state.history
    for name, value in WARM.items():
        ring.rows[name] = value
    held = ring.held >= 0
    ring.rows["trade_count"] = ring.rows["trade_count"] * 9 // int(np.median(ring.rows["trade_count"][held]))
    reached = int((ring.rows["trade_count"][held] >= 9).sum())
    found = tried(conveyor, 9.0)

    assert 0 < reached < found["candidates"][0]
    assert found["candidates"][1] == reached
    assert found["published"][0] > 0
    assert found["severity_p90"][0] >= found["severity_p50"][0] > 0


def test_the_engine_does_not_notice(lived):
    conveyor, _ = lived
    for name, value in WARM.items():
        conveyor.state.history.rows[name] = value
    before = bytes(snapshot.encode(snapshot.take(conveyor)))
    rows = conveyor.state.bars.rows.tobytes()

    assert tried(conveyor, 5.0)["published"] != [0, 0]
    assert bytes(snapshot.encode(snapshot.take(conveyor))) == before
    assert conveyor.state.bars.rows.tobytes() == rows


def test_a_detector_that_fails_is_told_and_the_engine_s_own_goes_on(lived):
    conveyor, _ = lived
    after = make_pack([replace(HAND[0], find=fail)], at(3.0).signals)
    found = asyncio.run(rehearse(conveyor, make_pack(HAND, at(None).signals), after))

    assert found["warnings"][0] == "trades_v1 fails, and would be quarantined: ValueError: no such shape"
    assert found["candidates"][1] == 0
    assert not conveyor.state.signals.quarantined.any()


def test_an_engine_without_a_minute_tries_nothing_and_says_so():
    conveyor = Conveyor()
    conveyor.configure(at(None))

    assert tried(conveyor, 5.0)["warnings"] == ["no minute is remembered yet, so nothing was tried"]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ([80] * 100, [80] * 80, []),
        ([80] * 100, [80] * 110, []),
        ([80] * 100, [80] * 79, ["published signals: 100 -> 79 (-21%); usual bounds are -20 % to +10 %"]),
        ([80] * 100, [80] * 111, ["published signals: 100 -> 111 (+11%); usual bounds are -20 % to +10 %"]),
        ([], [80], ["published signals: 0 -> 1; usual bounds are -20 % to +10 %"]),
        ([], [], []),
        ([80] * 10, [75] * 10, []),
        ([80] * 10, [74] * 10, ["severity p90: 80 -> 74; it should not fall by more than 5"]),
    ],
)
def test_what_a_careful_operator_looks_at_twice(was: list[int], now: list[int], said: list[str]):
    assert warnings(Outcome(severities=was), Outcome(severities=now), 60) == said


def test_classes_and_reasons_stand_in_the_order_of_the_gates():
    before = Outcome(Counter({("shift", "published"): 1, ("spike", "threshold"): 2, ("spike", "dq"): 3}))

    rows = told(before, Outcome(), 60, 3)["rows"]
    assert [row[:2] for row in rows] == [["spike", "dq"], ["spike", "threshold"], ["shift", "published"]]
