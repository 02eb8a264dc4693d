"""So many messages a second over loopback into an engine started as a user starts it, and what came of them.

    python -m bench.live.load [--rate 10000] [--symbols 50] [--load-s 60] [--peer]

Afterwards three counts must agree: trades the venue sent, trade frames in the journal, and trades in the closed rows. A
row that is `ok` was compared with the venue's candle by the engine; here it is compared with the venue's sums again.
`--peer`: beside it, in the same run, a `websockets` client that only parses with orjson.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.live.process import Watch
from engine.core.records import RecordKind, iterate
from engine.io.control_client import Engine
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader

TRADES = b"@aggTrade"
HERE = Path(__file__).parent
LAG_MS_DRAINED = 100  # from here on it is no longer behind


class Venue:
    """The sender's process. load_over: set when the load ends; sent: its account, when it has ended or was closed."""

    def __init__(self, symbols: int, rate: float, load_s: float, calm_s: float) -> None:
        command = [sys.executable, "-I", str(HERE / "venue.py"), *map(str, (symbols, rate, load_s, calm_s))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["port"])
        self.sent: dict[str, Any] = {}
        self.load_over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            self.load_over.set()
            if "ended_ns" in told:
                self.sent = told

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self._reader.join(timeout=5)

    def __enter__(self) -> Venue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Result:
    """cpu: part of one core of the engine's process while the load was on. trades_*: must be equal. ok_share: of the
    rows of minutes that lie whole inside the run. drained_s: after the load ended, until the lag was below 100 ms."""

    rate: float
    symbols: int
    messages_sent: int
    trades_sent: int
    trades_journaled: int
    trades_lost: int
    rows: int
    rows_ok: int
    rows_wrong: int
    cpu: float
    memory_mb_max: float
    files_max: int
    lag_ms_max: int
    drained_s: float
    durable_ms_p50: float | None
    durable_ms_p99: float | None
    finalize_ms_p50: float
    finalize_ms_p95: float
    sender_behind_ms_max: float
    verified: bool


def configuration(port: int, symbols: int) -> str:
    names = ", ".join(f'"S{index:03d}USDT"' for index in range(symbols))
    return (
        f"[venues.binance_usdm]\nenabled = true\nsymbols = [{names}]\n"
        'channels = ["aggTrade", "bookTicker", "depth", "kline_1m"]\n'  # 200 streams, one connection
        f'ws_url = "ws://127.0.0.1:{port}/stream"\nrest_url = "http://127.0.0.1:{port}"\n'
    )


def load(
    rate: float, symbols: int = 50, load_s: float = 60.0, calm_s: float = 70.0, keep: Path | None = None
) -> Result:
    """One run, from an empty folder to a stopped and verified session."""
    with tempfile.TemporaryDirectory(prefix="conveyor-load-") as scratch:
        folder = keep or Path(scratch)
        session = folder / "session"
        with Venue(symbols, rate, load_s, calm_s) as venue:
            settings = folder / "load.toml"
            settings.write_text(configuration(venue.port, symbols))
            command = [sys.executable, "-m", "engine.cli", "run", "--config", str(settings), "--out", str(session)]
            with (folder / "engine.log").open("w") as log:
                engine = subprocess.Popen(command, stdout=log, stderr=log)
                watch = Watch(engine.pid).start()
                deadline = time.monotonic() + load_s + calm_s + 60
                status: dict[str, Any] = {}
                while not venue.sent and engine.poll() is None and time.monotonic() < deadline:
                    if venue.load_over.wait(0.2) and not status:
                        status = Engine(session).status()  # its last minute of commits is the load's
                    time.sleep(0.2)
                engine.terminate()
                code = engine.wait(timeout=30)
                watch.stop()
            if code:
                raise SystemExit(f"the engine ended with {code}: {(folder / 'engine.log').read_text()[-2000:]}")
            sent = venue.sent
        return _account(session, sent, rate, symbols, load_s, watch, status)


