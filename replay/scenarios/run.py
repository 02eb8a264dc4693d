"""Many scenarios, one table: what `conveyor chaos feeds` runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay.scenarios.catalogue import CATALOGUE, VENUES, fault
from replay.scenarios.play import play
from replay.scenarios.processes import play_processes
from replay.scenarios.scenario import MINUTES, Outcome, Scenario

NO_FAULT = 0


@dataclass(slots=True)
class Line:
    """One line of the table: a fault alone, all pairs together, or no fault at all (number 0)."""

    number: int
    name: str
    runs: int = 0
    rows: int = 0
    ok: int = 0
    marked: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    noticed_s: list[float] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)
    close_ms: list[float] = field(default_factory=list)
    close_in_it_ms: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    status_s: list[float] = field(default_factory=list)
    attempts_a_minute: int = 0
    tested_elsewhere: str = ""

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.rows += outcome.rows
        self.ok += outcome.ok
        self.marked.update(outcome.marked)
        self.findings.update(finding.kind for finding in outcome.findings)
        self.noticed_s += outcome.noticed_s
        self.recovered_s += outcome.recovered_s
        self.close_ms += outcome.close_ms
        self.close_in_it_ms += outcome.close_in_it_ms
        self.answers.update(outcome.answers)
        self.status_s += outcome.status_s
        self.attempts_a_minute = max(self.attempts_a_minute, outcome.attempts_a_minute)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fault": self.number, "name": self.name, "runs": self.runs, "rows": self.rows, "ok": self.ok,
            "marked": dict(self.marked.most_common()), "findings": dict(self.findings),
            "noticed_p95_s": p95(self.noticed_s), "recovered_p95_s": p95(self.recovered_s),
            "close_p95_ms": p95(self.close_ms), "close_in_it_p95_ms": p95(self.close_in_it_ms),
            "answers": dict(self.answers.most_common()), "status_p95_s": p95(self.status_s),
            "attempts_a_minute": self.attempts_a_minute, "tested_elsewhere": self.tested_elsewhere,
        }  # fmt: skip


def p95(values: Sequence[float]) -> float | None:
    """The least value that 95 of 100 do not exceed; None without values."""
    ordered = sorted(values)
    return round(ordered[-(len(ordered) // 20) - 1], 3) if ordered else None


def scenarios(faults: Sequence[int], seeds: int, pairs: int, first_seed: int = 0) -> Iterator[Scenario]:
    """Sessions without a fault, every fault with every seed, and pairs drawn at random from the same faults."""
    chosen = [one for one in CATALOGUE if one.number in faults and not one.tested_elsewhere]
    for seed in range(first_seed, first_seed + seeds):
        if NO_FAULT in faults:
            yield from (Scenario((), seed, venue) for venue in VENUES)
        yield from (scenario((one.number,), seed) for one in chosen)
    chosen = [one for one in chosen if one.in_memory]
    if len(chosen) > 1:
        for seed in range(first_seed, first_seed + pairs):
            first, second = random.Random(seed).sample(chosen, 2)
            yield scenario((first.number, second.number), seed)


def scenario(numbers: tuple[int, ...], seed: int, minutes: int = MINUTES) -> Scenario:
    """A fault or a pair with one seed. Venues take turns; beside one in three runs a venue that nothing is done to."""
    chosen = [fault(number) for number in numbers]
    venues = [venue for venue in VENUES if all(venue in one.venues for one in chosen)]
    bystander = seed % 3 == 2 and all(one.in_memory for one in chosen)
    return Scenario(numbers, seed, venues[(seed + numbers[0]) % len(venues)], minutes, bystander)


@dataclass(slots=True)
class Report:
    """lines: by fault, then the pairs. failures: outcomes with a finding, as they came."""

    lines: dict[int, Line] = field(default_factory=dict)
    pairs: Line = field(default_factory=lambda: Line(-1, "pairs of faults"))
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        numbers = outcome.scenario.faults
        if len(numbers) > 1:
            self.pairs.add(outcome)
        else:
            self.line(numbers[0] if numbers else NO_FAULT).add(outcome)
        if outcome.findings:
            self.failures.append(outcome)

    def line(self, number: int) -> Line:
        if number not in self.lines:
            one = fault(number) if number else None
            self.lines[number] = Line(
                number, one.name if one else "no fault", tested_elsewhere=one.tested_elsewhere if one else ""
            )
        return self.lines[number]

    def as_dict(self) -> dict[str, Any]:
        lines = [self.lines[number].as_dict() for number in sorted(self.lines)]
        return {"lines": lines + ([self.pairs.as_dict()] if self.pairs.runs else [])}


def run(
    faults: Sequence[int], seeds: int, pairs: int, folder: Path, first_seed: int = 0,
    progress: Callable[[float], None] = lambda count: None,
) -> Report:  # fmt: skip
    """Play them all, one after the other, in folder. A journal stays there only if its scenario failed."""
    report = Report()
    for number in faults:
        report.line(number)
    for one in scenarios(faults, seeds, pairs, first_seed):
        in_memory = all(fault(number).in_memory for number in one.faults)
        report.add(play(one, folder) if in_memory else play_processes(one, folder))
        progress(1)
    return report


HEADINGS = ("fault", "name", "runs", "rows", "ok", "marked", "wrong", "wolf", "other", "noticed p95", "recovered p95")


def table(report: Report) -> list[tuple[str, ...]]:
    """Rows under HEADINGS, for people."""
    lines = [report.lines[number] for number in sorted(report.lines)]
    return [_cells(line) for line in [*lines, *([report.pairs] if report.pairs.runs else [])]]


def _cells(line: Line) -> tuple[str, ...]:
    number = {NO_FAULT: "", -1: ""}.get(line.number, str(line.number))
    if line.tested_elsewhere:
        return (number, line.name, line.tested_elsewhere, *[""] * (len(HEADINGS) - 3))
    wrong, wolf = line.findings["wrong"], line.findings["wolf"]
    others = sum(line.findings.values()) - wrong - wolf
    marked = ", ".join(f"{reason} {count}" for reason, count in line.marked.most_common())
    seconds = ("" if value is None else f"{value:.1f} s" for value in (p95(line.noticed_s), p95(line.recovered_s)))
    return (
        number, line.name, str(line.runs), str(line.rows), str(line.ok), marked, str(wrong), str(wolf), str(others),
        *seconds,
    )  # fmt: skip


def markdown(report: Report) -> str:
    """The table of docs/reliability.md."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *table(report)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"
