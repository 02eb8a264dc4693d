"""The universe stage: judged at the close of every minute of a venue, told by its lists, by operators and by the load.

Three things make a symbol wanted: a pin, its rank (`base`), the hotlist. Whatever changes what is wanted is one
revision: one `Wanted` for the feeds, one event `universe` for the record. Of the rest of the engine
only the membership columns of the row are written here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import orjson

from config.schema import Core
from engine.core.control import Load
from engine.core.effects import Effect, Event, Wanted
from engine.core.instruments import is_symbol
from engine.core.layouts import (
    CLOCK_RECV,
    CLOCK_SEQ,
    DUE_DEAD,
    DUE_ENTRY,
    DUE_EXIT,
    PINNED_CARRIED,
    PINNED_SETTINGS,
)
from engine.core.minutes import minute_of
from engine.core.registry import Registry
from engine.core.schema import Tier
from engine.core.state import EngineState
from engine.universe import ladder
from engine.universe.coverage import coverage_of
from engine.universe.names import Names
from engine.universe.ranks import judge, observe, refresh, write_membership

NOBODY = np.zeros(0, np.int64)
MINUTES_PER_HOUR = 60
Line = tuple[str, float, float | None]


class Universe:
    """Which symbols of each venue are wanted. Its numbers are arrays of the state; `names` says which is which."""

    def __init__(self, state: EngineState, registry: Registry, core: Core) -> None:
        self.state, self.registry = state, registry
        self.choice, self.symbols = state.universe, state.tape.symbols
        self.candidates, self.loaded = state.universe.candidates, state.universe.loaded[0]
        self.names = Names()
        self.wanted: dict[str, Wanted] = {}  # venue -> the newest
        self.configure(core)

    def configure(self, core: Core) -> None:
        """Go by these settings from now on."""
        self.core, self.settings = core, core.universe
        written = orjson.dumps(core.universe.model_dump(), option=orjson.OPT_SORT_KEYS)
        self.params = hashlib.sha256(written).hexdigest()[:16]

    # ---- what is told ----

    def pin_settings(self) -> list[Effect]:
        """Pins are those of the settings, of an operator, and what is carried already. Their venues are registered."""
        pins = [
            (self.registry.venues.index(venue), name)
            for venue, _, name in (pin.partition(":") for pin in self.settings.pins)
        ]
        why: dict[int, dict[int, str]] = {venue: {} for venue in range(len(self.registry.venues))}
        for venue, name in pins:
            place = self.place(venue, name)
            if place >= 0 and not self.candidates[place]["pinned"] & PINNED_SETTINGS:
                self.pin(place, PINNED_SETTINGS)
                why[venue][place] = "pin"
        for venue, changed in why.items():
            for place in self.names.of(venue).tolist():
                if self.candidates[place]["pinned"] & PINNED_SETTINGS and (venue, self.names.names[place]) not in pins:
                    self.unpin(place, PINNED_SETTINGS)
                    changed[place] = "unpin"
        return [effect for venue, changed in why.items() for effect in self.settle(venue, changed)]

    def take_list(self, venue: int, lines: Sequence[Line]) -> list[Effect]:
        """A venue's own list: (symbol, 24 h volume, open interest or None). It is whole: who is not on it is off.

        The first list chooses the first symbols. One without any line is not believed.
        """
        if not lines:
            return []
        told = [(self.place(venue, name), volume, interest) for name, volume, interest in lines if is_symbol(name)]
        known = [(place, volume, interest) for place, volume, interest in told if place >= 0]
        mine, places = self.names.of(venue), [place for place, _, _ in known]
        self.candidates["listed"][mine] = 0
        self.candidates["day_volume"][mine] = self.candidates["day_interest"][mine] = np.nan
        self.candidates["listed"][places] = 1
        self.candidates["day_volume"][places] = [volume for _, volume, _ in known]
        self.candidates["day_interest"][places] = [np.nan if value is None else value for _, _, value in known]
        if len(known) < len(told):
            detail = {"limit": "core.limits.candidates_max", "reached": len(self.candidates)}
            return [self.event("universe_overflow", self.registry.venues[venue], "", detail)]
        row = self.choice.venues[venue]
        if row["seeded"] or not self.settings.base_symbols:
            return []
        minute = self.next_minute(venue) - 1
        self._refresh(venue, minute)
        row["seeded"], row["changed_minute"] = 1, minute
        best = [place for place in self.by_rank(venue) if self.candidates[place]["volume"] > 0]
        chosen = [place for place in best[: self.settings.base_symbols] if not self.candidates[place]["pinned"]]
        return self.settle(venue, {place: "seed" for place in chosen if self._choose(place, minute)})

    def take_host(self, kind: str) -> None:
        """What the process noticed about itself, as far as it changes what a sample means."""
        if kind in ("journal_full", "journal_has_room"):
            self.loaded["disk_full"] = kind == "journal_full"

    def take_load(self, sample: Load) -> list[Effect]:
        """A sample of the load: the level it leads to, and what that sheds."""
        loaded, effects = self.loaded, list[Effect]()
        before = (int(loaded["level"]), int(loaded["steps"]))
        if loaded["disk_full"]:
            sample = replace(sample, lag_ms=0)  # to carry less does not help a disk
        ladder.take(loaded, sample, int(self.state.tape.clock[CLOCK_RECV]), self.core.load)
        after = (int(loaded["level"]), int(loaded["steps"]))
        level = str(ladder.LoadLevel(after[0]))
        if after[0] != before[0]:
            told = {"level": level, "before": str(ladder.LoadLevel(before[0]))} | asdict(sample)
            effects.append(self.event("load", "", "", told | {"finalize_p95_ms": ladder.finalize_p95_ms(loaded)}))
        return effects + self.settle_all(f"load {level}") if after != before else effects

    def mark(self, venue: int, minute: int, members: np.ndarray, rows: np.ndarray) -> None:
        """Write the membership columns of a minute that closes, as they stood while it was open."""
        revision = int(self.choice.venues[venue]["revision"])
        write_membership(members, revision, self.choice.carried, self.candidates, rows)
        self.choice.venues[venue]["fresh"] = observe(members, minute, rows, self.choice.carried)

    def close(self, venue: int, minute: int) -> list[Effect]:
        """The rules, after the rows of `minute` were judged; what they change counts from the next minute on."""
        order, row = self.names.of(venue), self.choice.venues[venue]
        self._refresh(venue, minute)
        why = self._cool(order, minute)
        effects = self._obey_rules(venue, minute, order, why) if row["fresh"] and not row["emergency"] else []
        effects += self.settle(venue, why)
        self._set_tiers(order)
        return effects

    def _obey_rules(self, venue: int, minute: int, order: np.ndarray, why: dict[int, str]) -> list[Effect]:
        """Exits of the dead first; then, unless the universe is frozen, exits and entries by rank within the cap."""
        settings, base = self.settings, self.settings.base_symbols
        due = judge(
            order, minute, base - settings.entry_margin_ranks if base else 0, base + settings.exit_margin_ranks,
            settings.entry_minutes, settings.exit_minutes, settings.dwell_minutes, settings.stale_minutes,
            float(settings.dead_volume_quote), self.choice.carried, self.candidates,
        )  # fmt: skip
        if not due:
            return []
        row = self.choice.venues[venue]
        frozen = row["changed_minute"] >= 0 and minute - row["changed_minute"] < settings.freeze_minutes
        if row["hour"] != minute // MINUTES_PER_HOUR:
            row["hour"], row["hour_changes"] = minute // MINUTES_PER_HOUR, 0
        dead = self._due(order, DUE_DEAD)
        changes = len(dead)
        for place in dead:
            one = self.candidates[place]
            one["base"] = one["hot_until"] = one["hot_severity"] = 0
            one["barred_until"] = minute + 1 + settings.dead_pause_minutes
            why[place] = "dead"
        exits = [] if frozen else [place for place in self._due(order, DUE_EXIT) if place not in dead]
        entries = [] if frozen else [place for place in self._due(order, DUE_ENTRY) if place not in dead]
        for place in reversed(exits):  # the worst first
            if row["hour_changes"] + changes < settings.churn_hourly_max:
                self.candidates[place]["base"] = 0
                why[place], changes = "exit", changes + 1
        kept_out: list[str] = []
        for place in entries:
            if row["hour_changes"] + changes < settings.churn_hourly_max:
                if self._choose(place, minute):
                    why[place], changes = "entry", changes + 1
                else:
                    kept_out.append(self.names.names[place])
        if changes:
            row["hour_changes"] += changes
            row["changed_minute"] = minute
        if not kept_out or row["full_hour"] == row["hour"]:
            return []
        row["full_hour"] = row["hour"]
        detail = {"limit": "core.limits.symbols_max", "reached": len(self.symbols), "kept_out": tuple(kept_out)}
        return [self.event("universe_full", self.registry.venues[venue], "", detail)]

    def _cool(self, order: np.ndarray, minute: int) -> dict[int, str]:
        """Take those off the hotlist whose time is over."""
        until = self.candidates["hot_until"][order]
        return {place: self.cool(place, "hot_expired") for place in order[(until > 0) & (until <= minute + 1)].tolist()}

    def _due(self, order: np.ndarray, what: int) -> list[int]:
        """Candidates of whom something is due, best rank first."""
        places = order[self.candidates["due"][order] & what != 0].tolist()
        return sorted(places, key=lambda place: int(self.candidates[place]["rank"]))

    # ---- what changes a candidate ----

    def place(self, venue: int, name: str) -> int:
        """Where a symbol stands, entered if it is new; -1 if there is no place left."""
        place = self.names.place(venue, name)
        if place < 0 and len(self.names.names) < len(self.candidates):
            place = self.names.add(venue, name)
            one = self.candidates[place]
            one["venue"], one["symbol"] = venue, self.registry.symbol(self.registry.venues[venue], name)
            one["rank"] = one["volume_rank"] = len(self.candidates)
        return place

    def pin(self, place: int, by: int) -> None:
        """A pin holds a symbol until every hand that pinned it has let go; its rank does not matter meanwhile."""
        one = self.candidates[place]
        one["pinned"] |= by
        one["base"] = one["barred_until"] = 0

    def unpin(self, place: int, by: int) -> None:
        """Let go. A symbol whose rank would not expel it stays by rank."""
        one = self.candidates[place]
        one["pinned"] &= ~by
        last_rank = self.settings.base_symbols + self.settings.exit_margin_ranks
        if not one["pinned"] and self.settings.base_symbols and one["rank"] <= last_rank:
            one["base"], one["entered_minute"] = 1, self.next_minute(int(one["venue"])) - 1

    def heat(self, place: int, severity: int) -> dict[int, str]:
        """Put a symbol on the hotlist, or keep it there for longer. With the list full the next to expire has to go."""
        one, venue = self.candidates[place], int(self.candidates[place]["venue"])
        begin = self.next_minute(venue)
        ttl_s = 60 * self.settings.hot_ttl_minutes + self.settings.hot_ttl_severity_s * severity
        why = {place: "hot"}
        if not one["hot_until"]:
            order = self.names.of(venue)
            hot = order[self.candidates["hot_until"][order] > 0].tolist()
            if len(hot) >= self.settings.hot_symbols_max:
                first = min(hot, key=lambda p: (self.candidates[p]["hot_until"], self.candidates[p]["hot_severity"]))
                why[first] = self.cool(first, "hot_evicted")
        one["hot_until"] = max(int(one["hot_until"]), begin + ttl_s // 60)
        one["hot_severity"], one["barred_until"] = severity, 0
        return why

    def cool(self, place: int, why: str) -> str:
        """Take a symbol off the hotlist; the reason is handed on."""
        self.candidates[place]["hot_until"] = self.candidates[place]["hot_severity"] = 0
        return why

    def _choose(self, place: int, minute: int) -> bool:
        """Let a symbol in by rank, if the engine has room for its rows."""
        if not self.has_room([place]):
            return False
        self.candidates[place]["base"], self.candidates[place]["entered_minute"] = 1, minute
        return True

    def has_room(self, places: list[int]) -> bool:
        """Whether these have rows, or may have: instruments are never forgotten, and their number is a limit."""
        used = self.candidates[: len(self.names.names)]
        chosen = (used["base"] > 0) | (used["pinned"] > 0) | (used["hot_until"] > 0)
        chosen[places] = True
        awaited = int(np.count_nonzero(chosen & (used["symbol"] < 0)))
        already = all(self.candidates[place]["symbol"] >= 0 for place in places)
        return already or len(self.registry.instruments) + awaited <= len(self.symbols)

    def adopt(self) -> None:
        """Link what is carried to its candidate; what nobody asked for here counts as pinned, without a revision."""
        carried = self.choice.carried
        for s in np.flatnonzero((self.symbols["active"] == 1) & (carried["candidate"] < 0)).tolist():
            place = self.place(int(self.symbols[s]["venue"]), self.registry.names[s])
            if place < 0:
                continue
            one = self.candidates[place]
            carried[s]["candidate"], one["symbol"] = place, s
            if not one["known"]:
                one["pinned"] = PINNED_CARRIED
                one["known"] = one["wanted"] = one["in_universe"] = 1

    # ---- what follows from the candidates ----

    def settle(self, venue: int, why: dict[int, str], note: str = "") -> list[Effect]:
        """Derive what is wanted; if that is a change, one revision. why: place -> reason, of those that changed."""
        order, row = self.names.of(venue), self.choice.venues[venue]
        self._set_emergency(venue)
        before = {name: self._column(name, order) > 0 for name in ("wanted", "in_universe", "hot", "shed")}
        chosen = (self._column("base", order) > 0) | (self._column("pinned", order) > 0)
        hot = self._column("hot_until", order) > 0
        wanted = self._column("kept", order) > 0 if row["emergency"] else chosen | hot
        count = ladder.shed_count(self.loaded, int(np.count_nonzero(wanted)), self.core.load)
        shed = before["shed"]
        if (wanted != before["wanted"]).any() or int(np.count_nonzero(shed)) != count:
            worst_first = np.where(wanted, -self._column("rank", order), 1)
            last = np.argsort(worst_first, kind="stable")[:count]
            shed = np.zeros(len(order), bool)
            shed[last] = True
        after = {"wanted": wanted, "in_universe": wanted & chosen, "hot": wanted & hot, "shed": shed}
        if all(np.array_equal(before[name], flags) for name, flags in after.items()):
            return []
        for name, flags in after.items():
            self.candidates[name][order] = flags
        self.candidates["known"][order[wanted]] = 1
        row["revision"] += 1
        return self._tell(venue, before["wanted"], why, note)

    def _tell(self, venue: int, before: np.ndarray, why: dict[int, str], note: str) -> list[Effect]:
        """The new revision as effects."""
        order, row = self.names.of(venue), self.choice.venues[venue]
        wanted, shed = self.candidates["wanted"][order] > 0, self.candidates["shed"][order] > 0

        def named(flags: np.ndarray) -> tuple[str, ...]:
            return tuple(self.names.names[place] for place in order[flags].tolist())

        covered, enough = coverage_of(self.candidates, order, self.settings.coverage_min_pct)
        detail: dict[str, Any] = {
            "rev": int(row["revision"]), "added": named(wanted & ~before), "removed": named(before & ~wanted),
            "reasons": {self.names.names[place]: reason for place, reason in why.items()}, "note": note,
            "without_depth": named(shed), "count": int(np.count_nonzero(wanted)), "params": self.params,
            "coverage": covered,
        }  # fmt: skip
        if self.settings.base_symbols and covered is not None and 100 * covered < self.settings.coverage_min_pct:
            detail["base_symbols_proposed"] = enough
        reason = ", ".join(dict.fromkeys([*why.values(), *([note] if note else [])]))
        name = self.registry.venues[venue]
        seq = int(self.state.tape.clock[CLOCK_SEQ])
        self.wanted[name] = Wanted(seq, name, int(row["revision"]), named(wanted), named(shed), reason)
        return [self.wanted[name], self.event("universe", name, "", detail)]

    def settle_all(self, note: str) -> list[Effect]:
        """Every venue again, after something that concerns them all."""
        return [effect for venue in range(len(self.registry.venues)) for effect in self.settle(venue, {}, note)]

    def _set_emergency(self, venue: int) -> None:
        """At its begin the best few are kept, pinned ones first; until its end nothing else is carried."""
        row, order = self.choice.venues[venue], self.names.of(venue)
        if row["emergency"] == ladder.in_emergency(self.loaded):
            return
        row["emergency"] = not row["emergency"]
        self.candidates["kept"][order] = 0
        if row["emergency"]:
            wanted = [place for place in self.by_rank(venue) if self.candidates[place]["wanted"]]
            wanted.sort(key=lambda place: not self.candidates[place]["pinned"])
            self.candidates["kept"][wanted[: self.settings.emergency_symbols]] = 1

    def _set_tiers(self, order: np.ndarray) -> None:
        """Tiers of what is wanted by volume: the first tenth is top, the last tail. Unknown volume has no tier."""
        ranked = order[(self._column("wanted", order) > 0) & ~np.isnan(self._column("volume", order))]
        ranked = ranked[np.argsort(self.candidates["volume_rank"][ranked], kind="stable")]
        tenth = (len(ranked) + 9) // 10
        self.candidates["tier"][order] = Tier.NONE
        self.candidates["tier"][ranked] = Tier.MID
        self.candidates["tier"][ranked[len(ranked) - tenth :]] = Tier.TAIL
        self.candidates["tier"][ranked[:tenth]] = Tier.TOP

    # ---- small things ----

    def _column(self, name: str, order: np.ndarray) -> np.ndarray:
        """One field of some candidates: a copy; taking whole records took 140 us of 1,000."""
        return self.candidates[name][order]

    def by_rank(self, venue: int) -> list[int]:
        """A venue's candidates, best first."""
        order = self.names.of(venue)
        return [int(place) for place in order[np.argsort(self.candidates["rank"][order], kind="stable")]]

    def spared(self, venue: int) -> np.ndarray:
        """Symbols whose minutes no detector looks at while the process is slow: (n,) int64. One that is hot is none."""
        level = int(self.loaded["level"])
        if level < ladder.LoadLevel.SLOW:
            return NOBODY
        carried = [place for place in self.by_rank(venue) if self.candidates[place]["wanted"]]
        last = carried[len(carried) - ladder.fifth(len(carried)) :]
        if level >= ladder.LoadLevel.BEHIND:
            last = [place for place in carried if place in last or self.candidates[place]["tier"] == Tier.TAIL]
        symbols = [int(self.candidates[place]["symbol"]) for place in last if not self.candidates[place]["hot"]]
        return np.array([symbol for symbol in symbols if symbol >= 0], np.int64)

    def next_minute(self, venue: int) -> int:
        """The minute that a change counts from: the venue's open one, else that of the record in hand."""
        open_minute = int(self.state.tape.venues[venue]["open_minute"])
        return open_minute if open_minute >= 0 else minute_of(int(self.state.tape.clock[CLOCK_RECV]))

    def event(self, kind: str, venue: str, symbol: str, detail: dict[str, Any]) -> Event:
        clock = self.state.tape.clock
        return Event(int(clock[CLOCK_SEQ]), int(clock[CLOCK_RECV]), kind, venue, symbol, detail)

    def _refresh(self, venue: int, minute: int) -> None:
        symbols = self.symbols[: len(self.registry.instruments)]
        order = self.names.of(venue)
        refresh(self.choice, symbols, self.state.windows, order, venue, minute, self.settings)

    # ---- across a restart ----

    def encode(self) -> dict[str, Any]:
        """What is not in the arrays, as JSON."""
        return {"names": self.names.encode(), "wanted": [asdict(wanted) for wanted in self.wanted.values()]}

    def recall(self, told: dict[str, Any]) -> None:
        self.names = Names.decode(told["names"])
        for wanted in told["wanted"]:
            lists = {name: tuple(wanted[name]) for name in ("symbols", "without_depth")}
            self.wanted[wanted["venue"]] = Wanted(**(wanted | lists))
