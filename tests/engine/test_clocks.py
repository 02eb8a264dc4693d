"""Receive times that stand still: the journal's clock was ahead, and nothing is stamped before its newest record."""

from __future__ import annotations

import pytest

from tests.engine.helpers import M, Run, Story

D60 = 60_000


def stood_still(every_ms: int, still_ms: int) -> Run:
    """A trade and a quote every so often for five minutes; from 20.1 s of M on, receipts have one and the same time.

    Behind that the receiver's clock is as far behind the venue's as it stood still. No tick comes while it does.
    """
    story = Story().up("trade", "bookTicker", came=-40_000)
    for ms in range(-39_000, 5 * D60, every_ms):
        came = ms + 100
        if came > 20_100:
            came = max(20_100, came - still_ms)
        story.trade(ms, came=came)
        story.quote(ms + 1, came=came)
    story.ticks(-39_000, 5 * D60 - still_ms)
    return story.in_time().run()


def told(run: Run) -> list[tuple[str, set[str]]]:
    rows = [run.row(M + minute) for minute in range(4)]
    return [(row["dq_status"], row["dq_reasons"] - {"feed_absent"}) for row in rows]


@pytest.mark.parametrize(("still_ms", "minutes"), [(5_000, 1), (60_000, 2)])
def test_the_offset_follows_and_the_minutes_in_which_it_moved_say_so(still_ms: int, minutes: int) -> None:
    """Each message moves the offset by a second, so that none of them lies in the future."""
    run = stood_still(1_000, still_ms)
    assert told(run) == [("partial", {"skew"})] * minutes + [("ok", set())] * (4 - minutes)
    assert [run.row(M + minute)["trade_count"] for minute in range(4)] == [60] * 4
    assert run.tape.connections[1]["future"] == 0


def test_messages_too_far_apart_to_be_followed_are_not_believed_and_no_minute_is_called_ok() -> None:
    """Ten seconds apart each of them lies in the future, until the old offset is two minutes old and forgotten."""
    run = stood_still(10_000, 60_000)
    assert [status for status, _ in told(run)] == ["stale"] * 4
    assert run.tape.connections[1]["future"] == 30
    assert run.row(M + 3)["trade_count"] == 6
