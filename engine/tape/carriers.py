"""Who carries a channel of a symbol: when the last carrier is lost, from when on, and when another one is heard.

A gap belongs to a symbol. A connection carries one of its core channels (trades, quotes, depth) once it is live, is
subscribed, was heard since, and the stream is not silent. While there is such a carrier, whichever it is, nothing is
lost; the gap begins at the newest event heard before there was none and ends with the first core message of the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.core.effects import Effect
from engine.core.frame import CORE_BOOK, CORE_QUOTE, CORE_TRADE, ROLE_BOOK, ROLE_BOTH, ROLE_QUOTE
from engine.core.layouts import BOOK_FELL, BOOK_LEFT, CARRIED, CLOCK_QUOTES, MINUTES_AHEAD, NEVER
from engine.core.marks import add_mark
from engine.core.minutes import minute_of
from engine.core.schema import NULL, Reason
from engine.core.state import Tape
from engine.tape.past import note_past_of_tick
from engine.tape.watermark import clock_offset

CARRIERS = ("trade_carriers", "quote_carriers", "book_carriers")
CORES = (CORE_TRADE, CORE_QUOTE, CORE_BOOK)
REASONS = (int(Reason.GAP), int(Reason.BOOK_GAP), int(Reason.BOOK_GAP))


class Gap(NamedTuple):
    """Nothing of a core channel of a symbol was heard from from_ns to to_ns, venue time.

    after_id: the newest trade id heard before; -1: none, or ids that do not count.
    """

    symbol: int
    core: int
    from_ns: int
    to_ns: int
    after_id: int


@dataclass(slots=True)
class Turned:
    """What a turn of a connection or a stream meant. hidden: (symbol, minute) -> reasons of minutes closed already."""

    effects: list[Effect] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    hidden: dict[tuple[int, int], int] = field(default_factory=dict)


def venue_time(tape: Tape, venue: int, recv_ns: int) -> int:
    """Receive time on the venue's clock."""
    offset = int(clock_offset(tape.venues, tape.connections, venue))
    return recv_ns if offset == NULL else recv_ns - offset


def bits_of(places: Iterable[int]) -> int:
    """The bit set of some places."""
    bits = 0
    for place in places:
        bits |= 1 << place
    return bits


def carried(tape: Tape, symbol: int, core: int) -> bool:
    """Whether some connection carries the channel, as said above."""
    row = tape.symbols[symbol]
    live = bits_of(np.flatnonzero(tape.connections["live"]).tolist())
    return bool(int(row[CARRIERS[core]]) & live & ~int(row["unheard"][core]) & ~int(row["silent"][core]))


def forsaken(tape: Tape, venue: int) -> list[tuple[int, int]]:
    """(symbol, core) that had a carrier when last looked at and have none now."""
    live = bits_of(np.flatnonzero(tape.connections["live"]).tolist())
    symbols = tape.symbols
    found = []
    for core in CORES:
        left = symbols[CARRIERS[core]] & live & ~symbols["unheard"][:, core] & ~symbols["silent"][:, core]
        lost = (symbols["lost_ns"][:, core] == CARRIED) & (left == 0)
        mine = (symbols["venue"] == venue) & (symbols["active"] == 1)
        found += [(symbol, core) for symbol in np.flatnonzero(lost & mine).tolist()]
    return sorted(found)


def newest_heard(tape: Tape, symbol: int, core: int) -> int:
    """The newest event heard on any connection that carried the channel, live or not; 0: none has it any more.

    A connection without event times was heard when its newest frame came.
    """
    row = tape.symbols[symbol]
    carriers = int(row[CARRIERS[core]]) & ~int(row["unheard"][core]) & ~int(row["silent"][core])
    newest_ns = 0
    for c in range(len(tape.connections)):
        if carriers >> c & 1:
            connection = tape.connections[c]
            event_ns, recv_ns = int(connection["event_ns_max"]), int(connection["last_recv_ns"])
            newest_ns = max(
                newest_ns, event_ns if connection["votes"] else venue_time(tape, int(row["venue"]), recv_ns)
            )
    return newest_ns


def lose(tape: Tape, symbol: int, core: int, from_ns: int) -> None:
    """From now on nobody carries the channel: its quote, its book are no longer in force from `from_ns` on."""
    row = tape.symbols[symbol]
    row["lost_ns"][core] = from_ns
    if core == CORE_TRADE:
        row["lost_id"] = row["newest_id"]
    else:
        withdraw(tape, symbol, core, from_ns)


def withdraw(tape: Tape, symbol: int, core: int, from_ns: int) -> None:
    """A quote or book that nobody carries would make a flat bar that nobody saw."""
    if core == CORE_BOOK:
        _lose_book(tape, symbol)
        role = ROLE_BOTH if tape.symbols[symbol]["quote_channel"] < 0 else ROLE_BOOK
    else:
        role = ROLE_QUOTE
    position = int(tape.clock[CLOCK_QUOTES])
    if core == CORE_BOOK:
        note_past_of_tick(tape, symbol, from_ns, position)
    tick = tape.quote_ticks[position]
    tape.clock[CLOCK_QUOTES] += 1
    tick["symbol"], tick["role"], tick["event_ns"] = symbol, role, from_ns
    tick["valid"] = tick["updates"] = 0


