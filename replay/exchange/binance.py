"""Binance's WebSocket: combined and raw streams, numbered subscriptions and their errors. REST is in binance_rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import orjson

from replay.exchange.binance_print import CandlePrinter
from replay.exchange.binance_rest import BinanceRest
from replay.exchange.limits import Gate, RefusedError
from replay.exchange.protocol import Protocol, path_and_query
from replay.exchange.session import Key, Session
from replay.exchange.truth import Candle

if TYPE_CHECKING:
    from replay.exchange.exchange import Exchange, Reply

# The speed is part of a stream's name; here all speeds are one.
SPEEDS = {"depth": ("@0ms", "@100ms", "@250ms", "@500ms", "@1000ms"), "markPrice": ("@1s",)}
RAW = b""  # the name of a raw stream


class _Binance(Protocol):
    """prefix: of all REST paths. spot: its frames have fewer keys."""

    prefix: ClassVar[str]
    spot: ClassVar[bool] = False
    candle_channel = "kline_1m"

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.candles = [
            CandlePrinter(one.symbol.encode(), one.price_decimals, one.quantity_decimals, self.spot)
            for one in exchange.instruments
        ]
        self.rest = BinanceRest(exchange, self.prefix, self.spot, self.candles)
        self.names: dict[str, Key] = {}
        for channel in self.channels:
            for place, instrument in enumerate(exchange.instruments):
                for speed in ("", *SPEEDS.get(channel, ())):
                    self.names[f"{instrument.symbol.lower()}@{channel}{speed}"] = (channel, place)

    def open(self, session: Session, target: str) -> list[tuple[Key, bytes]]:
        path, query = path_and_query(target)
        if path == "/stream":
            names = [name for name in unquote(query.get("streams", "")).split("/") if name]
        elif path == "/ws" or path.startswith("/ws/"):
            names = [name for name in unquote(path[len("/ws/") :]).split("/") if name]
            session.raw = True
        else:
            raise RefusedError(404, b"Not Found")
        if len(names) > self.exchange.rules.streams:
            raise RefusedError(400, b"too many streams")
        # The venue takes any name in an address; what does not exist is never sent.
        return [(self.names[name], self._head(session, name)) for name in names if self.known(name)]

    def known(self, name: str) -> bool:
        key = self.names.get(name)
        return key is not None and self.exchange.traded(key[1])

    @staticmethod
    def _head(session: Session, name: str) -> bytes:
        return RAW if session.raw else b'{"stream":"%b","data":' % name.encode()

    def greet(self, session: Session, streams: list[tuple[Key, bytes]]) -> None:
        for key, head in streams:
            self.exchange.subscribe(session, key, head)

    def wrap(self, name: bytes, text: bytes) -> bytes:
        return name + text + b"}" if name else text

    def huge(self, session: Session, nbytes: int) -> bytes:
        text = b'{"e":"notification","msg":"%b"}' % (b"x" * nbytes)
        return text if session.raw else b'{"stream":"notification","data":%b}' % text

    def candle(self, symbol: int, candle: Candle, final: bool) -> bytes:
        return self.candles[symbol].frame(candle, self.exchange.venue_ms(), final)

    def receive(self, session: Session, payload: bytes) -> None:
        try:
            asked = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return self._error(session, None, 3, "Invalid JSON: expected value at line 1 column 1")
        if type(asked) is not dict:
            return self._error(session, None, 2, "Invalid request: request must be an object")
        number, method = asked.get("id"), asked.get("method")
        if number is not None and (type(number) is not int or number < 0):
            return self._error(session, None, 2, "Invalid request: request ID must be an unsigned integer")
        if method == "LIST_SUBSCRIPTIONS":
            return self._answer(session, number, self._subscribed(session))
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return self._error(session, number, 2, f"Invalid request: unknown variant `{method}`")
        names = asked.get("params")
        if type(names) is not list or any(type(name) is not str for name in names):
            return self._error(session, number, 2, "Invalid request: params must be an array of strings")
        if method == "UNSUBSCRIBE":
            for name in names:
                if name in self.names:
                    self.exchange.unsubscribe(session, self.names[name])
            return self._answer(session, number, None)
        unknown = [name for name in names if not self.known(name)]
        if unknown:
            return self._error(session, number, 2, f"Invalid request: unknown stream {unknown[0]}")
        if len({*session.streams, *(self.names[name] for name in names)}) > self.exchange.rules.streams:
            return self._error(session, number, 2, "Invalid request: too many streams")
        for name in names:
            self.exchange.subscribe(session, self.names[name], self._head(session, name))
        return self._answer(session, number, None)

    def _subscribed(self, session: Session) -> list[str]:
        symbols = [instrument.symbol.lower() for instrument in self.exchange.instruments]
        return [
            head.decode().split('"')[3] if head else f"{symbols[place]}@{channel}"
            for (channel, place), head in session.streams.items()
        ]

    @staticmethod
    def _answer(session: Session, number: int | None, result: Any) -> None:
        session.say(orjson.dumps({"result": result, "id": number}))

    @staticmethod
    def _error(session: Session, number: int | None, code: int, told: str) -> None:
        session.say(orjson.dumps({"error": {"code": code, "msg": told}, "id": number}))

    def request(self, gate: Gate, method: str, target: str, body: bytes) -> Reply:
        return self.rest.request(gate, method, target)


class BinanceUsdm(_Binance):
    hosts = ("fstream.binance.com", "fapi.binance.com")
    channels = ("trade", "aggTrade", "bookTicker", "depth", "markPrice", "forceOrder", "kline_1m")
    prefix = "/fapi/v1"

    def shut_down(self, session: Session) -> None:
        """Futures close without a word."""


class BinanceSpot(_Binance):
    hosts = ("stream.binance.com", "api.binance.com", "data-stream.binance.vision")
    channels = ("trade", "aggTrade", "bookTicker", "depth", "kline_1m")
    prefix = "/api/v3"
    spot = True

    def shut_down(self, session: Session) -> None:
        event = b'{"e":"serverShutdown","E":%d}' % self.exchange.venue_ms()
        session.say(event if session.raw else b'{"stream":"serverShutdown","data":%b}' % event)
