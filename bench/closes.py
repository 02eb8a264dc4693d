"""A minute closes: all stages, the digests and the chain, on warm states, with a little said in each minute."""

from __future__ import annotations

from collections.abc import Iterator
from time import thread_time_ns
from typing import Any

import numpy as np

from bench.harness import Agreed, Row, clocked, no_collection, now_ns, row
from bench.made import warmed
from bench.material import ORIGIN_NS, bare
from engine import closing as assembled
from engine.conveyor import Conveyor
from engine.core.effects import Effect, MinuteRows
from engine.core.frame import ROLE_BOOK, ROLE_QUOTE
from engine.core.layouts import CLOCK_QUOTES, CLOCK_TRADES
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.schema import CloseReason

PRICE, SPREAD = 10_000, 1  # in ticks, as of the made minutes that the state is warm from
EVENTS = 4  # of one symbol in one minute: a trade, two quotes, a book


def minutes_of(conveyor: Conveyor, symbols: int, minutes: int, seed: int = 3) -> Iterator[int]:
    """Fill the open minute with light ticks, fold them, and yield it, ready to be closed; again for the next one."""
    assert conveyor.state is not None
    tape = conveyor.state.tape
    draw = np.random.default_rng(seed)
    first_minute = ORIGIN_NS // NS_PER_MINUTE
    price = PRICE + draw.integers(0, 1_000, symbols)
    room = len(tape.trade_ticks)
    for minute in range(first_minute, first_minute + minutes):
        price = price + draw.integers(-10, 11, symbols)
        begin_ns = minute * NS_PER_MINUTE
        for first in range(0, symbols, room // 4):
            chosen = np.arange(first, min(symbols, first + room // 4))
            _add_trades(tape, chosen, begin_ns + 20 * NS_PER_S, price[chosen], draw)
            for part, role in enumerate((ROLE_QUOTE, ROLE_QUOTE, ROLE_BOOK)):
                _add_quotes(tape, chosen, begin_ns + (10 + 15 * part) * NS_PER_S, price[chosen], role, draw)
            conveyor.minutes.fold()
        live = tape.connections["venue"] == 0
        tape.connections["event_ns_max"][live] = begin_ns + 61 * NS_PER_S
        tape.connections["last_recv_ns"][live] = begin_ns + 61 * NS_PER_S
        tape.connections["offset_now_ns"][live] = 0
        tape.books["synced"] = 1  # as after a snapshot, and what follows: without it every row is stale, and all null
        tape.symbols["newest_quote_ns"] = tape.symbols["newest_book_ns"] = begin_ns + 59 * NS_PER_S
        yield minute


def _add_trades(tape: Any, symbols: np.ndarray, event_ns: int, price: np.ndarray, draw: np.random.Generator) -> None:
    ticks = tape.trade_ticks[tape.clock[CLOCK_TRADES] :][: len(symbols)]
    ticks["symbol"], ticks["event_ns"], ticks["price"], ticks["flag"] = symbols, event_ns, price, 0
    ticks["order"], ticks["count"] = event_ns // NS_PER_MINUTE, 1  # one a minute: ids that count have no hole
    ticks["quantity"], ticks["buy"] = draw.integers(100_000, 9_000_000, len(symbols)), draw.integers(0, 2, len(symbols))
    tape.clock[CLOCK_TRADES] += len(symbols)


def _add_quotes(
    tape: Any, symbols: np.ndarray, event_ns: int, price: np.ndarray, role: int, draw: np.random.Generator
) -> None:
    ticks = tape.quote_ticks[tape.clock[CLOCK_QUOTES] :][: len(symbols)]
    ticks["symbol"], ticks["event_ns"], ticks["role"], ticks["valid"] = symbols, event_ns, role, 1
    ticks["updates"] = 1
    ticks["bid"], ticks["ask"] = price - SPREAD, price + SPREAD
    for name in ("bid_quantity", "ask_quantity", "bid5", "ask5", "bid20", "ask20"):
        ticks[name] = draw.integers(1, 90_000, len(symbols))
    tape.clock[CLOCK_QUOTES] += len(symbols)


def close_all(conveyor: Conveyor, symbols: int, minutes: int) -> tuple[np.ndarray, list[MinuteRows]]:
    """(2, minutes) ns of each close, by the clock and of the CPU; and what they gave."""
    spent: list[tuple[int, int]] = []
    effects: list[Effect] = []
    with no_collection():
        for _ in minutes_of(conveyor, symbols, minutes):
            begun, begun_cpu = now_ns(), thread_time_ns()
            conveyor.minutes.close(0, CloseReason.EVENT, effects)
            spent.append((now_ns() - begun, thread_time_ns() - begun_cpu))
    return np.array(spent).T, [effect for effect in effects if isinstance(effect, MinuteRows)]


def closes(symbols: int, minutes: int = 60) -> Iterator[Row]:
    """`Minutes.close` of every minute; then again over the same ticks, with the stages of it timed one by one."""
    agreed = Agreed(f"close of {symbols} symbols")
    made_minutes(3, 1)  # loads the kernels, as the start of an engine does
    conveyor = warmed(symbols).conveyor
    (samples, on_cpu), _ = close_all(conveyor, symbols, minutes)
    agreed.add(conveyor.chain)
    yield row(
        "close: all stages", bare(symbols), minutes, "ms", samples / 1e6,
        rate=symbols * minutes / samples.sum() * 1e9, rate_unit="rows/s", digest=agreed.digest,
    )  # fmt: skip
    yield row("close: all stages, CPU", bare(symbols), minutes, "ms", on_cpu / 1e6, digest=agreed.digest)
    conveyor = warmed(symbols).conveyor
    with (
        clocked(assembled.bars, "seal") as sealing,
        clocked(assembled.bars, "close") as writing,
        clocked(assembled.quality, "close") as judging,
        clocked(assembled.features, "compute") as computing,
        clocked(assembled.context, "compute") as comparing,
        clocked(assembled.Minutes, "_publish") as publishing,
    ):
        (spent, _), _ = close_all(conveyor, symbols, minutes)
    agreed.add(conveyor.chain)
    for name, parts in (
        ("bars, seal", sealing), ("bars, rows", writing), ("quality", judging),
        ("features", computing), ("context", comparing), ("digests, history", publishing),
    ):  # fmt: skip
        yield row(
            f"close: of it {name}", bare(symbols), minutes, "ms", np.array(parts) / 1e6,
            rate=100.0 * sum(parts) / spent.sum(), rate_unit="% of close", digest=agreed.digest,
        )  # fmt: skip


def made_minutes(symbols: int, minutes: int) -> list[MinuteRows]:
    """Closed minutes for whoever has to write them; no time is taken."""
    conveyor = warmed(symbols).conveyor
    return close_all(conveyor, symbols, minutes)[1]
