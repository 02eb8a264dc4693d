"""What is lost, how it is marked, and how a minute is believed again; numbers that can be checked by head.

The exchange is 100 ms ahead of the receiver, grace lasts to boundary + 3,000 ms on the exchange's clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.errors import ConfigError
from engine.core.records import RecordKind
from tests.engine.helpers import M, Run, Story

D60, D120, D180 = 60_000, 120_000, 180_000

# --- records of the host and of single streams ------------------------------------------------------------------------


def test_what_the_process_noticed_of_itself_is_an_event_of_its_kind() -> None:
    story = Story().up("trade", came=-40_000)
    seq = story.host(100, "clock_step", step_ms=-400, source="ntp")
    (event,) = [event for event in story.run().events if event.kind == "clock_step"]
    assert (event.cause_seq, event.detail) == (seq, {"step_ms": -400, "source": "ntp"})


def test_a_host_record_of_another_form_stops_the_replay() -> None:
    story = Story()
    story.put(0, RecordKind.HOST, b'{"kind": 5}', 0)
    with pytest.raises(ConfigError, match="host record: kind"):
        story.run()


@pytest.mark.parametrize("state", ["silent", "back", "refused"])
def test_a_turn_of_one_stream_is_an_event(state: str) -> None:
    story = Story().up("trade", came=-40_000)
    story.stream(state, "trade", 5_000, since=1_000)
    (event,) = [event for event in story.run().events if event.kind == f"stream_{state}"]
    assert (event.venue, event.symbol, event.detail["channel"]) == ("binance_usdm", "XUSDT", "trade")


# --- a gap belongs to a symbol ----------------------------------------------------------------------------------------


def trading(*channels: str, **more: Any) -> Story:
    """A connection that was up a minute before M and heard a trade at once, so that M is a whole minute."""
    story = Story(**more).up(*(channels or ("trade",)), came=-40_000)
    story.trade(-39_000)
    return story


def status(run: Run, minute: int = 0, symbol: str = "XUSDT") -> tuple[str, set[str]]:
    """Status and reasons of the newest revision of minute M + `minute`, without what is not configured."""
    row = run.row(M + minute, symbol)
    return row["dq_status"], row["dq_reasons"] - {"feed_absent"}


def test_a_gap_that_ends_on_another_connection_is_a_gap() -> None:
    """Connection 1 is lost at 20 s, connection 2 heard for the first time at 41 s: it knows of no past of its own."""
    story = trading()
    story.trade(10_000)
    story.down(20_000)
    story.up("trade", came=40_000, source=2)
    story.trade(41_000, source=2)
    story.trade(D60 + 500, source=2)
    story.trade(D120 + 500, source=2)
    run = story.run()
    assert status(run) == ("stale", {"edge", "gap"})
    assert status(run, 1) == ("ok", set())
    (event,) = [event for event in run.events if event.kind == "gap"]
    assert event.detail["to_ns"] - event.detail["from_ns"] == 31_000 * 10**6, "from the trade at 10 s to that at 41 s"


def test_a_gap_over_a_boundary_marks_the_closed_minute_from_the_newest_event_heard() -> None:
    """Newest event at 50 s of M; lost at 55 s; M closes by the clock; connection 2 speaks at M + 1:11."""
    story = trading()
    story.trade(50_000)
    story.down(55_000)
    story.ticks(55_200, D60 + 9_800)
    story.up("trade", came=D60 + 10_000, source=2)
    story.trade(D60 + 11_000, source=2)
    story.trade(D120 + 500, source=2)
    story.trade(D180 + 500, source=2)
    run = story.run()
    assert [status(run, n)[0] for n in range(3)] == ["stale", "stale", "ok"]
    assert "gap" in status(run, 0)[1] & status(run, 1)[1]


def test_two_connections_that_overlap_lose_nothing() -> None:
    """The planned successor is heard at 20 s, the old connection ends at 30 s."""
    story = trading("trade", "bookTicker")
    story.quote(10_000)
    story.trade(10_000)
    story.up("trade", "bookTicker", came=15_000, source=2)
    story.trade(20_000, source=2)
    story.down(30_000)
    story.quote(40_000, source=2)
    story.trade(D60 + 500, source=2)
    run = story.run()
    assert status(run) == ("ok", set())
    assert run.row()["mid_path_points"] == 50, "the quote of 10 s never left force"
    assert "gap" not in run.kinds()


def test_a_successor_that_was_not_heard_yet_carries_nothing() -> None:
    """Connection 2 comes up at 15 s, connection 1 ends at 30 s, the first message of 2 is of 45 s."""
    story = trading()
    story.trade(10_000)
    story.up("trade", came=15_000, source=2)
    story.down(30_000)
    story.trade(45_000, source=2)
    story.trade(D60 + 500, source=2)
    assert status(story.run()) == ("stale", {"edge", "gap"})


def test_the_loss_of_the_last_of_two_begins_with_the_newest_event_of_both() -> None:
    """Connection 1 was heard at 30 s and ends at 31 s, 2 carries on to M + 1:10 and ends then: M lost nothing."""
    story = trading()
    story.up("trade", came=-30_000, source=2)
    story.trade(-29_000, source=2)
    story.trade(30_000)
    story.down(31_000)
    story.trade(50_000, source=2)
    story.trade(D60 + 500, source=2)
    story.trade(D60 + 10_000, source=2)
    story.down(D60 + 12_000, source=2)
    story.up("trade", came=D60 + 20_000)
    story.trade(D60 + 21_000)
    story.trade(D120 + 500)
    run = story.run()
    assert status(run) == ("ok", set())
    assert status(run, 1) == ("stale", {"edge", "gap"})


def test_a_process_that_died_is_a_gap_from_the_newest_event_heard() -> None:
    """Killed behind the trade of 10 s; started again at M + 1:30: `down` for what was up, then another id comes up."""
    story = trading()
    story.trade(10_000)
    story.down(D60 + 30_000)
    story.up("trade", came=D60 + 31_000, source=3)
    story.trade(D60 + 32_000, source=3)
    story.trade(D120 + 500, source=3)
    story.trade(D180 + 500, source=3)
    run = story.run()
    assert [status(run, n)[0] for n in range(3)] == ["stale", "stale", "ok"]
    assert "gap" in status(run, 0)[1] & status(run, 1)[1]


def test_quotes_lost_alone_leave_the_trades_alone() -> None:
    """Trades on connection 1, quotes on 2, which is away from 20 s to 30 s."""
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.trade(10_000)
    story.down(20_000, source=2)
    story.up("bookTicker", came=30_000, source=2)
    story.quote(31_000, source=2)
    story.trade(D60 + 500)
    story.quote(D60 + 500, source=2)
    assert status(story.run()) == ("partial", {"edge", "book_gap"})


def test_a_symbol_that_moves_to_a_connection_already_heard_is_lost_until_its_next_message() -> None:
    """Both connections live; YUSDT is taken from 1 at 20 s and given to 2 at 30 s, which speaks next at 35 s."""
    story = Story(symbols=("XUSDT", "YUSDT"))
    story.connection("up", -40_000)
    story.subscribe(("trade",), -40_000, symbols=("YUSDT",))
    story.connection("up", -40_000, 2)
    story.subscribe(("trade",), -40_000, 2, symbols=("XUSDT",))
    story.trade(-39_000, symbol="YUSDT")
    story.trade(-39_000, source=2)
    story.subscribe(("trade",), 15_000, 1, symbols=("XUSDT", "YUSDT"))
    story.subscribe(("trade",), 20_000, 1, symbols=("XUSDT",))
    story.subscribe(("trade",), 30_000, 2)
    story.trade(35_000, source=2)
    story.trade(36_000, symbol="YUSDT", source=2)
    story.trade(D60 + 500, source=2)
    story.trade(D60 + 500)
    run = story.run()
    assert status(run)[0] == "ok"
    assert status(run, symbol="YUSDT") == ("partial", {"edge"}), "it ceased at 20 s and began anew at 30 s"


def test_depth_that_is_given_up_for_a_while_is_in_force_no_longer() -> None:
    story = trading("trades", "bbo", "l2Book", venue="hyperliquid")
    for ms in (-30_000, 0):
        story.book(ms, [["99", "1"]], [["101", "3"]])
        story.quote(ms)
    story.subscribe(("trades", "bbo"), 10_000)
    story.quote(30_000)
    story.trade(D60 + 500)
    story.quote(D60 + 600)
    story.subscribe(("trades", "bbo", "l2Book"), D60 + 20_000)
    for ms in (D60 + 30_000, D60 + 59_000):
        story.book(ms, [["99", "3"]], [["101", "3"]])
    story.trade(D120 + 500)
    story.quote(D120 + 600)
    story.book(D120 + 600, [["99", "3"]], [["101", "3"]])
    run = story.run()
    assert status(run) == ("ok", {"no_trades"})
    row = run.row(M + 1)
    assert (row["obi_top5_mean"], row["dq_status"]) == (0.5, "partial"), "only the book of 30 s, not that of 0 s"


# --- single streams ---------------------------------------------------------------------------------------------------


def test_trades_that_fall_silent_are_a_gap_until_they_are_back() -> None:
    """Heard last at 20 s, told at 35 s; M and M + 1 close meanwhile; back at M + 2:10."""
    story = trading("trade", "bookTicker")
    for ms in range(0, 5 * D60, 2_000):
        story.quote(ms)
        if ms <= 20_000 or ms >= D120 + 10_000:
            story.trade(ms + 1)
    story.stream("silent", "trade", 35_000, since=20_101)
    story.stream("back", "trade", D120 + 10_000, since=D120 + 10_000)
    run = story.in_time().run()
    assert [status(run, n) for n in range(4)] == [("stale", {"gap"}), ("stale", {"gap", "no_trades"}),
                                                  ("stale", {"gap"}), ("ok", set())]  # fmt: skip
    assert all(run.row(M + n, revision=0)["dq_status"] != "ok" for n in range(3)), "never was there a claim"


def test_a_silence_found_after_the_close_lowers_the_closed_minute() -> None:
    story = trading("trade", "bookTicker")
    for ms in range(0, D60 + 20_000, 2_000):
        story.quote(ms)
    story.trade(50_000)
    story.stream("silent", "trade", D60 + 10_000, since=50_100)
    run = story.in_time().run()
    rows = run.rows()["binance_usdm", "XUSDT", M]
    assert [(row["rev"], row["dq_status"]) for row in rows] == [(0, "ok"), (1, "stale")]
    assert "gap" in rows[-1]["dq_reasons"]


def test_quotes_that_fall_silent_are_not_in_force_and_trades_stay_ok() -> None:
    """Quotes of 0 s and 10 s, silent since, told at 20 s, back at 30 s with a quote of 40 s."""
    story = trading("trade", "bookTicker")
    story.quote(-20_000)
    story.quote(10_000)
    story.stream("silent", "bookTicker", 20_000, since=10_100)
    story.stream("back", "bookTicker", 30_000, since=30_000)
    story.quote(40_000)
    story.trade(50_000)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["dq_status"], row["dq_reasons"] - {"feed_absent"}) == ("partial", {"book_gap"})
    assert row["mid_path_points"] == 30, "seconds 1 to 10 and 41 to 60"


def test_a_stream_that_is_silent_on_one_of_two_connections_hides_nothing() -> None:
    story = trading()
    story.up("trade", came=-30_000, source=2)
    story.trade(-29_000, source=2)
    story.stream("silent", "trade", 20_000, since=10_000)
    story.trade(30_000, source=2)
    story.trade(D60 + 500, source=2)
    story.trade(D60 + 501)
    assert status(story.run()) == ("ok", set())


def test_a_stream_that_was_silent_from_the_first_is_carried_once_it_is_back() -> None:
    """Quotes were never heard before M + 1:20; trades are: from then on a loss of quotes is seen again."""
    story = Story().up("trade", "bookTicker", came=-40_000)
    story.stream("silent", "bookTicker", -39_500, since=-40_000)
    story.trade(-39_000)
    story.trade(D60 + 500)
    story.stream("back", "bookTicker", D60 + 20_000, since=D60 + 20_000)
    story.quote(D60 + 21_000)
    story.trade(D120 + 500)
    story.stream("silent", "bookTicker", D120 + 20_000, since=D120 + 10_000)
    story.trade(D180 + 500)
    run = story.run()
    assert status(run, 1) == ("partial", {"edge"})
    assert "book_gap" in status(run, 2)[1]


def test_a_candle_that_falls_silent_changes_no_status() -> None:
    story = trading("trade", "kline_1m")
    story.stream("silent", "kline_1m", 20_000, since=10_000)
    story.trade(30_000)
    story.trade(D60 + 500)
    assert status(story.run()) == ("ok", set())


def test_a_refused_symbol_is_parked_and_nobody_else_notices() -> None:
    def told(refused: bool) -> Story:
        story = Story(symbols=("XUSDT", "YUSDT")).up("trade", came=-40_000)
        for ms in range(-39_000, D180, 1_000):
            story.trade(ms)
            if ms < 20_000:
                story.trade(ms, symbol="YUSDT")
        if refused:
            story.stream("refused", "trade", 25_000, symbol="YUSDT")
        return story.in_time()

    run, other = told(True).run(), told(False).run()
    assert status(run, symbol="YUSDT") == ("partial", {"edge"})
    assert [key[2] - M for key in run.rows() if key[1] == "YUSDT"] == [-1, 0], "no row after that of its end"
    mine = {"link", "seq"}
    for minute in (-1, 0, 1):
        one, two = run.row(M + minute), other.row(M + minute)
        assert {name for name in one if one[name] != two[name]} <= mine
