"""The bus of one process: durable, by priority, at least once, and each type in its order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock
from engine.io.bus.figures import Figures, Outcome
from engine.io.bus.message import KIND, BusError, Message, decode
from engine.io.disk import OS_DISK, Disk
from engine.io.line_log import LineLog, Syncing
from engine.io.outputs import write_whole

MESSAGES, DEAD = "bus.jsonl", "bus.dead.jsonl"
BACKOFF_S = (0.05, 0.2, 0.8)
HANDLER_S = 5.0  # a handler may take; then it is asked again
KNOWN_MAX = 50_000  # ids, above which those of expired messages are forgotten

Handler = Callable[[Message], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Pending:
    """One message for one receiver. order: in which they came. end: of its line; it is handed on once that is durable.

    not_before_s: time of the loop of its next attempt.
    """

    message: Message
    receiver: str
    order: int
    end: int
    attempts: int = 0
    not_before_s: float = 0.0


class Bus:
    """Messages of the session in `folder`. Between `start` and `stop` they are handed to their handlers."""

    def __init__(self, folder: Path, clock: Clock, disk: Disk = OS_DISK, executor: Executor | None = None) -> None:
        self._folder, self._clock, self._disk = folder, clock, disk
        self._handlers: dict[tuple[str, str], Handler] = {}  # by receiver and type
        self._lanes: dict[tuple[str, str], deque[_Pending]] = {}
        self._known: dict[str, int] = {}  # id: when it expires
        self._wakers: dict[str, asyncio.Event] = {}  # by receiver
        self._tasks: list[asyncio.Task[None]] = []
        self._started, self._order = False, 0
        self.figures = Figures()
        self._dead = LineLog(disk, folder / DEAD)
        self._log = self._open()
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

    def send(self, message: Message) -> bool:
        """Take a message; False if it is known. A broadcast goes to everyone registered now but its sender."""
        if message.message_id in self._known:
            return False
        receivers = [message.receiver] if message.receiver is not None else self._listeners(message)
        self._remember(message)
        if not receivers:
            return True
        self._log.append(b'{"to":' + orjson.dumps(receivers) + b',"message":' + message.encode() + b"}")
        for receiver in receivers:
            self._queue(message, receiver, self._log.end)
        self._syncing.wake()
        return True

    def _listeners(self, message: Message) -> list[str]:
        return [who for who, type_ in self._handlers if type_ == message.type and who != message.sender]

    def _remember(self, message: Message) -> None:
        if len(self._known) >= KNOWN_MAX:
            now_ns = self._clock.now_ns()
            self._known = {id_: expires for id_, expires in self._known.items() if expires > now_ns}
        self._known[message.message_id] = message.expires_ns()

    def _queue(self, message: Message, receiver: str, end: int) -> None:
        self._order += 1
        lane = self._lanes.setdefault((receiver, message.type), deque())
        lane.append(_Pending(message, receiver, self._order, end))
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

    def close(self) -> None:
        self._log.close()
        self._dead.close()

    def status(self) -> dict[str, Any]:
        """As engine.io.status.Bus."""
        pending = sum(len(lane) for lane in self._lanes.values())
        return {"pending": pending, "trouble": self._log.error} | self.figures.status(self._clock.now_ns())

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
        """Its end for this receiver. A dead letter is written first; both are durable soon, and at least once."""
        now_ns = self._clock.now_ns()
        self._lanes[one.receiver, one.message.type].remove(one)
        self.figures.settle(outcome, one.message.created_at, now_ns)
        told = {
            "message_id": one.message.message_id, "receiver": one.receiver, "status": outcome,
            "attempts": one.attempts, "at_ns": now_ns, "error": error,
        }  # fmt: skip
        line = orjson.dumps(told)
        if outcome != "delivered":
            self._dead.append(line[:-1] + b',"message":' + one.message.encode() + b"}")
            self._dead.sync()
        self._log.append(line)
        self._syncing.wake()

    # ---- the file ----

    def _open(self) -> LineLog:
        """What is pending is queued again; what is settled and past its time is left out of the file."""
        told: dict[str, tuple[Message, list[str], list[bytes]]] = {}
        unread: list[BusError] = []

        def known(position: int, line: bytes) -> None:
            found = orjson.loads(line)
            if "message" in found:
                try:
                    message = decode(orjson.dumps(found["message"]))
                except BusError as error:  # of a version with other types
                    self._dead.append(orjson.dumps({"status": "failed", "error": str(error)})[:-1] + b"," + line[1:])
                    unread.append(error)
                    return
                told[message.message_id] = message, list(found["to"]), [line]
            elif found["message_id"] in told:
                _, open_, lines = told[found["message_id"]]
                lines.append(line)
                if found["receiver"] in open_:
                    open_.remove(found["receiver"])

        path = self._folder / MESSAGES
        log = LineLog(self._disk, path, known)
        now_ns = self._clock.now_ns()
        kept = [one for one in told.values() if one[1] or one[0].expires_ns() > now_ns]
        if len(kept) < len(told) or unread:
            log.close()
            self._dead.sync()
            write_whole(self._disk, path, b"".join(line + b"\n" for _, _, lines in kept for line in lines))
            log = LineLog(self._disk, path)
        for message, receivers, _ in kept:
            self._remember(message)
            for receiver in receivers:
                self._queue(message, receiver, 0)
        return log
