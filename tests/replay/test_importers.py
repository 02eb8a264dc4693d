"""Raw captures become the records of the connections they were taken from, and nothing of them is lost silently."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from config.schema import Core
from engine.cli import cli
from engine.commands import recording as verbs
from engine.conveyor import Conveyor
from engine.core.effects import Event, MinuteRows
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import Record, RecordKind, iterate
from engine.core.schema import Status
from engine.io.journal_reader import JournalReader
from engine.tape.venues import VENUES
from replay.capture_file import CaptureFile, Trouble
from replay.importers import Captures, connections_of, import_captures
from replay.instrument_file import read_instruments
from replay.recording import record
from tests.oracles.captures import CAPTURES, records_of_captures

T = 1_723_161_255_000_000_000  # 2024-08-08 23:54:15 UTC
SNAPSHOT = b'{"lastUpdateId":7,"bids":[["61800.20","2.909"]],"asks":[["61800.30","1.000"]]}'
NAMES = {int(kind): kind.name for kind in RecordKind}

FILES = {
    "binance_usdm": ["usdm_btcusdt_20240808"],
    "binance_coinm": [f"coinm_{coin}usd_perp_{day}" for coin in ("btc", "eth") for day in (20240808, 20240809)],
    "binance_spot": [f"spot_{coin}usdt_{day}" for coin in ("btc", "eth") for day in (20240808, 20240809)],
}
ASSUMED = {  # (price_decimals, quantity_decimals, contract_size, quantity_unit) after trailing zeros are left out
    "binance_usdm": {"BTCUSDT": (1, 3, 1, "base")},
    "binance_coinm": {"BTCUSD_PERP": (1, 0, 100, "contract"), "ETHUSD_PERP": (2, 0, 10, "contract")},
    "binance_spot": {"BTCUSDT": (2, 8, 1, "base"), "ETHUSDT": (2, 8, 1, "base")},
    "hyperliquid": {"BTC": (6, 8, 1, "base")},
}


def trade(symbol: str = "BTCUSDT", price: str = "61800.30", quantity: str = "0.006", trade_id: int = 1) -> bytes:
    return (
        b'{"stream":"%s@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"%s","t":%d,"p":"%s","q":"%s",'
        b'"X":"MARKET","m":false}}'
        % (symbol.lower().encode(), symbol.encode(), trade_id, price.encode(), quantity.encode())
    )


def depth(symbol: str, *levels: tuple[str, str]) -> bytes:
    data = {"e": "depthUpdate", "E": 1, "T": 1, "s": symbol, "U": 1, "u": 2, "pu": 0, "b": levels, "a": []}
    return orjson.dumps({"stream": f"{symbol.lower()}@depth@0ms", "data": data})


def capture(path: Path, *lines: tuple[int, bytes]) -> Path:
    """lines: (ms after T, message)."""
    text = b"".join(b"%d %s\n" % (T + ms * 1_000_000, raw) for ms, raw in lines)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def shape(captures: Captures) -> list[tuple[float, int, str, bytes]]:
    """(ms after T, source, kind, payload) of each record."""
    return [((recv - T) / 1e6, source, NAMES[kind], payload) for recv, source, kind, payload in captures]


def lines_of(path: Path) -> tuple[list[tuple[int, int, bytes]], Trouble]:
    trouble = Trouble()
    return list(CaptureFile(path, trouble).lines()), trouble


# Records --------------------------------------------------------------------------------------------------------------


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

    records = [one for batch in JournalReader(tmp_path / "j").batches() for one in iterate(batch)]
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


# Lines that cannot be read --------------------------------------------------------------------------------------------


def test_a_line_that_cannot_be_read_is_counted_and_told_with_its_place(tmp_path):
    good = b"%d %s" % (T, trade())
    (tmp_path / "bad").write_bytes(
        b"\n".join(
            [good, b"", b"x " + trade(), b"1723161255030 {}", b"%d" % T, b"1_723161255_00000000 {}", good + b"\r"]
        )
    )

    captures = import_captures([tmp_path / "bad"], "binance_usdm")

    assert [(line.line, line.reason) for line in captures.unreadable.first] == [
        (2, "empty"),
        (3, "does not begin with a receive time"),
        (4, "receive time 1723161255030 is not in ns UTC (19 digits)"),
        (5, "no message behind the receive time"),
        (6, "does not begin with a receive time"),
    ]
    assert [row[3] for row in shape(captures) if row[2] == "FRAME"] == [trade(), trade()]
    assert captures.unreadable.count == 5


@pytest.mark.parametrize("cut", [1, 9, 100, 2000])
def test_a_truncated_gz_is_read_as_far_as_it_goes(tmp_path, cut):
    lines = [(i, trade(trade_id=i * 7919)) for i in range(3000)]
    whole = capture(tmp_path / "whole.gz", *lines)
    (tmp_path / "cut.gz").write_bytes(whole.read_bytes()[:-cut])

    expected, _ = lines_of(whole)
    found, trouble = lines_of(tmp_path / "cut.gz")

    assert found == expected[: len(found)]
    assert len(found) >= 3000 - cut
    assert trouble.count == 1
    assert "too early" in trouble.first[0].reason


def test_a_damaged_gz_is_read_to_the_damage(tmp_path):
    rng = np.random.default_rng(1)
    lines = [(i, trade(price=str(rng.integers(10**6)), trade_id=int(rng.integers(10**9)))) for i in range(3000)]
    whole = capture(tmp_path / "whole.gz", *lines)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (tmp_path / "damaged.gz").write_bytes(data)

    found, trouble = lines_of(tmp_path / "damaged.gz")

    assert found[:1000] == lines_of(whole)[0][:1000]
    assert any("damaged" in line.reason for line in trouble.first)


def test_gz_members_one_behind_the_other_are_one_file(tmp_path):
    one = capture(tmp_path / "one.gz", (0, trade()), (1, trade(trade_id=2)))
    two = capture(tmp_path / "two.gz", (2, trade(trade_id=3)))
    (tmp_path / "both").write_bytes(one.read_bytes() + two.read_bytes() + bytes(512))
    (tmp_path / "more").write_bytes(one.read_bytes() + b"rubbish")

    assert [raw for _, _, raw in lines_of(tmp_path / "both")[0]] == [trade(), trade(trade_id=2), trade(trade_id=3)]
    assert lines_of(tmp_path / "both")[1].count == 0
    assert lines_of(tmp_path / "more")[1].count == 1


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_are_read_or_told_but_never_raise(tmp_path_factory, data, compressed):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(gzip.compress(data) if compressed else data)

    found, trouble = lines_of(path)

    if compressed or not data.startswith(b"\x1f\x8b"):
        assert len(found) + trouble.count == len(data.split(b"\n")) - (data.endswith(b"\n") or not data)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_arbitrary_messages_never_stop_an_import(tmp_path_factory, messages):
    path = tmp_path_factory.getbasetemp() / "arbitrary.txt"
    kept = [raw.replace(b"\n", b" ") for raw in messages]
    for venue, known in (
        ("binance_usdm", trade()),
        ("hyperliquid", b'{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[],[]]}}'),
    ):
        capture(path, (0, known), *((1, raw) for raw in kept))
        captures = import_captures([path], venue)
        frames = sum(row[2] in ("FRAME", "REST") for row in shape(captures))
        assert frames + captures.unreadable.count == 1 + len(kept)


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


# Instruments ----------------------------------------------------------------------------------------------------------


@given(
    prices=st.lists(st.decimals("0.00000001", "99999", places=8), min_size=1, max_size=6),
    quantities=st.lists(st.decimals("0", "9999", places=5), min_size=1, max_size=6),
    where=st.sampled_from(["trade", "depth", "rest", "quote"]),
)
def test_scales_are_assumed_as_fine_as_anything_printed(tmp_path_factory, prices, quantities, where):
    path = tmp_path_factory.getbasetemp() / "scales.txt"
    pairs = [(f"{p:f}", f"{quantities[i % len(quantities)]:f}") for i, p in enumerate(prices)]
    quote = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"%s","B":"%s","a":"%s","A":"%s"}}'
    makers = {
        "trade": lambda: [trade("BTCUSDT", p, q) for p, q in pairs],
        "depth": lambda: [depth("BTCUSDT", *pairs)],
        "rest": lambda: [orjson.dumps({"lastUpdateId": 1, "bids": [], "asks": pairs})],
        "quote": lambda: [quote % tuple(text.encode() for text in (p, q, *pairs[0])) for p, q in pairs],
    }
    mark = b'{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1.123456789"}}'
    capture(path, (0, trade("BTCUSDT", "1", "1")), (1, mark), *((2, raw) for raw in makers[where]()))

    (instrument,) = import_captures([path], "binance_usdm").instruments

    def needed(texts: list[str]) -> int:
        return max(0, *(-int(Decimal(text).normalize().as_tuple().exponent) for text in texts))

    assert instrument.price_decimals == needed(["1", *(p for p, _ in pairs)])
    assert instrument.quantity_decimals == needed(["1", *(q for _, q in pairs)])
    assert instrument.assumed


def test_instruments_of_a_file_win_over_what_is_assumed(tmp_path):
    lines = tmp_path / "instruments.jsonl"
    lines.write_text('{"symbol": "BTCUSDT", "price_decimals": 2, "quantity_decimals": 3}\n\n')
    listed = tmp_path / "instruments.json"
    listed.write_text('[{"venue": "hyperliquid", "symbol": "BTC", "price_decimals": 1, "quantity_decimals": 5}]')
    path = capture(tmp_path / "one.gz", (0, trade()), (1, trade("ETHUSDT", "2680.15")))

    told = read_instruments(lines, "binance_usdm")
    captures = import_captures([path], "binance_usdm", told + read_instruments(listed, "binance_usdm"))

    assert captures.instruments == [
        Instrument("binance_usdm", "BTCUSDT", 2, 3),
        Instrument("binance_usdm", "ETHUSDT", 2, 3, assumed=True),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: expected JSON"),
        ("[7]", "item 1: expected an object"),
        ('{"symbol": "BTC", "price_decimals": 1}', "quantity_decimals missing"),
        ('{"symbol": "BTC", "price_decimals": "1", "quantity_decimals": 1}', "expected int"),
        ('{"symbol": "BTC", "price_decimals": true, "quantity_decimals": 1}', "expected int"),
        ('{"symbol": "BTC", "price_decimals": 11, "quantity_decimals": 1}', "expected 0 to 8"),
        ('{"symbol": "BTC", "tick": 1, "price_decimals": 1, "quantity_decimals": 1}', "unknown key 'tick'"),
        ('{"symbol": "B", "price_decimals": 1, "quantity_decimals": 1}\n' * 2, "line 2: B a second time"),
    ],
)
def test_a_wrong_instruments_file_is_refused_with_the_place(tmp_path, text, says):
    path = tmp_path / "instruments.jsonl"
    path.write_text(text)

    with pytest.raises(ConfigError, match=says):
        read_instruments(path, "binance_usdm")


# The verb -------------------------------------------------------------------------------------------------------------


def conveyor(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_import_tells_what_it_wrote_and_what_it_left_out(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()), (10, b""), (5, trade(trade_id=2)))
    options = ("import", "--venue", "binance_usdm", "--set", "core.closing.grace_ms=4000")

    code, out, err = conveyor(*options, "--out", tmp_path / "j", path)
    assert code == 0, err
    assert out.startswith("imported binance_usdm: 8 records of BTCUSDT, 2024-08-08 23:54:15 to ")
    assert "one.gz, line 2: no message behind the receive time" in err

    code, out, err = conveyor(*options, "--json", "--out", tmp_path / "k", path)
    answer = json.loads(out)
    assert (answer["records"], answer["kinds"]["FRAME"], answer["unreadable"]["count"]) == (8, 2, 1)
    assert answer["instruments"][0]["assumed"] is True
    assert answer["connections"] == [{"source": 1, "files": ["one.gz"], "channels": [["trade", "BTCUSDT"]]}]
    first = next(iterate(next(JournalReader(tmp_path / "k").batches())))
    assert Core.decode(first.payload).closing.grace_ms == 4000


def test_import_refuses_to_write_over_a_journal_with_exit_code_2(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()))

    assert conveyor("import", "--venue", "binance_usdm", "--out", tmp_path / "j", path)[0] == 0
    code, out, err = conveyor("import", "--venue", "binance_usdm", "--out", tmp_path / "j", path)

    assert (code, out) == (2, "")
    assert "name a new folder" in err


def test_the_venues_of_the_verb_are_those_with_a_decoder():
    assert tuple(dialect.venue for dialect in VENUES) == verbs.VENUES


# Recorded captures ----------------------------------------------------------------------------------------------------


def recorded(venue: str) -> list[Path]:
    names = [f"binance_raw/{name}.gz" for name in FILES.get(venue, ())] or ["hyperliquid/btcusd_20250126.gz"]
    paths = [CAPTURES / name for name in names]
    if missing := [path.name for path in paths if not path.is_file()]:
        pytest.skip(f"no recorded captures ({', '.join(missing)}); set CONVEYOR_CAPTURES to where they lie")
    return paths


@pytest.mark.captures
@pytest.mark.parametrize("venue", list(ASSUMED))
def test_instruments_and_connections_of_real_captures(venue):
    captures = import_captures(recorded(venue), venue)

    found = {
        one.symbol: (one.price_decimals, one.quantity_decimals, one.contract_size, one.quantity_unit)
        for one in captures.instruments
    }
    assert found == ASSUMED[venue]
    assert all(one.assumed and one.inverse == (venue == "binance_coinm") for one in captures.instruments)
    assert sorted(connection.symbols for connection in captures.connections) == [[symbol] for symbol in sorted(found)]
    assert (captures.unreadable.count, captures.ignored) == (0, 0)


@pytest.mark.captures
def test_a_real_import_equals_the_naive_one_record_for_record(tmp_path):
    paths = recorded("binance_spot")[:2]
    captures = import_captures(paths, "binance_spot")
    record(tmp_path / "j", captures, origin="imported", core=Core())

    def plain(records: list[Record]) -> list[tuple[int, int, int, bytes]]:
        return [(r.recv_ns, r.source, r.kind, r.payload) for r in records if r.kind != RecordKind.INSTRUMENT]

    found = [one for batch in JournalReader(tmp_path / "j").batches() for one in iterate(batch)]
    assert found[0].kind == RecordKind.CONFIG
    assert plain(found[1:]) == plain(records_of_captures([("binance_spot", paths)]))


@pytest.mark.captures
def test_a_whole_real_capture_gives_five_ok_minutes_without_a_gap_or_a_slow_frame(tmp_path):
    record(tmp_path / "j", import_captures(recorded("binance_usdm"), "binance_usdm"), origin="imported", core=Core())

    engine = Conveyor()
    effects = [effect for batch in JournalReader(tmp_path / "j").batches() for effect in engine.handle(batch)]

    rows = [effect for effect in effects if isinstance(effect, MinuteRows)]
    first = T // NS_PER_MINUTE  # 23:54, recorded in part
    assert [(row.minute, row.revision) for row in rows] == [(first + i, 0) for i in range(6)]
    status = [Status(int(row.rows["dq_status"][0])) for row in rows]
    assert status == [Status.PARTIAL] + [Status.OK] * 5
    assert [e.kind for e in effects if isinstance(e, Event) and e.kind in ("gap", "book_gap", "malformed_frame")] == []
    assert engine.state is not None
    assert int(engine.state.tape.connections["fallbacks"].sum()) == 0


def test_connections_of_nothing_is_nothing():
    assert connections_of([]) == []
