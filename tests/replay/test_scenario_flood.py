"""The flood of the control socket against a real one: what it is told is counted, and limits that do not hold show."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engine.io.control import Query
from engine.io.control_client import Engine
from engine.io.local_http import Limits
from replay.scenarios.flood import Flood, status_of
from tests.engines import WELL, serving

EVERY_ANSWER = {"200", "400", "408", "429"}


def flooded(session: Path, allowed: Limits, until: Callable[[Flood], bool]) -> Flood:
    """A flood that goes on until it has been told enough."""
    flood = Flood(session, 0, allowed)
    flood.start()
    deadline = time.monotonic() + 60.0
    while not until(flood) and time.monotonic() < deadline:
        time.sleep(0.02)
    flood.stop()
    return flood


def slow(asked: Query) -> bytes:
    time.sleep(0.05)
    return b"rows"


def test_a_flood_is_answered_as_far_as_the_limits_allow(tmp_path: Path) -> None:
    limits = Limits(per_s=100.0, read_s=0.2)
    with serving(tmp_path, query=slow, limits=limits):
        flood = flooded(tmp_path, limits, lambda flood: set(flood.answers) >= EVERY_ANSWER and flood.answered > 200)
        assert Engine(tmp_path).status() == WELL
    assert set(flood.answers) - {"turned away"} == EVERY_ANSWER
    assert 200 < flood.answered <= flood.answered_most
    assert 0 < len(flood.status_s) < flood.answers["200"], "some of the 200 were for SQL"


def test_limits_that_are_not_held_show(tmp_path: Path) -> None:
    told = Limits(connections=1, per_s=1.0, burst=1)
    with serving(tmp_path, query=slow, limits=Limits(read_s=0.2)):
        flood = flooded(tmp_path, told, lambda flood: flood.answered > 150)
    assert flood.answered > flood.answered_most


def test_without_an_engine_everybody_is_turned_away(tmp_path: Path) -> None:
    flood = flooded(tmp_path, Limits(), lambda flood: flood.asked > 100)
    assert set(flood.answers) == {"turned away"}
    assert flood.answered == 0


def test_an_answer_that_is_cut_is_none() -> None:
    parts = [b"HTTP/1.1 429 Too Many Requests\r\n\r\n{}", b""]
    assert status_of(lambda _: parts.pop(0)) == "429"
    assert status_of(lambda _: b"") == "unanswered"
