"""The receiver's clock against the venue's: behind it, stepped, standing still; and times that are not believed.

It stands still when the journal's clock was ahead: nothing is stamped before its newest record.
"""

from __future__ import annotations

import pytest

from tests.engine.running import M, Run
from tests.engine.story import D60, D120, Story, closes, trading


def test_a_recorder_whose_clock_is_behind_closes_at_the_same_instant() -> None:
    story = trading(lag=-1_200)
    story.trade(30_000)
    story.tick(D60 + 299)
    cause = story.tick(D60 + 300)
    assert closes(story.run(), 0) == [(0, cause, "timeout")]
    assert story.run().row()["clock_skew_ms"] == -1_200


def test_skew_step_is_partial_and_a_steady_offset_is_not_punished() -> None:
    story = trading(lag=-1_200)
    story.trade(30_000)
    story.trade(D60 + 500)
    assert story.run().row()["dq_status"] == "ok"

    story = trading()
    story.trade(30_000)
    for ms in range(D60 + 500, D120 + 40_000, 1_000):
        story.trade(ms, came=ms - 1_100)  # from here on the receiver's clock is 1.2 s further behind
    run = story.run()
    assert run.row()["dq_status"] == "partial"
    assert "skew" in run.row()["dq_reasons"]
    assert run.row(28_000_001)["dq_status"] == "ok"


def test_a_step_of_the_receivers_clock_repeats_and_skips_no_minute() -> None:
    for step in (-3_000, 3_000):
        story = trading()
        for ms in range(0, 5 * D60, 1_000):
            story.trade(ms, came=ms + 100 + (step if ms >= D120 + 30_000 else 0))
            story.tick(ms + 100 + (step if ms >= D120 + 30_000 else 0))
        run = story.run()
        minutes = [minute for minute, revision, *_ in run.closes() if revision == 0]
        assert minutes == list(range(-1, minutes[-1] + 1))
        assert minutes[-1] >= 3
        assert [run.row(28_000_000 + n)["received"] for n in range(4)] == [60] * 4


# --- times in the future ----------------------------------------------------------------------------------------------


def test_future_message_is_rejected_and_closes_nothing() -> None:
    story = trading()
    story.trade(30_000, "101")
    story.trade(35_201, "999", came=30_200)  # 5,001 ms ahead of the receiver
    story.trade(D60 + 500)
    run = story.run()
    row = run.row()
    assert (row["high"], row["received"], row["rejected"], row["dq_status"]) == (101, 2, 1, "stale")
    assert "rejected" in row["dq_reasons"]
    assert run.tape.connections[1]["future"] == 1


def test_a_message_far_in_the_future_closes_no_minute() -> None:
    story = trading("trade", "bookTicker")
    story.trade(30_000)
    story.quote(100 * D60, came=30_200)
    story.tick(30_400)
    assert [minute for minute, *_ in story.run().closes()] == [-1]


def test_an_old_first_message_does_not_make_the_next_ones_future() -> None:
    """Hyperliquid begins with a backfill: the first message is 49 s old, the next ones are live."""
    story = Story("hyperliquid", ("BTC",)).up("trades", came=10_000)
    story.trade(-39_000, came=10_100)
    for ms in range(10_200, D60 + 1_000, 200):
        story.trade(ms)
    run = story.run()
    assert run.tape.connections[1]["future"] == 0
    assert run.row(symbol="BTC")["rejected"] == 0


# --- receive times that stand still -----------------------------------------------------------------------------------


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
