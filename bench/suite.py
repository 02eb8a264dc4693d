"""Every bench in the order in which a record lives, each with its name for the progress line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.harness import Row, jitter
from bench.material import Material, capture_folder, captures, recorded, simulated
from replay.simulate.market import VENUES

CLOSING = (50, 500, 2_000)
STORED = (50, 500)
FOLDED = (20, 500)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it. minutes, symbols: of the simulated markets; captures: a folder, None to look for one.

    against: peers to be measured beside us, names of bench.table.PEERS.
    """

    minutes: int = 3
    symbols: int = 3
    captures: Path | None = None
    full: bool = False
    against: tuple[str, ...] = ()


Step = tuple[str, Callable[[], Iterator[Row]]]


def steps(plan: Plan) -> Iterator[Step]:
    """Name and work of each bench; material is made when its step comes and let go of after it."""
    from bench.closes import closes
    from bench.curves import SYMBOLS, growth
    from bench.detectors import core as detected
    from bench.durable import store
    from bench.ends import journal, stall
    from bench.features import one_minute
    from bench.folds import folds
    from bench.signals import many
    from bench.signals import one_minute as judged
    from bench.start import start

    passes = 9 if plan.full else 3
    yield "jitter", lambda: iter([jitter("before")])
    for venue in VENUES:
        make = partial(simulated, venue, plan.symbols, plan.minutes)
        yield f"simulated {venue}", partial(_frames, make, passes, plan.full)
    folder = capture_folder(plan.captures)
    for name, venue, paths in captures(folder) if folder else []:
        yield f"recorded {name}", partial(_frames, partial(recorded, name, venue, paths), passes, plan.full)
    for symbols in sorted({*FOLDED, *SYMBOLS}) if plan.full else FOLDED:
        yield (
            f"bars of {symbols} symbols",
            partial(folds, symbols, 2_000_000 if plan.full else 1_000_000, passes=passes),
        )
    for symbols in sorted({*CLOSING, *SYMBOLS}) if plan.full else CLOSING:
        yield f"closes of {symbols} symbols", partial(closes, symbols, 500 if plan.full and symbols in CLOSING else 60)
    for symbols in CLOSING:
        yield f"features of {symbols} symbols", partial(one_minute, symbols, 480 if plan.full else 60)
    for symbols in CLOSING:
        yield f"signals of {symbols} symbols", partial(judged, symbols, 480 if plan.full else 60)
    yield "many signals", many
    for symbols in CLOSING if plan.full else ():
        yield f"detectors of {symbols} symbols", partial(detected, symbols)
    if plan.full:
        from bench.year import year

        yield "a year of one symbol", year
        yield "frames against their number", partial(growth, passes=passes)
    yield "journal", lambda: journal(simulated("binance_usdm", plan.symbols, plan.minutes), passes)
    for symbols in STORED:
        yield f"store of {symbols} symbols", partial(store, symbols, 500 if plan.full else 60)
    for symbols in STORED:
        yield f"state snapshot of {symbols} symbols", partial(stall, symbols)
    yield "start", partial(start, runs=9 if plan.full else 3, cold=plan.full)
    yield from _against(plan, passes)
    yield "jitter", lambda: iter([jitter("after")])


def _against(plan: Plan, passes: int) -> Iterator[Step]:
    """What is asked for of nautilus, hftbacktest and websockets; orjson stands beside us in every row of frames."""
    from bench.peers import sockets, trades

    if "nautilus" in plan.against:
        for symbols in FOLDED:
            count = 300_000 if plan.full else 100_000
            yield f"nautilus, {symbols} symbols", partial(trades.against, "nautilus", symbols, count, passes=3)
    if "hftbacktest" in plan.against:
        for symbols, count, minutes in ((1, 1_000_000, 240), (20, 300_000, 60)):
            work = partial(trades.against, "hftbacktest", symbols, count, minutes, passes)
            yield f"hftbacktest, {symbols} symbol{'s' * (symbols > 1)}", work
    if "websockets" in plan.against:
        yield "websockets", lambda: sockets.against(_busiest(plan), passes)


def _busiest(plan: Plan) -> Material:
    """The recorded connection with the most bytes, or a simulated one."""
    folder = capture_folder(plan.captures)
    found = captures(folder) if folder else []
    if not found:
        return simulated("binance_usdm", plan.symbols, plan.minutes)
    return recorded(*max(found, key=lambda one: sum(path.stat().st_size for path in one[2])))


def _frames(make: Callable[[], Material], passes: int, full: bool) -> Iterator[Row]:
    """Both benches of raw frames over one session."""
    from bench.decoders import decoders, whole

    material = make()
    yield from decoders(material, passes, 100_000 if full else 5_000)
    yield from whole(material, passes)
