"""One frame at a time through a conveyor, by the scanner and by the slow path, and what it changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

from engine.core.instruments import Instrument
from engine.core.kernel import kernel
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from engine.tape.scan import scan
from tests.engine.running import Run, run, run_slowly
from tests.engine.story import START_MS, compact

USUAL = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MARGIN = 64  # what the scanner may read beyond a frame's end


@kernel
def scan_at(tape: Any, buffer: Any, length: int, dialect: int) -> Any:
    return scan(tape, buffer.ctypes.data + MARGIN, buffer.ctypes.data + MARGIN + length, dialect, False)


BINANCE = ("trade", "aggTrade", "bookTicker", "depth", "depth20")
CHANNELS = {
    "binance_usdm": (*BINANCE, "markPrice", "forceOrder", "openInterest"),
    "binance_coinm": (*BINANCE, "markPrice", "forceOrder"),
    "binance_spot": BINANCE,
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx"),
}
DIALECTS = {"binance_usdm": 0, "binance_coinm": 1, "binance_spot": 2, "hyperliquid": 3}


class Reader:
    """One connection that carries everything of a venue, and what its conveyor made of single frames."""

    def __init__(self, venue: str, symbols: Iterable[tuple[str, int, int]], channels: Iterable[str] = ()) -> None:
        self.venue, self.names = venue, [name for name, _, _ in symbols]
        at = START_MS * NS_PER_MS
        wanted = [
            {"channel": channel, "symbol": name} for name in self.names for channel in (channels or CHANNELS[venue])
        ]
        self.records = [
            Record(0, at, 0, RecordKind.INSTRUMENT, Instrument(venue, name, price, quantity).encode())
            for name, price, quantity in symbols
        ]
        for kind, data in (
            (RecordKind.CONNECTION, {"venue": venue, "state": "up", "reason": "test"}),
            (RecordKind.SUBSCRIPTION, {"venue": venue, "channels": wanted}),
        ):
            self.records.append(Record(0, at, 1, kind, compact(data)))
        # A silent venue's minute opens: from here on there is one that can take slow numbers.
        self.records.append(Record(0, at + 3_000 * NS_PER_MS, 0, RecordKind.TICK, b""))

    def run(self, *raw: bytes, slowly: bool = False, at_ms: int = START_MS + 5_100) -> Run:
        """at_ms: of receipt; the control records come as long before it as they always do."""
        later_ns = (at_ms - START_MS - 5_100) * NS_PER_MS
        before = [replace(record, recv_ns=record.recv_ns + later_ns) for record in self.records]
        sent = [Record(9 + n, at_ms * NS_PER_MS, 1, RecordKind.FRAME, each) for n, each in enumerate(raw)]
        return (run_slowly if slowly else run)([*before, *sent])

    def scanned(self, result: Run, raw: bytes) -> int:
        """Channel by the scanner alone; the frame in hand is then in the result's tape."""
        buffer = np.zeros(len(raw) + 2 * MARGIN, np.uint8)
        buffer[MARGIN : MARGIN + len(raw)] = np.frombuffer(raw, np.uint8)
        return int(scan_at(result.tape, buffer, len(raw), DIALECTS[self.venue]))


def outcome(result: Run) -> tuple[Any, ...]:
    """All that a single frame changed, whichever path read it."""
    tape, bars = result.tape, result.conveyor.state.bars  # type: ignore[union-attr]
    connection = tape.connections[1]
    return (
        [int(connection[n]) for n in ("frames", "malformed", "future", "event_ns_max")],
        int(tape.venues[0]["mix"]),
        bars.trade_sums.tobytes(), bars.quote_sums.tobytes(), bars.depth_sums.tobytes(), bars.context_sums.tobytes(),
        tape.books.tobytes(), tape.top_price.tobytes(), tape.top_quantity.tobytes(), tape.marks.tobytes(),
    )  # fmt: skip


READERS = {
    "binance_usdm": Reader("binance_usdm", [("XUSDT", 2, 3)], ("trade", "bookTicker", "depth", "markPrice")),
    "binance_spot": Reader("binance_spot", [("XUSDT", 2, 8)]),
    "binance_coinm": Reader("binance_coinm", [("XUSD_PERP", 1, 0)], ("trade", "bookTicker", "depth", "markPrice")),
    "hyperliquid": Reader("hyperliquid", [("BTC", 1, 5)]),
}
T = START_MS + 5_000


