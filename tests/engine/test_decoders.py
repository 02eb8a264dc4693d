"""Frames: the scanner, the slow path and the oracle read the same; what none can read is counted and never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.engine.one_frame import READERS, USUAL, T, agree, outcome, samples
from tests.engine.running import run, run_slowly
from tests.engine.story import START_MS, Story
from tests.oracles import frames, nouns


@pytest.mark.parametrize("venue", READERS)
def test_a_frame_of_every_kind_is_scanned_and_means_what_the_oracle_says(venue: str) -> None:
    for raw in samples(venue):
        result = agree(venue, raw)
        (event, *more) = frames.decode(venue, raw)
        trades = [each for each in (event, *more) if isinstance(each, nouns.Trade)]
        tape = result.tape
        assert not isinstance(event, nouns.Malformed | nouns.Other)
        assert tape.connections[1]["fallbacks"] == 0, raw
        if isinstance(event, nouns.Trade):
            total = result.conveyor.state.bars.trade_sums[0]  # type: ignore[union-attr]
            total = total[total["messages"] > 0][0]
            scale = [Decimal(10) ** int(tape.symbols[0][n]) for n in ("price_decimals", "quantity_decimals")]
            assert total["messages"] == 1 + len(more)
            assert total["open"] == event.price * scale[0]
            assert total["base"] == sum((e.quantity for e in trades), Decimal(0)) * scale[1]
            assert total["buy_base"] == sum((e.quantity for e in trades if e.taker_buy), Decimal(0)) * scale[1]
            assert total["open_ns"] == event.time_ms * NS_PER_MS


@pytest.mark.parametrize("venue", READERS)
def test_a_frame_cut_anywhere_is_malformed(venue: str) -> None:
    for raw in samples(venue):
        for end in range(1, len(raw), 3):
            assert agree(venue, raw[:end]).tape.connections[1]["malformed"] == 1, raw[:end]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"p":"100.5"', '"p":"9","p":"100.5"'),  # the last of two keys counts
        ('"s":"XUSDT"', '"s":"\\u0058USDT"'),
        ('"e":"trade"', '"e": "trade"'),
        ('{"stream"', ' {"stream"'),
        ('"m":true', '"m":true,"new":[1,{"a":"\\ud83d\\ude00"}]'),
        ('"X":"MARKET"', '"X":"LIQUIDATION"'),
        ('"X":"MARKET"', '"X":"INSURANCE_FUND"'),
        ('"X":"MARKET"', '"X":"ADL"'),
        ('"X":"MARKET"', '"X":"NA"'),
        ('"X":"MARKET",', ""),
    ],
)
def test_the_same_message_written_otherwise(old: str, new: str) -> None:
    raw = samples("binance_usdm")[0].decode()
    assert old in raw
    result = agree("binance_usdm", raw.replace(old, new).encode())
    assert result.tape.connections[1]["malformed"] == 0
    total = result.conveyor.state.bars.trade_sums[0]  # type: ignore[union-attr]
    total = total[total["received"] > 0][0]
    in_candle = "X" not in new or "MARKET" in new
    assert [int(total[n]) for n in ("received", "messages", "rejected")] == [1, int(in_candle), int(not in_candle)]


def test_bytes_that_are_no_text_are_malformed_even_where_nobody_reads_them() -> None:
    raw = samples("binance_usdm")[0]
    for changed in (raw.replace(b"MARKET", b"MARK\xffT"), raw.replace(b'"m":true', b'"m":true,"z":"\xc3\x28"')):
        assert agree("binance_usdm", changed).tape.connections[1]["malformed"] == 1


@pytest.mark.parametrize("venue", READERS)
def test_any_bytes(venue: str) -> None:
    @settings(USUAL, max_examples=150)
    @given(st.binary(max_size=200))
    def check(raw: bytes) -> None:
        agree(venue, raw)

    check()


@pytest.mark.parametrize("venue", READERS)
def test_mutated_frames(venue: str) -> None:
    """A few bytes of a good frame replaced, inserted or taken out."""
    pool = samples(venue)
    change = st.tuples(
        st.integers(0, 400), st.sampled_from("ris"), st.sampled_from(b'0123456789.-e"{}[],:tTAB \\\x00\xff')
    )

    @settings(USUAL, max_examples=500)
    @given(st.integers(0, len(pool) - 1), st.lists(change, min_size=1, max_size=4))
    def check(which: int, changes: list[tuple[int, str, int]]) -> None:
        raw = bytearray(pool[which])
        for place, how, byte in changes:
            place %= len(raw)
            if how == "r":
                raw[place] = byte
            elif how == "i":
                raw.insert(place, byte)
            else:
                del raw[place]
        agree(venue, bytes(raw))

    check()


# --- snapshots, quotes and books, unknown names -----------------------------------------------------------------------


BODIES = {
    "binance_usdm": '{"lastUpdateId":11,"E":%d,"T":%d,"bids":[["100.5","2.5"],["1","0.001"]],"asks":[["101.5","3"]]}',
    "binance_coinm": '{"lastUpdateId":11,"E":%d,"T":%d,"symbol":"XUSD_PERP","pair":"X","bids":[["1","2"]],"asks":[]}',
    "binance_spot": '{"lastUpdateId":11,"bids":[["100.5","2.5"]],"asks":[["101.5","3"],["102","0.00000001"]]}',
}


@pytest.mark.parametrize("venue", BODIES)
def test_a_snapshot_is_the_same_book_on_both_paths_and_a_damaged_one_is_none(venue: str) -> None:
    reader, good = READERS[venue], BODIES[venue]
    good = good % (T, T) if "%d" in good else good
    texts = [good, good.replace(",", ", "), good[:-1], good.replace('"1', '"-1'), good.replace(":11", ":1e1"), "[]", ""]
    books = []
    for text in texts:
        body = f"depth {reader.names[0]}\n{text}".encode()
        sent = [*reader.records, Record(9, T * NS_PER_MS, 1, RecordKind.REST, body)]
        fast, slow = run(sent), run_slowly(sent)
        assert outcome(fast) == outcome(slow), text
        assert fast.kinds() == slow.kinds(), text
        books.append(int(fast.tape.books[0]["last_id"]))
    assert books[:2] == [11, 11]
    assert set(books[2:]) == {-1}


def test_empty_and_one_sided_hyperliquid_books_are_no_quote() -> None:
    for bids, asks in (([], []), ([["99", "1"]], []), ([], [["101", "1"]])):
        story = Story("hyperliquid", ("BTC",)).up("trades", "l2Book", came=-40_000)
        story.trade(-39_000)
        story.tick(1_700)
        story.book(10_000, [["99", "1"]], [["101", "1"]])
        story.book(20_000, bids, asks)
        story.trade(60_500)
        row = story.run().row(symbol="BTC")
        assert (row["mid_open"], row["mid_close"], row["mid_path_points"]) == (100, None, 10)


def test_one_sided_bbo_is_no_quote() -> None:
    for bid, ask in (("0", "1"), ("1", "0"), ("0", "0")):
        story = Story("hyperliquid", ("BTC",)).up("trades", "bbo", came=-40_000)
        story.trade(-39_000)
        story.tick(1_700)
        story.quote(10_000)
        story.quote(20_000, "99", bid, "101", ask)
        story.trade(60_500)
        row = story.run().row(symbol="BTC")
        assert (row["mid_open"], row["mid_close"], row["quote_count"]) == (100, None, 2)


def test_a_depth_stream_of_an_unknown_name_is_ignored() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-39_000)
    story.tick(1_700)
    story.frame(
        10_000, {"stream": "xusdt@depth50", "data": {"lastUpdateId": 1, "bids": [["9", "1"]], "asks": [["11", "1"]]}}
    )
    story.trade(60_500)
    row = story.run().row()
    assert (row["mid_close"], row["book_count"]) == (None, 0)


def test_an_unknown_event_on_a_trade_stream_is_not_passed_over() -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-39_000)
    story.trade(1_000)
    story.frame(10_000, {"stream": "xusdt@trade", "data": {"e": "trade2", "T": START_MS + 10_000, "s": "XUSDT"}})
    story.trade(60_500)
    assert story.run().row()["dq_status"] != "ok"
