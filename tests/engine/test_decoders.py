"""Frames: the scanner, the slow path and the oracle read the same; what none can read is counted and never guessed."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.frame import FUNDING, INDEX
from engine.core.instruments import Instrument
from engine.core.kernel import kernel
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from engine.tape.scan import scan
from tests.engine.helpers import (
    CONNECTIONS,
    START_MS,
    Run,
    Story,
    capture,
    compact,
    core,
    digests,
    run,
    run_slowly,
    same_rows,
)  # fmt: skip
from tests.oracles import captures, frames
from tests.oracles.captures import CAPTURES, recorded

USUAL = settings(max_examples=1_000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MARGIN = 64


@kernel
def scan_bytes(tape, buffer, length, dialect):
    return scan(tape, buffer.ctypes.data + 64, buffer.ctypes.data + 64 + length, dialect, False)


# --- recorded ---------------------------------------------------------------------------------------------------------


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", [name for name in CONNECTIONS if name != "btcusd"])
def test_no_recorded_frame_is_strange(name: str) -> None:
    connection = run(capture(name)).tape.connections[1]
    frames_sent = sum(record.kind == RecordKind.FRAME for record in capture(name))
    assert [int(connection[n]) for n in ("frames", "fallbacks", "ignored", "malformed", "future")] == [
        frames_sent, 0, 0, 0, 0,
    ]  # fmt: skip


@pytest.mark.captures
@recorded
def test_no_recorded_frame_of_hyperliquid_is_strange() -> None:
    assert run(capture("btcusd")).tape.connections[1]["fallbacks"] == 0


@pytest.mark.captures
@recorded
@pytest.mark.parametrize(
    "name",
    CONNECTIONS,
)
def test_recorded_frames_by_the_slow_path_give_the_same_bits(name: str) -> None:
    records = capture(name)
    records = records[: max(200, len(records) // 6)]
    fast, slow = run(records), run_slowly(records)
    assert int(slow.tape.connections[1]["fallbacks"]) == int(slow.tape.connections[1]["frames"]) > 0
    assert same_rows(fast.links, slow.links)
    assert digests(fast.links, "bars", "quality") == digests(slow.links, "bars", "quality")
    assert fast.tape.venues[0]["mix"] == slow.tape.venues[0]["mix"]  # every tick, bit for bit
    assert fast.tape.books.tobytes() == slow.tape.books.tobytes()


# --- one frame at a time ----------------------------------------------------------------------------------------------


BINANCE = ("trade", "aggTrade", "bookTicker", "depth", "depth20")
CHANNELS = {
    "binance_usdm": (*BINANCE, "markPrice", "forceOrder", "openInterest"),
    "binance_coinm": (*BINANCE, "markPrice", "forceOrder"),
    "binance_spot": BINANCE,
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx"),
}
DIALECTS = {"binance_usdm": 0, "binance_coinm": 1, "binance_spot": 2, "hyperliquid": 3}


class Reader:
    """One connection that carries everything of a venue, and what its conveyor made of single frames."""

    def __init__(self, venue: str, symbols: Iterable[tuple[str, int, int]], channels: Iterable[str] = ()) -> None:
        self.venue, self.names = venue, [name for name, _, _ in symbols]
        at = START_MS * NS_PER_MS
        wanted = [
            {"channel": channel, "symbol": name} for name in self.names for channel in (channels or CHANNELS[venue])
        ]
        self.records = [
            Record(0, at, 0, RecordKind.INSTRUMENT, Instrument(venue, name, price, quantity).encode())
            for name, price, quantity in symbols
        ]
        for kind, data in (
            (RecordKind.CONNECTION, {"venue": venue, "state": "up", "reason": "test"}),
            (RecordKind.SUBSCRIPTION, {"venue": venue, "channels": wanted}),
        ):
            self.records.append(Record(0, at, 1, kind, compact(data)))
        # A silent venue's minute opens: from here on there is one that can take slow numbers.
        self.records.append(Record(0, at + 3_000 * NS_PER_MS, 0, RecordKind.TICK, b""))

    def run(self, *raw: bytes, slowly: bool = False, at_ms: int = START_MS + 5_100) -> Run:
        """at_ms: of receipt; the control records come as long before it as they always do."""
        later_ns = (at_ms - START_MS - 5_100) * NS_PER_MS
        before = [replace(record, recv_ns=record.recv_ns + later_ns) for record in self.records]
        sent = [Record(9 + n, at_ms * NS_PER_MS, 1, RecordKind.FRAME, each) for n, each in enumerate(raw)]
        return (run_slowly if slowly else run)([*before, *sent])

    def scanned(self, result: Run, raw: bytes) -> int:
        """Channel by the scanner alone; the frame in hand is then in the result's tape."""
        buffer = np.zeros(len(raw) + 2 * MARGIN, np.uint8)
        buffer[MARGIN : MARGIN + len(raw)] = np.frombuffer(raw, np.uint8)
        return int(scan_bytes(result.tape, buffer, len(raw), DIALECTS[self.venue]))


