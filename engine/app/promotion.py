"""Whether a running engine is fit for a higher mode: what is measured, against which bound, and what is said if not.

The core only obeys; what was measured here goes into the journaled command. A condition that cannot be told does not
hold: an operator may pass over it, with a reason that is written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.core.detector import STAGES
from engine.core.errors import ConfigError, ConveyorError
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MINUTE, NS_PER_MS
from engine.io.checklist import BUDGET_SHARE_MAX, OK_SHARE_MIN, ROW_MS_MAX, ROWS_MIN, Box, first_hour
from engine.io.evidence import Evidence, evidence_of_engine
from engine.io.query import run_query
from engine.io.status import Status
from engine.io.verified import Verified, read_verified

if TYPE_CHECKING:
    from engine.app.live import App

REPLAYED_H_MAX = 24
HOUR_MS = 60 * MS_PER_MINUTE
LOOK_MINUTES = 5  # between two looks that nobody asked for
ROWS_MAX, QUERY_S = 10_000, 5.0
# Parts of the first hour that come before a mode.
APPLIES = {"shadow": ("0-10", "10-20"), "canary": ("0-10", "10-20", "20-40")}
ALL_PARTS = ("0-10", "10-20", "20-40", "40-60")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured. verified: the last replay of this session that was proven, None without one that fits."""

    mode: str
    target: str
    evidence: Evidence
    boxes: list[Box]
    verified: Verified | None
    killed: tuple[str, ...]
    emits: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Condition:
    """judge: empty if it holds, else the figure and what is missing."""

    name: str
    measured: str
    bound: str
    judge: Callable[[Facts], str]


def boxes_before(boxes: list[Box], target: str) -> list[Box]:
    """Those that can be ticked before a mode is reached."""
    parts = APPLIES.get(target, ALL_PARTS)
    return [box for box in boxes if box.when in parts]


def _step(facts: Facts) -> str:
    before = STAGES[max(STAGES.index(facts.target) - 1, 0)]
    return "" if facts.mode == before else f"the mode is {facts.mode}, {before} comes before {facts.target}"


def _first_hour(facts: Facts) -> str:
    mine = boxes_before(facts.boxes, facts.target)
    failed = [f"{box.box} ({box.measured})" for box in mine if box.verdict == "fail"]
    unknown = len([box for box in mine if box.verdict == "unknown"])
    return f"{', '.join(failed)} ({unknown} of {len(mine)} boxes unknown)" if failed else ""


def _quality(facts: Facts) -> str:
    minutes: Any = facts.evidence.minutes
    rows = minutes.get("rows", 0) - minutes.get("cut", 0)
    if rows < ROWS_MIN:
        return f"{rows} rows in the last hour, {ROWS_MIN} tell"
    share = minutes["ok"] / rows
    return "" if share >= OK_SHARE_MIN else f"{100 * share:.1f} % of {rows} rows are ok"


def _latency(facts: Facts) -> str:
    p95 = facts.evidence.bar_finalize_ms["p95"]
    if p95 is None:
        return "not measured yet"
    return "" if p95 < ROW_MS_MAX else f"p95 is {p95:,.0f} ms"


def _budget(facts: Facts) -> str:
    share = facts.evidence.budget_share("spike")
    if share is None:
        return "not known: the store has no signals table, or it did not answer"
    return "" if share < BUDGET_SHARE_MAX else f"a symbol used {100 * share:.0f} % of a minute's"


def _replay(facts: Facts) -> str:
    found = facts.verified
    if found is None:
        return "none of this session; run `conveyor verify` on it"
    hours = (facts.now_ms - found.exchange_ts) / HOUR_MS
    return "" if hours <= REPLAYED_H_MAX else f"the last one ends {hours:,.0f} h ago; run `conveyor verify` again"


def _kills(facts: Facts) -> str:
    off = [*facts.killed, *([] if facts.emits else ["core.signals.emit is false"])]
    return f"in force: {', '.join(off)}" if off else ""


