"""The whole state at one record, so that a restart goes on from there and gives the same bits as never stopping.

Taken between two batches. Books are kept as their levels, not as their windows: where a window stands is nobody's
business, and copying all windows would stall the engine. Everything else is copied as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.candle import VenueCandle
from engine.core.errors import ConfigError
from engine.core.kernel import SOURCE_DIGEST
from engine.core.layouts import CLOCK_SEQ, LAYOUTS
from engine.core.registry import Registry
from engine.core.schema import SCHEMA_DIGEST
from engine.core.state import PER_SYMBOL, EngineState
from engine.tape.book import clear, levels_of, set_levels_of_side

STATIC = {"operations", "programs", "heads", "channels", "settings"}  # made anew from the configuration and the venues
EMPTY = {
    "frame",
    "fresh",
    "level_price",
    "level_quantity",
    "trade_ticks",
    "quote_ticks",
}  # hold nothing between batches
WINDOWS = {"book_quantity", "book_bits", "spill_key", "spill_quantity"}
LAYOUT_DIGEST = hashlib.sha256(orjson.dumps(LAYOUTS)).hexdigest()
MAGIC = b"CONVSTA1"


@dataclass(slots=True)
class Snapshot:
    """header: everything small, as JSON; arrays: copies by name. seq: the newest record whose effects are in it."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def seq(self) -> int:
        return int(self.header["seq"])


def take(conveyor: Conveyor) -> Snapshot:
    """Copy the state. The conveyor may go on at once; writing the copy out is somebody else's time."""
    state = conveyor.state
    assert state is not None, "there is no state before the configuration epoch"
    used = len(conveyor.registry.instruments)
    copies = {name: part.copy() for name, part in _parts(state, used).items()}
    for s in np.flatnonzero(state.tape.symbols["book_is_diff"] == 1).tolist():
        for side in range(2):
            copies[f"book.{s}.{side}"] = _levels(state.tape, s, side)
    header = {
        "seq": int(state.tape.clock[CLOCK_SEQ]),
        "core": conveyor.core.encode().decode(),
        "registry": conveyor.registry.encode(),
        "link": conveyor.link,
        "chain": conveyor.chain,
        "late": [[s, m, count] for (s, m), count in conveyor.late.items()],
        "candles": [[s, m, list(candle)] for (s, m), candle in conveyor.candles.items()],
        "revisions": [[v, m, r] for (v, m), r in conveyor.revisions.items()],
        "layout": LAYOUT_DIGEST,
        "schema": SCHEMA_DIGEST,
        "kernels": SOURCE_DIGEST,
    }
    return Snapshot(header, copies)


def _parts(state: EngineState, symbols: int) -> dict[str, np.ndarray]:
    """Views of what a snapshot holds: the first `symbols` of what is kept by symbol, half of the mirrored ring."""
    parts = {}
    for name, array in state.arrays().items():
        if name == "history":
            parts[name] = array[:, : state.history.minutes, :symbols]
        elif name.partition(".")[2] not in STATIC | EMPTY | WINDOWS:
            parts[name] = array[:symbols] if name in PER_SYMBOL else array
    return parts


def _side(tape: Any, s: int, side: int) -> tuple[np.ndarray, ...]:
    return (
        tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side]
    )  # fmt: skip


def _levels(tape: Any, s: int, side: int) -> np.ndarray:
    """(2, levels) prices and quantities of one side, worst first."""
    room = tape.book_quantity.shape[2] + tape.spill_key.shape[2]
    out = np.empty((2, room), np.int64)
    count = levels_of(tape.books[s], side, *_side(tape, s, side), out[0], out[1])
    return out[:, :count].copy()


def restore(snapshot: Snapshot) -> Conveyor:
    """A conveyor that stands where the snapshot was taken. Raises ConfigError if it was taken by another version."""
    header = snapshot.header
    for name, mine in (("layout", LAYOUT_DIGEST), ("schema", SCHEMA_DIGEST), ("kernels", SOURCE_DIGEST)):
        if header[name] != mine:
            raise ConfigError(
                f"state snapshot at seq {snapshot.seq}: {name} digest differs; replay from the journal instead"
            )
    conveyor = Conveyor()
    conveyor.configure(Core.decode(header["core"].encode()))
    conveyor.registry = Registry.decode(header["registry"])
    conveyor.link, conveyor.chain = header["link"], header["chain"]
    conveyor.late = {(s, m): count for s, m, count in header["late"]}
    conveyor.candles = {(s, m): VenueCandle(*values) for s, m, values in header["candles"]}
    conveyor.revisions = {(v, m): r for v, m, r in header["revisions"]}
    assert conveyor.state is not None
    tape, history = conveyor.state.tape, conveyor.state.history
    for name, part in _parts(conveyor.state, len(conveyor.registry.instruments)).items():
        part[...] = snapshot.arrays[name]
    history.words[:, history.minutes :] = history.words[:, : history.minutes]
    for s in np.flatnonzero(tape.symbols["book_is_diff"] == 1).tolist():
        book = tape.books[s]
        for side in range(2):
            levels = snapshot.arrays[f"book.{s}.{side}"]
            best = int(levels[0, -1]) if levels.shape[1] else 0
            clear(book, side, best if side == 0 else -best, *_side(tape, s, side))
            set_levels_of_side(book, side, levels, *_side(tape, s, side))
    return conveyor


def encode(snapshot: Snapshot) -> bytes:
    """One file: magic, length of the JSON, JSON that places every array, the arrays, SHA-256 of it all."""
    places, parts, offset = [], [], 0
    for name, array in snapshot.arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        places.append([name, array.dtype.descr, list(array.shape), offset, len(data)])
        parts.append(data)
        offset += len(data)
    head = orjson.dumps({"header": snapshot.header, "arrays": places})
    body = MAGIC + len(head).to_bytes(8, "little") + head + b"".join(parts)
    return body + hashlib.sha256(body).digest()


def decode(data: bytes) -> Snapshot:
    """The snapshot of `encode`. Raises ConfigError if a byte is missing or wrong."""
    body, digest = data[:-32], data[-32:]
    if len(data) < 48 or body[:8] != MAGIC or hashlib.sha256(body).digest() != digest:
        raise ConfigError("state snapshot is damaged or cut short; an older one or the whole journal will do")
    length = int.from_bytes(body[8:16], "little")
    head = orjson.loads(body[16 : 16 + length])
    arrays = {}
    for name, description, shape, offset, size in head["arrays"]:
        begin = 16 + length + offset
        dtype = (
            np.dtype([tuple(_tupled(f)) for f in description])
            if len(description) > 1 or description[0][0]
            else description[0][1]
        )
        arrays[name] = np.frombuffer(body[begin : begin + size], dtype).reshape(shape).copy()
    return Snapshot(head["header"], arrays)


def _tupled(field: list[Any]) -> list[Any]:
    """JSON knows no tuples; numpy wants one for a field's shape."""
    return [tuple(part) if isinstance(part, list) else part for part in field]
