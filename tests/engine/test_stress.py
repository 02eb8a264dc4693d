"""Two venues at once, while the receiver's clock jumps, the feed falls silent and connections come and go.

The live clock is to be anchored, and a recording never runs backwards (replay/recording.py clamps it); the conveyor
keeps its minutes in order even for a journal that does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind
from engine.io.journal_reader import JournalReader
from replay.recording import record
from tests.engine.moves import LAG_MS, TICK_MS, Move
from tests.engine.permutations import messages
from tests.engine.running import Run, core, run
from tests.engine.sessions import Session, random_session, told
from tests.engine.story import Story

SEEDS = range(8)
STEPS_MS = (-3_600_000, -90_000, -30_000, -1_500, -250, 250, 1_500, 30_000, 90_000)
GRACE_MS = 3_000
STATUSES = ("ok", "partial", "stale")
LOWERED = {"rev", "link", "seq", "dq_status", "dq_reasons", "received", "late_dropped"}


def session(seed: int) -> list[Record]:
    """Forty moves of both venues, with 30 s in which nothing is heard but the clock."""
    made = random_session(random.Random(seed), 40)
    records = told(
        replace(made, moves=[*made.moves[:20], Move("boundary", 0, 0, 0, 0, 0, 0, True), *made.moves[20:]])
    ).records
    silence_ns = records[len(records) // 2].recv_ns
    return [
        r for r in records
        if r.kind != RecordKind.FRAME or not silence_ns <= r.recv_ns < silence_ns + 30_000 * NS_PER_MS
    ]  # fmt: skip


def stepped(records: Sequence[Record], rng: random.Random) -> list[Record]:
    """The same records in the same order, by a clock that is set a few times."""
    steps = {rng.randrange(len(records) // 8, len(records)): rng.choice(STEPS_MS) for _ in range(4)}
    out, ahead_ms = [], 0
    for n, each in enumerate(records):
        ahead_ms += steps.get(n, 0)
        out.append(replace(each, seq=n, recv_ns=each.recv_ns + ahead_ms * NS_PER_MS))
    return out


def assert_minutes_are_told_once_and_in_order(result: Run) -> None:
    """Every venue's minutes close once, one after the other; a revision merges within grace or lowers."""
    for venue in {link.venue for link in result.links}:
        links = [link for link in result.links if link.venue == venue]
        first = [link.minute for link in links if link.revision == 0]
        assert first == list(range(first[0], first[-1] + 1))
        open_minute = first[0]
        for link in links:
            if link.revision == 0:
                open_minute = link.minute + 1
            merged = any(row["late_merged"] for row in link.rows) and link.minute == open_minute - 1
            assert link.revision == 0 or merged or link.minute < open_minute
    for key, rows in result.rows().items():
        for row in rows:
            assert row["received"] == messages(row) + row["late_dropped"] + row["duplicate"] + row["rejected"], key
        for before, after in pairwise(rows):
            changed = {name for name in before if before[name] != after[name]}
            if after["late_merged"] == before["late_merged"]:
                assert changed <= LOWERED, (key, changed)
                assert STATUSES.index(after["dq_status"]) >= STATUSES.index(before["dq_status"])


@pytest.mark.parametrize("seed", SEEDS)
def test_silence_and_reconnects_of_two_venues_close_every_minute_once(seed: int) -> None:
    records = session(seed)
    result = run(records)
    assert_minutes_are_told_once_and_in_order(result)
    for link in result.links:
        merged = link.revision and any(row["late_merged"] for row in link.rows)
        if merged and "candle_mismatch" not in result.kinds() and "late_trades" not in result.kinds():
            since_ms = (records[link.cause_seq].recv_ns - (link.minute + 1) * NS_PER_MINUTE) // NS_PER_MS
            assert since_ms <= GRACE_MS + LAG_MS + TICK_MS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_set_forwards_and_backwards_closes_every_minute_once(seed: int) -> None:
    result = run(stepped(session(seed), random.Random(seed)))
    assert len({link.venue for link in result.links}) == 2, "set back by minutes, a venue may close one minute only"
    assert_minutes_are_told_once_and_in_order(result)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_recording_of_such_a_clock_never_runs_backwards_and_closes_every_minute_once(seed: int, tmp_path) -> None:
    sent = [r for r in stepped(session(seed), random.Random(seed)) if r.kind != RecordKind.TICK]
    messages_sent = ((r.recv_ns, r.source, int(r.kind), r.payload) for r in sent)
    told_back = record(tmp_path / "journal", messages_sent, origin="imported", core=core())
    backwards = any(later.recv_ns < earlier.recv_ns for earlier, later in pairwise(sent))
    assert (told_back.clamped > 0) == backwards
    conveyor = Conveyor()
    effects = [e for batch in JournalReader(tmp_path / "journal").batches() for e in conveyor.handle(batch)]
    assert any(isinstance(effect, MinuteRows) for effect in effects)
    assert_minutes_are_told_once_and_in_order(Run(conveyor, effects))


def test_both_venues_close_the_same_minutes_of_one_clock() -> None:
    quiet = [Move("quiet", 0, 0, 0, 0, 0, 0, True)] * 3
    links = run(told(Session(quiet)).records).links
    by_venue = [[link.minute for link in links if link.venue == venue] for venue in ("binance_usdm", "hyperliquid")]
    assert by_venue[0] == by_venue[1] != []


@pytest.mark.parametrize("minutes", [1, 2, 3, 4, 10])
def test_a_trade_after_minutes_without_any_record_is_in_its_own_minute(minutes: int) -> None:
    """The process was stopped, or its machine slept: not even a tick stands between."""
    story = Story().up("trade", came=-40_000)
    story.trade(-39_000)
    story.trade(30_000)
    story.trade(minutes * 60_000 + 5_000, "7")
    story.trade(minutes * 60_000 + 6_000, "8")
    story.ticks(minutes * 60_000 + 6_200, (minutes + 1) * 60_000 + 2_000)
    row = story.run().row(28_000_000 + minutes)
    assert row["trade_count"] == 2
