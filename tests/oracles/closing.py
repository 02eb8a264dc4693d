"""When each minute of a venue closes, and why: docs/architecture.md, "Closing", read plainly.

Not here: values and statuses. A revision is listed when it is due, whatever it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.records import Record, RecordKind
from tests.oracles.events import Reader, Seen, Step, channel_is_timed
from tests.oracles.nouns import Trade

BIN_MS = 10
LATENESS_START_MS, LATENESS_LEAST_MS, LATENESS_MOST_MS = 500, 50, 1500
SAMPLES_LEAST = 1_000
CONNECT_NS = 5 * NS_PER_S


class Closed(NamedTuple):
    venue: str
    minute: int
    revision: int
    seq: int  # the record that caused it
    reason: (
        str  # "event" or "timeout" for revision 0; later "late_merged" or "late_trades" (status lowered, values equal)
    )


class Late(NamedTuple):
    seq: int
    venue: str
    symbol: str
    minute: int
    id: int
    merged: bool  # False: in the ledger only


class Known(NamedTuple):
    """What stood when revision 0 was made."""

    lateness_ms: int  # the largest of the live voting connections
    offset_ns: int | None
    close_wait_ns: int


@dataclass
class Result:
    closed: list[Closed] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    known: dict[tuple[str, int], Known] = field(default_factory=dict)

    def causes(self) -> dict[tuple[str, int], int]:
        """What minutes.minutes() takes as `closes`."""
        return {(entry.venue, entry.minute): entry.seq for entry in self.closed if entry.revision == 0}


@dataclass
class Connection:
    venue: str
    up_ns: int
    votes: bool = False  # a timed core channel is subscribed
    newest_ns: int | None = None  # largest event time of the timed core channels
    lateness_ms: int = LATENESS_START_MS
    disorder: dict[str, list[int]] = field(default_factory=dict)  # channel -> ms behind the newest event time

    def watermark(self) -> int | None:
        return None if self.newest_ns is None else self.newest_ns - self.lateness_ms * NS_PER_MS

    def see(self, seen: Seen, recv_ns: int) -> None:
        if self.newest_ns is None:
            self.newest_ns = seen.time_ns
        if recv_ns - self.up_ns >= CONNECT_NS:
            behind_ms = max(0, self.newest_ns - seen.time_ns) // NS_PER_MS
            self.disorder.setdefault(seen.channel, []).append(behind_ms)
        self.newest_ns = max(self.newest_ns, seen.time_ns)

    def learn(self) -> None:
        """At the close of a minute: the worst channel's p99.9, each channel with samples enough; then start anew."""
        found = [quantile_ms(samples) for samples in self.disorder.values() if len(samples) >= SAMPLES_LEAST]
        if found:
            self.lateness_ms = min(max(max(found), LATENESS_LEAST_MS), LATENESS_MOST_MS)
        for channel, samples in self.disorder.items():
            if len(samples) >= SAMPLES_LEAST:
                self.disorder[channel] = []


