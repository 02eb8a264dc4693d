"""Redis Streams and NATS JetStream as sources of messages. Their clients are extras, as for the sinks of signals."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from engine.io.bus.inbound import BrokerDownError, Came
from engine.io.publish.redis_streams import redis_client

GROUP, CONSUMER = "conveyor", "engine"
BATCH, WAIT_S, CONNECT_S = 100, 1.0, 2.0


class RedisSource:
    """engine.io.bus.inbound.Source. The stream and its group are made; what is done is removed from the stream."""

    def __init__(self, url: str, topic: str) -> None:
        self._redis = redis_client(url, "bus.redis_url")
        self._topic = topic
        self._after = ""  # empty: the group may be missing; 0: what was taken before; >: what was not

    async def take(self) -> Sequence[Came]:
        import redis

        try:
            if not self._after:
                await self._make_group()
                self._after = "0"
            wait_ms = round(WAIT_S * 1000) if self._after == ">" else None
            found = await self._redis.xreadgroup(GROUP, CONSUMER, {self._topic: self._after}, BATCH, wait_ms)
        except (redis.RedisError, OSError) as error:
            raise _redis_down(error) from error
        # An entry that was trimmed away is taken, but has no fields.
        came = [(id_, (fields or {}).get(b"message", b"")) for _, entries in found or () for id_, fields in entries]
        if not came:
            self._after = ">"
        return came

    async def done(self, tokens: Sequence[Any]) -> None:
        import redis

        if not tokens:
            return
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.xack(self._topic, GROUP, *tokens)
                pipeline.xdel(self._topic, *tokens)
                await pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise _redis_down(error) from error

    async def close(self) -> None:
        self._after = ""
        await self._redis.aclose()

    async def _make_group(self) -> None:
        import redis

        try:
            await self._redis.xgroup_create(self._topic, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it is there
                raise


def _redis_down(error: Exception) -> BrokerDownError:
    return BrokerDownError(f"redis: {error or type(error).__name__}; check the server and bus.redis_url")


class NatsSource:
    """engine.io.bus.inbound.Source. A stream that holds the subject has to exist; the durable consumer is made."""

    def __init__(self, url: str, topic: str) -> None:
        import nats

        self._nats: Any = nats
        self._url, self._topic = url, topic
        self._connection: Any = None
        self._subscription: Any = None

    async def take(self) -> Sequence[Came]:
        try:
            if self._subscription is None:
                await self._subscribe()
            found = await self._subscription.fetch(BATCH, WAIT_S)
        except self._nats.errors.TimeoutError:
            if self._connection is None or not self._connection.is_connected:
                raise self._down("the connection ended") from None
            return []
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            raise self._down(error) from error
        return [(message, message.data) for message in found]

    async def done(self, tokens: Sequence[Any]) -> None:
        try:
            for message in tokens:
                await message.ack()
        except (self._nats.errors.Error, OSError) as error:
            raise self._down(error) from error

    async def close(self) -> None:
        connection, self._connection, self._subscription = self._connection, None, None
        if connection is not None:
            with suppress(self._nats.errors.Error, OSError):
                await connection.close()

    async def _subscribe(self) -> None:
        self._connection = await self._nats.connect(
            self._url, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0,
            connect_timeout=CONNECT_S, error_cb=_ignored,
        )  # fmt: skip
        context = self._connection.jetstream()
        stream = await context.find_stream_name_by_subject(self._topic)
        self._subscription = await context.pull_subscribe(
            self._topic, durable=GROUP, stream=stream, config=await self._begun_anew(context, stream)
        )

    async def _begun_anew(self, context: Any, stream: str) -> Any:
        """A consumer behind what is acknowledged. The old one would keep what it gave away for half a minute, and give
        what follows it first."""
        api = self._nats.js.api
        try:
            old = await context.consumer_info(stream, GROUP)
        except self._nats.js.errors.NotFoundError:
            return None
        await context.delete_consumer(stream, GROUP)
        return api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=old.ack_floor.stream_seq + 1
        )

    def _down(self, error: object) -> BrokerDownError:
        return BrokerDownError(
            f"nats: {error or type(error).__name__}; check the server, and that a stream holds {self._topic}"
        )


async def _ignored(error: Exception) -> None:
    """The client tells errors here and raises them as well."""
