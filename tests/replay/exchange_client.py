"""A client of the local exchange in memory: it sends what it is told and keeps everything it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from engine.core.minutes import NS_PER_MS, NS_PER_S
from replay.exchange import Exchange, MemoryFront, VirtualClock, VirtualLoop, memory_front, read_plan, simulated
from replay.simulate import Market

URLS = {
    "hyperliquid": "wss://api.hyperliquid.xyz/ws",
    "binance_usdm": "wss://fstream.binance.com/stream",
    "binance_spot": "wss://stream.binance.com:9443/stream",
}
REST = {
    "hyperliquid": "https://api.hyperliquid.xyz/info",
    "binance_usdm": "https://fapi.binance.com/fapi/v1",
    "binance_spot": "https://api.binance.com/api/v3",
}
BINANCE = ["binance_usdm", "binance_spot"]
USDM = ("aggTrade", "bookTicker", "depth@100ms")
LATE_NS = 30 * NS_PER_MS  # that the way to the client takes at most, jitter and all


class Ear:
    """`core.ports.Receiver` that keeps (recv_ns, payload)."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.pongs: list[int] = []
        self.reason: str | None = None

    def frame(self, payload: bytes, recv_ns: int) -> None:
        self.frames.append((recv_ns, payload))

    def pong(self, recv_ns: int) -> None:
        self.pongs.append(recv_ns)

    def ended(self, reason: str) -> None:
        assert self.reason is None, "ended twice"
        self.reason = reason

    def told(self) -> list[Any]:
        """Every frame that is JSON, read."""
        return [orjson.loads(payload) for _, payload in self.frames if payload[:1] in b"{["]


def exchange_of(
    venue: str, plan: str = "", *, seed: int = 7, minutes: int = 3, symbols: int = 3, **more: Any
) -> Exchange:
    market = Market(seed=seed, minutes=minutes, symbols=symbols)
    return Exchange(simulated(market, venue), read_plan(plan), **more)


def subscriptions(venue: str, channels: tuple[str, ...], symbols: tuple[str, ...]) -> list[bytes]:
    """The messages that ask for channels of symbols; BTC is BTCUSDT where it is called so."""
    if venue == "hyperliquid":
        more = {"candle": {"interval": "1m"}}
        return [
            orjson.dumps({"method": "subscribe", "subscription": {"type": c, "coin": s} | more.get(c, {})})
            for s in symbols
            for c in channels
        ]
    names = [f"{symbol.lower()}usdt@{channel}" for symbol in symbols for channel in channels]
    return [orjson.dumps({"method": "SUBSCRIBE", "params": names, "id": 1})]


def play(exchange: Exchange, use: Callable[[MemoryFront], Awaitable[Any]], **more: Any) -> Any:
    """Run a client under virtual time; the exchange's clock begins where its source does."""
    loop = VirtualLoop()
    clock = VirtualClock(loop, exchange.now_ns)

    async def run() -> Any:
        front = memory_front(exchange, clock=clock, **more)
        try:
            return await use(front)
        finally:
            front.stop()

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def listen(
    exchange: Exchange, channels: tuple[str, ...], symbols: tuple[str, ...] = ("BTC",), seconds: float = 60.0
) -> Ear:
    """Subscribe on one connection and listen for a while."""

    async def use(front: MemoryFront) -> Ear:
        ear = Ear()
        link = await front.connect(URLS[exchange.venue], ear, 5.0)
        for message in subscriptions(exchange.venue, channels, symbols):
            link.send(message)
        for _ in range(int(seconds)):
            if exchange.venue == "hyperliquid":
                link.send(b'{"method":"ping"}')  # or it is closed for being idle
            await asyncio.sleep(1.0)
        front.stop()
        await asyncio.sleep(1.0)  # what is on its way still comes
        return ear

    ear: Ear = play(exchange, use)
    return ear


def ask(exchange: Exchange, *paths: str, after_s: float = 5.0) -> list[Any]:
    """GET each path of a Binance venue, or POST each body of Hyperliquid, after a while; bodies read."""

    async def use(front: MemoryFront) -> list[Any]:
        await asyncio.sleep(after_s)
        answers = []
        for path in paths:
            if exchange.venue == "hyperliquid":
                status, _, body = await front.request("POST", REST[exchange.venue], path.encode(), 5.0)
            else:
                status, _, body = await front.request("GET", f"{REST[exchange.venue]}/{path}", None, 5.0)
            answers.append((status, orjson.loads(body)))
        return answers

    found: list[Any] = play(exchange, use)
    return found


# --- with a fault, and without ----------------------------------------------------------------------------------------


def with_fault(
    venue: str,
    text: str,
    channels: tuple[str, ...] = USDM,
    symbols: tuple[str, ...] = ("BTC", "ETH"),
    seconds: float = 25.0,
) -> tuple[Exchange, Ear]:
    """An exchange whose plan is this one fault, and what was heard of it."""
    exchange = exchange_of(venue, "[[fault]]\n" + text, minutes=1)
    return exchange, listen(exchange, channels, symbols, seconds)


def calm(
    venue: str, channels: tuple[str, ...] = USDM, symbols: tuple[str, ...] = ("BTC", "ETH"), seconds: float = 25.0
) -> Ear:
    """The same without a fault."""
    return listen(exchange_of(venue, minutes=1), channels, symbols, seconds)


def data(ear: Ear) -> list[bytes]:
    return [payload for _, payload in ear.frames]


def in_window(exchange: Exchange, ear: Ear, begin_s: float, end_s: float) -> list[tuple[int, bytes]]:
    first = exchange.first_minute_ns
    return [
        (recv_ns, payload)
        for recv_ns, payload in ear.frames
        if first + begin_s * NS_PER_S <= recv_ns < first + end_s * NS_PER_S
    ]
