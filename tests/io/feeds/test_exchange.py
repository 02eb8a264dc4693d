"""The feeds against the local exchange: everything it says is heard, and nobody cries wolf."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest

from config.schema import Config
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordKind
from engine.io.feeds import Feeds
from replay.exchange import Exchange, VirtualClock, VirtualLoop, memory_front, read_plan, simulated
from replay.simulate import Market
from tests.io.feeds.world import Told

MINUTES = 3


def live(venue: str, symbols: list[str], plan: str = "", **more: Any) -> tuple[Told, Exchange, dict[str, Any]]:
    """A market from before its first minute to the end; what was told, what was true, and the status at the end."""
    market = Market(
        seed=5, minutes=MINUTES, symbols=3, venue="hyperliquid" if venue == "hyperliquid" else "binance_usdm"
    )
    exchange = Exchange(simulated(market, venue), read_plan(plan))
    loop = VirtualLoop()
    clock = VirtualClock(loop, exchange.now_ns)
    told = Told(loop)
    status: dict[str, Any] = {}
    path = "ws" if venue == "hyperliquid" else "stream"
    address = {"ws_url": f"ws://{venue}/{path}", "rest_url": f"http://{venue}"}

    def crash(error: Exception) -> None:
        raise AssertionError(error)

    async def story() -> None:
        front = memory_front(exchange, clock=clock)
        config = Config.model_validate({"venues": {venue: {"enabled": True, "symbols": symbols, **address, **more}}})
        feeds = Feeds(
            config, append=told.append, clock=clock, transport=front, http=front, rng=random.Random(3), on_crash=crash
        )  # fmt: skip
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep((exchange.first_minute_ns - exchange.source.start_ns) / NS_PER_S + 60 * MINUTES)
        status.update(feeds.status())
        await feeds.stop()

    loop.run_until_complete(story())
    loop.close()
    return told, exchange, status


def trade_ids(told: Told, venue: str, symbol: str) -> set[int]:
    found = set()
    for _, _, payload in told.of(RecordKind.FRAME):
        if not payload.startswith(b"{"):  # the greeting
            continue
        frame = orjson.loads(payload)
        if venue == "hyperliquid" and frame.get("channel") == "trades":
            found |= {trade["tid"] for trade in frame["data"] if trade["coin"] == symbol}
        elif frame.get("stream", "").startswith(f"{symbol.lower()}@aggTrade"):
            found |= set(range(frame["data"]["f"], frame["data"]["l"] + 1))
    return found


@pytest.mark.parametrize(
    ("venue", "symbols"),
    [("hyperliquid", ["BTC", "ETH", "SOL"]), ("binance_usdm", ["BTCUSDT", "SOLUSDT"]), ("binance_spot", ["BTCUSDT"])],
)
def test_every_trade_of_a_calm_venue_is_heard_and_nothing_is_called_silent(venue: str, symbols: list[str]):
    told, exchange, status = live(venue, symbols)

    begin_ns = exchange.first_minute_ns
    for symbol in symbols:
        true = {
            trade.id
            for trade in exchange.truth.trades(symbol)
            if begin_ns <= trade.event_ms * 1_000_000 < begin_ns + 60 * (MINUTES - 0.1) * NS_PER_S
        }
        assert true
        assert true <= trade_ids(told, venue, symbol)
    assert told.of(RecordKind.STREAM) == []
    assert [told for _, _, told in told.of(RecordKind.HOST)] == []
    assert [reason for _, _, reason in told.turns("down")] == ["stopped"]
    (link,) = status["connections"]
    assert (link["state"], link["reconnects"], link["silent"]) == ("up", 0, [])


@pytest.mark.parametrize(("venue", "symbol"), [("hyperliquid", "BTC"), ("binance_usdm", "BTCUSDT")])
def test_a_lost_connection_is_back_within_seconds(venue: str, symbol: str):
    told, exchange, status = live(venue, [symbol], '[[fault]]\nkind = "disconnect"\nat_s = 70\nhow = "reset"\n')

    lost_s = (exchange.first_minute_ns - exchange.source.start_ns) / NS_PER_S + 70
    (down_s, source, _), _ = told.turns("down")
    (_, (up_s, again, _)) = told.turns("up")
    assert lost_s < down_s < lost_s + 1
    assert up_s - down_s < 3
    assert source == again == 1
    heard = [at_s for at_s, _, payload in told.of(RecordKind.FRAME) if at_s > up_s and symbol.encode() in payload]
    assert heard[0] - down_s < 3
    assert status["connections"][0]["reconnects"] == 1
