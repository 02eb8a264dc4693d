"""SIGKILL at random instants under live load, and the start behind it on the same session.

    python -m bench.live.kills [--kills 20] [--rate 2000] [--symbols 10]

What the engine acknowledged is taken from outside, up to the moment of each kill: `durable_seq` and rows, as its socket
told them, and the lines of digests.jsonl. Afterwards every record up to there must be in the journal, every row in the
store with the same values, every line in its place. Rows of minutes in which the engine was dead equal the venue's sums
or say `gap` or `edge`; no row that is `ok` differs from them; `conveyor verify` replays the whole journal.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.live.load import Venue, configuration
from bench.live.process import sample
from engine.core.records import iterate
from engine.io.control_client import BusyError, Engine, NoAnswerError, NotRunningError
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader

START_S_MAX = 60.0  # then the start has failed
POLL_S = 0.02
LAG_MS = 100.0  # with less it has caught up
ROWS = "SELECT symbol, exchange_ts, rev, trade_count, base_volume, dq_status, dq_reasons FROM feature_revisions"
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Result:
    """Counts of what was acknowledged and is not there: records_lost, lines_lost, rows_lost. rows_touched: of minutes
    in which the engine was dead, by what became of them; rows_untold: they differ and do not say so. starts_s: from
    the process to running, connected and less than LAG_MS behind; starts_cpu_s: what of that was processor time."""

    kills: int
    rate: float
    symbols: int
    records: int
    acknowledged_seq: int
    records_lost: int
    lines: int
    lines_lost: int
    rows: int
    rows_acknowledged: int
    rows_lost: int
    rows_ok: int
    rows_touched: int
    rows_touched_equal: int
    rows_touched_marked: int
    rows_untold: int
    starts_s: list[float]
    start_s_p50: float
    start_s_max: float
    starts_cpu_s: list[float]
    verified: str


@dataclass(slots=True)
class Acknowledged:
    """The most that was told before any kill. lines: of digests.jsonl; rows: (symbol, close, revision) -> cells."""

    seq: int = -1
    link: int = -1  # the store's newest when its rows were asked for
    lines: list[str] = field(default_factory=list)
    rows: dict[tuple[str, int, int], tuple[Any, ...]] = field(default_factory=dict)

    def ask(self, engine: Engine) -> None:
        """What it says now; a question it does not answer acknowledges nothing."""
        try:
            status = engine.status()
            self.seq = max(self.seq, int(status["journal"]["durable_seq"]))
            if (link := int(status["store"]["last_link"])) == self.link:
                return
            with pa.ipc.open_stream(io.BytesIO(engine.sql(ROWS, 100_000, 5.0))) as stream:
                self.rows |= keyed(stream.read_all())
            self.link = link
        except (NotRunningError, NoAnswerError, BusyError, KeyError):
            pass

    def read_lines(self, session: Path) -> None:
        """Lines that were whole at the kill."""
        self.lines = (session / "digests.jsonl").read_text().split("\n")[:-1]


def keyed(table: pa.Table) -> dict[tuple[str, int, int], tuple[Any, ...]]:
    cells = (tuple(row.values()) for row in table.to_pylist())
    return {(str(row[0]), int(row[1]), int(row[2])): row[3:] for row in cells}


class Life:
    """One process of the engine, from its start to its end."""

    def __init__(self, settings: Path, session: Path, log: Any) -> None:
        command = [sys.executable, "-m", "engine.cli", "run", "--config", str(settings), "--out", str(session)]
        self.begun, self.start_cpu_s = time.monotonic(), 0.0
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.engine = Engine(session)
        self.start_s = self._start()

    def _start(self) -> float:
        """Seconds until it has caught up."""
        while time.monotonic() - self.begun < START_S_MAX:
            time.sleep(POLL_S)
            try:
                told = self.engine.status()
            except (NotRunningError, NoAnswerError):
                if self.process.poll() is not None:
                    raise SystemExit(f"the engine ended with {self.process.returncode} at its start") from None
                continue
            up = [link["state"] == "up" for link in told["connections"]]
            running = told["process"]["state"] == "running" and told["process"]["pid"] == self.process.pid
            if running and up and all(up) and told["journal"]["lag_ms"] < LAG_MS:
                self.start_cpu_s = sample(self.process.pid).cpu_s
                return time.monotonic() - self.begun
        self.process.kill()
        raise SystemExit(f"the engine has not caught up within {START_S_MAX:g} s")


def kills(count: int, rate: float, symbols: int, folder: Path, rng: random.Random) -> Result:
    """All of it, in an empty folder."""
    session, settings = folder / "session", folder / "kills.toml"
    told = Acknowledged()
    starts: list[tuple[float, float]] = []
    dead = []
    with Venue(symbols, rate, 86_400.0, 0.0) as venue, (folder / "engine.log").open("w") as log:
        settings.write_text(configuration(venue.port, symbols))
        life = Life(settings, session, log)
        try:
            for _ in range(count):
                until = time.monotonic() + rng.uniform(2.0, 25.0)
                while time.monotonic() < until:
                    told.ask(life.engine)
                    time.sleep(min(POLL_S, max(0.0, until - time.monotonic())))
                life.process.kill()
                died_ns = time.time_ns()
                life.process.wait()
                told.read_lines(session)
                time.sleep(rng.uniform(0.0, 3.0))
                life = Life(settings, session, log)
                starts.append((life.start_s, life.start_cpu_s))
                dead.append((died_ns, time.time_ns()))
            time.sleep(125.0 - time.time() % 60.0)  # so that a whole minute lies behind the last of them
            told.ask(life.engine)
            life.process.terminate()
            if life.process.wait(timeout=30):
                raise SystemExit(f"the engine ended with {life.process.returncode}, its log is in {folder}")
            told.read_lines(session)
        finally:
            life.process.kill()
            life.process.wait()
    sums = {(name, minute): (trades, volume) for minute, name, trades, volume in venue.sent["minutes"]}
    return _account(session, told, sums, dead, starts, count, rate, symbols)


def _account(
    session: Path, told: Acknowledged, sums: dict[tuple[str, int], tuple[int, int]], dead: list[tuple[int, int]],
    starts: list[tuple[float, float]], count: int, rate: float, symbols: int,
) -> Result:  # fmt: skip
    there = {record.seq for batch in JournalReader(session / "journal").batches() for record in iterate(batch)}
    with SessionReader(session) as reader:
        stored = keyed(reader.query(ROWS))
    newest: dict[tuple[str, int], tuple[Any, ...]] = {}
    for (symbol, close_ms, _), cells in sorted(stored.items()):
        newest[symbol, close_ms] = cells
    touched_minutes = {
        minute for begin, end in dead for minute in range(begin // 60_000_000_000, end // 60_000_000_000 + 1)
    }
    ok = touched = equal = marked = untold = 0
    for (symbol, close_ms), (trades, volume, status, reasons) in newest.items():
        minute = close_ms // MINUTE_MS - 1
        if (symbol, minute) not in sums:
            continue
        same = (int(trades), round(float(volume) * 1000)) == sums[symbol, minute]
        tells = bool({"gap", "edge"} & set(reasons))
        ok += status == "ok"
        untold += not same and (status == "ok" or not tells)
        if minute in touched_minutes:
            touched += 1
            equal += same
            marked += tells and not same
    took = [round(start_s, 2) for start_s, _ in starts]
    lines = (session / "digests.jsonl").read_text().split("\n")[:-1]
    verified = subprocess.run(
        [sys.executable, "-m", "engine.cli", "verify", str(session)], capture_output=True, text=True
    )
    return Result(
        count, rate, symbols, len(there), told.seq, sum(seq not in there for seq in range(told.seq + 1)), len(lines),
        sum(line != now for line, now in zip(told.lines, lines, strict=False)) + max(0, len(told.lines) - len(lines)),
        len(newest), len(told.rows), sum(stored.get(key) != cells for key, cells in told.rows.items()), ok, touched,
        equal, marked, untold, took, sorted(took)[len(took) // 2], max(took), [round(cpu_s, 2) for _, cpu_s in starts],
        verified.stdout.strip() if verified.returncode == 0 else f"FAILED: {verified.stderr.strip()}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--symbols", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--keep", type=Path, help="folder in which everything is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conveyor-kills-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        result = kills(given.kills, given.rate, given.symbols, folder, random.Random(given.seed))
    print(json.dumps(asdict(result), indent=2))


if __name__ == "__main__":
    main()
