"""Recorded captures (lines `<receive ns> <raw message>`, gz or plain) into records, as an import would journal them.

They are not part of the project: CONVEYOR_CAPTURES says where they lie, default ../shared/data beside the repository.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind

CAPTURES = Path(os.environ.get("CONVEYOR_CAPTURES") or Path(__file__).resolve().parents[3] / "shared" / "data")
BINANCE_RAW = CAPTURES / "binance_raw"
TICK_NS = 200 * NS_PER_MS

# Recorded connections by the beginning of their files' names, and the venue of each.
CONNECTIONS = {
    "usdm_btcusdt": "binance_usdm",
    "coinm_btcusd_perp": "binance_coinm",
    "coinm_ethusd_perp": "binance_coinm",
    "spot_btcusdt": "binance_spot",
    "spot_ethusdt": "binance_spot",
    "btcusd": "hyperliquid",
}
AGAIN = ("coinm_ethusd_perp", "spot_ethusdt")  # the second symbol of a venue says little new: on demand
WITH_MINUTES = [
    pytest.param(name, marks=pytest.mark.slow) if name in AGAIN else name for name in CONNECTIONS if name != "btcusd"
]

# Scales of what was recorded: (price_decimals, quantity_decimals, contract_size or 0 where not inverse).
SCALES = {
    ("binance_usdm", "BTCUSDT"): (2, 3, 0),
    ("binance_coinm", "BTCUSD_PERP"): (1, 0, 100),
    ("binance_coinm", "ETHUSD_PERP"): (2, 0, 10),
    ("binance_spot", "BTCUSDT"): (2, 8, 0),
    ("binance_spot", "ETHUSDT"): (2, 8, 0),
    ("hyperliquid", "BTC"): (1, 5, 0),
}
DEFAULT_SCALES = {
    "binance_usdm": (8, 8, 0),
    "binance_coinm": (8, 0, 10),
    "binance_spot": (8, 8, 0),
    "hyperliquid": (6, 8, 0),
}

_STREAM = re.compile(rb'"stream":"([^"@]+)@([A-Za-z0-9]+)')
_CHANNEL = re.compile(rb'"channel":"(trades|bbo|l2Book|activeAssetCtx|candle)"')
_COIN = re.compile(rb'"coin":"([^"]+)"')


recorded = pytest.mark.skipif(
    not BINANCE_RAW.is_dir(), reason="no recorded captures: set CONVEYOR_CAPTURES to their folder"
)


def recording(name: str) -> Path:
    """A recorded file by its path within CAPTURES; a test that asks for one that is not there skips."""
    path = CAPTURES / name
    if not path.is_file():
        pytest.skip(f"no recording {name}: set CONVEYOR_CAPTURES to the folder of the recorded captures")
    return path


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
        for line in stream:
            recv, _, raw = line.rstrip(b"\r\n").partition(b" ")
            if raw:
                yield int(recv), raw


def instrument(venue: str, symbol: str) -> Instrument:
    price, quantity, size = SCALES.get((venue, symbol), DEFAULT_SCALES[venue])
    return Instrument(
        venue,
        symbol,
        price,
        quantity,
        "contracts" if size else "base",
        contract_size=size or 1,
        inverse=size > 0,
        assumed=True,
    )


def _channel(venue: str, raw: bytes) -> tuple[str, str] | None:
    """(channel, symbol) that a frame belongs to."""
    if venue == "hyperliquid":
        channel, coin = _CHANNEL.search(raw), _COIN.search(raw)
        return (channel[1].decode(), coin[1].decode()) if channel and coin else None
    stream = _STREAM.search(raw)
    return (stream[2].decode(), stream[1].decode().upper()) if stream else None


def connection_of(paths: Sequence[Path], venue: str, source: int) -> list[Record]:
    """One connection, without ticks; seq is 0 everywhere."""
    lines = [line for path in paths for line in lines_of(Path(path))]
    channels = sorted({found for _, raw in lines if (found := _channel(venue, raw))})
    symbols = sorted({symbol for _, symbol in channels})
    first_ns, last_ns = lines[0][0], max(recv_ns for recv_ns, _ in lines)
    records = [Record(0, first_ns, 0, RecordKind.INSTRUMENT, instrument(venue, symbol).encode()) for symbol in symbols]
    up = {"venue": venue, "state": "up", "reason": "capture"}
    subscription = {
        "venue": venue,
        "channels": [{"channel": channel, "symbol": symbol} for channel, symbol in channels],
    }
    records.append(Record(0, first_ns, source, RecordKind.CONNECTION, orjson.dumps(up)))
    records.append(Record(0, first_ns, source, RecordKind.SUBSCRIPTION, orjson.dumps(subscription)))
    for recv_ns, raw in lines:
        if venue != "hyperliquid" and b'"stream"' not in raw and b'"lastUpdateId"' in raw:
            records.append(Record(0, recv_ns, source, RecordKind.REST, b"depth " + symbols[0].encode() + b"\n" + raw))
        else:
            records.append(Record(0, recv_ns, source, RecordKind.FRAME, raw))
    down = {"venue": venue, "state": "down", "reason": "end of capture"}
    records.append(Record(0, last_ns, source, RecordKind.CONNECTION, orjson.dumps(down)))
    return records


def with_ticks(records: Sequence[Record]) -> list[Record]:
    """A TICK at each 200 ms of receive time, before what came at or after it, and numbers in order."""
    out: list[Record] = []
    tick_ns = -(-records[0].recv_ns // TICK_NS) * TICK_NS
    for record in records:
        while tick_ns <= record.recv_ns:
            out.append(Record(len(out), tick_ns, 0, RecordKind.TICK, b""))
            tick_ns += TICK_NS
        out.append(Record(len(out), record.recv_ns, record.source, record.kind, record.payload))
    return out


def records_of_capture(paths: Sequence[Path], venue: str, source: int = 1) -> list[Record]:
    """Capture files in time order, as one connection."""
    return with_ticks(connection_of(paths, venue, source))


def records_of_captures(several: Sequence[tuple[str, Sequence[Path]]]) -> list[Record]:
    """(venue, paths) each as one connection 1, 2, ..., merged by receive time."""
    merged: list[Record] = []
    for source, (venue, paths) in enumerate(several, 1):
        merged += connection_of(paths, venue, source)
    merged.sort(key=lambda record: record.recv_ns)  # stable: each connection keeps its own order
    return with_ticks(merged)


def capture_paths(name: str) -> list[Path]:
    """Files of one recorded connection, in time order."""
    return sorted((CAPTURES / "hyperliquid" if name == "btcusd" else BINANCE_RAW).glob(f"{name}_2*.gz"))


_captures: dict[str, list[Record]] = {}


def capture(name: str) -> list[Record]:
    """A recorded connection as its importer would journal it, without the configuration epoch; kept for the run."""
    if name not in _captures:
        _captures[name] = records_of_capture(capture_paths(name), CONNECTIONS[name])
    return _captures[name]
