"""Signals by POST, in batches, signed."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from config.publish import Publish
from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from engine.core.release import Reach
from engine.io.feeds.http import told
from engine.io.publish.entry import Entry
from engine.io.publish.sink import SinkDownError, SinkRefusedError

# It is the address or the secret that is wrong, or the moment, not the signal: once that is put right, all go through.
NOT_THE_SIGNAL = {401, 403, 404, 405, 407, 408, 410, 423, 425, 429}
REASON_BYTES_MAX = 300  # of an answer that says what it does not like


class Webhook:
    """engine.io.publish.sink.Sink. secret: of the signatures; empty: there are none."""

    name, reach = "webhook", Reach.OUTSIDE

    def __init__(self, url: str, secret: bytes = b"") -> None:
        self._url, self._secret = url, secret
        self._session: aiohttp.ClientSession | None = None

    async def send(self, entries: Sequence[Entry], published_ns: int) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        body = b"[" + b",".join(entry.message(published_ns) for entry in entries) + b"]"
        headers = headers_of(body, [entry.id for entry in entries], published_ns // NS_PER_S, self._secret)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False, timeout=aiohttp.ClientTimeout()
            ) as answer:
                said = (await answer.content.read(REASON_BYTES_MAX)).decode("utf-8", "replace")
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SinkDownError(f"webhook: {told(error)}; check the network and the address") from error
        if 200 <= status < 300:
            return
        sentence = f"webhook: answered {status} {said}".rstrip()
        if 400 <= status < 500 and status not in NOT_THE_SIGNAL:
            raise SinkRefusedError(sentence)
        raise SinkDownError(sentence, float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def headers_of(body: bytes, ids: Sequence[str], at_s: int, secret: bytes) -> dict[str, str]:
    """What stands above a body. ids: of its signals, in order. at_s: Unix time."""
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": hashlib.sha256(" ".join(ids).encode()).hexdigest(),
        "X-Conveyor-Timestamp": str(at_s),
    }
    if secret:
        headers["X-Conveyor-Signature"] = signature(secret, str(at_s), body)
    return headers


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What a receiver compares, in constant time, with the header X-Conveyor-Signature."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def secret_of(settings: Publish) -> bytes:
    """The secret the settings point at; empty if they point at none. ConfigError if it is not there."""
    if settings.webhook_secret_env:
        secret = os.environ.get(settings.webhook_secret_env, "")
        place = f"publish.webhook_secret_env: the environment variable {settings.webhook_secret_env}"
    elif settings.webhook_secret_file:
        place = f"publish.webhook_secret_file: {settings.webhook_secret_file}"
        try:
            secret = Path(settings.webhook_secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{place} cannot be read ({error}); give a file with the secret as its line") from None
    else:
        return b""
    if not secret:
        raise ConfigError(f"{place} is empty; nothing would be signed, so nothing is published")
    return secret.encode()
