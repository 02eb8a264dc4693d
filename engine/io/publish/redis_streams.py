"""Signals as entries of a Redis stream. The client is an extra: `pip install conveyor[redis]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.core.errors import ConfigError
from engine.core.release import Reach
from engine.io.publish.entry import Entry
from engine.io.publish.sink import SinkDownError


class RedisStreams:
    """engine.io.publish.sink.Sink. length_max: entries that are kept, about."""

    name, reach = "redis", Reach.OUTSIDE

    def __init__(self, url: str, topic: str, length_max: int) -> None:
        self._redis = redis_client(url)
        self._topic, self._length_max = topic, length_max

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        await self.put([(entry.id, "", entry.message(published_ns)) for entry in entries])

    async def put(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        """(id, key, message) as entries with the fields `id` and `message`: all of them or none, in this order."""
        import redis

        try:
            # Not a client's own retries: whether it may still be sent is asked before each attempt.
            async with self._redis.pipeline(transaction=True) as pipeline:
                for id_, _, message in messages:
                    fields: dict[Any, Any] = {"id": id_, "message": message}
                    pipeline.xadd(self._topic, fields, maxlen=self._length_max, approximate=True)
                await pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise SinkDownError(f"redis: {error or type(error).__name__}; check the server and the address") from error

    async def close(self) -> None:
        await self._redis.aclose()


def redis_client(url: str, key: str = "publish.redis_url") -> Any:
    """A client that tries nothing twice. key: the setting. ConfigError if the address is none."""
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        return redis.asyncio.from_url(url, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}; expected an address as redis://HOST:PORT/0") from None
