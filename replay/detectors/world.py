"""Made-up minutes for detectors: rows, bars and a market row, drawn column by column; some hold nulls, some nothing.

Numbers are of every size rather than likely ones: what a detector reads must be able to move it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from engine.core.column import Column, Form
from engine.core.detector import View
from engine.core.feature_state import INPUTS, RECENT
from engine.core.market import LENGTHS, MARKET, MARKET_CODES, MARKET_COLUMNS
from engine.core.rollup_columns import ROLLUP, ROLLUP_COLUMNS
from engine.core.schema import CODES, COLUMNS, NULL, ROW, Status
from replay.detectors.shapes import PATHS, WICK, bars_of, closes_of

SYMBOLS, PEERS, MEMBERS, SECTORS = 48, 44, 40, 5
MINUTES, BARS, BAR_MINUTES = RECENT, 32, 15
PRICE_UNIT, QUOTE_UNIT, BASE_UNIT = 1_000.0, 100_000.0, 1_000.0
SHAPES = tuple(dict.fromkeys(PATHS.values()))
SHAPE_ATR = 0.3  # one atr_14 of a shape, in prices of 100
MINUTE = 28_000_020  # the last of a bar is behind it

# What stands in View.inputs, and the columns that it is made of: who reads the one declares the others. That all of it
# is null in a stale minute is said of none, as with columns.
MADE_OF: dict[str, tuple[str, ...]] = {
    "status": ("dq_status",),
    **{name: (name,) for name in ("open", "high", "low", "close", "hma_raw")},
    "mid": ("mid_close",),
    "log_return": ("mid_close",),
    "volume": ("quote_volume",),
    "flow": ("cvd_delta_m_1",),
    "interest": ("oi_close",),
    "basis": ("basis_bp",),
    "liquidations": ("liquidation_count",),
    "liquidation_quote": ("liquidation_buy_base", "liquidation_sell_base", "mid_close"),
    "hma": ("hma_100",),
    "stoch_k": ("stoch_k_14",),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """How a world is made. nulls: share of values that are; minutes: how many before the minute are held.

    is_shaped: prices are the shapes of shapes.py by turns, which no random walk has often enough.
    """

    name: str
    minute: int = MINUTE
    nulls: float = 0.0
    minutes: int = MINUTES
    symbols: int = SYMBOLS
    is_shaped: bool = False


KINDS = (
    Kind("whole"),
    Kind("whole, between two bars", MINUTE + 7),
    Kind("nulls", nulls=0.05),
    Kind("many nulls, young", MINUTE + BAR_MINUTES, nulls=0.3, minutes=40),
    Kind("shapes", MINUTE + 1, is_shaped=True),
    Kind("shapes, again", MINUTE + 2, is_shaped=True),
    Kind("shapes, once more", MINUTE + 3, is_shaped=True),
)
NOTHING = Kind("nothing but nulls", nulls=1.0)
EDGES = (
    NOTHING,
    Kind("the first minute", minutes=0),
    Kind("one symbol", symbols=1),
)


def fields_of(column: Column) -> tuple[str, ...]:
    """Fields of a row that hold a column."""
    return (f"{column.name}_hi", f"{column.name}_lo") if column.form is Form.QUOTE else (column.name,)


def a_view(kind: Kind = KINDS[0], seed: int = 1) -> View:
    """A view drawn by `seed`. Members are some of the peers, by no order; not every symbol is a peer."""
    rng = np.random.default_rng([seed, kind.minute, kind.minutes, kind.symbols, round(100 * kind.nulls)])
    count = kind.symbols
    drawn = _rows(ROW, COLUMNS, MINUTES + 1, kind, rng)
    history, held = np.zeros((MINUTES, count), ROW), np.full((MINUTES, count), -1)
    before = np.arange(kind.minute - MINUTES, kind.minute)
    history[before % MINUTES] = drawn[:-1]
    held[before % MINUTES] = np.where(before >= kind.minute - kind.minutes, before, -1)[:, None]
    bars_15m, bars_held = np.zeros((BARS, count), ROLLUP), np.full((BARS, count), -1)
    bars = np.arange(kind.minute // BAR_MINUTES - BARS, kind.minute // BAR_MINUTES)
    bars_15m[bars % BARS] = _rows(ROLLUP, ROLLUP_COLUMNS, BARS, kind, rng)
    bars_held[bars % BARS] = np.where(bars * BAR_MINUTES >= kind.minute - kind.minutes, bars, -1)[:, None]
    peers = np.sort(rng.permutation(count)[: max(1, count * PEERS // SYMBOLS)])
    members = rng.permutation(peers)[: max(1, count * MEMBERS // SYMBOLS)]
    markets, markets_held = _markets(members, kind, rng), np.full(MINUTES, -1)
    known = np.arange(kind.minute - min(kind.minutes, MINUTES - 1), kind.minute + 1)
    markets_held[known % MINUTES] = known
    inputs = np.full((count, len(INPUTS), 2 * RECENT), np.nan)
    view = View(
        kind.minute, members, drawn[-1].copy(), markets[[kind.minute % MINUTES]], history, held, inputs,
        np.full(count, kind.minute), bars_15m, bars_held, peers, np.arange(count) % (SECTORS + 1) - 1, markets,
        markets_held,
    )  # fmt: skip
    write_inputs(view, INPUTS)
    return view


def write_inputs(view: View, names: Iterable[str]) -> None:
    """Write some lines of the ring of inputs from the rows that are held, as the stage `features` keeps them."""
    minutes = np.arange(view.minute - RECENT + 1, view.minute + 1)
    places = minutes[:-1] % MINUTES

    def read(field: str, unit: float = 1.0) -> np.ndarray:
        values = np.concatenate([view.history[field][places], view.rows[field][None]])
        return np.where(values == NULL, np.nan, values / unit)

    for name in names:
        is_held = np.ones((RECENT, len(view.rows)), bool)
        is_held[:-1] = view.held[places] == minutes[:-1, None]
        if name != "status":
            is_held &= read("dq_status") != Status.STALE
        values = np.where(is_held, INPUT_OF[name](read), np.nan).T
        view.inputs[:, INPUTS.index(name), minutes % RECENT] = values
        view.inputs[:, INPUTS.index(name), minutes % RECENT + RECENT] = values


Read = Callable[..., np.ndarray]  # of a field and its unit, (minutes, symbols), oldest first; NaN: null


def _plain(name: str, unit: float = 1.0) -> Callable[[Read], np.ndarray]:
    return lambda read: read(name, unit)


def _log_return(read: Read) -> np.ndarray:
    mids = np.log(read("mid_close", PRICE_UNIT))
    return np.concatenate([np.full_like(mids[:1], np.nan), np.diff(mids, axis=0)])


def _liquidated(read: Read) -> np.ndarray:
    total = read("liquidation_buy_base", BASE_UNIT) + read("liquidation_sell_base", BASE_UNIT)
    return total * read("mid_close", PRICE_UNIT)


INPUT_OF: dict[str, Callable[[Read], np.ndarray]] = {
    "status": _plain("dq_status"),
    **{name: _plain(name, PRICE_UNIT) for name in ("open", "high", "low", "close")},
    "mid": _plain("mid_close", PRICE_UNIT),
    "log_return": _log_return,
    "volume": _plain("quote_volume_lo", QUOTE_UNIT),
    "flow": _plain("cvd_delta_m_1"),
    "interest": _plain("oi_close"),
    "basis": _plain("basis_bp"),
    "liquidations": _plain("liquidation_count"),
    "liquidation_quote": _liquidated,
    "hma_raw": _plain("hma_raw"),
    "hma": _plain("hma_100"),
    "stoch_k": _plain("stoch_k_14"),
}


# Columns --------------------------------------------------------------------------------------------------------------


def _rows(dtype: np.dtype, columns: Iterable[Column], minutes: int, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """(minutes, symbols) of `dtype`, oldest first."""
    rows, shape = np.zeros((minutes, kind.symbols), dtype), (minutes, kind.symbols)
    closes = 100.0 * np.exp(np.cumsum(0.002 * rng.standard_normal(shape), axis=0))
    prices = _prices(closes, rng)
    if kind.is_shaped:
        closes = _shapes(minutes, kind.symbols, rng)
        prices |= _prices_of(closes, rng)
    for column in columns:
        values = prices[column.name] if column.form is Form.PRICE else _values(column, closes, rng)
        if kind.is_shaped and column.name == "atr_14":
            values = SHAPE_ATR * rng.uniform(0.95, 1.05, shape)
        if kind.is_shaped and column.name == "dq_status":
            values = np.full(shape, Status.OK)
        null = rng.random(shape) < (0.0 if column.null == "never" else kind.nulls)
        field = fields_of(column)[-1]
        rows[field] = np.where(null, np.nan if column.form is Form.REAL else NULL, values)
    return rows


def _prices(closes: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mantissas of every price column, of trades and of mids."""
    found: dict[str, np.ndarray] = {}
    for prefix in ("", "mid_"):
        last = closes * (1.0 + 1e-5 * rng.standard_normal(closes.shape))
        first = np.concatenate([last[:1], last[:-1]])
        reach = 1e-3 * np.abs(rng.standard_normal((2, *closes.shape)))
        found[f"{prefix}open"], found[f"{prefix}close"] = first, last
        found[f"{prefix}high"] = np.maximum(first, last) * (1.0 + reach[0])
        found[f"{prefix}low"] = np.minimum(first, last) * (1.0 - reach[1])
    found["spread_max"] = closes * 1e-3
    return {name: np.rint(values * PRICE_UNIT).astype(np.int64) for name, values in found.items()}