def _account(
    session: Path, sent: dict[str, Any], rate: float, symbols: int, load_s: float, watch: Watch, status: dict[str, Any]
) -> Result:
    ended_ns = int(sent["load_ended_ns"])
    begun_ns = ended_ns - int(load_s * 1e9)
    journaled, lags = _journaled(session / "journal")
    after = [at for at, lag in lags if at >= ended_ns and lag < LAG_MS_DRAINED]
    minutes = [json.loads(line) for line in (session / "logs" / "minutes.jsonl").read_text().splitlines()]
    if not minutes:
        raise SystemExit("no minute closed; a load of more than a minute closes one")
    finalize = np.array([line["bar_finalize_ms"] for line in minutes])
    rows, ok, wrong = _rows(session, sent["minutes"])
    durable = status.get("journal", {}).get("durable_ms", {})
    verified = subprocess.run([sys.executable, "-m", "engine.cli", "verify", str(session)], capture_output=True)
    return Result(
        rate, symbols, sent["messages"], sent["trades"], journaled, sent["trades"] - journaled, rows, ok, wrong,
        watch.cpu_share(begun_ns, ended_ns), max(s.resident_bytes for s in watch.samples) / 1e6,
        max(s.files for s in watch.samples), max((lag for _, lag in lags), default=0),
        (min(after) - ended_ns) / 1e9 if after else float("nan"), durable.get("p50"), durable.get("p99"),
        float(np.median(finalize)), float(np.percentile(finalize, 95)), sent["behind_ms_max"], verified.returncode == 0,
    )  # fmt: skip


def _journaled(journal: Path) -> tuple[int, list[tuple[int, int]]]:
    """Trade frames, and (receive time, lag in ms) of every load sample."""
    trades, lags = 0, []
    for batch in JournalReader(journal).batches():
        for record in iterate(batch):
            if record.kind == RecordKind.FRAME:
                trades += TRADES in record.payload[:40]
            elif record.kind == RecordKind.LOAD:
                lags.append((record.recv_ns, int(json.loads(record.payload)["lag_ms"])))
    return trades, lags


def _rows(session: Path, minutes: list[list[Any]]) -> tuple[int, int, int]:
    """Rows of minutes the venue has an account of; how many are ok, and how many of those differ from it."""
    asked = "SELECT symbol, exchange_ts, trade_count, base_volume, dq_status FROM features_snapshot"
    with SessionReader(session) as reader:
        found = {
            (row["symbol"], int(row["exchange_ts"]) // 60_000 - 1): (
                int(row["trade_count"]),
                round(float(row["base_volume"]) * 1000),
                row["dq_status"],
            )
            for row in reader.query(asked).to_pylist()
        }
    rows = ok = wrong = 0
    for minute, symbol, count, volume in minutes:
        row = found.get((symbol, minute))
        rows += row is not None
        if row is not None and row[2] == "ok":
            ok += 1
            wrong += row[:2] != (count, volume)
    return rows, ok, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--load-s", type=float, default=60)
    parser.add_argument("--calm-s", type=float, default=70)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--keep", type=Path, default=None, help="folder in which everything is kept")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True)
    result = load(given.rate, given.symbols, given.load_s, given.calm_s, given.keep)
    print(json.dumps(asdict(result), indent=2))
    if given.peer:
        print(json.dumps(peer(given.rate, given.symbols, given.load_s), indent=2))


def peer(rate: float, symbols: int, load_s: float) -> dict[str, Any]:
    """The same messages, to a `websockets` client and `orjson.loads`: part of one core, us of CPU a message."""
    from bench.peers.driver import Driver

    with (
        Venue(symbols, rate, load_s, 0) as venue,
        Driver("websockets", [f"ws://127.0.0.1:{venue.port}/listen"]) as them,
    ):
        answer = them.once()
    cpu_s, seconds, count = answer["cpu_seconds"], answer["seconds"], answer["events"]
    return {
        "peer": f"websockets {them.version} + orjson",
        "cpu": cpu_s / seconds,
        "cpu_us_per_message": cpu_s / count * 1e6,
    }


if __name__ == "__main__":
    main()
