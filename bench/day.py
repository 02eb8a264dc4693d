"""A day of a simulated market, journaled and replayed: `python -m bench.day [--hours N] [--symbols K] [--folder DIR]`.

One process simulates and journals; another one replays the journal through conveyor and store, and looks at its own
memory at the end of every hour of the market. One JSON object on stdout. A whole day of 50 symbols is 60 million
frames: it takes an hour or so and some gigabytes under --folder, which are removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def day(minutes: int, symbols: int, folder: Path, piece_minutes: int = 60) -> dict[str, Any]:
    """Figures of both halves. piece_minutes: of market between two looks at the memory."""
    from config.schema import Core
    from engine.warm import warm
    from replay.recording import record
    from replay.simulate import Market, simulate

    warm()  # here, so that the replaying process neither waits for a compiler nor keeps its memory
    market = Market(seed=7, minutes=minutes, symbols=symbols, venue="binance_usdm", episodes="none")
    begun = time.perf_counter()
    made = record(folder / "journal", simulate(market), origin="simulated", core=Core(), connections=1)
    seconds = time.perf_counter() - begun
    frames = made.kinds["FRAME"]
    found: dict[str, Any] = {"minutes": minutes, "symbols": symbols, "records": made.records, "frames": frames}
    found |= {"journal_bytes": made.stored_bytes, "journaled_s": round(seconds, 1)}
    command = [sys.executable, "-m", "bench.day", "--replay", str(folder), "--piece", str(piece_minutes)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    answer["frames_per_s"] = round(frames / answer["replayed_s"])
    answer["market_over_replay"] = round(minutes * 60 / answer["replayed_s"], 1)
    return found | answer


def replay(folder: Path, piece_minutes: int) -> dict[str, Any]:
    """The journal through conveyor and store; rss_mib: at the end of every piece of the market, and at the end."""
    from engine.conveyor import Conveyor
    from engine.core.effects import MinuteRows
    from engine.io.journal_reader import JournalReader
    from engine.io.store import Store

    conveyor, store, closed, memory_mib = Conveyor(), Store(folder / "store.duckdb"), 0, []
    begun = time.perf_counter()
    for batch in JournalReader(folder / "journal").batches():
        for effect in conveyor.handle(batch):
            if not isinstance(effect, MinuteRows):
                continue
            store.put(effect)
            if effect.revision == 0:
                closed += 1
                if closed % piece_minutes == 0:
                    memory_mib.append(rss_mib())
    status = store.close()
    seconds = time.perf_counter() - begun
    memory_mib.append(rss_mib())
    return {
        "replayed_s": round(seconds, 3), "minutes_closed": closed, "rows": status.rows_written,
        "missing_links": status.missing_links, "rss_mib": memory_mib, "chain": conveyor.chain,
        "slope_mib_per_piece": slope(memory_mib[1:-1]),
    }  # fmt: skip


def slope(values: Sequence[float]) -> float | None:
    """Least squares, per step; None of fewer than two. The first piece, in which memory is first used, is not in it."""
    if len(values) < 2:
        return None
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    return round(float((steps * np.array(values)).sum() / (steps * steps).sum()), 3)


def rss_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.day", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--hours", type=float, default=24.0)
    asked.add_argument("--symbols", type=int, default=50)
    asked.add_argument("--folder", type=Path, help="where the journal is kept meanwhile; default: the system's own")
    asked.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    asked.add_argument("--piece", type=int, default=60, help="minutes of market between two looks at the memory")
    told = asked.parse_args()
    if told.replay:
        print(json.dumps(replay(told.replay, told.piece)))
        return
    with tempfile.TemporaryDirectory(prefix="conveyor-day-", dir=told.folder) as folder:
        print(json.dumps(day(round(told.hours * 60), told.symbols, Path(folder), told.piece)))


if __name__ == "__main__":
    main()
