"""A hand-made journal of one symbol, for the tests of the oracles."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

import orjson

from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.oracles.minutes import minutes

D = Decimal
M = 1_000  # the minute of the hand-made records; its first millisecond:
START = M * 60_000


class Journal:
    """Records with a receive clock 100 ms ahead of the exchange. Times are milliseconds since the start of minute M."""

    def __init__(self, venue: str = "binance_usdm", symbol: str = "X", **instrument: Any) -> None:
        self.venue, self.symbol = venue, symbol
        self.records: list[Record] = []
        self.update_ids = count(1)
        if instrument:
            told = {"venue": venue, "symbol": symbol, "price_decimals": 2, "quantity_decimals": 3} | instrument
            self.put(0, RecordKind.INSTRUMENT, orjson.dumps(told), 0)

    def put(self, ms: int, kind: int, payload: bytes, source: int) -> None:
        self.records.append(Record(len(self.records), (START + ms + 100) * NS_PER_MS, source, kind, payload))

    def up(self, *channels: str, ms: int = 0, source: int = 1) -> Journal:
        self.put(
            ms, RecordKind.CONNECTION, orjson.dumps({"venue": self.venue, "state": "up", "reason": "test"}), source
        )
        entries = [{"channel": channel, "symbol": self.symbol} for channel in channels]
        self.put(ms, RecordKind.SUBSCRIPTION, orjson.dumps({"venue": self.venue, "channels": entries}), source)
        return self

    def down(self, ms: int, source: int = 1) -> None:
        self.put(
            ms, RecordKind.CONNECTION, orjson.dumps({"venue": self.venue, "state": "down", "reason": "test"}), source
        )

    def frame(self, ms: int, data: Any, source: int = 1) -> None:
        self.put(ms, RecordKind.FRAME, orjson.dumps(data), source)

    def tick(self, ms: int) -> int:
        self.put(ms, RecordKind.TICK, b"", 0)
        return self.records[-1].seq

    def trade(
        self,
        ms: int,
        price: str,
        quantity: str,
        buy: bool,
        number: int,
        came: int | None = None,
        source: int = 1,
        **more: Any,
    ) -> int:
        data = {
            "e": "trade",
            "E": START + ms,
            "T": START + ms,
            "s": self.symbol,
            "t": number,
            "p": price,
            "q": quantity,
            "m": not buy,
        }
        self.frame(ms if came is None else came, data | more, source)
        return self.records[-1].seq

    def quote(self, ms: int, bid: str, bid_quantity: str, ask: str, ask_quantity: str, came: int | None = None) -> None:
        data = {
            "e": "bookTicker",
            "u": next(self.update_ids),
            "s": self.symbol,
            "b": bid,
            "B": bid_quantity,
            "a": ask,
            "A": ask_quantity,
        }
        self.frame(ms if came is None else came, data | {"T": START + ms, "E": START + ms})

    def row(self, minute: int = M) -> dict[str, Any]:
        return minutes(self.records)[self.venue, self.symbol, minute]


def close_to(value: Decimal, expected: float) -> bool:
    return abs(float(value) - expected) < 1e-12 * max(1.0, abs(expected))
