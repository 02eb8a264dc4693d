"""Signals to a stream of NATS JetStream. The client is an extra: `pip install conveyor[nats]`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from engine.core.release import Reach
from engine.io.publish.entry import Entry
from engine.io.publish.sink import SinkDownError, SinkRefusedError

CONNECT_S = 2.0


class JetStream:
    """engine.io.publish.sink.Sink. A stream that holds the subject has to exist."""

    name, reach = "nats", Reach.OUTSIDE

    def __init__(self, url: str, topic: str) -> None:
        import nats

        self._nats: Any = nats
        self._url, self._topic = url, topic
        self._connection: Any = None

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        await self.put([(entry.id, symbol_of(entry), entry.message(published_ns)) for entry in entries])

    async def put(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        """(id, key, message). Of one key one message is on its way at a time: a lost one is never overtaken."""
        try:
            context = await self._context()
            for wave in waves(messages):
                await asyncio.gather(*(
                    context.publish(self._topic, message, headers={"Nats-Msg-Id": id_}) for id_, message in wave
                ))  # fmt: skip
        except self._nats.errors.MaxPayloadError:
            raise SinkRefusedError("nats: larger than the server takes a message to be") from None
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            await self.close()  # and begin anew: what is in its buffers would come behind what is sent again
            raise SinkDownError(
                f"nats: {error or type(error).__name__}; check the server, and that a stream holds {self._topic}"
            ) from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _context(self) -> Any:
        if self._connection is None or not self._connection.is_connected:
            await self.close()
            self._connection = await self._nats.connect(
                self._url,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_S,
                error_cb=_ignored,
            )
        return self._connection.jetstream()


def symbol_of(entry: Entry) -> str:
    return f"{entry.signal.venue}:{entry.signal.symbol}"


async def _ignored(error: Exception) -> None:
    """The client tells errors here and raises them as well."""


def waves(messages: Sequence[tuple[str, str, bytes]]) -> list[list[tuple[str, bytes]]]:
    """(id, message) in waves: each key at most once in a wave, and in its order over all of them."""
    found: list[list[tuple[str, bytes]]] = []
    passed: dict[str, int] = {}
    for id_, key, message in messages:
        wave = passed.get(key, 0)
        passed[key] = wave + 1
        if wave == len(found):
            found.append([])
        found[wave].append((id_, message))
    return found
