"""The rules of docs/signals.md over plain values, as naive as they can be told: dicts in, lists out, no arrays.

Nothing here was taken from the engine. A row is {"dq_status": "ok", "tier": "top", "is_in_universe": 1, ...}, a market
{"volatility_regime": "high", "shock_share": 0.2}, a finding {"measure": 3.1, "is_met": 1, ...}; None is null.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
Finding = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A detector as the table and the settings have it, in the order of the table."""

    id: str
    signal_class: str
    threshold: float
    tiers: dict[str, float]
    cooldown_s: int
    half_life_s: int
    stopped_in: tuple[str, ...]
    weights: tuple[float, float, float, float] | None  # primary, secondary, breadth, steepness
    runs: bool = True


@dataclass(frozen=True)
class Rules:
    lines: list[Line]
    classes: dict[str, dict[str, Any]]  # as `conveyor config show` names them
    novelty_weight: float
    rearm_pct: int
    escalation_pct: int
    minute_signals_max: int


@dataclass
class Last:
    """What a key remembers. first: minute of its first signal."""

    first: int
    minute: int
    detector: str
    severity: int


@dataclass
class Candidate:
    symbol: str
    detector: str
    signal_class: str
    finding: Finding
    threshold: float
    reason: str = ""
    severity: int | None = None
    novelty: float | None = None
    raw: float | None = None
    coalesced_into: str = ""
    coalesced: list[str] = field(default_factory=list)  # merged into this one
    first_minute: int | None = None  # of the key, before this reading


