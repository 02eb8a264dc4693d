"""The clock of a live run: what monotonic time has passed, added to a time that was believed once.

A host's wall clock may be set forwards and back; minutes may not. So wall time is read once, at the anchor. From then
on monotonic time is what counts, and the wall clock (or the local exchange's clock, if the run follows one) is only a
reference that is approached by at most 500 millionths: 90 s take two days, and no minute is skipped or repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import orjson

from engine.core.errors import ConfigError, FeedError
from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.core.ports import Clock, Http

SLEW_PPM_MAX = 500
KEEP_EVERY_S = 1.0  # between two looks at the reference
READS = 5  # of an exchange's clock; the quickest answer counts

# With a suspended or migrated machine the boot clock goes on, which the monotonic one need not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic_ns() -> int:
    """Nanoseconds since some fixed instant; never steps."""
    return time.clock_gettime_ns(_CLOCK)


class AnchoredClock:
    """engine.core.ports.Clock over a monotonic clock.

    speed: of this clock over the monotonic one. on_step: told the size in ms whenever the reference has moved by more
    than step_ms_max since the last look; this clock does not move with it.
    """

    def __init__(
        self,
        anchor_ns: int,
        speed: float = 1.0,
        *,
        step_ms_max: int = 250,
        on_step: Callable[[int], None] = lambda step_ms: None,
        monotonic_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        if not 0 < speed <= 100_000:
            raise ConfigError(f"clock: speed {speed} is not within 0 to 100000; correct the exchange's clock")
        self.speed, self.step_ms_max, self.on_step = speed, step_ms_max, on_step
        self.slew_ppm, self.steps, self.error_ns = 0, 0, 0
        self._monotonic_ns = monotonic_ns
        self._anchor_ns, self._since_ns = anchor_ns, monotonic_ns()
        self._scaled = speed != 1.0

    def now_ns(self) -> int:
        passed_ns = self._monotonic_ns() - self._since_ns
        if self._scaled:
            passed_ns = int(passed_ns * self.speed)
        return self._anchor_ns + passed_ns + passed_ns * self.slew_ppm // 1_000_000

    def seconds(self, span_s: float) -> float:
        return span_s / self.speed

    def approach(self, reference_ns: int) -> None:
        """Compare with the reference, tell a step of it, and lean towards it until the next comparison."""
        now_ns = self.now_ns()
        before_ns, self.error_ns = self.error_ns, reference_ns - now_ns
        # Rebase: what was leant so far is kept, and rounding cannot add up.
        self._anchor_ns, self._since_ns = now_ns, self._monotonic_ns()
        step_ms = (self.error_ns - before_ns) // NS_PER_MS
        if abs(step_ms) > self.step_ms_max:
            self.steps += 1
            self.on_step(step_ms)
        ppm = self.error_ns * 1_000_000 // int(KEEP_EVERY_S * self.speed * NS_PER_S)
        self.slew_ppm = max(-SLEW_PPM_MAX, min(SLEW_PPM_MAX, ppm))

    async def keep(self, reference_ns: Callable[[], Awaitable[int]]) -> None:
        """Approach the reference for ever. A reference that cannot be read is tried again; time goes on without it."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            try:
                self.approach(await reference_ns())
            except FeedError:
                continue

    def status(self) -> dict[str, float | int]:
        """host_offset_ms: this clock less its reference at the last look."""
        return {"host_offset_ms": -self.error_ns / NS_PER_MS, "slew_ppm": self.slew_ppm, "steps": self.steps}


async def host_ns() -> int:
    """The host's wall clock, as a reference."""
    return time.time_ns()


class ExchangeTime:
    """The clock of a local exchange as a reference: `GET /clock` -> {"venue_ns", "speed"}."""

    def __init__(self, http: Http, url: str, timeout_s: float = 2.0) -> None:
        self._http, self._url, self._timeout_s = http, url.rstrip("/") + "/clock", timeout_s

    async def read(self, readings: int = 1) -> tuple[int, float]:
        """(its time now, its speed), from the quickest of some answers. Raises FeedError."""
        best: tuple[int, int, int, float] | None = None
        for _ in range(readings):
            asked_ns = monotonic_ns()
            status, _, body = await self._http.request("GET", self._url, None, self._timeout_s)
            answered_ns = monotonic_ns()
            venue_ns, speed = _told(self._url, status, body)
            reading = (answered_ns - asked_ns, (asked_ns + answered_ns) // 2, venue_ns, speed)
            best = reading if best is None or reading < best else best
        assert best is not None
        _, middle_ns, venue_ns, speed = best
        return venue_ns + int((monotonic_ns() - middle_ns) * speed), speed

    async def reference_ns(self) -> int:
        return (await self.read())[0]


def _told(url: str, status: int, body: bytes) -> tuple[int, float]:
    try:
        told = orjson.loads(body)
        venue_ns, speed = told["venue_ns"], float(told["speed"])
        if status == 200 and type(venue_ns) is int and venue_ns > 0 and 0 < speed <= 100_000:
            return venue_ns, speed
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        pass
    raise FeedError(
        f"clock {url}: expected venue_ns and speed, found status {status} and {body[:80]!r}; "
        "set time.source to `host` or to the address of a local exchange"
    )


async def open_clock(
    source: str, step_ms_max: int, http: Http, on_step: Callable[[int], None]
) -> tuple[AnchoredClock, Callable[[], Awaitable[int]]]:
    """The clock of a run and the reference to keep it by. source: `host`, or the address of a local exchange.

    Raises ConfigError if that exchange does not tell the time.
    """
    if source == "host":
        return AnchoredClock(time.time_ns(), step_ms_max=step_ms_max, on_step=on_step), host_ns
    exchange = ExchangeTime(http, source)
    try:
        venue_ns, speed = await exchange.read(READS)
    except FeedError as error:
        raise ConfigError(f"time.source: {error}") from error
    # Its clock runs `speed` times as fast, and so do the errors of reading it.
    allowed_ms = int(step_ms_max * max(1.0, speed))
    return AnchoredClock(venue_ns, speed, step_ms_max=allowed_ms, on_step=on_step), exchange.reference_ns


__all__ = ["AnchoredClock", "Clock", "ExchangeTime", "host_ns", "monotonic_ns", "open_clock"]
