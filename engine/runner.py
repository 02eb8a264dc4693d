"""The loop: records from a source, through the conveyor, effects to the sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from engine.conveyor import Conveyor
from engine.core.effects import Effect
from engine.core.minutes import NS_PER_S
from engine.core.ports import Sink
from engine.core.records import HEADER_BYTES, RecordBatch, RecordKind, padded

PACE_NS = 200_000_000  # slices of a paced replay, in journal time


def run(
    batches: Iterable[RecordBatch],
    conveyor: Conveyor,
    sinks: Sequence[Sink],
    after: Callable[[RecordBatch], None] | None = None,
) -> None:
    """Hand every batch through. The source is a journal, so what it yields is durable and effects may leave at once.

    after: called when a batch is done, for progress and for state snapshots.
    """
    for batch in batches:
        effects: list[Effect] = conveyor.handle(batch)
        if effects:
            for sink in sinks:
                sink.perform(effects)
        if after:
            after(batch)


def paced(
    batches: Iterable[RecordBatch],
    speed: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[RecordBatch]:
    """The same records, each slice no earlier than its receive time says at `speed` times real time."""
    started, first_ns = clock(), -1
    for batch in batches:
        for piece, recv_ns in _slices(batch):
            if first_ns < 0:
                first_ns = recv_ns
            ahead = (recv_ns - first_ns) / NS_PER_S / speed - (clock() - started)
            if ahead > 0:
                sleep(ahead)
            yield piece


def _slices(batch: RecordBatch) -> Iterator[tuple[RecordBatch, int]]:
    """Pieces of a batch that end at a TICK, with the receive time of their last record."""
    begin = position = batch.start
    recv_ns = 0
    headers = batch.buffer.data
    while position < batch.end:
        length = int.from_bytes(headers[position : position + 4], "little")
        kind = int.from_bytes(headers[position + 4 : position + 6], "little")
        recv_ns = int.from_bytes(headers[position + 16 : position + 24], "little")
        position += HEADER_BYTES + padded(length)
        if kind == RecordKind.TICK:
            yield RecordBatch(batch.buffer, begin, position), recv_ns
            begin = position
    if begin < batch.end:
        yield RecordBatch(batch.buffer, begin, batch.end), recv_ns