def samples(venue: str) -> list[bytes]:
    """A frame of every kind that the scanner knows."""
    if venue == "hyperliquid":
        level = '{"px":"100.5","sz":"2.25","n":3}'
        trade = f'"coin":"BTC","side":"A","px":"100.5","sz":"0.125","time":{T},"hash":"0xabc","tid":77'
        bought = trade.replace("77", "78").replace('"A"', '"B"')
        coin = f'"coin":"BTC","time":{T}'
        ctx = (
            '{"funding":"-0.00004863","openInterest":"18617460.25","prevDayPx":"0.2","dayNtlVlm":"7665220.55613",'
            '"premium":"-0.0005","oraclePx":"100.25","markPx":"100.75","midPx":"100.5","impactPxs":["99.5","101.5"]'
        )
        bodies = (
            ("trades", "[{" + trade + "},{" + bought + "}]"),
            ("trades", "[{" + trade + ',"users":["0xa","0xb"]}]'),
            ("bbo", "{" + coin + f',"bbo":[{level},{level}]' + "}"),
            ("l2Book", "{" + coin + f',"levels":[[{level},{level}],[{level}]]' + "}"),
            ("activeAssetCtx", '{"coin":"BTC","ctx":' + ctx + "}}"),
            ("activeAssetCtx", '{"coin":"BTC","ctx":' + ctx + ',"dayBaseVlm":"7.5"}}'),
        )
        return [('{"channel":"' + channel + '","data":' + body + "}").encode() for channel, body in bodies]
    symbol = READERS[venue].names[0]
    stream, pair = symbol.lower(), '"ps":"XUSD",' if venue == "binance_coinm" else ""
    quantity = "7" if venue == "binance_coinm" else "0.125"
    time = "" if venue == "binance_spot" else f'"T":{T},'
    chain = "" if venue == "binance_spot" else '"pu":10,'
    if venue == "binance_spot":
        trade = f'"E":{T},"s":"{symbol}","t":77,"p":"100.5","q":"{quantity}","T":{T},"m":true,"M":true'
        quote = f'"u":11,"s":"{symbol}","b":"100.5","B":"{quantity}","a":"101.5","A":"{quantity}"'
    else:
        trade = f'"E":{T},{time}"s":"{symbol}","t":77,"p":"100.5","q":"{quantity}","X":"MARKET","m":true'
        head = '"u":11,"e":"bookTicker",' if pair else '"e":"bookTicker","u":11,'
        quote = f'{head}"s":"{symbol}",{pair}"b":"100.5","B":"{quantity}","a":"101.5","A":"{quantity}",{time}"E":{T}'
    diff = (
        f'"e":"depthUpdate","E":{T},{time}"s":"{symbol}",{pair}"U":11,"u":12,{chain}'
        f'"b":[["100.5","{quantity}"],["99.0","0"]],"a":[["101.5","{quantity}"]]'
    )
    named = [("trade", '"e":"trade",' + trade), ("bookTicker", quote), ("depth@100ms", diff)]
    if venue != "binance_spot":
        mark = f'"e":"markPriceUpdate","E":{T},"s":"{symbol}","p":"100.75000000",'
        named += [
            ("markPrice@1s", mark + '"i":"100.25000001","r":"-0.00038167","T":0'),
            ("markPrice", mark + '"P":"100.5","i":"100.25000001","r":"0.00038167","T":0'),
            ("markPrice", mark + '"i":"100.25000001","P":"100.5","r":"0.00038167","T":0'),
        ]
    return [(f'{{"stream":"{stream}@{name}","data":{{' + body + "}}").encode() for name, body in named]


def agree(venue: str, raw: bytes) -> Run:
    """Both paths do the same; nothing raises; every frame is counted in one way."""
    reader = READERS[venue]
    fast, slow = reader.run(raw), reader.run(raw, slowly=True)
    assert outcome(fast) == outcome(slow), raw
    connection = fast.tape.connections[1]
    assert connection["frames"] == 1
    told = sum(int(connection[name]) for name in ("fallbacks", "ignored", "malformed"))
    assert told == 1 or (told == 0 and reader.scanned(fast, raw) >= 0)
    return fast
