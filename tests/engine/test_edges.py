"""Minutes in which something begins or ends: the engine, a connection, a subscription, a venue's backfill."""

from __future__ import annotations

from tests.engine.running import same_rows
from tests.engine.story import D60, D120, Story, trading


def test_the_first_minute_is_edge() -> None:
    story = trading()
    story.trade(500)
    first = story.run().row(minute=28_000_000 - 1)
    assert (first["dq_status"], first["dq_reasons"]) == ("partial", {"edge", "feed_absent"})


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


def test_splitting_before_the_first_believed_message_changes_nothing() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-D120 * 60, came=-39_500)  # two hours old: not believed
    second = story.trade(-39_000)
    story.trade(30_000)
    story.trade(D60 + 500)
    whole, split = story.run(), story.run(cuts=[second])
    assert same_rows(whole.links, split.links)
