"""How long a closed minute took to become a row. Measured, so beside the chain and never in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, close_ms
from engine.core.ports import Clock
from engine.io.disk import OS_DISK, Disk
from engine.io.outputs import LineFile
from engine.io.status import MinuteLatency

KEPT = 4 * 24 * 60  # a day of four venues


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Without the rows themselves: a store in trouble lets many of these wait."""

    venue: str
    minute: int
    link: int
    rows: int
    cause_ns: int
    lag_ms: float


class Latencies:
    """First closes on their way into the store.

    close_to_row_ms is in the run's time, as it contains the wait for the boundary; bar_finalize_ms (from the receipt of
    the record that closed the minute) and ingest_lag_ms are in the machine's. path: of minutes.jsonl; None: no file.
    """

    def __init__(self, clock: Clock, disk: Disk = OS_DISK, path: Path | None = None) -> None:
        self._clock = clock
        self._lines = LineFile(disk, path) if path else None
        if self._lines:
            self._lines.lines = []
        self._waiting: deque[_Waiting] = deque(maxlen=KEPT)
        self._finalize_ms_worst = 0.0
        self.kept: deque[MinuteLatency] = deque(maxlen=KEPT)

    def closed(self, minute: MinuteRows, cause_ns: int, lag_ms: float) -> None:
        """A minute closed by a record received at cause_ns. lag_ms: the worst hand-over since the minute before."""
        if minute.revision == 0:
            waiting = _Waiting(minute.venue, minute.minute, minute.link, len(minute.rows), cause_ns, lag_ms)
            self._waiting.append(waiting)

    def stored(self, link: int) -> None:
        """Every link up to this one is durable as rows."""
        now_ns = self._clock.now_ns()
        told = False
        while self._waiting and self._waiting[0].link <= link:
            one = self._waiting.popleft()
            finalize_ms = self._clock.seconds((now_ns - one.cause_ns) / NS_PER_S) * 1000
            self._finalize_ms_worst = max(self._finalize_ms_worst, finalize_ms)
            line: MinuteLatency = {
                "venue": one.venue,
                "exchange_ts": close_ms(one.minute),
                "link": one.link,
                "rows": one.rows,
                "close_to_row_ms": round((now_ns - (one.minute + 1) * NS_PER_MINUTE) / NS_PER_MS, 3),
                "bar_finalize_ms": round(finalize_ms, 3),
                "ingest_lag_ms": round(one.lag_ms, 3),
            }
            self.kept.append(line)
            if self._lines:
                self._lines.append(orjson.dumps(line))
                told = True
        if told and self._lines:
            self._lines.flush()

    def take_worst_finalize_ms(self) -> int:
        """The worst since the last question, for the sample of the load."""
        worst, self._finalize_ms_worst = self._finalize_ms_worst, 0.0
        return round(worst)

    def since(self, from_ns: int, name: Callable[[MinuteLatency], float]) -> list[float]:
        """One figure of the minutes that closed at `from_ns` or later."""
        return [name(line) for line in self.kept if line["exchange_ts"] * NS_PER_MS >= from_ns]

    def close(self) -> None:
        if self._lines:
            self._lines.close()
