"""Faults of lines, requests and listings: what ends, is refused, falls silent or comes late."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from engine.core.errors import FeedError
from engine.core.minutes import NS_PER_MS, NS_PER_S
from tests.replay.exchange_client import (
    LATE_NS,
    REST,
    URLS,
    USDM,
    Ear,
    calm,
    data,
    exchange_of,
    in_window,
    play,
    subscriptions,
    with_fault,
)

# --- lines ------------------------------------------------------------------------------------------------------------


def test_maintenance_closes_refuses_and_ends():
    text = '[[fault]]\nkind = "maintenance"\nat_s = 5.0\nfor_s = 10\nnotice_s = 2'
    exchange = exchange_of("binance_spot", text, minutes=1)

    async def use(front):
        ear = Ear()
        await front.connect(URLS["binance_spot"], ear, 5.0)
        await asyncio.sleep(10.0)
        assert b"serverShutdown" in ear.frames[-1][1]
        assert ear.frames[-1][0] < exchange.first_minute_ns + 3 * NS_PER_S + LATE_NS
        assert ear.reason == "closed by the venue: 1001 maintenance"
        with pytest.raises(FeedError, match="connection refused"):
            await front.connect(URLS["binance_spot"], Ear(), 5.0)
        with pytest.raises(FeedError, match="connection refused"):
            await front.request("GET", REST["binance_spot"] + "/time", None, 5.0)
        await asyncio.sleep(10.0)
        await front.connect(URLS["binance_spot"], Ear(), 5.0)

    play(exchange, use)


def test_a_half_open_connection_is_dead_for_good_and_a_new_one_is_not():
    exchange = exchange_of(
        "hyperliquid", '[[fault]]\nkind = "half_open"\nat_s = 3.0\nfor_s = 5\nconnection = 0', minutes=1
    )

    async def use(front):
        ears = [Ear(), Ear()]
        links = [await front.connect(URLS["hyperliquid"], ear, 5.0) for ear in ears]
        for link in links:
            link.send(b'{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}')
        await asyncio.sleep(15.0)
        for link in links:
            link.ping()
        await asyncio.sleep(1.0)
        dead, alive = ears
        assert dead.frames[-1][0] < exchange.first_minute_ns + 3 * NS_PER_S + LATE_NS
        assert (dead.pongs, dead.reason, len(alive.pongs)) == ([], None, 1)
        assert len(alive.frames) > len(dead.frames) + 20
        links[0].close("given up")
        assert dead.reason == "given up"

    play(exchange, use)


@pytest.mark.parametrize("heals", [False, True])
def test_a_silent_stream_is_silent_alone_and_may_heal(heals):
    text = '[[fault]]\nkind = "silent_stream"\nat_s = 3.0\nchannels = ["bookTicker"]\nsymbols = ["BTCUSDT"]\nheals = '
    text += str(heals).lower()
    exchange = exchange_of("binance_usdm", text, minutes=1)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS["binance_usdm"], ear, 5.0)
        for message in subscriptions("binance_usdm", USDM, ("BTC",)):
            link.send(message)
        await asyncio.sleep(14.0)
        silent = [payload for _, payload in in_window(exchange, ear, 3.1, 10.0)]
        assert not [payload for payload in silent if b"@bookTicker" in payload]
        assert len(silent) > 50
        name = b'["btcusdt@bookTicker"],"id":2}'
        link.send(b'{"method":"UNSUBSCRIBE","params":' + name)
        link.send(b'{"method":"SUBSCRIBE","params":' + name)
        await asyncio.sleep(10.0)
        again = [payload for _, payload in in_window(exchange, ear, 12.0, 20.0)]
        assert bool([payload for payload in again if b"@bookTicker" in payload]) is heals

    play(exchange, use)


def test_a_slow_line_delays_everything_and_overtakes_nothing():
    _, ear = with_fault("binance_usdm", 'kind = "slow"\nat_s = 2.0\nfor_s = 5\nbytes_per_s = 2000\nlatency_ms = 100')
    whole = data(calm("binance_usdm"))
    broken = data(ear)
    assert broken == whole[: len(broken)]
    delays = [
        recv_ns - orjson.loads(payload)["data"]["E"] * NS_PER_MS
        for recv_ns, payload in ear.frames
        if b'"stream"' in payload
    ]
    assert max(delays) > 2 * NS_PER_S


@pytest.mark.parametrize("venue", ["binance_usdm", "hyperliquid"])
def test_a_delisted_symbol_ends_and_others_do_not_notice(venue):
    symbol, other = ("BTCUSDT", "ETHUSDT") if venue == "binance_usdm" else ("BTC", "ETH")
    channels = USDM if venue == "binance_usdm" else ("trades", "bbo")
    exchange = exchange_of(venue, f'[[fault]]\nkind = "delist"\nat_s = 8.0\nsymbols = ["{symbol}"]', minutes=1)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS[venue], ear, 5.0)
        for message in subscriptions(venue, channels, ("BTC", "ETH")):
            link.send(message)
        await asyncio.sleep(20.0)
        begun = len(ear.frames)
        for message in subscriptions(venue, channels[:1], ("BTC",)):
            link.send(message)
        await asyncio.sleep(1.0)
        link.close("done")
        return ear, [payload for _, payload in ear.frames[begun:]]

    ear, behind = play(exchange, use)
    later = [payload for _, payload in in_window(exchange, ear, 8.1, 100.0)]
    assert any(b"Invalid" in payload for payload in behind)
    assert not [p for p in later if b'"' + symbol.encode() + b'"' in p and b"nvalid" not in p]
    assert len([p for p in later if b'"' + other.encode() + b'"' in p]) > 20
    last_ms = max(row.event_ms for row in exchange.truth.trades(symbol))
    assert last_ms * NS_PER_MS <= exchange.first_minute_ns + 8 * NS_PER_S


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('kind = "rest_down"', "refused"),
        ('kind = "rest_429"\nretry_after_s = 7', 429),
        ('kind = "rest_429"\nstatus = 418', 418),
        ('kind = "rest_slow"\ndelay_ms = 9000', "late"),
        ('kind = "rest_slow"\ndelay_ms = 9000\nrequests = ["klines"]', 200),
    ],
)
def test_requests_fail_as_planned(text, outcome):
    exchange = exchange_of("binance_usdm", f"[[fault]]\n{text}\nat_s = 0.0\nfor_s = 10", minutes=1)

    async def use(front):
        async def ask():
            url = REST["binance_usdm"] + "/depth?symbol=BTCUSDT&limit=5"
            return await front.request("GET", url, None, 5.0)

        await asyncio.sleep(5.0)
        if outcome in ("refused", "late"):
            with pytest.raises(FeedError, match="refused" if outcome == "refused" else "no answer within 5 s"):
                await ask()
        else:
            status, headers, _ = await ask()
            assert status == outcome
            assert outcome == 200 or int(headers["retry-after"]) in (2, 7)
        await asyncio.sleep(11.0)
        assert (await ask())[0] == 200

    play(exchange, use)


def test_a_raced_snapshot_is_older_than_what_was_sent():
    plan = '[[fault]]\nkind = "snapshot_race"\nhow = "{}"\nat_s = 2.0\nfor_s = 10\ndelay_ms = 3000'

    async def ask(front):
        ear = Ear()
        link = await front.connect(URLS["binance_usdm"], ear, 5.0)
        link.send(b'{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}')
        await asyncio.sleep(8.0)
        _, _, body = await front.request("GET", REST["binance_usdm"] + "/depth?symbol=BTCUSDT", None, 5.0)
        known = [told["data"]["u"] for told in ear.told() if "data" in told]
        return orjson.loads(body)["lastUpdateId"], known

    for how in ("old", "late"):
        number, known = play(exchange_of("binance_usdm", plan.format(how), minutes=1), ask)
        assert number < known[-10]
    number, known = play(exchange_of("binance_usdm", minutes=1), ask)
    assert number > known[-10]
