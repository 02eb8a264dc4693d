"""A simulated session as the records that a live run would have journaled, without configuration and clock ticks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.core.records import RecordKind
from replay.simulate import layout as at
from replay.simulate.delivery import receive_times, send_times
from replay.simulate.draws import generator
from replay.simulate.episodes import Controls, neutral, outages
from replay.simulate.frames import PRINTERS, connection, subscription
from replay.simulate.market import Market, listings
from replay.simulate.play import begin, play
from replay.simulate.price import MARKET_VARIANCES, market_slots

ENGINE, CONNECTION = 0, 1  # source of instrument records; source id of the one connection
SUBSCRIBED_NS = 5 * NS_PER_MS  # after the connection is up
SNAPSHOT_FIRST_MS, SNAPSHOT_EVERY_MS = 300, 15
ROWS, LEVEL_ROWS = 1 << 14, 1 << 16  # per call of the kernel

Message = tuple[int, int, int, bytes]


def simulate(parameters: Market) -> Iterator[Message]:
    """(recv_ns, source, kind, payload) in order of recv_ns; equal parameters give equal bytes."""
    listed, _ = listings(parameters)
    gaps = [(start, end) for start, end, lost in outages(parameters) if lost]
    offset = int(parameters.clock_offset_ms * NS_PER_MS)
    for listing in listed:
        yield parameters.start_ns + offset, ENGINE, int(RecordKind.INSTRUMENT), listing.instrument.encode()
    yield from _connect(parameters, parameters.start_ns + offset)
    frames = _frames(parameters, [start for _, start in gaps])
    for down, up in gaps:
        for _, message in frames:
            if message[0] >= down + offset:
                break
            yield message
        yield down + offset, CONNECTION, int(RecordKind.CONNECTION), connection(parameters, "down", "simulated outage")
        yield from _connect(parameters, up + offset)
        for send, message in frames:
            # Nothing sent before the new subscription reaches us.
            if send >= up + 2 * SUBSCRIBED_NS:
                yield message
                break
    end = parameters.end_ns + offset
    for _, message in frames:
        if message[0] >= end:
            break
        yield message
    yield end, CONNECTION, int(RecordKind.CONNECTION), connection(parameters, "down", "end of simulated session")


def _connect(market: Market, recv_ns: int) -> Iterator[Message]:
    yield recv_ns, CONNECTION, int(RecordKind.CONNECTION), connection(market, "up", "")
    yield recv_ns + SUBSCRIBED_NS, CONNECTION, int(RecordKind.SUBSCRIPTION), subscription(market, listings(market)[0])


def _frames(market: Market, reconnects: list[int]) -> Iterator[tuple[int, Message]]:
    """(send_ns, message) of everything the venue sends, in order of arrival, whether or not we listen."""
    printer = PRINTERS[market.venue](market, listings(market)[0])
    stalls = np.array([(start, end) for start, end, lost in outages(market) if not lost], np.int64).reshape(-1, 2)
    network_rng, state = generator(market.seed, 5), np.zeros(3, np.int64)
    offset = int(market.clock_offset_ms * NS_PER_MS)
    for sent in sendings(market, reconnects if printer.asks_snapshots else None):
        if printer.groups_orders:
            sent = [one for one in sent if one.row[at.KIND] != at.TRADE or one.row[at.FILLS]]
        recv = np.empty(len(sent), np.int64)
        sent_ns = np.array([one.send_ns for one in sent], np.int64)
        receive_times(network_rng, sent_ns, offset, market.latency_ms, stalls, state, recv)
        for recv_ns, one in zip(recv.tolist(), sent, strict=True):
            payload = printer.frame(one.rows, one.place, one.levels, one.send_ns // NS_PER_MS)
            kind = RecordKind.REST if one.row[at.KIND] == at.DEPTH_SNAPSHOT else RecordKind.FRAME
            yield one.send_ns, (recv_ns, CONNECTION, int(kind), payload)


def events_of_minutes(market: Market) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(end_ns, events of one symbol after the other) of each minute of the session: what happens, before it is told."""
    for end_ns, parts in _Venue(market, None).chunks():
        yield end_ns, [events for events, _ in parts]


@dataclass(frozen=True, slots=True)
class Sending:
    """One event and when the venue sends it. rows: all events of its symbol in this part, of which it is rows[place].

    levels: (price, lots) that LEVEL_AT of the row counts in.
    """

    send_ns: int
    rows: list[list[int]]
    place: int
    levels: list[list[int]]

    @property
    def row(self) -> list[int]:
        return self.rows[self.place]


