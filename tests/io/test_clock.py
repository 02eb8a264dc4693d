"""The clock of a run under a host whose clock is set: no minute is skipped, none comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from config.errors import ConfigError
from engine.core.errors import FeedError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.io.clock import SLEW_PPM_MAX, AnchoredClock, ExchangeTime, monotonic_ns, open_clock

NOON_NS = 1_736_164_800 * NS_PER_S
HOUR_S = 3600


class Host:
    """A monotonic clock and a wall clock that somebody sets."""

    def __init__(self) -> None:
        self.passed_ns, self.wall_ns = 7 * NS_PER_S, NOON_NS
        self.steps: list[int] = []
        self.clock = AnchoredClock(
            NOON_NS, step_ms_max=250, on_step=self.steps.append, monotonic_ns=lambda: self.passed_ns
        )

    def live(self, seconds: float, ppm: int = 0) -> list[int]:
        """Let time pass; the clock looks at the wall once a second. Returns what it said every 100 ms."""
        said = []
        for tenth in range(int(seconds * 10)):
            self.passed_ns += NS_PER_S // 10
            self.wall_ns += NS_PER_S // 10 + ppm * 100
            if tenth % 10 == 9:
                self.clock.approach(self.wall_ns)
            said.append(self.clock.now_ns())
        return said


@pytest.mark.parametrize("step_s", [90, -90, -HOUR_S, HOUR_S])
def test_a_step_of_the_host_clock_is_told_and_no_minute_is_skipped_or_repeated(step_s: int):
    host = Host()
    said = host.live(120)
    host.wall_ns += step_s * NS_PER_S
    said += host.live(630)

    closed = [at_ns // NS_PER_MINUTE for at_ns in said]
    assert sorted(set(closed)) == list(range(closed[0], closed[0] + 13))  # all that 750 s touch
    assert closed == sorted(closed)
    assert host.steps == [step_s * 1000]
    gained_ns = said[-1] - said[0] - 749_900 * NS_PER_MS
    assert abs(gained_ns) <= 630 * NS_PER_S * SLEW_PPM_MAX // 1_000_000
    assert host.clock.status()["steps"] == 1


def test_it_follows_a_host_clock_that_is_disciplined():
    host = Host()
    host.live(600, ppm=40)

    assert host.steps == []
    assert abs(host.clock.now_ns() - host.wall_ns) < NS_PER_MS
    assert host.clock.status()["slew_ppm"] == 40


def test_a_small_step_is_approached_without_a_word():
    host = Host()
    host.live(10)
    host.wall_ns += 200 * NS_PER_MS
    host.live(300)
    assert 40 * NS_PER_MS < host.wall_ns - host.clock.now_ns() < 60 * NS_PER_MS  # 500 millionths of 300 s are 150 ms
    host.live(300)

    assert host.steps == []
    assert abs(host.clock.now_ns() - host.wall_ns) < NS_PER_MS


def test_a_faster_clock_makes_waits_shorter():
    passed = [0]
    clock = AnchoredClock(NOON_NS, 60.0, monotonic_ns=lambda: passed[0])
    passed[0] = NS_PER_S

    assert clock.now_ns() == NOON_NS + NS_PER_MINUTE
    assert clock.seconds(30.0) == 0.5


class Exchange:
    """engine.core.ports.Http that answers `GET /clock`."""

    def __init__(self, body: bytes = b"", status: int = 200) -> None:
        self.body, self.status = body, status

    async def request(
        self, method: str, url: str, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        assert (method, url) == ("GET", "http://127.0.0.1:1/clock")
        if not self.body:
            raise FeedError("nobody there")
        return self.status, {}, self.body


def test_the_clock_of_an_exchange_is_followed():
    told: list[int] = []

    async def story() -> None:
        http = Exchange(b'{"venue_ns":%d,"speed":60.0}' % NOON_NS)
        clock, reference_ns = await open_clock("http://127.0.0.1:1/", 250, http, told.append)
        before_ns, since_ns = clock.now_ns(), monotonic_ns()
        await asyncio.sleep(0.01)
        passed_ns = monotonic_ns() - since_ns
        assert NOON_NS <= before_ns < NOON_NS + 60 * 5 * NS_PER_S
        assert abs(clock.now_ns() - before_ns - 60 * passed_ns) < 60 * NS_PER_S
        assert clock.seconds(60.0) == 1.0
        assert await reference_ns() >= NOON_NS

    asyncio.run(story())
    assert told == []


@pytest.mark.parametrize(
    "http", [Exchange(), Exchange(b"<html>"), Exchange(b'{"venue_ns":1}'), Exchange(b'{"venue_ns":1,"speed":1}', 500)]
)
def test_an_exchange_that_does_not_tell_the_time_is_one_sentence(http: Exchange):
    with pytest.raises(ConfigError, match=r"^time\.source: "):
        asyncio.run(open_clock("http://127.0.0.1:1", 250, http, lambda step_ms: None))


def test_a_reference_that_cannot_be_read_is_tried_again():
    class EnoughError(Exception):
        pass

    asked = []

    async def reference_ns() -> int:
        asked.append(1)
        if len(asked) == 1:
            return await ExchangeTime(Exchange(), "http://127.0.0.1:1").reference_ns()
        raise EnoughError

    with pytest.raises(EnoughError):
        asyncio.run(AnchoredClock(NOON_NS, 1000.0).keep(reference_ns))
    assert len(asked) == 2
