"""Every environment in a process of its own, its links compared with those of the first one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from config.errors import ConveyorError
from engine.core.effects import Link, MinuteRows, RollupRows
from engine.core.rollup_columns import ROLLUP
from engine.core.schema import ROW, TIMEFRAME
from engine.io.columns import layout_of, rows_to_arrow
from engine.io.digest_line import DigestLine
from replay.difference import Difference, digest_difference, explain
from replay.prove.child import Job
from replay.prove.environments import BASE, Environment
from replay.prove.kernel_caches import folder_of
from replay.prove.material import Journal

ROOT = Path(__file__).resolve().parents[2]
AT_A_TIME = 2  # children: a proof should leave a small machine usable
SAME, DIFFERENT, NOT_RUN, FAILED = "same", "different", "not run", "failed"


class ChildError(ConveyorError):
    """A child ended without an answer: its exit code and the last line it wrote."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One journal in one environment. lines: a link each; records: that were read."""

    records: int
    lines: list[DigestLine]

    @property
    def minutes(self) -> int:
        return sum(line.rev == 0 and line.tf == TIMEFRAME for line in self.lines)


@dataclass(frozen=True, slots=True)
class Found:
    """The place of a difference: the journal's name, and where in it."""

    journal: str
    place: Difference

    def sentence(self) -> str:
        return f"{self.journal}, {self.place.sentence()}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table. reason: why it was not run, or failed. unlike: facts that are not those of the first
    environment. digest: SHA-256 over the last chain values of its journals; for a part of them also part_of, which is
    that of the same part in the first environment."""

    name: str
    changes: str
    result: str
    reason: str = ""
    journals: int = 0
    records: int = 0
    minutes: int = 0
    seconds: float = 0.0
    digest: str = ""
    partial: bool = False
    unlike: tuple[str, ...] = ()
    difference: Found | None = None

    def as_dict(self) -> dict[str, Any]:
        found = self.difference
        return asdict(self) | {"difference": {"journal": found.journal} | found.place.as_dict() if found else None}


@dataclass(slots=True)
class Proof:
    """journals through environments, the first of which is what the others are compared with.

    plant: a fault of replay.prove.plants, planted everywhere. keep_going: do not stop at the first difference.
    note: told a line at a time how far it is.
    """

    journals: Sequence[Journal]
    environments: Sequence[Environment]
    plant: str = ""
    keep_going: bool = False
    note: Callable[[str], None] = lambda line: None
    running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    reference: list[Replayed] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    def run(self) -> list[Outcome]:
        """One outcome for each environment that was reached, in their order."""
        outcomes: list[Outcome] = []
        pool = ThreadPoolExecutor(AT_A_TIME)
        try:
            self._compile()
            works = [(environment, pool.submit(self._replay, environment)) for environment in self.environments]
            for environment, work in works:
                outcome = self._judge(environment, work)
                outcomes.append(outcome)
                done = f"{len(outcomes)} of {len(works)}"
                self.note(f"{done}, {outcome.name}: {outcome.result}{self._length(outcome)}")
                if outcome.result in (DIFFERENT, FAILED) and not self.keep_going:
                    break
        finally:
            self.stopped = True
            for process in list(self.running):
                process.kill()
            pool.shutdown(cancel_futures=True)
        return outcomes

    @staticmethod
    def _length(outcome: Outcome) -> str:
        return f", {outcome.reason}" if outcome.reason else f", {outcome.seconds:.1f} s"

    def _compile(self) -> None:
        """Fill the kernel caches first: two environments must not compile the same, and no emulated one at all."""
        wanted = {
            environment.kernels.name: environment
            for environment in self.environments
            if environment.kernels.kept and not environment.missing()
        }
        for name, environment in wanted.items():
            self.note(f"kernels for {name or 'this machine'}: half a minute if they have to be compiled")
            native = replace(environment, prefix=(), variables={}, options=())
            self._child(native, Job(compile_only=True))  # which takes two processes

    def _replay(self, environment: Environment) -> tuple[float, dict[str, str], list[Replayed]]:
        """(seconds, facts, what each journal gave); raises ChildError."""
        if environment.missing():
            return 0.0, {}, []
        begun = time.monotonic()
        out = self._child(environment, self._job(environment))
        facts: dict[str, str] = {}
        replayed: list[Replayed] = []
        lines: list[DigestLine] = []
        for text in out.splitlines():
            line = orjson.loads(text)
            if "facts" in line:
                facts = line["facts"]
            elif "records" in line:
                replayed.append(Replayed(line["records"], lines))
                lines = []
            else:
                lines.append(DigestLine(**line))
        return time.monotonic() - begun, facts, replayed

    def _job(self, environment: Environment, **more: Any) -> Job:
        fields: dict[str, Any] = {
            "journals": tuple(str(journal.folder) for journal in self.journals),
            "plant": self.plant,
            "records_max": environment.records_max,
        }
        return Job(**(fields | dict(environment.job) | more))

    def _child(self, environment: Environment, job: Job) -> bytes:
        """What a process in the environment answers to a job."""
        if self.stopped:
            raise ChildError("the proof was stopped")
        variables = dict(os.environ) | BASE | dict(environment.kernels.variables) | dict(environment.variables)
        if cache := folder_of(environment.kernels):
            variables["XDG_CACHE_HOME"] = str(cache)
        interpreter = environment.python or sys.executable
        command = [*environment.prefix, interpreter, *environment.options, "-m", "replay.prove.child", job.encode()]
        with subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            self.running.add(process)
            try:
                out, errors = process.communicate()
            finally:
                self.running.discard(process)
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            raise ChildError(f"{environment.name}: the process ended with {process.returncode}: {''.join(last)}")
        return out

    # ---- comparing ----

    def _judge(self, environment: Environment, work: Future[tuple[float, dict[str, str], list[Replayed]]]) -> Outcome:
        outcome = Outcome(environment.name, environment.changes, SAME, partial=bool(environment.records_max))
        if reason := environment.missing():
            return replace(outcome, result=NOT_RUN, reason=reason)
        try:
            seconds, facts, replayed = work.result()
        except ChildError as error:
            return replace(outcome, result=FAILED, reason=str(error))
        if not self.reference:
            self.reference, self.facts = replayed, facts
        outcome = replace(
            outcome, journals=len(replayed), records=sum(journal.records for journal in replayed),
            minutes=sum(journal.minutes for journal in replayed), seconds=seconds, digest=digest(replayed),
            unlike=tuple(name for name, value in facts.items() if value != self.facts.get(name)),
        )  # fmt: skip
        if not outcome.minutes:
            return replace(outcome, result=NOT_RUN, reason=f"no minute closes in {outcome.records} records")
        for journal, mine, other in zip(self.journals, self.reference, replayed, strict=True):
            if found := first_difference(mine, other, bool(environment.records_max)):
                place = self._cell(environment, journal, found)
                names = self.environments[0].name, environment.name
                return replace(outcome, result=DIFFERENT, difference=Found(journal.name, replace(place, names=names)))
        return outcome

    def _cell(self, environment: Environment, journal: Journal, found: Difference) -> Difference:
        """The cell behind a digest that differs: both environments are asked for the rows of its link."""
        if found.what != "digest" or found.note:
            return found
        links = []
        for asked in (self.environments[0], environment):
            told = self._child(asked, self._job(asked, journals=(str(journal.folder),), link=found.link))
            links.append(rows_heard(told))
        mine, other = (pa.Table.from_batches([rows_to_arrow([link])]) for link in links)
        return explain(found, mine, other, layout_of(links[0]))


def first_difference(a: Replayed, b: Replayed, partial: bool) -> Difference | None:
    """Where two replays of one journal part. partial: b read only the first records and is compared as far."""
    for mine, other in zip_longest(a.lines, b.lines):
        if other is None and partial:
            return None
        if mine is None or other is None:
            line = mine or other
            longer = "first" if mine else "second"
            return Difference("length", line.link, line.venue, line.exchange_ts, line.rev,
                              note=f"only the {longer} has this link")  # fmt: skip
        if found := digest_difference(mine, other):
            return found
    if a.records != b.records and not partial:
        return Difference("length", a=f"{a.records} records", b=f"{b.records} records")
    return None


def rows_heard(told: bytes) -> Link:
    """The link that child.rows_told told."""
    fields = orjson.loads(told)
    kind, row = (RollupRows, ROLLUP) if "tf" in fields else (MinuteRows, ROW)
    rows = np.frombuffer(bytes.fromhex(fields["rows"]), row)
    scales = tuple((price, quantity) for price, quantity in fields["scales"])
    link: Link = kind(**fields | {"rows": rows, "scales": scales, "symbols": tuple(fields["symbols"])})
    return link


def digest(replayed: Sequence[Replayed]) -> str:
    """SHA-256 hex over the last chain value of each journal."""
    chains = [journal.lines[-1].chain if journal.lines else "" for journal in replayed]
    return hashlib.sha256("\0".join(chains).encode()).hexdigest()
