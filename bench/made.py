"""Made minutes: rows as bars and quality leave them, without frames, for benches of what lies behind them.

Every number is there and none repeats: a grid of 60 different mids, 60 depths, open interest, funding, liquidations.
That is the dearest minute there is for the stages that read it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.material import ORIGIN_NS, bare_conveyor
from engine.context import stage as context
from engine.context.roster import Roster
from engine.conveyor import Conveyor
from engine.core.digest import make_canonical
from engine.core.feature_state import LONG_SIZES, LONG_STARTS
from engine.core.layouts import GRID_POINTS, SLOTS
from engine.core.market_state import WINDOW_VALUES
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import ROW, OhlcSource, Status
from engine.core.state import EngineState
from engine.features import stage as features
from engine.features.windows import sort_anew

FIRST_MINUTE = ORIGIN_NS // NS_PER_MINUTE
MANTISSA = 1_000.0  # prices of a row, where an instrument has two decimals: one more than it has itself
BASE_UNIT, QUOTE_UNIT = 1_000.0, 100_000.0
DEVIATION = 8e-4  # of a minute's log return
OI_STALE_MS = 20_000
LIVED = 50  # symbols that live through the minutes of a warm-up; more of them are theirs, repeated
LIVED_MINUTES = 480  # enough for the seeds of baselines, for what they let learn, and for weights at a full hour


def rows_between(opened: np.ndarray, closed: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """ROW (n,): one minute from each mid in `opened`, (n,) float64, to that in `closed`; columns of features are 0."""
    count = len(opened)
    rows = np.zeros(count, ROW)
    top, bottom = np.maximum(opened, closed), np.minimum(opened, closed)
    reach = np.abs(draw.standard_normal((2, count))) * 0.5 * DEVIATION
    prices = {"open": opened, "close": closed, "high": top * (1.0 + reach[0]), "low": bottom * (1.0 - reach[1])}
    for name, price in prices.items():
        rows[name] = rows[f"mid_{name}"] = np.rint(price * MANTISSA)
    volume = np.exp(13.0 + draw.standard_normal(count))  # quote
    bought = volume * draw.uniform(0.2, 0.8, count)
    rows["quote_volume_lo"], rows["taker_buy_quote_volume_lo"] = volume * QUOTE_UNIT, bought * QUOTE_UNIT
    rows["base_volume"] = volume / closed * BASE_UNIT
    rows["taker_buy_base_volume"] = bought / closed * BASE_UNIT
    rows["vwap"] = 0.5 * (opened + closed)
    rows["trade_count"], rows["quote_count"], rows["book_count"] = draw.integers(20, 900, (3, count))
    rows["ohlc_source"], rows["dq_status"] = OhlcSource.TRADE, Status.OK
    rows["microprice_close"] = closed * (1.0 + 1e-5 * draw.standard_normal(count))
    rows["spread_mean"] = closed * 1e-4 * draw.uniform(0.5, 2.0, count)
    rows["spread_bp_mean"] = 1e4 * rows["spread_mean"] / closed
    for name in ("obi_top1_mean", "obi_top5_mean", "obi_top20_mean"):
        rows[name] = draw.uniform(0.3, 0.7, count)
    rows["ofi"] = draw.integers(-90_000, 90_000, count)
    rows["oi_close"] = 1e6 * (1.0 + 0.01 * draw.standard_normal(count))
    rows["oi_staleness_ms"] = 5_000
    rows["mark_price"] = closed * (1.0 + 1e-5 * draw.standard_normal(count))
    rows["index_price"] = closed * (1.0 + 1e-4 * draw.standard_normal(count))
    rows["funding_rate"] = 1e-4 * draw.standard_normal(count)
    rows["funding_rate_hour"] = rows["funding_rate"] / 8.0
    rows["liquidation_count"] = draw.integers(0, 3, count)
    rows["liquidation_buy_base"], rows["liquidation_sell_base"] = draw.integers(0, 9_000, (2, count))
    rows["quote_ns"] = rows["book_ns"] = NS_PER_MINUTE
    return rows


class Market:
    """One factor and what is each symbol's own, minute by minute, written where the stages of the close find it."""

    def __init__(self, state: EngineState, symbols: int, seed: int = 5) -> None:
        self.state, self.symbols = state, symbols
        self.draw = np.random.default_rng(seed)
        self.mids = 100.0 * np.exp(0.5 * self.draw.standard_normal(symbols))

    def step(self, minute: int) -> None:
        """Rows of `minute`, and the paths inside it."""
        draw, count = self.draw, self.symbols
        moves = DEVIATION * (0.7 * draw.standard_normal() + draw.standard_t(4, count) / 2.0)
        opened, self.mids = self.mids, self.mids * np.exp(moves)
        self.state.bars.rows[:count] = rows_between(opened, self.mids, draw)
        self._write_paths(minute, opened)

    def _write_paths(self, minute: int, opened: np.ndarray) -> None:
        bars, slot, count = self.state.bars, minute & (SLOTS - 1), self.symbols
        share = np.arange(1, GRID_POINTS + 1) / GRID_POINTS
        noise = 0.1 * DEVIATION * self.draw.standard_normal((count, GRID_POINTS))
        noise[:, -1] = 0.0
        mids = opened[:, None] + (self.mids - opened)[:, None] * share
        paths, depths = bars.mid_paths[:count, slot], bars.depth_paths[:count, slot]
        paths["end"] = depths["end"] = np.arange(1, GRID_POINTS + 1)
        paths["mid"] = np.rint(mids * (1.0 + noise) * MANTISSA / 5.0)  # bid + ask, at two decimals
        paths["spread"] = self.draw.integers(1, 40, (count, GRID_POINTS))
        depths["depth5"] = self.draw.uniform(1e5, 9e5, (count, GRID_POINTS))
        quotes, sums = bars.quote_sums[:count, slot], bars.depth_sums[:count, slot]
        quotes["minute"] = sums["minute"] = minute
        quotes["path_runs"] = sums["path_runs"] = quotes["path_points"] = GRID_POINTS
        quotes["mid_open"] = np.rint(opened * MANTISSA / 5.0)
        quotes["microprice_s_30"] = mids[:, 29] * MANTISSA / 10.0
        sums["slope"] = self.draw.uniform(1e4, 9e4, count)


