"""The oracles against recorded connections and the exchange's own numbers: candles, best quotes, counts."""

from __future__ import annotations

import csv
import re

import pytest

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from tests.oracles.books import Book
from tests.oracles.captures import BINANCE_RAW, lines_of, recorded, recording, records_of_capture
from tests.oracles.closing import closing
from tests.oracles.frames import decode, decode_rest
from tests.oracles.journal import D
from tests.oracles.minutes import candles, minutes
from tests.oracles.nouns import Diff, Malformed, Other, Snapshot

KLINE = {
    "open": "open", "high": "high", "low": "low", "close": "close", "trade_count": "count",
    "base_volume": "volume", "quote_volume": "quote_volume",
    "taker_buy_base_volume": "taker_buy_volume", "taker_buy_quote_volume": "taker_buy_quote_volume",
}  # fmt: skip

CONNECTIONS = {  # capture -> venue, diffs whose update id a bookTicker has too
    "usdm_btcusdt": ("binance_usdm", 629),
    "coinm_btcusd_perp": ("binance_coinm", 1_885),
    "coinm_ethusd_perp": ("binance_coinm", 2_278),
    "spot_btcusdt": ("binance_spot", 1_072),
    "spot_ethusdt": ("binance_spot", 1_056),
}


@pytest.mark.captures
@recorded
def test_candles_equal_the_exchange() -> None:
    with open(BINANCE_RAW / "usdm_btcusdt_klines_1m.csv", newline="") as stream:
        klines = {int(line["open_time"]) // 60_000: line for line in csv.DictReader(stream)}
    records = records_of_capture([BINANCE_RAW / "usdm_btcusdt_20240808.gz"], "binance_usdm")
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


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", CONNECTIONS)
def test_rebuilt_books_equal_book_ticker_at_the_same_update_id(name: str) -> None:
    venue, expected = CONNECTIONS[name]
    lines = [line for path in sorted(BINANCE_RAW.glob(f"{name}_2*.gz")) for _, line in lines_of(path)]
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
            for number, (_, line) in enumerate(lines_of(path)):
                if number % 20 == 0 and b'"stream"' in line:
                    assert not isinstance(decode(venue, line)[0], Malformed | Other), line[:200]


@pytest.mark.captures
@recorded
def test_a_recorded_hyperliquid_connection() -> None:
    records = records_of_capture([recording("hyperliquid/btcusd_20250126.gz")], "hyperliquid")
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
