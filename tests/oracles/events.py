"""Records into timed events: which time a message has, and whether it is believed (docs/minute.md, first table)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.oracles.frames import decode, decode_rest
from tests.oracles.nouns import FUTURES, Diff, Event, Quote, Snapshot, Trade

FUTURE_NS = 5_000 * NS_PER_MS
HOUR_NS = 60 * NS_PER_MINUTE


class Offset:
    """Least receive time - event time of one connection, in the running and the previous minute of receive time."""

    def __init__(self) -> None:
        self.least: dict[int, int] = {}  # minute of receive time -> least difference

    def add(self, recv_ns: int, time_ns: int) -> None:
        minute = recv_ns // NS_PER_MINUTE
        self.least[minute] = min(self.least.get(minute, recv_ns - time_ns), recv_ns - time_ns)

    def at(self, recv_ns: int) -> int | None:
        minute = recv_ns // NS_PER_MINUTE
        known = [self.least[m] for m in (minute - 1, minute) if m in self.least]
        return min(known) if known else None


@dataclass
class Seen:
    """One event with its event time. `timed`: the message itself carries the time. `believed`: it is not a `future`."""

    event: Event
    time_ns: int
    timed: bool
    believed: bool
    channel: str  # "trade", "quote", "book": core channels of the connection; "" for the rest


@dataclass
class Step:
    """One record and what it means."""

    record: Record
    venue: str
    control: dict[str, Any] = field(default_factory=dict)  # of INSTRUMENT, CONNECTION, SUBSCRIPTION
    seen: list[Seen] = field(default_factory=list)  # of FRAME and REST, in their order


def channel_of(event: Event) -> str:
    if isinstance(event, Trade):
        return "trade"
    if isinstance(event, Quote):
        return "quote"
    if isinstance(event, Diff | Snapshot):
        return "book"
    return ""


def channel_is_timed(venue: str, channel: str) -> bool:
    """Does a subscribed channel carry event times for the watermark?"""
    if venue == "hyperliquid":
        return channel in ("trades", "bbo", "l2Book")
    if venue in FUTURES:
        return channel in ("trade", "aggTrade", "bookTicker") or channel.startswith("depth")
    return channel in ("trade", "aggTrade", "depth")


class Reader:
    """Walks records; `offsets` holds every connection's offset as it stands behind the newest record read."""

    def __init__(self) -> None:
        self.offsets: dict[int, Offset] = {}
        self.venues: dict[int, str] = {}  # connection -> venue

    def read(self, records: Iterable[Record]) -> Iterator[Step]:
        for record in records:
            if record.kind in (RecordKind.INSTRUMENT, RecordKind.CONNECTION, RecordKind.SUBSCRIPTION):
                control = orjson.loads(record.payload)
                if record.kind != RecordKind.INSTRUMENT:
                    self.venues[record.source] = control["venue"]
                yield Step(record, control["venue"], control)
            elif record.kind in (RecordKind.FRAME, RecordKind.REST):
                venue = self.venues[record.source]
                decoder = decode if record.kind == RecordKind.FRAME else decode_rest
                seen = [self._time(record, event) for event in decoder(venue, record.payload)]
                yield Step(record, venue, seen=seen)
            else:
                yield Step(record, self.venues.get(record.source, ""))

    def offset_ns(self, source: int, recv_ns: int) -> int:
        """0 while unknown."""
        return self.offsets.setdefault(source, Offset()).at(recv_ns) or 0

    def _time(self, record: Record, event: Event) -> Seen:
        offset = self.offsets.setdefault(record.source, Offset())
        channel = channel_of(event) if record.kind == RecordKind.FRAME else ""
        time_ms = getattr(event, "time_ms", None)
        if time_ms is None:
            return Seen(event, record.recv_ns - (offset.at(record.recv_ns) or 0), False, True, channel)
        time_ns = time_ms * NS_PER_MS
        known = offset.at(record.recv_ns)  # of the messages before this one
        if known is None:
            believed = abs(time_ns - record.recv_ns) <= HOUR_NS
        else:
            believed = time_ns - (record.recv_ns - known) <= FUTURE_NS
        if believed and channel:
            offset.add(record.recv_ns, time_ns)
        return Seen(event, time_ns, True, believed, channel)
