"""What the faults of a plan did, in the words of the oracle: from the exchange's log and from the plan itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from replay.exchange import Hit as Logged
from replay.exchange import Plan
from replay.scenarios.oracle import SECOND_NS, Hit

JOIN_NS = SECOND_NS  # hits of one fault on one symbol within this are one interval
WHILE_IT_LASTS = frozenset({"refuse", "maintenance", "slow", "rest_down", "rest_slow", "rest_429", "clock_offset"})


def hits_of(venue: str, plan: Plan, log: Iterable[Logged], first_minute_ns: int) -> tuple[Hit, ...]:
    """Intervals of every fault that did something.

    A fault that holds as long as it lasts is one interval as planned; others are where frames or connections were hit,
    with the delay of what came later.
    """
    by_fault: dict[int, list[Logged]] = {}
    for hit in log:
        by_fault.setdefault(hit.fault, []).append(hit)
    found: list[Hit] = []
    for number, logged in sorted(by_fault.items()):
        fault = plan.fault[number]
        channels = tuple(getattr(fault, "channels", ()) or ())
        begin_ns, end_ns = fault.begin_ns(first_minute_ns), fault.end_ns(first_minute_ns)
        lasts = fault.kind in WHILE_IT_LASTS or getattr(fault, "accepts", False)
        lasts = lasts or (fault.kind == "silent_stream" and not fault.heals)
        if lasts:
            found.append(Hit(fault.kind, venue, begin_ns, end_ns, tuple(getattr(fault, "symbols", ())), channels))
        else:
            found += _joined(fault, venue, channels, logged)
    return tuple(found)


def _joined(fault: Any, venue: str, channels: tuple[str, ...], logged: Sequence[Logged]) -> list[Hit]:
    delay_ns = int(getattr(fault, "delay_ms", 0.0) * 1_000_000) * getattr(fault, "times", 1)
    open_hits: dict[tuple[str, ...], Hit] = {}
    found: list[Hit] = []
    for hit in sorted(logged, key=lambda hit: hit.at_ns):
        end_ns = hit.at_ns + delay_ns
        before = open_hits.get(hit.symbols)
        if before is not None and hit.at_ns <= before.end_ns + JOIN_NS:
            open_hits[hit.symbols] = before._replace(end_ns=max(before.end_ns, end_ns))
            continue
        if before is not None:
            found.append(before)
        open_hits[hit.symbols] = Hit(fault.kind, venue, hit.at_ns, end_ns, hit.symbols, channels)
    return sorted([*found, *open_hits.values()], key=lambda hit: hit.begin_ns)
