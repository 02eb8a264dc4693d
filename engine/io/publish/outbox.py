"""The outbox: every signal the core emitted, in order, durable before anything is sent."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.core.effects import Effect, MinuteRows, Signal
from engine.core.errors import InvariantError
from engine.core.ports import Clock
from engine.core.release import Reach
from engine.io.disk import OS_DISK, Disk
from engine.io.line_log import READ_BYTES, LineLog
from engine.io.publish.entry import Entry, decode, encode

SIGNALS = "signals"  # folder of the session
FILE_BYTES = 4 << 20  # about 2,000 signals; the oldest go by whole files
MARKS_KEPT = 4096  # newest syncs whose time is known

Reaches = Callable[[Signal], tuple[int, str]]


class Outbox:
    """SESSION/signals as a sink of effects (engine.core.ports.Sink), and as what deliveries read from.

    reach: how far a signal may go, and why no further; an exception there means: no further than this file. Signals
    that are there already, as after a crash, are skipped. InvariantError for a last line of another run.
    """

    def __init__(
        self, session: Path, clock: Clock, reach: Reaches, disk: Disk = OS_DISK, file_bytes: int = FILE_BYTES
    ) -> None:  # fmt: skip
        self._clock, self._reach = clock, reach
        self._last: tuple[int, int, str] = (-1, -1, "")  # link, place and id of the newest line
        self._newest: tuple[int, bytes] | None = None
        self.lines = 0  # that ever came in
        self.log = LineLog(disk, session / SIGNALS, self._known, file_bytes)
        if self._newest:
            entry = decode(*self._newest)
            self._last, self.lines = (entry.link, entry.place, entry.id), entry.number + 1
        self.opened_at, self.opened_lines = self.log.durable, self.lines
        self._marks: deque[tuple[int, float]] = deque(maxlen=MARKS_KEPT)
        self._woken: set[asyncio.Event] = set()
        self.on_taken: Callable[[], None] = lambda: None

    def _known(self, position: int, line: bytes) -> None:
        self._newest = position, line

    def perform(self, effects: Iterable[Effect]) -> None:
        before = self.lines
        for effect in effects:
            if isinstance(effect, MinuteRows) and effect.found is not None:
                for place, signal in enumerate(effect.found.signals):
                    self._take(effect.link, place, signal)
        if self.lines > before:
            self.on_taken()

    def _take(self, link: int, place: int, signal: Signal) -> None:
        last_link, last_place, last_id = self._last
        if (link, place) <= (last_link, last_place):
            if (link, place) == (last_link, last_place) and signal.id != last_id:
                raise InvariantError(
                    f"{self.log.path}: signal {place} of link {link} is {last_id} there and {signal.id} here, so it is "
                    "of another run; give a new session folder"
                )
            return
        reach, why = reach_of(self._reach, signal)
        line = encode(self.log.end, self.lines, link, place, signal, reach, why, self._clock.now_ns())
        self.log.append(line)
        self._last = link, place, signal.id
        self.lines += 1

    def sync(self) -> bool:
        """Make it durable; False if the disk refused. To be done before a state snapshot. In any thread."""
        return self.log.sync()

    def told(self, at_s: float) -> None:
        """In the loop, after a sync: let deliveries see what is durable. at_s: time of the loop."""
        durable = self.log.durable
        if not self._marks or durable > self._marks[-1][0]:
            self._marks.append((durable, at_s))
        for event in self._woken:
            event.set()

    def durable_since(self, after: int) -> float | None:
        """Time of the loop at which the line that ends at `after` became durable, if it did so lately."""
        found = bisect_left(self._marks, (after, 0.0))
        is_known = found > 0 or len(self._marks) < MARKS_KEPT
        return self._marks[found][1] if after > self.opened_at and found < len(self._marks) and is_known else None

    def waker(self) -> asyncio.Event:
        """An event that is set whenever there is more to read; its owner clears it, and gives it back."""
        event = asyncio.Event()
        self._woken.add(event)
        return event

    def give_back(self, event: asyncio.Event) -> None:
        self._woken.discard(event)

    def read(self, position: int, count_max: int, bytes_max: int = READ_BYTES) -> list[Entry]:
        """Durable lines from `position` on, a part of them."""
        return [decode(at, line) for at, line in self.log.read(position, bytes_max)[:count_max]]

    def forget(self, before_ns: int, bytes_max: int, needed: int) -> int:
        """Remove the oldest files: what is too much, or was taken before that time; bytes removed.

        needed: position from which on nothing goes. OSError if the disk refuses.
        """
        removed = 0
        while len(firsts := self.log.firsts) > 1 and (after := firsts[1]) <= needed:
            behind = self.read(after, 1, 1)  # what stands before it is older
            is_old = bool(behind) and behind[0].taken_ns < before_ns
            if self.log.durable - firsts[0] <= bytes_max and not is_old:
                break
            removed += self.log.forget()
        return removed

    def close(self) -> None:
        self.log.close()


def reach_of(reaches: Reaches, signal: Signal) -> tuple[Reach, str]:
    """How far a signal may go when it is taken, and why no further. Closed on error: nothing raised lets it go on."""
    try:
        reach, why = reaches(signal)
    except Exception as error:
        return Reach.LOG, f"the release raised {type(error).__name__}: {error}"
    return Reach(reach), why
