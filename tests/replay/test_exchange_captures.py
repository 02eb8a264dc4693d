"""A recorded capture served as the venue: raw bytes, a book that can be joined, candles from its trades."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MS
from replay.exchange import Exchange
from replay.exchange.captured import captured
from tests.oracles.captures import recording
from tests.replay.exchange_client import listen

BEGIN_MS = 1_723_161_300_000  # a whole minute


def usdm(lines: list[tuple[int, bytes]], tmp_path: Path, behind_ms: int = 1_200) -> Path:
    """A capture by a recorder whose clock is behind."""
    path = tmp_path / "usdm_btcusdt.gz"
    text = b"".join(b"%d %b\n" % ((at_ms - behind_ms) * NS_PER_MS, raw) for at_ms, raw in lines)
    path.write_bytes(gzip.compress(text))
    return path


def trade(number: int, at_ms: int, price: bytes = b"61800.10") -> bytes:
    return (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT","t":%d,"p":"%b","q":"0.010",'
        b'"X":"MARKET","m":false}}' % (at_ms, at_ms, number, price)
    )


def depth(first: int, last: int, before: int, at_ms: int) -> bytes:
    return (
        b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":%d,"T":%d,"s":"BTCUSDT","U":%d,"u":%d,"pu":%d,'
        b'"b":[["61800.00","1.000"]],"a":[]}}' % (at_ms, at_ms, first, last, before)
    )


def small(tmp_path: Path) -> Path:
    at = BEGIN_MS
    snapshot = b'{"lastUpdateId":50,"E":%d,"T":%d,"bids":[["61799.00","2.000"]],"asks":[["61801.00","3.000"]]}' % (
        at,
        at,
    )
    lines = [(at + 5, snapshot)]
    lines += [(at + 100 * i + 10, depth(100 * i + 40, 100 * i + 60, 100 * i - 40, at + 100 * i)) for i in range(600)]
    lines += [(at + 1_000 * i + 50, trade(7_000 + i, at + 1_000 * i + 7, b"6180%d.10" % (i % 7))) for i in range(65)]
    return usdm(sorted(lines), tmp_path)


def test_frames_are_the_recorded_ones_and_later_than_their_events(tmp_path):
    exchange = Exchange(captured([small(tmp_path)], "binance_usdm"))
    ear = listen(exchange, ("trade", "depth@0ms", "kline_1m"), ("BTC",), 64.0)
    heard = [payload for _, payload in ear.frames if b"@trade" in payload]
    assert heard
    assert set(heard) <= {trade(7_000 + i, BEGIN_MS + 1_000 * i + 7, b"6180%d.10" % (i % 7)) for i in range(65)}
    for recv_ns, payload in ear.frames:
        if b"@trade" in payload:
            late_ns = recv_ns - orjson.loads(payload)["data"]["T"] * NS_PER_MS
            assert 0 < late_ns < 100 * NS_PER_MS
    (final,) = [one["data"]["k"] for one in ear.told() if one.get("data", {}).get("k", {}).get("x")]
    assert (final["n"], final["v"], final["o"], final["h"]) == (60, "0.60", "61800.1", "61806.1")


def test_a_snapshot_tells_an_id_that_the_next_update_reaches_over(tmp_path):
    exchange = Exchange(captured([small(tmp_path)], "binance_usdm"))
    for second in (1, 10, 30):
        exchange.advance(exchange.source.start_ns + second * 1_000_000_000)
        reply = exchange.request("GET", "/fapi/v1/depth?symbol=BTCUSDT&limit=10", b"", exchange.now_ns)
        told = orjson.loads(reply.body)
        newest = exchange.ladders[0].last
        assert told["lastUpdateId"] == newest + 80  # where the next one begins: ids of other symbols lie between
        assert told["bids"] == [["61800.00", "1.000"], ["61799.00", "2.000"]]


def test_a_capture_without_single_trades_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no single trades of BTCUSDT"):
        captured([usdm([(BEGIN_MS + i, depth(i, i, i - 1, BEGIN_MS + i)) for i in range(5)], tmp_path)], "binance_usdm")


def test_hyperliquid_frames_are_the_recorded_ones(tmp_path):
    path = tmp_path / "btc.txt"
    book = b'{"channel":"l2Book","data":{"coin":"BTC","time":%d,"levels":[[{"px":"1.0","sz":"1.0","n":1}],[]]}}'
    fill = b'{"coin":"BTC","side":"B","px":"61800.0","sz":"0.01","time":%d,"hash":"0x00","tid":%d}'
    lines = []
    for i in range(40):
        at = BEGIN_MS + 500 * i
        lines.append(b"%d %b\n" % ((at + 300) * NS_PER_MS, book % at))
        lines.append(b'%d {"channel":"trades","data":[%b]}\n' % ((at + 310) * NS_PER_MS, fill % (at, i)))
    path.write_bytes(b"".join(lines))
    exchange = Exchange(captured([path], "hyperliquid"))
    ear = listen(exchange, ("trades", "l2Book", "candle"), ("BTC",), 25.0)
    ids = [trade["tid"] for told in ear.told() if told["channel"] == "trades" for trade in told["data"]]
    assert sorted(set(ids)) == list(range(40))
    assert len([told for told in ear.told() if told["channel"] == "l2Book"]) >= 39
    assert [row.id for row in exchange.truth.trades()] == list(range(40))


@pytest.mark.captures
def test_a_real_capture_plays_and_its_candles_are_the_venue_s():
    exchange = Exchange(captured([recording("binance_raw/usdm_btcusdt_20240808.gz")], "binance_usdm"))
    exchange.advance(exchange.source.end_ns)
    begin = (exchange.first_minute_ns // 60_000_000_000) * 60_000
    reply = exchange.request(
        "GET", f"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime={begin}&limit=5", b"", exchange.now_ns
    )
    known = {}
    for line in recording("binance_raw/usdm_btcusdt_klines_1m.csv").read_text().splitlines():
        cells = line.split(",")
        if cells[0].isdigit():
            known[int(cells[0])] = cells
    lines = orjson.loads(reply.body)
    assert len(lines) == 5
    for told in lines:
        cells = known[told[0]]
        assert [float(cell) for cell in told[1:6]] == [float(cell) for cell in cells[1:6]]
        assert told[8] == int(cells[8])
