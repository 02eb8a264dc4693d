"""Every column of the bar stage against the naive oracle: exact for decimals and counts, 1e-12 relative for floats.

The bound: a float column is a quotient of sums of at most 1e5 products of a weight below 6e10 ns; each step rounds once
by 1.1e-16, so 1e-12 is a hundred times what was seen (the largest on the captures is below 1e-14).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.core.schema import COLUMNS
from tests.engine.running import Row, Run, core, run
from tests.engine.story import Story
from tests.oracles.captures import BINANCE_RAW, WITH_MINUTES, capture, recorded
from tests.oracles.closing import closing
from tests.oracles.minutes import minutes

RELATIVE = 1e-12
OF_BOOKS = {"obi_top5_mean", "obi_top20_mean", "depth_top20_mean", "book_count"}
EXACT = {column.name for column in COLUMNS if column.form.value != "real"}


def differences(engine: Row, oracle: Row, left_out: set[str] = frozenset()) -> dict[str, tuple[Any, Any]]:  # type: ignore[assignment]
    """Columns that differ, with both values; one that only the oracle lacks is not looked at."""
    found = {}
    for name, expected in oracle.items():
        value = engine[name]
        if name in left_out:
            continue
        if expected is None or value is None:
            same = value is expected
        elif name in EXACT:
            same = value == expected
        else:
            same = abs(value - float(expected)) <= RELATIVE * abs(float(expected))
        if not same:
            found[name] = (value, expected)
    return found


def compare(story: Story, left_out: set[str] = frozenset()) -> Run:  # type: ignore[assignment]
    """Every closed minute of a story, in its newest revision, against the oracle."""
    result = story.run()
    causes = {(link.venue, link.minute): link.cause_seq for link in result.links if link.revision == 0}
    expected = minutes(story.records, causes)
    for key, rows in result.rows().items():
        assert differences(rows[-1], expected[key], left_out) == {}, key
    assert set(result.rows()) == set(expected)
    return result


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", WITH_MINUTES)
def test_every_minute_of_a_capture(name: str) -> None:
    records = capture(name)
    result, model = run(records), closing(records)
    assert [(x.minute, x.revision, x.cause_seq) for x in result.links] == [
        (x.minute, x.revision, x.seq) for x in model.closed
    ]
    expected = minutes(records, model.causes())
    rows = result.rows()
    assert set(rows) == set(expected)
    first = min(rows)
    for key in rows:
        # The REST snapshot has no time of its own here (see the test of it below), so the first book minute differs.
        assert differences(rows[key][-1], expected[key], OF_BOOKS if key == first else set()) == {}, key
        known = model.known[key[0], key[2]]
        assert rows[key][0]["lateness_ms"] == known.lateness_ms
        assert rows[key][0]["close_wait_ms"] == known.close_wait_ns // 1_000_000
        assert rows[key][0]["dq_status"] == ("partial" if key == first else "ok")
        assert "book_gap" not in rows[key][0]["dq_reasons"]


@pytest.mark.captures
@recorded
def test_usdm_minutes_equal_the_venues_candles() -> None:
    import csv

    with open(BINANCE_RAW / "usdm_btcusdt_klines_1m.csv", newline="") as stream:
        klines = {int(line["open_time"]) // 60_000: line for line in csv.DictReader(stream)}
    names = {
        "open": "open", "high": "high", "low": "low", "close": "close", "trade_count": "count",
        "base_volume": "volume", "quote_volume": "quote_volume",
        "taker_buy_base_volume": "taker_buy_volume", "taker_buy_quote_volume": "taker_buy_quote_volume",
    }  # fmt: skip
    result = run(capture("usdm_btcusdt"))
    first = 1_723_161_300_000 // 60_000  # 23:55
    for minute in range(first, first + 5):
        row = result.row(minute, "BTCUSDT")
        assert row["dq_status"] == "ok"
        for ours, theirs in names.items():
            assert row[ours] == Decimal(klines[minute][theirs]), (minute, ours)


# --- little sessions --------------------------------------------------------------------------------------------------

SYMBOLS = ("XUSDT", "YUSDT")
moves = st.tuples(
    st.sampled_from(("trade", "trade", "quote", "quote", "book")),
    st.sampled_from(SYMBOLS),
    st.one_of(st.integers(0, 3_000), st.just(0), st.integers(20_000, 65_000)),  # ms after the one before
    st.integers(-300, 60),  # event time against that, so that some come late
    st.tuples(st.integers(9_990, 10_010), st.integers(-2, 8)),  # price or bid; spread: crossed, locked or open
    st.tuples(st.integers(0, 3), st.integers(0, 4_000)),  # quantities; zero is an empty side
    st.booleans(),
)
USUAL = settings(
    max_examples=80, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def told(venue: str, made: list[Any]) -> Story:
    """A session of two symbols: connected in M - 1, then what was made, a tick every second, and an end of quiet."""
    channels = ("trades", "bbo", "l2Book") if venue == "hyperliquid" else ("trade", "bookTicker")
    story = Story(venue, SYMBOLS).up(*channels, came=-30_000)
    for number, symbol in enumerate(SYMBOLS):
        story.trade(-29_000, symbol=symbol, number=900 + number)
    now = 0
    for kind, symbol, wait, shift, (price, spread), (first, second), buy in made:
        now += wait
        text, other = f"{price / 100:.2f}", f"{(price + spread) / 100:.2f}"
        small, large = f"{first}", f"{second / 1000:.3f}"
        if kind == "trade":
            story.trade(now + shift, text, f"{(second + 1) / 1000:.3f}", buy, symbol=symbol, came=now + 100)
        elif kind == "quote" or venue != "hyperliquid":
            story.quote(now + shift, text, small, other, large, symbol=symbol, came=now + 100)
        else:
            bids = [(f"{(price - n) / 100:.2f}", f"{second + n + 1}") for n in range(first * 9 + 1)]
            asks = [(f"{(price + abs(spread) + n) / 100:.2f}", f"{n + 2}") for n in range(25)]
            story.book(now + shift, bids, asks, symbol=symbol, came=now + 100)
    story.trade(now + 1_000, symbol=SYMBOLS[0])
    story.ticks(-29_000, now + 70_000, 1_000)
    return story.in_time()


@USUAL
@given(st.lists(moves, min_size=1, max_size=20))
def test_any_little_session_of_futures(made: list[Any]) -> None:
    compare(told("binance_usdm", made), {"rejected", "received", "clock_skew_ms", "book_staleness_ms"})


@USUAL
@given(st.lists(moves, min_size=1, max_size=20))
def test_any_little_session_of_hyperliquid(made: list[Any]) -> None:
    left_out = {"rejected", "received", "clock_skew_ms", "book_staleness_ms"}
    compare(told("hyperliquid", made), left_out)


@USUAL
@given(st.lists(moves, min_size=1, max_size=20))
def test_any_little_session_closes_as_the_model_says(made: list[Any]) -> None:
    """Order, minute and cause of every first close."""
    made = [(kind, symbol, wait, 0, *rest) for kind, symbol, wait, _, *rest in made]  # the offset stays what it is
    story = told("binance_usdm", made)
    model = [(x.minute, x.seq, x.reason) for x in closing(story.records).closed if x.revision == 0]
    engine = [(m + 28_000_000, seq, reason) for m, rev, seq, reason in story.run().closes() if rev == 0]
    assert engine == model


# --- single columns ---------------------------------------------------------------------------------------------------


def depth_story(**more: Any) -> Story:
    story = Story(**more).up("trade", "bookTicker", "depth", came=-40_000)
    story.trade(-39_000)
    story.tick(1_700)
    return story


def test_spread_mean_at_eight_decimals() -> None:
    """A spread of 2.0 at scale 8 for a minute: 2e8 * 6e10 ns does not fit an int64."""
    story = Story(price_decimals=8, quantity_decimals=3).up("bookTicker", came=-40_000)
    story.quote(-39_000, "100", "1", "102", "1")
    story.quote(1_000, "100", "1", "102", "1")
    story.quote(61_000, "100", "1", "102", "1")
    assert story.run().row()["spread_mean"] == pytest.approx(2.0)


def test_a_volume_beyond_64_bits_is_right_or_marked() -> None:
    story = Story("binance_spot", price_decimals=8, quantity_decimals=8).up("trade", came=-40_000)
    story.trade(-39_000)
    for second in range(12):
        story.trade(1_000 * second, "0.00000100", "8000000000")
    story.trade(60_500)
    row = story.run().row()
    assert row["base_volume"] == 12 * 8_000_000_000 or "overflow" in row["dq_reasons"]


def test_book_count_is_applied_depth_updates() -> None:
    story = depth_story()
    story.snapshot(2_000, 10, [["99", "1"]], [["101", "1"]])
    story.diff(3_000, 9, 11, 8, bids=[["99", "2"]])
    story.diff(4_000, 20, 21, 19, bids=[["99", "3"]])  # a gap
    story.trade(60_500)
    assert story.run().row()["book_count"] == 1


def test_kept_diffs_take_effect_at_their_own_time() -> None:
    story = depth_story()
    story.diff(10_000, 9, 11, 8, bids=[["99", "3"]])
    story.diff(15_000, 12, 12, 11, bids=[["99", "3"]])
    story.snapshot(20_000, 10, [["99", "1"]], [["101", "1"]])
    story.diff(40_000, 13, 13, 12, bids=[["99", "3"]])
    story.trade(60_500)
    assert story.run().row()["book_count"] == 3


def test_a_one_sided_book_is_not_in_force() -> None:
    story = Story("hyperliquid", ("BTC",)).up("trades", "l2Book", came=-40_000)
    story.trade(-39_000)
    story.tick(1_700)
    story.book(0, [], [["101", "4"]])
    story.trade(60_500)
    row = story.run().row(symbol="BTC")
    assert (row["obi_top5_mean"], row["depth_top20_mean"]) == (None, None)


def test_the_offset_forgets_the_minute_before_the_last() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(20_000, came=20_100)  # 100 ms, received in M
    story.trade(77_924, came=78_025)  # 101 ms, received in M + 1; at 121,600 only this one counts
    early = story.tick(121_600)
    cause = story.tick(121_800)
    assert story.run().closes()[-1][2] == cause != early


def test_the_end_of_a_connection_is_no_quote_update() -> None:
    story = Story().up("trade", "bookTicker", came=-40_000)
    story.trade(-39_000)
    story.quote(1_000)
    story.down(30_000)
    story.ticks(30_200, 62_000)
    assert story.run().row()["quote_count"] == 1


def test_staleness_of_a_book_that_comes_whole_is_its_age() -> None:
    story = Story("hyperliquid", ("BTC",)).up("trades", "bbo", "l2Book", came=-40_000)
    story.trade(-39_000)
    story.book(10_000, [["99", "1"]], [["101", "1"]])
    story.quote(11_000)
    for ms in range(12_000, 62_000, 1_000):
        story.trade(ms)
    row = story.run().row(symbol="BTC")
    assert (row["book_age_ms"], row["book_staleness_ms"], row["dq_status"]) == (49_000, 50_000, "stale")


CONTEXT = ("trades", "activeAssetCtx")


def context(story: Story, came: int, interest: str, mark: str) -> None:
    ctx = {"funding": "0.1", "openInterest": interest, "markPx": mark, "oraclePx": "3"}
    story.frame(came, {"channel": "activeAssetCtx", "data": {"coin": story.symbol, "ctx": ctx}})


def test_context_of_a_minute() -> None:
    story = Story("hyperliquid", ("BTC",)).up(*CONTEXT, came=-40_000)
    story.trade(-39_000)
    story.trade(1_000)
    for came, interest in ((10_000, "5"), (20_000, "9"), (50_100, "7")):
        context(story, came, interest, "30")
    story.trade(60_500)
    row = story.run().row(symbol="BTC")
    assert [row[n] for n in ("oi_open", "oi_close", "oi_min", "oi_max", "oi_staleness_ms")] == [5, 7, 5, 9, 10_000]
    assert [row[n] for n in ("mark_price", "index_price", "funding_rate")] == [30, 3, 0.1]


def test_context_after_the_boundary_is_not_in_the_minute() -> None:
    story = Story("hyperliquid", ("BTC",)).up(*CONTEXT, came=-40_000)
    story.trade(-39_000)
    story.trade(1_000)
    context(story, 50_000, "5", "30")
    context(story, 60_200, "77", "88")
    story.trade(60_500)
    row = story.run().row(symbol="BTC")
    assert (row["oi_close"], row["mark_price"]) == (5, 30)


def test_context_time_is_receive_time_less_a_negative_offset() -> None:
    story = Story("hyperliquid", ("BTC",), lag=-1_200).up(*CONTEXT, came=-40_000)
    story.trade(-39_000)
    story.trade(1_000)
    context(story, 50_000, "5", "30")  # at 51,200 on the exchange's clock
    story.trade(60_500)
    assert story.run().row(symbol="BTC")["oi_staleness_ms"] == 8_800


def test_open_interest_from_the_future_is_not_believed() -> None:
    story = Story().up("trade", "openInterest", came=-40_000)
    story.trade(-39_000)
    story.trade(1_000)
    at = 28_000_000 * 60_000
    story.rest(10_000, "openInterest", {"symbol": "XUSDT", "openInterest": "5", "time": at + 3_600_000})
    story.rest(20_000, "openInterest", {"symbol": "XUSDT", "openInterest": "7", "time": at + 20_000})
    story.trade(60_500)
    assert story.run().row()["oi_close"] == 7


def test_several_settings_of_the_same_session_agree_on_trades() -> None:
    """Small buffers stop the kernel more often; nothing else may change."""
    story = told("binance_usdm", [("trade", "XUSDT", 1_000, 0, (10_000, 1), (1, 5), True)] * 40)
    small = core(limits={"ticks_per_batch": 1024, "dedupe_ids": 256})
    assert [x.rows.tobytes() for x in story.run().links] == [x.rows.tobytes() for x in story.run(small).links]
