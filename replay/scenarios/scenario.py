"""What a scenario is, and what came of one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from replay.exchange.plan import Plan
from replay.scenarios.judge import Finding
from replay.scenarios.oracle import Hit

MINUTES = 6


@dataclass(frozen=True, slots=True)
class Scenario:
    """faults: numbers of the catalogue; none: a calm session. bystander: another venue runs beside it, untouched."""

    faults: tuple[int, ...]
    seed: int
    venue: str
    minutes: int = MINUTES
    bystander: bool = False

    def __str__(self) -> str:
        done = "+".join(map(str, self.faults)) or "no fault"
        return f"fault {done}, seed {self.seed}, {self.venue}{' and another venue' if self.bystander else ''}"

    @property
    def folder(self) -> str:
        """Name of the folder it is played in."""
        return str(self).replace(", ", "_").replace(" ", "-")


@dataclass(slots=True)
class Outcome:
    """What came of a scenario. journal: kept if there are findings; None otherwise.

    close_ms, close_in_it_ms: from the record that closed a minute to its rows in the store, of the minutes before a
    flood and of those in it. answers, status_s: what the flood was told, and how long a status took.
    """

    scenario: Scenario
    plan: Plan
    hits: tuple[Hit, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    ok: int = 0
    marked: Counter[str] = field(default_factory=Counter)
    noticed_s: list[float] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)
    attempts_a_minute: int = 0
    books_compared: int = 0
    stopped_s: list[float] = field(default_factory=list)
    close_ms: list[float] = field(default_factory=list)
    close_in_it_ms: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    status_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    journal: Path | None = None
