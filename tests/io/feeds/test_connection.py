"""Stories of one connection: what it tells in which order, when it is cut, how it comes back."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from engine.core.effects import SnapshotNeeded
from engine.core.records import RecordKind
from engine.io.venues import ENDS
from replay.exchange import VirtualLoop
from tests.io.feeds.world import FakeVenue, Told, feeds_of, play, settings


def usdm_quote(symbol: str) -> bytes:
    return b'{"stream":"%b@bookTicker","data":{}}' % symbol.lower().encode()


def test_what_is_carried_is_told_before_it_is_asked_for_and_before_any_frame():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), venue, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(0.05)
        venue.open[0].say(usdm_quote("BTCUSDT"))
        await feeds.stop()

        kinds = [kind for _, kind, _, _ in told.records]
        assert kinds[:2] == [RecordKind.CONNECTION, RecordKind.SUBSCRIPTION]
        assert kinds[2:4] == [RecordKind.FRAME, RecordKind.FRAME]  # the answer, the quote
        assert kinds[-1] == RecordKind.CONNECTION
        (_, source, subscription), *_ = told.of(RecordKind.SUBSCRIPTION)
        assert source == 1
        assert [stream["channel"] for stream in subscription["channels"]] == [
            "aggTrade", "bookTicker", "depth", "markPrice", "forceOrder", "kline_1m", "openInterest",
        ]  # fmt: skip
        asked = venue.links[0].sent[0][1]
        assert asked["params"][2:4] == ["btcusdt@depth@100ms", "btcusdt@markPrice@1s"]
        assert "btcusdt@openInterest" not in asked["params"]

    play(story)


def test_a_peer_that_stops_answering_is_cut_within_five_seconds_over_50_stalls():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), venue, told)
        await feeds.prepare()
        feeds.start()
        took_s = []
        for stall in range(50):
            while not venue.open or not venue.open[-1].subscribed:
                await asyncio.sleep(0.1)
            link = venue.open[-1]
            await asyncio.sleep(0.137 * stall)  # every phase of the pings
            link.say(b'{"channel":"bbo","data":{"coin":"BTC"}}')
            link.dead, stalled_s = True, loop.time()
            while not link.over:
                await asyncio.sleep(0.05)
            took_s.append(loop.time() - stalled_s)
        await feeds.stop()

        assert max(took_s) <= 5.0
        assert len(took_s) == 50
        assert sum("ping" in reason for _, _, reason in told.turns("down")) == 50

    play(story)


@pytest.mark.parametrize("seed", range(5))
def test_an_hour_without_the_venue_is_no_storm_and_it_is_back_soon_after(seed: int):
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), venue, told, seed)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(120)
        venue.refuse, begin = "cannot be reached", len(venue.attempts)
        venue.open[0].end("connection lost")
        await asyncio.sleep(3600)
        tried = venue.attempts[begin:]
        venue.refuse = ""
        returned_s = loop.time()
        while not venue.open:
            await asyncio.sleep(0.1)
        back_s = loop.time() - returned_s
        await feeds.stop()

        assert tried[0] - 120 < 1.0  # the first retry is made at once
        assert len(tried) < 300
        assert all(sum(at <= other < at + 60 for other in tried) <= 30 for at in tried)
        assert back_s < 35

    play(story)


def test_a_venue_that_cannot_be_reached_says_why_once():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), venue, told)
        await feeds.prepare()
        venue.refuse = "its certificate is not to be trusted"
        feeds.start()
        await asyncio.sleep(120)
        venue.refuse, venue.retry_after_s = "the server answered 429", 17.0
        begin = len(venue.attempts)
        await asyncio.sleep(120)
        told_kinds = [
            (host["kind"], host["detail"]["reason"].split(": ")[-1]) for _, _, host in told.of(RecordKind.HOST)
        ]
        assert told_kinds == [
            ("connect_failed", "its certificate is not to be trusted"), ("connect_failed", "the server answered 429"),
        ]  # fmt: skip
        waits = [after - before for before, after in pairwise(venue.attempts[begin + 1 :])]
        assert waits
        assert all(17.0 <= wait <= 17.0 * 1.1 + 0.1 for wait in waits)  # as long as the venue asked for
        link = feeds.status()["connections"][0]
        assert (link["state"], link["since_ns"] > 0) == ("waiting", True)
        assert "429" in link["reason"]
        venue.refuse = ""
        await asyncio.sleep(30)
        assert feeds.status()["connections"][0]["state"] == "up"
        await feeds.stop()

    play(story)


def broken(*_: object) -> bytes:
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize("place", ["key", "answer", "subscribe", "watch"])
def test_a_fault_of_ours_ends_its_link_is_told_and_the_next_one_lives(place: str, monkeypatch: pytest.MonkeyPatch):
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), venue, told, on_crash=told.crashes.append)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(1)
        connection = feeds.venues["binance_usdm"].connections[0]
        with monkeypatch.context() as patch:
            if place == "key":
                patch.setattr(connection, "_key", broken)
                venue.open[0].say(usdm_quote("BTCUSDT"))
            elif place == "answer":
                patch.setattr(ENDS["binance_usdm"], "answer", broken)
                venue.open[0].say({"result": None, "id": 99})
            elif place == "subscribe":
                patch.setattr(ENDS["binance_usdm"], "subscribe", broken)
                connection.renew([("aggTrade", "BTCUSDT")])
            else:
                patch.setattr(connection, "_judge", broken)
            await asyncio.sleep(0.9)
        await asyncio.sleep(20)

        assert {str(error) for error in told.crashes} == {"planted"}
        assert [reason for _, _, reason in told.turns("down")] == ["a fault of ours: ZeroDivisionError: planted"]
        assert len(told.turns("up")) == 2
        assert connection.state == "up"
        assert len(venue.open) == 1
        assert len(venue.open[0].subscribed) == 6
        await feeds.stop()

    play(story)


def test_a_job_beside_the_connections_that_fails_begins_again(monkeypatch: pytest.MonkeyPatch):
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), venue, told, on_crash=told.crashes.append)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(1)
        with monkeypatch.context() as patch:
            patch.setattr(feeds.venues["binance_usdm"].needs, "ask_for_books", broken)
            patch.setattr(feeds.venues["binance_usdm"].rest, "_perform", broken)
            await asyncio.sleep(0.9)
        assert {str(error) for error in told.crashes} == {"planted"}
        count = len(told.crashes)
        begin = len(venue.requests)
        feeds.perform([SnapshotNeeded(1, "binance_usdm", "BTCUSDT", "story")])
        await asyncio.sleep(30)
        assert any("depth" in url for _, url, _ in venue.requests[begin:])
        assert sum("openInterest" in url for _, url, _ in venue.requests[begin:]) >= 2
        assert len(told.crashes) == count
        assert told.turns("down") == []
        await feeds.stop()

    play(story)
