"""Venues that stand still without a word, over real sockets: when the engine notices, when its books are whole again.

    python -m bench.live.stalls [--engines 3] [--stalls 6]

Each engine is connected to three local exchanges, one a venue, each a process of its own at real speed. A stall is
SIGSTOP for 6 to 16 s, at a random phase: the kernel still takes what comes and accepts connections, nobody reads or
answers. Then SIGCONT. Between two stalls of an exchange lies more than a minute, or the engine would, rightly, call the
connection unstable and wait longer before each attempt; so several engines and all venues are stalled side by side.

Every figure is taken from the journal. Noticed: from SIGSTOP to the connection's `down`. Up: from SIGCONT to `up`.
Book: from SIGCONT to the record behind which every book of the venue is in step, found by replaying record by record.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.harness import spread
from engine.conveyor import Conveyor
from engine.core.records import RecordBatch, RecordKind, decode_at
from engine.io.control_client import Engine, NoAnswerError, NotRunningError
from engine.io.journal_reader import JournalReader
from replay.exchange.protocols import PROTOCOLS

SOCKETS = {"hyperliquid": "/ws"}  # the others': /stream
STALL_S = (6.0, 16.0)
CALM_S = (62.0, 68.0)  # a connection that was up for a minute is stable
START_S_MAX = 120.0
NOTICED_S_MAX, BOOK_S_P95 = 5.0, 3.0


@dataclass(slots=True)
class Stall:
    """noticed_s, up_s, book_s: None if it never came."""

    engine: int
    venue: str
    begin_ns: int
    end_ns: int
    noticed_s: float | None = None
    up_s: float | None = None
    book_s: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    count: int
    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class Result:
    """unnoticed, without_book: stalls that had no `down` before their end, and no whole books before the next one."""

    stalls: int
    unnoticed: int
    without_book: int
    noticed_s: Spread
    up_s: Spread
    book_s: Spread
    within: bool
    verified: bool
    each: list[Stall]


class Exchange:
    """A process of `conveyor exchange`. names: its symbols."""

    def __init__(self, venue: str, seed: int) -> None:
        command = [sys.executable, "-m", "engine.cli", "exchange", "--venue", venue, "--port", "0", "--seed", str(seed)]
        self.venue = venue
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def settings(self) -> str:
        """Of an engine that is pointed at it; waits until it serves."""
        assert self.process.stdout is not None
        serving = re.search(r"\((.*?)\)", self.process.stdout.readline())
        port = re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        if not serving or not port:
            raise SystemExit(f"conveyor exchange --venue {self.venue} did not start")
        path = SOCKETS.get(self.venue, "/stream")
        return (
            f"[venues.{self.venue}]\nenabled = true\nsymbols = {json.dumps(serving[1].split(','))}\n"
            f'ws_url = "ws://127.0.0.1:{port[1]}{path}"\nrest_url = "http://127.0.0.1:{port[1]}"\n'
        )

    def stall(self, span_s: float) -> tuple[int, int]:
        """ns UTC of its begin and end."""
        os.kill(self.process.pid, signal.SIGSTOP)
        begin_ns = time.time_ns()
        time.sleep(span_s)
        end_ns = time.time_ns()
        os.kill(self.process.pid, signal.SIGCONT)
        return begin_ns, end_ns

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Party:
    """An engine with its exchanges, in a folder of its own."""

    def __init__(self, number: int, folder: Path) -> None:
        folder.mkdir()
        self.number, self.session = number, folder / "session"
        self.stalls: list[Stall] = []
        self.exchanges = [Exchange(venue, 10 * number + place) for place, venue in enumerate(PROTOCOLS)]
        settings = folder / "stalls.toml"
        settings.write_text("".join(exchange.settings() for exchange in self.exchanges))
        command = [sys.executable, "-m", "engine.cli", "run", "--config", str(settings), "--out", str(self.session)]
        with (folder / "engine.log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until everything is connected."""
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.2)
            try:
                links = Engine(self.session).status()["connections"]
            except (NotRunningError, NoAnswerError):
                continue
            if len(links) == len(PROTOCOLS) and all(link["state"] == "up" for link in links):
                return
        raise SystemExit(f"engine {self.number} did not connect; its log is beside {self.session}")

    def strike(self, count: int) -> list[threading.Thread]:
        threads = []
        for exchange in self.exchanges:
            rng = random.Random(f"{self.number} {exchange.venue}")
            threads.append(threading.Thread(target=self._strike, args=(exchange, count, rng)))
        for thread in threads:
            thread.start()
        return threads

    def _strike(self, exchange: Exchange, count: int, rng: random.Random) -> None:
        for _ in range(count):
            time.sleep(rng.uniform(*CALM_S))
            begin_ns, end_ns = exchange.stall(rng.uniform(*STALL_S))
            self.stalls.append(Stall(self.number, exchange.venue, begin_ns, end_ns))

    def close(self) -> bool:
        """Whether it ended cleanly and its session is what its journal replays to."""
        self.process.terminate()
        clean = self.process.wait(timeout=30) == 0
        command = [sys.executable, "-m", "engine.cli", "verify", str(self.session)]
        return clean and subprocess.run(command, capture_output=True).returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for exchange in self.exchanges:
            exchange.close()


