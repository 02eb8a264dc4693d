"""The webhook against a real server on loopback, and what of its answers means what."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web

from config.publish import Publish
from engine.core.errors import ConfigError
from engine.io.publish.entry import Entry, decode, encode
from engine.io.publish.receiver import Receiver
from engine.io.publish.sink import SinkDownError, SinkRefusedError
from engine.io.publish.webhook import Webhook, secret_of
from tests.io.publish.made import outside, signal

NOW_NS = 1_700_000_123_000_000_000


def entries(count: int) -> list[Entry]:
    return [decode(0, encode(0, n, 0, n, signal(n), outside(signal(n))[0], "", 0)) for n in range(count)]


def against(handler: Callable[[web.Request], Awaitable[web.Response]], story: Callable[[str], Awaitable[None]]) -> None:
    async def live() -> None:
        app = web.Application()
        app.router.add_post("/hook", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            await story(f"http://127.0.0.1:{port}/hook")
        finally:
            await runner.cleanup()

    asyncio.run(live())


def test_a_batch_is_one_signed_array_that_a_receiver_can_check():
    got: list[tuple[Any, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        got.append((request.headers.copy(), await request.read()))
        return web.Response(status=204)

    async def story(url: str) -> None:
        hook = Webhook(url, b"a secret")
        await hook.send(entries(3), NOW_NS)
        await hook.send(entries(3), NOW_NS + 5_000_000_000)
        await hook.close()

    against(handler, story)

    (headers, body), (again, _) = got
    told = orjson.loads(body)
    assert [message["id"] for message in told] == ["s000000", "s000001", "s000002"]
    assert told[1]["payload"] == orjson.loads(signal(1).payload)
    assert signal(1).payload in body
    expected = hmac.new(b"a secret", b"1700000123." + body, sha256).hexdigest()
    assert headers["X-Conveyor-Timestamp"] == "1700000123"
    assert headers["X-Conveyor-Signature"] == f"sha256={expected}"
    assert again["X-Conveyor-Signature"] != headers["X-Conveyor-Signature"]
    assert again["Idempotency-Key"] == headers["Idempotency-Key"]


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 408, 410, 429, 500, 503])
def test_trouble_of_the_address_or_the_moment_is_to_be_tried_again(status: int):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text="no", headers={"Retry-After": "12", "Location": "/elsewhere"})

    async def story(url: str) -> None:
        hook = Webhook(url)
        with pytest.raises(SinkDownError, match=f"answered {status} no") as caught:
            await hook.send(entries(1), NOW_NS)
        assert caught.value.retry_after_s == 12.0
        await hook.close()

    against(handler, story)


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_trouble_of_the_signal_is_a_refusal_with_what_was_said(status: int):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text="severity is no number")

    async def story(url: str) -> None:
        hook = Webhook(url)
        with pytest.raises(SinkRefusedError, match=f"answered {status} severity is no number"):
            await hook.send(entries(1), NOW_NS)
        await hook.close()

    against(handler, story)


def test_nobody_at_the_address_is_trouble_too():
    async def story() -> None:
        hook = Webhook("http://127.0.0.1:1/hook")
        with pytest.raises(
            SinkDownError, match=r"cannot be reached \(Connection refused\); check the network and the address"
        ):
            await hook.send(entries(1), NOW_NS)
        await hook.close()

    asyncio.run(story())


def test_the_secret_comes_from_the_environment_or_a_file_or_is_missed(monkeypatch: Any, tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("of a file\n", encoding="utf-8")
    monkeypatch.setenv("HOOK", "of the environment")

    assert secret_of(Publish()) == b""
    assert secret_of(Publish(webhook_secret_env="HOOK")) == b"of the environment"
    assert secret_of(Publish(webhook_secret_file=str(path))) == b"of a file"
    with pytest.raises(ConfigError, match="the environment variable MISSING is empty"):
        secret_of(Publish(webhook_secret_env="MISSING"))
    with pytest.raises(ConfigError, match="cannot be read"):
        secret_of(Publish(webhook_secret_file=str(tmp_path / "none")))


def test_the_receiver_takes_what_is_signed_and_new_and_answers_behind_it():
    taken: list[str] = []

    async def story() -> None:
        receiver = Receiver(lambda message: taken.append(message["id"]), b"a secret")
        url = f"http://127.0.0.1:{await receiver.start(0)}/"
        hook, forger = Webhook(url, b"a secret"), Webhook(url, b"another")
        await hook.send(entries(2), NOW_NS)
        await hook.send(entries(3), NOW_NS + 1)
        with pytest.raises(SinkDownError, match="answered 401 the signature is wrong"):
            await forger.send(entries(4), NOW_NS)
        await hook.close()
        await forger.close()
        await receiver.stop()

    asyncio.run(story())
    assert taken == ["s000000", "s000001", "s000002"]


def test_what_the_receiver_cannot_read_is_a_refusal():
    async def story() -> None:
        receiver = Receiver(lambda message: None)
        port = await receiver.start(0)
        async with ClientSession() as client:
            for body in (b"[", b"{}x", b"[{}]", b"[1]", b'[{"id": 1, "payload": {}}]'):
                async with client.post(f"http://127.0.0.1:{port}/any/where", data=body) as answer:
                    assert answer.status == 400
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            await Receiver(lambda message: None).start(port)
        await receiver.stop()

    asyncio.run(story())
