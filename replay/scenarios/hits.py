"""What the faults of a plan did, in the words of the oracle: from the exchange's log and from the plan itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from replay.exchange import Hit as Logged
from replay.exchange import Plan
from replay.scenarios.oracle import SECOND_NS, Hit

JOIN_NS = SECOND_NS  # hits of one fault on one stream within this are one interval
TURNS = ("begin", "end")  # log entries that tell of the fault itself
# Kinds that strike single frames or connections; any other holds from its begin to its end.
STRIKES = frozenset({
    "disconnect", "half_open", "huge", "duplicate", "reorder", "delay", "drop", "corrupt", "schema_drift",
    "wrong_sequence", "crossed_book", "absurd_price",
})  # fmt: skip
ONCE = frozenset({"clock_step"})  # lasts for ever, but happens once


def hits_of(venue: str, plan: Plan, log: Iterable[Logged], first_minute_ns: int) -> tuple[Hit, ...]:
    """Intervals of every fault that did something; what came late counts until it came."""
    by_fault: dict[int, list[Logged]] = {}
    for hit in log:
        by_fault.setdefault(hit.fault, []).append(hit)
    found: list[Hit] = []
    for number, logged in sorted(by_fault.items()):
        fault = plan.fault[number]
        if fault.kind in STRIKES and not getattr(fault, "accepts", False):
            found += _joined(fault, venue, [hit for hit in logged if hit.what not in TURNS])
            continue
        begin_ns = fault.begin_ns(first_minute_ns)
        end_ns = begin_ns if fault.kind in ONCE else fault.end_ns(first_minute_ns)
        symbols, channels = (tuple(getattr(fault, name, ())) for name in ("symbols", "channels"))
        found.append(Hit(fault.kind, venue, begin_ns, end_ns, symbols, channels))
    return tuple(found)


def _joined(fault: Any, venue: str, logged: Sequence[Logged]) -> list[Hit]:
    """Strikes on one stream close to each other are one hit."""
    late_ns = int(getattr(fault, "delay_ms", 0.0) * 1_000_000) * getattr(fault, "times", 1)
    growing: dict[tuple[str, tuple[str, ...]], Hit] = {}
    found: list[Hit] = []
    for hit in sorted(logged, key=lambda hit: hit.at_ns):
        stream = hit.what, hit.symbols
        end_ns = hit.at_ns + late_ns
        before = growing.get(stream)
        if before is not None and hit.at_ns <= before.end_ns + JOIN_NS:
            growing[stream] = before._replace(end_ns=max(before.end_ns, end_ns))
            continue
        if before is not None:
            found.append(before)
        channels = (hit.what,) if hit.symbols else ()
        growing[stream] = Hit(fault.kind, venue, hit.at_ns, end_ns, hit.symbols, channels)
    return sorted([*found, *growing.values()], key=lambda hit: hit.begin_ns)
