"""The expected-rate model: quiet is not broken, broken is not quiet."""

from __future__ import annotations

import asyncio
import random

from engine.core.minutes import NS_PER_S
from engine.core.records import RecordKind
from engine.io.feeds.silence import Heard, Silence
from engine.io.venues import ENDS
from replay.exchange import VirtualLoop
from tests.io.feeds.world import FakeVenue, Told, feeds_of, play, settings

LOOK_S = 0.25
HL = ENDS["hyperliquid"]


class Market:
    """Streams that speak at random, and the model that looks at them. rates_hz: of each stream; 0: it is mute."""

    def __init__(self, rates_hz: dict[tuple[str, str], float], copies: int = 1, seed: int = 1) -> None:
        self.model, self.rng, self.now_ns = Silence(HL), random.Random(seed), NS_PER_S
        self.rates_hz = [dict(rates_hz) for _ in range(copies)]
        self.heard = [{name: Heard(*name, self.now_ns) for name in rates_hz} for _ in range(copies)]
        for streams in self.heard:
            for heard in streams.values():
                heard.on = True

    def live(self, seconds: float) -> list[tuple[float, str, str, bool]]:
        """(seconds since now, channel, symbol, whether it is silent) of every change."""
        changes, began_ns = [], self.now_ns
        for _ in range(int(seconds / LOOK_S)):
            for streams, rates_hz in zip(self.heard, self.rates_hz, strict=True):
                for name, heard in streams.items():
                    for _ in range(100):
                        if self.rng.random() < rates_hz[name] * LOOK_S / 100:
                            heard.count += 1
                            heard.heard_ns = self.now_ns
            self.now_ns += int(LOOK_S * NS_PER_S)
            for heard in self.model.look(self.now_ns, [streams.values() for streams in self.heard], 0):
                changes.append(((self.now_ns - began_ns) / NS_PER_S, heard.channel, heard.symbol, heard.silent_ns > 0))
        return changes

    def set(self, rate_hz: float, *names: tuple[str, str], copy: int = 0) -> None:
        for name in names:
            self.rates_hz[copy][name] = rate_hz


MAJOR, THIN = ("trades", "BTC"), ("trades", "KNC")


def test_a_thin_symbol_may_be_silent_for_hours_and_a_major_one_may_not():
    market = Market({MAJOR: 5.0, ("trades", "ETH"): 4.0, THIN: 0.01, ("l2Book", "BTC"): 10.0})
    assert market.live(1200) == []
    market.set(0.0, THIN)
    assert market.live(1500) == []
    market.set(0.0, MAJOR)
    ((after_s, *what),) = market.live(60)
    assert what == [*MAJOR, True]
    assert after_s <= 20
    market.set(5.0, MAJOR)
    ((after_s, *what),) = market.live(60)
    assert what == [*MAJOR, False]
    assert after_s <= 2


def test_a_market_that_slows_down_as_a_whole_is_quiet_and_not_broken():
    names = [("trades", f"C{number}") for number in range(20)]
    market = Market({name: 2.0 for name in names})
    market.live(600)
    for rate_hz in (0.5, 0.25):
        market.set(rate_hz, *names)
        assert market.live(300) == []


def test_a_channel_that_stops_for_all_symbols_is_noticed_all_the_same():
    names = [("trades", f"C{number}") for number in range(5)]
    market = Market({**{name: 2.0 for name in names}, ("bbo", "C0"): 5.0})
    market.live(600)
    market.set(0.0, *names)
    changes = market.live(120)
    assert {(channel, symbol) for _, channel, symbol, silent in changes if silent} == set(names)


def test_a_channel_without_pause_is_missed_within_seconds():
    market = Market({("l2Book", "BTC"): 20.0, MAJOR: 0.5})
    market.live(300)
    market.set(0.0, ("l2Book", "BTC"))
    ((after_s, *what),) = market.live(30)
    assert what == ["l2Book", "BTC", True]
    assert 4.5 <= after_s <= 6.0


def test_what_the_twin_hears_is_missed_here_however_thin_it_is():
    market = Market({THIN: 0.5, MAJOR: 5.0}, copies=2)
    market.live(300)
    market.set(0.0, MAJOR)
    ((after_s, *what),) = market.live(10)
    assert what == [*MAJOR, True]
    assert after_s <= 4.0
    market.set(5.0, MAJOR)
    market.live(5)
    market.set(0.0, THIN)
    ((after_s, *what),) = market.live(60)
    assert what == [*THIN, True]


