"""A venue that follows its universe: what is wanted is carried from the next minute on, as feeds would do it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.schema import Core
from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.effects import Effect, Event, MinuteRows, Wanted
from engine.core.instruments import Instrument
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind, batch_of, encode
from tests.engine.running import M, Row, batches, values
from tests.engine.story import START_MS, Story, compact

VENUE = "hyperliquid"


@dataclass
class Minute:
    """One minute of a session. volumes: quantity traded at 100 by symbol, of those that are carried."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    interests: Mapping[str, int] = field(default_factory=dict)
    silent: Sequence[str] = ()  # streams that fall silent at its begin
    back: Sequence[str] = ()
    outage: bool = False  # the connection is away from its 10th to its 20th second
    listed: Mapping[str, tuple[int, int | None]] | None = None  # a list, at its 30th second
    command: Sequence[str] = ()  # at its 31st


class Belt:
    """A conveyor and its feeds, minute by minute from M on."""

    def __init__(self, core: Core, carried: Iterable[str] = (), refused: Sequence[str] = (), cut: int = 0) -> None:
        """refused: symbols that never come. cut: batches of so many records; 0: one batch a minute."""
        self.story, self.refused, self.cut = Story(VENUE, ()), refused, cut
        self.conveyor, self.effects = Conveyor(), list[Effect]()
        self.wanted: Sequence[str] = sorted(carried)
        self.carried: Sequence[str] = ()
        self.instruments: set[str] = set()
        self.minute = 0
        self._done = 0
        self.effects += self.conveyor.handle(
            batch_of(encode(Record(-1, START_MS * NS_PER_MS, 0, RecordKind.CONFIG, core.encode())))
        )
        self._follow(self.effects)
        self.story.connection("up", -1_000)

    def play(self, minute: Minute) -> list[Effect]:
        """One more minute; what came of it. The minute before closes in its first seconds."""
        story, at = self.story, self.minute * MS_PER_MINUTE
        self._subscribe(at)
        for place, name in enumerate(self.carried):
            story.trade(at + 1_000 + place, quantity=str(minute.volumes.get(name, 1)), symbol=name)
            story.quote(at + 1_100 + place, symbol=name)
            if name in minute.interests:
                context = {"openInterest": str(minute.interests[name]), "markPx": "100", "oraclePx": "100"}
                story.frame(at + 1_200, {"channel": "activeAssetCtx", "data": {"coin": name, "ctx": context}})
        story.ticks(at + 2_000, at + 6_000, 1_000)
        for state, names in (("silent", minute.silent), ("back", minute.back)):
            for name in names:
                if name in self.carried:
                    since_ns = (START_MS + at + 1_000) * NS_PER_MS
                    turn = {"venue": VENUE, "channel": "trades", "symbol": name, "state": state, "since_ns": since_ns}
                    story.put(at + 7_000, RecordKind.STREAM, compact(turn), 1)
        if minute.outage:
            story.down(at + 10_000)
            story.connection("up", at + 20_000)
            for name in self.carried:
                story.quote(at + 20_000, symbol=name)
        if minute.listed is not None:
            coins = [{"name": name} for name in minute.listed]
            figures = [
                {"dayNtlVlm": str(volume), "markPx": "100", "openInterest": None if oi is None else str(oi)}
                for volume, oi in minute.listed.values()
            ]
            story.rest(at + 30_000, "metaAndAssetCtxs", [{"universe": coins}, figures], symbol="*")
        if minute.command:
            command, *arguments = minute.command
            told = {"command": command, "arguments": arguments, "who": "test"}
            story.put(at + 31_000, RecordKind.OPERATOR, compact(told), 0)
        self.minute += 1
        return self._hand_over()

    @property
    def closes(self) -> int:
        """Minutes from M on that the venue has closed; 0 before its first event."""
        assert self.conveyor.state is not None
        return max(0, int(self.conveyor.state.tape.venues[0]["open_minute"]) - M)

    def load(self, ms: int, **sample: int) -> list[Effect]:
        """One load sample, `ms` into the minute that was last played."""
        told = dict.fromkeys(("lag_ms", "waiting_bytes", "finalize_ms", "cpu_pct", "memory_pct"), 0) | sample
        at = (self.minute - 1) * MS_PER_MINUTE + ms
        self.story.put(at, RecordKind.LOAD, compact(told), 0)
        return self._hand_over()

    def host(self, ms: int, kind: str) -> list[Effect]:
        """Something the process noticed about itself, `ms` into the minute that was last played."""
        self.story.put(
            (self.minute - 1) * MS_PER_MINUTE + ms, RecordKind.HOST, compact({"kind": kind, "detail": {}}), 0
        )
        return self._hand_over()

    def restart(self) -> None:
        """Go on in a new conveyor from a state snapshot."""
        self.conveyor = snapshot.restore(snapshot.decode(snapshot.encode(snapshot.take(self.conveyor))))

    def _subscribe(self, at: int) -> None:
        carried = [name for name in self.wanted if name not in self.refused]
        if carried == self.carried:
            return
        for name in carried:
            if name not in self.instruments:
                self.instruments.add(name)
                self.story.put(at + 100, RecordKind.INSTRUMENT, Instrument(VENUE, name, 2, 3).encode(), 0)
        self.story.subscribe(("trades", "bbo", "activeAssetCtx"), at + 200, symbols=carried)
        self.carried = carried

    def _hand_over(self) -> list[Effect]:
        records = self.story.records[self._done :]
        self._done = len(self.story.records)
        cuts = range(self.cut, len(records), self.cut) if self.cut else ()
        effects = [effect for batch in batches(records, cuts) for effect in self.conveyor.handle(batch)]
        self._follow(effects)
        self.effects += effects
        return effects

    def _follow(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Wanted):
                self.wanted = effect.symbols


def first_rows(effects: Iterable[Effect]) -> dict[int, dict[str, Row]]:
    """Minute after M -> symbol -> its row at the first close."""
    return {
        link.minute - M: {
            name: values(row, *scale) for name, scale, row in zip(link.symbols, link.scales, link.rows, strict=True)
        }
        for link in effects
        if isinstance(link, MinuteRows) and link.revision == 0
    }


def wanted_of(effects: Iterable[Effect]) -> list[Wanted]:
    return [effect for effect in effects if isinstance(effect, Wanted)]


def events_of(effects: Iterable[Effect], kind: str) -> list[dict[str, Any]]:
    """Details of the events of one kind."""
    return [effect.detail for effect in effects if isinstance(effect, Event) and effect.kind == kind]
