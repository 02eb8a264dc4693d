"""Hyperliquid: one subscription a message, answers that repeat it, what stands on subscribing, one path of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from replay.exchange.limits import Gate, RefusedError
from replay.exchange.protocol import JSON, Protocol, path_and_query
from replay.exchange.session import Key, Session
from replay.exchange.truth import MS_PER_MINUTE, Candle
from replay.simulate.frames import shortest

if TYPE_CHECKING:
    from replay.exchange.exchange import Reply

GREETING = b"Websocket connection established."
STANDING = ("bbo", "l2Book", "activeAssetCtx")  # what is sent as it stands when it is subscribed to
BACKFILL = 30  # trades that the first message of a subscription repeats, at most
BACKFILL_MS = 60_000
LIGHT, HEAVY = 2, 20  # weights of requests


class Hyperliquid(Protocol):
    hosts = ("api.hyperliquid.xyz",)
    channels = ("trades", "bbo", "l2Book", "activeAssetCtx", "candle")
    candle_channel = "candle"

    def open(self, session: Session, target: str) -> list[tuple[Key, bytes]]:
        if path_and_query(target)[0] != "/ws":
            raise RefusedError(404, b"Not Found")
        return []

    def greet(self, session: Session, streams: list[tuple[Key, bytes]]) -> None:
        session.say(GREETING)

    def wrap(self, name: bytes, text: bytes) -> bytes:
        return text

    def shut_down(self, session: Session) -> None:
        """The venue closes without a word."""

    def huge(self, session: Session, nbytes: int) -> bytes:
        return b'{"channel":"notification","data":"%b"}' % (b"x" * nbytes)

    # Messages

    def receive(self, session: Session, payload: bytes) -> None:
        try:
            asked = orjson.loads(payload)
        except orjson.JSONDecodeError:
            asked = None
        if type(asked) is not dict or asked.get("method") not in ("ping", "subscribe", "unsubscribe"):
            told = payload.decode(errors="replace")
            self._error(session, f"Error parsing JSON into valid websocket request: {told}")
            return
        if asked["method"] == "ping":
            session.say(b'{"channel":"pong"}')
        elif asked["method"] == "subscribe":
            self._subscribe(session, asked.get("subscription"))
        else:
            self._unsubscribe(session, asked.get("subscription"))

    def _subscribe(self, session: Session, subscription: Any) -> None:
        key, text = self._key(subscription), orjson.dumps(subscription).decode()
        most = self.exchange.rules.streams
        if key is None:
            self._error(session, f"Invalid subscription {text}")
        elif key in session.streams:
            self._error(session, f"Already subscribed: {text}")
        elif len(session.streams) >= most:
            self._error(session, f"Cannot track more than {most} total subscriptions.")
        else:
            self._done(session, "subscribe", subscription)
            self.exchange.subscribe(session, key, b"")
            self._stand(session, key)

    def _unsubscribe(self, session: Session, subscription: Any) -> None:
        key, text = self._key(subscription), orjson.dumps(subscription).decode()
        if key is None or key not in session.streams:
            self._error(session, f"Already unsubscribed: {text}")
        else:
            self.exchange.unsubscribe(session, key)
            self._done(session, "unsubscribe", subscription)

    def _key(self, subscription: Any) -> Key | None:
        if type(subscription) is not dict:
            return None
        channel, coin = subscription.get("type"), subscription.get("coin")
        place = self.exchange.places.get(coin) if type(coin) is str else None
        if channel not in self.channels or place is None or not self.exchange.traded(place):
            return None
        if channel == "candle" and subscription.get("interval") != "1m":
            return None
        return channel, place

    @staticmethod
    def _done(session: Session, method: str, subscription: dict[str, Any]) -> None:
        told = subscription
        if subscription["type"] == "l2Book":
            told = {"type": "l2Book", "coin": subscription["coin"], "nSigFigs": None, "mantissa": None} | subscription
        answer = {"channel": "subscriptionResponse", "data": {"method": method, "subscription": told}}
        session.say(orjson.dumps(answer))

    @staticmethod
    def _error(session: Session, told: str) -> None:
        session.say(orjson.dumps({"channel": "error", "data": told}))

    def _stand(self, session: Session, key: Key) -> None:
        """A new subscription begins with what stands; the first trades message repeats the last trades."""
        channel, place = key
        record = self.exchange.truth.records[place]
        if channel in STANDING:
            sent = self.exchange.latest.get(key)
            if sent is not None:
                session.say(self.exchange.text(sent))
        elif channel == "trades":
            since_ms = self.exchange.venue_ms() - BACKFILL_MS
            recent = [trade for trade in record.trades[-BACKFILL:] if trade.ms >= since_ms]
            if recent:
                texts = b",".join(self.exchange.source.trade_text(place, trade) for trade in recent)
                session.say(b'{"channel":"trades","data":[%b]}' % texts)
        elif channel == "candle" and record.close:
            session.say(self.candle(place, record.candle(self.exchange.venue_ms() // MS_PER_MINUTE), False))

    # Candles

    def candle(self, symbol: int, candle: Candle, final: bool) -> bytes:
        return b'{"channel":"candle","data":%b}' % self._candle(symbol, candle)

    def _candle(self, symbol: int, candle: Candle) -> bytes:
        instrument = self.exchange.instruments[symbol]
        price, begin = instrument.price_decimals, candle.minute * MS_PER_MINUTE
        return b'{"t":%d,"T":%d,"s":"%b","i":"1m","o":"%b","c":"%b","h":"%b","l":"%b","v":"%b","n":%d}' % (
            begin,
            begin + MS_PER_MINUTE - 1,
            instrument.symbol.encode(),
            shortest(candle.open, price),
            shortest(candle.close, price),
            shortest(candle.high, price),
            shortest(candle.low, price),
            shortest(candle.volume, instrument.quantity_decimals),
            candle.count,
        )

    # Requests

    def request(self, gate: Gate, method: str, target: str, body: bytes) -> Reply:
        from replay.exchange.exchange import Reply

        if path_and_query(target)[0] != "/info":
            raise RefusedError(404, b"Not Found")
        if method != "POST":
            raise RefusedError(405, b"Method Not Allowed")
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError:
            asked = None
        kind = asked.get("type") if type(asked) is dict else None
        if kind not in INFO:
            raise RefusedError(422, b"Failed to deserialize the JSON body into the target type")
        gate.request(self.exchange.now_ns, LIGHT if kind in ("l2Book", "allMids") else HEAVY)
        inner = asked.get("req", asked)
        symbol = inner.get("coin", "*") if type(inner) is dict else "*"
        delay_s = self.exchange.faults.request(kind, symbol if type(symbol) is str else "*")
        return Reply(200, JSON, orjson.dumps(INFO[kind](self, asked)), delay_s)

    def _place(self, coin: Any) -> int | None:
        return self.exchange.places.get(coin) if type(coin) is str else None

    def _meta(self, _asked: Any) -> dict[str, Any]:
        return {
            "universe": [
                {"szDecimals": one.quantity_decimals, "name": one.symbol, "maxLeverage": 20, "marginTableId": 20}
                | ({} if self.exchange.traded(place) else {"isDelisted": True})
                for place, one in enumerate(self.exchange.instruments)
            ]
        }

    def _contexts(self, asked: Any) -> list[Any]:
        contexts = []
        for place in range(len(self.exchange.instruments)):
            sent = self.exchange.latest.get(("activeAssetCtx", place))
            contexts.append(orjson.loads(self.exchange.text(sent))["data"]["ctx"] if sent else None)
        return [self._meta(asked), contexts]

    def _book(self, asked: Any) -> Any:
        place = self._place(asked.get("coin"))
        sent = None if place is None else self.exchange.latest.get(("l2Book", place))
        return orjson.loads(self.exchange.text(sent))["data"] if sent else None

    def _mids(self, _asked: Any) -> dict[str, str]:
        mids = {}
        for place, instrument in enumerate(self.exchange.instruments):
            sent = self.exchange.latest.get(("activeAssetCtx", place))
            if sent:
                mids[instrument.symbol] = orjson.loads(self.exchange.text(sent))["data"]["ctx"]["midPx"]
        return mids

    def _candles(self, asked: Any) -> list[Any]:
        wanted = asked.get("req")
        place = self._place(wanted.get("coin")) if type(wanted) is dict else None
        if place is None or wanted.get("interval") != "1m" or type(wanted.get("startTime")) is not int:
            raise RefusedError(422, b"Failed to deserialize the JSON body into the target type")
        begin, end = wanted["startTime"], wanted.get("endTime", self.exchange.venue_ms())
        return [
            orjson.loads(self._candle(place, candle))
            for minute, candle in sorted(self.exchange.truth.records[place].candles.items())
            if (minute + 1) * MS_PER_MINUTE > begin and minute * MS_PER_MINUTE <= end
        ]

    def _recent(self, asked: Any) -> list[Any]:
        place = self._place(asked.get("coin"))
        if place is None:
            raise RefusedError(500, b"null")
        newest = self.exchange.truth.records[place].trades[-10:]
        return [orjson.loads(self.exchange.source.trade_text(place, trade)) for trade in reversed(newest)]


INFO = {
    "meta": Hyperliquid._meta,
    "metaAndAssetCtxs": Hyperliquid._contexts,
    "l2Book": Hyperliquid._book,
    "allMids": Hyperliquid._mids,
    "candleSnapshot": Hyperliquid._candles,
    "recentTrades": Hyperliquid._recent,
}
