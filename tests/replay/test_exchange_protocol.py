"""What the exchange says is what the venues say: handshakes, answers, books, candles, limits."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.core.errors import FeedError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.tape.venues import binance_spot, binance_usdm, hyperliquid
from replay.exchange.limits import Rules
from tests.replay.exchange_client import REST, URLS, Ear, exchange_of, listen, play, subscriptions

RECORDED = Path(__file__).parents[3] / "shared" / "data"
DIALECTS = {"hyperliquid": hyperliquid, "binance_usdm": binance_usdm, "binance_spot": binance_spot}
ALL = {
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx", "candle"),
    "binance_usdm": ("trade", "aggTrade", "bookTicker", "depth@100ms", "markPrice@1s", "forceOrder", "kline_1m"),
    "binance_spot": ("trade", "aggTrade", "bookTicker", "depth@100ms", "kline_1m"),
}
VENUES = list(ALL)
BINANCE = ["binance_usdm", "binance_spot"]


def recorded(name: str) -> list[str]:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"no recording {name} beside the project")
    return path.read_text(encoding="utf-8").splitlines()


def shape(value: Any) -> Any:
    """Keys in their order and types of values; a list is as its first item."""
    if type(value) is dict:
        return [(key, shape(inner)) for key, inner in value.items()]
    return [shape(value[0])] if type(value) is list and value else type(value).__name__


def ask(exchange, *paths: str, after_s: float = 5.0) -> list[Any]:
    """GET each path of a Binance venue, or POST each body of Hyperliquid, after a while; bodies read."""

    async def use(front):
        await asyncio.sleep(after_s)
        answers = []
        for path in paths:
            if exchange.venue == "hyperliquid":
                status, _, body = await front.request("POST", REST[exchange.venue], path.encode(), 5.0)
            else:
                status, _, body = await front.request("GET", f"{REST[exchange.venue]}/{path}", None, 5.0)
            answers.append((status, orjson.loads(body)))
        return answers

    return play(exchange, use)


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
    first, *lines = recorded(file)
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
    assert set(ours) == {"aggTrade", "depth@100ms", "bookTicker", "kline_1m"}
    for stream in set(ours) & set(theirs):
        known = dict(theirs[stream])
        told = dict(ours[stream])
        assert list(told) == list(known), stream
        assert told == known, stream


def test_depth_over_rest_has_the_keys_of_a_recorded_answer():
    line = recorded("messages/binance_futures/BINANCE_FUTURES.http.0.0")[0]
    theirs = orjson.loads(line[line.index("{") :])
    ((_, ours),) = ask(exchange_of("binance_usdm"), "depth?symbol=BTCUSDT&limit=1000")
    assert shape(ours) == shape(theirs)


def test_hyperliquid_frames_have_the_keys_of_recorded_ones():
    theirs: dict[str, Any] = {}
    for line in recorded("hyperliquid/tardis_node_hyperliquid.jsonl"):
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


# Subscriptions


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


# Books


@pytest.mark.parametrize("venue", BINANCE)
@pytest.mark.parametrize("wait_s", [0.0, 3.3])
def test_a_book_of_snapshot_and_updates_is_the_book_of_quotes(venue, wait_s):
    """The venue's own recipe, with plain dictionaries; at equal update ids the best levels are those of bookTicker."""
    exchange = exchange_of(venue)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS[venue], ear, 5.0)
        for message in subscriptions(venue, ("depth@100ms", "bookTicker"), ("BTC",)):
            link.send(message)
        await asyncio.sleep(wait_s)
        _, _, body = await front.request("GET", REST[venue] + "/depth?symbol=BTCUSDT&limit=1000", None, 5.0)
        await asyncio.sleep(30.0)
        return orjson.loads(body), [told["data"] for told in ear.told() if "data" in told]

    snapshot, frames = play(exchange, use)
    bids, asks = ({price: size for price, size in snapshot[side]} for side in ("bids", "asks"))
    last, chained, compared = snapshot["lastUpdateId"], False, 0
    quotes: dict[int, Any] = {}
    for one in frames:
        if "U" in one:
            if one["u"] < last or (venue == "binance_spot" and one["u"] <= last):
                continue
            if not chained:
                assert one["U"] <= last + (venue == "binance_spot") <= one["u"] + 1
            else:
                assert one["U"] == last + 1
                assert one.get("pu", last) == last
            chained, last = True, one["u"]
            for side, levels in ((bids, one["b"]), (asks, one["a"])):
                for price, size in levels:
                    if Decimal(size):
                        side[price] = size
                    else:
                        side.pop(price, None)
            quote = quotes.get(last)
            if quote:
                compared += 1
                bid, ask = max(bids, key=Decimal), min(asks, key=Decimal)
                best = (bid, bids[bid], ask, asks[ask])
                assert best == (quote["b"], quote["B"], quote["a"], quote["A"])
        else:
            quotes[one["u"]] = one  # it comes sooner than the update of the same id
    assert chained
    assert compared > 5


# Candles


