"""Raw captures become the records of the connections they were taken from, and nothing of them is lost silently."""

from __future__ import annotations

import json

import orjson
import pytest

from config.schema import Core
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.io.journal_reader import JournalReader
from replay.importers import connections_of, import_captures
from replay.recording import record
from tests.io.journals import records_in
from tests.replay.capture_files import NAMES, SNAPSHOT, capture, depth, shape, trade


@pytest.mark.parametrize("name", ["one.gz", "one.txt"])
def test_a_capture_becomes_one_connection_from_up_to_down(tmp_path, name):
    path = capture(tmp_path / name, (0, trade()), (300, SNAPSHOT), (450, trade(trade_id=2)))

    captures = import_captures([path], "binance_usdm")

    channels = [{"channel": "trade", "symbol": "BTCUSDT"}]
    assert shape(captures) == [
        (0, 0, "INSTRUMENT", Instrument("binance_usdm", "BTCUSDT", 1, 3, assumed=True).encode()),
        (0, 1, "CONNECTION", b'{"venue":"binance_usdm","state":"up","reason":"capture"}'),
        (0, 1, "SUBSCRIPTION", orjson.dumps({"venue": "binance_usdm", "channels": channels})),
        (0, 1, "FRAME", trade()),
        (300, 1, "REST", b"depth BTCUSDT\n" + SNAPSHOT),
        (450, 1, "FRAME", trade(trade_id=2)),
        (450, 1, "CONNECTION", b'{"venue":"binance_usdm","state":"down","reason":"end of capture"}'),
    ]
    assert captures.unreadable.count == 0
    assert shape(captures) == shape(captures)


def test_the_journal_holds_the_records_with_the_ticks_of_a_live_run(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()), (300, SNAPSHOT), (450, trade(trade_id=2)))

    record(tmp_path / "j", import_captures([path], "binance_usdm"), origin="imported", core=Core())

    records = records_in(tmp_path / "j")
    assert [NAMES[one.kind] for one in records] == [
        "CONFIG", "TICK", "INSTRUMENT", "CONNECTION", "SUBSCRIPTION", "FRAME", "TICK", "REST", "TICK", "FRAME",
        "CONNECTION",
    ]  # fmt: skip
    assert JournalReader(tmp_path / "j").header["origin"] == "imported"


def test_files_of_one_symbol_are_one_connection_in_order_of_time_whatever_the_order_they_are_named_in(tmp_path):
    first = capture(tmp_path / "b.gz", (0, trade()), (100, trade(trade_id=2)))
    second = capture(tmp_path / "a.gz", (200, depth("BTCUSDT", ("61.5", "1"))))

    captures = import_captures([second, first], "binance_usdm")

    assert [file.path.name for file in captures.connections[0].files] == ["b.gz", "a.gz"]
    assert [row[:3] for row in shape(captures)] == [
        (0, 0, "INSTRUMENT"), (0, 1, "CONNECTION"), (0, 1, "SUBSCRIPTION"), (0, 1, "FRAME"), (100, 1, "FRAME"),
        (200, 1, "FRAME"), (200, 1, "CONNECTION"),
    ]  # fmt: skip
    assert captures.connections[0].channels == [("depth", "BTCUSDT"), ("trade", "BTCUSDT")]


def test_several_symbols_are_several_connections_merged_by_receive_time(tmp_path):
    btc = capture(tmp_path / "btc.gz", (0, trade()), (100, trade(trade_id=2)), (200, trade(trade_id=3)))
    eth = capture(tmp_path / "eth", (50, trade("ETHUSDT", "2680.15")), (100, trade("ETHUSDT")), (150, trade("ETHUSDT")))

    captures = import_captures([btc, eth], "binance_usdm")

    assert captures.symbols == ["BTCUSDT", "ETHUSDT"]
    assert [row[:3] for row in shape(captures)] == [
        (0, 0, "INSTRUMENT"), (0, 0, "INSTRUMENT"), (0, 1, "CONNECTION"), (0, 1, "SUBSCRIPTION"), (0, 1, "FRAME"),
        (50, 2, "CONNECTION"), (50, 2, "SUBSCRIPTION"), (50, 2, "FRAME"), (100, 1, "FRAME"), (100, 2, "FRAME"),
        (150, 2, "FRAME"), (150, 2, "CONNECTION"), (200, 1, "FRAME"), (200, 1, "CONNECTION"),
    ]  # fmt: skip


