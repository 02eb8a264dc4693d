"""A job of ours that must not end: if it fails, that is told, and it begins again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from engine.core.ports import Clock
from engine.io.feeds.pace import Backoff

AGAIN_LEAST_S, AGAIN_MOST_S = 1.0, 30.0

Job = Callable[[], Coroutine[Any, Any, None]]
OnCrash = Callable[[Exception], None]


async def endless(job: Job, on_crash: OnCrash, clock: Clock, rng: random.Random) -> None:
    """on_crash: told an exception that is a fault of ours. How many are too many is for others to judge."""
    backoff = Backoff(AGAIN_LEAST_S, AGAIN_MOST_S, rng)
    while True:
        try:
            await job()
        except Exception as error:
            on_crash(error)
        await asyncio.sleep(clock.seconds(max(backoff.next_s(), AGAIN_LEAST_S)))
