"""Requests to one venue: in order of need, within its weight, asked again with patience; every answer is a record."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import orjson

from engine.core.errors import FeedError, JournalError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock, Http
from engine.core.records import RecordKind
from engine.io.feeds.connection import CONNECT_LEAST_REAL_S, Append
from engine.io.feeds.endless import OnCrash, endless
from engine.io.feeds.pace import Backoff, retry_after_s
from engine.io.venues.end import Request, VenueEnd

USED_SHARE = 0.8  # of the venue's weight; others behind the same address may need some
AT_ONCE = 4  # requests on their way
RETRY_LEAST_S, RETRY_MOST_S = 0.5, 15.0
REFUSED = (418, 429)  # told to wait; 418: after not having listened
BAN_LEAST_S = 2.0  # if a refusal does not say for how long
USED_HEADERS = ("x-mbx-used-weight-1m", "x-mbx-used-weight")
LOOK_LEAST_S = 0.001  # a wait of nearly nothing might end before it is over, for ever
OPEN_ENDED = 1 << 30  # attempts
FOR_EVER = 1 << 63  # ns


class Need(IntEnum):
    """What goes first."""

    SNAPSHOT = 0
    BACKFILL = 1
    CANDLE = 2
    POLL = 3


@dataclass(order=True, slots=True)
class Errand:
    """One request until it is answered. then: told the body of each answer, says how soon to ask again; None: done.

    until_ns: from then on its answer helps nobody.
    """

    need: Need
    number: int
    request: Request = field(compare=False)
    then: Callable[[bytes], float | None] = field(compare=False)
    attempts: int = field(compare=False)
    backoff: Backoff = field(compare=False)
    until_ns: int = field(compare=False)


class Rest:
    """The requests of one venue. source: which connection's name they are journaled under."""

    def __init__(
        self,
        end: VenueEnd,
        url: str,
        source: Callable[[], int],
        *,
        append: Append,
        clock: Clock,
        http: Http,
        rng: random.Random,
        timeout_s: float,
        on_crash: OnCrash,
    ) -> None:
        self.end, self._url, self._source = end, url.rstrip("/"), source
        self._append, self._clock, self._http, self._rng, self._timeout_s = append, clock, http, rng, timeout_s
        self._on_crash = on_crash
        self._budget = end.limits.weight * USED_SHARE
        self._left, self._filled_ns = self._budget, clock.now_ns()
        self._queue: list[Errand] = []
        self._known: set[tuple[str, str, str, bytes | None]] = set()  # requests that are under way
        self._numbers = 0
        self._running: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._until_ns = 0  # nothing is asked before
        self.failed = 0

    def start(self) -> None:
        self._task = asyncio.ensure_future(endless(self._serve, self._on_crash, self._clock, self._rng))

    async def stop(self) -> None:
        tasks = [*self._running, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ask(
        self,
        request: Request,
        need: Need,
        then: Callable[[bytes], float | None] = lambda body: None,
        *,
        attempts: int = OPEN_ENDED,
        after_s: float = 0.0,
        until_ns: int = FOR_EVER,
    ) -> bool:
        """Put a request in the queue, once. attempts: answers that fail or do not satisfy, before it is given up.

        until_ns: if it was not its turn by then, as while the venue wants to be left alone, it is not asked any more.
        """
        self._drop_late()
        name = request.name, request.symbol, request.path, request.body
        if name in self._known:
            return False
        self._known.add(name)
        self._numbers += 1
        backoff = Backoff(RETRY_LEAST_S, RETRY_MOST_S, self._rng)
        self._later(Errand(need, self._numbers, request, then, attempts, backoff, until_ns), after_s)
        return True

    def status(self) -> dict[str, object]:
        self._fill()
        return {
            "venue": self.end.venue,
            "weight_used": round(self._budget - self._left),
            "weight_limit": self.end.limits.weight,
            "queued": len(self._known),
            "failed": self.failed,
            "banned_until_ns": self._until_ns if self._until_ns > self._clock.now_ns() else None,
        }

    # Serving -------------------------------------------------------------------------------------------------------

    def _later(self, errand: Errand, wait_s: float) -> None:
        if wait_s > 0:
            task = asyncio.ensure_future(self._wait(errand, wait_s))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        else:
            heapq.heappush(self._queue, errand)
            self._news.set()

    async def _wait(self, errand: Errand, wait_s: float) -> None:
        await asyncio.sleep(self._clock.seconds(wait_s))
        heapq.heappush(self._queue, errand)
        self._news.set()

    async def _serve(self) -> None:
        """Start what is most needed as soon as the budget has room for it."""
        at_once = asyncio.Semaphore(AT_ONCE)
        while True:
            await at_once.acquire()
            errand = await self._next()
            task = asyncio.ensure_future(self._attempt(errand))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda _: at_once.release())

    async def _next(self) -> Errand:
        while True:
            self._fill()
            self._drop_late()
            wait_s = (self._until_ns - self._clock.now_ns()) / NS_PER_S
            if not self._queue:
                self._news.clear()
                await self._news.wait()
                continue
            missing = self._queue[0].request.weight - self._left
            wait_s = max(wait_s, missing * 60.0 / self._budget)
            if wait_s <= 0:
                break
            await asyncio.sleep(self._clock.seconds(wait_s + LOOK_LEAST_S))
        errand = heapq.heappop(self._queue)
        self._left -= errand.request.weight
        return errand

    def _drop_late(self) -> None:
        now_ns = self._clock.now_ns()
        late = [errand for errand in self._queue if errand.until_ns <= now_ns]
        if late:
            self._queue = [errand for errand in self._queue if errand.until_ns > now_ns]
            heapq.heapify(self._queue)
            for errand in late:
                self._forget(errand.request)

    def _fill(self) -> None:
        now_ns = self._clock.now_ns()
        gained = (now_ns - self._filled_ns) / NS_PER_S * self._budget / 60.0
        self._left, self._filled_ns = min(self._budget, self._left + gained), now_ns

    async def _attempt(self, errand: Errand) -> None:
        try:
            await self._perform(errand)
        except Exception as error:  # a fault of ours ends this errand and no other
            self._forget(errand.request)
            self._on_crash(error)

    def _forget(self, request: Request) -> None:
        self._known.discard((request.name, request.symbol, request.path, request.body))

    async def _perform(self, errand: Errand) -> None:
        """One attempt: its answer, or its failure, becomes a record; then it is done, or asked again."""
        request = errand.request
        timeout_s = max(self._clock.seconds(self._timeout_s), CONNECT_LEAST_REAL_S)
        wait_s: float | None
        try:
            status, headers, body = await self._http.request(
                request.method, self._url + request.path, request.body, timeout_s
            )
        except FeedError as error:
            wait_s = self._failed(errand, str(error))
        else:
            self._believe(headers.get(USED_HEADERS[0], headers.get(USED_HEADERS[1], "")))
            if status == 200:
                wait_s = self._answered(errand, body)
            elif status in REFUSED:
                wait_s = self._refused(errand, status, headers.get("retry-after", ""))
            else:
                said = f"status {status}: {body[:200].decode('utf-8', 'replace')}"
                wait_s = self._failed(errand, said, for_good=400 <= status < 500)
        if wait_s is None:
            self._forget(request)
        else:
            self._later(errand, wait_s)

    def _answered(self, errand: Errand, body: bytes) -> float | None:
        try:
            self._tell(RecordKind.REST, errand.request, body)
            wait_s = errand.then(body)
        except JournalError:
            return self._failed(errand, "answered, but the journal had no room for it")
        except (ValueError, KeyError, TypeError, IndexError) as error:  # it is not what was asked for
            return self._failed(errand, f"unexpected answer ({type(error).__name__}: {error})", for_good=True)
        if wait_s is None:
            return None
        errand.attempts -= 1
        return wait_s if errand.attempts > 0 else None

    def _failed(self, errand: Errand, reason: str, for_good: bool = False) -> float | None:
        self.failed += 1
        errand.attempts -= 1
        self._tell(RecordKind.REST_ERROR, errand.request, reason.encode())
        if for_good or errand.attempts <= 0:
            return None
        return max(errand.backoff.next_s(), RETRY_LEAST_S * self._rng.random())

    def _refused(self, errand: Errand, status: int, retry_after: str) -> float:
        """Told to wait: nobody asks this venue anything before that. It is no failed attempt."""
        wait_s = errand.backoff.next_s(retry_after_s(retry_after) or BAN_LEAST_S)
        now_ns = self._clock.now_ns()
        if self._until_ns <= now_ns:
            told = {"kind": "rest_limited", "detail": {"venue": self.end.venue, "status": status, "wait_s": wait_s}}
            self._append(int(RecordKind.HOST), 0, orjson.dumps(told))
        self._until_ns = max(self._until_ns, now_ns + int(wait_s * NS_PER_S))
        self._tell(RecordKind.REST_ERROR, errand.request, f"status {status}: asked to wait".encode())
        return wait_s

    def _believe(self, used: str) -> None:
        """The venue's own count of what was used in this minute, if it is more than ours. It counts up to its limit."""
        if used.isascii() and used.isdigit():
            self._fill()
            self._left = min(self._left, self._budget - min(float(used), self.end.limits.weight))

    def _tell(self, kind: RecordKind, request: Request, body: bytes) -> None:
        head = f"{request.name} {request.symbol}\n".encode()
        self._append(int(kind), self._source(), head + body)
