"""Faults of ours in the feeds: each is written down whole, and how many in how short a time are too many."""

from __future__ import annotations

import time
import traceback
from collections import deque
from pathlib import Path

from engine.core.minutes import NS_PER_MINUTE
from engine.io.probes import write_log

CRASHES_MAX = 5
WITHIN_NS = 10 * NS_PER_MINUTE


class Crashes:
    """folder: gets crashes.txt; None: there is none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._times_ns: deque[int] = deque(maxlen=CRASHES_MAX)
        self.count = 0

    def take(self, error: Exception, now_ns: int) -> str:
        """Write it down; where it happened, as `file:line function`."""
        self.count += 1
        self._times_ns.append(now_ns)
        if self._folder is not None:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ns // 1_000_000_000))
            write_log(self._folder / "crashes.txt", f"{now} {''.join(traceback.format_exception(error))}\n")
        frames = traceback.extract_tb(error.__traceback__)
        return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "nowhere"

    def too_many(self) -> bool:
        """Whether the newest CRASHES_MAX came within ten minutes."""
        times = self._times_ns
        return len(times) == CRASHES_MAX and times[-1] - times[0] < WITHIN_NS
