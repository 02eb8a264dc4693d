"""What is missing is told by ids and candles, asked for, and believed only if the venue's candle says the same."""

from __future__ import annotations

from typing import Any

from engine.core.effects import BackfillNeeded, CandleNeeded
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from tests.engine.running import M, Run
from tests.engine.story import D60, D120, D180, START_MS, Story, status, trading


def backfills(run: Run) -> list[tuple[float, float, int]]:
    """From and to in seconds since the start of M, and the id behind which trades are missing."""
    found = [effect for effect in run.effects if isinstance(effect, BackfillNeeded)]
    start = START_MS * NS_PER_MS
    return [((e.from_ns - start) / 1e9, (e.to_ns - start) / 1e9, e.after_id) for e in found]


def candles(run: Run) -> list[int]:
    return [effect.minute - M for effect in run.effects if isinstance(effect, CandleNeeded)]


def past_trade(number: int, ms: int, price: str = "100", quantity: str = "1", buy: bool = True) -> dict[str, Any]:
    told = {"id": number, "price": price, "qty": quantity, "quoteQty": "0", "time": START_MS + ms}
    return told | {"isBuyerMaker": not buy}


def past_kline(minute: int, volume: str, count: int, quote: str, buys: str, bought: str) -> list[Any]:
    """A minute in which every price was 100."""
    begin = START_MS + minute * MS_PER_MINUTE
    return [begin, *["100"] * 4, volume, begin + 59_999, quote, count, buys, bought, "0"]


# --- ids that count ---------------------------------------------------------------------------------------------------


def test_a_missing_id_is_a_gap_and_is_asked_for() -> None:
    story = trading()
    story.trade(30_000, number=2)
    story.trade(31_000, number=3)
    story.trade(32_000, number=5)
    story.trade(D60 + 500)
    run = story.run()
    assert status(run) == ("stale", {"gap"})
    assert backfills(run) == [(-1, 61, 3)]


def test_ids_may_arrive_in_any_order_and_twice() -> None:
    story = trading()
    for number, ms in ((4, 32_000), (2, 30_000), (3, 31_000), (3, 31_000)):
        story.trade(ms, number=number, came=33_000)
    story.trade(D60 + 500)
    run = story.run()
    assert (status(run), backfills(run)) == (("ok", set()), [])


def test_an_id_without_a_trade_that_counts_is_no_hole() -> None:
    """Insurance fund at 31 s, a trade at price zero at 32 s: neither is in the bar, neither is missing."""
    story = trading()
    story.trade(30_000)
    story.trade(31_000, X="INSURANCE_FUND")
    story.trade(33_000)
    story.trade(D60 + 500)
    assert status(story.run()) == ("ok", set())


def test_a_hole_at_the_seam_makes_both_minutes_doubtful() -> None:
    """Trade 3 is missing between 59 s of M and the first second of M + 1: nobody knows which minute lost it."""
    story = trading()
    story.trade(59_000, number=2)
    story.trade(D60 + 500, number=4)
    story.trade(D60 + 30_000, number=5)
    story.trade(D120 + 500, number=6)
    story.trade(D180 + 500, number=7)
    run = story.run()
    assert [status(run, n) for n in range(3)] == [("stale", {"gap"}), ("stale", {"gap"}), ("ok", set())]


def test_a_minute_without_trades_over_which_the_ids_leap_is_doubtful() -> None:
    story = trading("trade", "bookTicker")
    for ms in range(-30_000, 4 * D60, 2_000):
        story.quote(ms)
    story.trade(30_000, number=2)
    story.trade(D120 + 500, number=4)
    run = story.in_time().run()
    assert [status(run, n)[0] for n in range(-1, 3)] == ["partial", "ok", "stale", "stale"]


def test_a_hole_that_a_gap_explains_is_not_told_twice() -> None:
    """Away from 20 s to 40 s of M, no trade after that before M + 1, where id 5 follows id 2."""
    story = trading("trade", "bookTicker")
    for ms in (*range(-30_000, 20_000, 2_000), *range(40_000, D180, 2_000)):
        story.quote(ms)
    story.trade(10_000, number=2)
    story.down(20_500)
    story.up("trade", "bookTicker", came=39_000)
    story.trade(D60 + 30_000, number=5)
    story.trade(D120 + 500, number=6)
    run = story.in_time().run()
    assert status(run)[0] == "stale"
    assert status(run, 1) == ("ok", set())
    assert backfills(run) == [(17, 41, 2)], "from the quote of 18 s to that of 40 s, a second more on both sides"


