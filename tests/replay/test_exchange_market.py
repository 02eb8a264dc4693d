"""Books, candles, listings and trades of the exchange agree with each other and with the market behind them."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from tests.replay.exchange_client import BINANCE, REST, URLS, Ear, ask, exchange_of, listen, play, subscriptions

# --- books ------------------------------------------------------------------------------------------------------------


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


# --- candles and trades -----------------------------------------------------------------------------------------------


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


# --- listings ---------------------------------------------------------------------------------------------------------


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
