"""Candidates and signals of a venue's minute as lines of their tables. There are few, so they are made cell by cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from engine.core.effects import Found, MinuteRows
from engine.core.minutes import close_ms
from engine.core.signal_columns import NOT_SCORED, Stop
from engine.io.columns import KEY_FIELDS, Field, Table

_KEY = tuple(field for field in KEY_FIELDS if field.name != "tf")
_DETECTOR = Field("detector", pa.string(), "id; null: never; source: docs/detectors.md", "detectors")
_DIRECTION = Field("direction", pa.int64(), "1 up, -1 down, 0 neither; null: never; source: the detector", "detectors")
_CLASS = Field("signal_class", pa.string(), "name; null: never; source: class of the detector", "detectors")


def _real(name: str, comment: str, stage: str) -> Field:
    return Field(name, pa.float64(), comment, stage)


def _text(name: str, comment: str, stage: str = "signals") -> Field:
    return Field(name, pa.string(), comment, stage)


CANDIDATES = Table(
    "candidates",
    (
        *_KEY, _DETECTOR, _CLASS, _DIRECTION,
        _real("measure", "unit of the detector; null: never; source: what was compared with threshold", "detectors"),
        _real("threshold", "unit of the detector; null: never; source: the pack, by tier of the symbol", "detectors"),
        _real("primary", "as the detector says; null: unknown; source: the detector", "detectors"),
        _real("secondary", "as the detector says; null: unknown; source: the detector", "detectors"),
        _text("reason", "published, or the gate that stopped it; null: never; source: docs/signals.md"),
        Field("severity", pa.int64(), "0 to 100; null: a gate before stopped it; source: docs/signals.md", "signals"),
        _real("novelty", "score; null: as severity; source: docs/signals.md", "signals"),
        _real("raw", "score; null: as severity; source: docs/signals.md", "signals"),
        Field("first_seen", pa.int64(), "ms UTC; null: no signal of its key before; source: its close", "signals"),
        _text("coalesced_into", "detector; null: it was not coalesced; source: docs/signals.md"),
    ),
)  # fmt: skip
SIGNALS = Table(
    "signals",
    (
        _text("id", "UUIDv7; null: never; source: docs/signals.md"), *_KEY, _DETECTOR, _CLASS,
        Field("severity", pa.int64(), "0 to 100; null: never; source: docs/signals.md", "signals"), _DIRECTION,
        _text("stage", "run mode; null: never; source: how far the pack lets the detector go"),
        _text("payload", "canonical JSON; null: never; source: docs/schema/signal.json"),
    ),
)  # fmt: skip
Cells = tuple[Any, ...]


def found_to_arrow(minutes: Sequence[MinuteRows]) -> dict[str, pa.RecordBatch]:
    """What some minutes add to the two tables, in the order given; nothing for a table without new lines."""
    told = [(minute, minute.found) for minute in minutes if minute.found is not None]
    batches = {}
    for table, lines_of in ((CANDIDATES, _candidates), (SIGNALS, _signals)):
        if lines := [line for minute, found in told for line in lines_of(minute, found)]:
            columns = zip(zip(*lines, strict=True), table.fields, strict=True)
            arrays = [pa.array(cells, field.arrow) for cells, field in columns]
            batches[table.table] = pa.RecordBatch.from_arrays(arrays, schema=table.arrow)
    return batches


def _key(minute: MinuteRows, symbol: str) -> Cells:
    close = close_ms(minute.minute)
    return minute.venue, symbol, close, close * 1000, minute.revision, minute.link


def _candidates(minute: MinuteRows, found: Found) -> Iterator[Cells]:
    for row, symbol, detector, of_class, into in zip(
        found.rows, found.symbols, found.detectors, found.classes, found.into, strict=True
    ):
        severity, first = int(row["severity"]), int(row["first_minute"])
        yield (
            *_key(minute, symbol), detector, of_class, int(row["direction"]), _cell(row["measure"]),
            _cell(row["threshold"]), _cell(row["primary"]), _cell(row["secondary"]),
            Stop(int(row["reason"])).name.lower(), None if severity == NOT_SCORED else severity, _cell(row["novelty"]),
            _cell(row["raw"]), None if first < 0 else close_ms(first), into or None,
        )  # fmt: skip


def _signals(minute: MinuteRows, found: Found) -> Iterator[Cells]:
    for signal in found.signals:
        yield (
            signal.id, *_key(minute, signal.symbol), signal.detector, signal.signal_class, signal.severity,
            signal.direction, signal.stage, signal.payload.decode(),
        )  # fmt: skip


def _cell(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value) + 0.0
