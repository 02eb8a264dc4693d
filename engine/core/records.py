"""One input of the engine is one record: `(seq, recv_ns, source, kind, payload)`.

In memory and in the journal a record is a 24-byte little-endian header, the payload, and zeros up to the next multiple
of eight. Records stand one behind the other in a `RecordBatch`, so that a block read from disk is handed to the kernels
as it is: no copy, no Python object per record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

HEADER = np.dtype([("length", "<u4"), ("kind", "<u2"), ("source", "<u2"), ("seq", "<i8"), ("recv_ns", "<i8")])
HEADER_BYTES = HEADER.itemsize
SLACK_BYTES = 64  # readable bytes before and after every batch, so that kernels may load whole words at its edges


class RecordKind(IntEnum):
    """What a payload is. Append-only: a number is never reused."""

    CONFIG = 1  # canonical JSON of a whole configuration epoch; first record of a journal; later control.write_epoch
    INSTRUMENT = 2  # JSON: one engine.core.instruments.Instrument
    CONNECTION = 3  # JSON {"venue", "state": "up"|"down", "reason"}; source = connection id
    SUBSCRIPTION = 4  # JSON {"venue", "channels": [{"channel", "symbol"}, ...]}; replaces the connection's earlier list
    FRAME = 5  # raw bytes of one WebSocket message; source = connection id
    REST = (
        6  # b"<request> <symbol>\n" + raw body of a REST answer, e.g. b"depth BTCUSDT\n{...}"; source = connection id
    )
    REST_ERROR = 7  # b"<request> <symbol>\n" + what went wrong
    TICK = 8  # empty payload: the journaled clock, at least five a second; source 0
    STREAM = 9  # JSON engine.core.control.StreamTurn; source = connection id
    HOST = 10  # JSON engine.core.control.Host: what the process noticed about itself or its machine; source 0
    LOAD = 11  # JSON engine.core.control.Load, once a second; source 0
    OPERATOR = 12  # JSON engine.core.control.Command; source 0
    PRIME = 13  # JSON engine.core.control.Prime, b"\n", what an earlier journal taught of one symbol; source 0
    MESSAGE = 14  # canonical JSON of one message that a module said, as engine.io.bus.message; source 0


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    recv_ns: int
    source: int
    kind: int
    payload: bytes


@dataclass(slots=True)
class RecordBatch:
    """Whole records from `buffer[start:end]`, with SLACK_BYTES readable on both sides."""

    buffer: np.ndarray  # uint8
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


def padded(length: int) -> int:
    """Payload length rounded up to the next multiple of eight."""
    return (length + 7) & ~7


def encode(record: Record) -> bytes:
    """Header, payload and padding of one record."""
    length = len(record.payload)
    header = (
        length.to_bytes(4, "little")
        + int(record.kind).to_bytes(2, "little")
        + record.source.to_bytes(2, "little")
        + record.seq.to_bytes(8, "little", signed=True)
        + record.recv_ns.to_bytes(8, "little", signed=True)
    )
    return header + record.payload + bytes(padded(length) - length)


def batch_of(encoded: bytes | bytearray) -> RecordBatch:
    """A batch over already encoded records, copied once to give it its slack."""
    buffer = np.zeros(len(encoded) + 2 * SLACK_BYTES, np.uint8)
    buffer[SLACK_BYTES : SLACK_BYTES + len(encoded)] = np.frombuffer(encoded, np.uint8)
    return RecordBatch(buffer, SLACK_BYTES, SLACK_BYTES + len(encoded))


def decode_at(buffer: np.ndarray, position: int) -> tuple[Record, int]:
    """The record at `position` and the position behind it."""
    header = buffer[position : position + HEADER_BYTES].view(HEADER)[0]
    begin = position + HEADER_BYTES
    length = int(header["length"])
    record = Record(
        int(header["seq"]), int(header["recv_ns"]), int(header["source"]), int(header["kind"]),
        buffer[begin : begin + length].tobytes(),
    )  # fmt: skip
    return record, begin + padded(length)


def iterate(batch: RecordBatch) -> Iterator[Record]:
    """Records one by one, for tools and tests; the engine itself never makes one object per record."""
    position = batch.start
    while position < batch.end:
        record, position = decode_at(batch.buffer, position)
        yield record


def received_ns(batch: RecordBatch, seq: int) -> int:
    """Receive time of one record of a batch."""
    headers, position = batch.buffer.data, batch.start
    while position < batch.end:
        if int.from_bytes(headers[position + 8 : position + 16], "little", signed=True) == seq:
            return int.from_bytes(headers[position + 16 : position + 24], "little", signed=True)
        position += HEADER_BYTES + padded(int.from_bytes(headers[position : position + 4], "little"))
    raise ValueError(f"seq {seq} is not in this batch")