class Made:
    """A conveyor's state, its one venue and the market that fills its rows.

    close, remember, keep: what the engine does of a minute at its close, behind it, and at the end of the next grace.
    """

    def __init__(self, symbols: int, seed: int = 5) -> None:
        self.conveyor: Conveyor = bare_conveyor(symbols, history_minutes=128)
        assert self.conveyor.state is not None
        self.state: EngineState = self.conveyor.state
        self.state.tape.symbols["funding_interval_h"] = 8
        self.roster: Roster = self.conveyor.minutes.rosters.of(0, self.conveyor.registry)
        self.members = np.arange(symbols)
        self.market = Market(self.state, symbols, seed)
        self.minute = FIRST_MINUTE

    def close(self) -> np.ndarray:
        """All columns of both stages, and the market row."""
        features.compute(self.state, self.members, self.minute, OI_STALE_MS)
        return context.compute(self.state, 0, self.members, self.minute, self.roster)

    def remember(self) -> None:
        rows = self.state.bars.rows.take(self.members)
        make_canonical(rows)
        self.state.remember(self.minute, self.members, rows)

    def keep(self) -> None:
        """Upkeep of the minute before, at the end of whose successor's grace it is final."""
        features.settle(self.state, self.roster.order, self.minute - 1)
        context.settle(self.state, 0, self.minute - 1, self.roster)

    def live(self, minutes: int) -> None:
        for _ in range(minutes):
            self.market.step(self.minute)
            self.close()
            self.remember()
            self.keep()
            self.minute += 1


def warmed(symbols: int, seed: int = 5) -> Made:
    """A state as after weeks: baselines, estimators and rings from minutes lived, long windows filled from them.

    It was lived up to the open minute of the conveyor, the first one of an hour. More than 50 symbols have the past of
    50, repeated; each goes its own way from there.
    """
    made = Made(symbols, seed)
    made.minute = FIRST_MINUTE - LIVED_MINUTES
    lived = Made(min(symbols, LIVED), seed)
    lived.minute = made.minute
    lived.live(LIVED_MINUTES)
    _fill_windows(lived.state, np.random.default_rng(seed))
    for name, array in _memory(made.state).items():
        array[...] = np.resize(_memory(lived.state)[name], array.shape)
    for name in ("words", "held"):
        whole, part = getattr(made.state.history, name), getattr(lived.state.history, name)
        for position in range(len(whole)):
            whole[position] = np.resize(part[position], whole[position].shape)
    made.market.mids[:] = np.resize(lived.market.mids, symbols)
    made.minute = lived.minute
    return made


def _memory(state: EngineState) -> dict[str, np.ndarray]:
    """What the stages remember, by name; the first axis is the symbol or the venue."""
    found: dict[str, Any] = {f"features.{name}": array for name, array in state.features._asdict().items()}
    return found | {f"market.{name}": array for name, array in state.market._asdict().items()}


def _fill_windows(state: EngineState, draw: np.random.Generator) -> None:
    """Make every long window full: what came first stays, and the rest is drawn from it."""
    own, market = state.features, state.market
    for window, size in enumerate(LONG_SIZES):
        start, came = LONG_STARTS[window], int(own.long_counts[:, window].min())
        places = draw.integers(0, came, size - came)
        own.long_values[:, start + came : start + size] = own.long_values[:, start + places]
        own.long_counts[:, window] = size
    sort_anew(own.long_values, own.long_counts, own.long_sorted)
    for window in range(market.counts.shape[1]):
        came = int(market.counts[0, window])
        if not came:
            continue  # fewer symbols than a market is made of
        places = draw.integers(0, came, WINDOW_VALUES - came)
        market.arrivals[0, window, came:] = market.arrivals[0, window, places]
        market.counts[0, window] = WINDOW_VALUES
        market.ordered[0, window] = np.sort(market.arrivals[0, window])