def from_trades(rows, minute: int) -> tuple[Any, ...]:
    """(open, high, low, close, volume, count) of a minute of trades, in plain decimals."""
    mine = [row for row in rows if row.event_ms // 60_000 == minute]
    prices = [Decimal(row.price) for row in mine]
    return prices[0], max(prices), min(prices), prices[-1], sum(Decimal(row.quantity) for row in mine), len(mine)


@pytest.mark.parametrize("venue", BINANCE)
def test_binance_candles_are_the_trades(venue):
    exchange = exchange_of(venue)
    ear = listen(exchange, ("kline_1m", "trade"), ("BTC", "ETH"), 130.0)
    final = [told["data"]["k"] for told in ear.told() if "data" in told and told["data"].get("k", {}).get("x")]
    minute = exchange.first_minute_ns // NS_PER_MINUTE
    for symbol in ("BTCUSDT", "ETHUSDT"):
        rows = list(exchange.truth.trades(symbol))
        heard = [t["data"] for t in ear.told() if t.get("stream") == f"{symbol.lower()}@trade"]
        for place in (minute, minute + 1):
            (candle,) = [one for one in final if one["s"] == symbol and one["t"] == place * 60_000]
            numbers = tuple(Decimal(candle[key]) for key in "ohlcv")
            assert (*numbers, candle["n"]) == from_trades(rows, place)
            value = sum(Decimal(row.price) * Decimal(row.quantity) for row in rows if row.event_ms // 60_000 == place)
            assert Decimal(candle["q"]) == value
            mine = [one for one in heard if one["T"] // 60_000 == place]
            assert (candle["f"], candle["L"], candle["n"]) == (mine[0]["t"], mine[-1]["t"], len(mine))
    running = [told["data"]["k"] for told in ear.told() if told.get("data", {}).get("e") == "kline"]
    assert len(running) > 150


def test_binance_rest_candles_are_the_streams_and_trades_can_be_asked_for():
    exchange = exchange_of("binance_usdm")
    begin = exchange.first_minute_ns // NS_PER_MS
    (_, lines), (_, trades), (_, sums), (_, later), (_, span) = ask(
        exchange,
        f"klines?symbol=BTCUSDT&interval=1m&startTime={begin}&limit=1",
        "trades?symbol=BTCUSDT&limit=1000",
        "aggTrades?symbol=BTCUSDT&fromId=700000010&limit=5",
        "aggTrades?symbol=BTCUSDT&limit=1000",
        f"aggTrades?symbol=BTCUSDT&startTime={begin}&endTime={begin + 9_999}&limit=1000",
        after_s=90.0,
    )
    rows = list(exchange.truth.trades("BTCUSDT"))
    ((_, *texts),) = [line[:6] for line in lines]
    assert (*map(Decimal, texts), lines[0][8]) == from_trades(rows, begin // 60_000)
    ids = [one["id"] for one in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert set(ids) <= {row.id for row in rows}
    assert [one["a"] for one in sums] == list(range(700_000_010, 700_000_015))
    assert later[0]["a"] == 700_000_001
    assert all(second["f"] == first["l"] + 1 for first, second in pairwise(later))
    total = sum(Decimal(one["q"]) for one in later if one["l"] <= rows[-1].id)
    assert total == sum(Decimal(row.quantity) for row in rows if row.id <= later[-1]["l"])
    assert {one["T"] // 10_000 for one in span} == {begin // 10_000}


def test_hyperliquid_candles_are_the_trades():
    exchange = exchange_of("hyperliquid")
    ear = listen(exchange, ("candle",), ("BTC",), 130.0)
    minute = exchange.first_minute_ns // NS_PER_MINUTE
    rows = list(exchange.truth.trades("BTC"))
    newest = {told["data"]["t"] // 60_000: told["data"] for told in ear.told() if told["channel"] == "candle"}
    body = {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": minute * 60_000}}
    body["req"]["endTime"] = (minute + 1) * 60_000
    ((_, asked),) = ask(exchange_of("hyperliquid"), orjson.dumps(body).decode(), after_s=125.0)
    for place, told in ((minute, asked[0]), (minute + 1, asked[1])):
        assert told == newest[place]
        assert (*(Decimal(told[key]) for key in "ohlcv"), told["n"]) == from_trades(rows, place)


def test_listings_and_open_interest():
    ((_, info), (_, interest), (status, wrong)) = ask(
        exchange_of("binance_usdm"), "exchangeInfo", "openInterest?symbol=BTCUSDT", "depth?symbol=XYZ"
    )
    listed = {one["symbol"]: {f["filterType"]: f for f in one["filters"]} for one in info["symbols"]}
    assert listed["BTCUSDT"]["PRICE_FILTER"]["tickSize"] == "0.10"
    assert listed["ETHUSDT"]["LOT_SIZE"]["stepSize"] == "0.001"
    assert Decimal(interest["openInterest"]) > 0
    assert (status, wrong) == (400, {"code": -1121, "msg": "Invalid symbol."})
    ((_, (meta, contexts)), (_, book)) = ask(
        exchange_of("hyperliquid"), '{"type":"metaAndAssetCtxs"}', '{"type":"l2Book","coin":"ETH"}'
    )
    assert [one["name"] for one in meta["universe"]] == ["BTC", "ETH", "SOL"]
    assert meta["universe"][0]["szDecimals"] == 5
    assert all(Decimal(one["openInterest"]) > 0 for one in contexts)
    assert [len(side) for side in book["levels"]] == [20, 20]


# Limits

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
        assert [status for status, _ in answers] == [200, 200] + [429] * 9 + [418] * 3 or answers[2][0] == 429
        assert answers[-1][0] == 418
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