def outcome(result: Run) -> tuple[Any, ...]:
    """All that a single frame changed, whichever path read it."""
    tape, bars = result.tape, result.conveyor.state.bars  # type: ignore[union-attr]
    connection = tape.connections[1]
    return (
        [int(connection[n]) for n in ("frames", "malformed", "future", "event_ns_max")],
        int(tape.venues[0]["mix"]),
        bars.trade_sums.tobytes(), bars.quote_sums.tobytes(), bars.depth_sums.tobytes(), bars.context_sums.tobytes(),
        tape.books.tobytes(), tape.top_price.tobytes(), tape.top_quantity.tobytes(), tape.marks.tobytes(),
    )  # fmt: skip


READERS = {
    "binance_usdm": Reader("binance_usdm", [("XUSDT", 2, 3)], ("trade", "bookTicker", "depth", "markPrice")),
    "binance_spot": Reader("binance_spot", [("XUSDT", 2, 8)]),
    "binance_coinm": Reader("binance_coinm", [("XUSD_PERP", 1, 0)], ("trade", "bookTicker", "depth", "markPrice")),
    "hyperliquid": Reader("hyperliquid", [("BTC", 1, 5)]),
}
T = START_MS + 5_000


def samples(venue: str) -> list[bytes]:
    """A frame of every kind that the scanner knows."""
    if venue == "hyperliquid":
        level = '{"px":"100.5","sz":"2.25","n":3}'
        trade = f'"coin":"BTC","side":"A","px":"100.5","sz":"0.125","time":{T},"hash":"0xabc","tid":77'
        bought = trade.replace("77", "78").replace('"A"', '"B"')
        coin = f'"coin":"BTC","time":{T}'
        ctx = (
            '{"funding":"-0.00004863","openInterest":"18617460.25","prevDayPx":"0.2","dayNtlVlm":"7665220.55613",'
            '"premium":"-0.0005","oraclePx":"100.25","markPx":"100.75","midPx":"100.5","impactPxs":["99.5","101.5"]'
        )
        bodies = (
            ("trades", "[{" + trade + "},{" + bought + "}]"),
            ("trades", "[{" + trade + ',"users":["0xa","0xb"]}]'),
            ("bbo", "{" + coin + f',"bbo":[{level},{level}]' + "}"),
            ("l2Book", "{" + coin + f',"levels":[[{level},{level}],[{level}]]' + "}"),
            ("activeAssetCtx", '{"coin":"BTC","ctx":' + ctx + "}}"),
            ("activeAssetCtx", '{"coin":"BTC","ctx":' + ctx + ',"dayBaseVlm":"7.5"}}'),
        )
        return [('{"channel":"' + channel + '","data":' + body + "}").encode() for channel, body in bodies]
    symbol = READERS[venue].names[0]
    stream, pair = symbol.lower(), '"ps":"XUSD",' if venue == "binance_coinm" else ""
    quantity = "7" if venue == "binance_coinm" else "0.125"
    time = "" if venue == "binance_spot" else f'"T":{T},'
    chain = "" if venue == "binance_spot" else '"pu":10,'
    if venue == "binance_spot":
        trade = f'"E":{T},"s":"{symbol}","t":77,"p":"100.5","q":"{quantity}","T":{T},"m":true,"M":true'
        quote = f'"u":11,"s":"{symbol}","b":"100.5","B":"{quantity}","a":"101.5","A":"{quantity}"'
    else:
        trade = f'"E":{T},{time}"s":"{symbol}","t":77,"p":"100.5","q":"{quantity}","X":"MARKET","m":true'
        head = '"u":11,"e":"bookTicker",' if pair else '"e":"bookTicker","u":11,'
        quote = f'{head}"s":"{symbol}",{pair}"b":"100.5","B":"{quantity}","a":"101.5","A":"{quantity}",{time}"E":{T}'
    diff = (
        f'"e":"depthUpdate","E":{T},{time}"s":"{symbol}",{pair}"U":11,"u":12,{chain}'
        f'"b":[["100.5","{quantity}"],["99.0","0"]],"a":[["101.5","{quantity}"]]'
    )
    named = [("trade", '"e":"trade",' + trade), ("bookTicker", quote), ("depth@100ms", diff)]
    if venue != "binance_spot":
        mark = f'"e":"markPriceUpdate","E":{T},"s":"{symbol}","p":"100.75000000",'
        named += [
            ("markPrice@1s", mark + '"i":"100.25000001","r":"-0.00038167","T":0'),
            ("markPrice", mark + '"P":"100.5","i":"100.25000001","r":"0.00038167","T":0'),
            ("markPrice", mark + '"i":"100.25000001","P":"100.5","r":"0.00038167","T":0'),
        ]
    return [(f'{{"stream":"{stream}@{name}","data":{{' + body + "}}").encode() for name, body in named]


