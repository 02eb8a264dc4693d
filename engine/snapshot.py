"""The whole state at one record, so that a restart goes on from there and gives the same bits as never stopping.

Taken between two batches, while the engine waits. So books are kept as their levels, not as their windows (where a
window stands is nobody's business), of the history and the seen ids only what changed since the last snapshot is copied
again, into memory that was touched before. Everything else is copied as it is.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.candle import VenueCandle
from engine.core.errors import ConfigError
from engine.core.kernel import SOURCE_DIGEST
from engine.core.layouts import CLOCK_LEDGER, CLOCK_PENDING, CLOCK_PENDING_LEVELS, CLOCK_SEQ, LAYOUTS
from engine.core.registry import Registry
from engine.core.release import Release
from engine.core.rings import RowRing
from engine.core.schema import SCHEMA_DIGEST
from engine.core.state import PER_SYMBOL, EngineState
from engine.features.windows import copy_newest, sort_anew
from engine.tape.book import clear, set_levels_of_side
from engine.tape.levels import copy_levels

STATIC = {"operations", "programs", "heads", "channels", "settings"}  # made anew from the configuration and the venues
EMPTY = {
    "frame",
    "reals",
    "fresh",
    "level_price",
    "level_quantity",
    "trade_ticks",
    "quote_ticks",
    "context_ticks",
    "leader_model",
    "path_logs",
    "observation",
    "equations",
    "draft",
    "mids",
    "returns",
}  # hold nothing between batches
CHANGED = {"words", "held", "seen_ids", "long_values"}  # most of it is as it was at the last snapshot
MADE_OF = {"columns", "long_sorted"}  # columns of the history, put again with it; values that are kept, sorted
LEVELS_USUAL = 1_024  # a side of a book, for the memory that is touched in advance
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


class Room:
    """Memory for the snapshots of one conveyor, touched here, so that the first `take` meets no page fault.

    It holds the newest snapshot: taking the next one overwrites the arrays of the one before.
    """

    def __init__(self, conveyor: Conveyor) -> None:
        state = conveyor.state
        assert state is not None, "there is no state before the configuration epoch"
        seen = state.tape.seen_ids
        self.state, self.symbols = state, len(conveyor.registry.instruments)
        whole = _parts(state, self.symbols, whole=True)
        self.parts = {name: _touched(part.shape, part.dtype) for name, part in whole.items()}
        self.rings = {name: _RingCopy(ring, self.symbols) for name, ring in state.rings.items()}
        self.seen = _touched((self.symbols, *seen.shape[1:]), seen.dtype)
        self.arrivals = np.zeros(self.symbols, np.int64)
        self.generation = np.zeros(self.symbols, np.int64)
        most = state.tape.book_quantity.shape[2] + state.tape.spill_key.shape[2]  # of one side of one book
        self.levels = _touched((2, most + 2 * self.symbols * LEVELS_USUAL), np.dtype(np.int64))
        self.long_values = _touched((self.symbols, *state.features.long_values.shape[1:]), np.dtype(np.float32))
        self.long_counts = np.zeros((self.symbols, state.features.long_counts.shape[1]), np.int64)
        self.copy_books()  # its kernel is loaded here too
        self.copy_long_windows()

    def copy_parts(self) -> dict[str, np.ndarray]:
        copies = {}
        for name, part in _parts(self.state, self.symbols).items():
            copies[name] = self.parts[name][tuple(slice(size) for size in part.shape)]
            np.copyto(copies[name], part)
        return copies

    def copy_rings(self) -> dict[str, np.ndarray]:
        """For each position of a ring that was ever put: whose minutes stand there, (symbols,), and their rows."""
        copies = {}
        for name, copy in self.rings.items():
            for position in copy.bring_up_to_date():
                copies[f"{name}.held.{position}"] = copy.held[position]
                copies[f"{name}.words.{position}"] = copy.words[position]
        return copies

    def copy_seen(self) -> dict[str, np.ndarray]:
        """Seen ids: all of a symbol, or only the half that is being filled, or nothing if it had no trade."""
        tape, size = self.state.tape, self.seen.shape[2]
        symbols = tape.symbols[: self.symbols]
        new = symbols["arrivals"] - self.arrivals
        # A half is emptied after 3/4 of its size: with fewer trades than that it happened once at most, and shows.
        same_half = (symbols["seen_generation"] == self.generation) & (new < size - (size >> 2))
        for s in np.flatnonzero(new).tolist():
            half = int(symbols["seen_generation"][s]) if same_half[s] else slice(None)
            np.copyto(self.seen[s, half], tape.seen_ids[s, half])
        self.arrivals[:] = symbols["arrivals"]
        self.generation[:] = symbols["seen_generation"]
        return {"tape.seen_ids": self.seen}

    def copy_long_windows(self) -> dict[str, np.ndarray]:
        """Of each long window the values that came since; what is sorted is made of them again."""
        own = self.state.features
        copy_newest(self.symbols, own.long_counts, self.long_counts, own.long_values, self.long_values)
        return {"features.long_values": self.long_values}

    def copy_books(self) -> dict[str, np.ndarray]:
        """(2, levels) prices and quantities of each side of each book kept by diffs, worst first."""
        tape = self.state.tape
        members = np.flatnonzero(tape.symbols["book_is_diff"] == 1)
        ends = np.zeros((len(members), 2), np.int64)
        windows = (tape.book_quantity, tape.book_bits, tape.spill_key, tape.spill_quantity)
        while copy_levels(members, tape.books, *windows, self.levels, ends) < 0:
            self.levels = _touched((2, 2 * self.levels.shape[1]), self.levels.dtype)
        sides = [(s, side) for s in members.tolist() for side in range(2)]
        begins = [0, *ends.ravel().tolist()]
        return {f"book.{s}.{side}": self.levels[:, begins[i] : begins[i + 1]] for i, (s, side) in enumerate(sides)}


class _RingCopy:
    """A copy of a ring's rows of the first symbols."""

    def __init__(self, ring: RowRing, symbols: int) -> None:
        self.ring, self.symbols = ring, symbols
        self.words = _touched((ring.minutes, symbols, len(ring.index)), np.dtype(np.int64))
        self.held = _touched((ring.minutes, symbols), np.dtype(np.int64))
        self.puts = np.zeros_like(ring.puts)

    def bring_up_to_date(self) -> list[int]:
        """Copy the positions that were put since the last time; all that were ever put."""
        for position in np.flatnonzero(self.ring.puts != self.puts).tolist():
            np.copyto(self.words[position], self.ring.words[position, : self.symbols])
            np.copyto(self.held[position], self.ring.held[position, : self.symbols])
        self.puts[:] = self.ring.puts
        found: list[int] = np.flatnonzero(self.puts).tolist()
        return found


