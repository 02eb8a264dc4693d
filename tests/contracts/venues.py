"""Days of whole venues as arrays, and the stages `features` and `context` over them as the engine calls them.

A day holds what bars, quality and universe would have written: rows without the columns of these stages, and the inside
of each minute. So the same day can be run again with symbols in another order, with a column changed, or from halfway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from config.schema import Core
from engine import snapshot
from engine.context import stage as context
from engine.context.roster import Rosters
from engine.conveyor import Conveyor
from engine.core.column import Column, Form
from engine.core.digest import make_canonical
from engine.core.instruments import Instrument
from engine.core.layouts import DEPTH_RUN, DEPTH_SUM, GRID_POINTS, MID_RUN, QUOTE_SUM, SLOTS, SYMBOL
from engine.core.market import MARKET, MARKET_COLUMNS
from engine.core.schema import COLUMNS, NULL, ROW
from engine.core.state import EngineState
from engine.features import stage as features
from tests.engine.features.rows import BLANK, OI_STALE_MS, PRICE_DECIMALS, QUANTITY_DECIMALS, a_state, put
from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.days import MONDAY

START = MONDAY * MINUTES_PER_DAY
NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT", "ADAUSDT", "DOGEUSDT", "LINKUSDT", "LTCUSDT", "TRXUSDT")
OWN = tuple(column for column in COLUMNS if column.stage in ("features", "context"))
GIVEN = tuple(column for column in COLUMNS if column.stage not in ("features", "context"))
EVERY = (*OWN, *MARKET_COLUMNS)


@dataclass
class Day:
    """What a venue's minutes are made of; first axis the minute, from `first` on, second the symbol.

    has           (minutes, symbols) bool: whether the symbol has a row
    rows          ROW (minutes, symbols)
    quotes, mids, depths, depth_runs: QUOTE_SUM, MID_RUN, DEPTH_SUM, DEPTH_RUN of the minute
    symbols       SYMBOL (symbols,)
    """

    names: tuple[str, ...]
    first: int
    has: np.ndarray
    rows: np.ndarray
    quotes: np.ndarray
    mids: np.ndarray
    depths: np.ndarray
    depth_runs: np.ndarray
    symbols: np.ndarray

    @property
    def minutes(self) -> range:
        return range(self.first, self.first + len(self.rows))

    def of(self, order: Sequence[int] | None = None) -> Day:
        """A copy: symbols in another order, or some of them, or one several times (to be renamed)."""
        at = list(range(len(self.names)) if order is None else order)
        arrays = {name: getattr(self, name)[:, at].copy() for name in INSIDE}
        return replace(self, names=tuple(self.names[i] for i in at), symbols=self.symbols[at].copy(), **arrays)


INSIDE = ("has", "rows", "quotes", "mids", "depths", "depth_runs")


def empty_day(names: Sequence[str], first: int, minutes: int) -> Day:
    """No row anywhere."""
    shape = (minutes, len(names))
    day = Day(
        tuple(names), first, np.zeros(shape, bool), np.full(shape, BLANK, ROW), np.zeros(shape, QUOTE_SUM),
        np.zeros((*shape, GRID_POINTS), MID_RUN), np.zeros(shape, DEPTH_SUM),
        np.zeros((*shape, GRID_POINTS), DEPTH_RUN), np.zeros(len(names), SYMBOL),
    )  # fmt: skip
    day.symbols["price_decimals"], day.symbols["quantity_decimals"] = PRICE_DECIMALS, QUANTITY_DECIMALS
    day.symbols["contract_size"] = 1
    day.quotes["minute"] = day.depths["minute"] = -1
    for name in ("is_in_universe", "is_hot", "universe_rev", "dq_reasons"):
        day.rows[name] = 1 if name == "is_in_universe" else 0
    return day


def day_of(symbols: Mapping[str, Sequence[Minute]]) -> Day:
    """The oracle's Minutes of each symbol."""
    first = min(made[0].minute for made in symbols.values())
    day = empty_day(list(symbols), first, 1 + max(made[-1].minute for made in symbols.values()) - first)
    for s, made in enumerate(symbols.values()):
        state = a_state(made)
        day.symbols[s] = state.tape.symbols[0]
        for minute in made:
            put(state, minute)
            at, slot = (minute.minute - first, s), minute.minute % SLOTS
            row = state.bars.rows[0]
            row["dq_reasons"], row["universe_rev"] = 0, 0
            day.has[at], day.rows[at] = True, row
            day.quotes[at], day.mids[at] = state.bars.quote_sums[0, slot], state.bars.mid_paths[0, slot]
            day.depths[at], day.depth_runs[at] = state.bars.depth_sums[0, slot], state.bars.depth_paths[0, slot]
    return day