def test_the_first_id_of_a_recording_has_nothing_before_it() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-39_000, number=900_000)
    story.trade(30_000)
    story.trade(D60 + 500)
    assert status(story.run()) == ("ok", set())


def test_a_late_trade_that_was_missing_gives_the_status_back() -> None:
    story = trading()
    story.trade(30_000, number=2)
    story.trade(59_000, number=4)
    story.trade(D60 + 500, number=5)
    story.trade(58_000, number=3, came=D60 + 700)
    story.tick(D60 + 800)
    run = story.run()
    assert [status(run, revision=n) for n in (0, 1)] == [("stale", {"gap"}), ("ok", {"recovered"})]


def test_a_missing_trade_told_by_rest_within_grace_gives_the_status_back() -> None:
    """Asked for behind id 2; the answer repeats 2 and 4, which count once, and teaches the clock nothing."""
    story = trading()
    story.trade(30_000, number=2)
    story.trade(59_000, number=4)
    story.trade(D60 + 500, number=5)
    answer = [past_trade(n, ms, "100", "1") for n, ms in ((2, 30_000), (3, 58_000), (4, 59_000))]
    story.rest(D60 + 1_900, "trades", answer)
    story.tick(D60 + 2_000)
    run = story.run()
    row = run.row()
    assert [status(run, revision=n) for n in (0, 1)] == [("stale", {"gap"}), ("ok", {"recovered"})]
    assert (row["trade_count"], row["received"], row["duplicate"], row["late_merged"]) == (3, 3, 0, 1)
    assert backfills(run) == [(-1, 61, 2)]
    assert run.tape.connections[1]["offset_now_ns"] == 100 * NS_PER_MS


def test_a_missing_trade_told_after_grace_is_only_in_the_ledger() -> None:
    story = trading()
    story.trade(30_000, number=2)
    story.trade(59_000, number=4)
    story.trade(D60 + 500, number=5)
    story.tick(D60 + 3_200)
    story.rest(D60 + 3_300, "trades", [past_trade(3, 58_000)])
    story.tick(D60 + 3_400)
    run = story.run()
    row = run.row()
    assert (row["trade_count"], row["late_dropped"], row["dq_status"]) == (2, 1, "stale")
    assert row["dq_reasons"] >= {"gap", "late_trades"}


def test_answers_of_another_kind_of_trade_are_left_alone() -> None:
    """Ids of aggregates are not those of trades."""
    story = trading()
    story.trade(30_000)
    story.rest(31_000, "aggTrades", [{"a": 7, "p": "5", "q": "1", "f": 1, "l": 1, "T": START_MS + 20_000, "m": False}])
    story.trade(D60 + 500)
    assert story.run().row()["trade_count"] == 1


def test_trades_from_before_the_recording_are_left_out() -> None:
    """The recording begins at 20 s before M: what REST tells of the minute before M stays out of it."""
    story = trading()
    story.rest(-30_000, "trades", [past_trade(77, -50_000), past_trade(1, -39_000)])
    story.trade(500, number=2)
    row = story.run().row(M - 1)
    assert (row["trade_count"], row["received"], row["dq_status"]) == (1, 1, "partial")


def test_trades_of_aggregates_are_recovered_by_their_own_ids() -> None:
    story = Story().up("aggTrade", came=-40_000)

    def aggregate(number: int, ms: int) -> dict[str, Any]:
        return {"a": number, "p": "100", "q": "1", "f": number, "l": number, "T": START_MS + ms, "m": False}

    for number, ms in ((1, -39_000), (2, 30_000), (4, 59_000), (5, D60 + 500)):
        body = {"e": "aggTrade", "E": START_MS + ms, "s": "XUSDT", **aggregate(number, ms)}
        story.frame(ms + 100, {"stream": "xusdt@aggTrade", "data": body})
    story.rest(D60 + 1_000, "aggTrades", [aggregate(3, 58_000)])
    story.tick(D60 + 1_200)
    run = story.run()
    assert (status(run), run.row()["trade_count"]) == (("ok", {"recovered"}), 3)


# --- candles that prove -----------------------------------------------------------------------------------------------


def torn(*channels: str) -> Story:
    """Connected from M - 1; away from 20 s to 30 s of M; trades of 1 unit at 10 s and 40 s, and one lost at 25 s."""
    story = trading("trade", *channels)
    story.trade(10_000, number=2)
    story.down(20_000)
    story.up("trade", *channels, came=30_000, source=2)
    story.trade(40_000, number=4, source=2)
    return story