def _lose_book(tape: Tape, symbol: int) -> None:
    """A book that missed something is out of step, whatever comes next."""
    book = tape.books[symbol]
    if book["synced"]:
        book["synced"], book["broken"] = 0, BOOK_LEFT
        open_minute = int(tape.venues[tape.symbols[symbol]["venue"]]["open_minute"])
        if open_minute >= 0:
            add_mark(tape.marks, symbol, open_minute, int(Reason.BOOK_GAP))


def regain(tape: Tape, symbol: int, core: int, to_ns: int, turned: Turned) -> None:
    """Somebody carries the channel again: what was missed in between is marked, in open minutes at once."""
    row = tape.symbols[symbol]
    from_ns = int(row["lost_ns"][core])
    row["lost_ns"][core] = CARRIED
    after_id = -1
    if core == CORE_TRADE:
        row["gap_to_ns"] = to_ns
        after_id = int(row["lost_id"])
    elif core == CORE_BOOK and row["book_is_diff"] and tape.books[symbol]["broken"] == BOOK_LEFT:
        tape.books[symbol]["broken"] = BOOK_FELL  # nobody asked for its snapshot yet
    turned.gaps.append(Gap(symbol, core, from_ns, to_ns, after_id))
    hide(tape, symbol, REASONS[core], from_ns, to_ns, turned)


def hide(tape: Tape, symbol: int, reasons: int, from_ns: int, to_ns: int, turned: Turned) -> None:
    """Mark every minute of an interval; those that are closed already are told in `turned`."""
    open_minute = int(tape.venues[tape.symbols[symbol]["venue"]]["open_minute"])
    first, last = minute_of(from_ns), minute_of(to_ns)
    for minute in range(first, min(open_minute, last + 1)):
        turned.hidden[symbol, minute] = turned.hidden.get((symbol, minute), 0) | reasons
    for minute in markable(open_minute, first, last):
        add_mark(tape.marks, symbol, minute, reasons)


def cut(tape: Tape, symbol: int, from_ns: int, to_ns: int) -> None:
    """The recording of a symbol begins or ends in this interval: no later proof takes that back."""
    open_minute = int(tape.venues[tape.symbols[symbol]["venue"]]["open_minute"])
    for minute in markable(open_minute, minute_of(from_ns), minute_of(to_ns)):
        add_mark(tape.marks, symbol, minute, int(Reason.EDGE))
        tape.symbols[symbol]["edge_minute"] = max(int(tape.symbols[symbol]["edge_minute"]), minute)


def markable(open_minute: int, first: int, last: int) -> range:
    """Minutes of first..last that are not closed and near enough to hold a mark."""
    return range(max(open_minute, first), min(last, open_minute + MINUTES_AHEAD) + 1)


def hear(tape: Tape, c: int) -> Turned:
    """The first core message of a connection since it came up, or since it was given more to carry."""
    connection = tape.connections[c]
    first_ns = int(connection["first_event_ns"])
    told_ns = venue_time(tape, int(connection["venue"]), int(connection["told_ns"]))
    turned = Turned()
    tape.symbols["unheard"] &= ~(1 << c)
    for core in CORES:
        carries = (tape.symbols[CARRIERS[core]] >> c & 1 == 1) & (tape.symbols["active"] == 1)
        for symbol in np.flatnonzero(carries & (tape.symbols["lost_ns"][:, core] != CARRIED)).tolist():
            if not carried(tape, symbol, core):
                continue  # this stream of the connection is silent
            found(tape, symbol, core, min(first_ns, told_ns), max(first_ns, told_ns), turned)
    return turned


def found(tape: Tape, symbol: int, core: int, from_ns: int, to_ns: int, turned: Turned) -> None:
    """Somebody carries the channel, at last or again. from_ns, to_ns: where its recording begins if it is at last."""
    row = tape.symbols[symbol]
    if row["lost_ns"][core] != NEVER:
        regain(tape, symbol, core, to_ns, turned)
        return
    row["lost_ns"][core] = CARRIED
    if core == CORE_TRADE:
        row["gap_to_ns"] = to_ns  # ids of before are no holes
    cut(tape, symbol, from_ns, to_ns)


def forget(tape: Tape, symbol: int, core: int, now_ns: int) -> None:
    """A channel is no longer subscribed: should it come back, its recording begins anew."""
    row = tape.symbols[symbol]
    if core != CORE_TRADE and row["lost_ns"][core] == CARRIED:
        withdraw(tape, symbol, core, now_ns)
    row["lost_ns"][core] = NEVER
    row["silent"][core] = 0
    if core == CORE_TRADE:
        row["newest_id"] = row["lost_id"] = row["gap_to_ns"] = -1
