"""How often something may be done: so many times in any span, and how long to wait after a failure."""

from __future__ import annotations

import asyncio
import random
from collections import deque

from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock

RETRY_AFTER_MOST_S = 3 * 86_400.0  # the longest ban that a venue speaks of


class Allowance:
    """At most `count` in any `span_s` of the run's clock. Several may wait; they are served in turn."""

    def __init__(self, count: int, span_s: float, clock: Clock) -> None:
        self._count, self._span_ns, self._clock = count, int(span_s * NS_PER_S), clock
        self._taken: deque[int] = deque()
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Wait until one more is allowed, and take it."""
        async with self._turn:
            while len(self._taken) >= self._count:
                left_ns = self._taken[0] + self._span_ns - self._clock.now_ns()
                if left_ns <= 0:
                    self._taken.popleft()
                else:
                    await asyncio.sleep(self._clock.seconds(left_ns / NS_PER_S + 0.001))
            self._taken.append(self._clock.now_ns())


class Backoff:
    """Waits between attempts: none before the second, then anything up to least * 2^n, at most `most` (full jitter)."""

    def __init__(self, least_s: float, most_s: float, rng: random.Random) -> None:
        self._least_s, self._most_s, self._rng = least_s, most_s, rng
        self.failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The wait before the next attempt. at_least_s: what the venue asked for; jitter comes on top of it."""
        self.failures += 1
        if at_least_s > 0:
            return at_least_s * (1.0 + 0.1 * self._rng.random())
        if self.failures == 1:
            return 0.0
        # 2^40 is more than any limit, and an exponent without bounds overflows after a day.
        return self._rng.uniform(0.0, min(self._most_s, self._least_s * 2 ** min(self.failures - 2, 40)))

    def reset(self) -> None:
        self.failures = 0


def retry_after_s(text: str) -> float:
    """Seconds that a Retry-After header asks for; 0.0 for what is none, as a date or an instant in their place."""
    said_s = float(text) if text.isascii() and text.isdigit() else 0.0
    return said_s if said_s <= RETRY_AFTER_MOST_S else 0.0
