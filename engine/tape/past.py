"""The book that a tick supersedes: what it measured is asked for at the ends of seconds and minutes only.

A book tick takes effect at max(its event time, the effect of the one before), held back by MINUTES_AHEAD. So a second
can end between two effects only if the event time of the later one has passed the end of the second of the earlier one:
only then the tick carries past_*, which spares the measuring of every update. The bar stage measures what no tick
superseded before its minute closed.
"""

from __future__ import annotations

from engine.core.depth import depth_slope, depth_top5
from engine.core.kernel import inlined, kernel
from engine.core.layouts import MINUTES_AHEAD
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S


@kernel
def measure_past(symbol, book, open_minute, prices, quantities, event_ns, tick):
    """Write past_* of a tick: prices, quantities, (2, TOP_LEVELS), are still those of the book before it."""
    tick.past_depth5 = depth_top5(symbol, prices, quantities)
    if event_ns // NS_PER_MINUTE > (book.grid_ns - 1) // NS_PER_MINUTE:
        tick.past_slope = depth_slope(symbol, prices, quantities)
    latest_ns = (open_minute + MINUTES_AHEAD + 1) * NS_PER_MINUTE - 1
    book.grid_ns = (min(event_ns, latest_ns) // NS_PER_S + 1) * NS_PER_S


@inlined
def note_past(tape, s, event_ns, tick):
    """Before a tick of `s` changes its book, or the book ceases to be in force: measure it if a second has ended."""
    book = tape.books[s]
    if event_ns >= book.grid_ns:
        measure_past(
            tape.symbols[s], book, tape.venues[tape.symbols[s].venue].open_minute, tape.top_price[s],
            tape.top_quantity[s], event_ns, tick,
        )  # fmt: skip


@kernel
def note_past_of_tick(tape, s, event_ns, position):
    """`note_past` for the tick that is about to be written at `position`, called from Python."""
    note_past(tape, s, event_ns, tape.quote_ticks[position])
