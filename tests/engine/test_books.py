"""Rebuilt books: equal to the venue's own best prices, and level by level to two dicts."""

from __future__ import annotations

import re
from bisect import bisect_right
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conveyor import Conveyor
from engine.core.records import Record, RecordKind, batch_of, encode
from engine.core.wide import as_int
from engine.tape.book import levels_of
from tests.engine.running import Run, batches, core, run
from tests.engine.story import Story
from tests.oracles.books import Book
from tests.oracles.captures import CONNECTIONS, capture, recorded
from tests.oracles.nouns import Diff, Snapshot

SMALL = core(limits={"book_window_ticks": 1024, "book_spill_levels": 256, "symbols_max": 2, "pending_diffs": 16})
BINANCE = [name for name in CONNECTIONS if name != "btcusd"]
Levels = list[tuple[int, int]]


def side_of(result: Run, side: int) -> dict[int, int]:
    """Every level of one side: price mantissa to quantity mantissa."""
    tape = result.tape
    room = tape.book_quantity.shape[2] + tape.spill_key.shape[2]
    prices, quantities = np.zeros(room, np.int64), np.zeros(room, np.int64)
    count = levels_of(
        tape.books[0], side, tape.book_quantity[0, side], tape.book_bits[0, side], tape.spill_key[0, side],
        tape.spill_quantity[0, side], prices, quantities,
    )  # fmt: skip
    assert len(set(prices[:count].tolist())) == count
    keys = prices[:count] if side == 0 else -prices[:count]
    assert (np.diff(keys) > 0).all()  # worst first, no level twice
    return dict(zip(prices[:count].tolist(), quantities[:count].tolist(), strict=True))


def top_of(result: Run, side: int) -> Levels:
    prices, quantities = result.tape.top_price[0, side].tolist(), result.tape.top_quantity[0, side].tolist()
    return [(price, quantity) for price, quantity in zip(prices, quantities, strict=True) if quantity]


def best_twenty(levels: dict[int, int], side: int) -> Levels:
    return sorted(levels.items(), reverse=side == 0)[:20]


# --- against the venue ------------------------------------------------------------------------------------------------

TICKER = re.compile(rb'"u":([0-9]+).*?"b":"([^"]+)","B":"([^"]+)","a":"([^"]+)","A":"([^"]+)"')


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", BINANCE)
def test_identical_update_ids_always_agree_and_there_is_no_gap(name: str) -> None:
    book = run(capture(name)).tape.books[0]
    assert book["compared"] > 500
    assert (book["mismatched"], book["gaps"], book["spilled_over"]) == (0, 0, 0)


@pytest.mark.captures
@recorded
def test_the_newest_earlier_book_ticker_agrees() -> None:
    """After every fifth diff: best price and size equal the bookTicker with the largest u' <= u."""
    compared = missed = 0
    for name in BINANCE:
        records = capture(name)
        found = [
            match
            for record in records
            if b"@bookTicker" in record.payload[:60] and (match := TICKER.search(record.payload))
        ]
        tickers = sorted((int(match[1]), match) for match in found)
        ids = [number for number, _ in tickers]
        conveyor = Conveyor()
        epoch = Record(-1, records[0].recv_ns, 0, RecordKind.CONFIG, core().encode())
        diffs = [n + 1 for n, record in enumerate(records) if b"@depth" in record.payload[:60]][::5]
        for batch in batches([epoch, *records], [cut + 1 for cut in diffs]):
            conveyor.handle(batch)
            tape = conveyor.state.tape  # type: ignore[union-attr]
            place = bisect_right(ids, int(tape.books[0]["last_id"])) - 1
            if not tape.books[0]["synced"] or place < 0:
                continue
            _, _, bid, bid_quantity, ask, ask_quantity = (tickers[place][1][n] for n in range(6))
            price, quantity = (10 ** int(tape.symbols[0][n]) for n in ("price_decimals", "quantity_decimals"))
            theirs = [Decimal(text.decode()) for text in (bid, bid_quantity, ask, ask_quantity)]
            ours = [
                int(value) for side in range(2) for value in (tape.top_price[0, side, 0], tape.top_quantity[0, side, 0])
            ]
            compared += 1
            missed += [theirs[n] * (price, quantity)[n % 2] for n in range(4)] != ours
    assert compared > 10_000
    assert missed <= compared / 10_000


# --- against two dicts ------------------------------------------------------------------------------------------------


