"""A WebSocket on this machine from which consumers read the outbox, each from a position of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from config.publish import Publish
from engine.core.errors import ConfigError
from engine.core.ports import Clock
from engine.core.release import Reach
from engine.io.publish.entry import Entry
from engine.io.publish.outbox import Outbox, Reaches
from engine.io.status import quantiles

HOST = "127.0.0.1"
BUFFER_BYTES = 128 << 10  # on the way to one consumer; as much again is read for it
CLOSED_WAIT_S = 0.5  # until a kill switch that raised is asked again
LATENCIES_KEPT = 10_000


class _NoPositionError(Exception):
    """What was asked for is no place in the outbox."""


class Stream:
    """Serves from `start` to `close`. docs/delivery.md has what a consumer asks for and how it is disconnected.

    port: 0 lets the system choose (`port` then says which). reaches: as of engine.io.publish.delivery.Delivery; what is
    held back a consumer never gets.
    """

    name = "stream"

    def __init__(self, outbox: Outbox, settings: Publish, *, clock: Clock, reaches: Reaches) -> None:
        self._outbox, self._settings, self._clock, self._reaches = outbox, settings, clock, reaches
        self.port = settings.stream_port
        self._server: Server | None = None
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._positions: dict[ServerConnection, int] = {}  # of consumers: what they read next
        self.consumers = self.delivered = self.held = self.disconnected = 0
        self.trouble = ""

    async def start(self) -> None:
        """Raises ConfigError if the port is taken."""
        logger = logging.getLogger("engine.publish.stream")
        logger.addHandler(logging.NullHandler())  # what a consumer does is counted, not logged
        logger.propagate = False
        try:
            self._server = await serve(
                self._serve, HOST, self.port, compression=None, write_limit=BUFFER_BYTES, max_size=1024,
                process_request=self._admit, close_timeout=1.0, logger=logger,
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(
                f"publish.stream_port: {HOST}:{self.port} cannot be had ({error.strerror or error}); give another port"
            ) from error
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    @property
    def needs_from(self) -> int:
        """Position of the oldest line that a consumer has before it."""
        return min(self._positions.values(), default=self._outbox.log.durable)

    def status(self) -> dict[str, Any]:
        """As engine.io.status.Sink; what waits is a matter of each consumer. failed: those cut off for slowness."""
        return {
            "name": self.name, "delivered": self.delivered, "failed": self.disconnected, "dead": 0, "held": self.held,
            "waiting": 0, "oldest_s": None, "latency_ms": quantiles(list(self._latencies_ms)), "trouble": self.trouble,
            "consumers": self.consumers,
        }  # fmt: skip

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        """Browsers say whose page asks; a page of the internet has no business at this socket."""
        if "Origin" in request.headers:
            return connection.respond(HTTPStatus.FORBIDDEN, "no browser page is served here\n")
        if self.consumers >= self._settings.stream_consumers_max:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "stream_consumers_max consumers are here\n")
        return None

    async def _serve(self, consumer: ServerConnection) -> None:
        self.consumers += 1
        more = self._outbox.waker()
        sending: asyncio.Task[None] | None = None
        try:
            position = self._begin(consumer.request.path if consumer.request else "")
            self._positions[consumer] = position
            sending = asyncio.create_task(self._send_all(consumer, position, more))
            gone = asyncio.create_task(consumer.wait_closed())
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if sending.done():
                sending.result()
        except _NoPositionError as error:
            await consumer.close(CloseCode.POLICY_VIOLATION, str(error))
        except ConnectionClosed:
            pass
        finally:
            if sending:
                sending.cancel()
            self._positions.pop(consumer, None)
            self._outbox.give_back(more)
            self.consumers -= 1

    def _begin(self, path: str) -> int:
        """Where the first line stands that is asked for."""
        asked = parse_qs(urlsplit(path).query, keep_blank_values=True)
        log = self._outbox.log
        if "live" in asked:
            return log.durable
        after = asked.get("after", [""])[0]
        if after == "start":
            return log.firsts[0]
        is_line = after.isascii() and after.isdigit() and len(after) < 19 and log.begins_at(int(after))
        if is_line and (found := self._outbox.read(int(after), 1, 1)):
            return found[0].after
        raise _NoPositionError(f"expected ?after=POSITION of a message from {log.firsts[0]} on, ?after=start or ?live")

    async def _send_all(self, consumer: ServerConnection, position: int, more: asyncio.Event) -> None:
        """Ends only by an exception, or when the consumer was too slow."""
        while True:
            more.clear()
            entries = self._outbox.read(position, self._settings.batch_signals_max, BUFFER_BYTES)
            if not entries:
                await more.wait()
            for entry in entries:
                if entry.reach is Reach.OUTSIDE and await self._may_go(entry):
                    try:
                        async with asyncio.timeout(self._settings.stream_patience_s):
                            await consumer.send(entry.message(self._clock.now_ns()), text=True)
                    except TimeoutError:
                        self.disconnected += 1
                        await self._cut(consumer, position)
                        return
                    self._sent(entry)
                self._positions[consumer] = position = entry.after
            await asyncio.sleep(0)  # a consumer that catches up takes the loop for one reading at a time

    async def _cut(self, consumer: ServerConnection, position: int) -> None:
        """It takes nothing, so it would not take a closing frame's turn either: say it if it fits, and let go."""
        try:
            async with asyncio.timeout(1.0):
                await consumer.close(CloseCode.TRY_AGAIN_LATER, "too slow; go on with ?after= of your last message")
        except TimeoutError:
            consumer.transport.abort()

    async def _may_go(self, entry: Entry) -> bool:
        """Asked right before it is sent; a switch that raises closes the way until it answers."""
        while True:
            try:
                may_go = self._reaches(entry.signal)[0] >= Reach.OUTSIDE
                self.trouble = ""
                self.held += not may_go
                return may_go
            except Exception as error:
                self.trouble = f"the kill switch raised {type(error).__name__}: {error}; nothing is sent"
                await asyncio.sleep(CLOSED_WAIT_S)

    def _sent(self, entry: Entry) -> None:
        self.delivered += 1
        since_s = self._outbox.durable_since(entry.after)
        if since_s is not None:
            self._latencies_ms.append(round((asyncio.get_running_loop().time() - since_s) * 1000, 3))
