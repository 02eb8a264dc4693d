"""Redis Streams and NATS JetStream: a real server is killed and started again, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.publish import Publish
from engine.io.clock import AnchoredClock
from engine.io.disk import OS_DISK
from engine.io.publish.consumer import Deduplicator
from engine.io.publish.delivery import Delivery
from engine.io.publish.entry import Entry, decode, encode
from engine.io.publish.jetstream import JetStream, waves
from engine.io.publish.outbox import Outbox
from engine.io.publish.redis_streams import RedisStreams
from engine.io.publish.sink import SinkDownError, SinkRefusedError
from tests.io.publish.made import BEGUN_NS, ids, minute, minutes, outside, signal
from tests.io.publish.servers import Server, nats_server, redis_server

ROWS = minutes(12, 40)
TOPIC = "alpha.events.v0"
PATIENCE_S = 30.0
SETTINGS = Publish(batch_signals_max=50, backoff_min_s=0.05, backoff_max_s=0.2, timeout_s=5.0)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


async def through_a_kill(
    folder: Path, sink: Any, server: Server, prepare: Callable[[], Coroutine[Any, Any, None]]
) -> Delivery:
    """ROWS through a delivery; the server is killed after the fourth and started again after the eighth."""
    clock = AnchoredClock(BEGUN_NS)
    outbox = Outbox(folder, clock, outside)
    (folder / "outbox").mkdir()
    delivery = Delivery(
        sink, outbox, folder / "outbox", SETTINGS, clock=clock, rng=random.Random(1), reaches=outside, disk=OS_DISK
    )
    server.start()
    await prepare()
    running = asyncio.create_task(delivery.run())

    def take(rows: list[Any]) -> None:
        outbox.perform(rows)
        assert outbox.sync()
        outbox.told(asyncio.get_running_loop().time())

    try:
        take(ROWS[:4])
        await until(lambda: delivery.cursor.lines == 160)
        take(ROWS[4:6])
        server.kill()
        take(ROWS[6:8])
        await until(lambda: delivery.failed > 2)
        assert delivery.cursor.lines < 320
        assert delivery.trouble
        server.start()
        take(ROWS[8:])
        await until(lambda: delivery.cursor.lines == 480)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await delivery.close()
        outbox.close()
    return delivery


def seen(messages: list[bytes]) -> list[str]:
    """Ids, as a consumer that knows of repetitions sees them."""
    consumer = Deduplicator()
    told = [orjson.loads(message) for message in messages]
    return [message["id"] for message in told if consumer.is_news(message)]


def test_redis_killed_and_started_again_has_everything_in_order(tmp_path: Path):
    server = redis_server(tmp_path)

    async def story() -> list[tuple[str, bytes]]:
        sink = RedisStreams(f"redis://127.0.0.1:{server.port}/0", TOPIC, 100_000)

        async def nothing() -> None: ...

        delivery = await through_a_kill(tmp_path, sink, server, nothing)
        assert delivery.cursor.delivered == 480
        import redis.asyncio

        client = redis.asyncio.Redis(port=server.port)
        found = await client.xrange(TOPIC)
        await client.aclose()
        return [(fields[b"id"].decode(), fields[b"message"]) for _, fields in found]

    try:
        kept = asyncio.run(story())
    finally:
        server.kill()
    assert seen([message for _, message in kept]) == ids(ROWS)
    assert all(orjson.loads(message)["id"] == id_ for id_, message in kept)


def test_nats_killed_and_started_again_has_everything_once_and_each_symbol_in_order(tmp_path: Path):
    server = nats_server(tmp_path)

    async def story() -> list[bytes]:
        import nats

        async def stream() -> None:
            connection = await nats.connect(f"nats://127.0.0.1:{server.port}")
            await connection.jetstream().add_stream(name="alpha", subjects=[TOPIC])
            await connection.close()

        sink = JetStream(f"nats://127.0.0.1:{server.port}", TOPIC)
        await through_a_kill(tmp_path, sink, server, stream)
        connection = await nats.connect(f"nats://127.0.0.1:{server.port}")
        subscription = await connection.jetstream().subscribe(TOPIC, ordered_consumer=True)
        found = [(await subscription.next_msg(PATIENCE_S)).data]
        while True:
            try:
                found.append((await subscription.next_msg(0.5)).data)
            except nats.errors.TimeoutError:
                break
        await connection.close()
        return found

    try:
        kept = asyncio.run(story())
    finally:
        server.kill()
    found = seen(kept)
    assert len(kept) == len(found) == 480  # the server dropped what came again
    for symbol in ("BTC", "ETH", "SOL"):
        mine = [one.id for row in ROWS if row.found for one in row.found.signals if one.symbol == symbol]
        assert [one for one in found if one in set(mine)] == mine


def entry(number: int, filling: int = 0) -> Entry:
    told = signal(number)
    line = encode(0, number, 0, number, told, outside(told)[0], "", 0)
    return decode(0, line.replace(b'"text":"', b'"text":"' + b"x" * filling))


def test_nats_says_what_is_missing_and_refuses_what_is_too_large(tmp_path: Path):
    server = nats_server(tmp_path)

    async def story() -> None:
        sink = JetStream(f"nats://127.0.0.1:{server.port}", TOPIC)
        with pytest.raises(SinkDownError, match="check the server"):
            await sink.send([entry(1)], 0)
        server.start()
        with pytest.raises(SinkDownError, match=r"that a stream holds alpha\.events\.v0"):
            await sink.send([entry(1)], 0)
        with pytest.raises(SinkRefusedError, match="larger than"):
            await sink.send([entry(2, filling=2_000_000)], 0)
        await sink.close()

    try:
        asyncio.run(story())
    finally:
        server.kill()


def test_of_one_symbol_one_message_is_on_its_way_at_a_time():
    told = [("1", "A", b""), ("2", "B", b""), ("3", "A", b""), ("4", "A", b""), ("5", "C", b"")]

    assert [[id_ for id_, _ in wave] for wave in waves(told)] == [["1", "2", "5"], ["3"], ["4"]]
    assert waves([]) == []
    assert ids([minute(0, [signal(1)])]) == ["s000001"]