CONDITIONS: tuple[Condition, ...] = (
    Condition("step", "the mode now", "the one before it: no mode is left out", _step),
    Condition("first hour", "`conveyor checklist first-hour`, the parts before the mode", "no box fails", _first_hour),
    Condition("quality", "rows of the last hour that are ok", f">= {OK_SHARE_MIN:.0%} of {ROWS_MIN}", _quality),
    Condition("latency", "bar_finalize_ms of the last hour, p95", f"< {ROW_MS_MAX} ms", _latency),
    Condition("budget", "spikes of a symbol in its busiest minute of the last hour, of its budget",
              f"< {BUDGET_SHARE_MAX:.0%}", _budget),
    Condition("replay", "the newest minute of the last `conveyor verify` of this session",
              f"at most {REPLAYED_H_MAX} h ago, of this chain", _replay),
    Condition("kills", "kill switches in force, and core.signals.emit", "none, and on", _kills),
)  # fmt: skip


def unmet(facts: Facts) -> list[str]:
    """Of all conditions those that do not hold, one sentence each."""
    told = [(condition.name, condition.judge(facts)) for condition in CONDITIONS]
    return [f"{name}: {sentence}" for name, sentence in told if sentence]


class Fitness:
    """Of one running engine: what it lacks for the next mode, as it was when it was last looked at."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.target, self.unmet, self.measured_ns = "", list[str](), 0  # 0: never looked at
        self.unknown = 0  # boxes of the first hour before the target that nothing could tell of

    async def look(self, target: str = "") -> list[str]:
        """What does not hold for a mode; the next one unless it is named. A measure that fails does not hold either."""
        now_ns = self._app.clock.now_ns()
        rank = self._app.conveyor.release.rank
        self.target = target or STAGES[min(rank + 1, len(STAGES) - 1)]
        try:
            facts = await self._facts(self.target, now_ns // NS_PER_MS)
            self.unmet = unmet(facts)
            self.unknown = len([box for box in boxes_before(facts.boxes, self.target) if box.verdict == "unknown"])
        except Exception as error:  # nobody's minutes may depend on what is measured beside them
            is_known = isinstance(error, ConveyorError)
            self.unmet = [f"measure: {error}" if is_known else f"measure: {type(error).__name__}: {error}"]
        self.measured_ns = now_ns
        return self.unmet

    async def look_now_and_then(self) -> None:
        """For the quiet part of a minute, in which queries disturb nobody."""
        if self._app.clock.now_ns() - self.measured_ns >= LOOK_MINUTES * NS_PER_MINUTE:
            await self.look()

    async def _facts(self, target: str, now_ms: int) -> Facts:
        app, release = self._app, self._app.conveyor.release
        if app.session is None:
            raise ConfigError("this engine keeps no session, so there is nothing to judge it by")
        ask = partial(self._evidence, app.status())
        found, verified = await asyncio.get_running_loop().run_in_executor(None, ask) if app.threads else ask()
        boxes = first_hour(found)
        return Facts(release.mode, target, found, boxes, verified, release.killed, release.emits, now_ms)

    def evidence(self) -> Evidence:
        """As of now; in this thread."""
        return evidence_of_engine(self._app.status(), self._rows)

    def _evidence(self, status: Status) -> tuple[Evidence, Verified | None]:
        """Beside the loop, where there are threads."""
        assert self._app.session_folder is not None
        return evidence_of_engine(status, self._rows), read_verified(self._app.session_folder, self._chain_of)

    def _rows(self, query: str) -> pa.Table:
        assert self._app.session is not None
        stream = run_query(self._app.session.store, query, ROWS_MAX, QUERY_S, self._app.origin)
        with pa.ipc.open_stream(stream) as reader:
            return reader.read_all()

    def _chain_of(self, link: int) -> str:
        found = self._rows(f"SELECT chain FROM digests WHERE link = {link}")["chain"].to_pylist()
        return str(found[0]) if found else ""
