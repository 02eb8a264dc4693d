"""Minute rows by the oracle, against numbers anybody can verify by head."""

from __future__ import annotations

from typing import Any

import orjson

from engine.core.minutes import NS_PER_MS
from engine.core.records import RecordKind
from engine.core.schema import COLUMNS
from tests.oracles.books import Book
from tests.oracles.journal import START, D, Journal, M, close_to
from tests.oracles.minutes import CANDLE_COLUMNS, candles, mid_path, minutes, trade_columns
from tests.oracles.tape import Best, Symbol

# --- trades -----------------------------------------------------------------------------------------------------------


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


# --- quotes, books, context -------------------------------------------------------------------------------------------


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
    symbol = Symbol("binance_usdm", "X", Book("binance_usdm", "X"))
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