def sendings(market: Market, reconnects: list[int] | None) -> Iterator[list[Sending]]:
    """Everything that happens on the venue, a list per minute of the session, in order of sending.

    reconnects: UTC ns at which all books are asked for again, besides once at the start; None: never.
    """
    venue = _Venue(market, reconnects)
    rng, last = generator(market.seed, 4), np.zeros((market.symbols, at.KINDS), np.int64)
    held: list[Sending] = []
    for end_ns, chunks in venue.chunks():
        # Stable order by sending time; what is sent after the chunk's end waits for the next chunk.
        for events, levels in chunks:
            send = np.empty(len(events), np.int64)
            send_times(rng, events, len(events), market.start_ns, last, send)
            rows, level_rows = events.tolist(), levels.tolist()
            held += [Sending(time, rows, place, level_rows) for place, time in enumerate(send.tolist())]
        held.sort(key=lambda one: one.send_ns)
        ready = bisect_left(held, end_ns, key=lambda one: one.send_ns)
        yield held[:ready]
        del held[:ready]


class _Venue:
    """All symbols, played chunk by chunk."""

    def __init__(self, market: Market, reconnects: list[int] | None) -> None:
        self.market = market
        listed, self.spec = listings(market)
        self.controls = Controls(market, listed, self.spec)
        count = market.symbols
        self.rngs = [generator(market.seed, 3, index) for index in range(count)]
        self.f, self.n = np.zeros((count, at.F_WIDTH)), np.zeros((count, at.N_WIDTH), np.int64)
        self.book = np.zeros((count, 4, 2, at.LEVELS), np.int64)
        self.parents = np.zeros((count, at.PARENTS, at.PARENT_WIDTH))
        self.snapshots = np.zeros((count, 0)) if reconnects is None else self._snapshot_times(reconnects)
        rest = neutral(1)[0]
        for index, listing in enumerate(listed):
            begin(
                self.rngs[index],
                listing.price,
                rest,
                self.spec[index],
                self.f[index],
                self.n[index],
                self.book[index],
                self.parents[index],
            )

    def _snapshot_times(self, reconnects: list[int]) -> np.ndarray:
        starts = [0.0, *((up - self.market.start_ns) / NS_PER_MS for up in reconnects)]
        return np.array(
            [
                [start + SNAPSHOT_FIRST_MS + SNAPSHOT_EVERY_MS * index for start in starts]
                for index in range(self.market.symbols)
            ]
        )

    def chunks(self) -> Iterator[tuple[int, list[tuple[np.ndarray, np.ndarray]]]]:
        """(end_ns, parts) per minute of the session; a part is (events, levels) of one symbol."""
        market = self.market
        rng = generator(market.seed, 0)
        volatility = np.array([np.sqrt(v) for v in MARKET_VARIANCES]) * (2.0 * rng.random(3) - 1.0)
        slots, controls = (
            np.empty((at.SLOTS, at.MARKET_WIDTH)),
            np.empty((market.symbols, at.CHUNK_MS // at.CELL_MS, at.CONTROL_WIDTH)),
        )
        events, levels = np.zeros((ROWS, at.EVENT_WIDTH), np.int64), np.zeros((LEVEL_ROWS, 2), np.int64)
        order, counts = np.zeros(4), np.zeros(2, np.int64)
        last_ms = (market.end_ns - market.start_ns) // NS_PER_MS
        for first_ms in range(0, last_ms, at.CHUNK_MS):
            second_of_day = (market.start_ns // NS_PER_S + first_ms // 1_000) % 86_400
            market_slots(rng, first_ms, float(second_of_day), volatility, slots)
            self.controls.chunk(first_ms // 1_000, at.CHUNK_MS // at.CELL_MS, controls)
            until_ms = float(min(last_ms, first_ms + at.CHUNK_MS))
            parts = []
            for index in range(market.symbols):
                self.n[index, at.SLOT] = 0
                done = False
                while not done:
                    counts[:] = 0
                    done = play(
                        self.rngs[index],
                        market.information,
                        market.venue == "binance_usdm",
                        index,
                        float(first_ms),
                        until_ms,
                        slots,
                        controls[index],
                        self.snapshots[index],
                        self.spec[index],
                        self.f[index],
                        self.n[index],
                        self.book[index],
                        self.parents[index],
                        order,
                        events,
                        levels,
                        counts,
                    )
                    parts.append((events[: counts[0]].copy(), levels[: counts[1]].copy()))
            yield market.start_ns + int(until_ms) * NS_PER_MS, parts
