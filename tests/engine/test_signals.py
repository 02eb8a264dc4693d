"""From candidate to signal, one requirement at a time, with figures worked out by hand from docs/signals.md."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.core.detector import CLASSES, Detector
from tests.engine.judging import CALM, GOOD, QUIET, Bench, Reading, Values, line
from tests.oracles.signals import Candidate

M = 28_000_000
VENUE = "binance_usdm"
PLAIN = {"steepness": 1.0, "offset": 3.0, "severity_min": 50, "primary_max": 50.0, "symbol_signals_max": 1}


def found(measure: float, **more: Any) -> Values:
    """A finding of which the primary value is the measure, and everything else holds."""
    return QUIET | {"measure": measure, "primary": measure} | more


class Desk:
    """One engine with detectors of threshold 3, the symbols A and B of one venue (B has the first index), no novelty
    and severities that follow from the primary value alone: 3 is 50, 4 is 73, 5 is 88, 6 is 95.
    """

    def __init__(self, *detectors: Detector, **settings: Any) -> None:
        self.table = detectors or (line("one"), line("two"))
        told = {"novelty_weight": 0.0, "classes": dict.fromkeys(CLASSES, PLAIN)} | settings
        self.bench = Bench(list(self.table), [(VENUE, "B"), (VENUE, "A"), ("other", "A")], **told)

    def read(
        self, minute: int, told: dict[str, dict[str, Values]], row: Values | None = None, market: Values | None = None,
        venue: str = VENUE,
    ) -> list[Candidate]:  # fmt: skip
        """told: symbol -> detector -> finding; what is left out is quiet."""
        findings = {name: {one.id: mine.get(one.id, QUIET) for one in self.table} for name, mine in told.items()}
        rows = dict.fromkeys(told, GOOD | (row or {}))
        return self.bench.take(Reading(venue, M + minute, rows, findings, CALM | (market or {})))

    def one(self, minute: int, measure: float = 4.0, **more: Any) -> Candidate:
        """The candidate of detector `one` at A, which is alone."""
        (candidate,) = self.read(minute, {"A": {"one": found(measure)}}, **more)
        return candidate

    def memory(self) -> list[bytes]:
        """What is remembered of symbols. What minutes had is apart: a minute without a signal may have a line there."""
        of = self.bench.signals
        return [array.tobytes() for array in (of.disarmed, of.keys, of.read_minute, of.quarantined)]


def reasons(candidates: list[Candidate]) -> dict[str, str]:
    return {f"{one.symbol} {one.detector}": one.reason for one in candidates}


# What is a candidate --------------------------------------------------------------------------------------------------


def test_a_trigger_needs_the_threshold_itself_and_whatever_else_the_detector_asks_for():
    desk = Desk()
    below, null, not_met = found(math.nextafter(3.0, 0.0)), found(3.0) | {"measure": None}, found(9.0, is_met=0)
    for minute, finding in enumerate((below, null, not_met)):
        assert desk.read(minute, {"A": {"one": finding}}) == []
    assert desk.one(9, measure=3.0).reason == "published"


def test_a_symbols_tier_may_have_a_threshold_of_its_own():
    desk = Desk(line("one", tiers=(("top", 4.0),)), detectors={"one": {"threshold_tail": 2.0}})
    told = {"A": {"one": found(3.5)}}
    assert desk.read(0, told, {"tier": "top"}) == []
    assert [one.threshold for one in desk.read(1, told, {"tier": "mid"})] == [3.0]
    assert [one.threshold for one in desk.read(2, told, {"tier": "tail"})] == [2.0]


def test_a_threshold_in_the_settings_stands_before_those_of_tiers_in_the_table():
    desk = Desk(line("one", tiers=(("top", 4.0),)), detectors={"one": {"threshold": 3.4}})
    assert desk.one(0, measure=3.5, row={"tier": "top"}).threshold == 3.4


def test_candidates_come_by_name_of_the_symbol_and_then_as_the_table_has_them():
    candidates = Desk().read(0, {name: {"one": found(3.0), "two": found(3.0)} for name in "BA"})
    assert list(reasons(candidates)) == ["A one", "A two", "B one", "B two"]


def test_a_detector_that_is_off_or_quarantined_is_not_heard_and_the_others_go_on():
    desk = Desk(line("one"), line("two"), line("off", is_core=False))
    desk.bench.signals.quarantined[0] = 1
    told = {"A": {name: found(5.0) for name in ("one", "two", "off")}}
    assert reasons(desk.read(0, told)) == {"A two": "published"}


# The first gate that stops it is the reason ---------------------------------------------------------------------------


def test_a_candidate_that_every_gate_would_stop_has_the_reasons_in_the_order_of_the_page():
    desk = Desk(line("one"), detectors={"one": {"stopped_in": ("extreme",)}})
    bad: Values = {"is_in_universe": 0, "dq_status": "stale", "is_warming_up": 1, "illiquidity_hit": 1}
    finding, market = found(3.0, is_allowed=0, primary=0.0), {"volatility_regime": "extreme"}
    told = []
    for name, mended in (
        ("row", {}), ("row", {"is_hot": 1}), ("row", {"dq_status": "ok"}), ("row", {"is_warming_up": 0}),
        ("row", {"illiquidity_hit": 0}), ("finding", {"is_allowed": 1}), ("market", {"volatility_regime": "high"}),
        ("finding", {"primary": 9.0}),
    ):  # fmt: skip
        {"row": bad, "finding": finding, "market": market}[name].update(mended)
        desk.bench.forget_what_was_read()
        (one,) = desk.read(0, {"A": {"one": finding}}, bad, market)
        told.append(one.reason)
        assert (one.severity is None) == (one.reason not in ("threshold", "published"))
    assert told == [
        "membership", "dq", "warmup", "illiquid", "precondition", "regime", "threshold", "published"
    ]  # fmt: skip


@pytest.mark.parametrize(("column", "reason"), [("is_warming_up", "warmup"), ("illiquidity_hit", "illiquid")])
def test_what_is_not_known_of_warm_up_and_liquidity_stops_too(column: str, reason: str):
    assert Desk().one(0, row={column: None}).reason == reason


def test_a_regime_that_is_not_known_stops_nobody():
    desk = Desk(line("one"), detectors={"one": {"stopped_in": ("low", "medium", "high", "extreme")}})
    assert desk.one(0, market={"volatility_regime": None}).reason == "published"


@pytest.mark.parametrize("status", ["partial", "stale"])
def test_a_trigger_of_a_minute_that_is_not_ok_stops_at_dq_and_teaches_nothing(status: str):
    desk = Desk()
    assert desk.one(0).reason == "published"
    before = desk.memory()
    budgets = desk.bench.signals.budgets
    assert desk.one(1, measure=9.0, row={"dq_status": status}).reason == "dq"
    assert desk.read(1, {"A": {"one": found(0.0)}}, {"dq_status": status}) == []
    assert desk.memory() == before, "an ok minute that is as quiet would have armed the detector again"
    assert budgets["total"][budgets["minute"] == M + 1].sum() == 0


def test_a_minute_is_read_in_its_first_revision_that_is_ok_and_never_again():
    desk = Desk()
    assert desk.one(0, row={"dq_status": "partial"}).reason == "dq"
    assert desk.one(0).reason == "published"
    assert desk.read(0, {"A": {"one": found(9.0)}}) == []
    assert reasons(desk.read(0, {"A": {"one": found(9.0)}, "B": {"one": found(9.0)}})) == {"B one": "published"}


# Severity -------------------------------------------------------------------------------------------------------------


def test_the_worked_check_of_severity():
    """Primary 3.6 that counts as 3.2, secondary 2.1, 4 of 6 symbols in shock, seen for the first time."""
    weights = {"primary_weight": 1.0, "secondary_weight": 0.5, "breadth_weight": 0.4}
    spike = weights | {"steepness": 0.6, "primary_max": 3.2}
    finding, market = found(3.6, secondary=2.1), {"shock_share": 4 / 6}
    for offset, severity in ((0.0, 96), (2.3, 86)):
        desk = Desk(novelty_weight=0.8, classes={"spike": spike | {"offset": offset}})
        (one,) = desk.read(0, {"A": {"one": finding}}, market=market)
        assert one.raw == pytest.approx(3.2 + 1.05 + 0.4 * 4 / 6 + 0.8, rel=1e-15)
        assert one.severity == severity


def test_what_is_null_or_below_nought_counts_as_nought():
    for value in (None, -5.0, 0.0):
        desk = Desk(novelty_weight=0.5)
        told = {"A": {"one": found(4.0, primary=value, secondary=value)}}
        (one,) = desk.read(0, told, market={"shock_share": None})
        assert one.raw == 0.5


def test_an_illiquid_symbol_that_may_still_speak_loses_three_tenths():
    for penalty, raw in ((1, 3.7), (0, 4.0), (None, 4.0)):
        assert Desk().one(0, row={"illiquidity_penalty": penalty}).raw == raw


def test_half_a_point_of_severity_goes_to_the_even_side():
    for half, severity in ((60.5, 60), (61.5, 62), (62.5, 62)):
        raw = math.log(half / (100 - half))
        assert 100 / (1 + math.exp(-raw)) == half
        desk = Desk(classes={"spike": PLAIN | {"offset": 0.0}})
        (one,) = desk.read(0, {"A": {"one": found(3.0, primary=raw)}})
        assert one.severity == severity


def test_the_novelty_of_a_key_comes_back_by_half_in_a_half_life():
    desk = Desk(line("one", half_life_s=120, cooldown_s=0), line("two"), novelty_weight=0.8, rearm_pct=100)
    assert desk.one(0).novelty == 0.8
    desk.read(1, {"A": {}})
    assert desk.one(2).novelty == pytest.approx(0.4, rel=1e-15)
    desk.read(3, {"A": {}})
    assert desk.one(6).novelty == pytest.approx(0.6, rel=1e-15)


def test_another_detector_of_the_class_is_new_to_its_key():
    desk = Desk(novelty_weight=0.8)
    desk.one(0)
    (two,) = desk.read(1, {"A": {"two": found(4.0)}})
    assert (two.novelty, two.reason) == (0.8, "published")


# Armed or not ---------------------------------------------------------------------------------------------------------


def test_what_was_said_is_not_said_again_until_it_fell_below_70_percent():
    desk = Desk(line("one", cooldown_s=0))
    told = [desk.one(0).reason]
    bound = 70 / 100 * 3.0
    for minute, between in enumerate((2.5, bound, math.nextafter(bound, 0.0)), 1):
        desk.read(10 * minute, {"A": {"one": found(between)}})
        told.append(desk.one(10 * minute + 1).reason)
    assert told == ["published", "rearm", "rearm", "published"]


@pytest.mark.parametrize("finding", [found(9.0) | {"measure": None}, found(9.0, is_met=0)])
def test_a_detector_is_armed_again_by_a_null_and_by_what_is_not_met(finding: Values):
    desk = Desk(line("one", cooldown_s=0))
    desk.one(0)
    desk.read(1, {"A": {"one": finding}})
    assert desk.one(2).reason == "published"


def test_a_severity_30_percent_above_the_last_is_said_without_being_armed():
    """On a key whose last severity is 50, 65 is exactly enough; then it is the bound of the next."""
    desk = Desk(line("one", cooldown_s=900))
    told = [desk.one(minute, measure) for minute, measure in enumerate((3.0, 3.57, 3.62, 4.0, 9.0))]
    assert [(one.severity, one.reason) for one in told] == [
        (50, "published"), (64, "rearm"), (65, "published"), (73, "rearm"), (100, "published")
    ]  # fmt: skip


def test_a_signal_disarms_what_was_merged_into_it_and_nothing_else():
    desk = Desk(line("one", cooldown_s=0), line("two", cooldown_s=0), line("three", cooldown_s=0))
    desk.read(0, {"A": {"one": found(5.0), "two": found(4.0), "three": found(2.9)}})
    told = desk.read(1, {"A": {name: found(4.0) for name in ("one", "two", "three")}})
    assert reasons(told) == {"A one": "rearm", "A two": "rearm", "A three": "published"}


def test_a_signal_of_one_symbol_leaves_the_others_armed():
    desk = Desk()
    desk.one(0)
    assert reasons(desk.read(1, {"B": {"one": found(4.0)}})) == {"B one": "published"}


# Coalescing, cooldown -------------------------------------------------------------------------------------------------


def test_of_a_class_the_highest_severity_speaks_and_names_the_others():
    desk = Desk(line("one"), line("two"), line("far", "shift"))
    told = desk.read(0, {"A": {"one": found(4.0), "two": found(5.0), "far": found(3.0)}})
    assert [(one.detector, one.reason, one.coalesced_into) for one in told] == [
        ("one", "coalesced", "two"), ("two", "published", ""), ("far", "published", "")
    ]  # fmt: skip


def test_of_equal_severities_the_one_that_stands_first_in_the_table_speaks():
    told = Desk().read(0, {"A": {"one": found(4.0), "two": found(4.001)}})
    assert [one.severity for one in told] == [73, 73]
    assert reasons(told) == {"A one": "published", "A two": "coalesced"}


def test_what_an_earlier_gate_stopped_merges_nobody():
    told = Desk().read(0, {"A": {"one": found(9.0, is_allowed=0), "two": found(4.0)}})
    assert reasons(told) == {"A one": "precondition", "A two": "published"}


def test_what_was_merged_into_a_candidate_that_stops_stays_merged_and_armed():
    desk = Desk(line("one", cooldown_s=900), line("two", cooldown_s=900))
    desk.one(0, 5.0)
    desk.read(1, {"A": {}})
    told = desk.read(2, {"A": {"one": found(5.0), "two": found(4.0)}})
    assert reasons(told) == {"A one": "cooldown", "A two": "coalesced"}
    assert reasons(desk.read(3, {"A": {"two": found(4.0)}})) == {"A two": "published"}


def test_a_cooldown_counts_exchange_minutes():
    """The minute behind a signal is 60 s away from it."""
    for cooldown_s, told in ((45, "published"), (60, "published"), (61, "cooldown"), (180, "cooldown")):
        desk = Desk(line("one", cooldown_s=cooldown_s))
        desk.one(0)
        desk.bench.signals.disarmed[:] = 0
        assert desk.one(1).reason == told
        desk.bench.signals.disarmed[:] = 0
        assert desk.one(3).reason == "published"


def test_a_cooldown_is_of_one_detector_and_an_escalation_breaks_it():
    desk = Desk(line("one", cooldown_s=900), line("two", cooldown_s=900))
    desk.one(0, 4.0)
    desk.read(1, {"A": {}})
    assert desk.one(2, 4.0).reason == "cooldown"
    desk.read(3, {"A": {}})
    assert desk.one(4, 6.0).reason == "published"
    assert reasons(desk.read(5, {"A": {"two": found(4.0)}})) == {"A two": "published"}


# Budgets --------------------------------------------------------------------------------------------------------------


def test_a_symbol_and_class_has_so_many_signals_in_a_minute():
    """No session reads a minute twice: what the gate is for are later stages that do."""
    desk = Desk(line("one"), line("two"), line("far", "shift"))
    assert desk.one(0).reason == "published"
    desk.bench.forget_what_was_read()
    told = desk.read(0, {"A": {"two": found(9.0), "far": found(9.0)}, "B": {"two": found(9.0)}})
    assert reasons(told) == {"A two": "budget_symbol", "A far": "published", "B two": "published"}
    assert reasons(desk.read(1, {"A": {"two": found(9.0)}})) == {"A two": "published"}


def test_a_full_minute_keeps_the_highest_severities():
    desk = Desk(minute_signals_max=1)
    assert reasons(desk.read(0, {"A": {"one": found(4.0)}, "B": {"one": found(5.0)}})) == {
        "A one": "budget_global", "B one": "published"
    }  # fmt: skip


def test_of_equal_severities_in_a_full_minute_the_first_symbol_by_name_has_the_place():
    desk = Desk(minute_signals_max=1)
    assert reasons(desk.read(0, {name: {"two": found(4.0)} for name in "BA"})) == {
        "A two": "published", "B two": "budget_global"
    }  # fmt: skip


def test_a_class_keeps_at_least_one_place_in_a_full_minute():
    desk = Desk(line("one"), line("far", "shift"), minute_signals_max=2)
    told = desk.read(0, {"A": {"one": found(6.0), "far": found(3.0)}, "B": {"one": found(5.0)}})
    assert reasons(told) == {"A one": "published", "A far": "published", "B one": "budget_global"}


def test_places_are_counted_by_label_over_all_venues_and_so_is_what_a_class_has():
    desk = Desk(line("one"), line("far", "shift"), line("side", "quadrant"), minute_signals_max=3)
    desk.read(0, {"B": {"one": found(4.0)}}, venue=VENUE)
    told = desk.read(0, {"A": {"one": found(9.0), "far": found(3.0), "side": found(3.0)}}, venue="other")
    assert reasons(told) == {"A one": "budget_global", "A far": "published", "A side": "published"}
    told = desk.read(1, {"A": {"one": found(9.0)}}, venue="other")
    assert reasons(told) == {"A one": "published"}, "another minute has places of its own"


def test_what_found_no_place_is_still_armed_and_its_key_remembers_nothing():
    desk = Desk(minute_signals_max=1)
    desk.read(0, {"A": {"one": found(4.0)}, "B": {"one": found(5.0)}})
    assert reasons(desk.read(1, {"A": {"one": found(4.0)}})) == {"A one": "published"}
    assert desk.bench.signals.keys[1]["first_minute"].max() == M + 1


def test_a_key_remembers_its_first_signal_and_its_newest():
    desk = Desk(line("one", cooldown_s=0), line("two"))
    assert desk.one(0).first_minute is None
    desk.read(1, {"A": {}})
    assert desk.one(2).first_minute == M
    desk.read(3, {"A": {}})
    assert desk.one(4, 5.0).first_minute == M
    key = desk.bench.signals.keys[1, 0]
    assert key.item() == (M, M + 4, 0, 88, 1)
