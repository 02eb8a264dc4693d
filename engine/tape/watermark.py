"""What a message's time tells: the clock offset, the disorder of a channel, how far a connection has come."""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_NOW, CLOCK_TICKED, DISORDER_BINS, SET_FUTURE, SET_GRACE, SET_SETTLE, SET_WATERMARK
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.schema import NULL

NOTHING, CLOSE_BY_EVENT, CLOSE_BY_TIMEOUT, REVISE, END_GRACE, LOWER, CANDLES = range(7)
BIN_NS = 10_000_000
SAMPLES_MIN = 1_000
UNKNOWN_OFFSET_NS = 3_600 * NS_PER_S  # with no offset known yet, a message this far off is not believed


@inlined
def offset_of(connection):
    """Least receive - event time of this minute of receive time and the one before; NULL while unknown."""
    now, before = connection.offset_now_ns, connection.offset_before_ns
    if now == NULL:
        return before
    if before == NULL or now < before:
        return now
    return before


@inlined
def turn_offset(connection, recv_ns):
    """Let the offset's minute be that of `recv_ns`."""
    minute = recv_ns // NS_PER_MINUTE
    if minute > connection.offset_minute:
        connection.offset_before_ns = connection.offset_now_ns if minute == connection.offset_minute + 1 else NULL
        connection.offset_now_ns = NULL
        connection.offset_minute = minute


@inlined
def corrected(connection, recv_ns):
    """Receive time on the venue's clock: what a message without a time of its own gets."""
    turn_offset(connection, recv_ns)
    offset = offset_of(connection)
    return recv_ns if offset == NULL else recv_ns - offset


@inlined
def believed(tape, connection, recv_ns, event_ns):
    """Whether a message may come from `event_ns`, received when it was."""
    turn_offset(connection, recv_ns)
    offset = offset_of(connection)
    if offset == NULL:
        old = tape.venues[connection.venue].backfills or recv_ns - event_ns <= UNKNOWN_OFFSET_NS
        return old and event_ns - recv_ns <= UNKNOWN_OFFSET_NS
    # A backfill makes the offset large until something live is heard; that must not make the present the future.
    return event_ns <= max(recv_ns, recv_ns - offset) + tape.settings[SET_FUTURE]


@inlined
def begin(tape, connection, event_ns):
    """The first core message after a connect; the first of all opens the venue's first minute."""
    connection.first_event = 2
    connection.first_event_ns = event_ns
    venue = tape.venues[connection.venue]
    if venue.open_minute < 0:
        opened_ns = max(event_ns, connection.up_ns) if venue.backfills else event_ns
        venue.open_minute = opened_ns // NS_PER_MINUTE


