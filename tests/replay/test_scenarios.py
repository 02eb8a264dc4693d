"""The engine against the local exchange, judged by the oracle: a small part of `conveyor chaos feeds`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from engine.app import App
from engine.core.records import RecordBatch, batch_of
from engine.io.feeds.connection import Connection
from replay.exchange.plan import PLAN
from replay.scenarios.catalogue import CATALOGUE, EQUAL, VENUES, Draw, fault
from replay.scenarios.oracle import CONSEQUENCES
from replay.scenarios.play import play
from replay.scenarios.processes import STRIKES
from replay.scenarios.run import Report, markdown, p95, scenario, table
from replay.scenarios.scenario import Outcome, Scenario

PLAYED = [one.number for one in CATALOGUE if not one.tested_elsewhere and one.in_memory]
FOUND = {  # (faults, seed) -> the defect it found
    ((4,), 0): "a quote told before took force again; an open kline told again replaced the closed one",
    ((10,), 0): "a quote of 1e12 stood in an ok row",
    ((22,), 0): "a full disk was taken for overload: depth was shed when it was over",
}


def played(one: Scenario, folder: Path) -> Outcome:
    """Its outcome; the test fails with everything that was found."""
    outcome = play(one, folder)
    assert not outcome.findings, f"{one}\n" + "\n".join(map(str, outcome.findings))
    return outcome


def test_the_catalogue_has_each_of_the_32_faults_once() -> None:
    assert [one.number for one in CATALOGUE] == list(range(1, 33))
    for one in CATALOGUE:
        assert fault(one.number) is one
        drawn = one.exchange(_draw(0, one.venues[0])) or one.host(_draw(0, one.venues[0]))
        played_somehow = bool(drawn or one.starts or one.symbols > 3 or one.number in STRIKES)
        assert bool(one.tested_elsewhere) != played_somehow, one.name
        assert bool(one.real) == (one.number in STRIKES), one.name


def _draw(seed: int, venue: str) -> Draw:
    return Draw(random.Random(seed), venue, ("A", "B", "C"), 6)


@pytest.mark.parametrize("venue", VENUES)
def test_every_fault_that_can_be_drawn_is_a_plan_the_exchange_reads_and_the_oracle_knows(venue: str) -> None:
    for one in CATALOGUE:
        for seed in range(40):
            plan = PLAN.validate_python({"seed": seed, "fault": one.exchange(_draw(seed, venue))})
            assert {entry.kind for entry in plan.fault} <= set(CONSEQUENCES), one.name
            if one.must == EQUAL:
                assert all(not CONSEQUENCES[entry.kind].reasons for entry in plan.fault), one.name


@pytest.mark.parametrize("venue", VENUES)
def test_a_session_without_a_fault_is_ok_in_every_row_of_its_full_minutes(venue: str, tmp_path: Path) -> None:
    outcome = played(Scenario((), 0, venue, minutes=3), tmp_path)
    assert outcome.ok == 9
    assert outcome.books_compared > 50 or venue == "hyperliquid"
    assert not list(tmp_path.iterdir()), "a journal is kept only if something was found"


@pytest.mark.parametrize("number", PLAYED)
def test_every_fault_leaves_true_rows_or_rows_that_say_why_not(number: int, tmp_path: Path) -> None:
    outcome = played(scenario((number,), 1, minutes=5), tmp_path)
    assert len(outcome.hits) > 2 or number in (16, 18)
    if fault(number).must == EQUAL:
        full = outcome.scenario.minutes * max(3, fault(number).symbols)
        assert outcome.ok == full, "not one full minute may be marked for it"


@pytest.mark.parametrize(("numbers", "seed"), FOUND, ids=str)
def test_a_defect_that_was_found_stays_mended(numbers: tuple[int, ...], seed: int, tmp_path: Path) -> None:
    played(scenario(numbers, seed), tmp_path)


def test_two_faults_at_once(tmp_path: Path) -> None:
    outcome = played(scenario((1, 29), 3, minutes=5), tmp_path)
    assert outcome.recovered_s
    assert outcome.marked["book_gap"]


def test_a_feed_that_loses_trades_before_the_journal_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done to the exchange, so every mark is one too many, and every missing trade is one too few."""
    received, heard = Connection.frame, []

    def lossy(self: Connection, payload: bytes, recv_ns: int) -> None:
        heard.append(payload)
        if payload.startswith(b'{"channel":"trades"') and len(heard) % 40 == 0:
            return
        received(self, payload, recv_ns)

    monkeypatch.setattr(Connection, "frame", lossy)
    assert {"wolf", "wrong"} & {one.kind for one in play(Scenario((), 1, "hyperliquid", minutes=3), tmp_path).findings}


def test_a_feed_that_does_not_tell_of_a_lost_connection_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = Connection._tell_turn

    def discreet(self: Connection, state: str, reason: str, recv_ns: int | None) -> None:
        if state == "up" and self.reconnects == 0:
            tell(self, state, reason, recv_ns)

    monkeypatch.setattr(Connection, "_tell_turn", discreet)
    outcome = play(scenario((32,), 1, minutes=5), tmp_path)  # Hyperliquid: no ids that count, no sequence
    assert "wrong" in {one.kind for one in outcome.findings}


def test_an_engine_that_is_not_its_own_replay_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The live conveyor is handed the records of one connection a little changed; the journal has them as they came."""
    take = App._take

    def otherwise(self: App, batch: RecordBatch) -> None:
        copy = batch_of(batch.buffer[batch.start : batch.end].tobytes().replace(b'"side":"B"', b'"side":"A"'))
        take(self, copy)

    monkeypatch.setattr(App, "_take", otherwise)
    kinds = {one.kind for one in play(Scenario((), 1, "hyperliquid", minutes=3), tmp_path).findings}
    assert {"digest", "wrong"} <= kinds


def test_the_table_counts_what_was_found() -> None:
    report = Report()
    good = Outcome(scenario((1,), 0), PLAN.validate_python({}), rows=12, ok=9, noticed_s=[1.0, 2.0])
    good.marked.update(gap=3)
    report.add(good)
    report.line(24)
    cells = dict(zip(("fault", "name", "runs"), table(report)[1], strict=False))
    assert cells == {
        "fault": "24",
        "name": "Redis, Postgres, NATS down",
        "runs": "touches no minute: tests of its room",
    }
    assert table(report)[0][2:7] == ("1", "12", "9", "gap 3", "0")
    assert "| 24 | Redis" in markdown(report)
    assert p95([]) is None
    assert p95(list(range(1, 101))) == 95
