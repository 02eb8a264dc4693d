"""The WebSocket stream with real consumers on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.publish import Publish
from engine.core.effects import MinuteRows, Signal
from engine.core.errors import ConfigError
from engine.core.release import Reach
from engine.io.clock import AnchoredClock
from engine.io.publish.outbox import Outbox
from engine.io.publish.stream import Stream
from tests.io.publish.made import BEGUN_NS, ids, minute, minutes, outside, signal

ROWS = minutes(4, 25)
PATIENCE_S = 20.0


class Served:
    """An outbox and its stream. reaches may be replaced."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.reaches: Callable[[Signal], tuple[Reach, str]] = outside
        clock = AnchoredClock(BEGUN_NS)
        self.outbox = Outbox(folder, clock, self._asked, file_bytes=5_000)
        self.stream = Stream(self.outbox, Publish(**settings), clock=clock, reaches=self._asked)

    def _asked(self, signal: Signal) -> tuple[Reach, str]:
        return self.reaches(signal)

    def perform(self, rows: list[MinuteRows]) -> None:
        self.outbox.perform(rows)
        assert self.outbox.sync()
        self.outbox.told(asyncio.get_running_loop().time())

    def consumer(self, asked: str) -> connect:
        return connect(f"ws://127.0.0.1:{self.stream.port}/?{asked}", open_timeout=PATIENCE_S)


def live(folder: Path, story: Callable[[Served], Awaitable[None]], **settings: Any) -> Served:
    async def told() -> Served:
        served = Served(folder, **settings)
        await served.stream.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await story(served)
        finally:
            await served.stream.close()
            served.outbox.close()
        return served

    return asyncio.run(told())


async def take(consumer: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [orjson.loads(await consumer.recv()) for _ in range(count)]


def test_consumers_read_from_the_start_from_a_position_and_live(tmp_path: Path):
    async def story(served: Served) -> None:
        served.perform(ROWS[:2])
        async with served.consumer("after=start") as first, served.consumer("live") as second:
            known = await take(first, 50)
            served.perform(ROWS[2:3])
            known += await take(first, 25)
            assert [one["id"] for one in known] == ids(ROWS[:3])
            assert [one["id"] for one in await take(second, 25)] == ids(ROWS[2:3])
            assert known[3]["payload"] == orjson.loads(signal(3).payload)
        async with served.consumer(f"after={known[30]['position']}") as third:
            assert [one["id"] for one in await take(third, 44)] == ids(ROWS[:3])[31:]

    served = live(tmp_path, story)

    assert served.stream.status()["delivered"] == 75 + 25 + 44
    assert served.stream.status()["latency_ms"]["count"] > 0


def test_a_consumer_begins_at_the_oldest_that_is_left_and_holds_what_it_has_before_it(tmp_path: Path):
    async def story(served: Served) -> None:
        log = served.outbox.log
        for row in ROWS[:3]:
            served.perform([row])
        assert served.stream.needs_from == log.durable
        first = log.firsts[1]
        served.outbox.forget(2**62, 0, first)
        async with served.consumer("after=start") as late:
            found = await take(late, 50)
            assert [one["id"] for one in found] == ids(ROWS[1:3])
            while served.stream.needs_from < log.durable:
                await asyncio.sleep(0.01)
        async with served.consumer("after=0") as gone:
            with pytest.raises(ConnectionClosed) as caught:
                await gone.recv()
        assert caught.value.rcvd is not None
        assert f"of a message from {first} on" in caught.value.rcvd.reason

        served.reaches = raises  # so that a consumer stands still before its first line
        async with served.consumer("after=start"):
            while not served.stream.trouble:
                await asyncio.sleep(0.01)
            assert served.stream.needs_from == first

    def raises(signal: Signal) -> tuple[Reach, str]:
        raise KeyError("state")

    live(tmp_path, story)


def test_only_what_goes_outside_is_streamed_and_a_kill_is_asked_right_before(tmp_path: Path):
    async def story(served: Served) -> None:
        served.reaches = lambda signal: (Reach.INTERNAL, "stage")
        served.perform([minute(0, [signal(0)])])
        served.reaches = outside
        served.perform([minute(1, [signal(100), signal(101, detector="oi_spike"), signal(102)])])
        served.reaches = lambda one: (Reach.LOG, "kill") if one.detector == "oi_spike" else outside(one)
        async with served.consumer("after=start") as consumer:
            assert [one["id"] for one in await take(consumer, 2)] == ["s000100", "s000102"]

    assert live(tmp_path, story).stream.held == 1


def test_a_release_that_raises_closes_the_stream_until_it_answers(tmp_path: Path):
    async def story(served: Served) -> None:
        served.perform([minute(0, [signal(0)])])

        def broken(signal: Signal) -> tuple[Reach, str]:
            raise KeyError("state")

        served.reaches = broken
        async with served.consumer("after=start") as consumer:
            while not served.stream.trouble:
                await asyncio.sleep(0.01)
            assert served.stream.delivered == 0
            served.reaches = outside
            assert [one["id"] for one in await take(consumer, 1)] == ["s000000"]

    live(tmp_path, story)


@pytest.mark.parametrize(
    "asked", ["", "after=7", "after=-1", "after=99999999", "after=x", "after=99999999999999999999"]
)
def test_what_is_no_position_is_refused_with_a_sentence(asked: str, tmp_path: Path):
    async def story(served: Served) -> None:
        served.perform(ROWS[:1])
        async with served.consumer(asked) as consumer:
            with pytest.raises(ConnectionClosed) as caught:
                await consumer.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, "after=POSITION" in caught.value.rcvd.reason) == (1008, True)

    live(tmp_path, story)


def test_a_slow_consumer_is_disconnected_and_goes_on_from_where_it_was(tmp_path: Path):
    """It reads nothing, so the kernel's buffers fill up; the other one is not kept waiting."""
    big = [minute(link, [signal(link * 100 + n) for n in range(100)]) for link in range(1, 300)]

    async def story(served: Served) -> None:
        served.perform(big)
        slow = socket.create_connection(("127.0.0.1", served.stream.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(
            b"GET /?after=start HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with served.consumer("after=start") as quick:
            assert [one["id"] for one in await take(quick, 29_900)] == ids(big)
        while not served.stream.disconnected or served.stream.consumers:
            await asyncio.sleep(0.05)
        slow.close()
        assert served.stream.delivered < 2 * 29_900

    live(tmp_path, story, stream_patience_s=0.3)


def test_more_consumers_than_allowed_and_pages_of_a_browser_are_turned_away(tmp_path: Path):
    async def story(served: Served) -> None:
        async with served.consumer("live"):
            while not served.stream.consumers:
                await asyncio.sleep(0.01)
            with pytest.raises(InvalidStatus) as caught:
                async with served.consumer("live"):
                    pass
            assert caught.value.response.status_code == 503
        url = f"ws://127.0.0.1:{served.stream.port}/?live"
        with pytest.raises(InvalidStatus) as caught:
            async with connect(url, origin="http://evil.example"):  # type: ignore[arg-type]
                pass
        assert caught.value.response.status_code == 403

    live(tmp_path, story, stream_consumers_max=1)


def test_a_port_that_is_taken_is_told(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be had"):
            live(tmp_path, _nothing, stream_port=port)


async def _nothing(served: Served) -> None: ...