def _shapes(minutes: int, symbols: int, rng: np.random.Generator) -> np.ndarray:
    """(minutes, symbols): closes of shapes by turns, a little bent."""
    first = int(rng.integers(len(SHAPES)))
    drawn = np.stack([closes_of(SHAPES[(first + s) % len(SHAPES)], minutes) for s in range(symbols)], axis=1)
    return 100.0 + SHAPE_ATR * (drawn + 0.02 * rng.standard_normal(drawn.shape))


def _prices_of(closes: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mantissas of open, high, low and close of bars with these closes."""
    opened, high, low = bars_of(closes, SHAPE_ATR * WICK * rng.uniform(0.9, 1.1, closes.shape))
    named = {"open": opened, "high": high, "low": low, "close": closes}
    return {name: np.rint(values * PRICE_UNIT).astype(np.int64) for name, values in named.items()}


def _values(column: Column, closes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Values of any column but a price's; closes: (minutes, symbols)."""
    shape, normal = closes.shape, rng.standard_normal(closes.shape)
    if column.name in CODES:
        codes = [int(code) for code in CODES[column.name]]
        return rng.choice(codes, shape, p=[0.9 if not i else 0.1 / (len(codes) - 1) for i in range(len(codes))])
    if column.form is Form.REAL:
        return _real(column, closes, normal, rng)
    top = {"0|1": 2, "count": 12, "ms": 40_000, "ns": 60_000_000_000, "bits": 4}.get(column.unit, 90_000_000)
    return rng.integers(0, top, shape)


def _real(column: Column, closes: np.ndarray, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if column.name.startswith(("b_scale", "atr_")) and column.unit != "1 of 100":
        return 0.3 * np.abs(normal) + 1e-3
    if column.name.startswith("rv_"):
        return 2e-3 * np.abs(normal)  # of the size of a minute's range
    if column.unit == "quote/base" and not column.name.startswith("macd"):
        return closes * (1.0 + 0.003 * normal)
    if column.unit == "1 of 100":
        return rng.uniform(0.0, 100.0, closes.shape)
    if column.unit == "1":
        return normal * 10.0 ** rng.uniform(-3.0, 0.0, closes.shape)  # returns and ratios have the same unit
    sizes = {"sigma": 2.0, "count": 4.0, "min": 30.0, "1/h": 1e-3, "atr_14": 1.0}
    values = normal * sizes.get(column.unit, 1.0)
    return np.rint(np.abs(values)) if column.unit in ("count", "min") else values


def _markets(members: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """MARKET (MINUTES,). In a world of shapes the market goes up and down within the hour."""
    rows = np.zeros(MINUTES, MARKET)
    for column in MARKET_COLUMNS:
        shape = (MINUTES, LENGTHS[column.name]) if column.name in LENGTHS else (MINUTES,)
        null: float = np.nan if column.form is Form.REAL else NULL
        if column.form is Form.SYMBOL:
            values = rng.choice(members, shape)
        elif column.form is Form.REAL:
            values = 2.0 * rng.standard_normal(shape)
            if kind.is_shaped and column.name == "market_return_m_1":
                minutes = np.arange(MINUTES)
                ago = (kind.minute - minutes) % MINUTES  # where each minute stands in the ring
                values = np.sin(2.0 * np.pi * (ago - 20) / 60.0) + 0.4 * values
        else:
            codes = MARKET_CODES.get(column.name)
            values = rng.integers(0, len(codes) if codes else 60, shape)
        rows[column.name] = np.where(rng.random(shape) < (0.0 if column.null == "never" else kind.nulls), null, values)
    return rows


# A column taken from another world ------------------------------------------------------------------------------------

NAMES = (
    *(column.name for column in COLUMNS),
    *(f"market.{column.name}" for column in MARKET_COLUMNS),
    *(f"15m.{column.name}" for column in ROLLUP_COLUMNS),
)  # everything that a detector can declare
COLUMN_OF: dict[str, Column] = dict(zip(NAMES, (*COLUMNS, *MARKET_COLUMNS, *ROLLUP_COLUMNS), strict=True))


def arrays_of(view: View, name: str) -> list[np.ndarray]:
    """Every array of a view in which a column stands, as views on them."""
    part, _, plain = name.rpartition(".")
    holders = {"": (view.rows, view.history), "market": (view.market, view.markets), "15m": (view.bars_15m,)}[part]
    fields = (plain,) if part == "market" else fields_of(COLUMN_OF[name])
    return [holder[field] for holder in holders for field in fields]


@contextmanager
def changed(view: View, name: str, other: View | None) -> Iterator[View]:
    """`view` with one column, of now and before, as `other` of the same kind has it; None: null everywhere."""
    arrays = arrays_of(view, name)
    values = arrays_of(other, name) if other else [np.nan if a.dtype.kind == "f" else NULL for a in arrays]
    made = [place for place, names in MADE_OF.items() if name in names]
    before = [array.copy() for array in arrays]
    try:
        for array, value in zip(arrays, values, strict=True):
            array[...] = value
        write_inputs(view, made)
        yield view
    finally:
        for array, value in zip(arrays, before, strict=True):
            array[...] = value
        write_inputs(view, made)
