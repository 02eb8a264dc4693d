"""Captures of a few lines made by hand, and what is read back from one."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson

from engine.core.records import RecordKind
from replay.capture_file import CaptureFile, Trouble
from replay.importers import Captures

T = 1_723_161_255_000_000_000  # 2024-08-08 23:54:15 UTC
SNAPSHOT = b'{"lastUpdateId":7,"bids":[["61800.20","2.909"]],"asks":[["61800.30","1.000"]]}'
NAMES = {int(kind): kind.name for kind in RecordKind}


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
