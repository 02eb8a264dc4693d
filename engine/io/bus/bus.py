"""The bus of one process: durable, by priority, at least once, and each type in its order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock
from engine.io.bus.figures import Outcome
from engine.io.bus.ledger import Ledger
from engine.io.bus.message import KIND, BusError, Message
from engine.io.disk import OS_DISK, Disk
from engine.io.line_log import Syncing

BACKOFF_S = (0.05, 0.2, 0.8)
HANDLER_S = 5.0  # a handler may take; then it is asked again
KNOWN_MAX = 50_000  # ids, above which those of expired messages are forgotten

Handler = Callable[[Message], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Pending:
    """One message for one receiver. order: in which they came. end: of its line; it is handed on once that is durable.

    since_ns: as in `Bus.send`. not_before_s: time of the loop of its next attempt.
    """

    message: Message
    receiver: str
    order: int
    end: int
    since_ns: int
    attempts: int = 0
    not_before_s: float = 0.0


class Bus:
    """Messages of the session in `folder`. Between `start` and `stop` they are handed to their handlers."""

    def __init__(self, folder: Path, clock: Clock, disk: Disk = OS_DISK, executor: Executor | None = None) -> None:
        self._clock = clock
        self._handlers: dict[tuple[str, str], Handler] = {}  # by receiver and type
        self._lanes: dict[tuple[str, str], deque[_Pending]] = {}
        self._known: dict[str, int] = {}  # id: when it expires
        self._wakers: dict[str, asyncio.Event] = {}  # by receiver
        self._tasks: list[asyncio.Task[None]] = []
        self._started, self._order = False, 0
        self._ledger = Ledger(folder, disk, clock.now_ns())
        for told in self._ledger.kept:
            self._remember(told.message)
            for receiver in told.waiting:
                self._queue(told.message, receiver, 0, told.since_ns)
        self.figures, self._log = self._ledger.figures, self._ledger.log
        self._sent, self._synced = asyncio.Event(), asyncio.Event()
        self._syncing = Syncing(self._log, self._wake_all, executor)

    # ---- sending ----

    def register(self, receiver: str, type_: str, handler: Handler) -> None:
        """Give a receiver its handler for a type. BusError if it has one, or this type never comes to it."""
        kind = KIND.get(type_)
        if kind is None or (kind.receivers and receiver not in kind.receivers):
            raise BusError(f"{type_} never comes to {receiver}")
        if (receiver, type_) in self._handlers:
            raise BusError(f"{receiver} has a handler for {type_} already")
        self._handlers[receiver, type_] = handler
        self._worker(receiver)

    def unregister(self, receiver: str) -> None:
        """Take its handlers away; what is pending waits for new ones, or for its end."""
        for name, type_ in [key for key in self._handlers if key[0] == receiver]:
            del self._handlers[name, type_]

    def send(self, message: Message, place: int = -1, since_ns: int | None = None) -> bool:
        """Take a message; False if it is known. A broadcast goes to everyone registered now but its sender.

        place: where it came from, a number that grows with the messages of its type: what is not behind the newest is
        known. since_ns: of the run's clock, from when on its latency counts; None: from now on.
        """
        said = self.figures.said.get(message.type)
        if message.message_id in self._known or (said is not None and 0 <= place <= said.place):
            return False
        since_ns = self._clock.now_ns() if since_ns is None else since_ns
        receivers = [message.receiver] if message.receiver is not None else self._listeners(message)
        self._remember(message)
        end = self._ledger.say(message, receivers, place, since_ns)
        for receiver in receivers:
            self._queue(message, receiver, end, since_ns)
        self._sent.set()
        self._syncing.wake()
        return True

    def knows(self, message_id: str) -> bool:
        """Whether it was sent already, as far as that is remembered: while it lives at least."""
        return message_id in self._known

    async def told(self, message_ids: Iterable[str]) -> None:
        """Returns when all of them were sent, by whomever."""
        for id_ in message_ids:
            while id_ not in self._known:
                self._sent.clear()
                await self._sent.wait()

    def refuse(self, content: bytes, why: str) -> None:
        """A dead letter of what somebody elsewhere said and may not."""
        self._ledger.refuse(content, why, self._clock.now_ns())

    async def durable(self) -> None:
        """Returns when everything that was sent so far is in the file for good."""
        end = self._log.end
        while self._log.durable < end:
            self._synced.clear()
            await self._synced.wait()

    def _listeners(self, message: Message) -> list[str]:
        return [who for who, type_ in self._handlers if type_ == message.type and who != message.sender]

    def _remember(self, message: Message) -> None:
        if len(self._known) >= KNOWN_MAX:
            now_ns = self._clock.now_ns()
            self._known = {id_: expires for id_, expires in self._known.items() if expires > now_ns}
        self._known[message.message_id] = message.expires_ns()

    def _queue(self, message: Message, receiver: str, end: int, since_ns: int) -> None:
        self._order += 1
        lane = self._lanes.setdefault((receiver, message.type), deque())
        lane.append(_Pending(message, receiver, self._order, end, since_ns))
        self._worker(receiver)

    # ---- life ----

    def start(self) -> None:
        """In the loop."""
        self._started = True
        self._tasks.append(asyncio.create_task(self._syncing.run(), name="bus"))
        for receiver, woken in self._wakers.items():
            self._tasks.append(asyncio.create_task(self._serve(receiver, woken), name=f"bus {receiver}"))

    async def stop(self) -> None:
        """What is pending stays in the file for the next start."""
        self._started = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def sync(self) -> bool:
        """Make everything that was sent durable; False if the disk refused. In any thread."""
        return self._log.sync()

    def close(self) -> bool:
        """False if a line is missing."""
        return self._ledger.close()

    def status(self) -> dict[str, Any]:
        """As engine.io.status.Bus."""
        pending = {receiver: 0 for receiver, _ in self._handlers}
        for (receiver, _), lane in self._lanes.items():
            pending[receiver] = pending.get(receiver, 0) + len(lane)
        return {"trouble": self._log.error} | self.figures.status(self._clock.now_ns(), pending)

    # ---- handing on ----

    def _worker(self, receiver: str) -> None:
        """One a receiver: it is handed one message at a time."""
        if receiver in self._wakers:
            self._wakers[receiver].set()
            return
        woken = self._wakers[receiver] = asyncio.Event()
        if self._started:
            self._tasks.append(asyncio.create_task(self._serve(receiver, woken), name=f"bus {receiver}"))

    def _wake_all(self) -> None:
        self._synced.set()
        for woken in self._wakers.values():
            woken.set()

    async def _serve(self, receiver: str, woken: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            woken.clear()
            self._expire(receiver)
            heads = [lane[0] for (who, _), lane in self._lanes.items() if who == receiver and lane]
            ready = [one for one in heads if self._can_go(one, loop.time())]
            if ready:
                await self._hand(min(ready, key=lambda one: (one.message.priority, one.order)))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s(heads, loop.time())):
                    await woken.wait()

    def _can_go(self, one: _Pending, now_s: float) -> bool:
        has_handler = (one.receiver, one.message.type) in self._handlers
        return has_handler and one.end <= self._log.durable and one.not_before_s <= now_s

    def _wait_s(self, heads: list[_Pending], now_s: float) -> float | None:
        """Until something changes by time alone: a next attempt, or an end of life."""
        now_ns = self._clock.now_ns()
        waits = [max(self._clock.seconds((one.message.expires_ns() - now_ns) / NS_PER_S), 0.001) for one in heads]
        waits += [one.not_before_s - now_s for one in heads if one.not_before_s > now_s]
        return min(waits, default=None)

    def _expire(self, receiver: str) -> None:
        now_ns = self._clock.now_ns()
        for (who, _), lane in self._lanes.items():
            if who == receiver:
                for one in [one for one in lane if one.message.expires_ns() <= now_ns]:
                    self._settle(one, "expired", f"not handled within {one.message.ttl_s} s")

    async def _hand(self, one: _Pending) -> None:
        handler = self._handlers[one.receiver, one.message.type]
        one.attempts += 1
        try:
            async with asyncio.timeout(HANDLER_S):
                await handler(one.message)
        except Exception as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            if one.attempts > KIND[one.message.type].retries:
                self._settle(one, "failed", said)
            else:
                wait_s = BACKOFF_S[min(one.attempts, len(BACKOFF_S)) - 1]
                one.not_before_s = asyncio.get_running_loop().time() + wait_s
            return
        self._settle(one, "delivered", "")

    def _settle(self, one: _Pending, outcome: Outcome, error: str) -> None:
        """Its end for this receiver; durable soon, so it may come once more after a crash."""
        now_ns = self._clock.now_ns()
        self._lanes[one.receiver, one.message.type].remove(one)
        self._ledger.settle(one.message, one.receiver, outcome, one.attempts, one.since_ns, now_ns, error)
        self._syncing.wake()
