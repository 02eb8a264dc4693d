"""Starting: each figure from a process of its own. `python -m bench.start FILE` is that process.

A user has bytecode: `make setup` compiles it. An environment without it, under PYTHONDONTWRITEBYTECODE, makes every
start compile numba's sources anew; so the children get a folder of bytecode of their own, and one row is without any.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.harness import MACHINE, Agreed, Row, row
from config.errors import ConveyorError

ROOT = Path(__file__).resolve().parents[1]
ENTERED_NS = time.monotonic_ns()


def start(symbols: int = 50, minutes: int = 1, runs: int = 5, cold: bool = False) -> Iterator[Row]:
    """Import, first record, first closed minute and memory with warm kernels; compiling them all if `cold`."""
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        path, bytecode = Path(folder) / "records", Path(folder) / "bytecode"
        frames = _write_records(path, symbols, minutes)
        _child(path, bytecode)  # Bytecode, kernels and file cache are warm from here on.
        found, bare = [], []
        for _ in range(runs):
            found.append(_child(path, bytecode))
            bare.append(_child(path, None))
        compiled = [_child(path, bytecode, Path(folder) / "cache")] if cold else []
    agreed = Agreed("start")
    for answer in found + bare + compiled:
        agreed.add(answer["chain"])
    on = f"{MACHINE}, simulated {symbols} symbols"
    for what, key in (
        ("start: process to engine imported", "imported_ms"), ("start: process to first frame handled", "first_ms"),
        ("start: process to all of it handled", "closed_ms"),
    ):  # fmt: skip
        yield row(f"{what}, warm", on, runs, "ms", [answer[key] for answer in found], digest=agreed.digest)
    without = [answer["first_ms"] for answer in bare]
    yield row("start: process to first frame handled, no bytecode", on, runs, "ms", without, digest=agreed.digest)
    yield row(f"start: memory after {frames} frames", on, runs, "MiB RSS", [answer["rss_mib"] for answer in found])
    for answer in compiled:
        yield row("start: compile every kernel", on, 1, "ms", [answer["warm_ms"]], digest=agreed.digest)


def _write_records(path: Path, symbols: int, minutes: int) -> int:
    """Each record's length, then its bytes: the first frame ends the first part."""
    from bench.material import FRAME, blocks_of, records_of, simulated, sized

    material = simulated("binance_usdm", symbols, minutes)
    records = list(records_of(material.messages, sized(max(symbols, 1))))
    first = next(i for i, record in enumerate(records) if record.kind == FRAME) + 1
    with path.open("wb") as out:
        for part in (records[:first], records[first:]):
            for batch in blocks_of(part):
                data = batch.buffer[batch.start : batch.end].tobytes()
                out.write(len(data).to_bytes(8, "little") + data)
            if part is records[:first]:
                assert len(blocks_of(part)) == 1, "the first part must be one batch"
    return len(material.frames)


def _child(path: Path, bytecode: Path | None, cache: Path | None = None) -> dict[str, Any]:
    """bytecode: folder for it, None: there is none. cache: an empty folder, where every kernel is compiled first."""
    environment = dict(os.environ)
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        environment.pop(name, None)
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode or path.parent / "none")
    if bytecode is None:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    command = [sys.executable, "-m", "bench.start", str(path), str(time.monotonic_ns())]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise ConveyorError(f"start: the process ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    answer: dict[str, Any] = orjson.loads(done.stdout)
    return answer


def main(path: str, begun_ns: int) -> None:
    """In the child: the clock began in the parent, just before this process was made."""
    from engine.conveyor import Conveyor
    from engine.core.kernel import is_warm
    from engine.core.records import batch_of

    def since_ms() -> float:
        return (time.monotonic_ns() - begun_ns) / 1e6

    answer: dict[str, Any] = {"interpreter_ms": (ENTERED_NS - begun_ns) / 1e6, "imported_ms": since_ms()}
    if not is_warm():
        from engine.warm import warm

        warm()
        answer["warm_ms"] = since_ms()
    conveyor = Conveyor()
    with open(path, "rb") as records:
        while length := int.from_bytes(records.read(8), "little"):
            conveyor.handle(batch_of(records.read(length)))
            answer.setdefault("first_ms", since_ms())
    answer |= {"closed_ms": since_ms(), "chain": conveyor.chain}
    with open("/proc/self/statm", encoding="ascii") as statm:
        answer["rss_mib"] = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
