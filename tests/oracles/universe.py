"""The rules of docs/universe.md over plain lists, as naive as they can be told: one venue, no arrays.

Every minute everything is derived again from the whole past that it needs. Nothing here was taken from the engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Row(NamedTuple):
    """What a closed row says: quote volume, open interest in quote units if it has both, whether it was stale."""

    volume: float
    interest: float | None
    stale: bool


@dataclass
class Symbol:
    pinned: bool = False
    base: bool = False
    hot_until: int | None = None
    severity: int = 0
    entered: int = 0
    barred_until: int = 0
    known: bool = False
    listed: tuple[float, float | None] | None = None
    rows: list[Row] = field(default_factory=list)  # in a row, the newest last
    row_minute: int = -1
    good_ranks: int = 0
    bad_ranks: int = 0
    stale_minutes: int = 0


@dataclass(frozen=True)
class Told:
    """One revision."""

    revision: int
    wanted: tuple[str, ...]
    without_depth: tuple[str, ...]


class Universe:
    def __init__(self, settings: dict[str, Any], room: int) -> None:
        self.s, self.room = settings, room
        self.symbols: dict[str, Symbol] = {}
        self.wanted: set[str] = set()
        self.in_universe: set[str] = set()
        self.hot: set[str] = set()
        self.shed: set[str] = set()
        self.tiers: dict[str, str] = {}
        self.instruments: set[str] = set()
        self.revision = 0
        self.told: list[Told] = []
        self.ranks: dict[str, int] = {}
        self.volumes: dict[str, float | None] = {}
        self.changed: int | None = None
        self.churn: dict[int, int] = {}
        self.seeded = False
        self.emergency = False
        self.kept: set[str] = set()
        self.shed_asked = 0
        self.full_hours: list[int] = []

    def symbol(self, name: str) -> Symbol:
        return self.symbols.setdefault(name, Symbol())

    # ---- what happens ----

    def take_list(self, next_minute: int, lines: dict[str, tuple[float, float | None]]) -> None:
        if not lines:
            return
        for one in self.symbols.values():
            one.listed = None
        for name, line in lines.items():
            self.symbol(name).listed = line
        if self.seeded or not self.s["base_symbols"]:
            return
        self.rank(next_minute - 1)
        self.seeded, self.changed = True, next_minute - 1
        first = [name for name in self.by_rank() if (self.volumes[name] or 0) > 0][: self.s["base_symbols"]]
        for name in first:
            if not self.symbols[name].pinned:
                self.let_in(name, next_minute - 1)
        self.settle()

    def pin(self, names: list[str]) -> None:
        for name in names:
            one = self.symbol(name)
            one.pinned, one.base, one.barred_until = True, False, 0
        self.settle()

    def unpin(self, next_minute: int, names: list[str]) -> None:
        for name in names:
            one = self.symbol(name)
            one.pinned = False
            stays = self.ranks.get(name, 10**6) <= self.s["base_symbols"] + self.s["exit_margin_ranks"]
            if self.s["base_symbols"] and stays:
                one.base, one.entered = True, next_minute - 1
        self.settle()

    def heat(self, next_minute: int, name: str, severity: int) -> None:
        one = self.symbol(name)
        if one.hot_until is None:
            hot = [(other.hot_until, other.severity, n) for n, other in self.symbols.items() if other.hot_until]
            if len(hot) >= self.s["hot_symbols_max"]:
                self.symbols[min(hot)[2]].hot_until = None
        minutes = (self.s["hot_ttl_minutes"] * 60 + self.s["hot_ttl_severity_s"] * severity) // 60
        one.hot_until = max(one.hot_until or 0, next_minute + minutes)
        one.severity, one.barred_until = severity, 0
        self.settle()

    def unheat(self, name: str) -> None:
        self.symbols[name].hot_until = None
        self.settle()

    def switch_emergency(self, on: bool) -> None:
        if on and not self.emergency:
            best = sorted(self.wanted, key=lambda n: (not self.symbols[n].pinned, self.ranks.get(n, 10**6), n))
            self.kept = set(best[: self.s["emergency_symbols"]])
        self.emergency = on
        self.settle()

    def ask_shed(self, count: int) -> None:
        self.shed_asked = count
        self.settle()

    def close(self, minute: int, rows: dict[str, Row]) -> None:
        """A minute has closed. The columns of its rows are what stood before this call."""
        outage = all(row.stale for row in rows.values())
        for name, row in rows.items():
            one = self.symbol(name)
            if one.row_minute != minute - 1 or outage:
                one.rows = []
            if not outage:
                one.rows.append(row)
            one.row_minute = minute
        self.rank(minute)
        for one in self.symbols.values():
            if one.hot_until is not None and one.hot_until <= minute + 1:
                one.hot_until = None
        if not outage and not self.emergency:
            self.rules(minute, rows)
        self.settle()
        self.set_tiers()

    def adopt(self, names: Iterable[str]) -> None:
        """These are carried from now on; whoever was never asked for counts as pinned."""
        for name in names:
            self.instruments.add(name)
            one = self.symbol(name)
            if not one.known:
                one.known = one.pinned = True
                self.wanted.add(name)
                self.in_universe.add(name)

    # ---- the rules ----

    def rules(self, minute: int, rows: dict[str, Row]) -> None:
        n = self.s["base_symbols"]
        for name, one in self.symbols.items():
            here = name in rows and not rows[name].stale
            one.stale_minutes = one.stale_minutes + 1 if name in self.wanted and not here else 0
            rank = self.ranks[name]
            enters = (
                n > 0 and not one.base and not one.pinned and self.volumes[name] is not None
                and rank <= n - self.s["entry_margin_ranks"] and minute + 1 >= one.barred_until
            )  # fmt: skip
            one.good_ranks = one.good_ranks + 1 if enters else 0
            one.bad_ranks = one.bad_ranks + 1 if one.base and rank > n + self.s["exit_margin_ranks"] else 0
        hour = minute // 60
        frozen = self.changed is not None and minute < self.changed + self.s["freeze_minutes"]
        changes = []
        for name in self.by_rank():
            one = self.symbols[name]
            own = self.own_volume(one, minute)
            dead = one.stale_minutes >= self.s["stale_minutes"] and own < self.s["dead_volume_quote"]
            if name in self.wanted and not one.pinned and dead:
                one.base, one.hot_until = False, None
                one.barred_until = minute + 1 + self.s["dead_pause_minutes"]
                changes.append(name)
        if not frozen:
            for name in reversed(self.by_rank()):
                one = self.symbols[name]
                due = one.bad_ranks >= self.s["exit_minutes"] and minute >= one.entered + self.s["dwell_minutes"]
                if due and name not in changes and self.budget(hour, changes):
                    one.base = False
                    changes.append(name)
            kept_out = False
            for name in self.by_rank():
                due = self.symbols[name].good_ranks >= self.s["entry_minutes"] and name not in changes
                if due and self.budget(hour, changes):
                    if self.let_in(name, minute):
                        changes.append(name)
                    else:
                        kept_out = True
            if kept_out and hour not in self.full_hours:
                self.full_hours.append(hour)
        if changes:
            self.churn[hour] = self.churn.get(hour, 0) + len(changes)
            self.changed = minute

    def budget(self, hour: int, changes: list[str]) -> bool:
        return self.churn.get(hour, 0) + len(changes) < self.s["churn_hourly_max"]

    def let_in(self, name: str, minute: int) -> bool:
        chosen = {n for n, one in self.symbols.items() if one.base or one.pinned or one.hot_until is not None}
        if name not in self.instruments and len(self.instruments | chosen | {name}) > self.room:
            return False
        self.symbols[name].base, self.symbols[name].entered = True, minute
        return True

    # ---- figures ----

    def own_volume(self, one: Symbol, minute: int) -> float:
        return (
            sum(row.volume for row in one.rows[-self.s["volume_lookback_minutes"] :])
            if one.row_minute == minute
            else 0.0
        )

    def rank(self, minute: int) -> None:
        lookback = self.s["volume_lookback_minutes"]
        running = {name: one for name, one in sorted(self.symbols.items()) if one.row_minute == minute and one.rows}
        whole = [one for one in running.values() if len(one.rows) >= lookback and one.listed and one.listed[0] > 0]
        made = sum(self.own_volume(one, minute) for one in whole)
        pace = made / sum(one.listed[0] for one in whole if one.listed) if made > 0 else lookback / 1440
        self.volumes, interests = {}, {}
        for name, one in self.symbols.items():
            rows = one.rows if name in running else []
            if len(rows) >= lookback:
                self.volumes[name] = self.own_volume(one, minute)
            elif one.listed is not None:
                self.volumes[name] = one.listed[0] * pace
            elif rows:
                self.volumes[name] = self.own_volume(one, minute) * lookback / len(rows)
            else:
                self.volumes[name] = None
            told = [r.interest for r in rows[-self.s["interest_lookback_minutes"] :] if r.interest is not None]
            interests[name] = sum(told) / len(told) if told else one.listed[1] if one.listed else None
        by_volume = self.places({n: v for n, v in self.volumes.items() if v is not None})
        by_interest = self.places({n: v for n, v in interests.items() if v is not None})
        weight = self.s["volume_weight_pct"]
        scores = {}
        for name in by_volume:
            scores[name] = 100 * by_volume[name]
            if name in by_interest:
                scores[name] = weight * by_volume[name] + (100 - weight) * by_interest[name]
        ranked = sorted(scores, key=lambda n: (scores[n], n)) + sorted(n for n in self.symbols if n not in scores)
        self.ranks = {name: place for place, name in enumerate(ranked, 1)}

    @staticmethod
    def places(values: dict[str, float]) -> dict[str, int]:
        return {name: place for place, name in enumerate(sorted(values, key=lambda n: (-values[n], n)), 1)}

    def by_rank(self) -> list[str]:
        return sorted(self.ranks, key=lambda n: self.ranks[n])

    # ---- what follows ----

    def settle(self) -> None:
        chosen = {n for n, one in self.symbols.items() if one.base or one.pinned}
        hot = {n for n, one in self.symbols.items() if one.hot_until is not None}
        wanted = set(self.kept) if self.emergency else chosen | hot
        count = min(len(wanted), self.shed_asked)
        shed = self.shed
        if wanted != self.wanted or len(shed) != count:
            worst = sorted(wanted, key=lambda n: (-self.ranks.get(n, 10**6), n))
            shed = set(worst[:count])
        after = (wanted, wanted & chosen, wanted & hot, shed)
        if after == (self.wanted, self.in_universe, self.hot, self.shed):
            return
        self.wanted, self.in_universe, self.hot, self.shed = after
        for name in wanted:
            self.symbols[name].known = True
        self.revision += 1
        self.told.append(Told(self.revision, tuple(sorted(wanted)), tuple(sorted(shed))))

    def set_tiers(self) -> None:
        known = {n: v for n in self.wanted if (v := self.volumes.get(n)) is not None}
        ordered = sorted(known, key=lambda n: (-known[n], n))
        tenth = -(-len(ordered) // 10)
        self.tiers = dict.fromkeys(self.symbols, "none")
        for place, name in enumerate(ordered):
            tail = place >= len(ordered) - tenth
            self.tiers[name] = "top" if place < tenth else "tail" if tail else "mid"
