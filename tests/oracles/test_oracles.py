"""The oracles against numbers anybody can verify by head, and against the exchange's own."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from itertools import count
from typing import Any

import orjson
import pytest

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind
from engine.core.schema import COLUMNS
from tests.oracles import captures
from tests.oracles.books import Book
from tests.oracles.closing import closing, quantile_ms
from tests.oracles.frames import Candle, Context, Diff, Malformed, Other, Quote, Snapshot, Trade, decode, decode_rest
from tests.oracles.minutes import CANDLE_COLUMNS, Best, candles, mid_path, minutes, trade_columns
from tests.oracles.minutes import Symbol as OracleSymbol

D = Decimal
M = 1_000  # the minute of the hand-made records; its first millisecond:
START = M * 60_000


# --- hand-made journals ---------------------------------------------------------------------------------------------


class Journal:
    """Records with a receive clock 100 ms ahead of the exchange. Times are milliseconds since the start of minute M."""

    def __init__(self, venue: str = "binance_usdm", symbol: str = "X", **instrument: Any) -> None:
        self.venue, self.symbol = venue, symbol
        self.records: list[Record] = []
        self.update_ids = count(1)
        if instrument:
            told = {"venue": venue, "symbol": symbol, "price_decimals": 2, "quantity_decimals": 3} | instrument
            self.put(0, RecordKind.INSTRUMENT, orjson.dumps(told), 0)

    def put(self, ms: int, kind: int, payload: bytes, source: int) -> None:
        self.records.append(Record(len(self.records), (START + ms + 100) * NS_PER_MS, source, kind, payload))

    def up(self, *channels: str, ms: int = 0, source: int = 1) -> Journal:
        self.put(
            ms, RecordKind.CONNECTION, orjson.dumps({"venue": self.venue, "state": "up", "reason": "test"}), source
        )
        entries = [{"channel": channel, "symbol": self.symbol} for channel in channels]
        self.put(ms, RecordKind.SUBSCRIPTION, orjson.dumps({"venue": self.venue, "channels": entries}), source)
        return self

    def down(self, ms: int, source: int = 1) -> None:
        self.put(
            ms, RecordKind.CONNECTION, orjson.dumps({"venue": self.venue, "state": "down", "reason": "test"}), source
        )

    def frame(self, ms: int, data: Any, source: int = 1) -> None:
        self.put(ms, RecordKind.FRAME, orjson.dumps(data), source)

    def tick(self, ms: int) -> int:
        self.put(ms, RecordKind.TICK, b"", 0)
        return self.records[-1].seq

    def trade(
        self,
        ms: int,
        price: str,
        quantity: str,
        buy: bool,
        number: int,
        came: int | None = None,
        source: int = 1,
        **more: Any,
    ) -> int:
        data = {
            "e": "trade",
            "E": START + ms,
            "T": START + ms,
            "s": self.symbol,
            "t": number,
            "p": price,
            "q": quantity,
            "m": not buy,
        }
        self.frame(ms if came is None else came, data | more, source)
        return self.records[-1].seq

    def quote(self, ms: int, bid: str, bid_quantity: str, ask: str, ask_quantity: str, came: int | None = None) -> None:
        data = {
            "e": "bookTicker",
            "u": next(self.update_ids),
            "s": self.symbol,
            "b": bid,
            "B": bid_quantity,
            "a": ask,
            "A": ask_quantity,
        }
        self.frame(ms if came is None else came, data | {"T": START + ms, "E": START + ms})

    def row(self, minute: int = M) -> dict[str, Any]:
        return minutes(self.records)[self.venue, self.symbol, minute]


def close_to(value: Decimal, expected: float) -> bool:
    return abs(float(value) - expected) < 1e-12 * max(1.0, abs(expected))


# --- frames ---------------------------------------------------------------------------------------------------------


def usdm(text: str) -> list[Any]:
    return decode("binance_usdm", text.encode())


def test_frames_of_binance() -> None:
    trade = '{"e":"trade","E":9,"T":8,"s":"X","t":5,"p":"1.50","q":"2","X":"MARKET","m":false}'
    expected = [Trade("X", 5, D("1.50"), D(2), True, 8)]
    assert usdm(trade) == expected
    assert usdm('{"stream":"x@trade","data":' + trade + "}") == expected
    assert usdm(trade.replace("MARKET", "ADL"))[0].in_candles is False
    assert usdm('{"e":"aggTrade","s":"X","a":7,"p":"1","q":"2","f":10,"l":12,"T":8,"m":true}') == [
        Trade("X", 7, D(1), D(2), False, 8, 3)
    ]
    assert usdm('{"e":"bookTicker","u":4,"s":"X","b":"1","B":"2","a":"0.0","A":"0","T":8,"E":9}') == [
        Quote("X", 4, D(1), D(2), None, None, 8)
    ]
    spot = b'{"u":4,"s":"X","b":"1","B":"2","a":"3","A":"4"}'
    assert decode("binance_spot", spot) == [Quote("X", 4, D(1), D(2), D(3), D(4), None)]
    diff = '{"e":"depthUpdate","E":9,"T":8,"s":"X","U":1,"u":3,"pu":0,"b":[["1","0"]],"a":[]}'
    assert usdm(diff) == [Diff("X", 1, 3, 0, ((D(1), D(0)),), (), 8)]
    assert usdm('{"stream":"x@depth20@100ms","data":' + diff + "}") == [Snapshot("X", 3, ((D(1), D(0)),), (), 8)]
    assert decode("binance_spot", diff.encode()) == [Diff("X", 1, 3, None, ((D(1), D(0)),), (), 9)]
    mark = '{"e":"markPriceUpdate","E":9,"s":"X","p":"1","i":"2","r":"-0.1","T":10}'
    assert usdm(mark) == [Context("X", None, D(1), D(2), D("-0.1"), 9)]
    assert usdm('{"result":null,"id":1}') == [Other("answer")]
    assert decode_rest("binance_usdm", b'openInterest X\n{"symbol":"X","openInterest":"5.5","time":7}') == [
        Context("X", D("5.5"), None, None, None, 7)
    ]


def test_frames_of_hyperliquid() -> None:
    def one(data: Any) -> list[Any]:
        return decode("hyperliquid", orjson.dumps(data))

    trades = [
        {"coin": "X", "side": side, "px": "1", "sz": "2", "time": 8, "tid": tid} for side, tid in (("B", 1), ("A", 2))
    ]
    assert one({"channel": "trades", "data": trades}) == [
        Trade("X", 1, D(1), D(2), True, 8),
        Trade("X", 2, D(1), D(2), False, 8),
    ]
    level = {"px": "1", "sz": "2", "n": 1}
    assert one({"channel": "bbo", "data": {"coin": "X", "time": 8, "bbo": [None, level]}}) == [
        Quote("X", None, None, None, D(1), D(2), 8)
    ]
    assert one({"channel": "l2Book", "data": {"coin": "X", "time": 8, "levels": [[level], []]}}) == [
        Snapshot("X", None, ((D(1), D(2)),), (), 8)
    ]
    candle = {"t": 0, "T": 1, "s": "X", "i": "1m", "o": "1", "c": "2", "h": "3", "l": "0.5", "v": "9", "n": 4}
    assert one({"channel": "candle", "data": candle}) == [
        Candle("X", 0, D(1), D(3), D("0.5"), D(2), D(9), None, 4, None, None, None, "1m")
    ]
    assert decode("hyperliquid", b"Websocket connection established.") == [Other("greeting")]


GOOD = '{"e":"trade","E":9,"T":8,"s":"X","t":5,"p":"1.5","q":"2","m":false}'


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "[]", "{", "\x00",
        '{"e":"trade"}',
        GOOD.replace('"1.5"', "1.5"),
        GOOD.replace('"1.5"', '"1e3"'),
        GOOD.replace('"1.5"', '"-1"'),
        GOOD.replace('"2"', '"0"'),
        GOOD.replace('"T":8', '"T":true'),
        GOOD.replace('"t":5', '"t":-5'),
        GOOD.replace("false", "0"),
        '{"stream":"x@depth","data":[]}',
        '{"e":"depthUpdate","T":8,"s":"X","U":1,"u":3,"pu":0,"b":[["1"]],"a":[]}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_malformed_and_nothing_raises(text: str) -> None:
    assert isinstance(usdm(text)[0], Malformed)
    assert isinstance(decode("hyperliquid", text.encode())[0], Malformed)
    assert decode("binance_usdm", b"\xff\xfe")[0] == Malformed("not JSON")


# --- books ----------------------------------------------------------------------------------------------------------


def diff(first: int, last: int, previous: int | None, bid: str = "10", quantity: str = "1") -> Diff:
    return Diff("X", first, last, previous, ((D(bid), D(quantity)),), (), 0)


def test_futures_book_starts_at_the_diff_that_reaches_over_the_snapshot() -> None:
    book = Book("binance_usdm", "X")
    assert [book.diff(diff(1, 4, 0, "7")), book.diff(diff(5, 8, 4, "8"))] == ["pending", "pending"]
    waiting = book.start(Snapshot("X", 6, ((D(9), D(5)),), ((D(11), D(6)),), None))
    assert [book.diff(each) for each in waiting] == ["old", "applied"]
    assert book.bids == {D(9): D(5), D(8): D(1)}  # the old one left no trace
    assert book.diff(diff(9, 9, 8, "9", "0")) == "applied"
    assert (book.best().bid, book.best().ask_quantity, book.best().update_id) == (D(8), D(6), 9)
    assert book.diff(diff(11, 12, 10)) == "gap"
    assert not book.in_step
    assert book.diff(diff(13, 14, 12)) == "pending"
    assert [book.diff(each) for each in book.start(Snapshot("X", 12, (), (), None))] == ["applied", "applied"]
    assert book.gaps == 1


def test_spot_book_wants_the_next_number() -> None:
    book = Book("binance_spot", "X")
    book.start(Snapshot("X", 6, (), (), None))
    assert [book.diff(diff(4, 6, None)), book.diff(diff(5, 8, None)), book.diff(diff(9, 9, None))] == [
        "old",
        "applied",
        "applied",
    ]
    assert book.diff(diff(9, 12, None)) == "gap"
    book.start(Snapshot("X", 20, (), (), None))
    assert book.diff(diff(22, 23, None)) == "gap"  # does not reach 21


def test_depth_of_a_book() -> None:
    book = Book("hyperliquid", "X")
    book.replace(Snapshot("X", None, tuple((D(90 - n), D(1)) for n in range(30)), ((D(91), D(2)), (D(92), D(3))), None))
    assert book.depth() == (5, 5, 20, 5)


# --- trades ---------------------------------------------------------------------------------------------------------


def three_trades() -> Journal:
    journal = Journal().up("trade")
    journal.trade(1_000, "100", "1", True, 1)
    journal.trade(2_000, "99", "3", True, 3)
    journal.trade(2_000, "102", "2", False, 2, came=2_500)  # the smaller id stands before, whenever it comes
    return journal


def test_trades_of_a_minute() -> None:
    row = three_trades().row()
    assert [row[name] for name in ("open", "high", "low", "close")] == [100, 102, 99, 99]
    assert [row[name] for name in ("base_volume", "quote_volume")] == [6, 100 + 204 + 297]
    assert [row[name] for name in ("taker_buy_base_volume", "taker_buy_quote_volume")] == [4, 397]
    assert (row["trade_count"], row["received"], row["duplicate"], row["rejected"]) == (3, 3, 0, 0)
    assert close_to(row["vwap"], 601 / 6)
    assert (row["trade_size_mean"], row["trade_size_max"]) == (2, 3)
    assert close_to(row["trade_size_std"], (2 / 3) ** 0.5)
    assert row["ohlc_source"] == "trade"


def test_edges_duplicates_and_trades_of_no_candle() -> None:
    journal = three_trades()
    journal.trade(0, "101", "1", True, 0, came=3_000)  # the first instant of the minute is in it
    journal.trade(60_000, "500", "1", True, 9, came=60_000)  # the first of the next is not
    journal.trade(1_000, "100", "1", True, 1, came=3_000)
    journal.trade(3_000, "900", "7", True, 4, X="INSURANCE_FUND")
    row = journal.row()
    assert [row[name] for name in ("open", "high", "base_volume")] == [101, 102, 7]
    assert (row["received"], row["duplicate"], row["rejected"], row["trade_count"]) == (6, 1, 1, 4)
    assert journal.row(M + 1)["open"] == 500
    candle = candles(journal.records)["binance_usdm", "X", M]
    assert candle == {name: row[name] for name in CANDLE_COLUMNS}


def test_aggregated_trades_count_their_parts() -> None:
    journal = Journal().up("aggTrade")
    data = {"e": "aggTrade", "s": "X", "a": 1, "p": "10", "q": "4", "f": 5, "l": 9, "T": START, "m": False}
    journal.frame(0, data)
    assert (journal.row()["trade_count"], journal.row()["received"], journal.row()["trade_size_mean"]) == (5, 1, 4)


def test_inverse_contracts() -> None:
    journal = Journal("binance_coinm", inverse=True, contract_size=100).up("trade")
    journal.trade(0, "50", "3", True, 1)
    journal.trade(1, "70", "1", False, 2)
    row = journal.row()
    assert (row["base_volume"], row["quote_volume"], row["taker_buy_quote_volume"], row["vwap"]) == (4, 400, 300, 55)


def test_hyperliquid_trades_of_one_instant_keep_their_arrival() -> None:
    journal = Journal("hyperliquid").up("trades")
    trades = [
        {"coin": "X", "side": "B", "px": px, "sz": "1", "time": START + 5, "tid": tid}
        for px, tid in (("10", 9), ("12", 1), ("11", 5))
    ]
    journal.frame(5, {"channel": "trades", "data": trades})
    assert [journal.row()[name] for name in ("open", "close")] == [10, 11]


def test_a_trade_from_the_future_is_not_believed() -> None:
    journal = three_trades()
    journal.trade(7_501, "1", "1", True, 8, came=2_500)  # offset 100 ms, so 5,001 ms ahead
    journal.trade(7_500, "103", "1", True, 9, came=2_500)  # 5,000 ms ahead
    assert (journal.row()["low"], journal.row()["high"], journal.row()["received"]) == (99, 103, 4)


def test_no_trades() -> None:
    assert set(trade_columns([]).values()) == {None}


# --- quotes, books, context -----------------------------------------------------------------------------------------


def test_quotes_of_a_minute() -> None:
    journal = Journal().up("trade", "bookTicker")
    journal.quote(0, "100", "1", "102", "3")
    journal.quote(30_000, "101", "2", "103", "2")
    journal.quote(45_000, "104", "1", "103", "1")  # crossed: nothing is in force any more
    row = journal.row()
    assert [row[name] for name in ("mid_open", "mid_high", "mid_low", "mid_close")] == [101, 102, 101, None]
    assert [row[name] for name in ("open", "high", "low", "close", "ohlc_source")] == [101, 102, 101, None, "mid"]
    assert (row["spread_mean"], row["spread_max"], row["mid_path_points"]) == (2, 2, 45)
    assert close_to(row["spread_bp_mean"], 1e4 * (2 / 101 * 30 + 2 / 102 * 15) / 45)
    assert close_to(row["obi_top1_mean"], 1 / 3)  # (1/4 * 30 s + 1/2 * 15 s) / 45 s
    assert row["ofi"] == 2 + 3  # the bid rose: + its new quantity; the ask rose: + its old quantity
    assert (row["quote_count"], row["microprice_close"]) == (3, None)
    assert (row["base_volume"], row["trade_count"]) == (0, 0)


def test_a_quote_lasts_into_the_next_minute_and_a_late_one_waits_its_turn() -> None:
    journal = Journal().up("bookTicker")
    journal.quote(59_000, "100", "1", "102", "3")
    journal.quote(58_000, "100", "4", "104", "4", came=59_000)  # takes effect at 59,000
    journal.quote(120_000, "1", "1", "2", "1")
    first, second = journal.row(), journal.row(M + 1)
    assert (first["spread_mean"], first["spread_max"], first["mid_path_points"]) == (4, 4, 1)
    assert (second["mid_open"], second["mid_close"], second["spread_mean"], second["ofi"], second["quote_count"]) == (
        102,
        102,
        4,
        None,
        0,
    )
    assert second["microprice_close"] == 102  # (104*4 + 100*4) / 8


def test_a_quote_after_the_close_counts_from_the_boundary() -> None:
    journal = Journal().up("bookTicker")
    journal.quote(30_000, "100", "1", "102", "1")
    tick = journal.tick(61_600)
    journal.quote(59_000, "200", "1", "202", "1", came=61_700)
    journal.tick(121_600)
    key = ("binance_usdm", M)
    rows = minutes(journal.records, {key: tick, ("binance_usdm", M + 1): tick + 2})
    first, second = rows["binance_usdm", "X", M], rows["binance_usdm", "X", M + 1]
    assert (first["mid_close"], second["mid_open"], second["mid_close"], second["mid_path_points"]) == (
        101,
        101,
        201,
        60,
    )
    assert (first["clock_skew_ms"], first["book_age_ms"], first["book_staleness_ms"]) == (100, 30_000, 30_000)


def test_the_mid_path_samples_just_before_each_second_ends() -> None:
    symbol = OracleSymbol("binance_usdm", "X", Book("binance_usdm", "X"))
    for ms, price in ((1_000, 10), (1_999, 20), (3_000, 30)):
        symbol.add(symbol.quotes, (START + ms) * NS_PER_MS, Best(D(price), D(1), D(price), D(1)), True)
    assert mid_path(symbol, M)[:5] == [None, 20, 20, 30, 30]


def l2_book(ms: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> dict[str, Any]:
    levels = [[{"px": px, "sz": sz, "n": 1} for px, sz in side] for side in (bids, asks)]
    return {"channel": "l2Book", "data": {"coin": "X", "time": START + ms, "levels": levels}}


def test_a_book_gives_the_quote_where_no_other_channel_does() -> None:
    journal = Journal("hyperliquid").up("trades", "l2Book")
    bids = [(str(90 - n), "1") for n in range(20)]
    journal.frame(0, l2_book(0, bids, [("91", "5"), ("92", "15")]))
    journal.frame(20_000, l2_book(20_000, bids[:5], [("92", "15")]))
    journal.frame(50_000, l2_book(50_000, [], [("92", "15")]))
    row = journal.row()
    assert (row["mid_open"], row["mid_close"], row["mid_path_points"]) == (D("90.5"), None, 50)
    assert (row["quote_count"], row["book_count"]) == (3, 3)
    assert close_to(row["obi_top1_mean"], (20 / 6 + 30 / 16) / 50)  # 1/(1+5) for 20 s, 1/(1+15) for 30 s
    assert close_to(row["obi_top5_mean"], (20 * 5 / 25 + 30 * 5 / 20) / 50)  # 10 s without bids do not count
    assert close_to(row["obi_top20_mean"], (20 * 20 / 40 + 30 * 5 / 20) / 50)
    assert close_to(row["depth_top20_mean"], (20 * 40 + 30 * 20) / 50)


def test_a_book_out_of_step_is_not_in_force() -> None:
    journal = Journal().up("bookTicker", "depth")
    snapshot = {"lastUpdateId": 5, "T": START, "bids": [["10", "1"]], "asks": [["11", "3"]]}
    journal.put(0, RecordKind.REST, b"depth X\n" + orjson.dumps(snapshot), 1)

    def update(ms: int, previous: int, last: int, quantity: str) -> None:
        data = {
            "e": "depthUpdate",
            "E": START + ms,
            "T": START + ms,
            "s": "X",
            "U": previous + 1,
            "u": last,
            "pu": previous,
        }
        journal.frame(ms, data | {"b": [["10", quantity]], "a": []})

    update(10_000, 4, 6, "3")
    update(20_000, 7, 8, "9")
    row = journal.row()
    assert row["book_count"] == 1
    assert close_to(row["obi_top5_mean"], (10 * 1 / 4 + 10 * 3 / 6) / 20)
    assert (row["quote_count"], row["mid_open"]) == (0, None)  # the quote comes from bookTicker, which was silent


def test_context_and_liquidations() -> None:
    journal = Journal("hyperliquid").up("trades", "activeAssetCtx")
    journal.frame(
        0, {"channel": "trades", "data": [{"coin": "X", "side": "B", "px": "1", "sz": "1", "time": START, "tid": 1}]}
    )
    for ms, interest in (
        (10_000, "5"),
        (20_000, "9"),
        (59_999, "7"),
        (60_000, "1"),
    ):  # received 100 ms later, which is the offset
        ctx = {"funding": "0.1", "openInterest": interest, "markPx": interest, "oraclePx": "3"}
        journal.frame(ms, {"channel": "activeAssetCtx", "data": {"coin": "X", "ctx": ctx}})
    row = journal.row()
    assert [row[name] for name in ("oi_open", "oi_close", "oi_min", "oi_max", "oi_staleness_ms")] == [5, 7, 5, 9, 1]
    assert [row[name] for name in ("mark_price", "index_price", "funding_rate", "liquidation_count")] == [
        7,
        3,
        D("0.1"),
        None,
    ]

    journal = Journal().up("forceOrder")
    order = {"s": "X", "S": "SELL", "q": "5", "p": "9", "ap": "9", "l": "1", "z": "4", "T": START + 5}
    journal.frame(9, {"e": "forceOrder", "E": START + 9, "o": order})
    row = journal.row()
    assert [row[name] for name in ("liquidation_count", "liquidation_buy_base", "liquidation_sell_base")] == [1, 0, 4]


def test_every_column_is_here_or_left_out_by_name() -> None:
    left_out = {"lateness_ms", "close_wait_ms", "close_reason", "late_merged", "late_dropped", "quote_ns", "book_ns"}
    journal = three_trades()
    rows = minutes(journal.records, {("binance_usdm", M): journal.records[-1].seq})
    names = {column.name for column in COLUMNS if column.stage == "bars"}
    assert set(rows["binance_usdm", "X", M]) == names - left_out


# --- closing --------------------------------------------------------------------------------------------------------


def closes(journal: Journal) -> list[tuple[int, int, int, str]]:
    return [(each.minute - M, each.revision, each.seq, each.reason) for each in closing(journal.records).closed]


def test_a_minute_closes_when_the_watermark_reaches_its_end() -> None:
    journal = Journal().up("trade")
    journal.trade(60_499, "1", "1", True, 1)
    assert closes(journal) == []
    seq = journal.trade(60_500, "1", "1", True, 2)  # lateness starts at 500 ms
    assert closes(journal) == [(0, 0, seq, "event")]
    known = closing(journal.records).known["binance_usdm", M]
    assert (known.lateness_ms, known.offset_ns, known.close_wait_ns) == (500, 100 * NS_PER_MS, 500 * NS_PER_MS)


def test_a_silent_minute_closes_by_timeout() -> None:
    journal = Journal().up("trade")
    journal.trade(1_000, "1", "1", True, 1)
    journal.tick(61_499)  # offset is 100 ms, so the timeout is at the boundary + 1,600 ms of receive time
    seq = journal.tick(61_500)
    assert closes(journal) == [(0, 0, seq, "timeout")]


def test_late_trades_are_merged_within_grace_and_in_the_ledger_after() -> None:
    journal = Journal().up("trade")
    first = journal.trade(60_500, "1", "1", True, 1)
    journal.trade(59_999, "1", "1", True, 2, came=60_600)
    journal.trade(59_998, "1", "1", True, 3, came=60_700)
    journal.trade(60_500, "1", "1", True, 1, came=60_750)  # a duplicate
    merge = journal.tick(60_800)
    journal.tick(62_999)
    journal.trade(59_997, "1", "1", True, 4, came=62_999)
    last = journal.tick(63_000)  # merges, then ends grace
    journal.trade(59_996, "1", "1", True, 5, came=63_000)
    lower = journal.tick(63_200)
    journal.trade(59_995, "1", "1", True, 6, came=63_200)
    journal.tick(63_400)  # its status has fallen already
    assert closes(journal) == [
        (0, 0, first, "event"),
        (0, 1, merge, "late_merged"),
        (0, 2, last, "late_merged"),
        (0, 3, lower, "late_trades"),
    ]
    assert [(each.id, each.merged) for each in closing(journal.records).late] == [
        (2, True),
        (3, True),
        (4, True),
        (5, False),
        (6, False),
    ]


def test_every_live_voting_connection_must_pass() -> None:
    journal = Journal().up("trade").up("trade", source=2).up("markPrice", source=3)
    journal.trade(61_000, "1", "1", True, 1)
    assert closes(journal) == []
    journal.trade(59_000, "1", "1", True, 2, came=61_000, source=2)
    assert closes(journal) == []
    journal.down(61_100, source=2)  # the third has no event times and no vote
    assert closes(journal) == [(0, 0, journal.records[-1].seq, "event")]


def test_lateness_follows_the_disorder() -> None:
    assert quantile_ms([0] * 999 + [75]) == 10
    assert quantile_ms([0] * 998 + [75] * 2) == 80
    for disorder, expected in ((0, 50), (190, 200), (3_000, 1_500)):
        journal = Journal().up("trade")
        for number in range(1_000):
            journal.trade(10_000, "1", "1", True, 2 * number)
            journal.trade(10_000 - disorder, "1", "1", True, 2 * number + 1, came=10_000)
        journal.trade(60_500, "1", "1", True, 5_000)
        journal.trade(120_000 + expected - 1, "1", "1", True, 5_001)
        assert [minute for minute, *_ in closes(journal)] == [0]
        journal.trade(120_000 + expected, "1", "1", True, 5_002)
        assert [minute for minute, *_ in closes(journal)] == [0, 1]


def test_the_first_seconds_of_a_connection_teach_nothing() -> None:
    journal = Journal().up("trade")
    for number in range(2_000):
        journal.trade(4_999, "1", "1", True, number)
    journal.trade(60_500, "1", "1", True, 5_000)
    journal.trade(120_499, "1", "1", True, 5_001)
    assert len(closes(journal)) == 1


# --- against the exchange -------------------------------------------------------------------------------------------

BINANCE_RAW = captures.CAPTURES / "binance_raw"
recorded = pytest.mark.skipif(
    not BINANCE_RAW.is_dir(), reason="no recorded captures: set CONVEYOR_CAPTURES to their folder"
)
KLINE = {
    "open": "open", "high": "high", "low": "low", "close": "close", "trade_count": "count",
    "base_volume": "volume", "quote_volume": "quote_volume",
    "taker_buy_base_volume": "taker_buy_volume", "taker_buy_quote_volume": "taker_buy_quote_volume",
}  # fmt: skip


@pytest.mark.captures
@recorded
def test_candles_equal_the_exchange() -> None:
    with open(BINANCE_RAW / "usdm_btcusdt_klines_1m.csv", newline="") as stream:
        klines = {int(line["open_time"]) // 60_000: line for line in csv.DictReader(stream)}
    records = captures.records_of_capture([BINANCE_RAW / "usdm_btcusdt_20240808.gz"], "binance_usdm")
    rows = candles(records)
    first = 1_723_161_300_000 // 60_000  # 2024-08-08 23:55
    for minute in range(first, first + 5):
        row = rows["binance_usdm", "BTCUSDT", minute]
        for ours, theirs in KLINE.items():
            assert row[ours] == D(klines[minute][theirs]), (minute, ours)
    result = closing(records)
    assert [(each.minute, each.revision, each.reason) for each in result.closed] == [
        (minute, 0, "event") for minute in range(first - 1, first + 5)
    ]
    assert result.late == []
    assert all(-1_280 < known.offset_ns / NS_PER_MS < -1_260 for known in result.known.values() if known.offset_ns)


CONNECTIONS = {  # capture -> venue, diffs whose update id a bookTicker has too
    "usdm_btcusdt": ("binance_usdm", 629),
    "coinm_btcusd_perp": ("binance_coinm", 1_885),
    "coinm_ethusd_perp": ("binance_coinm", 2_278),
    "spot_btcusdt": ("binance_spot", 1_072),
    "spot_ethusdt": ("binance_spot", 1_056),
}


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", CONNECTIONS)
def test_rebuilt_books_equal_book_ticker_at_the_same_update_id(name: str) -> None:
    venue, expected = CONNECTIONS[name]
    lines = [line for path in sorted(BINANCE_RAW.glob(f"{name}_2*.gz")) for _, line in captures.lines_of(path)]
    update_id = re.compile(rb'"u":([0-9]+)')
    tickers = {int(update_id.search(line)[1]): line for line in lines if b"@bookTicker" in line}  # type: ignore[index]
    book, compared = Book(venue, name), 0

    def apply(each: Diff) -> int:
        if book.diff(each) != "applied" or each.last_id not in tickers:
            return 0
        quote = decode(venue, tickers[each.last_id])[0]
        best = book.best()
        for field in ("update_id", "bid", "bid_quantity", "ask", "ask_quantity"):
            assert getattr(best, field) == getattr(quote, field), (each.last_id, field)
        return 1

    for line in lines:
        if b'"stream"' not in line:
            snapshot = decode_rest(venue, b"depth X\n" + line)[0]
            assert isinstance(snapshot, Snapshot)
            compared += sum(apply(waiting) for waiting in book.start(snapshot))
        elif b"@depth" in line:
            each = decode(venue, line)[0]
            assert isinstance(each, Diff)
            compared += apply(each)
    assert (compared, book.gaps) == (expected, 0)


@pytest.mark.captures
@recorded
def test_every_recorded_frame_is_read() -> None:
    for name, (venue, _) in CONNECTIONS.items():
        for path in sorted(BINANCE_RAW.glob(f"{name}_2*.gz")):
            for number, (_, line) in enumerate(captures.lines_of(path)):
                if number % 20 == 0 and b'"stream"' in line:
                    assert not isinstance(decode(venue, line)[0], Malformed | Other), line[:200]


@pytest.mark.captures
@recorded
def test_a_recorded_hyperliquid_connection() -> None:
    records = captures.records_of_capture([captures.CAPTURES / "hyperliquid" / "btcusd_20250126.gz"], "hyperliquid")
    rows = minutes(records)
    names = {name for _, name, _ in rows}
    assert names == {"BTC"}
    last = rows[max(rows)]
    assert last["book_count"] == last["quote_count"] == 46  # l2Book messages, all within one minute
    assert sum(row["received"] for row in rows.values()) == sum(
        line.count(b'"tid"') for line in (r.payload for r in records)
    )
    minute = max(rows)[2]
    assert any(r.recv_ns // NS_PER_MINUTE == minute for r in records)