def begin(bids: Levels, asks: Levels, **more: Any) -> tuple[Story, Book]:
    story = Story(price_decimals=0, quantity_decimals=0, **more).up("trade", "depth", came=-1_000)
    story.trade(-900)
    book = Book(story.venue, story.symbol)
    snapshot(story, book, 10, bids, asks)
    return story, book


def texts(levels: Levels) -> list[list[str]]:
    return [[str(price), str(quantity)] for price, quantity in levels]


def decimals(levels: Levels) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(price), Decimal(quantity)) for price, quantity in levels)


def snapshot(story: Story, book: Book, last: int, bids: Levels, asks: Levels) -> None:
    story.snapshot(0, last, texts(bids), texts(asks))
    for waiting in book.start(Snapshot(story.symbol, last, decimals(bids), decimals(asks), None)):
        book.diff(waiting)


def diff(story: Story, book: Book, first: int, last: int, previous: int, bids: Levels, asks: Levels) -> None:
    story.diff(last, first, last, previous, texts(bids), texts(asks))
    book.diff(Diff(story.symbol, first, last, previous, decimals(bids), decimals(asks), 0))


def compare(story: Story, book: Book) -> Run:
    result = story.run(SMALL)
    state = result.tape.books[0]
    assert bool(state["synced"]) == book.in_step
    if book.in_step:
        for side, levels in enumerate((book.bids, book.asks)):
            expected = {int(price): int(quantity) for price, quantity in levels.items()}
            assert side_of(result, side) == expected
            assert top_of(result, side) == best_twenty(expected, side)
    return result


near = st.tuples(st.integers(0, 40), st.integers(0, 3))
far = st.tuples(st.sampled_from((0, 100, 500, 900, 1_100, 3_000, 9_000)), st.integers(0, 3))
steps = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 0, -30, 30, -700, 700, -5_000, 5_000)),  # the market moves
        st.lists(st.one_of(near, far), max_size=8),
        st.lists(st.one_of(near, far), max_size=8),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(steps)
def test_all_levels_equal_two_dicts_wherever_the_market_goes(made: list[Any]) -> None:
    """A window of 1,024 ticks; when the market moves, what it passed is deleted, as a venue does."""
    middle, last = 50_000, 10
    story, book = begin([(middle - 1, 5), (middle - 400, 2)], [(middle + 1, 5), (middle + 400, 2)])
    for move, low, high in made:
        middle += move
        bids = [(middle - 1 - distance, quantity) for distance, quantity in low] + [(middle - 1, 4)]
        asks = [(middle + 1 + distance, quantity) for distance, quantity in high] + [(middle + 1, 4)]
        bids += [(int(price), 0) for price in book.bids if price >= middle]
        asks += [(int(price), 0) for price in book.asks if price <= middle]
        diff(story, book, last, last + 1, last, bids, asks)
        last += 1
    assert compare(story, book).tape.books[0]["gaps"] == 0


def test_a_full_spill_drops_its_worst_level_and_counts_it() -> None:
    story, book = begin([(50_000, 1)], [(50_001, 1)])
    for n in range(300):  # far below a window of 1,024 ticks; the spill takes 256
        diff(story, book, 10 + n, 11 + n, 10 + n, [(40_000 + 10 * n, 1)], [])
    result = story.run(SMALL)
    assert result.tape.books[0]["spilled_over"] == 300 - 256
    kept = {40_000 + 10 * n: 1 for n in range(44, 300)} | {50_000: 1}
    assert side_of(result, 0) == kept


def test_a_full_spill_marks_the_minute() -> None:
    story, book = begin([(50_000, 1)], [(50_001, 1)])
    for n in range(300):
        diff(story, book, 10 + n, 11 + n, 10 + n, [(40_000 + 10 * n, 1)], [])
    story.trade(60_500)
    assert "overflow" in story.run(SMALL).row()["dq_reasons"]


def test_prices_at_the_ends_of_the_scale() -> None:
    story, book = begin([(1, 1)], [(10**15, 1)])
    diff(story, book, 10, 11, 10, [(10**14, 7)], [(2 * 10**14, 3)])
    diff(story, book, 12, 12, 11, [(10**14, 0)], [(2 * 10**14, 0)])
    compare(story, book)


# --- in and out of step -----------------------------------------------------------------------------------------------


