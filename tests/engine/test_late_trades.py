"""Trades that come after their minute closed: within grace a revision that holds them, later a lower status.

The exchange is 100 ms ahead of the receiver, the lateness starts at 500 ms, grace lasts to boundary + 3,000 ms on the
exchange's clock.
"""

from __future__ import annotations

from tests.engine.running import same_rows
from tests.engine.story import D60, D120, Story, closes, trading


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
