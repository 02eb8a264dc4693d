"""The exchange over real sockets: WebSocket and REST on one port of this machine, `GET /clock` besides."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from aiohttp import WSCloseCode, WSMsgType, web

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from replay.exchange.driver import Driver
from replay.exchange.exchange import Exchange
from replay.exchange.limits import PATIENCE_BYTES, RefusedError
from replay.exchange.memory import clock_answer
from replay.exchange.session import Session
from replay.exchange.source import Sent, Source

QUANTUM_S = 0.001  # of real time between two looks at what is due
STEP_S = 0.02  # of real time that is made up for at once
CLOSE_S = 1.0  # for the client to answer a close frame
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A  # first byte of a whole WebSocket message
RESET = struct.pack("ii", 1, 0)  # linger 0 s: closing sends a reset


class ScaledClock:
    """`core.ports.Clock`: venue time begins at origin_ns when it is made and passes `speed` times as fast."""

    def __init__(self, origin_ns: int, speed: float = 1.0) -> None:
        self.origin_ns, self.speed, self._since_ns = origin_ns, speed, time.monotonic_ns()

    def now_ns(self) -> int:
        return self.origin_ns + int((time.monotonic_ns() - self._since_ns) * self.speed)

    def seconds(self, span_s: float) -> float:
        return span_s / self.speed


def ahead(source: Source) -> Iterator[list[Sent]]:
    """The minutes of a source, each made in a thread while the one before it is served."""
    minutes = source.minutes()
    with ThreadPoolExecutor(1, "exchange-ahead") as pool:
        coming = pool.submit(next, minutes, None)
        while (ready := coming.result()) is not None:
            coming = pool.submit(next, minutes, None)
            yield ready


def message(first: int, payload: bytes) -> bytes:
    """One whole, unmasked WebSocket message (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8), payload)


class SocketPeer:
    """`Peer` over a socket. Messages of one moment leave in one write, past aiohttp, which would take a task each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[bytes] = []
        self._planned = False
        self._transport: asyncio.Transport | None = None
        self.session: Session | None = None

    def open(self, transport: asyncio.Transport) -> None:
        """The handshake is over: what was said meanwhile may leave."""
        self._transport = transport
        self._flush()

    def frame(self, payload: bytes) -> None:
        self._put(message(TEXT, payload))

    def ping(self) -> None:
        self._put(message(PING, b""))

    def pong(self, data: bytes) -> None:
        self._put(message(PONG, data))

    def close(self, code: int, reason: str) -> None:
        self._put(message(CLOSE, code.to_bytes(2) + reason.encode()[:123]))
        self._loop.call_later(CLOSE_S, self.drop)

    def abort(self) -> None:
        if self._transport is not None:
            cut(self._transport)

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _put(self, data: bytes) -> None:
        self._waiting.append(data)
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        if self._transport is None or not self._waiting:
            return
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._waiting))
            if self._transport.get_write_buffer_size() > PATIENCE_BYTES and self.session is not None:
                self.session.cut()  # a client that does not read
        self._waiting.clear()


def cut(transport: asyncio.BaseTransport) -> None:
    """End a connection with a reset."""
    own = transport.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class Server:
    """One exchange on one port. speed: of its clock, told by `GET /clock` to engines that follow it."""

    def __init__(self, exchange: Exchange, clock: ScaledClock) -> None:
        self.exchange, self.clock = exchange, clock
        self.driver: Driver | None = None
        self.requests = 0
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. Raises ConfigError if it is not free."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"exchange: cannot listen on {host}:{port} ({error.strerror}); give another port with --port"
            ) from None
        self.driver = Driver(self.exchange, self.clock, QUANTUM_S, STEP_S)
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self.driver is not None:
            self.driver.stop()
        for session in list(self.exchange.sessions.values()):
            session.end(int(WSCloseCode.GOING_AWAY), "the exchange stops")
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        if request.path == "/clock":
            return web.Response(body=clock_answer(self.clock, self.clock.speed), content_type="application/json")
        return await self._rest(request)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            reply = self.exchange.request(request.method, request.raw_path, body, self._now_ns(), request.remote or "")
        except RefusedError:
            return self._dropped(request)
        finally:
            self._poke()
        if reply.delay_s:
            await asyncio.sleep(self.clock.seconds(reply.delay_s))
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        peer = SocketPeer(asyncio.get_running_loop())
        try:
            session = self.exchange.connect(request.raw_path, peer, self._now_ns(), request.remote or "")
        except RefusedError as refusal:
            if refusal.drop:
                return self._dropped(request)
            return web.Response(status=refusal.status, headers=refusal.headers, body=refusal.body)
        finally:
            self._poke()
        peer.session = session
        stream = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=1 << 20)
        try:
            await stream.prepare(request)
            transport = request.transport
            if transport is None:
                return stream
            peer.open(transport)
            await self._listen(stream, session)
            if not session.mute and not transport.is_closing():
                await stream.close()
        except ConnectionError:
            pass  # the client has gone
        finally:
            session.gone(self._now_ns())
            peer.drop()
            self._poke()
        return stream

    async def _listen(self, stream: web.WebSocketResponse, session: Session) -> None:
        """Tell the session what its client does, until the connection is over."""
        while True:
            told = await stream.receive()
            now_ns = self._now_ns()
            if told.type is WSMsgType.TEXT:
                session.receive(told.data.encode(), now_ns)
            elif told.type is WSMsgType.BINARY:
                session.receive(told.data, now_ns)
            elif told.type is WSMsgType.PING:
                session.pinged(bytes(told.data), now_ns)
            elif told.type is WSMsgType.PONG:
                session.ponged(now_ns)
            else:
                return
            self._poke()

    @staticmethod
    def _dropped(request: web.Request) -> web.StreamResponse:
        """No answer: the socket is cut."""
        if request.transport is not None:
            cut(request.transport)
        return web.Response(status=503)

    def _now_ns(self) -> int:
        return self.clock.now_ns() if self.driver is None else self.driver.now_ns()

    def _poke(self) -> None:
        if self.driver is not None:
            self.driver.poke()


async def serve(
    exchange: Exchange,
    clock: ScaledClock,
    host: str,
    port: int,
    for_s: float | None,
    stopped: asyncio.Event,
    ready: Callable[[int], None],
) -> None:
    """Serve until the time is over or `stopped` is set. for_s: venue time; ready: told the port."""
    server = Server(exchange, clock)
    ready(await server.start(host, port))
    gc.disable()  # the market is a million small lists without a cycle; looking for one takes half of the time
    left_ns = exchange.source.end_ns - clock.now_ns()
    if for_s is not None:
        left_ns = min(left_ns, int(for_s * NS_PER_S))
    try:
        async with asyncio.timeout(clock.seconds(left_ns / NS_PER_S)):
            await stopped.wait()
    except TimeoutError:
        pass
    finally:
        await server.stop()