def told(
    *ids: tuple[int, int, int], venue: str = "binance_usdm", snapshots: dict[int, int] | None = None
) -> tuple[Story, Book]:
    """Diffs (U, u, pu) in turn; snapshots: before which of them, and with which id."""
    story = Story(venue, price_decimals=0, quantity_decimals=0).up("trade", "depth", came=-1_000)
    story.trade(-900)
    book = Book(venue, story.symbol)
    for n, (first, last, previous) in enumerate([*ids, (0, 0, 0)]):
        if n in (snapshots or {}):
            snapshot(story, book, (snapshots or {})[n], [(100, 1)], [(110, 1)])
        if n < len(ids):
            diff(story, book, first, last, previous, [(90 + n, n + 1)], [(120 + n, n + 1)])
    return story, book


@pytest.mark.parametrize(
    ("ids", "snapshots", "gaps"),
    [
        ([(11, 12, 10), (13, 14, 12)], {0: 10}, 1),  # nothing reaches over 10: a gap at once
        ([(9, 12, 8), (13, 14, 12)], {0: 10}, 0),
        ([(1, 4, 0), (5, 8, 4), (9, 9, 8)], {2: 6}, 0),  # snapshot newer than the first kept diff
        ([(5, 8, 4), (9, 9, 8)], {2: 3}, 1),  # snapshot older than all kept diffs
        ([(5, 8, 4), (9, 9, 8)], {1: 20}, 0),  # diffs older than the snapshot leave no trace
        ([(9, 12, 8), (14, 15, 13), (16, 16, 15)], {0: 10, 3: 15}, 1),  # gap, then mended
        ([(9, 12, 8), (13, 14, 12)], {0: 10, 2: 30}, 0),  # a second, newer snapshot
        ([(9, 12, 8), (14, 15, 13), (17, 18, 16)], {0: 10, 3: 14}, 2),  # the kept diffs have a gap themselves
    ],
)
def test_futures_rule(ids: list[tuple[int, int, int]], snapshots: dict[int, int], gaps: int) -> None:
    story, book = told(*ids, snapshots=snapshots)
    result = compare(story, book)
    assert result.tape.books[0]["gaps"] == gaps == book.gaps
    assert result.kinds().count("book_gap") == gaps
    assert sum(wanted.reason == "book gap" for wanted in result.wanted) == gaps


@pytest.mark.parametrize(
    ("ids", "snapshots", "gaps"),
    [
        ([(9, 12, 0), (13, 14, 0)], {0: 10}, 0),
        ([(11, 12, 0), (13, 14, 0)], {0: 10}, 0),
        ([(12, 12, 0)], {0: 10}, 1),
        ([(5, 10, 0), (11, 11, 0)], {0: 10}, 0),
        ([(9, 12, 0), (14, 15, 0)], {0: 10}, 1),
        ([(5, 8, 0), (9, 10, 0), (11, 12, 0)], {2: 9}, 0),
    ],
)
def test_spot_rule(ids: list[tuple[int, int, int]], snapshots: dict[int, int], gaps: int) -> None:
    story, book = told(*ids, venue="binance_spot", snapshots=snapshots)
    assert compare(story, book).tape.books[0]["gaps"] == gaps == book.gaps


def test_an_older_second_snapshot_changes_nothing() -> None:
    story, book = told((9, 12, 8), (13, 14, 12), snapshots={0: 10})
    story.snapshot(200, 11, [["7", "7"]], [["9", "9"]])
    diff(story, book, 15, 15, 14, [(95, 9)], [])
    assert compare(story, book).tape.books[0]["gaps"] == 0


def test_a_lost_kept_diff_is_found_and_a_snapshot_asked_for() -> None:
    """16 diffs are kept; the later four are lost, so the book falls out of step at the first one behind them."""
    story, _ = told(*[(n, n, n - 1) for n in range(11, 31)])
    story.snapshot(200, 12, [["100", "1"]], [["110", "1"]])
    story.diff(300, 31, 31, 30, [["99", "1"]])
    result = story.run(SMALL)
    assert result.tape.books[0]["synced"] == 0
    assert result.tape.books[0]["gaps"] == 1
    assert "book gap" in [wanted.reason for wanted in result.wanted]


def test_an_exhausted_side_is_out_of_step_and_asks_for_a_snapshot() -> None:
    story, _ = told((9, 12, 8), snapshots={0: 10})
    story.diff(20, 13, 13, 12, asks=[["110", "0"], ["120", "0"]])
    story.trade(60_500)
    result = story.run(SMALL)
    assert result.tape.books[0]["synced"] == 0
    assert [wanted.reason for wanted in result.wanted] == ["subscribed", "book gap"]
    row = result.row()
    assert {"book_gap", "l2_stale"} <= row["dq_reasons"]
    assert row["mid_close"] is None


