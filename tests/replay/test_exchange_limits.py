"""Limits of the exchange: messages, streams, connects and requests too many, lifetimes, pings without an answer."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.errors import FeedError
from replay.exchange.limits import Rules
from tests.replay.exchange_client import REST, URLS, Ear, exchange_of, listen, play

STRICT = Rules(2, 5, 1.0, 2, 60.0, 50, lifetime_s=10.0, idle_s=0.0, ban_s=30.0)


def test_too_many_messages_streams_connects_and_requests():
    exchange = exchange_of("binance_usdm", rules=STRICT)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS["binance_usdm"], ear, 5.0)
        link.send(b'{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@depth","ethusdt@depth"],"id":1}')
        await asyncio.sleep(1.5)
        assert "too many streams" in ear.told()[0]["error"]["msg"]
        for _ in range(6):
            link.send(b'{"method":"LIST_SUBSCRIPTIONS","id":2}')
        await asyncio.sleep(0.5)
        assert ear.reason == "closed by the venue: 1008 Too many requests"
        await front.connect(URLS["binance_usdm"], Ear(), 5.0)
        with pytest.raises(FeedError, match="429"):
            await front.connect(URLS["binance_usdm"], Ear(), 5.0)

        async def depth():
            url = REST["binance_usdm"] + "/depth?symbol=BTCUSDT&limit=1000"  # weight 20
            status, headers, _ = await front.request("GET", url, None, 5.0)
            return status, headers.get("retry-after")

        answers = [await depth() for _ in range(14)]
        assert [status for status, _ in answers] == [200] * 2 + [429] * 10 + [418] * 2
        assert 0 < int(answers[2][1]) <= 60
        assert 0 < int(answers[-1][1]) <= 30
        await asyncio.sleep(95.0)
        assert (await depth())[0] == 200

    play(exchange, use)


def test_a_connection_lives_as_long_as_the_venue_lets_it():
    exchange = exchange_of("binance_usdm", rules=STRICT)
    ear = listen(exchange, ("bookTicker",), ("BTC",), 15.0)
    assert ear.reason == "closed by the venue: 1001 lifetime of a connection is over"
    exchange = exchange_of("hyperliquid", rules=Rules(10, 100, 60.0, 10, 60.0, 1200, idle_s=5.0))

    async def use(front):
        quiet, busy = Ear(), Ear()
        await front.connect(URLS["hyperliquid"], quiet, 5.0)
        link = await front.connect(URLS["hyperliquid"], busy, 5.0)
        for _ in range(10):
            link.send(b'{"method":"ping"}')
            await asyncio.sleep(1.0)
        assert (quiet.reason, busy.reason) == ("closed by the venue: 1000 Inactive", None)

    play(exchange, use)


def test_the_venue_pings_and_ends_who_does_not_answer():
    rules = Rules(10, 100, 60.0, 10, 60.0, 1200, ping_every_s=2.0, pong_s=3.0)

    class Mute:
        pings = 0
        closed = ""

        def frame(self, payload):
            pass

        def ping(self):
            self.pings += 1

        def pong(self, data):
            pass

        def close(self, code, reason):
            self.closed = f"{code} {reason}"

        def abort(self):
            raise AssertionError

    exchange, peer = exchange_of("binance_spot", rules=rules), Mute()
    begin_ns = exchange.now_ns
    exchange.connect("/stream", peer, begin_ns)
    exchange.advance(begin_ns + 10_000_000_000)
    assert peer.pings == 2
    assert peer.closed == "1008 Pong timeout"