def test_a_gap_filled_within_grace_is_ok_once_the_candle_is_equal() -> None:
    story = torn()
    story.rest(31_000, "trades", [past_trade(3, 25_000)], source=2)
    story.trade(D60 + 500, number=5, source=2)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "3", 3, "300", "3", "300")], source=2)
    run = story.run()
    assert [status(run, revision=n) for n in (0, 1)] == [("stale", {"edge", "gap"}), ("ok", {"recovered"})]
    assert run.row()["trade_count"] == 3
    assert backfills(run) == [(9, 41, 2)]
    assert candles(run) == [0], "no candle is subscribed, so it is asked for when the minute closes"
    assert "recovered" in run.kinds()


def test_a_gap_is_not_believed_without_a_candle() -> None:
    story = torn()
    story.rest(31_000, "trades", [past_trade(3, 25_000)], source=2)
    story.trade(D60 + 500, number=5, source=2)
    story.tick(D60 + 3_500)
    assert status(story.run()) == ("stale", {"edge", "gap"})


def test_a_candle_that_comes_before_the_trades_waits_for_them() -> None:
    """The candle differs at first; each merge is compared anew."""
    story = torn()
    story.trade(D60 + 500, number=5, source=2)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "3", 3, "300", "3", "300")], source=2)
    story.rest(D60 + 2_000, "trades", [past_trade(3, 25_000)], source=2)
    story.tick(D60 + 2_200)
    run = story.run()
    assert status(run) == ("ok", {"recovered"})
    assert len(backfills(run)) == 1, "the gap asked already"


def test_a_candle_that_comes_after_grace_raises_nothing() -> None:
    story = torn()
    story.rest(31_000, "trades", [past_trade(3, 25_000)], source=2)
    story.trade(D60 + 500, number=5, source=2)
    story.tick(D60 + 3_200)
    story.rest(D60 + 3_300, "klines", [past_kline(0, "3", 3, "300", "3", "300")], source=2)
    assert status(story.run()) == ("stale", {"edge", "gap"})


def test_quotes_that_were_missed_stay_missed() -> None:
    story = trading("trade", "bookTicker")
    story.quote(10_000)
    story.trade(10_000, number=2)
    story.down(20_000)
    story.up("trade", "bookTicker", came=30_000)
    story.trade(40_000, number=3)
    story.quote(59_000)
    story.trade(D60 + 500, number=4)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "2", 2, "200", "2", "200")])
    assert status(story.run()) == ("partial", {"book_gap", "recovered"})


def test_quotes_that_never_stopped_leave_the_minute_ok() -> None:
    """Trades on connection 1, which is away, quotes on 2, which is not."""
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.trade(10_000, number=2)
    story.down(20_000)
    story.up("trade", came=30_000)
    story.trade(40_000, number=3)
    story.quote(59_000, source=2)
    story.trade(D60 + 500, number=4)
    story.quote(D60 + 500, source=2)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "2", 2, "200", "2", "200")])
    assert status(story.run()) == ("ok", {"recovered"})


def test_a_venue_that_skipped_an_id_is_believed_with_its_candle() -> None:
    story = trading()
    story.trade(30_000, number=2)
    story.trade(31_000, number=4)
    story.trade(D60 + 500, number=5)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "2", 2, "200", "2", "200")])
    assert status(story.run()) == ("ok", {"recovered"})


def test_a_recording_that_begins_in_a_minute_stays_partial() -> None:
    story = trading()
    story.trade(500, number=2)
    story.rest(1_000, "klines", [past_kline(-1, "1", 1, "100", "1", "100")])
    story.trade(D60 + 500)
    assert status(story.run(), -1) == ("partial", {"edge"})


def test_a_minute_is_not_believed_while_something_is_still_lost() -> None:
    """Trades are back at 40 s of M, quotes on the other connection are away over the end of M."""
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.trade(10_000, number=2)
    story.down(50_000, source=2)
    story.trade(D60 + 500, number=3)
    story.rest(D60 + 1_000, "klines", [past_kline(0, "1", 1, "100", "1", "100")])
    assert status(story.run())[0] == "stale"


def kline(story: Story, minute: int, came: int, volume: str, count: int, closed: bool = True) -> None:
    begin = START_MS + minute * MS_PER_MINUTE
    k = {"t": begin, "T": begin + 59_999, "s": "XUSDT", "i": "1m", "f": 1, "L": 2, "n": count, "v": volume}
    k |= dict.fromkeys("ohlc", "100") | {"x": closed, "q": f"{volume}00", "V": volume, "Q": f"{volume}00", "B": "0"}
    data = {"e": "kline", "E": START_MS + came, "s": "XUSDT", "k": k}
    story.frame(came, {"stream": "xusdt@kline_1m", "data": data}, 2)


