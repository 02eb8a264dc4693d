"""What becomes of a minute, read downwards: closed, revised in grace, final, believed again or lowered, published."""

from __future__ import annotations

import numpy as np

from config.schema import Core
from detectors import stage as detectors
from detectors.table import TABLE
from engine.bars import stage as bars
from engine.context import stage as context
from engine.context.roster import Rosters
from engine.core.digest import GENESIS, make_canonical, next_link, row_words, stage_digest
from engine.core.effects import Effect, Event, Found, MarketRow, MinuteRows, RollupRows
from engine.core.epochs import Epochs
from engine.core.layouts import (
    CLOCK_LEDGER,
    CLOCK_NOW,
    CLOCK_SEQ,
    MINUTES_AHEAD,
    SET_LATENESS_MAX,
    SET_LATENESS_MIN,
    SLOTS,
)
from engine.core.marks import add_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, close_ms, minute_of
from engine.core.records import Record, RecordKind
from engine.core.registry import Registry
from engine.core.rings import words_of
from engine.core.rollup_columns import ROLLUP_REALS
from engine.core.rollup_state import Frame
from engine.core.schema import NULL, CloseReason, Reason, Status
from engine.core.state import EngineState
from engine.features import stage as features
from engine.quality import stage as quality
from engine.recovery import Recovery, Verdict, proven
from engine.rollups import stage as rollups
from engine.signals import stage as signals
from engine.tape import stage as tape
from engine.tape.carriers import Turned, venue_time
from engine.tape.message import Candle, MalformedError
from engine.tape.slow import venue_candle
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
from engine.universe.hot import make_hot
from engine.universe.stage import Universe
from engine.witness import witness_of

STAGES = (
    "tape",
    "bars",
    "quality",
    "universe",
    "features",
    "context",
    "detectors",
    "signals",
)  # read downwards: digests, bench rows and replay's comparison points come from it

NO_WORDS = np.zeros(0, np.int64)