def long_day(names: Sequence[str], minutes: int, seed: int, first: int = START + 420) -> Day:
    """A liquid market in which nothing is missing: walks in ticks with a common part, the first ahead of the second."""
    rng, day = np.random.default_rng(seed), empty_day(names, first, minutes)
    shape, grid = (minutes, len(names)), (minutes, len(names), GRID_POINTS + 1)
    steps = 40 * (rng.integers(-1, 2, grid) + rng.integers(-1, 2, (minutes, 1, GRID_POINTS + 1)))
    walk = steps.swapaxes(0, 1).reshape(len(names), -1).cumsum(axis=1)
    if len(names) > 1:
        walk[1, GRID_POINTS + 1 :] += walk[0, : -GRID_POINTS - 1]
    bids = 250_000 + walk.reshape(len(names), minutes, -1).swapaxes(0, 1) % 100_000
    spreads = rng.integers(1, 20, grid)
    twice = 2 * bids + spreads
    day.has[:] = True
    rows, traded = day.rows, bids[..., [5, 20, 40, 55]]
    rows["open"], rows["close"] = 10 * traded[..., 0], 10 * traded[..., -1]
    rows["high"], rows["low"] = 10 * traded.max(axis=-1), 10 * traded.min(axis=-1)
    base = rng.integers(10_000, 80_000, shape)
    value = base * traded[..., 1]
    rows["base_volume"], rows["quote_volume_lo"], rows["quote_volume_hi"] = base, value, 0
    rows["taker_buy_quote_volume_lo"] = value * rng.integers(0, 101, shape) // 100
    rows["taker_buy_base_volume"], rows["taker_buy_quote_volume_hi"] = base // 2, 0
    rows["vwap"] = value / base / 100
    rows["mid_open"], rows["mid_close"] = 5 * twice[..., 0], 5 * twice[..., -1]
    rows["spread_mean"] = spreads.mean(axis=-1) / 100
    rows["spread_bp_mean"] = 2e4 * rows["spread_mean"] / (twice[..., -1] / 100)
    rows["microprice_close"] = twice[..., -1] / 200 + rng.uniform(-0.01, 0.01, shape)
    rows["oi_close"] = 5_000_000 + rng.integers(-40_000, 40_001, shape).cumsum(axis=0)
    rows["mark_price"] = twice[..., -1] / 200 + rng.integers(-30, 31, shape) / 100
    rows["index_price"] = twice[..., -1] / 200 + rng.integers(-30, 31, shape) / 100
    rows["funding_rate_hour"] = rng.normal(0.0, 1e-5, shape)
    for name in ("obi_top1_mean", "obi_top5_mean", "obi_top20_mean"):
        rows[name] = rng.random(shape)
    counts = {
        "trade_count": (4, 13), "quote_count": (100, 300), "ofi": (-90_000, 90_001), "oi_staleness_ms": (0, 15_000),
        "liquidation_count": (0, 3), "liquidation_buy_base": (0, 9_000), "liquidation_sell_base": (0, 9_000),
    }  # fmt: skip
    for name, (least, end) in counts.items():
        rows[name] = rng.integers(least, end, shape)
    rows["dq_status"], rows["mid_path_points"], rows["universe_rev"] = 0, GRID_POINTS, 1
    put_inside(day, rng, twice, spreads)
    day.symbols["funding_interval_h"] = 8
    return day