def agree(venue: str, raw: bytes) -> Run:
    """Both paths do the same; nothing raises; every frame is counted in one way."""
    reader = READERS[venue]
    fast, slow = reader.run(raw), reader.run(raw, slowly=True)
    assert outcome(fast) == outcome(slow), raw
    connection = fast.tape.connections[1]
    assert connection["frames"] == 1
    told = sum(int(connection[name]) for name in ("fallbacks", "ignored", "malformed"))
    assert told == 1 or (told == 0 and reader.scanned(fast, raw) >= 0)
    return fast


@pytest.mark.parametrize("venue", READERS)
def test_a_frame_of_every_kind_is_scanned_and_means_what_the_oracle_says(venue: str) -> None:
    for raw in samples(venue):
        result = agree(venue, raw)
        (event, *more) = frames.decode(venue, raw)
        trades = [each for each in (event, *more) if isinstance(each, frames.Trade)]
        tape = result.tape
        assert not isinstance(event, frames.Malformed | frames.Other)
        assert tape.connections[1]["fallbacks"] == 0, raw
        if isinstance(event, frames.Trade):
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


NUMBERS = (
    "100.5", "0100.5", "000000000000000100.5", "100.50000000", "100.500000000", "100.5000000000000000", "100.501",
    "100.500001", "1", "1.", ".5", "1e3", "1E3", "-1", "+1", "-0", "0", "0.0", "", " 1", "1 ", "1_0", "1,5", "٣", "NaN",
    "Infinity", "0x10", "99999999999999", "123456789012345678", "1234567890123456789", "1" * 40, "0." + "1" * 30,
    "0.00", "00", "1.5.5", "1..5",
)  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_decimals_are_exact_or_refused(text: str) -> None:
    """Price and quantity of a trade in the same way on every path, and equal to Decimal where they are accepted."""
    for venue in READERS:
        for raw in samples(venue)[:1]:
            changed = raw.replace(b'"100.5"', f'"{text}"'.encode())
            result = agree(venue, changed)
            total = result.conveyor.state.bars.trade_sums[0]  # type: ignore[union-attr]
            accepted = total[total["messages"] > 0]
            if len(accepted):
                scale = 10 ** int(result.tape.symbols[0]["price_decimals"])
                assert accepted[0]["open"] == Decimal(text) * scale


@pytest.mark.parametrize(
    "text", ["007", "7.0", "7e0", "-7", "true", "null", '"7"', "7" * 19, "1" * 18, "1" * 20, " 7", "7 "]
)
def test_integers_are_exact_or_refused(text: str) -> None:
    raw = samples("binance_usdm")[0]
    result = agree("binance_usdm", raw.replace(b'"t":77', b'"t":' + text.encode()))
    accepted = result.tape.connections[1]["malformed"] == 0
    assert accepted == (text.strip() in ("7", "1" * 18))


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


# --- slow numbers -----------------------------------------------------------------------------------------------------


CONTEXTS = [(venue, samples(venue)[-1]) for venue in READERS if venue != "binance_spot"]
FIELDS = {"markPrice": ((INDEX, b"100.25000001"), (FUNDING, b"0.00038167")), "activeAssetCtx": ((INDEX, b"100.25"),)}


