"""The one door: records in, effects out. With closing.py this file is the engine, read downwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from config.schema import Core
from detectors.table import TABLE
from engine.closing import Minutes
from engine.core import release_commands
from engine.core.control import COMMAND, HOST, LOAD, PRIME, read_control, read_epoch
from engine.core.effects import Effect, Event, Heard, Released, SnapshotNeeded, Wanted
from engine.core.errors import ConfigError
from engine.core.layouts import (
    BOOK_ASKED,
    BOOK_FELL,
    CLOCK_NOW,
    CLOCK_RECV,
    CLOCK_SEQ,
    CLOCK_TICKED,
    SET_FUTURE,
    SET_GRACE,
    SET_HOUR_FACTORS,
    SET_LATENESS_MAX,
    SET_LATENESS_MIN,
    SET_LATENESS_START,
    SET_SETTLE,
    SET_WATERMARK,
)
from engine.core.minutes import NS_PER_MS, close_ms
from engine.core.records import Record, RecordBatch, RecordKind, decode_at
from engine.core.registry import Registry
from engine.core.release import Release
from engine.core.state import EngineState
from engine.features import prime
from engine.tape import control, slow
from engine.tape import stage as tape
from engine.tape.answers import apply_snapshot
from engine.tape.carriers import Turned
from engine.tape.outcome import BOOK_BROKEN
from engine.tape.template import compile_dialects
from engine.tape.venues import VENUES
from engine.universe.commands import obey
from engine.universe.ladder import LoadLevel
from engine.universe.stage import Universe


class Conveyor:
    """The straight line from records to effects. It owns all state; nothing else may write it."""

    def __init__(self) -> None:
        self.core = Core()
        self.state: EngineState | None = None
        self.registry = Registry()
        self.minutes = Minutes(self.registry)
        self.universe: Universe | None = None
        self.release = Release()  # nothing of the chain depends on it

    # ---- records ----

    def handle(self, batch: RecordBatch) -> list[Effect]:
        """Take in whole records, in order; what the ends have to do because of them."""
        effects: list[Effect] = []
        position = batch.start
        if self.state is None:
            if position == batch.end:
                return effects
            record, position = decode_at(batch.buffer, position)
            self._begin(record, effects)
        in_hand = False
        while True:
            position, stop, detail = tape.read(self._tape, batch.buffer, position, batch.end, in_hand)
            in_hand = False
            self.minutes.fold()
            if stop == tape.END:
                return effects
            if stop == tape.DUE:
                self.minutes.attend(detail // 8, detail % 8, effects)
            elif stop == tape.FIRST_EVENT:
                self._take_turn(control.first_event(self._tape, self.registry, detail), effects)
            elif stop == tape.BOOK:
                self._ask_for_books(effects)
            elif stop == tape.SNAPSHOT:
                if apply_snapshot(self._tape, detail, int(self._tape.clock[CLOCK_RECV])) == BOOK_BROKEN:
                    self._ask_for_books(effects)
                self.minutes.fold()  # at once: its tick may come before the venue's first minute is known
            elif stop == tape.CONTROL:
                record, position = decode_at(batch.buffer, position)
                self._obey(record, effects)
                self.minutes.fold()
            elif stop == tape.STRANGE:
                record, _ = decode_at(batch.buffer, position)
                self._read_slowly(record, effects)
                in_hand = True
            elif stop == tape.STRAY:
                self._tell("unknown_connection", effects, connection=detail)

    def _begin(self, record: Record, effects: list[Effect]) -> None:
        if record.kind != RecordKind.CONFIG:
            raise ConfigError(
                f"journal: the first record (seq {record.seq}) is of kind {record.kind}, expected the configuration "
                "epoch; replay the journal from its first segment or from a state snapshot"
            )
        self.configure(read_epoch(record.payload)[0])
        self._tape.clock[[CLOCK_SEQ, CLOCK_RECV]] = record.seq, record.recv_ns
        self.release = self.release.by_settings(self.core.signals, record.recv_ns)
        effects.append(self.minutes.epochs.first(record))
        self._pin(effects)

    def configure(self, core: Core) -> None:
        """Begin with settings, or go on with others: limits are for the life of a session, everything else may change.

        Not the detector pack: behind the first one `_change` brings it.
        """
        if self.state is None:
            self.state = EngineState(core.limits, compile_dialects([(d.head, d.names, d.templates) for d in VENUES]))
        elif core.limits != self.core.limits:
            raise ConfigError(
                "core.limits changed inside a session; limits are fixed when it starts: begin a new session"
            )
        if self.universe is None:
            self.universe = Universe(self.state, self.registry, core)
        self.core = core
        self.universe.configure(core)
        self.minutes.configure(self.state, self.universe, core)
        closing, settings = core.closing, self.state.tape.settings
        for place, ms in (
            (SET_WATERMARK, closing.watermark_ms), (SET_GRACE, closing.grace_ms), (SET_FUTURE, closing.future_ms_max),
            (SET_SETTLE, closing.connect_settle_ms), (SET_LATENESS_START, closing.lateness_start_ms),
            (SET_LATENESS_MIN, closing.lateness_min_ms), (SET_LATENESS_MAX, closing.lateness_max_ms),
        ):  # fmt: skip
            settings[place] = ms * NS_PER_MS
        settings[SET_HOUR_FACTORS] = core.features.hour_factors

    def _pin(self, effects: list[Effect]) -> None:
        """The pins of a new epoch: what they change is wanted before anything is carried."""
        for pin in self.core.universe.pins:
            control.enter_venue(self._tape, self.registry, pin.partition(":")[0])
        effects += self._universe.pin_settings()

    def _obey(self, record: Record, effects: list[Effect]) -> None:
        """A control record: it changes what the tape expects, or answers what the conveyor asked for."""
        belt, registry = self._tape, self.registry
        belt.clock[[CLOCK_SEQ, CLOCK_TICKED, CLOCK_RECV]] = record.seq, 0, record.recv_ns
        if record.kind == RecordKind.CONFIG:
            self._change(record, effects)
        elif record.kind == RecordKind.INSTRUMENT:
            effects += control.add_instrument(belt, registry, record)
        elif record.kind == RecordKind.CONNECTION:
            effects += control.turn_connection(belt, registry, record)
        elif record.kind == RecordKind.SUBSCRIPTION:
            effects += control.subscribe(belt, registry, record)
            self._universe.adopt()
        elif record.kind in (RecordKind.REST, RecordKind.REST_ERROR):
            self._take_answer(record, effects)
        elif record.kind == RecordKind.STREAM:
            self._take_turn(control.turn_stream(belt, registry, record), effects)
        elif record.kind == RecordKind.HOST:
            host = read_control("host", HOST, record.payload)
            self._universe.take_host(host.kind)
            effects.append(Event(record.seq, record.recv_ns, host.kind, "", "", dict(host.detail)))
            if host.kind == "process_start":
                asked = str(host.detail.get("mode", ""))
                self._release(release_commands.begin(self.release, asked, record.seq, record.recv_ns), effects)
        elif record.kind == RecordKind.LOAD:
            effects += self._universe.take_load(read_control("load", LOAD, record.payload))
        elif record.kind == RecordKind.OPERATOR:
            self._command(record, effects)
        elif record.kind == RecordKind.PRIME:
            self._prime(record, effects)
        elif record.kind == RecordKind.MESSAGE:
            effects.append(Heard(record.seq, record.recv_ns, record.payload))
        else:
            detail = {"kind": int(record.kind), "source": record.source}
            effects.append(Event(record.seq, record.recv_ns, "unknown_record", "", "", detail))

    def _command(self, record: Record, effects: list[Effect]) -> None:
        """What an operator asked for, of the release or of the universe."""
        command = read_control("operator", COMMAND, record.payload)
        if command.command in release_commands.VERBS:
            detectors = [one.id for one in TABLE]
            told = release_commands.obey(self.release, command, record.seq, record.recv_ns, detectors)
            self._release(told, effects)
        else:
            effects += obey(self._universe, command, release_commands.VERBS)

    def _release(self, told: list[Effect], effects: list[Effect]) -> None:
        """Go by the Released among them."""
        for effect in told:
            if isinstance(effect, Released):
                self.release = effect.release
        effects += told

    def _change(self, record: Record, effects: list[Effect]) -> None:
        """Settings behind the first: those of a start hold at once but for the pack; a running engine's are a pack."""
        core, told = read_epoch(record.payload)
        if not told.given and core.model_copy(update={"signals": self.core.signals}) != self.core:
            raise ConfigError(
                f"config record (seq {record.seq}): changes more than core.signals, which needs a start; this engine "
                "did not write that journal"
            )
        old, opened = self.core, self._tape.venues["open_minute"]
        if told.given:
            self.configure(core)
        version = self.minutes.epochs.change(old, core, told, record, opened[opened >= 0].tolist())
        self.core = self.minutes.core = core
        by_settings = self.release.by_settings(core.signals, record.recv_ns)
        if by_settings != self.release:
            self._release([Released(record.seq, by_settings)], effects)
        if version:
            told_of = {
                "version": version.version, "of": version.of, "who": version.who, "why": version.why,
                "from_ts": close_ms(version.from_minute), "config_hash": version.config_hash,
                "changes": [list(change) for change in version.changes],
            }  # fmt: skip
            effects += [version, Event(record.seq, record.recv_ns, "config", "", "", told_of)]
        if told.given:
            self._pin(effects)

    def _prime(self, record: Record, effects: list[Effect]) -> None:
        """What an earlier journal taught of a symbol, before it has a minute of its own."""
        head, _, content = record.payload.partition(b"\n")
        told, own = read_control("prime", PRIME, head), self._state.features
        symbol = self.registry.symbol(told.venue, told.symbol)
        name = f"prime record (seq {record.seq}) of {told.venue} {told.symbol}"
        if symbol < 0 or self.registry.scales[symbol] != (told.price_decimals, told.quantity_decimals):
            raise ConfigError(f"{name}: no such symbol of these scales; this engine did not write that journal")
        if told.layout != prime.layout(own):
            raise ConfigError(f"{name}: written by another version; replay the journal with that one")
        if prime.newest_minute(own, symbol) >= 0 or told.newest_ms * NS_PER_MS > record.recv_ns:
            raise ConfigError(f"{name}: not before the first minute of the symbol")
        prime.lay(own, symbol, content)
        detail = {"newest_ms": told.newest_ms, "journal": told.journal}
        effects.append(Event(record.seq, record.recv_ns, "primed", told.venue, told.symbol, detail))

    def _take_answer(self, record: Record, effects: list[Effect]) -> None:
        """The answer to a REST request, or its failure; source is the connection it was made for."""
        head, _, body = record.payload.partition(b"\n")
        request, _, symbol = head.decode("ascii", "replace").partition(" ")
        venue = (
            int(self._tape.connections[record.source]["venue"]) if record.source < len(self._tape.connections) else -1
        )
        if venue < 0 or record.kind == RecordKind.REST_ERROR:
            detail = {"request": request, "body": body[:200].decode("utf-8", "replace")}
            kind = "request_failed" if venue >= 0 else "unknown_connection"
            effects.append(Event(record.seq, record.recv_ns, kind, "", symbol, detail))
            return
        dialect = VENUES[self._tape.venues[venue]["dialect"]]
        if dialect.listing and (request, symbol) == (dialect.listing, "*"):
            found, lines = slow.read_listing(record, dialect, body)
            suffixes = tuple(self.core.universe.quote_suffixes) if dialect.names_quote else ("",)
            effects += found
            effects += self._universe.take_list(venue, [line for line in lines if line.symbol.endswith(suffixes)])
            return
        found, candles, broke = slow.read_answer(
            self._tape, self.registry, record, request, symbol, body, self.minutes.fold
        )
        effects += found
        for index, candle in candles:
            self.minutes.take_candle(index, candle, record, effects)
        if broke:
            self._ask_for_books(effects)

    def _read_slowly(self, record: Record, effects: list[Effect]) -> None:
        """A frame that no template fits: afterwards it is in hand, decoded, and the tape applies it."""
        found, candles = slow.read_frame(self._tape, self.registry, record)
        effects += found
        for symbol, candle in candles:
            self.minutes.take_candle(symbol, candle, record, effects)

    def _ask_for_books(self, effects: list[Effect]) -> None:
        """Every book that fell out of step needs a snapshot, asked for once."""
        seq, now_ns = int(self._tape.clock[CLOCK_SEQ]), int(self._tape.clock[CLOCK_NOW])
        for s in np.flatnonzero(self._tape.books["broken"] == BOOK_FELL):
            self._tape.books[s]["broken"] = BOOK_ASKED
            instrument = self.registry.instruments[s]
            detail = {"last_id": int(self._tape.books[s]["last_id"])}
            effects.append(Event(seq, now_ns, "book_gap", instrument.venue, instrument.symbol, detail))
            effects.append(SnapshotNeeded(seq, instrument.venue, instrument.symbol, "book gap"))

    def _take_turn(self, turned: Turned, effects: list[Effect]) -> None:
        """A connection is back, or a stream turned."""
        effects += turned.effects
        self._ask_for_books(effects)
        self.minutes.take_turn(turned, effects)

    def _tell(self, kind: str, effects: list[Effect], **detail: Any) -> None:
        """An event at the newest record, of no venue or symbol."""
        clock = self._tape.clock
        effects.append(Event(int(clock[CLOCK_SEQ]), int(clock[CLOCK_RECV]), kind, "", "", detail))

    # ---- small things ----

    @property
    def link(self) -> int:
        """Links of the chain so far."""
        return self.minutes.link

    @property
    def chain(self) -> str:
        """Digest of the newest link."""
        return self.minutes.chain

    @property
    def wanted(self) -> dict[str, Wanted]:
        """The newest `Wanted` of each venue that had one: what the feeds go by after a restart."""
        return self._universe.wanted

    @property
    def load_level(self) -> LoadLevel:
        """How pressed the process is, by the load samples so far."""
        return LoadLevel(int(self._universe.loaded["level"]))

    @property
    def _universe(self) -> Universe:
        assert self.universe is not None, "a configuration epoch comes first"
        return self.universe

    @property
    def _state(self) -> EngineState:
        assert self.state is not None, "a configuration epoch comes first"
        return self.state

    @property
    def _tape(self) -> Any:
        return self._state.tape