def test_a_gap_is_partial_and_the_minute_behind_the_snapshot_is_ok() -> None:
    story = Story().up("trade", "bookTicker", "depth", came=-40_000)
    story.trade(-39_000)
    story.snapshot(-38_000, 10, [["99", "1"]], [["101", "1"]])
    story.diff(-37_000, 9, 11, 8, [["99", "2"]])
    for second in range(200):
        story.quote(1_000 * second)
        story.trade(1_000 * second)
        story.tick(1_000 * second + 300)
        if second == 20:
            story.diff(20_000, 20, 21, 19)
        if second == 30:
            story.snapshot(30_400, 25, [["99", "1"]], [["101", "1"]])
        if second == 40:
            story.diff(40_000, 24, 26, 23, [["98", "1"]])
    result = story.run()
    assert (result.row()["dq_status"], "book_gap" in result.row()["dq_reasons"]) == ("partial", True)
    assert result.row(28_000_001)["dq_status"] == "ok"
    assert result.row()["depth_top20_mean"] == pytest.approx(
        float(Decimal(20 * 3 + 10 * 2 + 20 * 3) / Decimal(50)), rel=0.02
    )


def kept_by_one_of_two() -> Story:
    """A book in step on connection 1; connection 2 comes up and has not spoken yet."""
    story = Story().up("depth", came=-40_000)
    story.snapshot(-38_000, 10, [["99", "1"]], [["101", "1"]])
    story.diff(-37_000, 9, 11, 8)
    return story.up("depth", came=-30_000, source=2)


def test_a_book_that_another_connection_keeps_in_step_is_not_asked_for() -> None:
    story = kept_by_one_of_two()
    story.subscribe(("depth",), -25_000)
    assert [wanted.reason for wanted in story.run(SMALL).wanted] == ["subscribed"]


def test_a_book_that_nobody_carried_is_asked_for_once_it_is_heard_again() -> None:
    """Connection 1 is lost before 2 speaks; where 1 itself comes back, its subscription asks."""
    for back, reasons in ((False, ["subscribed", "book gap"]), (True, ["subscribed", "subscribed"])):
        story = kept_by_one_of_two()
        story.down(-20_000)
        if back:
            story.up("depth", came=-15_000)
        story.diff(-10_000, 12, 13, 11, source=2)
        assert [wanted.reason for wanted in story.run(SMALL).wanted] == reasons


def test_levels_of_one_message_beyond_the_limit_are_malformed() -> None:
    settings_ = core(limits={"levels_per_frame": 64})
    story = Story("hyperliquid", ("BTC",)).up("l2Book", came=-40_000)
    story.book(0, [[f"{99 - n}", "1"] for n in range(65)], [["101", "1"]])
    assert story.run(settings_).tape.connections[1]["malformed"] == 1


def test_wide_sums_are_read_as_they_are_written() -> None:
    assert as_int(-1, -1) == -1
    assert batch_of(encode(Record(1, 2, 3, RecordKind.TICK, b""))).nbytes == 24


def test_a_book_that_stays_crossed_for_more_than_half_a_second_is_fetched_again() -> None:
    """A bid of 111 above the ask of 110 is left standing at 10.0 s: borne at 10.5 s, out of step at 10.6 s."""
    story = Story().up("trade", "depth", came=-40_000)
    story.snapshot(100, 10, [["100", "1"]], [["110", "1"]])
    story.diff(10_000, 10, 11, 10, bids=[["111", "1"]])
    story.diff(10_500, 12, 12, 11, bids=[["99", "1"]])
    assert [wanted.reason for wanted in story.run().wanted] == ["subscribed"]
    story.diff(10_600, 13, 13, 12, bids=[["98", "1"]])
    assert [wanted.reason for wanted in story.run().wanted] == ["subscribed", "book gap"]


def test_a_book_that_is_crossed_and_uncrossed_stays() -> None:
    story = Story().up("trade", "depth", came=-40_000)
    story.snapshot(100, 10, [["100", "1"]], [["110", "1"]])
    story.diff(10_000, 10, 11, 10, bids=[["111", "1"]])
    story.diff(10_400, 12, 12, 11, bids=[["111", "0"]])
    story.diff(20_000, 13, 13, 12, bids=[["111", "1"]])
    story.diff(20_400, 14, 14, 13, bids=[["111", "0"]])
    assert [wanted.reason for wanted in story.run().wanted] == ["subscribed"]
