"""The tape, record by record: one kernel call walks a batch until something outside the kernel is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.frame import KIND, KIND_TRADES, TRADES
from engine.core.kernel import kernel
from engine.core.layouts import (
    CLOCK_CONTEXTS,
    CLOCK_NOW,
    CLOCK_QUOTES,
    CLOCK_RECV,
    CLOCK_SEQ,
    CLOCK_TICKED,
    CLOCK_TRADES,
)
from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import HEADER_BYTES, RecordKind
from engine.core.state import Tape
from engine.core.words import load16, load32, load64
from engine.tape.apply import apply_frame
from engine.tape.outcome import BOOK_BROKEN
from engine.tape.scan import scan
from engine.tape.watermark import anything_due

# Why the kernel came back, and what the second value says.
END = 0  # the batch is read
FULL = 1  # the tick buffers are full: fold them, then read on
DUE = 2  # a venue has something to do: venue * 8 + what
CONTROL = 3  # the record at the position is for the control room
STRANGE = 4  # no template fits the frame at the position
BOOK = 5  # a book fell out of step: its symbol
FIRST_EVENT = 6  # the first timed message after a connect: its connection
STRAY = 7  # the frame behind the position came on a connection that was never up: its connection
SNAPSHOT = 8  # the answer behind the position is a book snapshot, in hand: its connection

FRAME, TICK, REST = int(RecordKind.FRAME), int(RecordKind.TICK), int(RecordKind.REST)
QUOTES_PER_FRAME = 2
PAUSE_NS = NS_PER_MINUTE  # behind a pause so long, not even a tick in it, a record is a tick as well


@kernel
def read(tape: Any, buffer: Any, position: int, end: int, in_hand: bool) -> Any:
    """Read records from `position`: (position behind the last one read, why it stopped, detail).

    in_hand: the slow path has decoded the frame at `position`, which is applied like any other. CONTROL, STRANGE and
    FULL leave the record unread; every other stop stands behind a record that was applied.
    """
    base = buffer.ctypes.data
    clock = tape.clock
    if not in_hand:  # else all this was asked when the frame was found strange
        for c in range(tape.connections.shape[0]):
            if tape.connections[c].first_event == 2:
                tape.connections[c].first_event = 0
                return position, FIRST_EVENT, c
        what = anything_due(clock, tape.settings, tape.venues, tape.connections)
        if what:
            return position, DUE, what
    while position < end:
        address = base + position
        length = load32(address)
        kind = load16(address + 4)
        recv_ns = load64(address + 16)
        if not in_hand and clock[CLOCK_RECV] > 0 and recv_ns - clock[CLOCK_RECV] >= PAUSE_NS:
            # The minutes that passed are closed before what came after them: it may be beyond those that are held.
            clock[CLOCK_SEQ] = load64(address + 8)
            clock[CLOCK_TICKED] = 1
            clock[CLOCK_NOW] = recv_ns
            clock[CLOCK_RECV] = recv_ns
            what = anything_due(clock, tape.settings, tape.venues, tape.connections)
            if what:
                return position, DUE, what
        begin = address + HEADER_BYTES
        behind = position + HEADER_BYTES + ((length + 7) & ~7)
        if kind in (FRAME, REST):
            source = load16(address + 6)
            stray = source >= tape.connections.shape[0] or tape.connections[source].venue < 0
            if not stray and not in_hand:
                if clock[CLOCK_QUOTES] + QUOTES_PER_FRAME > tape.quote_ticks.shape[0]:
                    return position, FULL, 0
                if clock[CLOCK_CONTEXTS] == tape.context_ticks.shape[0]:
                    return position, FULL, 0
                dialect = tape.venues[tape.connections[source].venue].dialect
                if scan(tape, begin, begin + length, dialect, kind == REST) < 0:
                    return position, STRANGE if kind == FRAME else CONTROL, source
                if (
                    tape.frame[KIND] == KIND_TRADES
                    and clock[CLOCK_TRADES] + tape.frame[TRADES] > tape.trade_ticks.shape[0]
                ):
                    return position, FULL, 0
            elif stray and kind == REST:
                return position, CONTROL, source
            in_hand = False
            clock[CLOCK_SEQ] = load64(address + 8)
            clock[CLOCK_TICKED] = 0
            clock[CLOCK_RECV] = recv_ns
            position = behind
            if stray:
                return position, STRAY, source
            if kind == REST:
                return position, SNAPSHOT, source
            connection = tape.connections[source]
            venue = tape.venues[connection.venue]
            connection.frames += 1
            connection.last_recv_ns = recv_ns
            outcome = apply_frame(tape, connection, recv_ns)
            if outcome == BOOK_BROKEN:
                return position, BOOK, 0
            if connection.first_event == 2:
                connection.first_event = 0
                return position, FIRST_EVENT, source
            boundary_ns = (venue.open_minute + 1) * NS_PER_MINUTE
            if connection.event_ns_max - connection.lateness_ns >= boundary_ns:
                what = anything_due(clock, tape.settings, tape.venues, tape.connections)
                if what:
                    return position, DUE, what
        elif kind == TICK:
            clock[CLOCK_SEQ] = load64(address + 8)
            clock[CLOCK_TICKED] = 1
            clock[CLOCK_NOW] = recv_ns
            clock[CLOCK_RECV] = recv_ns
            position = behind
            what = anything_due(clock, tape.settings, tape.venues, tape.connections)
            if what:
                return position, DUE, what
        else:
            return position, CONTROL, 0
    return position, END, 0


def close(tape: Tape, venue: int) -> np.ndarray:
    """What the tape's digest covers at a close: the mix of every tick so far, and the counts of what was not one."""
    connections = tape.connections[tape.connections["venue"] == venue]
    mine = np.flatnonzero(tape.symbols["venue"] == venue)
    counted = [connections[name].astype(np.int64) for name in ("frames", "fallbacks", "ignored", "malformed", "future")]
    counted += [
        connections["event_ns_max"],
        connections["lateness_ns"],
        tape.books["last_id"][mine],
        tape.books["gaps"][mine],
        tape.books["mismatched"][mine],
    ]
    return np.concatenate([tape.venues["mix"][venue : venue + 1], *counted])
