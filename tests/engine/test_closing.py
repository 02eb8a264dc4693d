"""Stories of a minute: a few records that anybody can follow, and when, why and how each minute closed.

The exchange is 100 ms ahead of the receiver unless a story says otherwise, the lateness starts at 500 ms, the clock
closes at boundary + 1,500 ms and grace lasts to boundary + 3,000 ms, both on the exchange's clock.
"""

from __future__ import annotations

from tests.engine.running import core
from tests.engine.story import D60, D120, Story, closes, trading

QUIET = {"no_trades", "feed_absent"}


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


def test_timeout_close_on_the_exchanges_clock() -> None:
    story = trading()
    story.trade(30_000)
    story.tick(D60 + 1_599)  # 1,499 ms behind the boundary
    cause = story.tick(D60 + 1_600)
    run = story.run()
    assert closes(run, 0) == [(0, cause, "timeout")]
    assert run.row()["close_wait_ms"] == 1_500


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


def test_close_wait_is_of_the_record_that_closed() -> None:
    story = Story()
    for source in (1, 2):
        story.up("trade", came=-40_000, source=source)
        story.trade(-39_000, number=1, source=source)
    story.trade(30_000, number=2)
    story.trade(D60 + 500, number=4)
    story.down(D60 + 900, source=2)  # receive time - boundary - clock skew = 800
    assert story.run().row()["close_wait_ms"] == 800


def test_connection_numbers_up_to_the_limit_work() -> None:
    settings = core(limits={"connections_max": 63})
    story = Story().up("trade", came=-40_000, source=62)
    story.trade(-39_000, source=62)
    story.trade(D60 + 500, source=62)
    assert [minute for minute, *_ in story.run(settings).closes()] == [-1, 0]


def test_a_trade_two_minutes_on_is_in_its_minute_though_no_tick_came() -> None:
    story = trading()
    story.trade(D60 + 500, "7")
    story.trade(D120 + 500)
    row = story.run().row(28_000_001)
    assert (row["open"], row["trade_count"], row["rejected"]) == (7, 1, 0)
