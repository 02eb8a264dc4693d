"""The load ladder: levels by table, the time they take to rise and to fall, and what they shed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from config.schema import Load as Settings
from detectors.table import TABLE
from engine.core.control import Load
from engine.core.detector import View
from engine.core.layouts import LOADED
from engine.universe import ladder
from engine.universe.ladder import LoadLevel
from tests.engine.belts import Belt, Minute, events_of, wanted_of
from tests.engine.running import core

NAMES = ("A", "B", "C", "D", "E", "F")
QUIET: dict[str, int] = {"lag_ms": 0, "finalize_ms": 0, "cpu_pct": 10, "memory_pct": 10}


class Ladder:
    """Samples once a second."""

    def __init__(self) -> None:
        self.loaded = np.zeros(1, LOADED)[0]
        self.loaded["above_ns"], self.loaded["relief_ns"] = -1, -1
        self.second = 0

    def take(self, seconds: int, **sample: int) -> LoadLevel:
        for _ in range(seconds):
            told = Load(waiting_bytes=0, **(QUIET | sample))
            ladder.take(self.loaded, told, self.second * 10**9, Settings())
            self.second += 1
        return LoadLevel(int(self.loaded["level"]))


@pytest.mark.parametrize(
    ("sample", "level"),
    [
        ({"lag_ms": 2000}, "calm"),
        ({"lag_ms": 2001}, "lagging"),
        ({"finalize_ms": 300}, "calm"),
        ({"finalize_ms": 301}, "slow"),
        ({"finalize_ms": 500}, "slow"),
        ({"finalize_ms": 501}, "behind"),
        ({"cpu_pct": 100, "memory_pct": 100}, "calm"),
        ({"cpu_pct": 91, "lag_ms": 1001}, "emergency"),
        ({"memory_pct": 91, "lag_ms": 1001}, "emergency"),
        ({"memory_pct": 91, "finalize_ms": 1001}, "emergency"),
        ({"cpu_pct": 90, "memory_pct": 90, "lag_ms": 1001}, "calm"),
        ({"cpu_pct": 91, "lag_ms": 1000}, "calm"),
    ],
)
def test_a_level_is_its_threshold(sample: dict[str, int], level: str):
    assert str(Ladder().take(12, **sample)) == level


def test_a_level_takes_3_s_and_an_emergency_10():
    rising = Ladder()

    assert rising.take(3, lag_ms=5000, cpu_pct=100) == LoadLevel.CALM  # at 0, 1 and 2 s
    assert rising.take(1, lag_ms=5000, cpu_pct=100) == LoadLevel.LAGGING
    assert rising.take(6, lag_ms=5000, cpu_pct=100) == LoadLevel.LAGGING
    assert rising.take(1, lag_ms=5000, cpu_pct=100) == LoadLevel.EMERGENCY
    broken = Ladder()
    for _ in range(20):  # never 3 s in a row
        broken.take(3, lag_ms=5000)
        assert broken.take(1) == LoadLevel.CALM


def test_a_level_is_left_one_by_one_after_60_s_of_relief():
    falling = Ladder()
    falling.take(4, lag_ms=5000)

    assert falling.take(60) == LoadLevel.LAGGING  # relief began with the first of these
    assert falling.take(1) == LoadLevel.BEHIND
    assert falling.take(59) == LoadLevel.BEHIND
    assert falling.take(1) == LoadLevel.SLOW
    assert falling.take(60) == LoadLevel.CALM


def test_between_80_percent_and_the_threshold_nothing_moves():
    still = Ladder()
    still.take(4, lag_ms=5000)

    assert still.take(500, lag_ms=1700) == LoadLevel.LAGGING
    assert still.take(61, lag_ms=1600) == LoadLevel.BEHIND


def test_the_p95_of_twenty_closes_forgives_one():
    one = Ladder()
    for close in range(20):
        one.take(1, finalize_ms=20 if close else 400)
    assert ladder.finalize_p95_ms(one.loaded) == 20
    one.take(1, finalize_ms=450)  # in place of the first: still one of twenty
    assert ladder.finalize_p95_ms(one.loaded) == 20
    one.take(1, finalize_ms=460)
    assert ladder.finalize_p95_ms(one.loaded) == 450


def test_depth_is_left_out_by_fifths_and_taken_back():
    steps = Ladder()
    steps.take(4, lag_ms=5000)
    found = [ladder.shed_count(steps.loaded, 10, Settings())]
    for _ in range(6):
        steps.take(30, lag_ms=5000)
        found.append(ladder.shed_count(steps.loaded, 10, Settings()))
    assert found == [2, 4, 6, 8, 10, 10, 10]
    steps.take(61)
    assert steps.loaded["level"] < LoadLevel.LAGGING
    back = []
    for _ in range(6):
        back.append(ladder.shed_count(steps.loaded, 10, Settings()))
        steps.take(60)
    assert back == [8, 6, 4, 2, 0, 0]
    assert ladder.shed_count(steps.loaded, 1, Settings()) == 0


def carried() -> Belt:
    """Six symbols; A trades most, F least."""
    belt = Belt(core(), NAMES)
    for _ in range(3):
        belt.play(Minute(volumes={name: 60 - 10 * place for place, name in enumerate(NAMES)}))
    return belt


def test_lagging_leaves_out_depth_of_the_last_and_says_so():
    belt = carried()
    for second in range(4):
        effects = belt.load(40_000 + 1_000 * second, lag_ms=2500)

    (wanted,) = wanted_of(effects)
    assert (wanted.symbols, wanted.without_depth) == (NAMES, ("E", "F"))  # a fifth of six, rounded up
    (event,) = events_of(effects, "load")
    assert (event["level"], event["before"], event["lag_ms"]) == ("lagging", "calm", 2500)
    assert str(belt.conveyor.load_level) == "lagging"


def test_records_that_wait_for_a_full_disk_are_no_load():
    belt = carried()
    belt.host(40_000, "journal_full")
    effects = [e for second in range(20) for e in belt.load(41_000 + 100 * second, lag_ms=18_000)]
    assert wanted_of(effects) == []
    belt.restart()
    effects = [e for second in range(20) for e in belt.load(43_000 + 100 * second, lag_ms=18_000)]
    assert wanted_of(effects) == []
    belt.host(46_000, "journal_has_room")
    effects = [e for second in range(4) for e in belt.load(47_000 + 1_000 * second, lag_ms=2_500)]
    assert len(wanted_of(effects)) == 1


def test_an_emergency_carries_five_and_gives_the_others_back():
    belt = carried()
    effects = [e for second in range(11) for e in belt.load(40_000 + 1_000 * second, lag_ms=1500, memory_pct=95)]
    (wanted,) = wanted_of(effects)
    assert wanted.symbols == ("A", "B", "C", "D", "E")
    assert wanted.reason == "load emergency"
    effects = [e for second in range(62) for e in belt.load(51_000 + 1_000 * second)]
    assert [w.symbols for w in wanted_of(effects)][:1] == [NAMES]
    levels = [event["level"] for event in events_of(belt.effects, "load")]
    assert levels == ["emergency", "lagging"]


def asked_about(monkeypatch) -> list[list[str]]:
    """The symbols of each look at a minute, in a table with one detector that finds nothing."""
    asked: list[list[str]] = []

    def find(view: View, threshold: float, out: np.ndarray) -> None:
        asked.append([NAMES[symbol] for symbol in view.members])

    monkeypatch.setattr("engine.closing.TABLE", (replace(TABLE[0], find=find),))
    return asked


@pytest.mark.parametrize(("finalize_ms", "level"), [(301, "slow"), (501, "behind")])
def test_while_the_process_is_slow_detectors_leave_the_last_fifth_alone_and_it_is_said(
    monkeypatch, finalize_ms: int, level: str
):
    asked = asked_about(monkeypatch)
    belt = carried()
    assert asked[-1] == list(NAMES)
    for second in range(4):
        belt.load(40_000 + 1_000 * second, finalize_ms=finalize_ms)
    assert str(belt.conveyor.load_level) == level
    effects = belt.play(Minute(volumes=dict.fromkeys(NAMES, 10)))

    assert asked[-1] == ["A", "B", "C", "D"]  # without a fifth of six, rounded up
    (event,) = events_of(effects, "detectors_deferred")
    assert event["symbols"] == 2
