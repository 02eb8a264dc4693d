"""What waits for a disk: the journal; and the state snapshot, whose copy stalls the engine."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bench.harness import Agreed, ResultDiffersError, Row, digest_of, no_collection, now_ns, row
from bench.material import ORIGIN_NS, Material, bare, bare_messages, records_of, sized
from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.records import HEADER_BYTES, Record, RecordKind, batch_of, encode, padded
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter, journal_header

LIVE_GROUP = 64  # records between two commits of a busy live run
IMPORT_GROUP = 4096


# The journal ----------------------------------------------------------------------------------------------------------


def journal(material: Material, passes: int = 3, live_records: int = 6_400) -> Iterator[Row]:
    """Writing as an import does, committing as a live run does, and reading what was written."""
    records = list(records_of(material.messages, sized(max(1, material.symbols))))
    nbytes = sum(HEADER_BYTES + padded(len(record.payload)) for record in records)
    header = journal_header("simulated", "")
    agreed = Agreed(f"journal of {material.on}")
    writing: list[float] = []
    reading: list[float] = []
    with tempfile.TemporaryDirectory(prefix="conveyor-bench-") as folder:
        for turn in range(passes):
            place = Path(folder) / f"import{turn}"
            with no_collection():
                begun = now_ns()
                _write(place, header, records, IMPORT_GROUP)
                writing.append((now_ns() - begun) / len(records))
                begun = now_ns()
                for batch in JournalReader(place).batches():
                    last = batch
                reading.append((now_ns() - begun) / len(records))
            assert last.nbytes
            agreed.add(
                _digest(bytes(batch.buffer[batch.start : batch.end]) for batch in JournalReader(place).batches())
            )
        written = _digest(map(encode, records))
        if agreed.digest != written:
            raise ResultDiffersError("journal: what was read is not what was written; run `conveyor journal check`")
        waits = _write(Path(folder) / "live", header, records[:live_records], LIVE_GROUP)
    for what, samples in (("journal: write, sealed", writing), ("journal: read, sealed", reading)):
        gigabytes = nbytes / len(records) / float(np.median(samples))
        yield row(
            what, material.on, len(records), "ns/record", samples, rate=gigabytes, rate_unit="GB/s of records",
            digest=agreed.digest,
        )  # fmt: skip
    yield row(
        f"journal: commit of {LIVE_GROUP} records", material.on, len(waits), "ms", np.array(waits) / 1e6,
        rate=LIVE_GROUP * len(waits) / sum(waits) * 1e9, rate_unit="records/s",
    )  # fmt: skip


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _write(folder: Path, header: dict[str, object], records: list[Record], group: int) -> list[int]:
    """ns of each commit."""
    waits: list[int] = []
    with JournalWriter(folder, header=header) as writer:
        append = writer.append
        for first in range(0, len(records), group):
            for record in records[first : first + group]:
                append(record.kind, record.source, record.recv_ns, record.payload)
            begun = now_ns()
            writer.commit()
            waits.append(now_ns() - begun)
    return waits


# The state snapshot ---------------------------------------------------------------------------------------------------


def filled_conveyor(symbols: int, levels: int) -> Conveyor:
    """A conveyor whose books hold so many levels a side."""
    conveyor = Conveyor()
    conveyor.configure(sized(symbols))
    messages = bare_messages(symbols)
    for index in range(symbols):
        bids, asks = (
            b",".join(b'["%d.%02d","%d.%03d"]' % (*divmod(100_000 + way * level, 100), 1 + level % 9, level)
                      for level in range(1, levels + 1))
            for way in (-1, 1)
        )  # fmt: skip
        body = b'{"lastUpdateId":1000,"E":%d,"T":%d,"bids":[%b],"asks":[%b]}' % (
            ORIGIN_NS // 1_000_000, ORIGIN_NS // 1_000_000, bids, asks,
        )  # fmt: skip
        source = 1 + index // 250
        messages.append((ORIGIN_NS, source, int(RecordKind.REST), b"depth S%dUSDT\n%b" % (index, body)))
    for record in records_of(messages, ticks=False):
        conveyor.handle(batch_of(encode(record)))
    return conveyor


def _busy_hour(conveyor: Conveyor, turn: int) -> None:
    """What an hour changes of a state, written straight into its arrays: closed minutes and seen ids of all symbols."""
    state = conveyor.state
    assert state is not None
    members = np.arange(len(conveyor.registry.instruments))
    for minute in range(60 * turn, 60 * turn + 60):
        state.remember(minute, members, state.bars.rows[members])
    symbols, size = state.tape.symbols[members], state.tape.seen_ids.shape[2]
    for s, symbol in zip(members.tolist(), symbols, strict=True):
        state.tape.seen_ids[s, int(symbol["seen_generation"]), turn % 2 :: 2] = turn
    state.tape.symbols["arrivals"][members] += size // 2
    state.features.long_counts[members] += 60


def stall(symbols: int, levels: int = 1_000, passes: int = 20) -> Iterator[Row]:
    """`snapshot.take` after each of some busy hours; encoding and writing it are somebody else's time."""
    conveyor = filled_conveyor(symbols, levels)
    waits = []
    begun = now_ns()
    room = snapshot.Room(conveyor)
    made_ms = (now_ns() - begun) / 1e6
    with no_collection():
        for turn in range(passes):
            _busy_hour(conveyor, turn)
            begun = now_ns()
            taken = snapshot.take(conveyor, room)
            waits.append(now_ns() - begun)
            if turn in (0, passes - 1):
                again = Agreed("state snapshot in memory used before and in new memory")
                again.add(digest_of(bytes(snapshot.encode(taken))))
                again.add(digest_of(bytes(snapshot.encode(snapshot.take(conveyor)))))
    assert conveyor.state is not None
    filled = int(conveyor.state.tape.books["synced"].sum())
    if filled != symbols:
        raise ResultDiffersError(f"state snapshot: {filled} of {symbols} books are filled; report it")
    size = sum(array.nbytes for array in taken.arrays.values()) / 2**20
    what = f"{levels} levels a side"
    yield row(
        f"state snapshot: stall, {what}", bare(symbols), passes, "ms", np.array(waits) / 1e6,
        rate=size, rate_unit="MiB held", digest=again.digest,
    )  # fmt: skip
    yield row(f"state snapshot: stall of the first, {what}", bare(symbols), 1, "ms", [waits[0] / 1e6])
    yield row(f"state snapshot: memory made ready, {what}", bare(symbols), 1, "ms", [made_ms])