class Signals:
    """One engine. Symbols are (venue, name); read() is asked for every revision within grace of a venue's minute."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.place = {line.id: number for number, line in enumerate(rules.lines)}
        self.line = {line.id: line for line in rules.lines}
        self.disarmed: set[tuple[str, str, str]] = set()  # venue, symbol, detector
        self.last: dict[tuple[str, str, str], Last] = {}  # venue, symbol, class
        self.read_minutes: set[tuple[str, str, int]] = set()
        self.of_minute: dict[int, Counter[str]] = {}  # label -> signals of each class, all venues
        self.of_key: Counter[tuple[str, str, str, int]] = Counter()  # venue, symbol, class, label

    def read(
        self, venue: str, minute: int, rows: dict[str, Row], market: Row, findings: dict[str, dict[str, Finding]]
    ) -> list[Candidate]:
        """Candidates of one revision, by symbol and table. findings: symbol -> detector -> what it finds."""
        candidates = []
        read = []
        for name in sorted(rows):
            if (venue, name, minute) in self.read_minutes:
                continue
            row = rows[name]
            if row["dq_status"] == "ok":
                read.append(name)
            for line in self.rules.lines:
                if not line.runs:
                    continue
                finding = findings[name][line.id]
                threshold = line.tiers.get(row["tier"], line.threshold)
                if row["dq_status"] == "ok":
                    self.arm(venue, name, line.id, finding, threshold)
                if finding["measure"] is None or not finding["measure"] >= threshold or not finding["is_met"]:
                    continue
                one = Candidate(name, line.id, line.signal_class, finding, threshold)
                if (venue, name, line.signal_class) in self.last:
                    one.first_minute = self.last[venue, name, line.signal_class].first
                one.reason = self.before_severity(line, row, market, finding)
                if not one.reason:
                    self.score(one, venue, minute, row, market)
                    one.reason = self.behind_severity(one, venue)
                candidates.append(one)
        self.coalesce(candidates)
        for one in candidates:
            if not one.reason:
                one.reason = self.by_key(one, venue, minute)
        self.ration(candidates, minute)
        for one in candidates:
            if not one.reason:
                one.reason = "published"
                self.remember(one, venue, minute)
        self.read_minutes |= {(venue, name, minute) for name in read}
        return candidates

    def arm(self, venue: str, name: str, detector: str, finding: Finding, threshold: float) -> None:
        measure = finding["measure"]
        if measure is None or not finding["is_met"] or measure < self.rules.rearm_pct / 100 * threshold:
            self.disarmed.discard((venue, name, detector))

    @staticmethod
    def before_severity(line: Line, row: Row, market: Row, finding: Finding) -> str:
        if row["is_in_universe"] != 1 and row["is_hot"] != 1:
            return "membership"
        if row["dq_status"] != "ok":
            return "dq"
        if row["is_warming_up"] != 0:
            return "warmup"
        if row["illiquidity_hit"] != 0:
            return "illiquid"
        if not finding["is_allowed"]:
            return "precondition"
        if market["volatility_regime"] in line.stopped_in:
            return "regime"
        return ""

    def score(self, one: Candidate, venue: str, minute: int, row: Row, market: Row) -> None:
        line, weighed = self.line[one.detector], self.rules.classes[one.signal_class]
        weights = line.weights or (
            weighed["primary_weight"], weighed["secondary_weight"], weighed["breadth_weight"], weighed["steepness"]
        )  # fmt: skip
        primary = min(max(one.finding["primary"] or 0.0, 0.0), weighed["primary_max"])
        secondary = min(max(one.finding["secondary"] or 0.0, 0.0), weighed["secondary_max"])
        last = self.last.get((venue, one.symbol, one.signal_class))
        if last is None or last.detector != one.detector:
            one.novelty = self.rules.novelty_weight
        else:
            age_s = 60 * (minute - last.minute)
            one.novelty = self.rules.novelty_weight * (1 - 2.0 ** (-age_s / line.half_life_s))
        one.raw = (
            weights[0] * primary + weights[1] * secondary + weights[2] * (market["shock_share"] or 0.0)
            + one.novelty - 0.3 * (row["illiquidity_penalty"] == 1)
        )  # fmt: skip
        one.severity = round(100 / (1 + math.exp(-weights[3] * (one.raw - weighed["offset"]))))

    def behind_severity(self, one: Candidate, venue: str) -> str:
        assert one.severity is not None
        if one.severity < self.rules.classes[one.signal_class]["severity_min"]:
            return "threshold"
        if (venue, one.symbol, one.detector) in self.disarmed:
            last = self.last[venue, one.symbol, one.signal_class]
            if one.severity * 100 < self.rules.escalation_pct * last.severity:
                return "rearm"
        return ""

    def coalesce(self, candidates: list[Candidate]) -> None:
        came = [one for one in candidates if not one.reason]
        for one in came:
            others = [other for other in came if (other.symbol, other.signal_class) == (one.symbol, one.signal_class)]
            best = min(others, key=lambda other: (-(other.severity or 0), self.place[other.detector]))
            if best is not one:
                one.reason, one.coalesced_into = "coalesced", best.detector
                best.coalesced.append(one.detector)

    def by_key(self, one: Candidate, venue: str, minute: int) -> str:
        assert one.severity is not None
        last = self.last.get((venue, one.symbol, one.signal_class))
        if last is not None and last.detector == one.detector:
            young = 60 * (minute - last.minute) < self.line[one.detector].cooldown_s
            if young and one.severity * 100 < self.rules.escalation_pct * last.severity:
                return "cooldown"
        had = self.of_key[venue, one.symbol, one.signal_class, minute]
        if had >= self.rules.classes[one.signal_class]["symbol_signals_max"]:
            return "budget_symbol"
        return ""

    def ration(self, candidates: list[Candidate], minute: int) -> None:
        had = self.of_minute.setdefault(minute, Counter())
        standing = sorted(
            (one for one in candidates if not one.reason),
            key=lambda one: (-(one.severity or 0), one.symbol, self.place[one.detector]),
        )
        first: list[Candidate] = []
        for one in standing:
            if had[one.signal_class] == 0 and one.signal_class not in [other.signal_class for other in first]:
                first.append(one)
        queue = first + [one for one in standing if one not in first]
        for one in queue:
            if had.total() >= self.rules.minute_signals_max:
                one.reason = "budget_global"
            else:
                had[one.signal_class] += 1

    def remember(self, one: Candidate, venue: str, minute: int) -> None:
        assert one.severity is not None
        key = (venue, one.symbol, one.signal_class)
        first = self.last[key].first if key in self.last else minute
        self.last[key] = Last(first, minute, one.detector, one.severity)
        self.of_key[(*key, minute)] += 1
        for detector in (one.detector, *one.coalesced):
            self.disarmed.add((venue, one.symbol, detector))