def quantile_ms(samples: list[int]) -> int:
    """Upper edge of the first 10 ms bin at or below which 99.9 % of the samples lie."""
    bins: dict[int, int] = {}
    for sample in samples:
        bins[sample // BIN_MS] = bins.get(sample // BIN_MS, 0) + 1
    below = 0
    for number in sorted(bins):
        below += bins[number]
        if below * 1000 >= len(samples) * 999:
            return (number + 1) * BIN_MS
    raise AssertionError("no samples")


@dataclass
class Venue:
    open_minute: int
    first_minute: int
    revisions: dict[int, int] = field(default_factory=dict)  # closed minute -> its newest revision
    grace: int | None = None  # the minute in grace
    merge_due: bool = False  # a late trade waits for the next TICK
    lower_due: list[int] = field(default_factory=list)  # minutes whose status falls at the next TICK
    lowered: set[int] = field(default_factory=set)
    ids: set[tuple[str, int]] = field(default_factory=set)


class Model:
    def __init__(self, watermark_ms: int, grace_ms: int) -> None:
        self.watermark_ns, self.grace_ns = watermark_ms * NS_PER_MS, grace_ms * NS_PER_MS
        self.reader = Reader()
        self.live: dict[int, Connection] = {}
        self.venues: dict[str, Venue] = {}
        self.out = Result()

    def run(self, records: Iterable[Record]) -> Result:
        for step in self.reader.read(records):
            if step.record.kind == RecordKind.TICK:
                for name in self.venues:
                    self._tick(name, step)
            else:
                self._learn_of(step)
                self._close_by_event(step)
        return self.out

    def _learn_of(self, step: Step) -> None:
        record = step.record
        if record.kind == RecordKind.CONNECTION and step.control["state"] == "up":
            self.live[record.source] = Connection(step.venue, record.recv_ns)
            minute = record.recv_ns // NS_PER_MINUTE
            self.venues.setdefault(step.venue, Venue(minute, minute))
        elif record.kind == RecordKind.CONNECTION:
            self.live.pop(record.source, None)
        elif record.kind == RecordKind.SUBSCRIPTION and record.source in self.live:
            channels = [entry["channel"] for entry in step.control["channels"]]
            self.live[record.source].votes = any(channel_is_timed(step.venue, channel) for channel in channels)
        for seen in step.seen:
            if not seen.believed:
                continue
            if seen.timed and seen.channel and record.source in self.live:
                self.live[record.source].see(seen, record.recv_ns)
            if isinstance(seen.event, Trade) and step.venue in self.venues:
                self._trade(step, seen.event, seen.time_ns // NS_PER_MINUTE)

    def _trade(self, step: Step, trade: Trade, minute: int) -> None:
        venue = self.venues[step.venue]
        known = (trade.symbol, trade.id) in venue.ids
        venue.ids.add((trade.symbol, trade.id))
        if known or not trade.in_candles or minute >= venue.open_minute:
            return
        merged = minute == venue.grace
        self.out.late.append(Late(step.record.seq, step.venue, trade.symbol, minute, trade.id, merged))
        if merged:
            venue.merge_due = True
        elif minute in venue.revisions and minute not in venue.lowered:
            venue.lowered.add(minute)
            venue.lower_due.append(minute)

    # --- closing ---

    def _close_by_event(self, step: Step) -> None:
        name = step.venue
        while name in self.venues:
            voting = [connection for connection in self.live.values() if connection.venue == name and connection.votes]
            marks = [connection.watermark() for connection in voting]
            end = (self.venues[name].open_minute + 1) * NS_PER_MINUTE
            if not marks or any(mark is None or mark < end for mark in marks):
                return
            self._close(name, step, "event")

    def _tick(self, name: str, step: Step) -> None:
        venue, now = self.venues[name], step.record.recv_ns
        offset = self._offset(name, now) or 0
        if venue.merge_due:
            assert venue.grace is not None
            self._revise(name, venue.grace, step, "late_merged")
            venue.merge_due = False
        for minute in venue.lower_due:
            self._revise(name, minute, step, "late_trades")
        venue.lower_due = []
        self._end_grace(venue, now - offset)
        while now >= (venue.open_minute + 1) * NS_PER_MINUTE + offset + self.watermark_ns:
            self._close(name, step, "timeout")
            self._end_grace(venue, now - offset)

    def _end_grace(self, venue: Venue, corrected_ns: int) -> None:
        if venue.grace is not None and corrected_ns >= (venue.grace + 1) * NS_PER_MINUTE + self.grace_ns:
            venue.grace = None

    def _close(self, name: str, step: Step, reason: str) -> None:
        venue, now = self.venues[name], step.record.recv_ns
        minute = venue.open_minute
        if venue.merge_due:  # a jump: the minute before is pushed out of grace before its TICK came
            assert venue.grace is not None
            self._revise(name, venue.grace, step, "late_merged")
            venue.merge_due = False
        offset = self._offset(name, now)
        lateness = [
            connection.lateness_ms for connection in self.live.values() if connection.venue == name and connection.votes
        ]
        wait = now - (minute + 1) * NS_PER_MINUTE - (offset or 0)
        self.out.known[name, minute] = Known(max(lateness, default=LATENESS_START_MS), offset, wait)
        self.out.closed.append(Closed(name, minute, 0, step.record.seq, reason))
        venue.revisions[minute] = 0
        venue.grace = minute
        venue.open_minute = minute + 1
        for connection in self.live.values():
            if connection.venue == name:
                connection.learn()

    def _revise(self, name: str, minute: int, step: Step, reason: str) -> None:
        venue = self.venues[name]
        venue.revisions[minute] += 1
        self.out.closed.append(Closed(name, minute, venue.revisions[minute], step.record.seq, reason))

    def _offset(self, name: str, now: int) -> int | None:
        """The least of the venue's connections."""
        found = [
            self.reader.offsets[s].at(now)
            for s, of in self.reader.venues.items()
            if of == name and s in self.reader.offsets
        ]
        known = [offset for offset in found if offset is not None]
        return min(known) if known else None


def closing(records: Iterable[Record], watermark_ms: int = 1_500, grace_ms: int = 3_000) -> Result:
    return Model(watermark_ms, grace_ms).run(records)
