"""What the exchange says has the form of what the venues say: frames, handshakes, answers to subscriptions."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from engine.tape.venues import binance_spot, binance_usdm, hyperliquid
from tests.oracles.captures import recording
from tests.replay.exchange_client import URLS, Ear, ask, exchange_of, listen, play, subscriptions

DIALECTS = {"hyperliquid": hyperliquid, "binance_usdm": binance_usdm, "binance_spot": binance_spot}
ALL = {
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx", "candle"),
    "binance_usdm": ("trade", "aggTrade", "bookTicker", "depth@100ms", "markPrice@1s", "forceOrder", "kline_1m"),
    "binance_spot": ("trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1m"),
}
VENUES = list(ALL)


def shape(value: Any) -> Any:
    """Keys in their order and types of values; a list is as its first item."""
    if type(value) is dict:
        return [(key, shape(inner)) for key, inner in value.items()]
    return [shape(value[0])] if type(value) is list and value else type(value).__name__


@pytest.mark.parametrize("venue", VENUES)
def test_the_strict_decoder_understands_every_frame(venue):
    ear = listen(exchange_of(venue), ALL[venue], ("BTC", "ETH"), 70.0)
    seen = set()
    for _, payload in ear.frames:
        channel, messages = DIALECTS[venue].DIALECT.decode(payload)
        seen.update((channel, type(message).__name__) for message in messages)
    names = {name.partition("@")[0] for name in ALL[venue]}
    assert names <= {channel for channel, _ in seen}
    answers = {name for channel, name in seen if channel not in names}
    assert answers <= {"Ignored"}


@pytest.mark.parametrize(
    ("venue", "file"),
    [
        ("binance_usdm", "messages/binance_futures/BINANCE_FUTURES.ws.1.0"),
        ("binance_spot", "connections/BINANCE.ws.1.0"),
    ],
)
def test_frames_have_the_keys_of_recorded_ones(venue, file):
    first, *lines = recording(file).read_text().splitlines()
    path = "/stream?streams=btcusdt@aggTrade/btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@kline_1m"
    assert "/stream?streams=" in first

    async def use(front):
        ear = Ear()
        await front.connect(URLS[venue].removesuffix("/stream") + path, ear, 5.0)
        await asyncio.sleep(30.0)
        return ear

    def forms(texts):
        found = {}
        for text in texts:
            told = orjson.loads(text)
            if told["data"].get("b") == [] or told["data"].get("a") == []:
                continue  # a side of no change has no level to compare
            found[told["stream"].partition("@")[2]] = shape(told["data"])
        return found

    ours = forms(payload for _, payload in play(exchange_of(venue), use).frames)
    theirs = forms(line.partition(": ")[2] for line in lines if '"stream"' in line)
    assert set(ours) == set(theirs) == {"aggTrade", "depth@100ms", "bookTicker", "kline_1m"}
    for stream in theirs:
        known = dict(theirs[stream])
        told = dict(ours[stream])
        assert list(told) == list(known), stream
        assert told == known, stream


def test_depth_over_rest_has_the_keys_of_a_recorded_answer():
    line = recording("messages/binance_futures/BINANCE_FUTURES.http.0.0").read_text().splitlines()[0]
    theirs = orjson.loads(line[line.index("{") :])
    ((_, ours),) = ask(exchange_of("binance_usdm"), "depth?symbol=BTCUSDT&limit=1000")
    assert shape(ours) == shape(theirs)


def test_hyperliquid_frames_have_the_keys_of_recorded_ones():
    theirs: dict[str, Any] = {}
    for line in recording("hyperliquid/tardis_node_hyperliquid.jsonl").read_text().splitlines():
        told = orjson.loads(line)
        if told["channel"] == "l2Book" and not all(told["data"]["levels"]):
            continue
        theirs.setdefault(told["channel"], told["data"])
    ear = listen(exchange_of("hyperliquid"), ALL["hyperliquid"][:4], ("BTC",), 10.0)
    for channel in ALL["hyperliquid"][:4]:
        ours = next(told["data"] for told in ear.told() if told["channel"] == channel)
        known, told = (value[0] if type(value) is list else value for value in (theirs[channel], ours))
        assert set(known) <= set(told)
        if channel == "activeAssetCtx":
            assert set(known["ctx"]) <= set(told["ctx"])


def talk(venue: str, *messages: bytes, **more: Any) -> tuple[list[Any], Ear]:
    """Answers to messages on a new connection, without frames of streams."""

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS[venue], ear, 5.0)
        for message in messages:
            link.send(message)
        await asyncio.sleep(0.5)
        front.stop()
        return ear

    ear = play(exchange_of(venue, **more), use)
    return [told for told in ear.told() if "stream" not in told and told.get("channel") not in ALL["hyperliquid"]], ear


def test_binance_answers():
    told, _ = talk(
        "binance_usdm",
        b'{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","ethusdt@depth@0ms"],"id":1}',
        b'{"method":"LIST_SUBSCRIPTIONS","id":2}',
        b'{"method":"UNSUBSCRIBE","params":["btcusdt@aggTrade"],"id":3}',
        b'{"method":"LIST_SUBSCRIPTIONS","id":4}',
        b'{"method":"SUBSCRIBE","params":["xyzusdt@aggTrade"],"id":5}',
        b'{"method":"SUBSCRIBE","params":"btcusdt@aggTrade","id":6}',
        b'{"method":"DANCE","id":7}',
        b"{",
    )
    assert told[:4] == [
        {"result": None, "id": 1},
        {"result": ["btcusdt@aggTrade", "ethusdt@depth@0ms"], "id": 2},
        {"result": None, "id": 3},
        {"result": ["ethusdt@depth@0ms"], "id": 4},
    ]
    assert [(one["error"]["code"], one["id"]) for one in told[4:]] == [(2, 5), (2, 6), (2, 7), (3, None)]
    assert "unknown stream xyzusdt@aggTrade" in told[4]["error"]["msg"]


def test_raw_streams_have_no_name():
    async def use(front):
        ear = Ear()
        await front.connect("wss://fstream.binance.com/ws/btcusdt@bookTicker", ear, 5.0)
        await asyncio.sleep(5.0)
        return ear

    ear = play(exchange_of("binance_usdm"), use)
    assert {told["e"] for told in ear.told()} == {"bookTicker"}


def test_hyperliquid_answers():
    trades = '{"type":"trades","coin":"BTC"}'
    told, ear = talk(
        "hyperliquid",
        f'{{"method":"subscribe","subscription":{trades}}}'.encode(),
        f'{{"method":"subscribe","subscription":{trades}}}'.encode(),
        b'{"method":"subscribe","subscription":{"type":"trades","coin":"XYZ"}}',
        b'{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"7m"}}',
        f'{{"method":"unsubscribe","subscription":{trades}}}'.encode(),
        f'{{"method":"unsubscribe","subscription":{trades}}}'.encode(),
        b'{"method":"ping"}',
        b"hello",
    )
    assert ear.frames[0][1] == b"Websocket connection established."
    confirmed = {
        "channel": "subscriptionResponse",
        "data": {"method": "subscribe", "subscription": orjson.loads(trades)},
    }
    assert told[0] == confirmed
    assert told[1] == {"channel": "error", "data": f"Already subscribed: {trades}"}
    assert told[2]["data"].startswith("Invalid subscription")
    assert told[3]["data"].startswith("Invalid subscription")
    assert told[4]["data"]["method"] == "unsubscribe"
    assert told[5] == {"channel": "error", "data": f"Already unsubscribed: {trades}"}
    assert told[6] == {"channel": "pong"}
    assert told[7]["data"].startswith("Error parsing JSON")


def test_the_first_trades_of_a_subscription_repeat_the_last_ones():
    exchange = exchange_of("hyperliquid")

    async def use(front):
        await asyncio.sleep(30.0)
        known = [row.id for row in exchange.truth.trades("BTC")]
        ear = Ear()
        link = await front.connect(URLS["hyperliquid"], ear, 5.0)
        for message in subscriptions("hyperliquid", ("trades", "bbo", "l2Book", "activeAssetCtx"), ("BTC",)):
            link.send(message)
        await asyncio.sleep(0.2)
        first = next(told for told in ear.told() if told["channel"] == "trades")
        ids = [trade["tid"] for trade in first["data"]]
        assert len(ids) == 30
        assert set(ids[:20]) <= set(known)
        assert {"bbo", "l2Book", "activeAssetCtx"} <= {told["channel"] for told in ear.told()}

    play(exchange, use)