def test_files_of_one_symbol_that_overlap_in_time_are_two_connections(tmp_path):
    one = capture(tmp_path / "one", (0, trade()), (5000, trade(trade_id=2)))
    two = capture(tmp_path / "two", (2000, trade()), (6000, trade(trade_id=3)))

    captures = import_captures([one, two], "binance_usdm")

    assert [[file.path.name for file in line.files] for line in captures.connections] == [["one"], ["two"]]
    assert len(captures.instruments) == 1


def test_one_file_with_several_symbols_is_one_connection(tmp_path):
    both = capture(tmp_path / "both", (0, trade()), (10, trade("ETHUSDT")))
    later = capture(tmp_path / "later", (3000, trade("ETHUSDT", trade_id=2)))

    captures = import_captures([both, later], "binance_usdm")

    assert [connection.symbols for connection in captures.connections] == [["BTCUSDT", "ETHUSDT"]]


def test_a_rest_answer_belongs_to_the_symbol_it_tells_else_to_the_only_one_of_its_connection(tmp_path):
    told = SNAPSHOT.replace(b'{"', b'{"symbol":"ETHUSDT","', 1)
    path = capture(tmp_path / "both", (0, trade()), (1, told), (2, SNAPSHOT), (3, trade("ETHUSDT")))

    captures = import_captures([path], "binance_usdm")

    assert [row[3] for row in shape(captures) if row[2] == "REST"] == [b"depth ETHUSDT\n" + told]
    assert [(line.file, line.line) for line in captures.unreadable.first] == [("both", 3)]
    assert "REST answer" in captures.unreadable.first[0].reason


def test_hyperliquid_frames_tell_their_coin_in_the_body(tmp_path):
    book = b'{"channel":"l2Book","data":{"coin":"%s","time":1737918843000,"levels":[[],[]]}}'
    candle = (
        b'{"channel":"candle","data":{"t":1,"T":2,"s":"%s","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}}'
    )
    path = capture(
        tmp_path / "hl", (0, b'{"channel":"pong"}'), (1, book % b"BTC"), (2, book % b"kPEPE"), (3, candle % b"BTC"),
        (4, candle % b"SOL"), (5, b'{"channel":"allMids","data":{"mids":{"BTC":"1"}}}'),
    )  # fmt: skip

    captures = import_captures([path], "hyperliquid")

    assert captures.connections[0].channels == [
        ("candle", "BTC"), ("candle", "SOL"), ("l2Book", "BTC"), ("l2Book", "kPEPE"),
    ]  # fmt: skip
    assert captures.ignored == 2
    assert sum(row[2] == "FRAME" for row in shape(captures)) == 6


def test_frames_in_an_unusual_dress_are_still_recognised(tmp_path):
    raw = orjson.loads(trade())["data"]
    spaced = json.dumps(orjson.loads(trade("ETHUSDT", "2680.123"))).encode()
    kline = (
        b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"s":"BTCUSDT","i":"1m",'
        b'"o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":false,"q":"1","V":"1","Q":"1"}}}'
    )
    path = capture(tmp_path / "odd", (0, orjson.dumps(raw)), (1, spaced), (2, kline), (3, b'{"result":null,"id":1}'))

    captures = import_captures([path], "binance_usdm")

    assert captures.connections[0].channels == [("kline_1m", "BTCUSDT"), ("trade", "BTCUSDT"), ("trade", "ETHUSDT")]
    assert [instrument.price_decimals for instrument in captures.instruments] == [1, 3]
    assert captures.ignored == 1


def test_captures_of_another_venue_or_of_nothing_are_refused(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")

    with pytest.raises(ConfigError, match="no frame of hyperliquid"):
        import_captures([path], "hyperliquid")
    with pytest.raises(ConfigError, match="no line can be read"):
        import_captures([empty], "binance_usdm")
    with pytest.raises(ConfigError, match="named twice"):
        import_captures([path, path], "binance_usdm")
    with pytest.raises(ConfigError, match="no decoder of that name"):
        import_captures([path], "kraken")
    assert "not one line" in import_captures([path, empty], "binance_usdm").unreadable.first[0].sentence()


def test_connections_of_nothing_is_nothing():
    assert connections_of([]) == []
