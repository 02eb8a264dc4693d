"""The one door: records in, effects out. This file is the engine, read downwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from config.schema import Core
from engine.bars import stage as bars
from engine.core.control import COMMAND, HOST, LOAD, read_control
from engine.core.digest import GENESIS, make_canonical, next_link, row_words, stage_digest
from engine.core.effects import Effect, Event, MinuteRows, SnapshotNeeded, Wanted
from engine.core.errors import ConfigError
from engine.core.layouts import (
    BOOK_ASKED,
    BOOK_FELL,
    CLOCK_LEDGER,
    CLOCK_NOW,
    CLOCK_RECV,
    CLOCK_SEQ,
    CLOCK_TICKED,
    MINUTES_AHEAD,
    SET_FUTURE,
    SET_GRACE,
    SET_LATENESS_MAX,
    SET_LATENESS_MIN,
    SET_LATENESS_START,
    SET_SETTLE,
    SET_WATERMARK,
    SLOTS,
)
from engine.core.marks import add_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, close_ms, minute_of
from engine.core.records import Record, RecordBatch, RecordKind, decode_at
from engine.core.registry import Registry
from engine.core.schema import NULL, CloseReason, Reason, Status
from engine.core.state import EngineState
from engine.quality import stage as quality
from engine.recovery import Recovery, Verdict, proven
from engine.tape import control, slow
from engine.tape import stage as tape
from engine.tape.answers import apply_snapshot
from engine.tape.apply import BOOK_BROKEN
from engine.tape.carriers import Turned, venue_time
from engine.tape.message import Candle, MalformedError
from engine.tape.slow import venue_candle
from engine.tape.template import compile_dialects
from engine.tape.venues import VENUES
from engine.tape.watermark import (
    CANDLES,
    CLOSE_BY_EVENT,
    CLOSE_BY_TIMEOUT,
    END_GRACE,
    LOWER,
    REVISE,
    adapt_lateness,
    clock_offset,
)
from engine.universe.commands import obey
from engine.universe.ladder import LoadLevel
from engine.universe.stage import Universe
from engine.witness import witness_of

STAGES = (
    "tape",
    "bars",
    "quality",
    "universe",
)  # read downwards: digests, bench rows and replay's comparison points come from it


class Conveyor:
    """The straight line from records to effects. It owns all state; nothing else may write it."""

    def __init__(self) -> None:
        self.core = Core()
        self.state: EngineState | None = None
        self.registry = Registry()
        self.link = 0
        self.chain = GENESIS
        self.late: dict[tuple[int, int], int] = {}  # (symbol, minute) -> trades after grace since the last TICK
        self.recovery = Recovery()
        self.revisions: dict[tuple[int, int], int] = {}  # (venue, minute) -> newest revision, while it is remembered
        self.universe: Universe | None = None

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
            self._fold()
            if stop == tape.END:
                return effects
            if stop == tape.DUE:
                self._attend(detail // 8, detail % 8, effects)
            elif stop == tape.FIRST_EVENT:
                self._take_turn(control.first_event(self._tape, self.registry, detail), effects)
            elif stop == tape.BOOK:
                self._ask_for_books(effects)
            elif stop == tape.SNAPSHOT:
                if apply_snapshot(self._tape, detail, int(self._tape.clock[CLOCK_RECV])) == BOOK_BROKEN:
                    self._ask_for_books(effects)
                self._fold()  # at once: its tick may come before the venue's first minute is known
            elif stop == tape.CONTROL:
                record, position = decode_at(batch.buffer, position)
                self._obey(record, effects)
                self._fold()
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
        self.configure(Core.decode(record.payload))
        self._tape.clock[[CLOCK_SEQ, CLOCK_RECV]] = record.seq, record.recv_ns
        self._pin(effects)

    def configure(self, core: Core) -> None:
        """Begin with an epoch, or change to one: limits are for the life of a session, everything else may change."""
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
        closing, settings = core.closing, self.state.tape.settings
        for place, ms in (
            (SET_WATERMARK, closing.watermark_ms), (SET_GRACE, closing.grace_ms), (SET_FUTURE, closing.future_ms_max),
            (SET_SETTLE, closing.connect_settle_ms), (SET_LATENESS_START, closing.lateness_start_ms),
            (SET_LATENESS_MIN, closing.lateness_min_ms), (SET_LATENESS_MAX, closing.lateness_max_ms),
        ):  # fmt: skip
            settings[place] = ms * NS_PER_MS

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
            self.configure(Core.decode(record.payload))
            self._pin(effects)
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
        elif record.kind == RecordKind.LOAD:
            effects += self._universe.take_load(read_control("load", LOAD, record.payload))
        elif record.kind == RecordKind.OPERATOR:
            effects += obey(self._universe, read_control("operator", COMMAND, record.payload))
        else:
            detail = {"kind": int(record.kind), "source": record.source}
            effects.append(Event(record.seq, record.recv_ns, "unknown_record", "", "", detail))

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
        found, candles, broke = slow.read_answer(self._tape, self.registry, record, request, symbol, body, self._fold)
        effects += found
        for index, candle in candles:
            self._take_candle(index, candle, record, effects)
        if broke:
            self._ask_for_books(effects)

    def _read_slowly(self, record: Record, effects: list[Effect]) -> None:
        """A frame that no template fits: afterwards it is in hand, decoded, and the tape applies it."""
        found, candles = slow.read_frame(self._tape, self.registry, record)
        effects += found
        for symbol, candle in candles:
            self._take_candle(symbol, candle, record, effects)

    def _fold(self) -> None:
        belt, sums = self._tape, self._bars
        bars.fold(belt, sums)
        lines = int(belt.clock[CLOCK_LEDGER])
        belt.clock[CLOCK_LEDGER] = 0
        for symbol, minute, count in sums.ledger[:lines].tolist():
            self.late[symbol, minute] = self.late.get((symbol, minute), 0) + count

    def _ask_for_books(self, effects: list[Effect]) -> None:
        """Every book that fell out of step needs a snapshot, asked for once."""
        seq, now_ns = int(self._tape.clock[CLOCK_SEQ]), int(self._tape.clock[CLOCK_NOW])
        for s in np.flatnonzero(self._tape.books["broken"] == BOOK_FELL):
            self._tape.books[s]["broken"] = BOOK_ASKED
            instrument = self.registry.instruments[s]
            detail = {"last_id": int(self._tape.books[s]["last_id"])}
            effects.append(Event(seq, now_ns, "book_gap", instrument.venue, instrument.symbol, detail))
            effects.append(SnapshotNeeded(seq, instrument.venue, instrument.symbol, "book gap"))

    def _tell(self, kind: str, effects: list[Effect], **detail: Any) -> None:
        """An event at the newest record, of no venue or symbol."""
        clock = self._tape.clock
        effects.append(Event(int(clock[CLOCK_SEQ]), int(clock[CLOCK_RECV]), kind, "", "", detail))

    # ---- minutes ----

    def _attend(self, venue: int, what: int, effects: list[Effect]) -> None:
        """What a venue's watermark or clock asks for."""
        row = self._tape.venues[venue]
        if what in (CLOSE_BY_EVENT, CLOSE_BY_TIMEOUT):
            if row["grace_open"]:
                self._end_grace(venue, effects)
            self._close(venue, CloseReason.EVENT if what == CLOSE_BY_EVENT else CloseReason.TIMEOUT, effects)
        elif what == REVISE:
            self._revise(venue, effects)
        elif what == END_GRACE:
            self._end_grace(venue, effects)
        elif what == LOWER:
            self._lower_late(venue, effects)
        elif what == CANDLES:
            row["candles_due"] = 0
            self._pursue(venue, effects, come=True)

    def _close(self, venue: int, reason: CloseReason, effects: list[Effect]) -> None:
        """Close the open minute of a venue: every stage in turn, then one link of the chain."""
        belt, sums = self._tape, self._bars
        minute = int(belt.venues[venue]["open_minute"])
        members = np.flatnonzero((belt.symbols["venue"] == venue) & (belt.symbols["active"] > 0))
        bars.seal(sums, members, minute)
        step_ns = self.core.quality.skew_step_ms_max * NS_PER_MS
        closing, witness = witness_of(belt, venue, minute, reason, step_ns)
        bars.close(belt, sums, members, minute, closing)
        quality.close(belt, sums, members, minute, witness, self._quality_limits())
        self._universe.mark(venue, minute, members, sums.rows)
        idle = np.flatnonzero((belt.symbols["venue"] == venue) & (belt.symbols["active"] == 0))
        self._state.history.leave_out(minute, idle, "received")
        self._publish(venue, minute, members, effects)
        belt.symbols["active"][members[belt.symbols["active"][members] == 2]] = 0
        row = belt.venues[venue]
        row["open_minute"], row["grace_open"], row["dirty"] = minute + 1, 1, 0
        row["closed_skew_ns"] = clock_offset(belt.venues, belt.connections, venue)
        for c in np.flatnonzero(belt.connections["venue"] == venue):
            adapt_lateness(belt.connections[c], belt.settings[SET_LATENESS_MIN], belt.settings[SET_LATENESS_MAX])
        effects += self.recovery.ask_for_holes(self._state, self.registry, members, minute)
        self._pursue(venue, effects, come=reason is CloseReason.TIMEOUT)
        effects += self._universe.close(venue, minute)

    def _revise(self, venue: int, effects: list[Effect]) -> None:
        """The minute in grace gets a new revision, for symbols whose late trades were merged.

        And for those of whom it has changed whether an id is missing: the next minute may show what this one lost.
        """
        belt, sums = self._tape, self._bars
        minute = int(belt.venues[venue]["open_minute"]) - 1
        mine = np.flatnonzero(belt.symbols["venue"] == venue)
        changed = bars.look_for_holes(belt, sums, mine, minute)
        if not belt.venues[venue]["dirty"] and not len(changed):
            return
        belt.venues[venue]["dirty"] = 0
        before = self._recall(minute, mine)
        held = sums.trade_sums["minute"][mine, minute & 3] == minute
        touched = held & (sums.trade_sums["late_merged"][mine, minute & 3] != before["late_merged"])
        touched |= np.isin(mine, changed)
        members = mine[touched & (before["received"] != NULL)]
        self._recall(minute, members)
        bars.revise(belt, sums, members, minute)
        quality.revise(belt, sums, members, minute, True)
        self._publish(venue, minute, members, effects)
        effects += self.recovery.ask_for_holes(self._state, self.registry, members, minute)
        self._settle(self.recovery.judge(self._state, self.registry, venue, members.tolist()), effects)

    def _end_grace(self, venue: int, effects: list[Effect]) -> None:
        """The values of the minute are final: now the venue's own candles decide."""
        belt = self._tape
        minute = int(belt.venues[venue]["open_minute"]) - 1
        self._revise(venue, effects)
        held = self.recovery.with_candles(self._state, venue, minute)
        self._settle(self.recovery.judge(self._state, self.registry, venue, held, final=True), effects)
        belt.venues[venue]["grace_open"] = belt.venues[venue]["candles_due"] = 0
        effects += self.recovery.count_absent(self._state, self.registry, venue, minute)
        self.recovery.forget(self._state, venue)

    def _take_candle(self, symbol: int, message: Candle, record: Record, effects: list[Effect]) -> None:
        """A venue's candle: for a minute in grace or one still to come it is kept, against a final one compared."""
        instrument, minute = self.registry.instruments[symbol], minute_of(message.open_ms * NS_PER_MS)
        venue = int(self._tape.symbols[symbol]["venue"])
        try:
            candle = venue_candle(message, instrument)
        except MalformedError as error:
            detail = {"connection": record.source, "reason": error.reason}
            effects.append(
                Event(record.seq, record.recv_ns, "malformed_frame", instrument.venue, message.symbol, detail)
            )
            return
        if record.kind == RecordKind.REST and venue_time(self._tape, venue, record.recv_ns) // NS_PER_MINUTE > minute:
            candle = candle._replace(closed=True)
        came, row = self._bars.candle_minutes[symbol], self._tape.venues[venue]
        if 0 <= row["open_minute"] < minute - MINUTES_AHEAD:
            return  # no candle begins so far ahead
        for m in self.recovery.take(symbol, minute, candle, done=bool(came[minute & (SLOTS - 1)] == minute)):
            came[m & (SLOTS - 1)] = m
            if m == row["open_minute"] - 1 and row["grace_open"]:
                self._settle(self.recovery.judge(self._state, self.registry, venue, [symbol]), effects)
            elif m < row["open_minute"] and (venue, m) in self.revisions:
                self._settle(self.recovery.judge_late(self._state, self.registry, symbol, m), effects)
            elif m < row["open_minute"]:
                del self.recovery.candles[symbol, m]

    def _settle(self, found: tuple[list[Verdict], list[Effect]], effects: list[Effect]) -> None:
        """Publish what candles proved or disproved."""
        verdicts, told = found
        effects += told
        for symbol, minute, added, taken_back in verdicts:
            members, venue = np.array([symbol]), int(self._tape.symbols[symbol]["venue"])
            self._recall(minute, members)
            in_grace = self._in_grace(venue, minute)
            quality.revise(self._tape, self._bars, members, minute, in_grace, added, taken_back)
            self._publish(venue, minute, members, effects)

    def _in_grace(self, venue: int, minute: int) -> bool:
        row = self._tape.venues[venue]
        return bool(row["grace_open"]) and minute == row["open_minute"] - 1

    def _pursue(self, venue: int, effects: list[Effect], come: bool = False) -> None:
        """Minutes in grace that are in doubt: compare them with the candles at hand, ask for those that are not."""
        if self._tape.venues[venue]["grace_open"]:
            doubted = self.recovery.doubted(self._state, venue)
            self._settle(self.recovery.judge(self._state, self.registry, venue, doubted), effects)
            effects += self.recovery.ask_for_candles(self._state, self.registry, venue, doubted, come)

    def _take_turn(self, turned: Turned, effects: list[Effect]) -> None:
        """A connection is back, or a stream turned: minutes that were closed meanwhile lose their status."""
        effects += turned.effects
        self._ask_for_books(effects)
        effects += self.recovery.ask_after_gaps(self._state, self.registry, turned.gaps)
        for (symbol, minute), reasons in sorted(turned.hidden.items()):
            found = reasons & ~Reason.GAP if proven(self._state, symbol, minute) else reasons
            if found:
                self._lower(symbol, minute, found, effects)
        for venue in sorted({int(self._tape.symbols[gap.symbol]["venue"]) for gap in turned.gaps}):
            self._pursue(venue, effects)

    def _lower_late(self, venue: int, effects: list[Effect]) -> None:
        """Trades that came after grace: their minute keeps its values and loses its status, if it is remembered."""
        belt = self._tape
        belt.venues[venue]["late"] = 0
        seq, now_ns = int(belt.clock[CLOCK_SEQ]), int(belt.clock[CLOCK_NOW])
        for symbol, minute in sorted(self.late):
            if belt.symbols[symbol]["venue"] != venue:
                continue
            count = self.late.pop((symbol, minute))
            instrument = self.registry.instruments[symbol]
            detail = {"exchange_ts": close_ms(minute), "count": count}
            effects.append(Event(seq, now_ns, "late_trades", instrument.venue, instrument.symbol, detail))
            self._lower(symbol, minute, Reason.LATE_TRADES, effects, count)

    def _lower(self, symbol: int, minute: int, reasons: int, effects: list[Effect], late: int = 0) -> None:
        """A later revision of a closed minute with equal values and more reasons, if the minute is remembered."""
        belt, members = self._tape, np.array([symbol])
        venue = int(belt.symbols[symbol]["venue"])
        if (venue, minute) not in self.revisions:
            return
        before = self._recall(minute, members)[0]
        in_grace = self._in_grace(venue, minute)
        if in_grace and before["received"] != NULL:
            add_mark(belt.marks, symbol, minute, reasons)  # what is judged anew must not forget it
        if before["received"] == NULL or (before["dq_status"] == Status.STALE and not late):
            return  # it had no row, or nothing to lose
        for name in ("received", "late_dropped"):
            self._bars.rows[name][symbol] += late
        quality.revise(belt, self._bars, members, minute, in_grace, int(reasons))
        self._publish(venue, minute, members, effects)

    def _recall(self, minute: int, members: np.ndarray) -> np.ndarray:
        """Put the newest revision of a closed minute back into the rows; a copy of it."""
        rows = self._state.history.at(minute, members)
        self._bars.rows[members] = rows
        return rows

    def _publish(self, venue: int, minute: int, members: np.ndarray, effects: list[Effect]) -> None:
        """Remember the rows of a minute, digest every stage, add a link to the chain."""
        if not len(members):
            return
        rows = self._bars.rows.take(members)
        make_canonical(rows)
        self._state.history.put(minute, members, rows)
        key = (venue, minute)
        revision = self.revisions.get(key, -1) + 1
        self.revisions[key] = revision
        self.revisions.pop((venue, minute - self.core.limits.history_minutes), None)
        name = self.registry.venues[venue]
        indices = members.tolist()
        symbols = tuple(map(self.registry.names.__getitem__, indices))
        scales = tuple(map(self.registry.scales.__getitem__, indices))
        digests = {}
        for stage in STAGES:
            words = tape.close(self._tape, venue) if stage == "tape" else row_words(stage, rows, self._state.room)
            digests[stage] = stage_digest(stage, name, minute, revision, symbols, words)
        self.chain = next_link(self.chain, self.link, name, minute, revision, digests)
        seq = int(self._tape.clock[CLOCK_SEQ])
        effects.append(MinuteRows(self.link, seq, name, minute, symbols, scales, rows, digests, self.chain, revision))
        self.link += 1

    # ---- small things ----

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

    @property
    def _bars(self) -> Any:
        return self._state.bars

    def _quality_limits(self) -> quality.Limits:
        limits = self.core.quality
        return quality.Limits(limits.book_slow_ms, limits.book_stale_ms, limits.oi_stale_ms, limits.return_max)
