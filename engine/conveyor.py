"""The one door: records in, effects out. This file is the engine, read downwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from config.schema import Core
from engine.bars import stage as bars
from engine.core.candle import VenueCandle
from engine.core.control import COMMAND, HOST, LOAD, read_control
from engine.core.digest import GENESIS, make_canonical, next_link, row_words, stage_digest
from engine.core.effects import Effect, Event, MinuteRows, SnapshotNeeded, Wanted
from engine.core.errors import ConfigError
from engine.core.layouts import (
    CLOCK_LEDGER,
    CLOCK_NOW,
    CLOCK_RECV,
    CLOCK_SEQ,
    CLOCK_TICKED,
    SET_FUTURE,
    SET_GRACE,
    SET_LATENESS_MAX,
    SET_LATENESS_MIN,
    SET_LATENESS_START,
    SET_SETTLE,
    SET_WATERMARK,
)
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, close_ms, minute_of
from engine.core.records import Record, RecordBatch, RecordKind, decode_at
from engine.core.registry import Registry
from engine.core.schema import NULL, CloseReason, Reason, Status
from engine.core.state import EngineState
from engine.quality import stage as quality
from engine.quality.candles import differences
from engine.tape import control, slow
from engine.tape import stage as tape
from engine.tape.answers import apply_snapshot
from engine.tape.apply import BOOK_BROKEN
from engine.tape.carriers import Turned
from engine.tape.message import Candle, MalformedError
from engine.tape.slow import venue_candle
from engine.tape.template import compile_dialects
from engine.tape.venues import VENUES
from engine.tape.watermark import (
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
        self.candles: dict[tuple[int, int], VenueCandle] = {}  # (symbol, minute) -> not compared yet
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
        elif record.kind in (RecordKind.REST, RecordKind.REST_ERROR):
            self._take_answer(record, effects)
        elif record.kind == RecordKind.STREAM:
            self._take_turn(control.turn_stream(belt, registry, record), effects)
        elif record.kind == RecordKind.HOST:
            host = read_control("host", HOST, record.payload)
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
        found, broke = slow.read_answer(self._tape, self.registry, record, dialect, request, symbol, body)
        effects += found
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
        for s in np.flatnonzero(self._tape.books["broken"] == 1):
            self._tape.books[s]["broken"] = 2
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

    def _close(self, venue: int, reason: CloseReason, effects: list[Effect]) -> None:
        """Close the open minute of a venue: every stage in turn, then one link of the chain."""
        belt, sums = self._tape, self._bars
        minute = int(belt.venues[venue]["open_minute"])
        members = np.flatnonzero((belt.symbols["venue"] == venue) & (belt.symbols["active"] > 0))
        bars.seal(sums, members, minute)
        closing, witness = self._closing(venue, minute, reason)
        bars.close(belt, sums, members, minute, closing)
        quality.close(belt, sums, members, minute, witness, self._quality_limits())
        self._universe.mark(venue, minute, members, sums.rows)
        self._publish(venue, minute, members, effects)
        belt.symbols["active"][members[belt.symbols["active"][members] == 2]] = 0
        row = belt.venues[venue]
        row["open_minute"], row["grace_open"], row["dirty"] = minute + 1, 1, 0
        row["closed_skew_ns"] = self._offset_ns(venue)
        for c in np.flatnonzero(belt.connections["venue"] == venue):
            adapt_lateness(belt.connections[c], belt.settings[SET_LATENESS_MIN], belt.settings[SET_LATENESS_MAX])
        effects += self._universe.close(venue, minute)

    def _closing(self, venue: int, minute: int, reason: CloseReason) -> tuple[bars.Closing, quality.Witness]:
        """What the connections of a venue know of the minute."""
        belt = self._tape
        boundary_ns = (minute + 1) * NS_PER_MINUTE
        skew_ns, before_ns = self._offset_ns(venue), int(belt.venues[venue]["closed_skew_ns"])
        offset_ns = skew_ns if skew_ns != NULL else 0
        present = proven = 0
        lateness_ns = 0
        newest_ns = np.full(len(belt.connections), -1, np.int64)
        for c in np.flatnonzero(belt.connections["venue"] == venue).tolist():
            connection = belt.connections[c]
            newest_ns[c] = heard_ns = int(connection["last_recv_ns"]) - offset_ns
            ended_before = not connection["live"] and connection["event_ns_max"] < boundary_ns - NS_PER_MINUTE
            if not ended_before and int(connection["up_ns"]) - offset_ns < boundary_ns:
                present |= 1 << c
            if connection["live"]:
                proven |= (heard_ns >= boundary_ns) << c
                if connection["votes"]:
                    lateness_ns = max(lateness_ns, int(connection["lateness_ns"]))
        skewed = skew_ns == NULL or (
            before_ns != NULL and abs(skew_ns - before_ns) > self.core.quality.skew_step_ms_max * NS_PER_MS
        )
        closing = bars.Closing(
            newest_ns,
            NULL if skew_ns == NULL else skew_ns // NS_PER_MS,
            lateness_ns // NS_PER_MS,
            (int(belt.clock[CLOCK_RECV]) - offset_ns - boundary_ns) // NS_PER_MS,
            int(reason),
        )
        return closing, quality.Witness(present, proven, reason is CloseReason.TIMEOUT, skewed)

    def _revise(self, venue: int, effects: list[Effect]) -> None:
        """Late trades were merged: the minute in grace gets a new revision, for the symbols they touched."""
        belt, sums = self._tape, self._bars
        minute = int(belt.venues[venue]["open_minute"]) - 1
        belt.venues[venue]["dirty"] = 0
        mine = np.flatnonzero(belt.symbols["venue"] == venue)
        before = self._recall(minute, mine)
        held = sums.trade_sums["minute"][mine, minute & 3] == minute
        touched = held & (sums.trade_sums["late_merged"][mine, minute & 3] != before["late_merged"])
        members = mine[touched & (before["received"] != NULL)]
        self._recall(minute, members)
        bars.revise(belt, sums, members, minute)
        quality.revise(belt, sums, members, minute)
        self._publish(venue, minute, members, effects)

    def _end_grace(self, venue: int, effects: list[Effect]) -> None:
        """The values of the minute are final: now the venue's own candles may be compared."""
        if self._tape.venues[venue]["dirty"]:
            self._revise(venue, effects)
        self._tape.venues[venue]["grace_open"] = 0
        for symbol, minute in sorted(self.candles):
            if self._tape.symbols[symbol]["venue"] == venue:
                self._compare_candle(symbol, minute, effects)

    def _take_candle(self, symbol: int, message: Candle, record: Record, effects: list[Effect]) -> None:
        """Keep a venue's candle until its minute is final; where it has no closed flag, a later one closes it."""
        instrument, minute = self.registry.instruments[symbol], minute_of(message.open_ms * NS_PER_MS)
        try:
            candle = venue_candle(message, instrument)
        except MalformedError as error:
            detail = {"connection": record.source, "reason": error.reason}
            effects.append(
                Event(record.seq, record.recv_ns, "malformed_frame", instrument.venue, message.symbol, detail)
            )
            return
        self.candles[symbol, minute] = candle
        earlier = self.candles.get((symbol, minute - 1))
        if earlier and not earlier.closed:
            self.candles[symbol, minute - 1] = earlier._replace(closed=True)
        for m in (minute - 1, minute):
            self._compare_candle(symbol, m, effects)

    def _compare_candle(self, symbol: int, minute: int, effects: list[Effect]) -> None:
        """A closed candle against its final minute: a row that claims to be ok and differs loses its status."""
        candle = self.candles.get((symbol, minute))
        venue = int(self._tape.symbols[symbol]["venue"])
        row = self._tape.venues[venue]
        final = minute < row["open_minute"] - int(row["grace_open"])
        if candle is None or not candle.closed or not final:
            return
        del self.candles[symbol, minute]
        members = np.array([symbol])
        if (venue, minute) not in self.revisions:
            return
        found = differences(self._recall(minute, members)[0], candle)
        if found:
            instrument = self.registry.instruments[symbol]
            seq, now_ns = int(self._tape.clock[CLOCK_SEQ]), int(self._tape.clock[CLOCK_NOW])
            detail = {"exchange_ts": close_ms(minute), "columns": found}
            effects.append(Event(seq, now_ns, "candle_mismatch", instrument.venue, instrument.symbol, detail))
            quality.revise(self._tape, self._bars, members, minute, int(Reason.CANDLE_MISMATCH))
            self._publish(venue, minute, members, effects)

    def _take_turn(self, turned: Turned, effects: list[Effect]) -> None:
        """A connection is back, or a stream turned: minutes that were closed meanwhile lose their status."""
        effects += turned.effects
        for (symbol, minute), reasons in sorted(turned.hidden.items()):
            self._lower(symbol, minute, reasons, effects)

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
        if before["received"] == NULL or (before["dq_status"] == Status.STALE and not late):
            return  # it had no row, or nothing to lose
        for name in ("received", "late_dropped"):
            self._bars.rows[name][symbol] += late
        quality.revise(belt, self._bars, members, minute, int(reasons))
        self._publish(venue, minute, members, effects)

    def _recall(self, minute: int, members: np.ndarray) -> np.ndarray:
        """Put the newest revision of a closed minute back into the rows; a copy of it."""
        assert self.state is not None
        rows = self.state.history.at(minute, members)
        self._bars.rows[members] = rows
        return rows

    def _publish(self, venue: int, minute: int, members: np.ndarray, effects: list[Effect]) -> None:
        """Remember the rows of a minute, digest every stage, add a link to the chain."""
        assert self.state is not None
        if not len(members):
            return
        rows = self._bars.rows.take(members)
        make_canonical(rows)
        self.state.history.put(minute, members, rows)
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
            words = tape.close(self._tape, venue) if stage == "tape" else row_words(stage, rows, self.state.room)
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
    def _tape(self) -> Any:
        assert self.state is not None, "a configuration epoch comes first"
        return self.state.tape

    @property
    def _bars(self) -> Any:
        assert self.state is not None, "a configuration epoch comes first"
        return self.state.bars

    def _quality_limits(self) -> quality.Limits:
        limits = self.core.quality
        return quality.Limits(limits.book_slow_ms, limits.book_stale_ms, limits.oi_stale_ms, limits.return_max)

    def _offset_ns(self, venue: int) -> int:
        """Clock offset of a venue: the least of its live connections, else what it was when the last minute closed."""
        return int(clock_offset(self._tape.venues, self._tape.connections, venue))
