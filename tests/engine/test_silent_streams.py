"""Single streams that fall silent, come back or are refused on a connection that lives."""

from __future__ import annotations

import pytest

from tests.engine.running import M
from tests.engine.story import D60, D120, D180, Story, status, trading


@pytest.mark.parametrize("state", ["silent", "back", "refused"])
def test_a_turn_of_one_stream_is_an_event(state: str) -> None:
    story = Story().up("trade", came=-40_000)
    story.stream(state, "trade", 5_000, since=1_000)
    (event,) = [event for event in story.run().events if event.kind == f"stream_{state}"]
    assert (event.venue, event.symbol, event.detail["channel"]) == ("binance_usdm", "XUSDT", "trade")


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
