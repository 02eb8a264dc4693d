"""Every bench in the order in which a record lives, each with its name for the progress line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.harness import Row, jitter
from bench.material import Material, capture_folder, captures, recorded, simulated

VENUES = ("hyperliquid", "binance_usdm")
CLOSING = (50, 500, 2_000)
STORED = (50, 500)
FOLDED = (20, 500)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it. minutes, symbols: of the simulated markets; captures: a folder, None to look for one."""

    minutes: int = 3
    symbols: int = 3
    captures: Path | None = None
    full: bool = False


Step = tuple[str, Callable[[], Iterator[Row]]]


def steps(plan: Plan) -> Iterator[Step]:
    """Name and work of each bench; material is made when its step comes and let go of after it."""
    from bench.closes import closes
    from bench.durable import store
    from bench.ends import journal, stall
    from bench.folds import folds
    from bench.start import start

    passes = 9 if plan.full else 3
    yield "jitter", lambda: iter([jitter("before")])
    for venue in VENUES:
        make = partial(simulated, venue, plan.symbols, plan.minutes)
        yield f"simulated {venue}", partial(_frames, make, passes, plan.full)
    folder = capture_folder(plan.captures)
    for name, venue, paths in captures(folder) if folder else []:
        yield f"recorded {name}", partial(_frames, partial(recorded, name, venue, paths), passes, plan.full)
    for symbols in FOLDED:
        yield (
            f"bars of {symbols} symbols",
            partial(folds, symbols, 2_000_000 if plan.full else 1_000_000, passes=passes),
        )
    for symbols in CLOSING:
        yield f"closes of {symbols} symbols", partial(closes, symbols, 500 if plan.full else 60)
    yield "journal", lambda: journal(simulated("binance_usdm", plan.symbols, plan.minutes), passes)
    for symbols in STORED:
        yield f"store of {symbols} symbols", partial(store, symbols, 500 if plan.full else 60)
    for symbols in STORED:
        yield f"state snapshot of {symbols} symbols", partial(stall, symbols)
    yield "start", partial(start, runs=9 if plan.full else 3, cold=plan.full)
    yield "jitter", lambda: iter([jitter("after")])


def _frames(make: Callable[[], Material], passes: int, full: bool) -> Iterator[Row]:
    """Both benches of raw frames over one session."""
    from bench.decoders import decoders, whole

    material = make()
    yield from decoders(material, passes, 100_000 if full else 5_000)
    yield from whole(material, passes)
