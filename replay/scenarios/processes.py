"""The same questions with real processes and sockets: an exchange and an engine on loopback, signals sent to them.

What the exchange traded follows from its seed, so this process makes the same market again and needs no word of it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, minute_of
from engine.core.records import iterate
from engine.io.control_client import Engine
from engine.io.evidence import LATENCIES
from engine.io.journal_reader import JournalReader
from engine.io.session_reader import SessionReader
from replay.exchange import simulated
from replay.exchange.plan import CALM
from replay.scenarios.flood import CLIENTS, Flood
from replay.scenarios.heard import Heard
from replay.scenarios.judge import Finding, judge_rows
from replay.scenarios.oracle import Hit, Oracle, Trade
from replay.scenarios.play import WitnessedExchange
from replay.scenarios.scenario import Outcome, Scenario
from replay.simulate import Market

SPEED = 4  # of the exchange's clock: fast enough to be quick, slow enough that a loaded machine is no fault
MARKET_MINUTES = 10_080  # what `conveyor exchange` makes a market of
BEFORE, AFTER = 2, 3  # full minutes before the strike and behind it
PATIENCE_S = 240.0  # for anything to happen on a loaded machine
FLOOD_MINUTES = 4


@dataclass(slots=True)
class Processes:
    """An exchange and an engine, and what was done to them. hits: in the exchange's time."""

    venue: str
    seed: int
    folder: Path
    exchange: subprocess.Popen[str]
    settings: list[str]
    symbols: str
    hits: list[Hit]
    engine: subprocess.Popen[bytes] | None = None

    @property
    def session(self) -> Path:
        return self.folder / "session"

    def start_engine(self) -> None:
        command = [sys.executable, "-m", "engine.cli", "run", "--venue", self.venue, "--symbols", self.symbols]
        with open(self.folder / "engine.log", "ab") as log:
            self.engine = subprocess.Popen(
                [*command, "--out", str(self.session), *self.settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def venue_ns(self) -> int:
        """What the exchange's clock says."""
        address = self.settings[-1].removeprefix("time.source=")
        with urllib.request.urlopen(f"{address}/clock", timeout=10.0) as answer:
            return int(orjson.loads(answer.read())["venue_ns"])

    def links(self) -> int:
        path = self.session / "digests.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def wait_for_links(self, more: int) -> None:
        """Until so many further links of the chain are on the disk."""
        wanted = self.links() + more
        until = time.monotonic() + PATIENCE_S
        while self.links() < wanted:
            if self.engine is None or self.engine.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the engine made no further minute; see {self.folder / 'engine.log'}")
            time.sleep(0.1)

    def end_engine(self, number: int) -> int:
        """Send it a signal; its exit code."""
        assert self.engine is not None
        self.engine.send_signal(number)
        code = self.engine.wait(PATIENCE_S)
        self.engine = None
        return code

    def hit(self, kind: str, begin_ns: int, end_ns: int) -> None:
        self.hits.append(Hit(kind, self.venue, begin_ns, end_ns))

    def close(self) -> None:
        for process in (self.engine, self.exchange):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(PATIENCE_S)


def play_processes(scenario: Scenario, folder: Path) -> Outcome:
    """One fault of STRIKES with real processes, in a folder of its own below `folder`, kept if there are findings."""
    begun = time.monotonic()
    (number,) = scenario.faults
    folder /= scenario.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(f"{number} {scenario.seed}")
    processes = _open(scenario, folder)
    outcome = Outcome(scenario, CALM)
    try:
        processes.start_engine()
        processes.wait_for_links(1)
        first = minute_of(processes.venue_ns())
        processes.hit("start", 0, first * NS_PER_MINUTE - int(10.1 * NS_PER_S))
        processes.wait_for_links(BEFORE)
        time.sleep(rng.uniform(0.0, 60.0 / SPEED))
        STRIKES[number](processes, rng, outcome)
        processes.wait_for_links(AFTER)
        ended_ns = processes.venue_ns()
        processes.hit("end", ended_ns, ended_ns)
        code = processes.end_engine(signal.SIGINT)
        if code != 0:
            outcome.findings.append(Finding("process", scenario.venue, "", -1, f"the engine ended with code {code}"))
    finally:
        processes.close()
    _judge(processes, first, outcome)
    outcome.seconds = time.monotonic() - begun
    if outcome.findings:
        outcome.journal = processes.session / "journal"
    else:
        shutil.rmtree(folder)
    return outcome


def _open(scenario: Scenario, folder: Path) -> Processes:
    command = [sys.executable, "-m", "engine.cli", "exchange", "--venue", scenario.venue, "--speed", f"{SPEED}x"]
    command += ["--seed", str(scenario.seed), "--market", "none", "--port", "0"]
    with open(folder / "exchange.log", "ab") as log:
        exchange = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    assert exchange.stdout is not None
    said = [exchange.stdout.readline() for _ in range(4)]
    if not said[-1]:
        raise RuntimeError(f"the exchange did not start; see {folder / 'exchange.log'}")
    symbols = said[0].partition("(")[2].partition(")")[0].replace(",...", "")
    settings = [word for line in said[1:] for word in line.split()]
    return Processes(scenario.venue, scenario.seed, folder, exchange, settings, symbols, [])


def _stop_exchange(processes: Processes, rng: random.Random, outcome: Outcome) -> None:
    """A peer that is there and says nothing: connections stay open, nothing is answered, not even a ping."""
    begin_ns = processes.venue_ns()
    processes.exchange.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(8.0, 30.0) / SPEED)
    processes.exchange.send_signal(signal.SIGCONT)
    processes.hit("half_open", begin_ns, processes.venue_ns())


def _end_and_start(number: int) -> Callable[[Processes, random.Random, Outcome], None]:
    def strike(processes: Processes, rng: random.Random, outcome: Outcome) -> None:
        begin_ns, asked = processes.venue_ns(), time.monotonic()
        code = processes.end_engine(number)
        if number == signal.SIGTERM:
            outcome.stopped_s.append(time.monotonic() - asked)
            if code != 0:
                outcome.findings.append(Finding("process", processes.venue, "", -1, f"SIGTERM gave exit code {code}"))
        time.sleep(rng.uniform(0.5, 10.0) / SPEED)
        processes.start_engine()
        processes.hit("restart", begin_ns, _up_again_ns(processes, begin_ns))

    return strike


def _flood(processes: Processes, rng: random.Random, outcome: Outcome) -> None:
    """Minutes close meanwhile, the limits of the socket hold, and afterwards an operator is answered as ever."""
    begin_ns = processes.venue_ns()
    flood = Flood(processes.session, rng.randrange(1 << 30))
    flood.start()
    try:
        while processes.venue_ns() < begin_ns + FLOOD_MINUTES * NS_PER_MINUTE:
            time.sleep(0.2)
    finally:
        flood.stop()
    end_ns = processes.venue_ns()
    processes.hit("flood", begin_ns, end_ns)
    outcome.answers, outcome.status_s = flood.answers, flood.status_s
    for line in (processes.session / LATENCIES).read_bytes().splitlines():
        closed = orjson.loads(line)
        in_it = begin_ns < closed["exchange_ts"] * NS_PER_MS < end_ns
        (outcome.close_in_it_ms if in_it else outcome.close_ms).append(closed["bar_finalize_ms"])
    wrong = []
    if flood.answered > flood.answered_most:
        wrong.append(f"{flood.answered} requests were answered, the limits allow {flood.answered_most}")
    if flood.asked < 10 * CLIENTS or not {"200", "400", "408", "429"} <= set(flood.answers):
        wrong.append(f"a flood with the answers {dict(flood.answers)} proves nothing")
    if len(outcome.close_in_it_ms) < FLOOD_MINUTES - 1:
        wrong.append(f"only {len(outcome.close_in_it_ms)} minutes closed under the flood")
    if Engine(processes.session).status(PATIENCE_S)["process"]["state"] != "running":
        wrong.append("the engine is not running behind the flood")
    outcome.findings += [Finding("process", processes.venue, "", -1, sentence) for sentence in wrong]


STRIKES: dict[int, Callable[[Processes, random.Random, Outcome], None]] = {
    2: _stop_exchange, 25: _flood, 28: _end_and_start(signal.SIGTERM), 29: _end_and_start(signal.SIGKILL),
}  # fmt: skip


def _up_again_ns(processes: Processes, after_ns: int) -> int:
    """When the engine that was started again had a connection."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        heard = Heard()
        for batch in JournalReader(processes.session / "journal").batches(from_seq=0):
            heard.listen(iterate(batch))
        found = [turn.recv_ns for turn in heard.turns if turn.state == "up" and turn.recv_ns > after_ns]
        if found:
            return found[0]
        time.sleep(0.5)
    raise RuntimeError(f"the engine did not come back; see {processes.folder / 'engine.log'}")


def _judge(processes: Processes, first: int, outcome: Outcome) -> None:
    """The journal through a fresh conveyor: the session's own chain, and rows that the oracle allows."""
    conveyor, heard = Conveyor(), Heard()
    rows: list[MinuteRows] = []
    for batch in JournalReader(processes.session / "journal").batches(from_seq=0):
        heard.listen(iterate(batch))
        rows += [effect for effect in conveyor.handle(batch) if isinstance(effect, MinuteRows)]
    told = [line.chain for line in SessionReader(processes.session).digests()]
    if told != [effect.chain for effect in rows]:
        outcome.findings.append(Finding("digest", processes.venue, "", -1, "the journal's replay gives another chain"))
    exchange = _same_market(processes, max(heard.recv_ns.values()))
    oracle = Oracle(
        processes.venue, tuple(processes.symbols.split(",")), processes.venue != "hyperliquid",
        [Trade(*row) for row in exchange.truth.trades()], tuple(processes.hits), exchange.quotes,
    )  # fmt: skip
    last = minute_of(processes.hits[-1].begin_ns) - 1
    verdict = judge_rows(oracle, rows, range(first + 1, last), heard.recv_ns.__getitem__)
    outcome.findings += verdict.findings
    outcome.hits = tuple(processes.hits)
    outcome.rows, outcome.ok, outcome.marked = verdict.rows, verdict.ok, verdict.marked
    for hit in processes.hits:
        if hit.kind == "half_open":
            noticed_ns = heard.noticed_ns(processes.venue, hit.begin_ns)
            again_ns = heard.valid_again_ns(processes.venue, oracle.symbols, noticed_ns or hit.end_ns)
            outcome.noticed_s += [(noticed_ns - hit.begin_ns) / NS_PER_S] if noticed_ns else []
            outcome.recovered_s += [max(0, again_ns - hit.end_ns) / NS_PER_S] if again_ns else []


def _same_market(processes: Processes, until_ns: int) -> WitnessedExchange:
    """What the exchange's process played, played again without a listener."""
    market: Any = Market(seed=processes.seed, minutes=MARKET_MINUTES, symbols=3, episodes="none")
    exchange = WitnessedExchange(simulated(market, processes.venue), CALM)
    exchange.advance(until_ns)
    return exchange
