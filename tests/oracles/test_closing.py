"""Closing by the oracle: when, by which record and why a minute closes, and what is late."""

from __future__ import annotations

from engine.core.minutes import NS_PER_MS
from tests.oracles.closing import closing, quantile_ms
from tests.oracles.journal import Journal, M


def closes(journal: Journal) -> list[tuple[int, int, int, str]]:
    return [(each.minute - M, each.revision, each.seq, each.reason) for each in closing(journal.records).closed]


def test_a_minute_closes_when_the_watermark_reaches_its_end() -> None:
    journal = Journal().up("trade")
    journal.trade(60_499, "1", "1", True, 1)
    assert closes(journal) == []
    seq = journal.trade(60_500, "1", "1", True, 2)  # lateness starts at 500 ms
    assert closes(journal) == [(0, 0, seq, "event")]
    known = closing(journal.records).known["binance_usdm", M]
    assert (known.lateness_ms, known.offset_ns, known.close_wait_ns) == (500, 100 * NS_PER_MS, 500 * NS_PER_MS)


def test_a_silent_minute_closes_by_timeout() -> None:
    journal = Journal().up("trade")
    journal.trade(1_000, "1", "1", True, 1)
    journal.tick(61_499)  # offset is 100 ms, so the timeout is at the boundary + 1,600 ms of receive time
    seq = journal.tick(61_500)
    assert closes(journal) == [(0, 0, seq, "timeout")]


def test_late_trades_are_merged_within_grace_and_in_the_ledger_after() -> None:
    journal = Journal().up("trade")
    first = journal.trade(60_500, "1", "1", True, 1)
    journal.trade(59_999, "1", "1", True, 2, came=60_600)
    journal.trade(59_998, "1", "1", True, 3, came=60_700)
    journal.trade(60_500, "1", "1", True, 1, came=60_750)  # a duplicate
    merge = journal.tick(60_800)
    journal.tick(62_999)
    journal.trade(59_997, "1", "1", True, 4, came=62_999)
    last = journal.tick(63_000)  # merges, then ends grace
    journal.trade(59_996, "1", "1", True, 5, came=63_000)
    lower = journal.tick(63_200)
    journal.trade(59_995, "1", "1", True, 6, came=63_200)
    journal.tick(63_400)  # its status has fallen already
    assert closes(journal) == [
        (0, 0, first, "event"),
        (0, 1, merge, "late_merged"),
        (0, 2, last, "late_merged"),
        (0, 3, lower, "late_trades"),
    ]
    assert [(each.id, each.merged) for each in closing(journal.records).late] == [
        (2, True),
        (3, True),
        (4, True),
        (5, False),
        (6, False),
    ]


def test_every_live_voting_connection_must_pass() -> None:
    journal = Journal().up("trade").up("trade", source=2).up("markPrice", source=3)
    journal.trade(61_000, "1", "1", True, 1)
    assert closes(journal) == []
    journal.trade(59_000, "1", "1", True, 2, came=61_000, source=2)
    assert closes(journal) == []
    journal.down(61_100, source=2)  # the third has no event times and no vote
    assert closes(journal) == [(0, 0, journal.records[-1].seq, "event")]


def test_lateness_follows_the_disorder() -> None:
    assert quantile_ms([0] * 999 + [75]) == 10
    assert quantile_ms([0] * 998 + [75] * 2) == 80
    for disorder, expected in ((0, 50), (190, 200), (3_000, 1_500)):
        journal = Journal().up("trade")
        for number in range(1_000):
            journal.trade(10_000, "1", "1", True, 2 * number)
            journal.trade(10_000 - disorder, "1", "1", True, 2 * number + 1, came=10_000)
        journal.trade(60_500, "1", "1", True, 5_000)
        journal.trade(120_000 + expected - 1, "1", "1", True, 5_001)
        assert [minute for minute, *_ in closes(journal)] == [0]
        journal.trade(120_000 + expected, "1", "1", True, 5_002)
        assert [minute for minute, *_ in closes(journal)] == [0, 1]


def test_the_first_seconds_of_a_connection_teach_nothing() -> None:
    journal = Journal().up("trade")
    for number in range(2_000):
        journal.trade(4_999, "1", "1", True, number)
    journal.trade(60_500, "1", "1", True, 5_000)
    journal.trade(120_499, "1", "1", True, 5_001)
    assert len(closes(journal)) == 1