def put_inside(day: Day, rng: np.random.Generator, twice: np.ndarray, spreads: np.ndarray) -> None:
    """The grids of every minute. twice: bid + ask at mid_open and at each point; spreads: ask - bid there."""
    shape, lattice = twice.shape[:2], np.array(day.minutes)[:, None]
    day.quotes["minute"] = day.depths["minute"] = lattice
    day.quotes["mid_open"], day.quotes["microprice_s_30"] = twice[..., 0], twice[..., 30] / 2
    day.quotes["path_points"] = day.quotes["path_runs"] = day.depths["path_runs"] = GRID_POINTS
    for runs in (day.mids, day.depth_runs):
        runs["end"] = np.arange(1, GRID_POINTS + 1)
    day.mids["mid"], day.mids["spread"] = twice[..., 1:], spreads[..., 1:]
    day.depth_runs["depth5"] = rng.integers(1_000, 9_000_000, (*shape, GRID_POINTS)).astype(float)
    day.depths["slope"] = rng.uniform(1.0, 9.0, shape)


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """What the stages made of a day, in the order of its symbols: newest revisions, canonical.

    rows: ROW (minutes, symbols); markets: MARKET (minutes,), symbols in it as places among `names`; has: of the day.
    """

    day: Day
    rows: np.ndarray
    markets: np.ndarray

    def words(self, names: Iterable[str] | None = None, rows: Any = slice(None)) -> dict[str, np.ndarray]:
        """Column -> its words in the rows that there are, minute by minute, symbols by name; market columns as well."""
        order = np.argsort(self.day.names)
        has = self.day.has[rows][:, order]
        made, markets, found = self.rows[rows][:, order], self.markets[rows], {}
        for column in EVERY if names is None else [one for one in EVERY if one.name in set(names)]:
            if column in MARKET_COLUMNS:
                key = f"market {column.name}"
                found[key] = (
                    self._named(markets[column.name]) if column.form is Form.SYMBOL else bits(markets[column.name])
                )
            elif column.form is Form.QUOTE:
                found[column.name] = np.stack([made[f"{column.name}_{half}"][has] for half in ("hi", "lo")])
            else:
                found[column.name] = bits(made[column.name])[has]
        return found

    def _named(self, places: np.ndarray) -> np.ndarray:
        return np.array([*self.day.names, ""])[np.where(places == NULL, len(self.day.names), places)]


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.int64)


