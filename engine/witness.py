"""What the connections of a venue say of a minute that closes: for the rows, and for the verdict on them."""

from __future__ import annotations

import numpy as np

from engine.bars.stage import Closing
from engine.core.layouts import CLOCK_RECV
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import NULL, CloseReason
from engine.core.state import Tape
from engine.quality.stage import Witness
from engine.tape.watermark import clock_offset


def witness_of(
    tape: Tape, venue: int, minute: int, reason: CloseReason, skew_step_ns_max: int
) -> tuple[Closing, Witness]:
    """As the connections stand at the record that closes `minute`; skew_step_ns_max: of an offset that is believed."""
    boundary_ns = (minute + 1) * NS_PER_MINUTE
    skew_ns = int(clock_offset(tape.venues, tape.connections, venue))
    before_ns = int(tape.venues[venue]["closed_skew_ns"])
    offset_ns = skew_ns if skew_ns != NULL else 0
    present = proven = 0
    lateness_ns = 0
    newest_ns = np.full(len(tape.connections), -1, np.int64)
    for c in np.flatnonzero(tape.connections["venue"] == venue).tolist():
        connection = tape.connections[c]
        newest_ns[c] = heard_ns = int(connection["last_recv_ns"]) - offset_ns
        ended_before = not connection["live"] and connection["event_ns_max"] < boundary_ns - NS_PER_MINUTE
        if not ended_before and int(connection["up_ns"]) - offset_ns < boundary_ns:
            present |= 1 << c
        if connection["live"]:
            proven |= (heard_ns >= boundary_ns) << c
            if connection["votes"]:
                lateness_ns = max(lateness_ns, int(connection["lateness_ns"]))
    skewed = skew_ns == NULL or (before_ns != NULL and abs(skew_ns - before_ns) > skew_step_ns_max)
    closing = Closing(
        newest_ns,
        NULL if skew_ns == NULL else skew_ns // NS_PER_MS,
        lateness_ns // NS_PER_MS,
        (int(tape.clock[CLOCK_RECV]) - offset_ns - boundary_ns) // NS_PER_MS,
        int(reason),
    )
    return closing, Witness(present, proven, reason is CloseReason.TIMEOUT, skewed)
