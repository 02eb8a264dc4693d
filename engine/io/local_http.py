"""A small HTTP server for this machine: one request a connection, and limits before anything else.

Own code and not aiohttp's server, because what knocks beyond the limits is not even accepted here: a flood waits in the
kernel's backlog and costs the event loop nothing but `per_s` accepts.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from engine.core.errors import ConfigError, ConveyorError

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take. per_s: connections accepted in a second; burst: that may come at once.

    read_s, write_s: for a whole request and for a whole answer, however slowly their bytes go.
    """

    connections: int = 16
    per_s: float = 50.0
    burst: int = 20
    head_bytes: int = 8 << 10
    body_bytes: int = 64 << 10
    read_s: float = 5.0
    write_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """headers: names in lower case, the last of each. client: the connected socket, to ask who is there."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: socket.socket


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    status: int = 200
    form: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(ConveyorError):
    """A request that is not served. status: of HTTP."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


Handler = Callable[[Request], Awaitable[Answer]]


class LocalServer:
    """Serves a listening socket until `close`. Every answer ends its connection."""

    def __init__(self, listener: socket.socket, handler: Handler, limits: Limits | None = None) -> None:
        self._listener, self._handler, self._limits = listener, handler, limits or Limits()
        self._slots = asyncio.Semaphore(self._limits.connections)
        self._serving: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self.served = 0
        self.refused = 0

    def start(self) -> None:
        self._listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="local-http")

    async def close(self, patience_s: float = 1.0) -> None:
        """Accept nothing more, let what is being answered end, cut what is left."""
        if self._accepting:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
        self._listener.close()
        me = asyncio.current_task()  # `stop` is asked for by a request that is still to be answered
        if others := {task for task in self._serving if task is not me}:
            _, late = await asyncio.wait(others, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self) -> None:
        loop, limits = asyncio.get_running_loop(), self._limits
        tokens, filled_at = float(limits.burst), loop.time()
        while True:
            await self._slots.acquire()
            now = loop.time()
            tokens, filled_at = min(float(limits.burst), tokens + (now - filled_at) * limits.per_s), now
            if tokens < 1:
                await asyncio.sleep((1 - tokens) / limits.per_s)
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError:  # no file handle left, or the client is gone already
                self._slots.release()
                await asyncio.sleep(0.1)
                continue
            tokens -= 1
            task = loop.create_task(self._serve(client))
            self._serving.add(task)
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._slots.release()

    async def _serve(self, client: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self._limits
        with client, suppress(OSError, TimeoutError):  # the client went away, or takes its answer too slowly
            client.setblocking(False)
            answer = await self._answer(client)
            self.served, self.refused = self.served + (answer.status < 400), self.refused + (answer.status >= 400)
            async with asyncio.timeout(limits.write_s):
                await loop.sock_sendall(client, _encoded(answer))
            client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(limits.read_s):  # a reset would throw away an answer that is still on its way
                while await loop.sock_recv(client, limits.body_bytes):
                    pass

    async def _answer(self, client: socket.socket) -> Answer:
        """OSError if the client went away."""
        try:
            async with asyncio.timeout(self._limits.read_s):
                request = await self._read(client)
        except TimeoutError:
            return said(f"the request did not arrive within {self._limits.read_s:g} s", 408)
        except RefusedError as error:
            return said(str(error), error.status)
        try:
            return await self._handler(request)
        except RefusedError as error:
            return said(str(error), error.status)
        except ConveyorError as error:
            return said(str(error), 400 if isinstance(error, ConfigError) else 500)
        except Exception as error:  # an answer, rather than a client that waits for nothing
            return said(f"error in Conveyor itself: {type(error).__name__}: {error}", 500)

    async def _read(self, client: socket.socket) -> Request:
        limits, received = self._limits, bytearray()
        while (end := received.find(b"\r\n\r\n", 0, limits.head_bytes)) < 0:
            if len(received) >= limits.head_bytes:
                raise RefusedError(431, f"the head of a request has at most {limits.head_bytes} bytes")
            received += await self._some(client)
        method, path, headers = _head(bytes(received[:end]))
        if "transfer-encoding" in headers:
            raise RefusedError(411, "the length of a body has to be told before it")
        told = headers.get("content-length", "0")
        if not told.isascii() or not told.isdigit():
            raise RefusedError(400, "content-length is not a number")
        if len(told) > 9 or int(told) > limits.body_bytes:
            raise RefusedError(413, f"a body has at most {limits.body_bytes} bytes")
        begin, length = end + 4, int(told)
        while len(received) < begin + length:
            received += await self._some(client)
        return Request(method, path, headers, bytes(received[begin : begin + length]), client)

    async def _some(self, client: socket.socket) -> bytes:
        part = await asyncio.get_running_loop().sock_recv(client, 64 << 10)
        if not part:
            raise ConnectionResetError
        return part


def said(sentence: str, status: int) -> Answer:
    """An error as its one sentence."""
    import orjson

    return Answer(orjson.dumps({"error": sentence}), status)


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers; RefusedError for what is no HTTP/1 request."""
    try:
        first, *lines = head.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        pairs = [line.split(":", 1) for line in lines]
        headers = {name.lower(): value.strip() for name, value in pairs}
    except ValueError:
        raise RefusedError(400, "this is no HTTP request") from None
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RefusedError(505, "only HTTP/1.1 is spoken here")
    return method, path, headers


def _encoded(answer: Answer) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"content-type: {answer.form}",
        f"content-length: {len(answer.body)}",
        "cache-control: no-store",
        "connection: close",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body