@inlined
def hear(tape, connection, recv_ns, event_ns, core):
    """Take in the time of a believed message of core channel `core` (trade, quote or book)."""
    settled = recv_ns >= connection.up_ns + tape.settings[SET_SETTLE]
    delay = recv_ns - event_ns
    if not settled and event_ns < connection.up_ns and tape.venues[connection.venue].backfills:
        pass  # told afterwards: it says nothing of the clocks
    elif connection.offset_now_ns == NULL or delay < connection.offset_now_ns:
        connection.offset_now_ns = delay
    if settled:
        disorder = connection.event_ns_max - event_ns
        place = min(disorder // BIN_NS, DISORDER_BINS - 1) if disorder > 0 else 0
        connection.disorder[core * DISORDER_BINS + place] += 1
    if event_ns > connection.event_ns_max:
        connection.event_ns_max = event_ns
    if connection.first_event:
        begin(tape, connection, event_ns)


@kernel
def adapt_lateness(connection, lateness_min_ns, lateness_max_ns):
    """Lateness = p99.9 of the disorder, worst channel with enough samples, which then begin anew."""
    worst = np.int64(-1)
    for core in range(3):
        first = core * DISORDER_BINS
        total = np.int64(0)
        for i in range(first, first + DISORDER_BINS):
            total += connection.disorder[i]
        if total < SAMPLES_MIN:
            continue
        above = np.int64(0)
        i = DISORDER_BINS - 1
        while i > 0 and 1000 * (above + connection.disorder[first + i]) <= total:
            above += connection.disorder[first + i]
            i -= 1
        worst = max(worst, (i + 1) * BIN_NS)
        for j in range(first, first + DISORDER_BINS):
            connection.disorder[j] = 0
    if worst >= 0:
        connection.lateness_ns = min(max(worst, lateness_min_ns), lateness_max_ns)


@kernel
def clock_offset(venues, connections, v):
    """Clock offset of a venue: the least of its live connections, else what it was at the last close; NULL: unknown."""
    least = np.int64(NULL)
    for c in range(connections.shape[0]):
        connection = connections[c]
        if connection.venue == v and connection.live:
            now, before = connection.offset_now_ns, connection.offset_before_ns
            if now != NULL and (least == NULL or now < least):
                least = now
            if before != NULL and (least == NULL or before < least):
                least = before
    return least if least != NULL else venues[v].closed_skew_ns


@inlined
def venue_offset(connections, v, now_ns):
    """Clock offset of a venue at `now_ns`: the least of its live connections; NULL while unknown."""
    least = np.int64(NULL)
    for c in range(connections.shape[0]):
        connection = connections[c]
        if connection.venue == v and connection.live:
            turn_offset(connection, now_ns)
            offset = offset_of(connection)
            if offset != NULL and (least == NULL or offset < least):
                least = offset
    return least


@inlined
def passed(connections, v, boundary_ns):
    """Whether every live voting connection of the venue has reached `boundary_ns`; False if none votes."""
    voters = 0
    for c in range(connections.shape[0]):
        connection = connections[c]
        if connection.venue == v and connection.live and connection.votes:
            if connection.event_ns_max - connection.lateness_ns < boundary_ns:
                return False
            voters += 1
    return voters > 0


@inlined
def due(clock, settings, venues, connections, v):
    """What venue `v` has to do before the next record is read: one of the codes above."""
    venue = venues[v]
    minute = venue.open_minute
    now_ns = clock[CLOCK_NOW]
    if minute < 0:
        if venue.subscribed_ns < 0 or now_ns < venue.subscribed_ns + settings[SET_WATERMARK]:
            return NOTHING
        venue.open_minute = now_ns // NS_PER_MINUTE  # a silent venue has minutes too
        return NOTHING
    offset = venue_offset(connections, v, now_ns)
    if offset == NULL:
        offset = venue.closed_skew_ns if venue.closed_skew_ns != NULL else np.int64(0)
    venue_now_ns = now_ns - offset
    boundary_ns = (minute + 1) * NS_PER_MINUTE
    ticked = clock[CLOCK_TICKED] == 1
    if venue.late and ticked:
        return LOWER
    if venue.grace_open and ticked:
        if venue.dirty:
            return REVISE
        if venue_now_ns >= boundary_ns - NS_PER_MINUTE + settings[SET_GRACE]:
            return END_GRACE
        if venue.candles_due and venue_now_ns >= boundary_ns - NS_PER_MINUTE + settings[SET_WATERMARK]:
            return CANDLES
    if passed(connections, v, boundary_ns):
        return CLOSE_BY_EVENT
    if ticked and venue_now_ns >= boundary_ns + settings[SET_WATERMARK]:
        return CLOSE_BY_TIMEOUT
    return NOTHING


@kernel
def anything_due(clock, settings, venues, connections):
    """venue * 8 + what of the first venue with something to do, else 0."""
    for v in range(venues.shape[0]):
        if venues[v].dialect >= 0:
            what = due(clock, settings, venues, connections, v)
            if what != NOTHING:
                return v * 8 + what
    return 0
