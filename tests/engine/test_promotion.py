"""Each condition of a promotion, at its bound, one at a time: what is said is what is missing."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engine.app.promotion import CONDITIONS, HOUR_MS, Facts, Fitness, unmet
from engine.io.checklist import Box
from engine.io.evidence import Evidence
from engine.io.status import Status, quantiles
from engine.io.verified import Verified

NOW_MS = 1_767_225_780_000
MINUTES = {"rows": 183, "cut": 3, "ok": 171}  # 95 %
BOXES = [Box("0-10", "a", "pass", ""), Box("10-20", "b", "unknown", ""), Box("20-40", "c", "pass", ""),
         Box("40-60", "d", "fail", "late")]  # fmt: skip


def evidence(finalize: tuple[float, ...] = (299.9,), **more: Any) -> Evidence:
    none = quantiles([])
    parts: dict[str, Any] = {
        "minutes": MINUTES, "busiest": [{"signal_class": "spike", "signals": 1}],
        "release": {"budgets": {"spike": 4}},
    }  # fmt: skip
    return Evidence([], quantiles(list(finalize)), none, none, **(parts | more))


FIT = Facts(
    "shadow", "canary", evidence(), BOXES, Verified(9, "aa", NOW_MS - 24 * HOUR_MS, False), (), emits=True,
    now_ms=NOW_MS,
)  # fmt: skip


def test_at_every_bound_nothing_is_unmet():
    assert unmet(FIT) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mode": "dry-run"}, "step: the mode is dry-run, shadow comes before canary"),
        ({"boxes": [*BOXES, Box("20-40", "e", "fail", "2 of 3")]}, "first hour: e (2 of 3) (1 of 4 boxes unknown)"),
        ({"evidence": evidence(minutes=MINUTES | {"ok": 170})}, "quality: 94.4 % of 180 rows are ok"),
        ({"evidence": evidence(minutes={"rows": 29, "cut": 0, "ok": 29})}, "quality: 29 rows in the last hour, 30"),
        ({"evidence": evidence(minutes={})}, "quality: 0 rows"),
        ({"evidence": evidence(finalize=(300.0,))}, "latency: p95 is 300 ms"),
        ({"evidence": evidence(finalize=())}, "latency: not measured yet"),
        ({"evidence": evidence(busiest=[{"signal_class": "spike", "signals": 2}])}, "budget: a symbol used 50 %"),
        ({"evidence": evidence(busiest=None)}, "budget: not known"),
        ({"verified": None}, "replay: none of this session"),
        ({"verified": Verified(9, "aa", NOW_MS - 25 * HOUR_MS, True)}, "replay: the last one ends 25 h ago"),
        ({"killed": ("all", "spike_vol_v1")}, "kills: in force: all, spike_vol_v1"),
        ({"emits": False}, "kills: in force: core.signals.emit is false"),
    ],
)
def test_one_condition_that_does_not_hold_is_the_only_one_that_is_told(changed: dict[str, Any], sentence: str):
    (told,) = unmet(replace(FIT, **changed))

    assert told.startswith(sentence)


@pytest.mark.parametrize(("mode", "target", "refused"), [("dry-run", "shadow", False), ("canary", "production", True)])
def test_boxes_of_the_minutes_behind_a_mode_do_not_stand_in_its_way(mode: str, target: str, refused: bool):
    told = unmet(replace(FIT, mode=mode, target=target))

    assert told == (["first hour: d (late) (1 of 4 boxes unknown)"] if refused else [])


def test_all_that_is_missing_is_told_at_once():
    nothing = Evidence([], *[quantiles([])] * 3)
    told = unmet(Facts("dry-run", "production", nothing, BOXES, None, ("all",), False, NOW_MS))

    assert [sentence.partition(":")[0] for sentence in told] == [condition.name for condition in CONDITIONS]


def test_a_measure_that_fails_does_not_hold_and_ends_no_engine():
    def status() -> Status:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    release = SimpleNamespace(mode="dry-run", rank=0)
    app: Any = SimpleNamespace(
        clock=SimpleNamespace(now_ns=lambda: 7), conveyor=SimpleNamespace(release=release), session=object(),
        threads=False, status=status,
    )  # fmt: skip

    assert asyncio.run(Fitness(app).look()) == ["measure: OSError: [Errno 5] Input/output error"]
