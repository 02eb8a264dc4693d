"""Stories of a minute: a few records that anybody can follow, and when, why and how each minute closed.

The exchange is 100 ms ahead of the receiver unless a story says otherwise, the lateness starts at 500 ms, the clock
closes at boundary + 1,500 ms and grace lasts to boundary + 3,000 ms, both on the exchange's clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from engine.core.errors import InvariantError
from engine.core.schema import NULL, CloseReason
from tests.engine.helpers import M, Run, Story, core, same_rows

D60, D120 = 60_000, 120_000
QUIET = {"no_trades", "feed_absent"}


def trading(*channels: str, **more: Any) -> Story:
    """A connection that was up a minute before M and heard a trade at once, so that M is a whole minute."""
    story = Story(**more).up(*(channels or ("trade",)), came=-40_000)
    story.trade(-39_000)
    return story


def closes(run: Run, minute: int) -> list[tuple[int, int, str]]:
    return [(revision, seq, reason) for of, revision, seq, reason in run.closes() if of == minute]


# --- how a minute closes ----------------------------------------------------------------------------------------------


def test_event_close_when_the_watermark_reaches_the_boundary() -> None:
    story = trading()
    story.trade(30_000, "101")
    story.trade(D60 + 499, "102")
    cause = story.trade(D60 + 500, "103")
    run = story.run()

    assert closes(run, 0) == [(0, cause, "event")]
    row = run.row()
    assert (row["open"], row["close"], row["trade_count"], row["close_reason"]) == (101, 101, 1, "event")
    assert (row["lateness_ms"], row["clock_skew_ms"], row["close_wait_ms"]) == (500, 100, 500)
    assert (row["dq_status"], row["dq_reasons"]) == ("ok", {"feed_absent"})


def test_the_first_minute_is_edge() -> None:
    story = trading()
    story.trade(500)
    first = story.run().row(minute=28_000_000 - 1)
    assert (first["dq_status"], first["dq_reasons"]) == ("partial", {"edge", "feed_absent"})


def test_timeout_close_on_the_exchanges_clock() -> None:
    story = trading()
    story.trade(30_000)
    story.tick(D60 + 1_599)  # 1,499 ms behind the boundary
    cause = story.tick(D60 + 1_600)
    run = story.run()
    assert closes(run, 0) == [(0, cause, "timeout")]
    assert run.row()["close_wait_ms"] == 1_500


def test_a_recorder_whose_clock_is_behind_closes_at_the_same_instant() -> None:
    story = trading(lag=-1_200)
    story.trade(30_000)
    story.tick(D60 + 299)
    cause = story.tick(D60 + 300)
    assert closes(story.run(), 0) == [(0, cause, "timeout")]
    assert story.run().row()["clock_skew_ms"] == -1_200


def test_timeout_without_proof_is_unconfirmed_and_with_proof_is_not() -> None:
    story = trading()
    story.trade(30_000)
    story.tick(D60 + 1_600)
    silent = story.run().row()
    assert (silent["dq_status"], silent["dq_reasons"]) == ("partial", {"unconfirmed", "feed_absent"})

    story = trading()
    story.trade(30_000)
    story.frame(D60 + 100, {"result": None, "id": 1})  # an answer received at the boundary proves the connection alive
    story.tick(D60 + 1_600)
    alive = story.run().row()
    assert (alive["dq_status"], alive["dq_reasons"]) == ("ok", {"feed_absent"})


def test_quiet_minute_has_mids_and_is_ok() -> None:
    story = trading("trade", "bookTicker")
    story.quote(-10_000, "99", "1", "101", "3")
    story.tick(1_600)
    story.quote(D60 + 500, "100", "1", "102", "1")
    row = story.run().row()
    assert (row["dq_status"], row["dq_reasons"], row["ohlc_source"]) == ("ok", QUIET, "mid")
    assert [row[name] for name in ("open", "high", "low", "close")] == [100] * 4
    assert (row["base_volume"], row["trade_count"], row["vwap"], row["quote_count"]) == (0, 0, None, 0)
    assert (row["spread_mean"], row["obi_top1_mean"], row["mid_path_points"]) == (2.0, 0.25, 60)


def test_neither_trade_nor_quote_is_stale_and_has_no_price() -> None:
    story = trading()
    story.tick(1_600)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["dq_status"], row["ohlc_source"]) == ("stale", "none")
    assert "no_data" in row["dq_reasons"]
    assert [row[name] for name in ("open", "high", "low", "close", "mid_close")] == [None] * 5


def test_a_jump_over_several_minutes_leaves_none_out() -> None:
    story = trading()
    cause = story.tick(4 * D60 + 1_600)
    run = story.run()
    assert [(minute, reason) for minute, _, _, reason in run.closes()] == [(n, "timeout") for n in range(-1, 4)]
    assert {seq for _, _, seq, _ in run.closes()} == {cause}


def test_a_jump_by_event_leaves_none_out() -> None:
    story = trading()
    story.trade(2 * D60 + 500)
    assert [minute for minute, *_ in story.run().closes()] == [-1, 0, 1]


def test_midnight_is_a_boundary_as_any_other() -> None:
    before_midnight = 1440 - 28_000_000 % 1440 - 1  # minutes from M to the one that ends at midnight
    at = (before_midnight + 1) * D60
    story = Story().up("trade", came=at - 100_000)
    story.trade(at - 99_000)
    story.trade(at - 1, "7")
    story.trade(at, "8")
    story.trade(at + 500, "9")
    story.trade(at + D60 + 500)
    run = story.run()
    last, first = (run.row(28_000_000 + before_midnight + n) for n in (0, 1))
    assert (28_000_000 + before_midnight + 1) % 1440 == 0
    assert (last["open"], last["close"], last["trade_count"]) == (7, 7, 1)
    assert (first["open"], first["close"], first["trade_count"]) == (8, 9, 2)
    assert (last["dq_status"], first["dq_status"]) == ("ok", "ok")


# --- late, duplicate, rejected ----------------------------------------------------------------------------------------


def test_late_trade_within_grace_makes_a_revision_at_the_next_tick() -> None:
    story = trading()
    story.trade(30_000, "101", "2")
    first = story.trade(D60 + 500, "200", number=4)
    story.trade(59_999, "102", "3", buy=False, number=3, came=D60 + 700)
    merge = story.tick(D60 + 800)
    run = story.run()

    assert closes(run, 0) == [(0, first, "event"), (1, merge, "late_merged")]
    before, after = run.row(revision=0), run.row()
    assert (before["close"], before["base_volume"], before["late_merged"]) == (101, 2, 0)
    assert (after["close"], after["base_volume"], after["late_merged"], after["received"]) == (102, 5, 1, 2)
    assert after["quote_volume"] == 2 * 101 + 3 * 102
    assert (after["dq_status"], after["dq_reasons"]) == ("ok", {"recovered", "feed_absent"})
    kept = ("close_wait_ms", "close_reason", "lateness_ms", "clock_skew_ms", "mid_close")
    assert [before[name] for name in kept] == [after[name] for name in kept]


def test_a_revision_names_only_the_symbols_it_touches() -> None:
    story = Story(symbols=("XUSDT", "YUSDT")).up("trade", came=-40_000)
    for symbol in ("XUSDT", "YUSDT"):
        story.trade(-39_000, symbol=symbol)
        story.trade(30_000, symbol=symbol)
    story.trade(D60 + 500)
    story.trade(59_000, "105", symbol="YUSDT", came=D60 + 700)
    story.tick(D60 + 800)
    assert [(link.revision, link.symbols) for link in story.run().links if link.minute == 28_000_000] == [
        (0, ("XUSDT", "YUSDT")),
        (1, ("YUSDT",)),
    ]


def test_grace_ends_at_its_tick() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 500)
    story.tick(D60 + 3_000)  # 2,900 ms on the exchange's clock
    story.trade(59_000, "150", came=D60 + 3_050)
    merge = story.tick(D60 + 3_100)  # merges, then ends grace
    story.trade(59_001, "160", came=D60 + 3_150)
    story.tick(D60 + 3_300)
    run = story.run()
    assert closes(run, 0)[1] == (1, merge, "late_merged")
    row = run.row()
    assert (row["rev"], row["high"], row["late_merged"], row["late_dropped"]) == (2, 150, 1, 1)


def test_late_trade_after_grace_lowers_the_status_and_changes_no_price() -> None:
    story = trading()
    story.trade(30_000, "101", "2")
    story.trade(D60 + 500)
    story.tick(D60 + 3_200)
    story.trade(59_999, "999", "9", came=D60 + 3_300)
    story.tick(D60 + 3_400)
    run = story.run()

    before, after = run.row(revision=0), run.row()
    assert (after["rev"], before["dq_status"], after["dq_status"]) == (1, "ok", "stale")
    assert after["dq_reasons"] == {"late_trades", "feed_absent"}
    assert (after["received"], after["late_dropped"]) == (2, 1)
    changed = {"rev", "link", "seq", "dq_status", "dq_reasons", "received", "late_dropped"}
    assert {name for name in before if before[name] != after[name]} == changed
    assert "late_trades" in run.kinds()


def test_late_trade_after_grace_is_not_in_the_open_minute() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 500, number=4)
    story.tick(D60 + 3_200)
    story.trade(59_999, "999", "9", number=3, came=D60 + 3_300)
    story.trade(D120 + 500)
    row = story.run().row(28_000_001)
    assert (row["trade_count"], row["received"], row["high"], row["dq_status"]) == (1, 1, 100, "ok")


def test_duplicates_are_counted_once_and_do_not_harm() -> None:
    story = trading()
    story.trade(30_000, "101", number=77)
    story.trade(30_000, "101", number=77, came=31_000)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["trade_count"], row["received"], row["duplicate"], row["dq_status"]) == (1, 2, 1, "ok")


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_trades_of_no_candle(kind: str) -> None:
    story = trading()
    story.trade(30_000, "101")
    story.trade(31_000, "500", "7", X=kind)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["high"], row["trade_count"], row["received"], row["rejected"]) == (101, 1, 2, 1)
    assert row["dq_status"] == "ok"


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


def test_malformed_trade_makes_stale_malformed_quote_partial() -> None:
    for stream, status, reason in (("trade", "stale", "rejected"), ("bookTicker", "partial", "malformed")):
        story = trading("trade", "bookTicker")
        story.quote(0)
        story.trade(30_000)
        broken = b'{"stream":"xusdt@%s","data":{"e":"%s","s":"XUSDT","t":' % (stream.encode(), stream.encode())
        story.frame(31_000, broken)
        story.trade(D60 + 500)
        run = story.run()
        row = run.row()
        assert (row["dq_status"], row["dq_reasons"]) == (status, {reason, "feed_absent"})
        assert "malformed_frame" in run.kinds()
        assert run.tape.connections[1]["malformed"] == 1


# --- connections ------------------------------------------------------------------------------------------------------


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


def test_nothing_is_in_force_after_the_last_thing_heard() -> None:
    story = trading("trade", "bookTicker")
    story.quote(10_000)
    story.trade(20_000)
    story.down(40_000)
    story.ticks(40_200, D60 + 2_000)
    row = story.run().row()
    assert (row["mid_close"], row["mid_path_points"]) == (None, 10)  # seconds 11 to 20
    assert row["spread_mean"] == 2.0


def test_the_end_of_the_recording_closes_no_further_minute() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 499)
    story.down(D60 + 700)
    assert [minute for minute, *_ in story.run().closes()] == [-1]


def test_the_slower_of_two_connections_decides() -> None:
    story = Story()
    for source in (1, 2):
        story.up("trade", came=-40_000, source=source)
        story.trade(-39_000, number=1, source=source)
    story.trade(30_000, number=2)
    story.trade(D60 + 500, number=4)
    story.trade(59_000, "150", number=3, source=2, came=D60 + 700)
    cause = story.trade(D60 + 500, number=4, source=2, came=D60 + 900)
    run = story.run()
    assert closes(run, 0) == [(0, cause, "event")]
    assert (run.row()["high"], run.row()["trade_count"], run.row()["late_merged"]) == (150, 2, 0)


def test_a_connection_that_ends_no_longer_holds_the_venue_back() -> None:
    story = Story()
    for source in (1, 2):
        story.up("trade", came=-40_000, source=source)
        story.trade(-39_000, number=1, source=source)
    story.trade(30_000, number=2)
    story.trade(30_000, number=2, source=2)
    story.trade(D60 + 500, number=3)
    cause = story.down(D60 + 700, source=2)
    run = story.run()
    assert closes(run, 0) == [(0, cause, "event")]
    assert run.row()["dq_status"] == "ok"  # the other connection carries the same and never stopped


def test_one_slow_venue_does_not_delay_another() -> None:
    one, other = trading(), Story("hyperliquid", ("BTC",))
    other.up("trades", came=-40_000, source=2)
    other.trade(-20_000, source=2)
    one.trade(30_000)
    cause = one.trade(D60 + 500)
    payload = one.records[cause].payload
    one.records += other.records
    one.in_time()
    result = one.run()
    assert [(link.venue, link.minute) for link in result.links] == [
        ("binance_usdm", 28_000_000 - 1),
        ("binance_usdm", 28_000_000),
    ]
    assert one.records[result.links[-1].cause_seq].payload == payload


def test_a_silent_venue_has_minutes_too() -> None:
    story = Story().up("trade", came=-40_000)
    story.ticks(-40_000, D60 + 2_000)
    run = story.run()
    assert [(minute, reason) for minute, _, _, reason in run.closes()] == [(-1, "timeout"), (0, "timeout")]
    for link in run.links:
        row = run.row(link.minute)
        assert row["dq_status"] == "stale"
        assert row["open"] is None
        assert "no_data" in row["dq_reasons"]


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


# --- found wrong, and mended ----------------------------------------------------------------------------------------


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


def test_a_quote_whose_own_connection_ended_is_not_in_force() -> None:
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.down(20_000, source=2)
    for ms in range(20_000, 4 * D60, 10_000):
        story.trade(ms)
    run = story.run()
    row = run.row(28_000_001)
    assert (row["mid_close"], row["dq_status"]) == (None, "stale")


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


def test_a_symbol_subscribed_within_a_minute_is_edge() -> None:
    story = Story(symbols=("XUSDT", "YUSDT"))
    story.connection("up", -40_000)
    story.subscribe(("trade",), -40_000, symbols=("XUSDT",))
    story.trade(-39_000)
    story.trade(10_000)
    story.subscribe(("trade",), 30_000)
    story.trade(31_000, symbol="YUSDT")
    story.trade(D60 + 500)
    row = story.run().row(symbol="YUSDT")
    assert (row["dq_status"], "edge" in row["dq_reasons"]) == ("partial", True)


def test_a_symbol_unsubscribed_within_a_minute_still_has_its_row() -> None:
    story = Story(symbols=("XUSDT", "YUSDT")).up("trade", came=-40_000)
    for symbol in ("XUSDT", "YUSDT"):
        story.trade(-39_000, symbol=symbol)
        story.trade(10_000, symbol=symbol)
    story.subscribe(("trade",), 30_000, symbols=("XUSDT",))
    story.trade(D60 + 500)
    row = story.run().row(symbol="YUSDT")
    assert (row["dq_status"], row["trade_count"]) == ("partial", 1)


def test_a_late_trade_of_a_symbol_that_had_no_row_makes_no_row_of_nulls() -> None:
    """YUSDT is subscribed a second after M closed; one of its first trades still belongs to M."""
    story = Story(symbols=("XUSDT", "YUSDT"))
    story.connection("up", -40_000)
    story.subscribe(("trade",), -40_000, symbols=("XUSDT",))
    story.trade(-39_000)
    story.trade(10_000)
    story.trade(D60 + 500)
    story.subscribe(("trade",), D60 + 1_000)
    story.trade(59_900, symbol="YUSDT", came=D60 + 1_100)
    story.frame(D60 + 1_150, {"result": None, "id": 1})  # the kernel comes back, so that the trade is folded
    story.tick(D60 + 1_200)
    run = story.run()
    for link in run.links:
        for row in link.rows:
            assert row["dq_reasons"] >= 0
            assert row["lateness_ms"] >= 0


def test_an_old_first_message_does_not_make_the_next_ones_future() -> None:
    """Hyperliquid begins with a backfill: the first message is 49 s old, the next ones are live."""
    story = Story("hyperliquid", ("BTC",)).up("trades", came=10_000)
    story.trade(-39_000, came=10_100)
    for ms in range(10_200, D60 + 1_000, 200):
        story.trade(ms)
    run = story.run()
    assert run.tape.connections[1]["future"] == 0
    assert run.row(symbol="BTC")["rejected"] == 0


def test_a_backfill_over_minutes_leaves_the_minute_of_the_connect_whole_and_edge() -> None:
    """The first frame holds trades of M - 5, M - 1 and of M, where the connection begins."""
    story = Story("hyperliquid", ("BTC",)).up("trades", "l2Book", came=10_000)
    story.book(10_000, [["99", "1"]], [["101", "1"]])
    for ms in (-5 * D60, -30_000, 9_000):
        story.trade(ms, came=10_200)
    story.ticks(10_400, 59_800)
    for ms in range(11_000, D60 + 2_000, 1_000):
        story.trade(ms)
    run = story.in_time().run()
    row = run.row(symbol="BTC")
    assert "edge" in row["dq_reasons"]
    assert (row["received"], row["rejected"]) == (1 + 49, 0)


def test_a_backfill_that_comes_first_does_not_open_old_minutes() -> None:
    story = Story("hyperliquid", ("BTC",)).up("trades", came=10_000)
    data = [
        {
            "coin": "BTC",
            "side": "B",
            "px": "100",
            "sz": "1",
            "time": 1_680_000_000_000 + ms,
            "hash": "0x0",
            "tid": 50 + n,
        }
        for n, ms in enumerate((-5 * D60, -5 * D60 + 2_000, -5 * D60 + 6_000))
    ]
    story.frame(10_100, {"channel": "trades", "data": data})
    story.ticks(10_200, D60 + 2_000)
    run = story.run()
    assert [minute for minute, *_ in run.closes()] == [0]
    assert "edge" in run.row(symbol="BTC")["dq_reasons"]


def test_several_late_trades_after_grace_make_one_revision_at_the_tick() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 500)
    story.tick(D60 + 3_200)
    story.trade(59_000, came=D60 + 3_300)
    story.frame(D60 + 3_310, {"result": None, "id": 1})  # the kernel comes back in between
    story.trade(59_001, came=D60 + 3_320)
    cause = story.tick(D60 + 3_400)
    run = story.run()
    assert closes(run, 0)[1:] == [(1, cause, "late_trades")]
    assert run.row()["late_dropped"] == 2


def test_splitting_between_two_late_trades_changes_nothing() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 500)
    story.tick(D60 + 3_200)
    story.trade(59_000, came=D60 + 3_300)
    second = story.trade(59_001, came=D60 + 3_320)
    story.tick(D60 + 3_400)
    whole, split = story.run(), story.run(cuts=[second])
    assert same_rows(whole.links, split.links)
    assert whole.chain == split.chain


def test_splitting_before_the_first_believed_message_changes_nothing() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-D120 * 60, came=-39_500)  # two hours old: not believed
    second = story.trade(-39_000)
    story.trade(30_000)
    story.trade(D60 + 500)
    whole, split = story.run(), story.run(cuts=[second])
    assert same_rows(whole.links, split.links)


def test_the_mid_path_is_kept_as_runs() -> None:
    """A point is the mid just before a second ends: a quote at the very end of one counts from the next one on."""
    story = trading("trade", "bookTicker")
    story.quote(3_500, "99", "1", "101", "1")
    story.quote(10_000, "100", "1", "102", "1")
    story.quote(10_500, "101", "1", "103", "1")
    story.quote(50_001, "104", "1", "103", "1")  # crossed: not in force
    story.quote(58_999, "105", "1", "107", "1")
    story.trade(D60 + 500)
    run = story.run()
    bars = run.conveyor.state.bars  # type: ignore[union-attr]
    total = bars.quote_sums[0, M & 3]
    path: list[int | None] = []
    for end, mid, _ in bars.mid_paths[0, M & 3][: total["path_runs"]].tolist():
        path += [None if mid == NULL else mid] * (end - len(path))
    cent = 10 ** int(run.tape.symbols[0]["price_decimals"])
    expected = [None] * 3 + [200] * 7 + [204] * 40 + [None] * 8 + [212] * 2
    assert path == [None if twice is None else twice * cent for twice in expected]
    assert run.row()["mid_path_points"] == sum(twice is not None for twice in expected)


def test_a_trade_in_no_count_stops_the_engine() -> None:
    story = trading()
    story.trade(30_000)
    run = story.run()
    bars = run.conveyor.state.bars  # type: ignore[union-attr]
    bars.trade_sums["received"][0, M & 3] += 1
    with pytest.raises(InvariantError, match="symbol index 0: received 2 trades, accounted for 1"):
        run.conveyor.minutes.close(0, CloseReason.EVENT, [])


def test_a_quote_before_the_first_event_time_does_not_begin_in_1970() -> None:
    """Spot bookTicker has no time; a batch may end before anything timed has come."""
    story = Story("binance_spot").up("trade", "bookTicker", came=-40_000)
    story.quote(-39_500)
    story.tick(-39_400)  # no stop of the kernel by itself; the cut is
    timed = story.trade(-39_000)
    story.trade(D60 + 500)
    split = story.run(cuts=[timed])
    assert split.row()["mid_path_points"] == 60
    assert same_rows(story.run().links, split.links)
    short = Story("binance_spot").up("trade", "bookTicker", came=-40_000)
    short.quote(-39_500)
    assert short.run().conveyor.state.bars.quote_now[0]["minute"] in (-1, 28_000_000 - 1)  # type: ignore[union-attr]


def test_close_wait_is_of_the_record_that_closed() -> None:
    story = Story()
    for source in (1, 2):
        story.up("trade", came=-40_000, source=source)
        story.trade(-39_000, number=1, source=source)
    story.trade(30_000, number=2)
    story.trade(D60 + 500, number=4)
    story.down(D60 + 900, source=2)  # receive time - boundary - clock skew = 800
    assert story.run().row()["close_wait_ms"] == 800


def test_quotes_alone_on_a_living_connection_are_confirmed() -> None:
    """No trade channel: what proves the connection that carries the symbol proves the symbol."""
    story = Story().up("bookTicker", came=-40_000)
    story.quote(-39_000)
    story.quote(30_000)
    story.frame(D60 + 200, {"result": None, "id": 1})
    story.tick(D60 + 1_600)
    assert "unconfirmed" not in story.run().row()["dq_reasons"]


def test_every_trade_message_is_in_some_row() -> None:
    """A duplicate that comes in grace is still a received message of the minute."""
    story = trading()
    story.trade(30_000, number=77)
    story.trade(D60 + 500)
    story.trade(30_000, number=77, came=D60 + 700)
    story.tick(D60 + 800)
    story.trade(D120 + 500)
    run = story.run()
    assert sum(run.row(28_000_000 + n)["received"] for n in (-1, 0, 1)) == 4


def test_connection_numbers_up_to_the_limit_work() -> None:
    settings = core(limits={"connections_max": 63})
    story = Story().up("trade", came=-40_000, source=62)
    story.trade(-39_000, source=62)
    story.trade(D60 + 500, source=62)
    assert [minute for minute, *_ in story.run(settings).closes()] == [-1, 0]


def test_a_late_trade_and_its_tick_in_one_batch_make_the_revision() -> None:
    story = trading()
    story.trade(30_000)
    story.trade(D60 + 500)
    story.trade(59_999, came=D60 + 700)
    merge = story.tick(D60 + 800)
    story.tick(D60 + 1_000)
    whole, split = story.run(), story.run(cuts=[merge])
    assert closes(split, 0)[1:] == [(1, merge, "late_merged")]
    assert closes(whole, 0)[1:] == [(1, merge, "late_merged")]


def test_a_trade_two_minutes_on_is_in_its_minute_though_no_tick_came() -> None:
    story = trading()
    story.trade(D60 + 500, "7")
    story.trade(D120 + 500)
    row = story.run().row(28_000_001)
    assert (row["open"], row["trade_count"], row["rejected"]) == (7, 1, 0)


def test_a_quote_two_minutes_on_is_in_its_minute_though_no_tick_came() -> None:
    story = trading("trade", "bookTicker")
    story.quote(-10_000, "99", "1", "101", "1")
    story.quote(D60 + 500, "199", "1", "201", "1")
    row = story.run().row()
    assert (row["mid_high"], row["quote_count"]) == (100, 0)
