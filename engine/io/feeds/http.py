"""Requests over HTTP: aiohttp behind the port. One session, certificates always checked, no proxy, no cookies."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping

import aiohttp

from engine.core.errors import FeedError

BODY_BYTES_MAX = 64 << 20  # a venue's whole listing is 2 to 10 MB
CONNECTIONS_MAX = 8  # to one venue at a time


class AiohttpHttp:
    """engine.core.ports.Http. Made inside a running loop; `close` lets go of its sockets."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        connector = aiohttp.TCPConnector(limit_per_host=CONNECTIONS_MAX, ssl=trust if trust is not None else True)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True
        )

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with asyncio.timeout(timeout_s):
                async with self._session.request(
                    method, url, data=body, headers=headers, allow_redirects=False, timeout=aiohttp.ClientTimeout()
                ) as answer:
                    pieces, size = [], 0
                    async for piece in answer.content.iter_any():
                        pieces.append(piece)
                        size += len(piece)
                        if size > BODY_BYTES_MAX:
                            raise FeedError(f"{method} {url}: an answer of more than {BODY_BYTES_MAX >> 20} MiB")
                    lower = {name.lower(): value for name, value in answer.headers.items()}
                    return answer.status, lower, b"".join(pieces)
        except TimeoutError as error:
            raise FeedError(f"{method} {url}: no answer within {timeout_s:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise FeedError(
                f"{method} {url}: its certificate is not to be trusted; check the address and the host's clock"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FeedError(f"{method} {url}: {told(error)}; check the network and the address") from error

    async def close(self) -> None:
        await self._session.close()


def told(error: Exception) -> str:
    """In words, without aiohttp's inner ones."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        number = cause.errno or 0
        return f"cannot be reached ({os.strerror(number) if number > 0 else cause.strerror or cause})"
    return str(error) or type(error).__name__
