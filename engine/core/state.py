"""Every array of the engine, allocated once from the limits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.feature_state import Features, make_features
from engine.core.frame import FRAME_SLOTS
from engine.core.layouts import (
    BOOK,
    CANDIDATE,
    CLOCK_NOW,
    CONNECTION,
    CONTEXT_NOW,
    CONTEXT_SUM,
    CONTEXT_TICK,
    DEPTH_NOW,
    DEPTH_RUN,
    DEPTH_SUM,
    GRID_POINTS,
    LEDGER,
    LEDGER_LINES,
    LOADED,
    MARK,
    MEMBER,
    MID_RUN,
    NEVER,
    PENDING,
    QUOTE_NOW,
    QUOTE_SUM,
    QUOTE_TICK,
    ROUTE,
    SLOTS,
    SYMBOL,
    TOP_LEVELS,
    TRADE_SUM,
    TRADE_TICK,
    UNIVERSE,
    VENUE,
)
from engine.core.market_state import make_market_room, make_markets
from engine.core.rings import ColumnRing, RowRing
from engine.core.rollup_columns import TIMEFRAMES
from engine.core.rollup_state import make_rollups
from engine.core.schema import NULL, ROW
from engine.core.signal_state import make_signal_room, make_signals


class Tape(NamedTuple):
    """What the tape stage owns: frames become ticks here."""

    clock: np.ndarray  # (16,) int64, see CLOCK_* below
    settings: np.ndarray  # (8,) int64, see SET_* below
    venues: np.ndarray  # VENUE (venues,)
    connections: np.ndarray  # CONNECTION (connections,)
    symbols: np.ndarray  # SYMBOL (symbols,)
    marks: np.ndarray  # MARK (symbols, SLOTS)
    books: np.ndarray  # BOOK (symbols,)
    book_quantity: np.ndarray  # (symbols, 2, window) int64: quantity per tick of the window
    book_bits: np.ndarray  # (symbols, 2, window / 64) int64: which of them are not zero
    spill_key: np.ndarray  # (symbols, 2, spill) int64, ascending
    spill_quantity: np.ndarray  # (symbols, 2, spill) int64
    top_price: np.ndarray  # (symbols, 2, TOP_LEVELS) int64, best first; 0 beyond the last level
    top_quantity: np.ndarray  # (symbols, 2, TOP_LEVELS) int64
    seen_ids: np.ndarray  # (symbols, 2, dedupe) int64: trade id + 1; 0: free
    pending: np.ndarray  # PENDING (pending_diffs,)
    pending_price: np.ndarray  # (1, pending_levels) int64
    pending_quantity: np.ndarray  # (1, pending_levels) int64
    routes: np.ndarray  # ROUTE (routes,), open addressing
    operations: np.ndarray  # OPERATION (operations,)
    programs: np.ndarray  # (programs, 2) int64: first operation and one past the last
    heads: np.ndarray  # (dialects, 4) int64: what stands before a stream's name: word, word, mask of the second, bytes
    channels: np.ndarray  # (dialects, channels, 3) int64: frame kind, first program, one past the last
    frame: np.ndarray  # (FRAME_SLOTS,) int64: the scalars of the frame in hand
    reals: np.ndarray  # (FRAME_SLOTS,) float64: the same memory
    fresh: np.ndarray  # TRADE_TICK (levels_per_frame,): the trades of the frame in hand
    level_price: np.ndarray  # (2, levels_per_frame) int64: its levels
    level_quantity: np.ndarray  # (2, levels_per_frame) int64
    trade_ticks: np.ndarray  # TRADE_TICK (ticks,)
    quote_ticks: np.ndarray  # QUOTE_TICK (ticks,)
    context_ticks: np.ndarray  # CONTEXT_TICK (ticks,)


class Bars(NamedTuple):
    """What the bar stage owns: ticks become sums, sums become rows."""

    trade_sums: np.ndarray  # TRADE_SUM (symbols, SLOTS)
    quote_sums: np.ndarray  # QUOTE_SUM (symbols, SLOTS)
    mid_paths: np.ndarray  # MID_RUN (symbols, SLOTS, GRID_POINTS): mid and spread at the end of each second, as runs
    quote_now: np.ndarray  # QUOTE_NOW (symbols,)
    depth_sums: np.ndarray  # DEPTH_SUM (symbols, SLOTS)
    depth_paths: np.ndarray  # DEPTH_RUN (symbols, SLOTS, GRID_POINTS): the depth at the end of each second, as runs
    depth_now: np.ndarray  # DEPTH_NOW (symbols,)
    context_sums: np.ndarray  # CONTEXT_SUM (symbols, SLOTS)
    context_now: np.ndarray  # CONTEXT_NOW (symbols,)
    ledger: np.ndarray  # LEDGER (1024,)
    rows: np.ndarray  # ROW (symbols,): the minute being closed
    previous_mid: np.ndarray  # (symbols, 2) int64: minute and bid + ask at its close
    previous_id: np.ndarray  # (symbols, 2) int64: greatest trade id of the closed minutes and its event time
    candle_minutes: np.ndarray  # (symbols, SLOTS) int64: minutes whose candle came, at minute & 3


class Choice(NamedTuple):
    """What the universe stage owns: which symbols are to be carried, and why."""

    candidates: np.ndarray  # CANDIDATE (candidates,), in order of first appearance
    carried: np.ndarray  # MEMBER (symbols,)
    venues: np.ndarray  # UNIVERSE (venues,)
    loaded: np.ndarray  # LOADED (1,)


# Columns of a row whose windows are read at once for all symbols: what the universe ranks by.
WINDOW_COLUMNS = ("quote_volume_hi", "quote_volume_lo", "oi_close", "mid_close")

# Arrays whose first axis is the symbol; only the part of the symbols in use is worth copying into a snapshot.
PER_SYMBOL = {
    "tape.symbols", "tape.marks", "tape.books", "tape.top_price", "tape.top_quantity", "tape.seen_ids",
    "bars.trade_sums", "bars.quote_sums", "bars.mid_paths", "bars.quote_now", "bars.depth_sums", "bars.depth_paths",
    "bars.depth_now", "bars.context_sums", "bars.context_now", "bars.rows", "bars.previous_mid", "bars.previous_id",
    "bars.candle_minutes",
    "universe.carried", *(f"features.{name}" for name in Features._fields),
    "signals.disarmed", "signals.keys", "signals.read_minute",
    "market.seen", "market.seen_minutes", "market.excluded", "market.exposures", "market.exposed_minutes",
    "market.exposed_newest", "market.exposed_turn", "market.errors",
    *(f"rollups_{name}.{what}" for name, _ in TIMEFRAMES for what in ("baselines", "seeds", "averages")),
}  # fmt: skip


class EngineState:
    """All arrays, and how many symbols, venues and connections of them are in use."""

    def __init__(self, limits: Any, programs: dict[str, np.ndarray]) -> None:
        """limits: config.schema.Limits; programs: operations, programs and channels of every dialect."""
        symbols, ticks, levels = limits.symbols_max, limits.ticks_per_batch, limits.levels_per_frame
        window = limits.book_window_ticks
        routes = 1 << (64 * symbols).bit_length()  # at most 40 names a symbol: it never fills
        zeros = np.zeros
        frame = zeros(FRAME_SLOTS, np.int64)
        self.tape = Tape(
            clock=zeros(16, np.int64),
            settings=zeros(8, np.int64),
            venues=zeros(limits.venues_max, VENUE),
            connections=zeros(limits.connections_max, CONNECTION),
            symbols=zeros(symbols, SYMBOL),
            marks=zeros((symbols, SLOTS), MARK),
            books=zeros(symbols, BOOK),
            book_quantity=zeros((symbols, 2, window), np.int64),
            book_bits=zeros((symbols, 2, window // 64), np.int64),
            spill_key=zeros((symbols, 2, limits.book_spill_levels), np.int64),
            spill_quantity=zeros((symbols, 2, limits.book_spill_levels), np.int64),
            top_price=zeros((symbols, 2, TOP_LEVELS), np.int64),
            top_quantity=zeros((symbols, 2, TOP_LEVELS), np.int64),
            seen_ids=zeros((symbols, 2, limits.dedupe_ids), np.int64),
            pending=zeros(limits.pending_diffs, PENDING),
            pending_price=zeros((1, limits.pending_levels), np.int64),
            pending_quantity=zeros((1, limits.pending_levels), np.int64),
            routes=zeros(routes, ROUTE),
            frame=frame,
            reals=frame.view(np.float64),
            fresh=zeros(min(levels, ticks), TRADE_TICK),
            level_price=zeros((2, levels), np.int64),
            level_quantity=zeros((2, levels), np.int64),
            trade_ticks=zeros(ticks, TRADE_TICK),
            quote_ticks=zeros(ticks, QUOTE_TICK),
            context_ticks=zeros(ticks, CONTEXT_TICK),
            **programs,
        )
        self.bars = Bars(
            trade_sums=zeros((symbols, SLOTS), TRADE_SUM),
            quote_sums=zeros((symbols, SLOTS), QUOTE_SUM),
            mid_paths=zeros((symbols, SLOTS, GRID_POINTS), MID_RUN),
            quote_now=zeros(symbols, QUOTE_NOW),
            depth_sums=zeros((symbols, SLOTS), DEPTH_SUM),
            depth_paths=zeros((symbols, SLOTS, GRID_POINTS), DEPTH_RUN),
            depth_now=zeros(symbols, DEPTH_NOW),
            context_sums=zeros((symbols, SLOTS), CONTEXT_SUM),
            context_now=zeros(symbols, CONTEXT_NOW),
            ledger=zeros(LEDGER_LINES, LEDGER),
            rows=zeros(symbols, ROW),
            previous_mid=zeros((symbols, 2), np.int64),
            previous_id=zeros((symbols, 2), np.int64),
            candle_minutes=zeros((symbols, SLOTS), np.int64),
        )
        self.universe = Choice(
            candidates=zeros(limits.candidates_max, CANDIDATE),
            carried=zeros(symbols, MEMBER),
            venues=zeros(limits.venues_max, UNIVERSE),
            loaded=zeros(1, LOADED),
        )
        self.features = make_features(limits)
        self.market = make_markets(limits)
        self.market_room = make_market_room(limits)  # holds nothing between two closes
        self.room = zeros(symbols * ROW.itemsize // 8, np.int64)  # holds nothing between two closes
        self.history = RowRing(ROW, symbols, limits.history_minutes)
        self.windows = ColumnRing(ROW, WINDOW_COLUMNS, symbols, limits.history_minutes)
        self.rollups = make_rollups(limits)
        self.signals = make_signals(limits)
        self.signal_room = make_signal_room(limits)  # holds nothing between two closes
        self.rings = {"history": self.history} | {f"rollups_{frame.name}": frame.ring for frame in self.rollups.frames}
        self._set_blank()

    def _set_blank(self) -> None:
        """Values that mean `nothing yet` where zero would mean something."""
        tape, bars = self.tape, self.bars
        tape.clock[CLOCK_NOW] = -1
        tape.venues["dialect"] = tape.venues["open_minute"] = tape.venues["subscribed_ns"] = -1
        tape.venues["closed_skew_ns"] = NULL
        tape.connections["venue"] = tape.connections["last_recv_ns"] = tape.connections["event_ns_max"] = -1
        tape.connections["offset_minute"] = -1
        tape.connections["offset_now_ns"] = tape.connections["offset_before_ns"] = NULL
        tape.symbols["venue"] = tape.symbols["newest_quote_ns"] = tape.symbols["newest_book_ns"] = -1
        for name in ("trade_channel", "quote_channel", "book_channel", "newest_id", "lost_id", "gap_to_ns"):
            tape.symbols[name] = -1
        tape.symbols["edge_minute"], tape.symbols["lost_ns"], tape.symbols["proven_minute"] = -1, NEVER, -1
        tape.books["quote_id"] = tape.books["last_id"] = -1
        for sums in (tape.marks, bars.trade_sums, bars.quote_sums, bars.depth_sums, bars.context_sums):
            sums["minute"] = -1
        bars.quote_now["minute"] = bars.depth_now["minute"] = -1
        bars.context_now["interest_ns"] = -1
        for name in ("interest", "mark", "index", "funding"):
            bars.context_now[name] = np.nan
        universe = self.universe
        universe.candidates["venue"] = universe.candidates["symbol"] = -1
        universe.carried["candidate"] = universe.carried["row_minute"] = -1
        universe.venues["changed_minute"] = universe.venues["hour"] = universe.venues["full_hour"] = -1
        universe.loaded["above_ns"] = universe.loaded["relief_ns"] = -1
        for name in ("day_volume", "day_interest", "volume", "interest"):
            universe.candidates[name] = np.nan
        bars.previous_mid[:] = bars.previous_id[:] = bars.candle_minutes[:] = -1

    def remember(self, minute: int, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Keep the rows of a closed minute, one per symbol index."""
        self.history.put(minute, symbols, rows)
        self.windows.put(minute, symbols, rows)

    def put_back(self, ring: str, position: int, held: np.ndarray, words: np.ndarray) -> None:
        """Fill a position of one of `rings` as a state snapshot has it: RowRing.put_back."""
        self.rings[ring].put_back(position, held, words)
        if ring == "history":
            self.windows.put(position, np.arange(len(words)), words.view(ROW).reshape(len(words)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by name, for the table at start, for snapshots and for the proof that nothing grows."""
        named = {f"tape.{name}": array for name, array in self.tape._asdict().items()}
        named |= {f"bars.{name}": array for name, array in self.bars._asdict().items()}
        named |= {f"universe.{name}": array for name, array in self.universe._asdict().items()}
        named |= {f"features.{name}": array for name, array in self.features._asdict().items()}
        named |= {f"market.{name}": array for name, array in self.market._asdict().items()}
        named |= {f"signals.{name}": array for name, array in self.signals._asdict().items()}
        for name in ("draft", "mids", "returns"):
            named[f"rollups.{name}"] = getattr(self.rollups, name)
        for frame in self.rollups.frames:
            for name in ("baselines", "seeds", "averages"):
                named[f"rollups_{frame.name}.{name}"] = getattr(frame, name)
        for name, ring in self.rings.items():
            named |= {f"{name}.words": ring.words, f"{name}.held": ring.held}
        return named | {"windows.columns": self.windows.words}