def judge(journal: Path, stalls: list[Stall]) -> None:
    """Find each stall's `down`, `up` and whole books in the journal."""
    conveyor = Conveyor()
    waiting = {venue: [s for s in sorted(stalls, key=lambda s: s.begin_ns) if s.venue == venue] for venue in PROTOCOLS}
    for batch in JournalReader(journal).batches():
        position = batch.start
        while position < batch.end:
            begin = position
            record, position = decode_at(batch.buffer, begin)
            conveyor.handle(RecordBatch(batch.buffer, begin, position))
            for venue, open_ones in waiting.items():
                if not open_ones or record.recv_ns < open_ones[0].begin_ns:
                    continue
                if len(open_ones) > 1 and record.recv_ns >= open_ones[1].begin_ns:
                    open_ones.pop(0)
                stall = open_ones[0]
                if record.kind == RecordKind.CONNECTION:
                    _turn(stall, venue, json.loads(record.payload), record.recv_ns)
                if stall.up_s is not None and books_are_whole(conveyor, venue):
                    stall.book_s = (record.recv_ns - stall.end_ns) / 1e9
                    open_ones.pop(0)


def _turn(stall: Stall, venue: str, told: dict[str, Any], recv_ns: int) -> None:
    if told["venue"] != venue:
        return
    if told["state"] == "down" and stall.noticed_s is None and recv_ns < stall.end_ns:
        stall.noticed_s = (recv_ns - stall.begin_ns) / 1e9
    if told["state"] == "up" and stall.up_s is None and recv_ns >= stall.end_ns:
        stall.up_s = (recv_ns - stall.end_ns) / 1e9


def books_are_whole(conveyor: Conveyor, venue: str) -> bool:
    assert conveyor.state is not None
    books, instruments = conveyor.state.tape.books, conveyor.registry.instruments
    return all(books[i]["synced"] for i, instrument in enumerate(instruments) if instrument.venue == venue)


def of(values: list[float | None]) -> Spread:
    found = [value for value in values if value is not None]
    p50, p95, _, most = spread(found)
    return Spread(len(found), p50, p95, most)


def stalls(engines: int, count: int, folder: Path) -> Result:
    """All of it, in an empty folder."""
    parties: list[Party] = []
    try:
        for number in range(engines):
            parties.append(Party(number, folder / str(number)))
        for party in parties:
            party.wait()
        for thread in [thread for party in parties for thread in party.strike(count)]:
            thread.join()
        time.sleep(30.0)  # for the last books
        verified = all([party.close() for party in parties])
    finally:
        for party in parties:
            party.kill()
    for party in parties:
        judge(party.session / "journal", party.stalls)
    each = [stall for party in parties for stall in party.stalls]
    noticed, up, book = (of([getattr(stall, name) for stall in each]) for name in ("noticed_s", "up_s", "book_s"))
    unnoticed, without_book = len(each) - noticed.count, len(each) - book.count
    within = not unnoticed and not without_book and noticed.max <= NOTICED_S_MAX and book.p95 <= BOOK_S_P95
    return Result(len(each), unnoticed, without_book, noticed, up, book, within, verified, each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=3)
    parser.add_argument("--stalls", type=int, default=6, help="of each exchange")
    parser.add_argument("--keep", type=Path, help="folder in which everything is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conveyor-stalls-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        result = stalls(given.engines, given.stalls, folder)
    print(json.dumps(asdict(result), indent=2))


if __name__ == "__main__":
    main()
