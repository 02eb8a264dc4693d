"""The exchange in memory under virtual time: deterministic, and as fast as it can be."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.errors import FeedError
from replay.exchange import VirtualLoop
from tests.replay.exchange_client import URLS, Ear, exchange_of, listen, play

VENUES = ["hyperliquid", "binance_usdm", "binance_spot"]
CHANNELS = {
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx", "candle"),
    "binance_usdm": ("aggTrade", "bookTicker", "depth@100ms", "markPrice@1s", "forceOrder", "kline_1m"),
    "binance_spot": ("aggTrade", "bookTicker", "depth@100ms", "kline_1m"),
}


def test_a_virtual_hour_takes_no_time_and_callbacks_keep_their_order():
    loop = VirtualLoop()
    seen = []

    async def main() -> str:
        loop.call_later(3600.0, seen.append, "hour")
        loop.call_later(60.0, seen.append, "minute")
        seen.append(await loop.run_in_executor(None, lambda: "executor"))
        seen.append(await asyncio.to_thread(lambda: "thread"))
        await asyncio.sleep(3600.5)
        return "done"

    assert loop.run_until_complete(main()) == "done"
    assert seen == ["executor", "thread", "minute", "hour"]
    assert loop.now_ns == 3_600_500_000_000
    loop.close()


def test_waiting_for_what_never_comes_is_an_error_and_not_a_hang():
    loop = VirtualLoop()
    with pytest.raises(RuntimeError, match="never comes"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_an_error_in_an_executor_reaches_whoever_waits():
    loop = VirtualLoop()

    async def main() -> None:
        await asyncio.to_thread(int, "x")

    with pytest.raises(ValueError):
        loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("venue", VENUES)
def test_equal_seeds_give_equal_bytes_at_equal_times(venue):
    first, second = (listen(exchange_of(venue), CHANNELS[venue], ("BTC", "ETH"), 30.0) for _ in range(2))
    assert first.frames == second.frames
    assert len(first.frames) > 500
    other = listen(exchange_of(venue, seed=8), CHANNELS[venue], ("BTC", "ETH"), 30.0)
    assert other.frames != first.frames


@pytest.mark.parametrize("venue", VENUES)
def test_frames_arrive_in_order_and_not_before_they_were_sent(venue):
    exchange = exchange_of(venue)
    ear = listen(exchange, CHANNELS[venue], ("BTC",), 20.0)
    times = [recv_ns for recv_ns, _ in ear.frames]
    assert times == sorted(times)
    assert ear.pongs == []
    assert ear.reason is None


def test_a_disconnect_ends_the_connection_once_and_at_its_time():
    exchange = exchange_of("binance_usdm", '[[fault]]\nkind = "disconnect"\nat = "00:00:10"')
    ear = listen(exchange, ("aggTrade",), ("BTC",), 30.0)
    assert ear.reason == "closed by the venue: 1001 going away"
    assert ear.frames[-1][0] < exchange.first_minute_ns + 10_020_000_000
    (hit,) = exchange.truth.hits
    assert (hit.kind, hit.connection, hit.at_ns) == ("disconnect", 0, exchange.first_minute_ns + 10_000_000_000)


def test_pings_are_answered_and_a_closed_link_is_silent():
    exchange = exchange_of("hyperliquid")

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS["hyperliquid"], ear, 5.0)
        link.ping()
        await asyncio.sleep(1.0)
        assert len(ear.pongs) == 1
        link.close("enough")
        link.close("again")
        link.send(b'{"method":"ping"}')
        heard = len(ear.frames)
        await asyncio.sleep(5.0)
        assert (ear.reason, len(ear.frames)) == ("enough", heard)
        assert exchange.sessions == {}

    play(exchange, use)


def test_a_paused_link_keeps_what_came_and_gives_it_in_order():
    exchange = exchange_of("hyperliquid")

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS["hyperliquid"], ear, 5.0)
        link.send(b'{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}')
        await asyncio.sleep(2.0)
        link.pause()
        before = len(ear.frames)
        await asyncio.sleep(5.0)
        assert len(ear.frames) == before
        link.resume()
        assert len(ear.frames) > before + 5
        times = [frame["data"]["time"] for frame in ear.told() if frame["channel"] == "bbo"]
        assert times == sorted(times)

    play(exchange, use)


def test_an_unknown_host_is_named_with_the_known_ones():
    async def use(front):
        with pytest.raises(FeedError, match=r"api\.hyperliquid\.xyz"):
            await front.connect("wss://nowhere/ws", Ear(), 5.0)
        with pytest.raises(FeedError, match="404"):
            await front.connect("wss://hyperliquid/elsewhere", Ear(), 5.0)

    play(exchange_of("hyperliquid"), use)
