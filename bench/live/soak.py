"""A day of the engine in a few minutes: 50 symbols of the simulated market in memory, its journal and session on disk.

    python -m bench.live.soak [--hours 24] [--symbols 50] [--activity 0.05] [--picture soak.svg]

The venue is Hyperliquid, whose books come whole, so that some may be left out: of what it would say only every second
book, every third quote and every fifth context is said. Exchange and engine share a process and a loop of virtual time,
so what grows in either shows here. Syncs are left out, because they would be most of the time. Of every simulated hour:
memory, the mean of 60 instants; at its end open files, tasks of the loop, objects the collector knows. Slopes are least
squares over the hours from FIRST_HOUR on: until then rings and windows still fill.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from bench.picture import Line, Picture, svg
from config.schema import Config
from engine.app import App
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.io.disk import OsDisk
from engine.io.probes import resident_bytes
from engine.io.session_reader import SessionReader
from engine.io.store import Store
from engine.io.store_status import StoreLimits
from replay.exchange import Exchange, VirtualClock, VirtualLoop, memory_front, simulated
from replay.exchange.source import Sent, Source
from replay.simulate import Market

VENUE: Literal["hyperliquid"] = "hyperliquid"
ONE_IN = {"l2Book": 2, "bbo": 3, "activeAssetCtx": 5}
FIRST_HOUR = 6
KEEP_MINUTES = 10  # of what happened on the exchange
CHECKPOINT_MINUTES = 10  # simulated; live they are the configured ones of the real clock, which stands still here
GROUP_S = 0.2  # between two commits: twenty times as long as live
AFTER_S = 6.0  # the run ends so long after its last full minute
MINUTE_S, HOUR_S = 60.0, 3600.0


class Thinned:
    """A source that says less, at the same instants."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def minutes(self) -> Iterator[list[Sent]]:
        counts: Counter[tuple[str, int]] = Counter()
        for minute in self._source.minutes():
            kept = []
            for sent in minute:
                counts[sent.channel, sent.symbol] += 1
                if counts[sent.channel, sent.symbol] % ONE_IN.get(sent.channel, 1) == 0:
                    kept.append(sent)
            yield kept


class UnsyncedDisk(OsDisk):
    """Real files; what they hold survives this process, not a loss of power."""

    def fdatasync(self, handle: int) -> None:
        """Nothing is waited for."""

    def fsync_dir(self, folder: Path) -> None:
        """Nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """After so many simulated hours. *_mb: means of the last one. elapsed_s: real time, cpu_s: of this process.

    store_mb: what DuckDB itself says it holds: rows that wait for a checkpoint, and blocks that it keeps up to a limit.
    heap_mb: what the C library has given out and not got back; the rest of the resident memory is free pieces between.
    """

    hours: float
    resident_mb: float
    store_mb: float
    heap_mb: float
    files: int
    tasks: int
    objects: int
    records: int
    elapsed_s: float
    cpu_s: float

    @property
    def rest_mb(self) -> float:
        """Without the store's own."""
        return self.resident_mb - self.store_mb


@dataclass(frozen=True, slots=True)
class Result:
    """density_hz: messages a second and symbol. slope_*: an hour; None with too few samples behind FIRST_HOUR.
    slope_rest_mb: of the memory that is not the store's, whose cache grows up to its limit and no further."""

    venue: str
    symbols: int
    hours: float
    activity: float
    density_hz: float
    frames: int
    minutes: int
    rows: int
    rows_ok: int
    slope_mb: float | None
    slope_rest_mb: float | None
    slope_heap_mb: float | None
    slope_files: float | None
    slope_tasks: float | None
    slope_objects: float | None
    elapsed_s: float
    samples: list[Sample]