def _touched(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Zeros whose pages are there already."""
    memory = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    memory.fill(0)
    return memory.view(dtype).reshape(shape)


def take(conveyor: Conveyor, room: Room | None = None) -> Snapshot:
    """Copy the state. The conveyor may go on at once; writing the copy out is somebody else's time.

    room: made for this conveyor; without one, or when symbols were added since, memory is found anew.
    """
    state = conveyor.state
    if room is None or room.state is not state or room.symbols != len(conveyor.registry.instruments):
        room = Room(conveyor)
    assert state is not None, "there is no state before the configuration epoch"
    assert conveyor.universe is not None
    minutes = conveyor.minutes
    copies = room.copy_parts() | room.copy_rings() | room.copy_seen() | room.copy_books() | room.copy_long_windows()
    header = {
        "seq": int(state.tape.clock[CLOCK_SEQ]),
        "core": conveyor.core.encode().decode(),
        "packs": minutes.epochs.encode(),
        "registry": conveyor.registry.encode(),
        "link": minutes.link,
        "chain": minutes.chain,
        "late": [[s, m, count] for (s, m), count in minutes.late.items()],
        "candles": [[s, m, list(candle)] for (s, m), candle in minutes.recovery.candles.items()],
        "asked": [[s, m, what] for (s, m), what in minutes.recovery.asked.items()],
        "revisions": [[v, m, r] for (v, m), r in minutes.revisions.items()],
        "bar_revisions": [[v, tf, m, r] for (v, tf, m), r in minutes.bar_revisions.items()],
        "universe": conveyor.universe.encode(),
        "release": conveyor.release.encode(),
        "layout": LAYOUT_DIGEST,
        "schema": SCHEMA_DIGEST,
        "kernels": SOURCE_DIGEST,
    }
    return Snapshot(header, copies)


def _parts(state: EngineState, symbols: int, whole: bool = False) -> dict[str, np.ndarray]:
    """Views of what is copied each time: of the symbols in use; of what waits, the part in use unless `whole`."""
    clock = state.tape.clock
    used = {
        "tape.pending": int(clock[CLOCK_PENDING]),
        "tape.pending_price": int(clock[CLOCK_PENDING_LEVELS]),
        "tape.pending_quantity": int(clock[CLOCK_PENDING_LEVELS]),
        "bars.ledger": int(clock[CLOCK_LEDGER]),
    }
    parts = {}
    for name, array in state.arrays().items():
        if name.partition(".")[2] in CHANGED | MADE_OF | STATIC | EMPTY | WINDOWS:
            continue
        if name in PER_SYMBOL:
            parts[name] = array[:symbols]
        else:
            parts[name] = array[..., : used[name]] if name in used and not whole else array
    return parts


def _side(tape: Any, s: int, side: int) -> tuple[np.ndarray, ...]:
    return (
        tape.book_quantity[s, side], tape.book_bits[s, side], tape.spill_key[s, side], tape.spill_quantity[s, side]
    )  # fmt: skip


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
    assert conveyor.state is not None
    assert conveyor.universe is not None
    minutes = conveyor.minutes
    conveyor.registry = conveyor.universe.registry = minutes.registry = Registry.decode(header["registry"])
    conveyor.universe.recall(header["universe"])
    conveyor.release = Release.decode(header["release"])
    minutes.epochs.recall(header["packs"])
    minutes.link, minutes.chain = header["link"], header["chain"]
    minutes.late = {(s, m): count for s, m, count in header["late"]}
    minutes.recovery.candles = {(s, m): VenueCandle(*values) for s, m, values in header["candles"]}
    minutes.recovery.asked = {(s, m): what for s, m, what in header["asked"]}
    minutes.revisions = {(v, m): r for v, m, r in header["revisions"]}
    minutes.bar_revisions = {(v, tf, m): r for v, tf, m, r in header["bar_revisions"]}
    tape, arrays = conveyor.state.tape, conveyor.state.arrays()
    for name, kept in snapshot.arrays.items():
        room, kind, *place = name.split(".")
        if kind == "words" and place:
            conveyor.state.put_back(room, int(place[0]), snapshot.arrays[f"{room}.held.{place[0]}"], kept)
        elif room != "book" and not place:
            arrays[name][tuple(slice(size) for size in kept.shape)] = kept
    own = conveyor.state.features
    sort_anew(own.long_values, own.long_counts, own.long_sorted)
    for s in np.flatnonzero(tape.symbols["book_is_diff"] == 1).tolist():
        book = tape.books[s]
        for side in range(2):
            levels = snapshot.arrays[f"book.{s}.{side}"]
            best = int(levels[0, -1]) if levels.shape[1] else 0
            clear(book, side, best if side == 0 else -best, *_side(tape, s, side))
            set_levels_of_side(book, side, levels, *_side(tape, s, side))
    return conveyor


def encode(snapshot: Snapshot) -> bytearray:
    """One file: magic, length of the JSON, JSON that places every array, the arrays, SHA-256 of it all.

    Long copies and the digest let other threads run meanwhile.
    """
    places: list[tuple[Any, ...]] = []
    offset = 0
    for name, array in snapshot.arrays.items():
        places.append((name, array.dtype.descr, array.shape, offset, array.nbytes))
        offset += array.nbytes
    head = orjson.dumps({"header": snapshot.header, "arrays": places})
    begin = 16 + len(head)
    data = bytearray(begin + offset + 32)
    data[:begin] = MAGIC + len(head).to_bytes(8, "little") + head
    for (*_, place, _size), array in zip(places, snapshot.arrays.values(), strict=True):
        np.copyto(np.frombuffer(data, array.dtype, array.size, begin + place).reshape(array.shape), array)
    data[-32:] = hashlib.sha256(memoryview(data)[:-32]).digest()
    return data


def decode(data: bytes | bytearray) -> Snapshot:
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
