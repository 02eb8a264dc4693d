"""What the process notices about itself: a loop that stands still, garbage, processor and memory."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine.io.disk import FILE_MODE

BEAT_S = 0.05
STALL_S = 0.1  # later than this, a beat is a stall
WATCH_S = 0.02
DUMPS_MAX = 500  # of one process; a stack is about 2 KB


class StallProbe:
    """Notices that the event loop did not get its turn, and what it did instead.

    A beat of the loop each 50 ms; a thread that misses one by more than 100 ms writes down the stack of the loop's
    thread while it still stands there. on_stall: told (ms late, where) in the loop, when it goes on. folder: gets
    stalls.txt; None: no thread, no stacks.
    """

    def __init__(self, on_stall: Callable[[float, str], None], folder: Path | None = None) -> None:
        self._on_stall, self._folder = on_stall, folder
        self.lags_ms: deque[float] = deque(maxlen=20 * 3600)
        self.stalls = 0
        self._where = ""
        self._dumps = 0
        self._beat_at = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Called in the loop's thread."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._expect()
        if self._folder is not None:
            self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        if self._handle:
            self._handle.cancel()
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _expect(self) -> None:
        self._beat_at = time.monotonic() + BEAT_S
        self._handle = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        late_s = max(0.0, time.monotonic() - self._beat_at)
        self.lags_ms.append(late_s * 1000)
        if late_s > STALL_S:
            self.stalls += 1
            where, self._where = self._where or "not seen", ""
            self._on_stall(late_s * 1000, where)
        self._expect()

    def _watch(self) -> None:
        told_at = 0.0
        while not self._ended.wait(WATCH_S):
            beat_at = self._beat_at
            if time.monotonic() - beat_at > STALL_S and beat_at != told_at:
                told_at = beat_at
                self._dump()

    def _dump(self) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        if frame is None or self._folder is None:
            return
        stack = traceback.extract_stack(frame)
        innermost = stack[-1]
        self._where = f"{Path(innermost.filename).name}:{innermost.lineno} {innermost.name}"
        self._dumps += 1
        if self._dumps > DUMPS_MAX:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = f"{now} the loop stands still\n{''.join(traceback.format_list(stack))}\n"
        write_log(self._folder / "stalls.txt", text)


def write_log(path: Path, text: str) -> None:
    """Append to a log file. A disk that takes no log must not hurt what is logged."""
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)


class Garbage:
    """Reference cycles are collected when nobody waits, not when an allocation happens to be the 700th."""

    @staticmethod
    def start() -> None:
        gc.collect()
        gc.freeze()
        gc.disable()

    @staticmethod
    def collect() -> None:
        gc.collect()

    @staticmethod
    def stop() -> None:
        gc.enable()
        gc.unfreeze()


class Usage:
    """Processor and memory, since the last question."""

    def __init__(self) -> None:
        self._wall_s, self._used_s = time.monotonic(), time.process_time()
        self.cpu_pct = 0.0

    def sample(self) -> tuple[int, int]:
        """(processor, % of one core; memory in use, % of the machine)."""
        wall_s, used_s = time.monotonic(), time.process_time()
        if wall_s > self._wall_s:
            self.cpu_pct = 100 * (used_s - self._used_s) / (wall_s - self._wall_s)
            self._wall_s, self._used_s = wall_s, used_s
        return round(self.cpu_pct), round(memory_pct())


def memory_pct() -> float:
    """Of the machine, what nobody could still have; 0 where the system does not tell."""
    found: dict[str, int] = {}
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                name, _, rest = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(rest.split()[0])
        return 100 * (1 - found["MemAvailable"] / found["MemTotal"])
    except (OSError, KeyError, ValueError):
        return 0.0


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