class Soak:
    """One run. Everything of it is in `folder`."""

    def __init__(self, folder: Path, hours: float, symbols: int, activity: float) -> None:
        self.hours, self.folder = hours, folder
        minutes = round(hours * 60)
        source = simulated(Market(minutes=minutes, symbols=symbols, venue=VENUE, activity=activity), VENUE)
        self.exchange = Exchange(cast(Source, Thinned(source)), keep_minutes=KEEP_MINUTES)
        self.names = tuple(instrument.symbol for instrument in source.instruments)
        self.until_ns = source.first_minute_ns + minutes * NS_PER_MINUTE + int(AFTER_S * NS_PER_S)
        self.loop = VirtualLoop()
        self.samples: list[Sample] = []
        self.frames = 0
        self._begun = time.monotonic()

    def run(self) -> None:
        try:
            self.loop.run_until_complete(self._live())
        finally:
            self.loop.close()

    async def _live(self) -> None:
        clock = VirtualClock(self.loop, self.exchange.now_ns)
        front = memory_front(self.exchange, clock=clock)
        config = Config.model_validate({"venues": {VENUE: {"enabled": True, "symbols": self.names}}})
        limits = StoreLimits(wait=False, checkpoint_rows=CHECKPOINT_MINUTES * len(self.names))
        app = App(
            config, journal_folder=self.folder / "session" / "journal", session_folder=self.folder / "session",
            clock=clock, transport=front, http=front, rng=random.Random(0), disk=UnsyncedDisk(), threads=False,
            group_s=GROUP_S, limits=limits,
        )  # fmt: skip
        running = asyncio.create_task(app.run(self.until_ns), name="engine")
        sampler = asyncio.create_task(self._sample(app), name="sampler")
        try:
            await running
        finally:
            sampler.cancel()
            with suppress(asyncio.CancelledError):
                await sampler
            front.stop()

    async def _sample(self, app: App) -> None:
        begun = self.loop.time()
        for hour in range(1, int(self.hours) + 1):
            memory = []
            for minute in range(1, 61):
                await asyncio.sleep(begun + (hour - 1) * HOUR_S + minute * MINUTE_S - self.loop.time())
                assert app.session is not None
                memory.append([resident_bytes() / 1e6, store_bytes(app.session.store) / 1e6, heap_bytes() / 1e6])
            gc.collect()
            self.frames = sum(link["frames"] for link in app.feeds.status()["connections"])
            resident, store, heap = np.mean(memory, axis=0).tolist()
            sample = Sample(
                hour, resident, store, heap, len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()),
                len(gc.get_objects()), app.records, time.monotonic() - self._begun, time.process_time(),
            )  # fmt: skip
            self.samples.append(sample)
            print(json.dumps(asdict(sample)), file=sys.stderr, flush=True)

    def result(self, activity: float) -> Result:
        with SessionReader(self.folder / "session") as reader:
            asked = "SELECT count(*) AS rows, count(*) FILTER (dq_status = 'ok') AS ok FROM features_snapshot"
            counted = reader.query(asked).to_pylist()[0]
        hours = self.samples[-1].hours if self.samples else 0.0
        symbols = len(self.names)
        return Result(
            VENUE, symbols, self.hours, activity, self.frames / hours / HOUR_S / symbols if hours else 0.0,
            self.frames, round(self.hours * 60), counted["rows"], counted["ok"],
            slope(self.samples, "resident_mb"), slope(self.samples, "rest_mb"), slope(self.samples, "heap_mb"),
            slope(self.samples, "files"), slope(self.samples, "tasks"), slope(self.samples, "objects"),
            time.monotonic() - self._begun, self.samples,
        )  # fmt: skip


def slope(samples: Sequence[Any], name: str) -> float | None:
    """An hour, by least squares over the samples from FIRST_HOUR on; None with fewer than three."""
    late = [sample for sample in samples if sample.hours >= FIRST_HOUR]
    if len(late) < 3:
        return None
    return float(np.polyfit([s.hours for s in late], [getattr(s, name) for s in late], 1)[0])


MALLINFO = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


class Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def heap_bytes() -> int:
    """In use of the main arena and of pieces mapped one by one; 0 where there is another C library."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = Mallinfo
    told = ask()
    return int(told.uordblks + told.hblkhd)


def store_bytes(store: Store) -> int:
    """Memory that DuckDB tells of."""
    with store.reader() as connection:
        told = connection.execute("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()").fetchone()
    return int(told[0]) if told else 0


def picture(samples: list[Sample]) -> str:
    whole = [(sample.hours, sample.resident_mb) for sample in samples]
    rest = [(sample.hours, sample.rest_mb) for sample in samples]
    lines = [Line("all", whole), Line("without the store's", rest)]
    return svg(Picture("soak.svg", "A simulated day: resident memory", "simulated hours", "MB", lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--activity", type=float, default=0.05, help="of the simulated market; 1 is as calibrated")
    parser.add_argument("--keep", type=Path, help="where its journal is copied to, for bench.live.alone")
    parser.add_argument("--picture", type=Path, help="where the curve is written, as SVG")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conveyor-soak-") as scratch:
        soak = Soak(Path(scratch), given.hours, given.symbols, given.activity)
        soak.run()
        result = soak.result(given.activity)
        if given.keep:
            shutil.copytree(soak.folder / "session" / "journal", given.keep)
    print(json.dumps(asdict(result), indent=2))
    if given.picture and len(soak.samples) > 1:
        given.picture.write_text(picture(soak.samples), encoding="utf-8")


if __name__ == "__main__":
    main()
