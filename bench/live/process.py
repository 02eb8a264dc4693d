"""What a process costs, seen from outside: /proc of Linux, once a second."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Sample:
    """at_ns: wall clock. cpu_s: user and system time of all threads so far."""

    at_ns: int
    cpu_s: float
    resident_bytes: int
    files: int
    threads: int


def sample(pid: int) -> Sample:
    """Raises OSError when the process is gone."""
    folder = Path(f"/proc/{pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    resident = int((folder / "statm").read_text().split()[1]) * PAGE_BYTES
    files = len(os.listdir(folder / "fd"))
    return Sample(time.time_ns(), (int(fields[11]) + int(fields[12])) / TICKS_PER_S, resident, files, int(fields[17]))


@dataclass(slots=True)
class Watch:
    """A thread that takes a sample every `every_s` until the process ends or `stop` is called."""

    pid: int
    every_s: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Watch:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.samples.append(sample(self.pid))
            except OSError:
                return
            self._over.wait(self.every_s)

    def stop(self) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def cpu_share(self, begin_ns: int, end_ns: int) -> float:
        """Part of one core between two instants; NaN with fewer than two samples there."""
        inside = [s for s in self.samples if begin_ns <= s.at_ns <= end_ns]
        if len(inside) < 2:
            return float("nan")
        first, last = inside[0], inside[-1]
        return (last.cpu_s - first.cpu_s) / ((last.at_ns - first.at_ns) / 1e9)
