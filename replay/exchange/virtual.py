"""An event loop whose time is a number: when nothing is ready it jumps to the next timer, so an hour passes in seconds.

No socket, no thread, no selector: what runs on it is deterministic. Work handed to an executor is done on the spot,
because a thread would bring the machine's time back in.
"""

from __future__ import annotations

import asyncio
from typing import Any

from engine.core.minutes import NS_PER_S


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 0 and moves only between callbacks.

    Raises RuntimeError when nothing is ready and no timer is set: the program would wait for ever.
    """

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap of timers, the soonest first

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self._clock_resolution = 1e-9
        self._selector = self  # asyncio asks it how long to wait, in `select`

    def time(self) -> float:
        return self.now_ns / NS_PER_S

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError(
                "virtual loop: nothing is ready and no timer is set; somebody waits for what never comes"
            )
        if timeout > 0 and self._scheduled:
            self.now_ns = max(self.now_ns, round(self._scheduled[0].when() * NS_PER_S))
        return []

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Signals belong to real time; none is delivered here."""

    def remove_signal_handler(self, sig: int) -> bool:
        return False

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing here is a file."""

    def _write_to_self(self) -> None:
        """Wakes a loop that waits in its selector; this one never does."""


class VirtualClock:
    """`core.ports.Clock` over a virtual loop. origin_ns: UTC at the loop's time 0."""

    def __init__(self, loop: VirtualLoop, origin_ns: int) -> None:
        self.loop, self.origin_ns = loop, origin_ns

    def now_ns(self) -> int:
        return self.origin_ns + self.loop.now_ns

    def seconds(self, span_s: float) -> float:
        return span_s
