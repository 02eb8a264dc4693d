"""Stories of a venue's lines: who carries what, who is parked, and how a connection is left before its time is up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest

from engine.core.effects import SnapshotNeeded
from engine.core.records import RecordKind
from engine.io.venues import ENDS
from replay.exchange import VirtualLoop
from tests.io.feeds.world import FakeVenue, Told, feeds_of, play, settings, wanted

# --- who carries what -------------------------------------------------------------------------------------------------


def test_streams_are_spread_within_the_limits_of_the_venue():
    """150 symbols of 6 streams are 900: 28 symbols (with the polled channel) fit a connection of 200."""

    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        symbols = [f"S{number:03d}USDT" for number in range(150)]
        feeds = feeds_of(settings("binance_usdm", symbols), fake, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(4)
        limits = ENDS["binance_usdm"].limits
        assert len(fake.open) == 6
        assert sum(len(link.subscribed) for link in fake.open) == 900
        for link in fake.open:
            assert len(link.subscribed) <= limits.streams
            assert all(len(message["params"]) <= limits.batch for _, message in link.sent)
            times = [at_s for at_s, _ in link.sent]
            assert all(sum(at <= other < at + limits.messages_s for other in times) <= limits.messages for at in times)
        assert {source for _, source, _ in told.turns("up")} == {1, 3, 5, 7, 9, 11}
        await feeds.stop()

    play(story)


def test_hyperliquid_takes_one_stream_a_message_and_not_too_many_in_a_minute():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC", "ETH", "SOL"], connections_each=2), fake, told)
        await feeds.prepare()
        feeds.start()
        for _ in range(60):  # every reconnect asks for 30 streams
            await asyncio.sleep(2)
            for link in fake.open:
                link.end("connection lost")
        await feeds.stop()
        sent = sorted(at_s for link in fake.links for at_s, told in link.sent if told["method"] == "subscribe")
        assert len(sent) > 400
        assert all(sum(at <= other < at + 60 for other in sent) <= 1500 for at in sent[::50])
        assert all(sum(at <= other < at + 60 for other in fake.attempts) <= 30 for at in fake.attempts)

    play(story)


def test_two_connections_carry_the_same_and_one_lives_on():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"], connections_each=2), fake, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(1)
        first, second = fake.open
        assert first.subscribed == second.subscribed != set()
        first.end("connection reset")
        await asyncio.sleep(1)
        assert not second.over
        assert len(fake.open) == 2
        assert [(source, reason) for _, source, reason in told.turns("down")] == [(1, "connection reset")]
        await feeds.stop()

    play(story)


def test_what_is_asked_before_the_start_is_not_asked():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), fake, told)
        await feeds.prepare()
        asked = len(fake.requests)
        feeds.perform([SnapshotNeeded(0, "binance_usdm", "BTCUSDT", "subscribed")])
        feeds.start({"binance_usdm": wanted("binance_usdm", ["ETHUSDT"])})
        await asyncio.sleep(1)
        assert not any("/depth" in url for _, url, _ in fake.requests[asked:])
        assert {one["symbol"] for one in told.of(RecordKind.SUBSCRIPTION)[0][2]["channels"]} == {"ETHUSDT"}
        await feeds.stop()

    play(story)


def test_symbols_come_and_go_while_others_are_left_alone():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT", "ETHUSDT"]), fake, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(1)
        (link,) = fake.open
        before, number = len(link.sent), len(told.records)
        feeds.perform([wanted("binance_usdm", ["BTCUSDT", "SOLUSDT", "NOSUCH"], ["BTCUSDT"])])
        await asyncio.sleep(1)

        kinds = [kind for _, kind, _, _ in told.records[number:]]
        assert kinds[:3] == [RecordKind.INSTRUMENT, RecordKind.HOST, RecordKind.SUBSCRIPTION]
        ((_, _, instrument),) = told.of(RecordKind.INSTRUMENT)
        assert (instrument["symbol"], instrument["quantity_decimals"]) == ("SOLUSDT", 3)
        assert told.of(RecordKind.HOST)[0][2]["kind"] == "symbol_not_carried"
        off, on = (message for _, message in link.sent[before:])
        assert off["method"] == "UNSUBSCRIBE"
        assert set(off["params"]) >= {"btcusdt@depth@100ms", "ethusdt@aggTrade", "ethusdt@bookTicker"}
        assert "btcusdt@aggTrade" not in off["params"]
        assert on["method"] == "SUBSCRIBE"
        assert all(name.startswith("solusdt@") for name in on["params"])
        assert link.subscribed == {
            "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@markPrice@1s", "btcusdt@forceOrder", "btcusdt@kline_1m",
            *on["params"],
        }  # fmt: skip
        last = told.of(RecordKind.SUBSCRIPTION)[-1][2]["channels"]
        assert ("depth", "BTCUSDT") not in {(one["channel"], one["symbol"]) for one in last}
        assert not link.over
        await feeds.stop()

    play(story)


@pytest.mark.parametrize(
    ("venue", "good", "bad"), [("hyperliquid", "BTC", "ETH"), ("binance_usdm", "BTCUSDT", "ETHUSDT")]
)
def test_a_refused_symbol_is_parked_for_an_hour_and_nobody_else_notices(venue: str, good: str, bad: str):
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        fake.unknown = {bad} | {f"{bad.lower()}@{name}" for name in ("aggTrade", "bookTicker", "depth@100ms")}
        feeds = feeds_of(settings(venue, [good, bad]), fake, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(5)
        (link,) = fake.open
        refused = [turn for _, _, turn in told.of(RecordKind.STREAM) if turn["state"] == "refused"]
        assert {turn["symbol"] for turn in refused} == {bad}
        assert feeds.status()["parked"] == {venue: [bad]}
        last = told.of(RecordKind.SUBSCRIPTION)[-1][2]["channels"]
        assert {one["symbol"] for one in last} == {good}
        assert sum(good.lower() in name.lower() for name in link.subscribed) >= 5
        fake.unknown = set()
        await asyncio.sleep(3600)
        assert feeds.status()["parked"] == {venue: []}
        assert any(bad.lower() in name.lower() for name in fake.open[0].subscribed)
        assert not link.over
        await feeds.stop()

    play(story)


def test_a_symbol_that_is_no_longer_wanted_does_not_come_back_from_the_park():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        fake.unknown = {"ETH"}
        feeds = feeds_of(settings("hyperliquid", ["BTC", "ETH"]), fake, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(5)
        feeds.perform([wanted("hyperliquid", ["BTC", "SOL"])])
        fake.unknown = set()
        await asyncio.sleep(3700)
        assert {name.split()[1] for name in fake.open[0].subscribed} == {"BTC", "SOL"}
        await feeds.stop()

    play(story)


# --- how a connection is left -----------------------------------------------------------------------------------------


def quote(symbol: str, number: int) -> bytes:
    return b'{"stream":"%b@bookTicker","data":{"u":%d}}' % (symbol.lower().encode(), number)


def speak(fake: FakeVenue, loop: VirtualLoop, every_s: float) -> asyncio.Task[None]:
    """The venue says consecutive numbers to whoever is subscribed."""

    async def talk() -> None:
        number = 0
        while True:
            for link in fake.open:
                if "btcusdt@bookTicker" in link.subscribed:
                    link.say(quote("BTCUSDT", number))
            number += 1
            await asyncio.sleep(every_s)

    return loop.create_task(talk())


@pytest.mark.parametrize("cause", ["lifetime", "serverShutdown"])
def test_a_connection_is_left_before_the_venue_ends_it_and_no_message_is_lost(
    cause: str, monkeypatch: pytest.MonkeyPatch
):
    end = ENDS["binance_usdm"]
    monkeypatch.setattr(type(end), "limits", replace(end.limits, lifetime_s=600.0))

    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), fake, told)
        await feeds.prepare()
        feeds.start()
        talk = speak(fake, loop, 0.05)
        await asyncio.sleep(100)
        if cause == "serverShutdown":
            fake.open[0].say({"event": {"e": "serverShutdown", "E": 1}})
        await asyncio.sleep(50 if cause == "serverShutdown" else 520)
        talk.cancel()
        await feeds.stop()

        (first_up, second_up), (first_down, _) = told.turns("up"), told.turns("down")
        assert (first_up[1], second_up[1]) == (1, 2)
        assert first_down[1:] == (1, "planned: its successor carries on")
        assert 10.0 <= first_down[0] - second_up[0] < 13.0
        if cause == "lifetime":
            assert 540 <= second_up[0] - first_up[0] <= 590
        numbers = sorted(
            {
                orjson.loads(payload)["data"]["u"]
                for _, _, payload in told.of(RecordKind.FRAME)
                if b"bookTicker" in payload
            }
        )
        assert all(after == before + 1 for before, after in pairwise(numbers))
        assert len(numbers) > 2500

    play(story)


def test_a_successor_that_is_not_heard_does_not_replace_anything():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), fake, told)
        await feeds.prepare()
        feeds.start()
        talk = speak(fake, loop, 0.05)
        await asyncio.sleep(5)
        (link,) = fake.open
        fake.refuse = "cannot be reached"
        link.say({"event": {"e": "serverShutdown", "E": 1}})
        await asyncio.sleep(60)
        assert not link.over
        fake.refuse = ""
        await asyncio.sleep(60)
        assert link.over
        assert len(fake.open) == 1
        talk.cancel()
        await feeds.stop()

    play(story)


def test_while_reading_is_paused_nothing_is_cut_or_called_silent():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"], channels=["bookTicker"]), fake, told)
        await feeds.prepare()
        feeds.start()
        talk = speak(fake, loop, 0.05)
        await asyncio.sleep(60)
        talk.cancel()
        (link,) = fake.open
        feeds.pause(True)
        link.dead = True  # so it looks from here
        await asyncio.sleep(60)
        link.dead = False
        feeds.pause(False)
        talk = speak(fake, loop, 0.05)
        await asyncio.sleep(30)
        talk.cancel()
        assert not link.over
        assert told.of(RecordKind.STREAM) == []
        await feeds.stop()

    play(story)


def test_without_room_in_the_journal_a_link_ends_and_is_tried_again():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"], channels=["bookTicker"]), fake, told)
        await feeds.prepare()
        feeds.start()
        talk = speak(fake, loop, 0.05)
        await asyncio.sleep(10)
        told.full = True
        await asyncio.sleep(60)
        assert told.of(RecordKind.FRAME)[-1][0] < 10.1
        downs = told.turns("down")
        assert {reason for _, _, reason in downs} == {"the journal has no room for what it says"}
        assert 2 <= len(downs) <= 30
        told.full = False
        await asyncio.sleep(40)
        assert told.of(RecordKind.FRAME)[-1][0] > 109
        assert len(fake.open) == 1
        talk.cancel()
        await feeds.stop()

    play(story)
