"""Trades to closed minute bars: the bar stage beside a peer, the same trades, the same core, every bar compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench import folds
from bench.harness import ResultDiffersError, Row, digest_of, in_turn, median_total, row
from bench.material import ORIGIN_NS, bare
from bench.peers.driver import Driver, one_core
from engine.core.layouts import QUOTE_TICK, TRADE_TICK
from engine.core.minutes import NS_PER_MINUTE

OURS = "bars: trades to closed bars, "  # and the peer
PRICE_DECIMALS, QUANTITY_DECIMALS = 2, 3  # of the instruments that bench.material makes
BAR = ("minute", "symbol", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of all symbols in order of time, no two at one instant and none on a minute's edge.

    event_ns, symbol, price, quantity, buy: (count,), prices and quantities as whole numbers at the instrument's scale.
    """

    event_ns: np.ndarray
    symbol: np.ndarray
    price: np.ndarray
    quantity: np.ndarray
    buy: np.ndarray
    symbols: int
    minutes: int

    def save(self, path: Path) -> None:
        np.savez(
            path, event_ns=self.event_ns, symbol=self.symbol, price=self.price, quantity=self.quantity, buy=self.buy,
            symbols=self.symbols, price_decimals=PRICE_DECIMALS, quantity_decimals=QUANTITY_DECIMALS,
        )  # fmt: skip


def trades(symbols: int, count: int, minutes: int, seed: int = 11) -> Trades:
    """Made, not simulated: uniform times, one random walk in price."""
    draw = np.random.default_rng(seed)
    step_ns = minutes * NS_PER_MINUTE // count
    event_ns = ORIGIN_NS + np.arange(count) * step_ns + draw.integers(1, step_ns, count)
    event_ns += event_ns % NS_PER_MINUTE == 0
    price = 10_000_000 + np.cumsum(draw.integers(-3, 4, count))
    symbol, buy = draw.integers(0, symbols, count), draw.integers(0, 2, count)
    return Trades(event_ns, symbol, price, draw.integers(1, 50_000, count), buy, symbols, minutes)


class Ours(folds.Work):
    """The folds and rows of `bench.folds`, over trades alone, and the bars for comparison if they are wanted."""

    def __init__(self, made: Trades) -> None:
        super().__init__(made.symbols, 1, made.minutes)
        self.events = folds.Events((), _parts(made, len(self.tape.trade_ticks)), made.minutes)
        self.bars_wanted = False
        self.found: list[np.ndarray] = []

    def _close(self, minute: int) -> None:
        super()._close(minute)
        if self.bars_wanted:
            rows = self.bars.rows
            columns = [rows[name].astype(np.int64) for name in ("open", "high", "low", "close", "base_volume")]
            traded = np.flatnonzero(rows["trade_count"] > 0)
            words = np.column_stack([np.full(len(rows), minute), np.arange(len(rows)), *columns])
            words[:, 2:6] //= 10  # rows hold prices at one decimal more, so that a mid is a whole number
            self.found.append(words[traded])

    def compared(self) -> np.ndarray:
        """(bars, 7) int64 as BAR, of minutes with trades."""
        self.bars_wanted, self.found = True, []
        self.fold(closing=True)
        self.bars_wanted = False
        return np.concatenate(self.found)


def _parts(made: Trades, room: int) -> list[tuple[int, int, int, np.ndarray, np.ndarray]]:
    """What one fold may take: within a minute and `room` ticks."""
    count = len(made.event_ns)
    ticks = np.zeros(count, TRADE_TICK)
    for name in ("event_ns", "symbol", "price", "quantity", "buy"):
        ticks[name] = getattr(made, name)
    ticks["order"], ticks["count"] = np.arange(count), 1
    minute = made.event_ns // NS_PER_MINUTE
    edges = sorted({0, count, *range(0, count, room), *(np.flatnonzero(np.diff(minute)) + 1).tolist()})
    quotes = np.zeros(0, QUOTE_TICK)
    return [(int(minute[first]), first, last, ticks[first:last], quotes) for first, last in pairwise(edges)]


def against(peer: str, symbols: int, count: int, minutes: int = 60, passes: int = 3) -> Iterator[Row]:
    """Ours and theirs in turn on one core; raises ResultDiffersError at the first bar that is not the same."""
    made = trades(symbols, count, minutes)
    work = Ours(made)
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder, one_core():
        events, bars = Path(folder) / "events.npz", Path(folder) / "bars.npy"
        made.save(events)
        with Driver(peer, [str(events)]) as driver:
            called = f"{driver.title} {driver.version}"
            driver.once(bars)
            digest = compare(called, work.compared(), np.load(bars))

            def theirs() -> list[int]:
                return [int(driver.once()["seconds"] * 1e9)]

            mine, others = in_turn(passes, lambda: work.fold(closing=True), theirs)
    for what, taken, more in (
        (OURS + peer, mine, {"against": called, "ratio": median_total(others) / median_total(mine)}),
        (f"{called}: the same", others, {}),
    ):  # fmt: skip
        per_event = [float(np.sum(one)) / count for one in taken]
        yield row(
            what, bare(symbols), count, "ns/event", per_event, rate=count / median_total(taken) * 1e3,
            rate_unit="M events/s", digest=digest, **more,
        )  # fmt: skip


def compare(peer: str, ours: np.ndarray, theirs: np.ndarray) -> str:
    """Digest of both, (bars, 7) as BAR in any order; ResultDiffersError names the first bar that differs."""
    ours, theirs = (bars[np.lexsort((bars[:, 1], bars[:, 0]))] for bars in (ours, theirs))
    if np.array_equal(ours, theirs):
        return digest_of(ours)
    count = min(len(ours), len(theirs))
    differing = np.flatnonzero((ours[:count] != theirs[:count]).any(axis=1))
    told = [f"{len(ours)} bars of ours, {len(theirs)} of theirs"]
    if len(differing):
        told += [
            f"{whose} {dict(zip(BAR, bars[differing[0]].tolist(), strict=True))}"
            for whose, bars in (("ours", ours), ("theirs", theirs))
        ]
    raise ResultDiffersError(f"{peer}: the bars over the same trades differ: {'; '.join(told)}")
