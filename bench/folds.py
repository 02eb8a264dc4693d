"""Decoded ticks to closed bars, against a bare kernel that keeps 24 accumulators and knows no late trade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bench.harness import Agreed, ResultDiffersError, Row, digest_of, flat, in_turn, median_total, now_ns, row
from bench.material import ORIGIN_NS, bare, bare_conveyor
from engine.bars import stage as bars
from engine.core.frame import ROLE_QUOTE
from engine.core.kernel import kernel
from engine.core.layouts import CLOCK_QUOTES, CLOCK_TRADES, QUOTE_TICK, TRADE_TICK
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import CloseReason

ACCUMULATORS = 24
QUOTE_EVERY = 4  # one event in so many is a quote
REFERENCE = "bare kernel, 24 accumulators"
PRICE, SPREAD = 100_000_000, 100  # mantissas at price_decimals + 1 have room above

# Accumulators of the bare kernel, per symbol.
(
    OPEN, HIGH, LOW, LAST, BASE, BUY_BASE, QUOTE, BUY_QUOTE, TRADES, BUYS, SQUARE, LARGEST,
    QUOTES, SPREAD_NS, IMBALANCE_NS, LIVE_NS, IMBALANCE, SPREAD_NOW, MICROPRICE, AT_NS,
    MID_HIGH, MID_LOW, RETURN_SQUARE, RETURN_SIZE,
) = range(ACCUMULATORS)  # fmt: skip


@kernel
def bare_bars(
    event_ns, symbol, is_quote, price, quantity, buy, bid, bid_quantity, ask, ask_quantity, minute, sums, out
):
    """Events in order of time to `out`, (minutes, symbols, 24).

    sums: (symbols, 24), of the minute that runs; minute: (symbols,), which one that is, -1 before the first.
    """
    for i in range(event_ns.shape[0]):
        s = symbol[i]
        total = sums[s]
        m = event_ns[i] // 60_000_000_000
        if m != minute[s]:
            if minute[s] >= 0:
                done = out[minute[s] % out.shape[0], s]
                for a in range(24):
                    done[a] = total[a]
            imbalance, spread, micro = total[IMBALANCE], total[SPREAD_NOW], total[MICROPRICE]
            for a in range(24):
                total[a] = 0.0
            total[IMBALANCE], total[SPREAD_NOW], total[MICROPRICE] = imbalance, spread, micro
            total[AT_NS] = float(event_ns[i])
            minute[s] = m
        if is_quote[i]:
            now_ns = float(event_ns[i])
            duration = now_ns - total[AT_NS]
            total[IMBALANCE_NS] += total[IMBALANCE] * duration
            total[SPREAD_NS] += total[SPREAD_NOW] * duration
            total[LIVE_NS] += duration
            total[AT_NS] = now_ns
            weight = bid_quantity[i] + ask_quantity[i]
            mid = 0.5 * (bid[i] + ask[i])
            total[IMBALANCE] = (bid_quantity[i] - ask_quantity[i]) / weight
            total[SPREAD_NOW] = (ask[i] - bid[i]) / mid
            total[MICROPRICE] = (bid[i] * ask_quantity[i] + ask[i] * bid_quantity[i]) / weight
            if total[QUOTES] == 0.0:
                total[MID_HIGH] = total[MID_LOW] = mid
            total[MID_HIGH], total[MID_LOW] = max(total[MID_HIGH], mid), min(total[MID_LOW], mid)
            total[QUOTES] += 1.0
        else:
            p, q = price[i], quantity[i]
            value = p * q
            if total[TRADES] == 0.0:
                total[OPEN] = total[HIGH] = total[LOW] = total[LAST] = p
            if p > total[HIGH]:
                total[HIGH] = p
            if p < total[LOW]:
                total[LOW] = p
            change = p / total[LAST] - 1.0
            total[RETURN_SQUARE] += change * change
            total[RETURN_SIZE] += abs(change)
            total[LAST] = p
            total[BASE] += q
            total[QUOTE] += value
            total[SQUARE] += q * q
            total[TRADES] += 1.0
            if buy[i]:
                total[BUY_BASE] += q
                total[BUY_QUOTE] += value
                total[BUYS] += 1.0
            if q > total[LARGEST]:
                total[LARGEST] = q


@dataclass(frozen=True, slots=True)
class Events:
    """Events of all symbols in order of time, as columns, and as the ticks of each part that one fold may take.

    parts: (minute, first event, one past the last, its trade ticks, its quote ticks).
    """

    columns: tuple[np.ndarray, ...]
    parts: list[tuple[int, int, int, np.ndarray, np.ndarray]]
    minutes: int


def events(symbols: int, count: int, minutes: int, room: int, seed: int = 5) -> Events:
    """Made, not simulated: uniform times, random walks in price. Each part stays within a minute and `room` ticks."""
    draw = np.random.default_rng(seed)
    event_ns = ORIGIN_NS + np.sort(draw.integers(0, minutes * NS_PER_MINUTE, count))
    symbol = draw.integers(0, symbols, count)
    is_quote = np.arange(count) % QUOTE_EVERY == 0
    price = PRICE + np.cumsum(draw.integers(-3, 4, count))
    quantity, buy = draw.integers(1, 50_000, count), draw.integers(0, 2, count)
    bid, ask = price - SPREAD, price + SPREAD
    bid_quantity, ask_quantity = draw.integers(1, 90_000, count), draw.integers(1, 90_000, count)
    trades, quotes = np.zeros(count, TRADE_TICK), np.zeros(count, QUOTE_TICK)
    for ticks in (trades, quotes):
        ticks["symbol"], ticks["event_ns"] = symbol, event_ns
    trades["price"], trades["quantity"], trades["buy"], trades["order"] = price, quantity, buy, np.arange(count)
    trades["count"] = 1
    quotes["role"], quotes["valid"], quotes["bid"], quotes["ask"] = ROLE_QUOTE, 1, bid, ask
    quotes["updates"] = 1
    quotes["bid_quantity"], quotes["ask_quantity"] = bid_quantity, ask_quantity
    minute = event_ns // NS_PER_MINUTE
    edges = sorted({0, count, *range(0, count, room), *(np.flatnonzero(np.diff(minute)) + 1).tolist()})
    parts = []
    for first, last in pairwise(edges):
        of_quotes = is_quote[first:last]
        parts.append((int(minute[first]), first, last, trades[first:last][~of_quotes], quotes[first:last][of_quotes]))
    reals = [column.astype(np.float64) for column in (price, quantity, bid, bid_quantity, ask, ask_quantity)]
    columns = (event_ns, symbol, is_quote, reals[0], reals[1], buy == 1, *reals[2:])
    return Events(columns, parts, minutes)


def folds(symbols: int, count: int = 1_000_000, minutes: int = 60, passes: int = 5) -> Iterator[Row]:
    """Folding alone, then folding with the rows of each minute written (`seal` and `close` of the bar stage)."""
    work = Work(symbols, count, minutes)
    for what, closing in (("bars: folds", False), ("bars: folds and rows", True)):
        agreed = Agreed(f"{what}, {symbols} symbols")

        def ours(closing: bool = closing, agreed: Agreed = agreed) -> list[int]:
            spent = work.fold(closing)
            agreed.add(work.result())
            return spent

        mine, theirs = in_turn(passes, ours, work.bare)
        total, per = median_total(mine), np.array([last - first for _, first, last, _, _ in work.events.parts])
        yield row(
            what, bare(symbols), count, "ns/event", flat(mine, per), rate=count / total * 1e3, rate_unit="M events/s",
            against=REFERENCE, ratio=median_total(theirs) / total, digest=agreed.digest,
        )  # fmt: skip
        if not closing:
            fastest = median_total(theirs)
            yield row(
                REFERENCE, bare(symbols), count, "ns/event", flat(theirs, per), rate=count / fastest * 1e3,
                rate_unit="M events/s", digest=digest_of(work.out),
            )  # fmt: skip
    work.compare()


class Work:
    """The same events for both."""

    def __init__(self, symbols: int, count: int, minutes: int) -> None:
        self.conveyor = bare_conveyor(symbols)
        assert self.conveyor.state is not None
        self.tape, self.bars = self.conveyor.state.tape, self.conveyor.state.bars
        self.members = np.arange(symbols)
        self.events = events(symbols, count, minutes, len(self.tape.trade_ticks))
        self.copies = [array.copy() for array in self.bars]
        self.out = np.zeros((minutes, symbols, ACCUMULATORS))
        self.closed: list[np.ndarray] = []
        self.closing = bars.Closing(
            np.full(len(self.tape.connections), 2**62, np.int64), 0, 0, 0, int(CloseReason.EVENT)
        )

    def fold(self, closing: bool) -> list[int]:
        """ns per part. Copying ticks into the buffers, where the tape would have written them, is not counted."""
        tape, sums = self.tape, self.bars
        for array, copy in zip(sums, self.copies, strict=True):
            array[...] = copy
        self.closed = []
        spent = []
        open_minute = self.events.parts[0][0]
        for minute, _, _, trades, quotes in self.events.parts:
            tape.trade_ticks[: len(trades)], tape.quote_ticks[: len(quotes)] = trades, quotes
            tape.clock[CLOCK_TRADES], tape.clock[CLOCK_QUOTES] = len(trades), len(quotes)
            begun = now_ns()
            if minute != open_minute:
                if closing:
                    self._close(open_minute)
                open_minute = minute
            tape.venues["open_minute"][0] = minute
            bars.fold(tape, sums)
            spent.append(now_ns() - begun)
        if closing:
            self._close(open_minute)
        return spent

    def _close(self, minute: int) -> None:
        bars.seal(self.tape, self.bars, self.members, minute)
        bars.close(self.tape, self.bars, self.members, minute, self.closing)
        self.closed.append(self.bars.rows["base_volume"].copy())

    def result(self) -> str:
        return digest_of(self.bars.trade_sums, self.bars.quote_sums, *self.closed)

    def bare(self) -> list[int]:
        symbols = len(self.members)
        minute, sums = np.full(symbols, -1, np.int64), np.zeros((symbols, ACCUMULATORS))
        columns: Any = self.events.columns
        spent = []
        for _, first, last, _, _ in self.events.parts:
            part = [column[first:last] for column in columns]
            begun = now_ns()
            bare_bars(*part, minute, sums, self.out)
            spent.append(now_ns() - begun)
        for s in range(symbols):
            if minute[s] >= 0:
                self.out[minute[s] % len(self.out), s] = sums[s]
        return spent

    def compare(self) -> None:
        """Both saw the same trades: volumes are whole numbers below 2^53, so they must be equal."""
        first = self.events.parts[0][0] % len(self.out)
        theirs = np.roll(self.out[:, :, BASE], -first, axis=0)
        ours = np.array(self.closed, np.float64)
        if not np.array_equal(ours, theirs):
            raise ResultDiffersError("bars: volumes differ from the bare kernel's over the same trades")
