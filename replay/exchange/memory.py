"""The exchange in the same process: `Transport` and `Http` without a socket, deterministic under a virtual loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from engine.core.errors import FeedError
from engine.core.ports import Clock, Link, Receiver
from replay.exchange.driver import Driver
from replay.exchange.exchange import Exchange
from replay.exchange.faults import mix
from replay.exchange.limits import PATIENCE_BYTES, RefusedError
from replay.exchange.session import Session

JITTER_SHARE = 0.3  # of the latency
ANSWER_S = 0.05  # that a request takes besides the way there and back


class Pipe:
    """One direction of a connection: what goes in comes out later, in the same order.

    The delay is the latency, give or take JITTER_SHARE of it. Jitter depends on the instant alone, so that a message
    more or less moves no other.
    """

    def __init__(self, clock: Clock, latency_s: float, seed: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock, self._latency_s, self._seed = clock, latency_s, seed
        self._waiting: deque[Callable[[], None]] = deque()
        self._last = 0.0

    def put(self, action: Callable[[], None]) -> None:
        chance = mix(self._seed, self._clock.now_ns()) / 2**64
        delay_s = self._latency_s * (1.0 + JITTER_SHARE * (2.0 * chance - 1.0))
        self._last = max(self._last, self._loop.time() + self._clock.seconds(delay_s))
        self._waiting.append(action)
        self._loop.call_at(self._last, self._out)

    def _out(self) -> None:
        self._waiting.popleft()()  # timers of one instant may come in any order, actions may not


class MemoryLink:
    """A connection: `core.ports.Link` for the engine, `Peer` for the exchange."""

    def __init__(self, front: MemoryFront, driver: Driver, receiver: Receiver) -> None:
        self._front, self._driver, self._receiver = front, driver, receiver
        self._there, self._back = front.pipe(), front.pipe()
        self._session: Session | None = None
        self._ended = self._paused = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0

    def accept(self, session: Session) -> None:
        self._session = session

    # The engine's side

    def send(self, payload: bytes) -> None:
        if not self._ended:
            self._there.put(lambda: self._told(lambda session, now_ns: session.receive(payload, now_ns)))

    def ping(self) -> None:
        if not self._ended:
            self._there.put(lambda: self._told(lambda session, now_ns: session.pinged(b"", now_ns)))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        while self._held and not self._paused and not self._ended:
            payload = self._held.popleft()
            self._held_bytes -= len(payload)
            self._receiver.frame(payload, self._front.host.now_ns())

    def close(self, reason: str) -> None:
        if not self._ended:
            self._there.put(lambda: self._told(lambda session, now_ns: session.gone(now_ns)))
            self._end(reason)

    def _told(self, tell: Callable[[Session, int], None]) -> None:
        if self._session is not None and not self._session.over:
            tell(self._session, self._driver.now_ns())
            self._driver.poke()

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._held.clear()
            self._receiver.ended(reason)

    # The exchange's side

    def frame(self, payload: bytes) -> None:
        self._back.put(lambda: self._arrive(payload))

    def _arrive(self, payload: bytes) -> None:
        if self._ended:
            return
        if not self._paused and not self._held:
            self._receiver.frame(payload, self._front.host.now_ns())
            return
        self._held.append(payload)
        self._held_bytes += len(payload)
        if self._held_bytes > PATIENCE_BYTES and self._session is not None:
            self._session.cut()

    def ping_client(self) -> None:
        """Whoever speaks the protocol answers by itself."""
        self._back.put(
            lambda: (
                None
                if self._ended
                else self._there.put(lambda: self._told(lambda session, now_ns: session.ponged(now_ns)))
            )
        )

    def pong(self, data: bytes) -> None:
        self._back.put(lambda: None if self._ended else self._receiver.pong(self._front.host.now_ns()))

    def shut(self, code: int, reason: str) -> None:
        self._back.put(lambda: self._end(f"closed by the venue: {code} {reason}".rstrip()))

    def abort(self) -> None:
        self._back.put(lambda: self._end("connection reset by the venue"))


class _Peer:
    """The exchange's view of a link; both sides have a `ping` and a `close`, which are not the same."""

    def __init__(self, link: MemoryLink) -> None:
        self.frame, self.pong, self.abort = link.frame, link.pong, link.abort
        self.ping, self.close = link.ping_client, link.shut