def test_a_stream_that_pauses_often_is_given_the_time_it_usually_takes():
    market = Market({("bbo", "BTC"): 3.0, MAJOR: 5.0})
    for _ in range(4):  # 20 s of nothing every two minutes: whoever believed in the mean alone would cry each time
        market.live(100)
        market.set(0.0, ("bbo", "BTC"))
        market.live(14)
        market.set(3.0, ("bbo", "BTC"))
    assert market.live(60) == []
    market.set(0.0, ("bbo", "BTC"))
    assert market.live(30) == []
    assert [what[1:] for what in market.live(30)] == [("bbo", "BTC", True)]


def test_a_burst_does_not_make_the_quiet_behind_it_suspicious():
    """One message a second, twenty for twenty seconds, then none for 15 s: with the usual rate 15 are missing, too few
    to tell; with what the burst would teach (2.3 a second) it would be 35."""
    model, heard = Silence(HL), Heard(*MAJOR, NS_PER_S)
    heard.on = True

    def live(begin: int, end: int, messages: int) -> list[Heard]:
        changes = []
        for second in range(begin, end):
            if messages:
                heard.count += messages
                heard.heard_ns = second * NS_PER_S
            changes += model.look(second * NS_PER_S, [[heard]], 0)
        return changes

    assert live(2, 600, 1) == []
    assert live(600, 620, 20) == []
    assert live(620, 635, 0) == []


def test_a_stall_of_our_own_is_not_theirs():
    market = Market({("l2Book", "BTC"): 20.0, MAJOR: 5.0})
    market.live(300)
    market.now_ns += 40 * NS_PER_S  # nobody read the sockets
    assert market.live(60) == []


def test_a_silent_stream_is_told_subscribed_again_and_told_when_it_is_back():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC", "ETH"], channels=["trades", "l2Book"]), venue, told)
        await feeds.prepare()
        feeds.start()
        mute: set[str] = set()

        async def talk() -> None:
            while True:
                for link in venue.open:
                    for name in sorted(link.subscribed - mute):
                        channel, coin = name.split()
                        link.say(b'{"channel":"%b","data":{"coin":"%b"}}' % (channel.encode(), coin.encode()))
                await asyncio.sleep(0.3)

        talking = asyncio.ensure_future(talk())
        await asyncio.sleep(120)
        assert told.of(RecordKind.STREAM) == []
        (link,) = venue.open
        before, muted_s = len(link.sent), loop.time()
        mute.add("l2Book ETH")
        await asyncio.sleep(60)
        assert feeds.status()["connections"][0]["silent"] == ["l2Book ETH"]
        mute.clear()
        await asyncio.sleep(5)
        (silent_s, _, silent), (_, source, back) = told.of(RecordKind.STREAM)
        assert silent["state"], back["state"] == ("silent", "back")
        assert (silent["channel"], silent["symbol"], source) == ("l2Book", "ETH", 1)
        assert 5.0 <= silent_s - muted_s <= 6.0
        assert abs(silent["since_ns"] - venue.clock.origin_ns - muted_s * NS_PER_S) < NS_PER_S
        renewed = [
            (at_s - muted_s, message["method"])
            for at_s, message in link.sent[before:]
            if message.get("subscription") == {"type": "l2Book", "coin": "ETH"}
        ]
        assert [method for _, method in renewed] == ["unsubscribe", "subscribe"] * 3  # at once, 10 s, 30 s
        assert not link.over
        assert feeds.status()["connections"][0]["silent"] == []
        talking.cancel()
        await feeds.stop()

    play(story)


def test_a_connection_on_which_nothing_comes_though_it_answers_pings_is_renewed():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), venue, told)
        await feeds.prepare()
        feeds.start()

        async def talk() -> None:
            while True:
                if len(venue.links) > 1 or loop.time() < 60:
                    for link in venue.open:
                        link.say(b'{"channel":"l2Book","data":{"coin":"BTC"}}')
                await asyncio.sleep(0.1)

        talking = asyncio.ensure_future(talk())
        await asyncio.sleep(120)
        ((down_s, _, reason),) = told.turns("down")
        assert reason.startswith("nothing came for 4.")
        assert down_s - 60 <= 5.0
        talking.cancel()
        await feeds.stop()

    play(story)


def test_a_connection_that_sends_rubbish_is_renewed_and_a_little_rubbish_is_borne():
    async def story(loop: VirtualLoop) -> None:
        venue, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), venue, told)
        await feeds.prepare()
        feeds.start()
        await asyncio.sleep(1)
        for number in range(2000):
            rubbish = number % 200 == 0 or number > 1500
            if venue.open:
                venue.open[0].say(b'{"channel":"bbo","da' if rubbish else b'{"channel":"bbo","data":{"coin":"BTC"}}')
            await asyncio.sleep(0.05)
        ((down_s, _, reason), *_) = told.turns("down")
        assert "malformed" in reason
        assert 75 < down_s < 90
        assert sum(1 for *_, payload in told.of(RecordKind.FRAME) if payload.endswith(b'"da')) > 100  # all journaled
        await feeds.stop()

    play(story)