def test_a_candle_that_is_subscribed_is_asked_for_only_if_it_does_not_come() -> None:
    """It should have come by the time at which the clock closes a minute, 1.5 s behind its end."""
    for came in (True, False):
        story = torn("kline_1m")
        story.trade(D60 + 500, number=5, source=2)
        if came:
            kline(story, 0, D60 + 700, "2", 2)
        story.ticks(D60 + 800, D60 + 3_400)
        run = story.run()
        assert candles(run) == ([] if came else [0])
        assert status(run)[0] == ("ok" if came else "stale")


def test_an_older_candle_that_is_told_again_changes_nothing() -> None:
    """Open at 1 unit, closed at 2, and the open one once more: the row of 2 units equals the closed one."""
    story = Story(venue="binance_usdm").up("trade", "kline_1m", came=-40_000, source=2)
    story.trade(-39_000, source=2)
    story.trade(10_000, number=2, source=2)
    kline(story, 0, 12_000, "1", 1, closed=False)
    story.trade(40_000, number=3, source=2)
    story.trade(D60 + 500, number=4, source=2)
    kline(story, 0, D60 + 700, "2", 2)
    kline(story, 0, D60 + 900, "1", 1, closed=False)
    story.ticks(D60 + 1_200, D60 + 3_400)
    run = story.run()
    assert status(run) == ("ok", set())
    assert "candle_mismatch" not in run.kinds()


def test_a_candle_that_differs_within_grace_asks_once_and_decides_at_its_end() -> None:
    """Nothing hints at a loss but the candle: 3 units where the row has 2; REST brings the third."""
    for answered in (True, False):
        story = Story(venue="binance_usdm").up("trade", "kline_1m", came=-40_000, source=2)
        story.trade(-39_000, source=2)
        story.trade(10_000, number=2, source=2)
        story.trade(40_000, number=3, source=2)
        story.trade(D60 + 500, number=5, source=2)
        kline(story, 0, D60 + 700, "3", 3)
        if answered:
            story.rest(D60 + 1_000, "trades", [past_trade(4, 50_000)], source=2)
        story.ticks(D60 + 1_200, D60 + 3_400)
        run = story.run()
        assert len(backfills(run)) == 1
        assert status(run) == (("ok", {"recovered"}) if answered else ("stale", {"gap"}))


def test_a_gap_that_reaches_back_into_a_minute_whose_candle_was_equal_hides_no_trade_of_it() -> None:
    """Trades were heard last at 50 s, which is told at M + 1:10; quotes may be missing in M all the same."""
    for channel, told in (("trade", ("ok", set())), ("bookTicker", ("partial", {"book_gap"}))):
        story = Story().up("trade", "bookTicker", "kline_1m", came=-40_000, source=2)
        story.trade(-39_000, source=2)
        for ms in range(-38_000, D60 + 20_000, 2_000):
            story.quote(ms, source=2)
        story.trade(50_000, source=2)
        kline(story, 0, D60 + 700, "1", 1)
        story.ticks(D60 + 200, D60 + 9_000)
        story.stream("silent", channel, D60 + 10_000, since=50_100, source=2)
        assert status(story.in_time().run()) == told


def test_a_candle_that_never_comes_lowers_nothing_and_is_told_once() -> None:
    story = trading("trade", "kline_1m")
    for ms in range(0, 6 * D60, 1_000):
        story.trade(ms)
        story.tick(ms + 100)
    run = story.run()
    assert [status(run, n)[0] for n in range(5)] == ["ok"] * 5
    (event,) = [event for event in run.events if event.kind == "candle_absent"]
    assert event.detail == {"exchange_ts": START_MS + D60}
    assert run.tape.symbols[0]["candles_absent"] == 3, "of M, M + 1 and M + 2, asked when M + 4 was final"


def test_hyperliquid_recovers_with_a_candle_that_rest_told() -> None:
    """Its backfill after the connect brings the trade of 25 s; the candle has neither quote nor taker volume."""
    story = trading("trades", venue="hyperliquid")
    story.trade(10_000, number=1_002)
    story.down(20_000)
    story.up("trades", came=30_000)
    story.trade(25_000, number=997, came=30_100)
    story.trade(40_000, number=1_500)
    story.trade(D60 + 500, number=77)
    candle = {"t": START_MS, "T": START_MS + 59_999, "s": "XUSDT", "i": "1m", "n": 3, "v": "3"} | dict.fromkeys(
        "ohlc", "100"
    )
    story.rest(D60 + 1_000, "candleSnapshot", [candle])
    run = story.run()
    assert (status(run), run.row()["trade_count"]) == (("ok", {"recovered"}), 3)
    assert [after for _, _, after in backfills(run)] == [-1], "these ids do not count"
