"""Real sockets on loopback: the link hears every message whole, and says why there is none."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.core.errors import FeedError
from engine.io.clock import AnchoredClock
from engine.io.feeds.sockets import MESSAGE_BYTES_MAX, Sockets

PATIENCE_S = 20.0  # of a test; nothing here should take a hundredth of it


class Ear:
    """engine.core.ports.Receiver that keeps all."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.stamps: list[int] = []
        self.pongs = 0
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def frame(self, payload: bytes, recv_ns: int) -> None:
        self.frames.append(payload)
        self.stamps.append(recv_ns)

    def pong(self, recv_ns: int) -> None:
        self.pongs += 1

    def ended(self, reason: str) -> None:
        self.over.set_result(reason)  # a second end would raise


@asynccontextmanager
async def venue(handler: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story()

    asyncio.run(bounded())


def sockets(coalesce_ms: float = 0.0, trust: ssl.SSLContext | None = None) -> Sockets:
    return Sockets(AnchoredClock(time.time_ns()), coalesce_ms, trust)


@pytest.mark.parametrize("coalesce_ms", [0.0, 2.0])
def test_messages_of_every_length_arrive_whole_and_in_order(coalesce_ms: float):
    sizes = [0, 1, 2, 124, 125, 126, 127, 65_535, 65_536, 300_000, 3] * 5
    messages = [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]

    async def story() -> None:
        async def handler(connection: ServerConnection) -> None:
            for message in messages:
                await connection.send(message.decode())
            await connection.send(["in ", "three ", "pieces"])
            await connection.send("last")

        async with venue(handler, compression=None) as url:
            ear = Ear()
            await sockets(coalesce_ms).connect(url, ear, 5)
            reason = await ear.over

        assert ear.frames == [*messages, b"in three pieces", b"last"]
        assert ear.stamps == sorted(ear.stamps)
        assert reason.startswith("closed by the venue: 1000")

    run(story)


def test_it_talks_pings_and_is_pinged():
    async def story() -> None:
        heard: list[Any] = []

        async def handler(connection: ServerConnection) -> None:
            heard.append(await connection.recv())
            await (await connection.ping())  # ours answers
            await connection.send("thanks")
            await connection.wait_closed()
            heard.append(connection.close_code)

        async with venue(handler) as url:
            ear = Ear()
            link = await sockets().connect(url, ear, 5)
            link.send(b'{"method":"ping"}')
            link.ping()
            while not ear.frames or not ear.pongs:
                await asyncio.sleep(0.005)
            link.close("enough")
            assert await ear.over == "enough"
            link.send(b"after the end")
            link.ping()
            link.close("again")
            while len(heard) < 2:
                await asyncio.sleep(0.005)

        assert heard == ['{"method":"ping"}', 1000]

    run(story)


def test_a_message_that_is_too_long_ends_the_link():
    async def story() -> None:
        async def handler(connection: ServerConnection) -> None:
            with suppress(ConnectionClosed):
                await connection.send("x" * (MESSAGE_BYTES_MAX + 1))

        async with venue(handler) as url:
            ear = Ear()
            await sockets().connect(url, ear, 5)
            assert "more than 8 MiB" in await ear.over

        assert ear.frames == []

    run(story)


def test_while_it_is_paused_nothing_is_read_and_nothing_is_lost():
    async def story() -> None:
        sent = [0]

        async def handler(connection: ServerConnection) -> None:
            for number in range(400):
                await connection.send(f"{number:060000d}")
                sent[0] = number + 1

        async with venue(handler, compression=None) as url:
            ear = Ear()
            link = await sockets().connect(url, ear, 5)
            link.pause()
            before, stuck = -1, -1
            while stuck != sent[0] or before != len(ear.frames):  # until the venue cannot send any more
                stuck, before = sent[0], len(ear.frames)
                await asyncio.sleep(0.1)
            assert stuck < 400
            link.resume()
            await ear.over

        assert [int(frame[-6:]) for frame in ear.frames] == list(range(400))

    run(story)


async def refused(url: str, timeout_s: float = 5.0, trust: ssl.SSLContext | None = None) -> FeedError:
    with pytest.raises(FeedError) as caught:
        await sockets(trust=trust).connect(url, Ear(), timeout_s)
    return caught.value


def test_every_way_not_to_get_a_link_is_one_sentence():
    async def story() -> None:
        asks_for = ["17"]

        def busy(connection: ServerConnection, request: Request) -> Response:
            answer = connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "slowly\n")
            answer.headers["Retry-After"] = asks_for[0]
            return answer

        async def nobody(connection: ServerConnection) -> None:
            raise AssertionError("no handshake was meant to succeed")

        async with venue(nobody, process_request=busy) as url:
            error = await refused(url)
            assert "429" in str(error)
            assert error.retry_after_s == 17.0
            asks_for[0] = "1736164800"  # an instant, in the place of a span
            assert (await refused(url)).retry_after_s == 0.0

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            await asyncio.sleep(0.5)
            writer.close()

        async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        for speaks, timeout_s, expected in (
            (deaf, 0.1, "no answer within 0.1 s"),
            (chatty, 5.0, "no WebSocket server"),
        ):
            server = await asyncio.start_server(speaks, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            assert expected in str(await refused(f"ws://127.0.0.1:{port}/", timeout_s))
            assert "TLS" in str(await refused(f"wss://127.0.0.1:{port}/", 5.0)) or speaks is deaf
            server.close()

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            assert "cannot be reached" in str(await refused(f"ws://127.0.0.1:{free.getsockname()[1]}/"))
        assert "expected an address like" in str(await refused("http://127.0.0.1/"))

    run(story)
