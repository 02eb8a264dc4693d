"""Redis Streams and NATS JetStream as brokers of modules: a real server is killed and started again."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from config.bus import Bus as Settings
from engine.io.bus.bus import Bus
from engine.io.bus.inbound import Source
from engine.io.bus.link import Link, ends_of
from engine.io.bus.message import Message, decode, make
from engine.io.clock import AnchoredClock
from tests.io.publish.made import BEGUN_NS
from tests.io.publish.servers import Server, nats_server, redis_server
from tests.io.publish.test_servers import PATIENCE_S, until

TOPIC = "conveyor.bus.v0"
COUNT = 250  # more than two batches


class Far:
    """The module on the other side, by its own client. say: puts a message into TOPIC.in; told: all of TOPIC.out."""

    def __init__(self, url: dict[str, str], say: Callable[[bytes], Awaitable[None]], told: Callable[[], Any]) -> None:
        self.url, self.say, self.told = url, say, told


async def redis_far(server: Server) -> Far:
    import redis.asyncio

    client = redis.asyncio.Redis(port=server.port)

    async def say(content: bytes) -> None:
        await client.xadd(f"{TOPIC}.in", {"message": content})

    async def told() -> list[bytes]:
        return [fields[b"message"] for _, fields in await client.xrange(f"{TOPIC}.out")]

    return Far({"redis_url": f"redis://127.0.0.1:{server.port}/0"}, say, told)


async def nats_far(server: Server) -> Far:
    import nats

    async def connected() -> Any:
        return await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False)

    connection = await connected()
    await connection.jetstream().add_stream(name="bus", subjects=[f"{TOPIC}.in", f"{TOPIC}.out"])
    await connection.close()

    async def say(content: bytes) -> None:
        connection = await connected()
        await connection.jetstream().publish(f"{TOPIC}.in", content)
        await connection.close()

    async def told() -> list[bytes]:
        connection = await connected()
        subscription = await connection.jetstream().subscribe(f"{TOPIC}.out", ordered_consumer=True)
        found: list[bytes] = []
        try:
            while True:
                found.append((await subscription.next_msg(0.5)).data)
        except nats.errors.TimeoutError:
            await connection.close()
        return found

    return Far({"nats_url": f"nats://127.0.0.1:{server.port}"}, say, told)


BROKERS = {"redis": (redis_server, redis_far), "nats": (nats_server, nats_far)}


@pytest.mark.parametrize("name", BROKERS)
def test_what_modules_elsewhere_say_is_heard_once_in_order_through_a_kill_of_the_broker(name: str, tmp_path: Path):
    make_server, make_far = BROKERS[name]
    server = make_server(tmp_path)
    clock = AnchoredClock(BEGUN_NS)
    heard: list[Any] = []
    journal: list[Message] = []
    places = itertools.count()

    async def hear(message: Message) -> None:
        heard.append(message.data["n"])

    async def story() -> list[Message]:
        bus = Bus(tmp_path, clock)
        bus.register("alpha", "execution_feedback", hear)
        bus.start()

        def say(message: Message) -> None:
            """As through a journal: later, and in order."""
            journal.append(message)
            asyncio.get_running_loop().call_later(0.005, hand_over)

        def hand_over() -> None:
            place = next(places)
            bus.send(journal[place], place)

        def link() -> Link:
            return Link(settings, bus, say=say, clock=clock, rng=random.Random(1))

        server.start()
        far = await make_far(server)
        settings = Settings(modules=("trader",), topic=TOPIC, **far.url)
        for n in range(COUNT):
            await far.say(make("execution_feedback", "trader", "alpha", {"n": n}, clock.now_ns()).encode())
        await far.say(b"no message")
        first = link()
        first.start()
        await until(lambda: len(heard) >= 20)
        server.kill()
        await until(lambda: first.status()["trouble"] != "")
        server.start()
        await until(lambda: len(heard) == COUNT)
        await until(lambda: first.status()["refused"] == 1)
        bus.send(make("intelligence_broadcast", "alpha", None, {"n": 1}, clock.now_ns()))
        await until(lambda: bus.status()["modules"][-1]["delivered"] == 1)
        await first.stop()
        # The next engine hears what came meanwhile, and nothing a second time.
        await far.say(make("execution_feedback", "trader", "alpha", {"n": COUNT}, clock.now_ns()).encode())
        second = link()
        second.start()
        await until(lambda: len(heard) == COUNT + 1)
        await second.stop()
        assert not bus.status()["modules"][-1]["pending"]
        await bus.stop()
        bus.close()
        return [decode(content) for content in await far.told()]

    try:
        told = asyncio.run(story())
    finally:
        server.kill()
    assert heard == list(range(COUNT + 1))
    assert [message.data["n"] for message in journal] == heard
    assert [(message.type, message.sender, message.data) for message in told] == [
        ("intelligence_broadcast", "alpha", {"n": 1})
    ]


async def taken(source: Source, count: int, done: int) -> list[bytes]:
    """As many as there should be; so many of each batch are done."""
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            came = await source.take()
            await source.done([token for token, _ in came[:done]])
            found += [content for _, content in came]
    return found


@pytest.mark.parametrize("name", BROKERS)
def test_what_was_taken_and_is_not_done_comes_again_at_once_before_what_follows(name: str, tmp_path: Path):
    make_server, make_far = BROKERS[name]
    server = make_server(tmp_path)

    async def story() -> list[list[bytes]]:
        server.start()
        far = await make_far(server)
        source, out = ends_of(Settings(modules=("trader",), topic=TOPIC, **far.url))
        for n in range(3):
            await far.say(b"%d" % n)
        first = await taken(source, 3, done=1)
        await source.close()
        await far.say(b"3")
        again = await taken(source, 3, done=9)
        await source.close()
        left = [content for _, content in [*await source.take(), *await source.take()]]
        await source.close()
        await out.close()
        return [first, again, left]

    try:
        first, again, left = asyncio.run(story())
    finally:
        server.kill()
    assert first == [b"0", b"1", b"2"]
    assert again == [b"1", b"2", b"3"]
    assert left == []


def test_a_broker_without_what_it_should_have_is_told_with_what_to_do(tmp_path: Path):
    server = nats_server(tmp_path)
    clock = AnchoredClock(BEGUN_NS)

    async def story() -> None:
        bus = Bus(tmp_path, clock)
        bus.start()
        settings = Settings(modules=("trader",), topic=TOPIC, nats_url=f"nats://127.0.0.1:{server.port}")
        link = Link(settings, bus, say=lambda message: None, clock=clock, rng=random.Random(1))
        link.start()
        await until(lambda: "check the server" in link.status()["trouble"])
        server.start()
        await until(lambda: f"that a stream holds {TOPIC}.in" in link.status()["trouble"])
        await link.stop()
        await bus.stop()
        bus.close()

    try:
        asyncio.run(story())
    finally:
        server.kill()
