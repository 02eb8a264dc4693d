"""The other end of the webhook, as a reference: it checks the signature and drops repetitions before it says yes."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from engine.core.errors import ConfigError
from engine.io.publish.consumer import Deduplicator
from engine.io.publish.webhook import signature

HOST = "127.0.0.1"
BODY_BYTES_MAX = 64 << 20
STOP_S = 0.5


class Receiver:
    """take: told each message that is news (docs/delivery.md). secret: of the signatures; empty: none."""

    def __init__(self, take: Callable[[dict[str, Any]], None], secret: bytes = b"") -> None:
        self._take, self._secret = take, secret
        self.seen = Deduplicator()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen; returns the port. Raises ConfigError if it is not free."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {HOST}:{port} ({error.strerror}); give another --port") from None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        """204 behind the last message taken. 401 makes an engine wait and try again, 400 ends in a dead letter."""
        body = await request.read()
        if self._secret:
            told = request.headers.get("X-Conveyor-Signature", "")
            ours = signature(self._secret, request.headers.get("X-Conveyor-Timestamp", ""), body)
            if not hmac.compare_digest(told.encode(), ours.encode()):
                return web.Response(status=401, text="the signature is wrong or missing")
        try:
            for message in orjson.loads(body):
                if self.seen.is_news(message):
                    self._take(message)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"no list of messages: {type(error).__name__} {error}")
        return web.Response(status=204)