class MemoryFront:
    """`Transport` and `Http` over exchanges in the same loop. Use `memory_front`."""

    def __init__(self, exchanges: Mapping[str, Driver], host: Clock, latency_s: float, seed: int) -> None:
        self._drivers, self.host = exchanges, host
        self._latency_s, self._seed, self._pipes = latency_s, seed, 0

    def pipe(self) -> Pipe:
        self._pipes += 1
        return Pipe(self.host, self._latency_s, mix(self._seed, self._pipes))

    async def connect(self, url: str, receiver: Receiver, timeout_s: float) -> Link:
        driver, target = self._driver(url)
        await asyncio.sleep(self.host.seconds(2.0 * self._latency_s))
        link = MemoryLink(self, driver, receiver)
        try:
            link.accept(driver.exchange.connect(target, _Peer(link), driver.now_ns()))
        except RefusedError as refusal:
            said = "connection refused" if refusal.drop else f"handshake answered with {refusal.status}"
            raise FeedError(f"{url}: {said}; the venue may be down, try again later") from None
        finally:
            driver.poke()
        # Sooner than the first frame can be here.
        await asyncio.sleep(self.host.seconds(self._latency_s * (1.0 - JITTER_SHARE)))
        return link

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        driver, target = self._driver(url)
        try:
            async with asyncio.timeout(self.host.seconds(timeout_s)):
                await asyncio.sleep(self.host.seconds(self._latency_s + ANSWER_S))
                if urlsplit(url).path == "/clock":
                    return 200, {"content-type": "application/json"}, clock_answer(driver.clock, 1.0)
                reply = driver.exchange.request(method, target, body or b"", driver.now_ns())
                driver.poke()
                await asyncio.sleep(self.host.seconds(self._latency_s + reply.delay_s))
        except RefusedError:
            raise FeedError(f"{method} {url}: connection refused; the venue may be down, try again later") from None
        except TimeoutError:
            raise FeedError(f"{method} {url}: no answer within {timeout_s:g} s; try again later") from None
        return reply.status, {key.lower(): value for key, value in reply.headers.items()}, reply.body

    def _driver(self, url: str) -> tuple[Driver, str]:
        parts = urlsplit(url)
        driver = self._drivers.get(parts.hostname or "")
        if driver is None:
            known = ", ".join(sorted(self._drivers))
            raise FeedError(f"{url}: no such exchange in memory; hosts are {known}")
        return driver, f"{parts.path}?{parts.query}" if parts.query else parts.path

    def stop(self) -> None:
        for driver in self._drivers.values():
            driver.stop()


def clock_answer(clock: Clock, speed: float) -> bytes:
    return b'{"venue_ns":%d,"speed":%s}' % (clock.now_ns(), repr(speed).encode())


def memory_front(
    *exchanges: Exchange, clock: Clock, host: Clock | None = None, latency_s: float = 0.006, seed: int = 0
) -> MemoryFront:
    """Connect exchanges of different venues to the running loop.

    clock: the exchanges' time. host: the engine's clock, which stamps what it receives, if it is another one.
    A URL reaches an exchange by the venue's own host names, or by the venue's name with dashes (ws://binance-usdm/stream).
    """
    drivers: dict[str, Driver] = {}
    for exchange in exchanges:
        driver = Driver(exchange, clock)
        for name in (*exchange.protocol.hosts, exchange.venue, exchange.venue.replace("_", "-")):
            drivers[name] = driver
    return MemoryFront(drivers, host or clock, latency_s, seed)