class Minutes:
    """The minutes of every venue from their first close to the last revision; every row of the engine leaves here.

    `effects` is the list that what follows is added to. Nothing but `configure` may be called before an epoch.
    """

    state: EngineState
    universe: Universe
    core: Core

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.epochs = Epochs(TABLE)
        self.link = 0
        self.chain = GENESIS
        self.late: dict[tuple[int, int], int] = {}  # (symbol, minute) -> trades after grace since the last TICK
        self.rosters = Rosters()
        self.sectors = detectors.Sectors()
        self.recovery = Recovery()
        self.revisions: dict[tuple[int, int], int] = {}  # (venue, minute) -> newest revision, while it is remembered
        self.bar_revisions: dict[tuple[int, str, int], int] = {}  # (venue, timeframe, last minute) -> likewise

    def configure(self, state: EngineState, universe: Universe, core: Core) -> None:
        """Go by these settings from now on; of packs only the first is taken from them, `epochs` has the others."""
        self.state, self.universe, self.core = state, universe, core
        if not self.epochs.kept:
            self.epochs.begin(core.signals)

    def fold(self) -> None:
        """Empty the tick buffers into the sums of their minutes."""
        belt, sums = self.state.tape, self.state.bars
        bars.fold(belt, sums)
        lines = int(belt.clock[CLOCK_LEDGER])
        belt.clock[CLOCK_LEDGER] = 0
        for symbol, minute, count in sums.ledger[:lines].tolist():
            self.late[symbol, minute] = self.late.get((symbol, minute), 0) + count

    def attend(self, venue: int, what: int, effects: list[Effect]) -> None:
        """What a venue's watermark or clock asks for."""
        row = self.state.tape.venues[venue]
        if what in (CLOSE_BY_EVENT, CLOSE_BY_TIMEOUT):
            if row["grace_open"]:
                self._end_grace(venue, effects)
            self.close(venue, CloseReason.EVENT if what == CLOSE_BY_EVENT else CloseReason.TIMEOUT, effects)
        elif what == REVISE:
            self.revise(venue, effects)
        elif what == END_GRACE:
            self._end_grace(venue, effects)
        elif what == LOWER:
            self._lower_late(venue, effects)
        elif what == CANDLES:
            row["candles_due"] = 0
            self._pursue(venue, effects, come=True)

    def close(self, venue: int, reason: CloseReason, effects: list[Effect]) -> None:
        """Close the open minute of a venue: every stage in turn, then one link of the chain."""
        belt, sums = self.state.tape, self.state.bars
        minute = int(belt.venues[venue]["open_minute"])
        members = np.flatnonzero((belt.symbols["venue"] == venue) & (belt.symbols["active"] > 0))
        bars.seal(belt, sums, members, minute)
        step_ns = self.core.quality.skew_step_ms_max * NS_PER_MS
        closing, witness = witness_of(belt, venue, minute, reason, step_ns)
        bars.close(belt, sums, members, minute, closing)
        quality.close(belt, sums, members, minute, witness, self._quality_limits())
        self.universe.mark(venue, minute, members, sums.rows)
        features.compute(self.state, members, minute, self.core.quality.oi_stale_ms)
        market = context.compute(self.state, venue, members, minute, self.rosters.of(venue, self.registry))
        self._publish(venue, minute, members, effects, market)
        belt.symbols["active"][members[belt.symbols["active"][members] == 2]] = 0
        row = belt.venues[venue]
        row["open_minute"], row["grace_open"], row["dirty"] = minute + 1, 1, 0
        row["closed_skew_ns"] = clock_offset(belt.venues, belt.connections, venue)
        for c in np.flatnonzero(belt.connections["venue"] == venue):
            adapt_lateness(belt.connections[c], belt.settings[SET_LATENESS_MIN], belt.settings[SET_LATENESS_MAX])
        effects += self.recovery.ask_for_holes(self.state, self.registry, members, minute)
        self._pursue(venue, effects, come=reason is CloseReason.TIMEOUT)
        effects += self.universe.close(venue, minute)

    def revise(self, venue: int, effects: list[Effect]) -> None:
        """The minute in grace gets a new revision, for symbols whose late trades were merged.

        And for those of whom it has changed whether an id is missing: the next minute may show what this one lost.
        """
        belt, sums, history = self.state.tape, self.state.bars, self.state.history
        minute = int(belt.venues[venue]["open_minute"]) - 1
        mine = np.flatnonzero(belt.symbols["venue"] == venue)
        changed = bars.look_for_holes(belt, sums, mine, minute)
        if not belt.venues[venue]["dirty"] and not len(changed):
            return
        belt.venues[venue]["dirty"] = 0
        trades = sums.trade_sums[mine, minute & 3]
        touched = trades["minute"] == minute
        touched &= trades["late_merged"] != history.column("late_merged", minute)[mine]
        touched |= np.isin(mine, changed)
        members = mine[touched & history.has(minute, mine)]
        history.take_home(minute, members, sums.rows)
        bars.revise(belt, sums, members, minute)
        quality.revise(belt, sums, members, minute, True)
        market = self._refeature(venue, minute, members)
        self._publish(venue, minute, members, effects, market)
        effects += self.recovery.ask_for_holes(self.state, self.registry, members, minute)
        self.settle(self.recovery.judge(self.state, self.registry, venue, members.tolist()), effects)

    def _end_grace(self, venue: int, effects: list[Effect]) -> None:
        """The values of the minute are final: now the venue's own candles decide."""
        belt = self.state.tape
        minute = int(belt.venues[venue]["open_minute"]) - 1
        self.revise(venue, effects)
        held = self.recovery.with_candles(self.state, venue, minute)
        self.settle(self.recovery.judge(self.state, self.registry, venue, held, final=True), effects)
        belt.venues[venue]["grace_open"] = belt.venues[venue]["candles_due"] = 0
        effects += self.recovery.count_absent(self.state, self.registry, venue, minute)
        self.recovery.forget(self.state, venue)
        features.settle(self.state, self.rosters.of(venue, self.registry).order, minute - 1)
        context.settle(self.state, venue, minute - 1, self.rosters.of(venue, self.registry))
        for frame in rollups.due(self.state, minute):
            members = rollups.close(self.state, venue, frame, minute, self.core.quality.oi_stale_ms)
            self._publish_bars(venue, frame, minute, members, effects)

    def take_candle(self, symbol: int, message: Candle, record: Record, effects: list[Effect]) -> None:
        """A venue's candle: for a minute in grace or one still to come it is kept, against a final one compared."""
        instrument, minute = self.registry.instruments[symbol], minute_of(message.open_ms * NS_PER_MS)
        venue = int(self.state.tape.symbols[symbol]["venue"])
        try:
            candle = venue_candle(message, instrument)
        except MalformedError as error:
            detail = {"connection": record.source, "reason": error.reason}
            effects.append(
                Event(record.seq, record.recv_ns, "malformed_frame", instrument.venue, message.symbol, detail)
            )
            return
        if (
            record.kind == RecordKind.REST
            and venue_time(self.state.tape, venue, record.recv_ns) // NS_PER_MINUTE > minute
        ):
            candle = candle._replace(closed=True)
        came, row = self.state.bars.candle_minutes[symbol], self.state.tape.venues[venue]
        if 0 <= row["open_minute"] < minute - MINUTES_AHEAD:
            return  # no candle begins so far ahead
        for m in self.recovery.take(symbol, minute, candle, done=bool(came[minute & (SLOTS - 1)] == minute)):
            came[m & (SLOTS - 1)] = m
            if m == row["open_minute"] - 1 and row["grace_open"]:
                self.settle(self.recovery.judge(self.state, self.registry, venue, [symbol]), effects)
            elif m < row["open_minute"] and (venue, m) in self.revisions:
                self.settle(self.recovery.judge_late(self.state, self.registry, symbol, m), effects)
            elif m < row["open_minute"]:
                del self.recovery.candles[symbol, m]

    def settle(self, found: tuple[list[Verdict], list[Effect]], effects: list[Effect]) -> None:
        """Publish what candles proved or disproved."""
        verdicts, told = found
        effects += told
        for symbol, minute, added, taken_back in verdicts:
            members, venue = np.array([symbol]), int(self.state.tape.symbols[symbol]["venue"])
            self.state.history.take_home(minute, members, self.state.bars.rows)
            in_grace = self._in_grace(venue, minute)
            quality.revise(self.state.tape, self.state.bars, members, minute, in_grace, added, taken_back)
            market = self._refeature(venue, minute, members)
            self._publish(venue, minute, members, effects, market)

    def _in_grace(self, venue: int, minute: int) -> bool:
        row = self.state.tape.venues[venue]
        return bool(row["grace_open"]) and minute == row["open_minute"] - 1

    def _pursue(self, venue: int, effects: list[Effect], come: bool = False) -> None:
        """Minutes in grace that are in doubt: compare them with the candles at hand, ask for those that are not."""
        if self.state.tape.venues[venue]["grace_open"]:
            doubted = self.recovery.doubted(self.state, venue)
            self.settle(self.recovery.judge(self.state, self.registry, venue, doubted), effects)
            effects += self.recovery.ask_for_candles(self.state, self.registry, venue, doubted, come)

    def take_turn(self, turned: Turned, effects: list[Effect]) -> None:
        """A connection is back, or a stream turned: minutes that were closed meanwhile lose their status."""
        effects += self.recovery.ask_after_gaps(self.state, self.registry, turned.gaps)
        for (symbol, minute), reasons in sorted(turned.hidden.items()):
            found = reasons & ~Reason.GAP if proven(self.state, symbol, minute) else reasons
            if found:
                self._lower(symbol, minute, found, effects)
        for venue in sorted({int(self.state.tape.symbols[gap.symbol]["venue"]) for gap in turned.gaps}):
            self._pursue(venue, effects)

    def _lower_late(self, venue: int, effects: list[Effect]) -> None:
        """Trades that came after grace: their minute keeps its values and loses its status, if it is remembered."""
        belt = self.state.tape
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
        belt, rows, members = self.state.tape, self.state.bars.rows, np.array([symbol])
        venue = int(belt.symbols[symbol]["venue"])
        if (venue, minute) not in self.revisions or not self.state.history.has(minute, symbol):
            return
        in_grace = self._in_grace(venue, minute)
        if in_grace:
            add_mark(belt.marks, symbol, minute, reasons)  # what is judged anew must not forget it
        self.state.history.take_home(minute, members, rows)
        if rows["dq_status"][symbol] == Status.STALE and not late:
            return  # nothing to lose
        for name in ("received", "late_dropped"):
            rows[name][symbol] += late
        quality.revise(belt, self.state.bars, members, minute, in_grace, int(reasons))
        market = self._refeature(venue, minute, members)
        self._publish(venue, minute, members, effects, market)

    def _refeature(self, venue: int, minute: int, members: np.ndarray) -> np.ndarray | None:
        """A revision of some rows: in grace their columns are computed again, later only what they teach changes.

        In grace the market row is made anew as well, and returned; the rows of other symbols stay as they are.
        """
        if not self._in_grace(venue, minute):
            features.relearn(self.state, members, minute, self.core.quality.oi_stale_ms)
            return None
        features.compute(self.state, members, minute, self.core.quality.oi_stale_ms)
        return context.compute(self.state, venue, members, minute, self.rosters.of(venue, self.registry))

    def _publish(
        self, venue: int, minute: int, members: np.ndarray, effects: list[Effect], market: np.ndarray | None
    ) -> None:
        """Remember the rows of a minute, digest every stage, add a link to the chain. market: MARKET (1,)."""
        if not len(members):
            return
        rows = self.state.bars.rows.take(members)
        make_canonical(rows)
        self.state.remember(minute, members, rows)
        key = (venue, minute)
        revision = self.revisions.get(key, -1) + 1
        self.revisions[key] = revision
        self.revisions.pop((venue, minute - self.core.limits.history_minutes), None)
        name = self.registry.venues[venue]
        symbols, scales = self._symbols(members)
        told = None if market is None else MarketRow(market[0].copy(), self._named_in(market))
        found = None if told is None else self.detect(venue, minute, revision, members, told, effects)
        digests = {}
        for stage in STAGES:
            words = self._words_of(stage, venue, rows, market, found)
            digests[stage] = stage_digest(stage, name, minute, revision, symbols, words)
        self.chain = next_link(self.chain, self.link, name, minute, revision, digests)
        seq = int(self.state.tape.clock[CLOCK_SEQ])
        effects.append(
            MinuteRows(self.link, seq, name, minute, symbols, scales, rows, digests, self.chain, revision, told, found)
        )
        self.link += 1
        if found is not None and found.signals:
            effects += make_hot(self.universe, venue, found.signals, self.epochs.of(minute).settings.hot_severity_min)
        if revision:
            for frame, last, changed in rollups.judge(self.state, venue, members, minute):
                self._publish_bars(venue, frame, last, changed, effects)

    def detect(
        self, venue: int, minute: int, revision: int, members: np.ndarray, market: MarketRow, effects: list[Effect]
    ) -> Found:
        """Read the minutes that were not read yet, in the order of names; what was found, and what became of it."""
        order = self.rosters.of(venue, self.registry).order
        unread = signals.unread(self.state, order[np.isin(order, members)], minute)
        unread = self._without_spared(venue, minute, unread, effects)
        row, pack = market.row.reshape(1), self.epochs.of(minute)
        sectors = self.sectors.of(self.registry.names, pack.settings.sectors)
        failed = detectors.look(self.state, unread, minute, row, order, sectors, pack)
        found = signals.judge(self.state, unread, minute, row, pack)
        clock = self.state.tape.clock
        for name, reason in failed:
            detail = {"detector": name, "reason": reason}
            effects.append(Event(int(clock[CLOCK_SEQ]), int(clock[CLOCK_NOW]), "detector_quarantined", "", "", detail))
        return signals.tell(self.state, self.registry, venue, minute, revision, self.link, found, market, pack)

    def _without_spared(self, venue: int, minute: int, unread: np.ndarray, effects: list[Effect]) -> np.ndarray:
        """Those to be looked at although the process is slow; the others may be in a revision, in a calmer moment."""
        looked_at = unread[~np.isin(unread, self.universe.spared(venue))]
        if deferred := len(unread) - len(looked_at):
            name, detail = self.registry.venues[venue], {"exchange_ts": close_ms(minute), "symbols": deferred}
            effects.append(self.universe.event("detectors_deferred", name, "", detail))
        return looked_at

    def _words_of(
        self, stage: str, venue: int, rows: np.ndarray, market: np.ndarray | None, found: Found | None
    ) -> np.ndarray:
        """What the digest of a stage covers."""
        if stage == "tape":
            return tape.close(self.state.tape, venue)
        if stage in ("detectors", "signals"):
            words_of_stage = signals.words_found if stage == "detectors" else signals.words_judged
            return NO_WORDS if found is None else words_of_stage(found)
        words = row_words(stage, rows, self.state.room)
        if stage == "context" and market is not None:
            words = np.concatenate([words.ravel(), context.words_of(market).ravel()])
        return words

    def _publish_bars(self, venue: int, frame: Frame, minute: int, members: np.ndarray, effects: list[Effect]) -> None:
        """Remember the bars that end with a minute, digest them, add a link to the chain."""
        if not len(members):
            return
        rows = self.state.rollups.draft.take(members)
        make_canonical(rows, ROLLUP_REALS)
        frame.ring.put(minute // frame.minutes, members, rows)
        key = (venue, frame.name, minute)
        revision = self.bar_revisions.get(key, -1) + 1
        self.bar_revisions[key] = revision
        self.bar_revisions.pop((venue, frame.name, minute - frame.minutes * frame.ring.minutes), None)
        name, stage = self.registry.venues[venue], f"rollups_{frame.name}"
        symbols, scales = self._symbols(members)
        digests = {stage: stage_digest(stage, name, minute, revision, symbols, words_of(rows))}
        self.chain = next_link(self.chain, self.link, name, minute, revision, digests)
        seq = int(self.state.tape.clock[CLOCK_SEQ])
        effects.append(
            RollupRows(self.link, seq, name, frame.name, minute, symbols, scales, rows, digests, self.chain, revision)
        )
        self.link += 1

    def _symbols(self, members: np.ndarray) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        """Names and scales."""
        indices = members.tolist()
        names, scales = self.registry.names, self.registry.scales
        return tuple(map(names.__getitem__, indices)), tuple(map(scales.__getitem__, indices))

    def _named_in(self, market: np.ndarray) -> dict[int, str]:
        """Names of the symbols that stand in a market row."""
        listed = [market[0]["leader"], *market[0]["rs_top"], *market[0]["rs_bottom"]]
        return {int(s): self.registry.names[s] for s in listed if s != NULL}

    def _quality_limits(self) -> quality.Limits:
        limits = self.core.quality
        return quality.Limits(limits.book_slow_ms, limits.book_stale_ms, limits.oi_stale_ms, limits.return_max)
