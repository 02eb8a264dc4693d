"""A small language to write a session down as a story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from config.schema import Core
from engine.core.instruments import Instrument
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.engine.running import SYMBOL, M, Run, run

START_MS = M * MS_PER_MINUTE
VENUE = "binance_usdm"
D60, D120, D180 = 60_000, 120_000, 180_000  # ends of M, M + 1, M + 2 in ms since the start of M


def compact(data: Any) -> bytes:
    return orjson.dumps(data)


class Story:
    """A session of one venue, told in milliseconds since the start of minute M.

    Receive time is `lag` ms behind the exchange unless `came` (ms since the start of M, the receiver's clock) says so.
    Seq is the place in `records`, so that a cause can be looked up.
    """

    def __init__(
        self, venue: str = VENUE, symbols: Sequence[str] = (SYMBOL,), lag: int = 100, **instrument: Any
    ) -> None:
        self.venue, self.symbols, self.lag = venue, list(symbols), lag
        self.records: list[Record] = []
        self.ids: dict[str, int] = {}  # symbol -> its newest trade id
        told = {"price_decimals": 2, "quantity_decimals": 3} | instrument
        for name in symbols:
            self.put(-100_000_000, RecordKind.INSTRUMENT, Instrument(venue, name, **told).encode(), 0)

    @property
    def symbol(self) -> str:
        return self.symbols[0]

    def put(self, came: int, kind: int, payload: bytes, source: int) -> int:
        self.records.append(Record(len(self.records), (START_MS + came) * NS_PER_MS, source, kind, payload))
        return len(self.records) - 1

    def run(self, settings: Core | None = None, cuts: Iterable[int] = ()) -> Run:
        return run(self.records, settings, cuts)

    def in_time(self) -> Story:
        """Records told in any order, in the order of their receipt."""
        self.records.sort(key=lambda record: record.recv_ns)
        self.records = [replace(record, seq=seq) for seq, record in enumerate(self.records)]
        return self

    # control

    def connection(self, state: str, came: int, source: int = 1) -> int:
        return self.put(
            came, RecordKind.CONNECTION, compact({"venue": self.venue, "state": state, "reason": "story"}), source
        )

    def subscribe(
        self, channels: Sequence[str], came: int, source: int = 1, symbols: Sequence[str] | None = None
    ) -> int:
        names = self.symbols if symbols is None else symbols
        entries = [{"channel": channel, "symbol": name} for name in names for channel in channels]
        return self.put(came, RecordKind.SUBSCRIPTION, compact({"venue": self.venue, "channels": entries}), source)

    def up(self, *channels: str, came: int = -1_000, source: int = 1) -> Story:
        self.connection("up", came, source)
        self.subscribe(channels, came, source)
        return self

    def down(self, came: int, source: int = 1) -> int:
        return self.connection("down", came, source)

    def stream(
        self, state: str, channel: str, came: int, since: int = 0, source: int = 1, symbol: str | None = None
    ) -> int:
        """One stream falls silent (last heard at `since`), comes back or is refused."""
        told: dict[str, Any] = {
            "venue": self.venue,
            "channel": channel,
            "symbol": symbol or self.symbol,
            "state": state,
        }
        told |= {"since_ns": (START_MS + since) * NS_PER_MS, "reason": "story"}
        return self.put(came, RecordKind.STREAM, compact(told), source)

    def host(self, came: int, kind: str, **detail: int | float | str) -> int:
        return self.put(came, RecordKind.HOST, compact({"kind": kind, "detail": detail}), 0)

    def tick(self, came: int) -> int:
        return self.put(came, RecordKind.TICK, b"", 0)

    def ticks(self, first: int, last: int, step: int = 200) -> None:
        for came in range(first, last + 1, step):
            self.tick(came)

    def frame(self, came: int, data: Any, source: int = 1) -> int:
        return self.put(came, RecordKind.FRAME, data if isinstance(data, bytes) else compact(data), source)

    def rest(self, came: int, request: str, data: Any, source: int = 1, symbol: str | None = None) -> int:
        head = f"{request} {symbol or self.symbol}\n".encode()
        return self.put(came, RecordKind.REST, head + (data if isinstance(data, bytes) else compact(data)), source)

    # frames

    def _came(self, ms: int, came: int | None) -> int:
        return ms + self.lag if came is None else came

    def trade(
        self, ms: int, price: str = "100", quantity: str = "1", buy: bool = True, number: int | None = None,
        came: int | None = None, source: int = 1, symbol: str | None = None, **more: Any,
    ) -> int:  # fmt: skip
        """One trade; ids count up unless told."""
        name, time = symbol or self.symbol, START_MS + ms
        number = number or self.ids.get(name, 0) + 1
        self.ids[name] = max(number, self.ids.get(name, 0))
        if self.venue == "hyperliquid":
            side = "B" if buy else "A"
            item = {"coin": name, "side": side, "px": price, "sz": quantity, "time": time, "hash": "0x0", "tid": number}
            return self.frame(self._came(ms, came), {"channel": "trades", "data": [item | more]}, source)
        data = {"e": "trade", "E": time, "T": time, "s": name, "t": number, "p": price, "q": quantity}
        data |= {"X": "MARKET", "m": not buy} if self.venue != "binance_spot" else {"m": not buy, "M": True}
        return self.frame(self._came(ms, came), {"stream": f"{name.lower()}@trade", "data": data | more}, source)

    def quote(
        self, ms: int, bid: str = "99", bid_quantity: str = "1", ask: str = "101", ask_quantity: str = "1",
        came: int | None = None, source: int = 1, symbol: str | None = None, update: int = 1,
    ) -> int:  # fmt: skip
        name, time = symbol or self.symbol, START_MS + ms
        if self.venue == "hyperliquid":
            sides = [
                None if q == "0" else {"px": p, "sz": q, "n": 1} for p, q in ((bid, bid_quantity), (ask, ask_quantity))
            ]
            body = {"coin": name, "time": time, "bbo": sides}
            return self.frame(self._came(ms, came), {"channel": "bbo", "data": body}, source)
        data: dict[str, Any] = {"u": update, "s": name, "b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity}
        if self.venue != "binance_spot":
            data = {"e": "bookTicker"} | data | {"T": time, "E": time}
        return self.frame(self._came(ms, came), {"stream": f"{name.lower()}@bookTicker", "data": data}, source)

    def diff(
        self, ms: int, first: int, last: int, previous: int, bids: Sequence[Sequence[str]] = (),
        asks: Sequence[Sequence[str]] = (), came: int | None = None, source: int = 1, symbol: str | None = None,
    ) -> int:  # fmt: skip
        name, time = symbol or self.symbol, START_MS + ms
        data: dict[str, Any] = {"e": "depthUpdate", "E": time}
        if self.venue != "binance_spot":
            data["T"] = time
        data |= {"s": name, "U": first, "u": last}
        if self.venue != "binance_spot":
            data["pu"] = previous
        data |= {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
        return self.frame(self._came(ms, came), {"stream": f"{name.lower()}@depth@100ms", "data": data}, source)

    def snapshot(
        self, came: int, last: int, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]], source: int = 1
    ) -> int:
        return self.rest(came, "depth", {"lastUpdateId": last, "bids": bids, "asks": asks}, source)

    def book(
        self, ms: int, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]], came: int | None = None,
        source: int = 1, symbol: str | None = None,
    ) -> int:  # fmt: skip
        """A whole book of Hyperliquid."""
        levels = [[{"px": price, "sz": size, "n": 1} for price, size in side] for side in (bids, asks)]
        data = {"coin": symbol or self.symbol, "time": START_MS + ms, "levels": levels}
        return self.frame(self._came(ms, came), {"channel": "l2Book", "data": data}, source)


def trading(*channels: str, **more: Any) -> Story:
    """A connection that was up a minute before M and heard a trade at once, so that M is a whole minute."""
    story = Story(**more).up(*(channels or ("trade",)), came=-40_000)
    story.trade(-39_000)
    return story


def status(run: Run, minute: int = 0, symbol: str = SYMBOL, revision: int = -1) -> tuple[str, set[str]]:
    """Status and reasons of minute M + `minute`, without what is not configured; its newest revision unless told."""
    row = run.row(M + minute, symbol, revision)
    return row["dq_status"], row["dq_reasons"] - {"feed_absent"}


def closes(run: Run, minute: int) -> list[tuple[int, int, str]]:
    """(revision, seq of the cause, reason) of every link of minute M + `minute`."""
    return [(revision, seq, reason) for of, revision, seq, reason in run.closes() if of == minute]