def slow_number(venue: str, raw: bytes, old: bytes, text: str, place: int) -> float | None:
    """What the scanner reads where `old` stood, None if it gives up; both paths agree on the frame in any case."""
    assert raw.count(old) == 1
    changed = raw.replace(old, text.encode())
    result = agree(venue, changed)
    return float(result.tape.reals[place]) if READERS[venue].scanned(result, changed) >= 0 else None


def places() -> list[tuple[str, bytes, bytes, int]]:
    return [
        (venue, raw, old, place)
        for venue, raw in CONTEXTS
        for channel, fields in FIELDS.items()
        if channel.encode() in raw
        for place, old in fields
    ]


@pytest.mark.parametrize(
    "text",
    [
        *NUMBERS, "-0.00004863", "-0", "-0.0", "--1", "1e-5", "0.1", "0.3", "9007199254740991", "9007199254740992",
        "9007199254740993", "0.9007199254740993", "900719925.4740991", "0.00000000000000001", "1.7976931348623157e308",
        "00000000000000000.1", "118000.123456789012", "0.30000000000000004", "null",
    ],
)  # fmt: skip
def test_slow_numbers_are_what_float_makes_of_them_or_left_to_the_slow_path(text: str) -> None:
    for venue, raw, old, place in places():
        value = slow_number(venue, raw, old, text, place)
        if value is not None:
            assert struct.pack("d", value) == struct.pack("d", float(text)), text


def test_any_decimal_of_fifteen_digits_is_read_without_the_slow_path() -> None:
    """The fast path may give up where it must, but not where it need not."""
    venue, raw, old, place = places()[0]

    @settings(USUAL, max_examples=300)
    @given(st.integers(0, 10**15 - 1), st.integers(0, 14), st.booleans())
    def check(mantissa: int, decimals: int, negative: bool) -> None:
        text = "-" * negative + f"{Decimal(mantissa).scaleb(-decimals):f}"
        value = slow_number(venue, raw, old, text, place)
        assert value is not None
        assert struct.pack("d", value) == struct.pack("d", float(text)), text

    check()


def test_a_null_slow_number_is_not_said() -> None:
    (raw,) = [raw for venue, raw in CONTEXTS if venue == "hyperliquid"]
    for old, new in ((b'"oraclePx":"100.25"', b'"oraclePx":null'), (b'"midPx":"100.5"', b'"midPx":null')):
        result = agree("hyperliquid", raw.replace(old, new))
        (total,) = [total for total in result.conveyor.state.bars.context_sums[0] if total["minute"] >= 0]  # type: ignore[union-attr]
        assert total["mark"] == 100.75
        assert math.isnan(total["index"]) == (b"oraclePx" in old)


def test_more_slow_numbers_than_the_buffer_holds_are_all_folded() -> None:
    """A full buffer stops the tape, which reads on where it stopped."""
    venue, raw = CONTEXTS[0]
    many = [raw.replace(b"0.00038167", b"0.%08d" % n) for n in range(1, 3_001)]
    small = core(limits={"ticks_per_batch": 1_024})
    at = (START_MS + 5_100) * NS_PER_MS
    sent = [Record(n, at, 1, RecordKind.FRAME, each) for n, each in enumerate(many)]
    few, all_ = (run([*READERS[venue].records, *sent], given) for given in (small, core()))
    assert outcome(few) == outcome(all_)
    newest = [total for total in few.conveyor.state.bars.context_sums[0] if total["minute"] >= 0]  # type: ignore[union-attr]
    assert [total["funding"] for total in newest] == [float("0.00003000")]


# --- book snapshots ---------------------------------------------------------------------------------------------------

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


# --- the venues' odd ones ---------------------------------------------------------------------------------------------


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


@pytest.mark.captures
@recorded
def test_single_recorded_messages_are_read_as_the_oracle_reads_them() -> None:
    """What the oracle finds in a message is neither malformed nor ignored here; nothing raises."""
    sources: list[tuple[str, Path]] = [
        ("binance_usdm", CAPTURES / "messages" / "binance_futures" / "tardis_node_binance_futures.jsonl"),
        ("binance_spot", CAPTURES / "messages" / "tardis_node" / "map_binance_messages.jsonl"),
        ("binance_coinm", CAPTURES / "messages" / "tardis_node" / "map_binance_delivery_messages.jsonl"),
        ("hyperliquid", CAPTURES / "hyperliquid" / "tardis_node_hyperliquid.jsonl"),
    ]
    read = 0
    for venue, path in sources:
        for raw in path.read_bytes().splitlines():
            if not raw.strip() or b'"generated":true' in raw or (b'"markPriceUpdate"' in raw and b'"i"' not in raw):
                continue  # made by the collector, or before the index stood in mark prices
            event = frames.decode(venue, raw)[0]
            name = getattr(event, "symbol", None) or "XUSDT"
            reader = Reader(venue, [(name, 8, 6)])
            time = getattr(event, "time_ms", None) or START_MS
            connection = reader.run(raw, at_ms=time).tape.connections[1]
            found = not isinstance(event, frames.Other | frames.Malformed)
            assert connection["malformed"] == isinstance(event, frames.Malformed), raw[:200]
            assert connection["ignored"] == isinstance(event, frames.Other), raw[:200]
            read += found
    assert read >= 20


