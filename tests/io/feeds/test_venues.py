"""The ends of venues against what venues really say."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import orjson
import pytest

from config.errors import ConfigError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.io.venues import ENDS
from engine.io.venues.end import Answer, decimals
from tests.io.feeds.world import START_NS
from tests.oracles.captures import recording

HL, USDM, SPOT = (ENDS[name] for name in ("hyperliquid", "binance_usdm", "binance_spot"))


def lines(path: Path) -> list[bytes]:
    """The raw messages of a capture, receive times cut off."""
    with gzip.open(path) as stream:
        return [line.split(b" ", 1)[1].rstrip(b"\n") for _, line in zip(range(20_000), stream, strict=False)]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b'{"result":null,"id":3}', Answer("done", 3)),
        (b'{"id":3,"result":null}', Answer("done", 3)),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":4}', Answer("refused", 4, (), "2 Invalid request")),
        (b'{"code":3,"msg":"Invalid JSON","id":"x"}', Answer("refused", -1, (), "3 Invalid JSON")),
        (b'{"event":{"e":"serverShutdown","E":1}}', Answer("closing", reason="serverShutdown")),
        (b'{"e":"serverShutdown","E":1}', Answer("closing", reason="serverShutdown")),
        (b"{}", Answer("other")),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_what_binance_says_besides_data(payload: bytes, answer: Answer | None):
    assert USDM.key(payload) == b""
    assert USDM.answer(payload) == answer


SUBSCRIPTION = b'{"type":"l2Book","coin":"BTC","nSigFigs":null}'


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"Websocket connection established.", Answer("other")),
        (b'{"channel":"pong"}', Answer("pong")),
        (
            b'{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":%b}}' % SUBSCRIPTION,
            Answer("done", streams=(("l2Book", "BTC"),)),
        ),
        (
            b'{"channel":"error","data":"Already subscribed: %b"}' % SUBSCRIPTION.replace(b'"', b'\\"'),
            Answer("done", streams=(("l2Book", "BTC"),)),
        ),
        (
            b'{"channel":"error","data":"Invalid subscription {\\"type\\":\\"bbo\\",\\"coin\\":\\"X\\"}"}',
            Answer("refused", streams=(("bbo", "X"),), reason='Invalid subscription {"type":"bbo","coin":"X"}'),
        ),
        (b'{"channel":"error","data":"no"}', Answer("refused", reason="no")),
        (b'{"channel":"error","data":"odd } { text"}', Answer("refused", reason="odd } { text")),
        (b'{"channel":7}', None),
        (b"[]", None),
        (b'{"chan', None),
    ],
)
def test_what_hyperliquid_says_besides_data(payload: bytes, answer: Answer | None):
    assert HL.key(payload) == b""
    assert HL.answer(payload) == answer


@pytest.mark.parametrize(
    ("payload", "stream"),
    [
        (b'{"channel":"trades","data":[{"coin":"BTC","side":"B"}]}', ("trades", "BTC")),
        (b'{"channel":"bbo","data":{"coin":"kPEPE","time":1,"bbo":[null,null]}}', ("bbo", "kPEPE")),
        (b'{"channel":"l2Book","data":{"coin":"xyz:AAPL","time":1}}', ("l2Book", "xyz:AAPL")),
        (b'{"channel":"candle","data":{"t":1,"T":2,"s":"ETH","i":"1m"}}', ("candle", "ETH")),
        (b'{"channel":"activeAssetCtx","data":{"coin":"SOL","ctx":{}}}', ("activeAssetCtx", "SOL")),
    ],
)
def test_hyperliquid_messages_are_told_apart_without_reading_them(payload: bytes, stream: tuple[str, str]):
    assert HL.key(payload) == HL.key_of(*stream)


@pytest.mark.parametrize("payload", [b"", b"{", b'{"channel":"', b'{"channel":"trades","data":[]}', b'{"stream":"x'])
def test_what_has_no_stream_has_no_key(payload: bytes):
    assert HL.key(payload) == b""
    assert USDM.key(payload) == b""


def test_recorded_messages_are_told_apart_as_their_own_names_say():
    for message in lines(recording("binance_raw/usdm_btcusdt_20240808.gz")):
        read = orjson.loads(message)
        assert USDM.key(message) == read.get("stream", "").encode()
    told = Counter(HL.key(message) for message in lines(recording("hyperliquid/btcusd_20250126.gz")))
    assert told == {b"l2Book BTC": 46, b"trades BTC": 9}
    for line in recording("hyperliquid/tardis_node_hyperliquid.jsonl").read_bytes().splitlines():
        read = orjson.loads(line)
        message = orjson.dumps(read.get("message", read))
        data = orjson.loads(message).get("data")
        first = data[0] if isinstance(data, list) else data
        if isinstance(first, dict) and "coin" in first:
            assert HL.key(message) == f"{orjson.loads(message)['channel']} {first['coin']}".encode()


def test_recorded_handshakes_are_made_in_our_words():
    first = recording("connections/BINANCE.ws.1.0").read_text().split("\n", 1)[0]
    names = first.partition("streams=")[2].partition(" ")[0].split("/")
    ours = {
        name
        for channel in ("depth", "bookTicker", "kline_1m", "aggTrade")
        for name in orjson.loads(SPOT.subscribe([(channel, "NKNUSDT")], 1))["params"]
    }
    assert ours == {name for name in names if name.startswith("nknusdt@")}


def test_a_recorded_listing_gives_the_scales():
    text = recording("connections/BINANCE.0").read_bytes()
    listing = SPOT.read_listing(text[text.index(b": {") + 2 :].split(b"\n", 1)[0])
    assert len(listing) > 1000
    nkn = listing["NKNUSDT"]
    assert (nkn.price_decimals, nkn.quantity_decimals, nkn.trading) == (4, 8, True)  # its prices are like 0.35210000
    held = 0
    for symbol, listed in listing.items():
        try:
            held += SPOT.instrument(symbol, listed).symbol == symbol
        except ConfigError:
            assert listed.price_decimals > 8 or not symbol.isascii()
    assert held > 1000


def test_requests_name_what_they_ask_for():
    minute = START_NS // NS_PER_MINUTE
    begin_ms = START_NS // NS_PER_MS
    assert USDM.snapshot("BTCUSDT") is not None
    assert HL.snapshot("BTC") is None
    assert HL.trades("BTC", "trades", -1, START_NS) is None
    assert (
        USDM.candle("BTCUSDT", minute).path
        == f"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime={begin_ms}&endTime={begin_ms + 59_999}&limit=1"
    )
    assert USDM.has_candle(b'[[%d,"1"]]' % begin_ms, minute)
    assert not USDM.has_candle(b'[[%d,"1"]]' % (begin_ms + 60_000), minute)
    assert HL.has_candle(b'[{"t":%d}]' % begin_ms, minute)
    by_key = USDM.trades("BTCUSDT", "trade", 5, START_NS)
    assert by_key is not None
    assert (by_key.name, by_key.path) == ("trades", "/fapi/v1/trades?symbol=BTCUSDT&limit=1000")
    assert USDM.last_trade(b'[{"id":4,"time":9},{"id":7,"time":11}]') == (2, 7, 11 * NS_PER_MS)
    assert not USDM.has_more("trade", 1000)
    assert USDM.has_more("aggTrade", 1000)
    assert USDM.totals().path == "/fapi/v1/ticker/24hr"
    assert (HL.totals().name, HL.totals().symbol) == ("metaAndAssetCtxs", "*")


def test_decimals_of_a_step():
    assert [decimals(step) for step in ("0.10", "1", "0.00100000", "1.00000000", "10", "1e-1")] == [1, 0, 3, 0, 0, 0]
