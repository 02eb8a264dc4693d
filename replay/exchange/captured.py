"""Recorded frames as a venue sends them: raw as they were, at the times the recording tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.records import RecordKind
from replay.exchange import binance_print
from replay.exchange.source import Book, Diff, Forced, Levels, Mark, Quote, Sent
from replay.exchange.truth import Aggregate, Trade
from replay.importers import Captures

SAMPLE = 5_000  # frames from which the recorder's clock is told
DATA = b'"data":'
NO_HASH = b"0x" + b"0" * 64
CHANNELS = {"markPriceUpdate": "markPrice", "depthUpdate": "depth"}


def captured(paths: Iterable[Path], venue: str) -> CapturedBinance | CapturedHyperliquid:
    """The source of some captures of one venue. Raises ConfigError."""
    captures = Captures(list(paths), venue)
    return CapturedHyperliquid(captures) if venue == "hyperliquid" else CapturedBinance(captures)


class _Captured(ABC):
    """What both venues share: whose frames, and when they were sent.

    A recorder's clock may be wrong by seconds. So a frame is sent at its receive time, moved by as much as makes no
    frame be sent before its own event.
    """

    def __init__(self, captures: Captures) -> None:
        self.captures, self.venue = captures, captures.dialect.venue
        self.instruments = captures.instruments
        self.coins = [one.symbol.removesuffix("USDT") for one in self.instruments]
        self.tick_units = [1] * len(self.instruments)
        self.places = {one.symbol: place for place, one in enumerate(self.instruments)}
        leads, first_ns = [], 0
        for recv_ns, kind, payload in self._records():
            first_ns = first_ns or recv_ns
            event_ms = self.event_ms(payload) if kind == RecordKind.FRAME else None
            if event_ms is not None:
                leads.append(event_ms * NS_PER_MS - recv_ns)
                if len(leads) == SAMPLE:
                    break
        self.lead_ns = max(leads, default=0)
        last_ns = max(file.last_ns for connection in captures.connections for file in connection.files)
        self.start_ns, self.end_ns = first_ns + self.lead_ns, last_ns + self.lead_ns + 1
        self.first_minute_ns = -(-self.start_ns // NS_PER_MINUTE) * NS_PER_MINUTE

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        for recv_ns, _, kind, payload in self.captures:
            if kind in (RecordKind.FRAME, RecordKind.REST):
                yield recv_ns, kind, payload

    def minutes(self) -> Iterator[list[Sent]]:
        out: list[Sent] = []
        last_ns = 0
        for recv_ns, kind, payload in self._records():
            at_ns = max(last_ns, recv_ns + self.lead_ns)
            if at_ns // NS_PER_MINUTE != last_ns // NS_PER_MINUTE and out:
                yield out
                out = []
            last_ns = at_ns
            out += self.sent(at_ns, kind, payload)
        yield out

    @abstractmethod
    def event_ms(self, payload: bytes) -> int | None:
        """Event time of a frame; None: it has none."""

    @abstractmethod
    def sent(self, at_ns: int, kind: int, payload: bytes) -> list[Sent]:
        """What the exchange says at `at_ns` for one record of the capture."""

    def another(self, symbol: int, trade: Trade, copy: int) -> Trade:
        return trade._replace(id=trade.id + (copy << 50))


class CapturedBinance(binance_print.Texts, _Captured):
    """Single trades are the truth; aggregates, which no capture carries besides, are one of each."""

    def __init__(self, captures: Captures) -> None:
        super().__init__(captures)
        self.spot = self.venue == "binance_spot"
        self.depths: dict[int, Sent] = {}  # the newest depth update of each symbol
        pairs = {pair for connection in captures.connections for pair in connection.channels}
        symbols = {symbol for channel, symbol in pairs if channel == "trade"}
        if symbols != set(self.places):
            without = ", ".join(sorted(set(self.places) - symbols))
            raise ConfigError(f"captures: no single trades of {without}; give captures of the channel `trade`")

    def event_ms(self, payload: bytes) -> int | None:
        at = payload.find(b'"E":')
        return int(payload[at + 4 : payload.find(b",", at)].rstrip(b"}")) if at > 0 else None

    def sent(self, at_ns: int, kind: int, payload: bytes) -> list[Sent]:
        if kind == RecordKind.REST:
            head, _, body = payload.partition(b"\n")
            request, _, symbol = head.decode().partition(" ")
            if request != "depth":
                return []
            told = orjson.loads(body)
            book = Book(told["lastUpdateId"], _levels(told["bids"]), _levels(told["asks"]), told.get("T", 0), 0)
            return [Sent(at_ns, "book", self.places[symbol], book._replace(reach=book.last))]
        begin = payload.find(DATA)
        text = payload[begin + len(DATA) : -1] if begin > 0 else payload
        data = orjson.loads(text)
        place = self.places.get(data.get("s") or data.get("o", {}).get("s", ""))
        if place is None:
            return []
        event = data.get("e", "bookTicker")
        channel, facts = CHANNELS.get(event, event), self._facts(event, data)
        if facts is None:
            return []
        sent = Sent(at_ns, channel, place, facts, text)
        if isinstance(facts, Trade):
            one = Aggregate(facts.id, facts.price, facts.quantity, facts.buy, facts.ms, facts.id, facts.id)
            return [sent, Sent(at_ns, "aggTrade", place, one)]
        if isinstance(facts, Diff):
            before = self.depths.get(place)
            if before is not None and not self.spot:
                # A snapshot taken between two updates has an id that the second of them reaches over.
                before.facts = before.facts._replace(reach=facts.first)
            self.depths[place] = sent
        return [sent]

    def _facts(self, event: str, data: dict[str, Any]) -> Any:
        if event == "trade":
            if data.get("X", "MARKET") != "MARKET":
                return None  # insurance fund and the like are in no candle
            price, quantity = data["p"].encode(), data["q"].encode()
            return Trade(data["t"], price, quantity, not data["m"], data["T"], data["t"], data["t"])
        if event == "bookTicker":
            bid, bid_quantity, ask, ask_quantity = (data[key].encode() for key in "bBaA")
            return Quote(data["u"], bid, bid_quantity, ask, ask_quantity, data.get("T", 0))
        if event == "depthUpdate":
            before, ms = data.get("pu", data["U"] - 1), data.get("T", data["E"])
            reach = data["u"] + (0 if self.spot else 1)
            return Diff(data["U"], data["u"], before, _levels(data["b"]), _levels(data["a"]), ms, reach)
        if event == "markPriceUpdate":
            return Mark(data["p"].encode(), data.get("i", "0").encode(), data["r"].encode(), b"", data["E"])
        if event == "forceOrder":
            order = data["o"]
            return Forced(order["S"] == "BUY", order["p"].encode(), order["z"].encode(), order["T"])
        return None  # candles are made from the trades


def _levels(told: list[list[str]]) -> Levels:
    return [(price.encode(), quantity.encode()) for price, quantity in told]


class CapturedHyperliquid(_Captured):
    """Frames as they are; only trades are read."""

    def event_ms(self, payload: bytes) -> int | None:
        at = payload.find(b'"time":')
        return int(payload[at + 7 : payload.find(b",", at)].rstrip(b"}]")) if at > 0 else None

    def sent(self, at_ns: int, kind: int, payload: bytes) -> list[Sent]:
        if kind != RecordKind.FRAME or not payload.startswith(b"{"):
            return []
        told = orjson.loads(payload)
        channel, data = told["channel"], told.get("data")
        if channel == "trades" and data:
            place = self.places.get(data[0]["coin"])
            return [] if place is None else [Sent(at_ns, channel, place, tuple(map(_trade, data)), payload)]
        if channel in ("bbo", "l2Book", "activeAssetCtx"):
            place = self.places.get(data["coin"])
            return [] if place is None else [Sent(at_ns, channel, place, None, payload)]
        return []

    def text(self, sent: Sent) -> bytes:
        return b'{"channel":"trades","data":[%b]}' % b",".join(
            self.trade_text(sent.symbol, trade) for trade in sent.facts
        )

    def trade_text(self, symbol: int, trade: Trade) -> bytes:
        return b'{"coin":"%b","side":"%b","px":"%b","sz":"%b","time":%d,"hash":"%b","tid":%d}' % (
            self.instruments[symbol].symbol.encode(), b"B" if trade.buy else b"A", trade.price, trade.quantity,
            trade.ms, NO_HASH, trade.id,
        )  # fmt: skip


def _trade(told: dict[str, Any]) -> Trade:
    return Trade(
        told["tid"], told["px"].encode(), told["sz"].encode(), told["side"] == "B", told["time"], 0, told["tid"]
    )
