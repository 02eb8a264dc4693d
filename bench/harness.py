"""What a measurement is: one row, taken side by side with its reference, with a result that must not change.

Times are whole nanoseconds of `perf_counter_ns`. Nothing here asserts a time: only results are checked.
"""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from importlib import metadata
from typing import Any

import numpy as np

from config.errors import ConveyorError

SIMULATED, RECORDED, SYNTHETIC, MACHINE = "simulated", "recorded", "synthetic", "machine"
GAP_NS = 20_000  # a longer pause between two looks at the clock was somebody else's time
now_ns = time.perf_counter_ns


class ResultDiffersError(ConveyorError):
    """A measured piece of work gave another result than it gave before: its time means nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    on: SIMULATED, RECORDED, SYNTHETIC (made for this bench, no market behind it) or MACHINE, and a name.
    count: events, frames, minutes ... in one pass. p50, p95, p99, max: over all samples of all passes, in `unit`.
    rate: work of the median pass per second, in `rate_unit`. ratio: time of `against` / time of ours, medians of passes
    that were taken in turn: above 1 we are the faster one. digest: of the result, equal in every pass.
    """

    what: str
    on: str
    count: int
    unit: str
    p50: float
    p95: float
    p99: float
    max: float
    rate: float | None = None
    rate_unit: str = ""
    against: str = ""
    ratio: float | None = None
    digest: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(Row.__dataclass_fields__)
Samples = Sequence[float] | np.ndarray
Pass = Callable[[], Samples]  # one pass over the work: ns of each of its steps


def spread(samples: Samples) -> tuple[float, float, float, float]:
    """Median, 95th and 99th percentile (nearest rank, never interpolated) and maximum."""
    ordered = np.sort(np.asarray(samples, np.float64))
    count = len(ordered)
    if not count:
        return 0.0, 0.0, 0.0, 0.0
    p95, p99 = (float(ordered[-(-rank * count // 100) - 1]) for rank in (95, 99))
    return float(np.median(ordered)), p95, p99, float(ordered[-1])


def row(what: str, on: str, count: int, unit: str, samples: Samples, **more: Any) -> Row:
    return Row(what, on, count, unit, *spread(samples), **more)


class Agreed:
    """The result of every pass, which must be one and the same."""

    def __init__(self, what: str) -> None:
        self.what, self.digest = what, ""

    def add(self, digest: str) -> None:
        if self.digest and digest != self.digest:
            raise ResultDiffersError(
                f"{self.what}: the result {digest[:16]} differs from {self.digest[:16]} of an earlier pass over the "
                "same records; the times of this bench mean nothing before that is found: run `conveyor verify`"
            )
        self.digest = digest


def digest_of(*parts: Any) -> str:
    """SHA-256 hex over arrays, bytes and texts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else part
        digest.update(data if isinstance(data, bytes) else str(data).encode())
    return digest.hexdigest()


@contextmanager
def no_collection() -> Iterator[None]:
    """Garbage collection off while something is timed, as in a run."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def in_turn(passes: int, *works: Pass) -> list[list[Samples]]:
    """Each work `passes` times, taking turns, each turn begun by another one; samples of each pass of each work.

    One unmeasured turn goes before: caches, branch predictors and lazily mapped memory are then as in a long run.
    """
    taken: list[list[Samples]] = [[] for _ in works]
    for turn in range(-1, passes):
        for i in range(len(works)):
            place = (i + turn) % len(works)
            with no_collection():
                samples = works[place]()
            if turn >= 0:
                taken[place].append(samples)
    return taken


def median_total(passes: Sequence[Samples]) -> float:
    """ns of the median pass."""
    return float(np.median([float(np.sum(samples)) for samples in passes]))


def flat(passes: Sequence[Samples], per: Samples | float = 1.0) -> np.ndarray:
    """All samples of all passes, each divided by the work it did."""
    return np.concatenate([np.asarray(samples, np.float64) / per for samples in passes])


@contextmanager
def clocked(owner: Any, name: str) -> Iterator[list[int]]:
    """Every call of `owner.name` is timed while this lasts, wherever it is called by that name."""
    original = getattr(owner, name)
    spent: list[int] = []

    @wraps(getattr(original, "py_func", original))
    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = now_ns()
        try:
            return original(*args, **kwargs)
        finally:
            spent.append(now_ns() - begun)

    setattr(owner, name, timed)
    try:
        yield spent
    finally:
        setattr(owner, name, original)


# The machine ----------------------------------------------------------------------------------------------------------


def jitter(when: str, seconds: float = 1.0) -> Row:
    """Look at the clock without pause: gaps are time that was taken away from this process; rate: which share of it."""
    gaps: list[float] = []
    before = begun = now_ns()
    until = begun + int(seconds * 1e9)
    with no_collection():
        while before < until:
            at = now_ns()
            if at - before > GAP_NS:
                gaps.append((at - before) / 1e3)
            before = at
    taken = 100.0 * sum(gaps) * 1e3 / (before - begun)
    return row(f"jitter {when}", MACHINE, len(gaps), "us taken at once", gaps, rate=taken, rate_unit="% of time taken")


def machine() -> dict[str, str]:
    """Where and with what this ran."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    found = {"at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "cpu": model, "cores": str(os.cpu_count())}
    found["load"] = f"{os.getloadavg()[0]:.1f}"
    found["python"] = platform.python_version()
    return found | {name: metadata.version(name) for name in ("numpy", "numba", "orjson", "duckdb")}
