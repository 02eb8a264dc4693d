"""Recorded frames: none is strange, and the scanner, the slow path and the oracle read the same of each."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from engine.core.records import Record, RecordKind
from tests.engine.one_frame import Reader, outcome
from tests.engine.running import digests, run, run_slowly, same_rows
from tests.engine.story import START_MS
from tests.oracles import captures, frames, nouns
from tests.oracles.captures import CAPTURES, CONNECTIONS, capture, recorded


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
            found = not isinstance(event, nouns.Other | nouns.Malformed)
            assert connection["malformed"] == isinstance(event, nouns.Malformed), raw[:200]
            assert connection["ignored"] == isinstance(event, nouns.Other), raw[:200]
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
