"""What is lost with a connection, how it is marked, and how a minute is believed again; checked by head.

The exchange is 100 ms ahead of the receiver, grace lasts to boundary + 3,000 ms on the exchange's clock.
"""

from __future__ import annotations

from tests.engine.running import M
from tests.engine.story import D60, D120, D180, Story, status, trading

# --- one connection ---------------------------------------------------------------------------------------------------


def test_reconnect_within_a_minute_is_a_gap() -> None:
    story = trading()
    story.trade(10_000)
    story.down(20_000)
    story.up("trade", came=25_000)
    story.trade(30_000)
    story.trade(D60 + 500)
    story.trade(D120 + 500)
    run = story.run()
    assert (run.row()["dq_status"], "gap" in run.row()["dq_reasons"]) == ("stale", True)
    assert run.row(28_000_001)["dq_status"] == "ok"
    assert "gap" in run.kinds()


def test_every_minute_of_a_gap_has_a_row_and_none_is_ok() -> None:
    story = trading("trade", "bookTicker")
    story.quote(10_000)
    story.trade(10_000)
    story.down(20_000)
    story.ticks(20_200, 3 * D60 + 10_000)
    story.up("trade", "bookTicker", came=3 * D60 + 10_100)
    story.trade(3 * D60 + 11_000)
    story.quote(3 * D60 + 11_000)
    story.trade(4 * D60 + 500)
    story.trade(5 * D60 + 500)
    run = story.run()
    rows = [run.row(28_000_000 + n) for n in range(5)]
    assert [row["dq_status"] != "ok" for row in rows] == [True, True, True, True, False]
    assert [row["dq_status"] for row in rows[1:4]] == ["stale"] * 3
    for row in rows[1:3]:
        assert "disconnected" in row["dq_reasons"]
        assert [row[name] for name in ("open", "high", "low", "close", "mid_open", "mid_close", "spread_mean")] == [
            None
        ] * 7
        assert row["mid_path_points"] == 0


def test_a_second_up_without_a_down_hides_no_gap() -> None:
    """What a journal holds after the process was killed: no down, then an up minutes later."""
    story = trading()
    story.trade(10_000)
    story.up("trade", came=3 * D60)
    story.tick(3 * D60 + 100)
    story.trade(3 * D60 + 1_000)
    story.trade(4 * D60 + 500)
    story.trade(5 * D60 + 500)
    run = story.run()
    assert [run.row(28_000_000 + n)["dq_status"] == "ok" for n in range(5)] == [False] * 4 + [True]


def test_a_gap_found_after_the_close_lowers_the_minute() -> None:
    """Away from M + 30 s to M + 70 s: M was closed as edge before the gap was known; trades are missing in both."""
    story = trading()
    story.trade(10_000)
    story.down(30_000)
    story.ticks(30_200, D60 + 9_800)
    story.up("trade", came=D60 + 10_000)
    story.trade(D60 + 11_000)
    story.trade(D120 + 500)
    run = story.run()
    assert run.row(28_000_001)["dq_status"] == "stale"
    assert run.row()["dq_status"] == "stale"


# --- several connections ----------------------------------------------------------------------------------------------


def test_trades_lost_on_their_own_connection_are_never_ok() -> None:
    """Trades on connection 1, quotes on 2. Connection 1 is away from 20 s to 40 s of M."""
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.trade(10_000)
    story.down(20_000)
    story.up("trade", came=40_000)
    story.trade(41_000)
    story.quote(59_000, source=2)
    story.trade(D60 + 500)
    story.quote(D60 + 500, source=2)
    assert story.run().row()["dq_status"] == "stale"


def test_a_minute_without_its_trade_connection_is_never_ok() -> None:
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.trade(10_000)
    story.down(20_000)
    for ms in range(20_000, 4 * D60, 10_000):
        story.quote(ms, source=2)
    run = story.run()
    assert [run.row(28_000_000 + n)["dq_status"] for n in range(3)].count("ok") == 0


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