def difference(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> set[str]:
    """Columns whose words differ."""
    assert one.keys() == other.keys()
    return {name for name in one if not np.array_equal(one[name], other[name])}


class Machine:
    """The two stages over one state; several venues may share it. `ran`: by venue."""

    def __init__(self, *days: Day) -> None:
        self.days = days
        limits = {"symbols_max": sum(len(day.names) for day in days), "venues_max": len(days), "history_minutes": 16}
        core = Core.model_validate({"limits": limits | {"book_window_ticks": 16_384, "dedupe_ids": 256}})
        self.conveyor = Conveyor()
        self.conveyor.configure(core)
        self.registry, self.rosters = self.conveyor.registry, Rosters()
        self.registry.venues.extend(f"venue{v}" for v in range(len(days)))
        self.ran, self.places = [], []
        for v, day in enumerate(days):
            begin = len(self.registry.names)
            self.places.append(np.arange(begin, begin + len(day.names)))
            for name in day.names:
                self.registry.add(Instrument(f"venue{v}", name, PRICE_DECIMALS, QUANTITY_DECIMALS))
            self.state.tape.symbols[self.places[v]] = day.symbols
            self.state.tape.symbols["venue"][self.places[v]] = v
            self.ran.append(Ran(day, np.full(day.rows.shape, BLANK, ROW), np.zeros(len(day.rows), MARKET)))

    @property
    def state(self) -> EngineState:
        assert self.conveyor.state is not None
        return self.conveyor.state

    def restart(self) -> None:
        """Go on from a snapshot of the state, as after a stop."""
        kept = snapshot.encode(snapshot.take(self.conveyor))
        self.conveyor = snapshot.restore(snapshot.decode(kept))
        self.registry, self.rosters = self.conveyor.registry, Rosters()

    def run(self, minutes: Iterable[int] | None = None) -> Ran:
        """Close these minutes, or all, each with its end of grace; the first venue's rows."""
        for minute in minutes if minutes is not None else self.days[0].minutes:
            for v in range(len(self.days)):
                self.close(minute, v)
            self.end_grace(minute)
        return self.ran[0]

    def close(
        self, minute: int, v: int = 0, day: Day | None = None, only: Sequence[int] | None = None, first: bool = True
    ) -> None:
        """Close a minute of a venue, or make a revision of it. day: where its rows come from. only: these symbols."""
        day, at = day or self.days[v], minute - self.days[v].first
        had = np.flatnonzero(day.has[at])
        had = had if only is None else had[np.isin(had, only)]
        members, bars, slot = self.places[v][had], self.state.bars, minute % SLOTS
        bars.rows[members] = day.rows[at, had]
        bars.quote_sums[members, slot], bars.mid_paths[members, slot] = day.quotes[at, had], day.mids[at, had]
        bars.depth_sums[members, slot], bars.depth_paths[members, slot] = day.depths[at, had], day.depth_runs[at, had]
        features.compute(self.state, members, minute, OI_STALE_MS)
        market = context.compute(self.state, v, members, minute, self.rosters.of(v, self.registry))
        rows = bars.rows.take(members)
        make_canonical(rows)
        self.state.remember(minute, members, rows)
        self.ran[v].rows[at, had] = rows
        made = self.ran[v].markets[at : at + 1]
        made[:] = market
        for column in MARKET_COLUMNS:
            if column.form is Form.SYMBOL:
                made[column.name][made[column.name] != NULL] -= self.places[v][0]

    def lower(self, minute: int, symbol: int, status: int) -> None:
        """The status of a minute whose values are final is another now; its columns stay."""
        members, rows = self.places[0][[symbol]], self.state.bars.rows
        self.state.history.take_home(minute, members, rows)
        rows["dq_status"][members] = status
        features.relearn(self.state, members, minute, OI_STALE_MS)
        again = rows.take(members)
        make_canonical(again)
        self.state.remember(minute, members, again)
        self.ran[0].rows[minute - self.days[0].first, symbol] = again[0]

    def end_grace(self, minute: int) -> None:
        for v in range(len(self.days)):
            roster = self.rosters.of(v, self.registry)
            features.settle(self.state, roster.order, minute - 1)
            context.settle(self.state, v, minute - 1, roster)


def run(day: Day) -> Ran:
    return Machine(day).run()


# --- changing ---------------------------------------------------------------------------------------------------------


def change(day: Day, column: Column, rng: np.random.Generator, symbols: Any = slice(None)) -> None:
    """Another column in half of these symbols' rows: some ticks of its grid away, and here and there null."""
    name = f"{column.name}_lo" if column.form is Form.QUOTE else column.name
    day.rows[name][:, symbols] = moved(day.rows[name][:, symbols], column, rng)
    if column.name == "mid_open":  # it is kept at a second place, as bid + ask
        mids, twice = day.rows[name][:, symbols], day.quotes[name][:, symbols]
        day.quotes[name][:, symbols] = np.where(mids == NULL, twice, mids // 5)


def moved(values: np.ndarray, column: Column, rng: np.random.Generator, size: float = 1e-3) -> np.ndarray:
    """Other values of a column; flags and codes stay flags and codes. size: of a tick of a real one, relative."""
    ticks, told = rng.integers(1, 30, values.shape) * rng.choice((-1, 1), values.shape), rng.random(values.shape) < 0.5
    if column.name == "dq_reasons":
        other = values ^ (1 << rng.integers(0, 21, values.shape))
    elif column.name == "dq_status":
        other, told = np.where(values == 0, 1, 0), rng.random(values.shape) < 0.1
    elif column.unit == "0|1" or column.form is Form.STATUS or column.name in ("is_in_universe", "is_hot"):
        other = 1 - np.where(values == NULL, 0, values).clip(0, 1)
    elif column.form is Form.QUOTE:
        other = (
            values * (100 + abs(ticks) * (1 if column.name == "quote_volume" else -1)) // 100
        )  # buys are a part of it
    elif column.form is Form.REAL:
        other = np.where(np.isnan(values), 0.0, values) * (1.0 + size * ticks) + ticks * 1e-6
    else:
        other = np.where(values == NULL, 0, values) + (10 if column.form is Form.PRICE else 1) * ticks
    if column.null != "never":
        nothing = np.nan if column.form is Form.REAL else NULL
        other = np.where(rng.random(values.shape) < 0.06, nothing, other)
    return np.where(told, other, values)
