"""The exchange over a real socket on loopback: the same bytes as in memory, and ends that are real ends."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import pytest

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from replay.exchange import Exchange
from replay.exchange.driver import Driver
from replay.exchange.server import ScaledClock, Server, ahead, message
from tests.replay.exchange_client import exchange_of, listen, subscriptions

PATIENCE_S = 60.0  # of a test that has gone wrong


def run(exchange: Exchange, use, speed: float = 20.0):
    """Serve on a free port, let a client do something, stop."""

    async def main():
        server = Server(exchange, ScaledClock(exchange.now_ns, speed))
        port = await server.start()
        try:
            async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as client:
                return await use(client, f"127.0.0.1:{port}")
        finally:
            await server.stop()

    return asyncio.run(main())


async def hear(socket: aiohttp.ClientWebSocketResponse, frames: int) -> list[bytes]:
    return [(await socket.receive_str()).encode() for _ in range(frames)]


def of_stream(frames: list[bytes], mark: bytes) -> list[bytes]:
    return [frame for frame in frames if mark in frame]


@pytest.mark.parametrize(
    ("venue", "path", "mark"),
    [
        ("hyperliquid", "/ws", b'"channel":"bbo"'),
        ("binance_usdm", "/stream", b"@bookTicker"),
        ("binance_spot", "/stream", b"@bookTicker"),
    ],
)
def test_a_real_socket_carries_what_memory_carries(venue, path, mark):
    channels = ("bbo",) if venue == "hyperliquid" else ("bookTicker",)

    async def use(client, address):
        async with client.ws_connect(f"ws://{address}{path}") as socket:
            for text in subscriptions(venue, channels, ("BTC",)):
                await socket.send_bytes(text)
            return await hear(socket, 200)

    heard = of_stream(run(exchange_of(venue), use), mark)
    known = of_stream([frame for _, frame in listen(exchange_of(venue), channels, ("BTC",), 60.0).frames], mark)
    # Who subscribes a little later hears less of the begin, and nothing else.
    assert len(heard) > 190
    begin = known.index(heard[1])
    assert known[begin : begin + len(heard) - 1] == heard[1:]


def test_rest_clock_and_unknown_paths():
    exchange = exchange_of("binance_usdm")

    async def use(client, address):
        async with client.get(f"http://{address}/clock") as answer:
            told = await answer.json()
            assert told["speed"] == 20.0
            assert 0 <= told["venue_ns"] - exchange.source.start_ns < PATIENCE_S * 20e9
        async with client.get(f"http://{address}/fapi/v1/depth?symbol=BTCUSDT&limit=5") as answer:
            assert answer.status == 200
            assert int(answer.headers["x-mbx-used-weight-1m"]) == 2
            assert len((await answer.json())["bids"]) == 5
        async with client.get(f"http://{address}/nothing") as answer:
            assert answer.status == 404
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"ws://{address}/nothing")
        assert refused.value.status == 404

    run(exchange, use)


def test_pings_of_a_client_are_answered_with_their_data():
    async def use(client, address):
        async with client.ws_connect(f"ws://{address}/ws", autoping=False) as socket:
            await socket.ping(b"here")
            told = [await socket.receive() for _ in range(2)]
            assert (told[1].type, bytes(told[1].data)) == (aiohttp.WSMsgType.PONG, b"here")

    run(exchange_of("hyperliquid"), use)


@pytest.mark.parametrize(("how", "kinds"), [("close", {"CLOSE"}), ("reset", {"CLOSED", "ERROR", "CLOSING"})])
def test_an_end_is_told_or_not(how, kinds):
    exchange = exchange_of(
        "hyperliquid", f'[[fault]]\nkind = "disconnect"\nat = "00:00:05"\nhow = "{how}"\ncode = 1012'
    )

    async def use(client, address):
        async with client.ws_connect(f"ws://{address}/ws") as socket:
            assert await hear(socket, 1) == [b"Websocket connection established."]
            told = await socket.receive()
            return told.type.name, told.data

    kind, data = run(exchange, use)
    assert kind in kinds
    assert how == "reset" or data == 1012
    assert [hit.what for hit in exchange.truth.hits] == [how]


def test_a_half_open_connection_stays_open_and_says_nothing():
    exchange = exchange_of("hyperliquid", '[[fault]]\nkind = "half_open"\nat_s = 5.0')

    async def use(client, address):
        async with client.ws_connect(f"ws://{address}/ws", autoclose=False, autoping=False) as socket:
            while not exchange.truth.hits:
                await asyncio.sleep(0.01)
            await socket.send_str('{"method":"ping"}')
            await socket.ping()
            assert await hear(socket, 1) == [b"Websocket connection established."]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.receive(), 1.0)
            assert not socket.closed
            # A new connection is alive.
            async with client.ws_connect(f"ws://{address}/ws") as other:
                assert await hear(other, 1) == [b"Websocket connection established."]

    run(exchange, use)


def test_refusing_is_a_cut_socket_or_a_status():
    plan = '[[fault]]\nkind = "refuse"\nat_s = -4.0\nfor_s = 1000.0\n'
    with_status = plan + 'how = "handshake"\nstatus = 429\nretry_after_s = 7'

    async def cut(client, address):
        with pytest.raises(aiohttp.ClientError):
            await client.ws_connect(f"ws://{address}/ws")

    async def limited(client, address):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"ws://{address}/ws")
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "7")

    run(exchange_of("hyperliquid", plan), cut)
    run(exchange_of("hyperliquid", with_status), limited)


def test_a_port_in_use_is_one_sentence():
    async def main():
        first = Server(exchange_of("hyperliquid"), ScaledClock(0))
        port = await first.start()
        try:
            with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
                await Server(exchange_of("hyperliquid"), ScaledClock(0)).start(port=port)
        finally:
            await first.stop()

    asyncio.run(main())


def test_minutes_made_ahead_are_the_minutes():
    source = exchange_of("binance_usdm").source
    plain = [[(sent.at_ns, sent.channel, sent.symbol) for sent in minute] for minute in source.minutes()]
    source = exchange_of("binance_usdm").source
    assert [[(sent.at_ns, sent.channel, sent.symbol) for sent in minute] for minute in ahead(source)] == plain


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_messages_of_all_lengths_are_whole(size):
    told = message(0x81, b"x" * size)
    short, rest = told[1], told[2:]
    width = {126: 2, 127: 8}.get(short, 0)
    assert told[0] == 0x81
    assert (int.from_bytes(rest[:width]) if width else short) == size
    assert width == (0 if size < 126 else 2 if size < 65_536 else 8)
    assert rest[width:] == b"x" * size


def test_the_clock_route_is_json():
    async def use(client, address):
        async with client.get(f"http://{address}/clock") as answer:
            return orjson.loads(await answer.read())

    assert set(run(exchange_of("hyperliquid"), use)) == {"venue_ns", "speed"}


def test_a_timer_that_does_not_tell_when_it_is_due_does_not_end_a_connection():
    """uvloop's handle of a call that is due at once has no `when`; asking it cut a connection every minute or so."""
    uvloop = pytest.importorskip("uvloop")
    exchange = exchange_of("hyperliquid")
    first_ns = exchange.now_ns

    async def main():
        driver = Driver(exchange, ScaledClock(first_ns, 10_000.0))
        while exchange.now_ns < first_ns + 10 * NS_PER_S:
            driver.poke()
            await asyncio.sleep(0)
        driver.stop()

    uvloop.run(asyncio.wait_for(main(), PATIENCE_S))
