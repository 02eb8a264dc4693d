"""How a minute is believed again: what is asked for after a loss, and what the venue's own candle then proves.

A minute that lost trades is taken back to what it is worth only inside its grace, and only when its values equal the
venue's own candle. Nothing here changes a value: trades that REST told were merged by the tape like any late trade.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.candle import VenueCandle
from engine.core.effects import BackfillNeeded, CandleNeeded, Effect, Event
from engine.core.frame import CORE_TRADE
from engine.core.layouts import CARRIED, CLOCK_NOW, CLOCK_SEQ, NEVER, SLOTS
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S, close_ms
from engine.core.registry import Registry
from engine.core.schema import Reason, Status
from engine.core.state import EngineState
from engine.quality.candles import differences
from engine.tape.carriers import Gap
from engine.tape.seen import first_missing

ASKED_TRADES, ASKED_CANDLE = 1, 2
SLACK_NS = NS_PER_S  # on both sides of what is asked for
CANDLE_MINUTES_MAX = 2  # a candle that has not come so many minutes after its own will not come
LOST = int(Reason.GAP | Reason.DISCONNECTED | Reason.CANDLE_MISMATCH)
EDGE, UNCONFIRMED = int(Reason.EDGE), int(Reason.UNCONFIRMED)
RECOVERED, MISMATCH = int(Reason.RECOVERED), int(Reason.CANDLE_MISMATCH)


class Verdict(NamedTuple):
    """A closed minute of a symbol is worth more, or less, than it said: reasons that join and such that leave."""

    symbol: int
    minute: int
    added: int
    taken_back: int


class Recovery:
    """What was asked for and what has come, of minutes that are not final."""

    def __init__(self) -> None:
        self.candles: dict[tuple[int, int], VenueCandle] = {}  # (symbol, minute) -> not compared for the last time
        self.asked: dict[tuple[int, int], int] = {}  # (symbol, minute) -> ASKED_* bits

    # What comes

    def take(self, symbol: int, minute: int, candle: VenueCandle, done: bool) -> list[int]:
        """A candle of the venue; the minutes whose candle is closed by it, or was and is another one now.

        A candle only grows, so one that is open where a closed one stands, or has less volume, is an older one told
        again or late. Where the venue has no closed flag, a later candle closes it. done: the closed one was compared.
        """
        before = self.candles.get((symbol, minute))
        if not candle.closed:
            if before is None:
                older = done
            else:
                older = bool(before.closed and candle.closed is False) or candle.base_volume < before.base_volume
                candle = candle._replace(closed=before.closed or candle.closed)
            if older:
                return []
        self.candles[symbol, minute] = candle
        closed = []
        for before_it in range(minute - CANDLE_MINUTES_MAX, minute):
            earlier = self.candles.get((symbol, before_it))
            if earlier is not None and earlier.closed is None:
                self.candles[symbol, before_it] = earlier._replace(closed=True)
                closed.append(before_it)
        return [*closed, minute] if candle.closed else closed

    # What is asked for

    def ask_after_gaps(self, state: EngineState, registry: Registry, gaps: list[Gap]) -> list[Effect]:
        """The trades of each gap, once."""
        effects: list[Effect] = []
        for gap in gaps:
            if gap.core != CORE_TRADE:
                continue
            effects.append(_backfill(state, registry, gap.symbol, gap.from_ns, gap.to_ns, gap.after_id))
            for minute in range(_oldest_open(state, gap.symbol), gap.to_ns // NS_PER_MINUTE + 1):
                self._note(gap.symbol, minute, ASKED_TRADES)
        return effects

    def ask_for_holes(self, state: EngineState, registry: Registry, members: np.ndarray, minute: int) -> list[Effect]:
        """The trades whose ids are missing in a minute that is closed, unless they were asked for."""
        all_sums = state.bars.trade_sums[:, minute & (SLOTS - 1)]
        effects: list[Effect] = []
        for symbol in members[all_sums["hole"][members] == 1].tolist():
            sums = all_sums[symbol]
            if sums["minute"] == minute and self._note(symbol, minute, ASKED_TRADES):
                newest = int(state.bars.previous_id[symbol, 0])
                last = int(sums["last_id"]) if sums["ids"] else newest
                first = newest + 1 if newest >= 0 else int(sums["first_id"])
                begin_ns = minute * NS_PER_MINUTE
                after_id = int(first_missing(state.tape.seen_ids[symbol], first, last)) - 1
                effects.append(_backfill(state, registry, symbol, begin_ns, begin_ns + NS_PER_MINUTE, after_id))
        return effects

    def ask_for_candles(
        self, state: EngineState, registry: Registry, venue: int, symbols: list[int], come: bool
    ) -> list[Effect]:
        """The candles of the minute in grace that are needed, of the symbols in doubt, and not at hand.

        come: by now a candle that is subscribed should have come; before, only those that are not are asked for.
        """
        row = state.tape.venues[venue]
        minute = int(row["open_minute"]) - 1
        effects: list[Effect] = []
        for symbol in symbols:
            candle = self.candles.get((symbol, minute))
            if candle is not None and candle.closed:
                continue
            if state.tape.symbols[symbol]["has_candle"] and not come:
                row["candles_due"] = 1
            elif self._note(symbol, minute, ASKED_CANDLE):
                instrument = registry.instruments[symbol]
                seq = int(state.tape.clock[CLOCK_SEQ])
                effects.append(CandleNeeded(seq, instrument.venue, instrument.symbol, minute))
        return effects

    # What follows

    def judge(
        self, state: EngineState, registry: Registry, venue: int, symbols: list[int], final: bool = False
    ) -> tuple[list[Verdict], list[Effect]]:
        """Compare the minute in grace of some symbols with the candles at hand.

        final: its grace ends with this; what differs now is told, and the candles are done with.
        """
        minute = int(state.tape.venues[venue]["open_minute"]) - 1
        verdicts: list[Verdict] = []
        effects: list[Effect] = []
        for symbol in symbols:
            candle = self.candles.get((symbol, minute))
            if candle is None or not candle.closed:
                continue
            if final:
                del self.candles[symbol, minute]
            if not state.history.has(minute, symbol):
                continue
            row = state.history.at(minute, np.array([symbol]))[0]
            back = _taken_back(state, symbol, minute, int(row["dq_reasons"]))
            found = differences(row, candle)
            if not found and final:
                _prove(state, symbol, minute)
            if not found and back:
                verdicts.append(Verdict(symbol, minute, RECOVERED, back))
                effects.append(_event(state, registry, symbol, "recovered", {"exchange_ts": close_ms(minute)}))
            elif found and not final and (back or row["dq_status"] == Status.OK):
                if self._note(symbol, minute, ASKED_TRADES):
                    begin_ns = minute * NS_PER_MINUTE
                    effects.append(_backfill(state, registry, symbol, begin_ns, begin_ns + NS_PER_MINUTE, -1))
            elif found and final and row["dq_status"] == Status.OK:
                verdicts.append(Verdict(symbol, minute, MISMATCH, 0))
                effects.append(mismatch(state, registry, symbol, minute, found))
        return verdicts, effects

    def judge_late(
        self, state: EngineState, registry: Registry, symbol: int, minute: int
    ) -> tuple[list[Verdict], list[Effect]]:
        """A candle that came when its minute was final: it may lower what it claims, and raises nothing."""
        candle = self.candles[symbol, minute]
        if not candle.closed:
            return [], []
        del self.candles[symbol, minute]
        if not state.history.has(minute, symbol):
            return [], []
        row = state.history.at(minute, np.array([symbol]))[0]
        found = differences(row, candle)
        if not found:
            _prove(state, symbol, minute)
        if not found or row["dq_status"] != Status.OK:
            return [], []
        return [Verdict(symbol, minute, MISMATCH, 0)], [mismatch(state, registry, symbol, minute, found)]

    def count_absent(self, state: EngineState, registry: Registry, venue: int, minute: int) -> list[Effect]:
        """Candles that are subscribed and did not come in time prove nothing; the first of a row of them is told."""
        symbols, bars = state.tape.symbols, state.bars
        due = minute - CANDLE_MINUTES_MAX
        effects: list[Effect] = []
        mine = (symbols["venue"] == venue) & (symbols["active"] == 1) & (symbols["has_candle"] == 1)
        came = bars.candle_minutes[:, due & (SLOTS - 1)] == due
        traded = state.history.has(due) & (state.history.column("trade_count", due) > 0)
        symbols["candles_absent"][mine & came] = 0
        for symbol in np.flatnonzero(mine & ~came).tolist():
            if due <= symbols[symbol]["edge_minute"] or not traded[symbol]:
                continue  # a quiet minute may have none
            symbols[symbol]["candles_absent"] += 1
            if symbols[symbol]["candles_absent"] == 1:
                effects.append(_event(state, registry, symbol, "candle_absent", {"exchange_ts": close_ms(due)}))
        return effects

    def forget(self, state: EngineState, venue: int) -> None:
        """What was asked for minutes that are final now, and candles that nothing will close any more."""
        open_minute = int(state.tape.venues[venue]["open_minute"])
        for symbol, minute in [key for key in self.candles if key[1] < open_minute - CANDLE_MINUTES_MAX]:
            if state.tape.symbols[symbol]["venue"] == venue:
                del self.candles[symbol, minute]
        for symbol, minute in [key for key in self.asked if key[1] < open_minute]:
            if state.tape.symbols[symbol]["venue"] == venue:
                del self.asked[symbol, minute]

    # Small things

    def with_candles(self, state: EngineState, venue: int, minute: int) -> list[int]:
        """Symbols of a venue whose candle of a minute is at hand."""
        held = sorted(symbol for symbol, of in self.candles if of == minute)
        return [symbol for symbol in held if state.tape.symbols[symbol]["venue"] == venue]

    def _note(self, symbol: int, minute: int, what: int) -> bool:
        """Whether `what` is asked for the first time; if so, it is now."""
        before = self.asked.get((symbol, minute), 0)
        self.asked[symbol, minute] = before | what
        return not before & what

    def doubted(self, state: EngineState, venue: int) -> list[int]:
        """Symbols whose minute in grace an equal candle would raise."""
        symbols, minute = state.tape.symbols, int(state.tape.venues[venue]["open_minute"]) - 1
        reasons = state.history.column("dq_reasons", minute)
        had_row = state.history.has(minute)
        found = np.flatnonzero(had_row & (reasons & (LOST | EDGE) != 0)).tolist()
        mine = [s for s in found if symbols[s]["venue"] == venue and symbols[s]["active"] == 1]
        return [s for s in mine if _taken_back(state, s, minute, int(reasons[s]))]


def _taken_back(state: EngineState, symbol: int, minute: int, reasons: int) -> int:
    """Which reasons of a minute an equal candle disproves; 0: none, or something is still being lost.

    A minute in which the recording itself began or ended stays what it is.
    """
    row = state.tape.symbols[symbol]
    if any(lost_ns not in (CARRIED, NEVER) for lost_ns in row["lost_ns"].tolist()):
        return 0
    found = reasons & LOST
    if minute > row["edge_minute"]:
        found |= reasons & EDGE
    return found | (reasons & UNCONFIRMED) if found else 0


def _prove(state: EngineState, symbol: int, minute: int) -> None:
    """The trades of a final minute are whole."""
    row = state.tape.symbols[symbol]
    if minute <= row["proven_minute"]:
        return
    if minute != row["proven_minute"] + 1:
        row["proven_since"] = minute
    row["proven_minute"] = minute


def proven(state: EngineState, symbol: int, minute: int) -> bool:
    """Whether a minute equals the venue's candle and is final: a gap that is found to reach back into it lost nothing.

    Only minutes in a row up to the newest such one are remembered.
    """
    row = state.tape.symbols[symbol]
    return bool(row["proven_since"] <= minute <= row["proven_minute"])


def _oldest_open(state: EngineState, symbol: int) -> int:
    """The oldest minute of a symbol's venue whose values may still change."""
    row = state.tape.venues[state.tape.symbols[symbol]["venue"]]
    return int(row["open_minute"]) - int(row["grace_open"])


def _backfill(
    state: EngineState, registry: Registry, symbol: int, from_ns: int, to_ns: int, after_id: int
) -> BackfillNeeded:
    instrument = registry.instruments[symbol]
    first_ns, last_ns = from_ns // NS_PER_S * NS_PER_S - SLACK_NS, -(-to_ns // NS_PER_S) * NS_PER_S + SLACK_NS
    seq = int(state.tape.clock[CLOCK_SEQ])
    return BackfillNeeded(seq, instrument.venue, instrument.symbol, first_ns, last_ns, after_id)


def _event(state: EngineState, registry: Registry, symbol: int, kind: str, detail: dict[str, Any]) -> Event:
    instrument, clock = registry.instruments[symbol], state.tape.clock
    return Event(int(clock[CLOCK_SEQ]), int(clock[CLOCK_NOW]), kind, instrument.venue, instrument.symbol, detail)


def mismatch(state: EngineState, registry: Registry, symbol: int, minute: int, columns: list[str]) -> Event:
    detail = {"exchange_ts": close_ms(minute), "columns": columns}
    return _event(state, registry, symbol, "candle_mismatch", detail)
