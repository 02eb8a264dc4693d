"""A venue that does what a story tells it to, under virtual time: nothing here waits, and no two runs differ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from config.schema import Config
from engine.core.effects import Wanted
from engine.core.errors import FeedError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Receiver
from engine.core.records import RecordKind
from engine.io.feeds import Feeds
from engine.io.journal_writer import JournalFull
from replay.exchange import VirtualClock, VirtualLoop

START_NS = 1_736_164_800 * NS_PER_S


def play(story: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a story to its end in its own loop."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story(loop))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


class FakeLink:
    """A link of a fake venue. dead: it swallows everything, as a half-open one does."""

    def __init__(self, venue: FakeVenue, receiver: Receiver) -> None:
        self.venue, self.receiver = venue, receiver
        self.sent: list[tuple[float, Any]] = []
        self.opened_s = venue.loop.time()
        self.subscribed: set[str] = set()
        self.dead = self.deaf = self.over = self.paused = False

    def send(self, payload: bytes) -> None:
        if not self.over:
            self.sent.append((self.venue.loop.time(), orjson.loads(payload)))
            if not self.dead:
                self.venue.loop.call_later(self.venue.latency_s, self.venue.hear, self, orjson.loads(payload))

    def ping(self) -> None:
        if not self.dead and not self.over:
            self.venue.loop.call_later(self.venue.latency_s, self._pong)

    def _pong(self) -> None:
        if not self.dead and not self.over:
            self.receiver.pong(self.venue.clock.now_ns())

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self, reason: str) -> None:
        self.end(reason)

    def end(self, reason: str) -> None:
        if not self.over:
            self.over = True
            self.receiver.ended(reason)

    def say(self, told: Any) -> None:
        if not self.dead and not self.over:
            payload = told if isinstance(told, bytes) else orjson.dumps(told)
            self.receiver.frame(payload, self.venue.clock.now_ns())


class FakeVenue:
    """Transport and Http at once. refuse: a sentence that every connect fails with. answers: path prefix -> answer."""

    def __init__(self, loop: VirtualLoop, latency_s: float = 0.01) -> None:
        self.loop, self.clock, self.latency_s = loop, VirtualClock(loop, START_NS), latency_s
        self.links: list[FakeLink] = []
        self.attempts: list[float] = []
        self.refuse = ""
        self.retry_after_s = 0.0
        self.unknown: set[str] = set()
        self.requests: list[tuple[float, str, bytes | None]] = []
        self.answers: dict[str, Callable[[str, bytes | None], tuple[int, Mapping[str, str], bytes]]] = {}

    async def connect(self, url: str, receiver: Receiver, timeout_s: float) -> FakeLink:
        self.attempts.append(self.loop.time())
        await asyncio.sleep(self.latency_s)
        if self.refuse:
            raise FeedError(f"{url}: {self.refuse}", self.retry_after_s)
        link = FakeLink(self, receiver)
        self.links.append(link)
        return link

    @property
    def open(self) -> list[FakeLink]:
        return [link for link in self.links if not link.over]

    def hear(self, link: FakeLink, told: dict[str, Any]) -> None:
        """Answer a subscription message, in the language it was asked in."""
        if link.dead or link.over or link.deaf:
            return
        if told["method"] in ("SUBSCRIBE", "UNSUBSCRIBE"):
            if set(told["params"]) & self.unknown:
                link.say({"error": {"code": 2, "msg": "Invalid request"}, "id": told["id"]})
                return
            link.say({"result": None, "id": told["id"]})
            change = link.subscribed.update if told["method"] == "SUBSCRIBE" else link.subscribed.difference_update
            change(told["params"])
        elif told["method"] == "ping":
            link.say({"channel": "pong"})
        else:
            asked = told["subscription"]
            name = f"{asked['type']} {asked['coin']}"
            if asked["coin"] in self.unknown:
                text = f"Invalid subscription {orjson.dumps(asked).decode()}"
                link.say({"channel": "error", "data": text})
                return
            link.say({"channel": "subscriptionResponse", "data": told})
            (link.subscribed.add if told["method"] == "subscribe" else link.subscribed.discard)(name)

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        self.requests.append((self.loop.time(), url, body))
        await asyncio.sleep(self.latency_s)
        path = url.split("://", 1)[1].partition("/")[2]
        if path == "info" and body is not None:
            path = orjson.loads(body)["type"]
        for name, answer in self.answers.items():
            if path.startswith(name):
                return answer(url, body)
        if path.startswith("fapi/v1/exchangeInfo"):
            return 200, {}, usdm_listing()
        if path == "meta":
            return 200, {}, hyperliquid_listing()
        return 200, {}, b"[]"


def usdm_listing() -> bytes:
    def entry(symbol: str, status: str = "TRADING") -> dict[str, Any]:
        return {
            "symbol": symbol,
            "status": status,
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
                {"filterType": "LOT_SIZE", "stepSize": "0.001"},
            ],
        }

    names = [f"S{number:03d}USDT" for number in range(150)]
    traded = [entry(name) for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT", *names)]
    return orjson.dumps({"symbols": [*traded, entry("OLDUSDT", "SETTLING")]})


def hyperliquid_listing() -> bytes:
    coins = [{"name": "BTC", "szDecimals": 5}, {"name": "ETH", "szDecimals": 4}, {"name": "SOL", "szDecimals": 2}]
    return orjson.dumps({"universe": [*coins, {"name": "OLD", "szDecimals": 0, "isDelisted": True}]})


@dataclass
class Told:
    """The journal of a story: (seconds, kind, source, payload). full: it has no room for frames and answers.

    crashes: faults of ours.
    """

    loop: VirtualLoop
    full: bool = False
    records: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    crashes: list[Exception] = field(default_factory=list)

    def append(self, kind: int, source: int, payload: bytes, recv_ns: int | None = None) -> None:
        if self.full and kind in (RecordKind.FRAME, RecordKind.REST):
            raise JournalFull("journal", 0, "room in memory", "none", "free space on the disk")
        self.records.append((self.loop.time(), kind, source, payload))

    def of(self, kind: RecordKind, source: int | None = None) -> list[tuple[float, int, Any]]:
        """(seconds, source, what it says) of all records of a kind."""
        return [
            (
                at_s,
                c,
                payload
                if kind in (RecordKind.FRAME, RecordKind.REST, RecordKind.REST_ERROR)
                else orjson.loads(payload),
            )
            for at_s, k, c, payload in self.records
            if k == kind and source in (None, c)
        ]

    def turns(self, state: str) -> list[tuple[float, int, str]]:
        return [(at_s, c, told["reason"]) for at_s, c, told in self.of(RecordKind.CONNECTION) if told["state"] == state]


def settings(venue: str, symbols: list[str], **more: Any) -> Config:
    """feeds: settings of that section; anything else: of the venue."""
    feeds = more.pop("feeds", {})
    return Config.model_validate(
        {
            "venues": {venue: {"enabled": True, "symbols": symbols, **more}},
            "feeds": feeds,
            "core": {"limits": {"connections_max": 63}},
        }
    )


def feeds_of(
    config: Config, venue: FakeVenue, told: Told, seed: int = 1, on_crash: Callable[[Exception], None] | None = None
) -> Feeds:  # fmt: skip
    def crash(error: Exception) -> None:
        raise AssertionError(error)

    return Feeds(
        config,
        append=told.append,
        clock=venue.clock,
        transport=venue,
        http=venue,
        rng=random.Random(seed),
        on_crash=on_crash or crash,
    )


def wanted(venue: str, symbols: list[str], without_depth: list[str] | None = None) -> Wanted:
    return Wanted(0, venue, 1, tuple(symbols), tuple(without_depth or ()), "story")
