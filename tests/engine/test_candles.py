"""A row that claims to be ok equals the venue's own candle, or loses the claim."""

from typing import Any

from engine.core.minutes import MS_PER_MINUTE
from tests.engine.running import M, Run
from tests.engine.story import START_MS, Story

CHANNELS = ("trade", "bookTicker", "kline_1m")


def two_trades(venue: str = "binance_usdm") -> Story:
    """A whole minute before M, then 1 unit bought at 100 and 2 sold at 101 in M; the minute after M is under way."""
    story = Story(venue)
    channels = CHANNELS if venue != "hyperliquid" else ("trades", "bbo", "candle")
    story.up(*channels, came=-MS_PER_MINUTE + 5_000)
    story.quote(-30_000)
    story.ticks(-MS_PER_MINUTE, 0)
    story.quote(500)
    story.trade(1_000, "100", "1")
    story.trade(2_000, "101", "2", buy=False)
    story.quote(59_500)
    story.ticks(200, 59_800)
    story.quote(61_000)
    return story


def kline(story: Story, came: int, closed: bool = True, minute: int = 0, **changed: Any) -> None:
    values = {"o": "100.00", "h": "101.00", "l": "100.00", "c": "101.00", "v": "3.000", "n": 2, "q": "302.00000"}
    values |= {"V": "1.000", "Q": "100.00000", "x": closed} | changed
    begin = START_MS + minute * MS_PER_MINUTE
    k = {"t": begin, "T": begin + 59_999, "s": story.symbol, "i": "1m", "f": 1, "L": 2} | values | {"B": "0"}
    data = {"e": "kline", "E": START_MS + came, "s": story.symbol, "k": k}
    story.frame(came, {"stream": f"{story.symbol.lower()}@kline_1m", "data": data})


def finish(story: Story, last: int = 64_000) -> Run:
    story.ticks(61_200, last)
    return story.in_time().run()


def test_an_equal_candle_leaves_the_minute_as_it_is():
    story = two_trades()
    kline(story, 60_150)
    run = finish(story)
    assert [(row["rev"], row["dq_status"]) for row in run.rows()["binance_usdm", "XUSDT", M]] == [(0, "ok")]


def test_a_candle_that_differs_makes_the_minute_stale_and_names_the_columns():
    story = two_trades()
    kline(story, 60_150, n=3, v="4.000")
    run = finish(story)
    first, second = run.rows()["binance_usdm", "XUSDT", M]
    assert (first["dq_status"], second["dq_status"]) == ("ok", "stale")
    assert "candle_mismatch" in second["dq_reasons"]
    assert second["base_volume"] == first["base_volume"] == 3, "the values are ours, whatever the candle says"
    (event,) = [event for event in run.events if event.kind == "candle_mismatch"]
    assert event.detail["columns"] == ["trade_count", "base_volume"]


def test_a_late_trade_within_grace_is_merged_before_the_candle_is_compared():
    story = two_trades()
    story.trade(59_900, "101", "1", came=61_900)
    kline(story, 60_150, v="4.000", n=3, q="403.00000", V="2.000", Q="201.00000")
    rows = finish(story).rows()["binance_usdm", "XUSDT", M]
    assert [(row["trade_count"], row["dq_status"]) for row in rows] == [(2, "ok"), (3, "ok")]


def test_a_candle_that_may_still_grow_proves_nothing():
    story = two_trades()
    kline(story, 30_000, closed=False, v="1.000", n=1)
    assert len(finish(story).rows()["binance_usdm", "XUSDT", M]) == 1


def test_a_closed_candle_stands_whatever_is_told_again():
    """The open one of 30 s comes again in grace, and once more when the minute is final."""
    story = two_trades()
    kline(story, 60_150)
    for came in (30_000, 61_500, 64_000):
        kline(story, came, closed=False, v="1.000", n=1)
    assert len(finish(story, 66_000).rows()["binance_usdm", "XUSDT", M]) == 1


def test_an_open_candle_is_never_compared_though_later_ones_begin():
    """The closed one was lost on its way: nothing is proven, nothing is lowered."""
    story = two_trades()
    kline(story, 59_000, closed=False, v="1.000", n=1)
    for came in (61_500, 65_000):
        kline(story, came, closed=False, minute=1)
    assert len(finish(story, 66_000).rows()["binance_usdm", "XUSDT", M]) == 1


def test_a_candle_of_a_time_to_come_is_not_kept():
    story = two_trades()
    kline(story, 60_150, closed=False, minute=1_000)
    assert not finish(story).conveyor.minutes.recovery.candles


def test_a_candle_that_comes_after_grace_is_compared_at_once():
    story = two_trades()
    kline(story, 65_000, c="100.00")
    rows = finish(story, 66_000).rows()["binance_usdm", "XUSDT", M]
    assert [row["dq_status"] for row in rows] == ["ok", "stale"]


def test_a_minute_that_claims_nothing_is_not_compared():
    story = two_trades()
    kline(story, 60_150, n=3)
    story.frame(20_000, b"{not json")
    assert [row["dq_status"] for row in finish(story).rows()["binance_usdm", "XUSDT", M]] == ["partial"]


def candle(story: Story, came: int, volume: str, minute: int = 0) -> None:
    """Of Hyperliquid, which has no closed flag."""
    begin = START_MS + minute * MS_PER_MINUTE
    data = {"t": begin, "T": begin + 59_999, "s": "XUSDT", "i": "1m", "o": "100", "c": "101", "h": "101"}
    story.frame(came, {"channel": "candle", "data": data | {"l": "100", "v": volume, "n": 2}})


def test_hyperliquid_candles_are_final_when_the_next_one_begins():
    story = two_trades("hyperliquid")
    candle(story, 59_900, "7")
    candle(story, 61_500, "0", minute=1)
    run = finish(story)
    rows = run.rows()["hyperliquid", "XUSDT", M]
    assert "candle_mismatch" in rows[-1]["dq_reasons"]
    (event,) = [event for event in run.events if event.kind == "candle_mismatch"]
    assert event.detail["columns"] == ["base_volume"]


def test_of_two_candles_of_hyperliquid_that_with_more_volume_is_the_later_one():
    """That of 1 s comes again before the next one begins, in grace, and when the minute is final."""
    story = two_trades("hyperliquid")
    candle(story, 59_900, "3")
    for came in (60_100, 62_000, 65_000):
        candle(story, came, "1")
    for came in (61_500, 65_500):
        candle(story, came, "0", minute=1)
    run = finish(story, 66_000)
    assert [row["dq_status"] for row in run.rows()["hyperliquid", "XUSDT", M]] == ["ok"]