@pytest.mark.captures
@recorded
def test_recorded_raw_streams_with_klines() -> None:
    """31 s of combined streams of four symbols: both paths, the same bits."""
    path = CAPTURES / "messages" / "binance_futures" / "BINANCE_FUTURES.ws.1.0"
    lines = [line.partition(b": ") for line in path.read_bytes().splitlines() if b': {"stream"' in line]
    names = sorted({orjson.loads(raw)["stream"].split("@")[0].upper() for _, _, raw in lines})
    reader = Reader("binance_usdm", [(name, 6, 3) for name in names], ("aggTrade", "bookTicker", "depth", "kline_1m"))
    sent = [Record(0, int(float(at) * 1e9), 1, RecordKind.FRAME, raw) for at, _, raw in lines]
    begin = [Record(0, sent[0].recv_ns, r.source, r.kind, r.payload) for r in reader.records]
    records = captures.with_ticks(begin + sent)
    fast, slow = run(records), run_slowly(records)
    assert outcome(fast) == outcome(slow)
    connection = fast.tape.connections[1]
    assert connection["malformed"] == 0
    klines = sum(b"@kline_1m" in raw for _, _, raw in lines)
    assert connection["fallbacks"] + connection["ignored"] == klines


# --- found wrong, and mended ----------------------------------------------------------------------------------------

HUGE = 9_300_000_000_000  # the first round number of ms whose nanoseconds do not fit 63 bits


def test_a_time_beyond_2262_does_not_raise_on_the_slow_path() -> None:
    raw = samples("binance_usdm")[0].replace(f'"T":{T}'.encode(), f'"T":{1_723_161_255_344_000}'.encode())
    READERS["binance_usdm"].run(raw, slowly=True)


def test_a_time_beyond_2262_is_not_believed_on_the_fast_path() -> None:
    wrapped = next(
        ms
        for k in range(1, 200)
        if (ms := (T * NS_PER_MS + k * 2**64) // NS_PER_MS) < 10**18
        and abs((ms * NS_PER_MS - k * 2**64) - T * NS_PER_MS) < NS_PER_MS
    )
    assert wrapped > HUGE
    raw = samples("binance_usdm")[0].replace(f'"T":{T}'.encode(), f'"T":{wrapped}'.encode())
    assert not any(READERS["binance_usdm"].run(raw).conveyor.state.bars.trade_sums[0]["messages"])  # type: ignore[union-attr]


def test_an_open_interest_time_beyond_2262_does_not_raise() -> None:
    story = Story().up("trade", "openInterest", came=-40_000)
    story.trade(-39_000)
    story.rest(10_000, "openInterest", {"openInterest": "5", "time": 10**17})
    story.run()


def test_an_aggregate_of_less_than_one_trade_is_malformed() -> None:
    story = Story().up("aggTrade", came=-40_000)
    data = {"e": "aggTrade", "E": T, "a": 7, "s": "XUSDT", "p": "1", "q": "2", "f": 10, "l": 5, "T": T, "m": True}
    story.frame(0, {"stream": "xusdt@aggTrade", "data": data})
    assert story.run().tape.connections[1]["malformed"] == 1


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


def test_values_are_finite_where_they_are_numbers() -> None:
    story = Story("hyperliquid", ("BTC",)).up("trades", "activeAssetCtx", came=-40_000)
    story.trade(-39_000)
    for text in ("NaN", "Infinity", "1e400", "9" * 400):
        story.frame(10_000, {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {"openInterest": text}}})
    run_ = story.run()
    assert run_.tape.connections[1]["malformed"] == 4
    assert math.isnan(run_.conveyor.state.bars.context_now[0]["interest"])  # type: ignore[union-attr]
