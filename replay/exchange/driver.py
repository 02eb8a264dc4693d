"""Between an exchange and an event loop: wakes it when something is due."""

from __future__ import annotations

import asyncio

from engine.core.minutes import NS_PER_S
from engine.core.ports import Clock
from replay.exchange.exchange import Exchange


class Driver:
    """Advances an exchange by a clock.

    quantum_s: least time of the loop between two wakings; 0 under virtual time. step_s: of the loop's time that is made
    up for at once if the exchange has fallen behind, so that sockets have their turn; 0: all of it.
    """

    def __init__(self, exchange: Exchange, clock: Clock, quantum_s: float = 0.0, step_s: float = 0.0) -> None:
        self.exchange, self.clock, self.quantum_s = exchange, clock, quantum_s
        self._step_ns = round(step_s / clock.seconds(1.0) * NS_PER_S)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0  # of the timer; uvloop's own does not tell when it is due at once
        self.poke()

    def now_ns(self) -> int:
        """The clock's time, or as near to it as the exchange can come in one step."""
        now_ns = self.clock.now_ns()
        return min(now_ns, self.exchange.now_ns + self._step_ns) if self._step_ns else now_ns

    def poke(self) -> None:
        """Something was planned: look again when the next thing is due."""
        wait_ns = self.exchange.next_ns() - self.clock.now_ns()
        wait_s = max(self.quantum_s, self.clock.seconds(wait_ns / NS_PER_S), 1e-9)
        due_s = self._loop.time() + wait_s
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._timer, self._due_s = self._loop.call_at(due_s, self._wake), due_s

    def _wake(self) -> None:
        self._timer = None
        self.exchange.advance(self.now_ns())
        self.poke()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
