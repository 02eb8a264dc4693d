"""Requests over real sockets on loopback: any status is an answer, and no answer is one sentence."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from engine.core.errors import FeedError
from engine.io.clock import AnchoredClock
from engine.io.feeds.http import AiohttpHttp
from engine.io.feeds.sockets import Sockets
from tests.io.feeds.test_sockets import PATIENCE_S, Ear


@asynccontextmanager
async def server(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], trust: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
    await site.start()
    port = runner.addresses[0][1]
    yield f"{'https' if trust else 'http'}://127.0.0.1:{port}"
    await runner.cleanup()


def run(story: Callable[[AiohttpHttp], Awaitable[None]]) -> None:
    async def bounded() -> None:
        http = AiohttpHttp()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await story(http)
        finally:
            await http.close()

    asyncio.run(bounded())


def test_every_status_is_an_answer_with_its_headers():
    async def story(http: AiohttpHttp) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            asked = await request.read()
            headers = {"Retry-After": "17", "Location": "http://127.0.0.1:1/"}
            status = int(request.query.get("status", "200"))
            return web.Response(status=status, headers=headers, body=request.method.encode() + b" " + asked)

        async with server(handler) as url:
            assert (await http.request("GET", f"{url}/a?status=200", None, 5))[::2] == (200, b"GET ")
            status, headers, body = await http.request("POST", f"{url}/info?status=429", b'{"type":"meta"}', 5)
            assert (status, headers["retry-after"], body) == (429, "17", b'POST {"type":"meta"}')
            assert (await http.request("GET", f"{url}/?status=302", None, 5))[0] == 302  # nobody is followed elsewhere

    run(story)


def test_no_answer_is_one_sentence():
    async def story(http: AiohttpHttp) -> None:
        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(1)
            return web.Response()

        async with server(slow) as url:
            with pytest.raises(FeedError, match=r"no answer within 0\.1 s"):
                await http.request("GET", url, None, 0.1)
        with pytest.raises(FeedError, match="check the network and the address"):
            await http.request("GET", url, None, 5)  # the same port, where nobody listens any more
        with pytest.raises(FeedError, match="check the network and the address"):
            await http.request("GET", "http://", None, 5)

    run(story)


def test_a_certificate_that_nobody_vouches_for_is_refused_by_both(tmp_path: Path):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=conveyor", "-addext", "subjectAltName=IP:127.0.0.1"]
    made: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([*made, *names], check=True, capture_output=True)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def story(http: AiohttpHttp) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            if "upgrade" not in request.headers:
                return web.Response(body=b"fine")
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("fine")
            await socket.close()
            return socket

        async with server(handler, own) as url:
            address = url.replace("https", "wss")
            with pytest.raises(FeedError, match="certificate is not to be trusted"):
                await http.request("GET", url, None, 5)
            with pytest.raises(FeedError, match="certificate is not to be trusted"):
                await Sockets(AnchoredClock(1)).connect(address, Ear(), 5)
            with pytest.raises(FeedError, match="certificate is not to be trusted"):  # of another name
                await Sockets(AnchoredClock(1), 0.0, trusting).connect(
                    address.replace("127.0.0.1", "localhost"), Ear(), 5
                )
            ear = Ear()
            await Sockets(AnchoredClock(1), 0.0, trusting).connect(address, ear, 5)
            await ear.over
            assert ear.frames == [b"fine"]
            trusted = AiohttpHttp(trusting)
            assert (await trusted.request("GET", url, None, 5))[2] == b"fine"
            await trusted.close()

    run(story)
