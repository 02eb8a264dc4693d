"""The day of bench.live.soak without its exchange: the journal that it kept, through conveyor and store.

    python -m bench.live.soak --keep JOURNAL ; python -m bench.live.alone JOURNAL

There the exchange, its market and the texts of its frames share the engine's heap; here nothing does. Rows go to the
store minute by minute, with its checkpoints, and what a live engine asks it about every five minutes is asked. Memory
of each simulated hour is the mean of an instant a minute, as there; the slope is least squares from FIRST_HOUR on.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.live.soak import CHECKPOINT_MINUTES, heap_bytes, slope, store_bytes
from engine.app.promotion import LOOK_MINUTES, QUERY_S, ROWS_MAX
from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows, RollupRows
from engine.io.evidence import QUERIES
from engine.io.journal_reader import JournalReader
from engine.io.probes import resident_bytes
from engine.io.query import run_query
from engine.io.store import Store, StoreLimits

MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """Means of a simulated hour, as in bench.live.soak. elapsed_s: real time since the beginning."""

    hours: int
    resident_mb: float
    store_mb: float
    heap_mb: float
    elapsed_s: float


def closes(journal: Path, store: Store) -> Iterator[int]:
    """Play the journal into the store; yields behind each first close how many there were, with its rows written."""
    conveyor, count = Conveyor(), 0
    for batch in JournalReader(journal).batches():
        for effect in conveyor.handle(batch):
            if isinstance(effect, MinuteRows | RollupRows):
                store.put(effect)
            if isinstance(effect, MinuteRows) and effect.revision == 0:
                store.drain()
                count += 1
                yield count


def hours(journal: Path, symbols: int, folder: Path) -> Iterator[Sample]:
    begun = time.monotonic()
    store = Store(folder / "store.duckdb", StoreLimits(checkpoint_rows=CHECKPOINT_MINUTES * symbols))
    memory = []
    for count in closes(journal, store):
        if count % LOOK_MINUTES == 0:
            for query in QUERIES:
                run_query(store, query, ROWS_MAX, QUERY_S, "simulated")
        memory.append([resident_bytes() / 1e6, store_bytes(store) / 1e6, heap_bytes() / 1e6])
        if len(memory) == MINUTES_PER_HOUR:
            gc.collect()
            resident, held, heap = np.mean(memory, axis=0).tolist()
            yield Sample(count // MINUTES_PER_HOUR, resident, held, heap, time.monotonic() - begun)
            memory.clear()
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", type=Path)
    parser.add_argument("--symbols", type=int, default=50)
    given = parser.parse_args()
    samples = []
    with tempfile.TemporaryDirectory(prefix="conveyor-alone-") as scratch:
        for sample in hours(given.journal, given.symbols, Path(scratch)):
            samples.append(sample)
            print(json.dumps(asdict(sample)), flush=True)
    names = ("resident_mb", "heap_mb")
    print(json.dumps({f"slope_{name}_per_hour": slope(samples, name) for name in names}))


if __name__ == "__main__":
    main()
