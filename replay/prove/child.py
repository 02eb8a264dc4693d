"""One environment at work: `python -m replay.prove.child JOB` replays journals and prints what came out, as JSON lines.

It imports the core and the journal only: the store's libraries are slow to start on an emulated processor, and no
value of the proof passes through them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from engine.core.records import HEADER_BYTES, RecordBatch, batch_of, padded

if TYPE_CHECKING:
    from engine.core.effects import Link

SEGMENT_BYTES = 64 << 20  # of records handed over at once where batches are whole segments
WHOLE_SEGMENTS = -1


@dataclass(frozen=True, slots=True)
class Job:
    """What a child does.

    journals: folders, in the order of the answers. records: of one batch; 0 for the journal's own blocks, or
    WHOLE_SEGMENTS. restart_links: save the state at every link, and go on from the copy whenever so many came since; 0
    for never. collector: garbage collection on. speak_locale: adopt LC_ALL, as a program that prints for people does.
    records_max: end a journal after so many; 0 for all of it. plant: name of a fault of replay.prove.plants.
    link: tell the rows of this link of the only journal, and no digests. compile_only: fill the kernel cache and end.
    """

    journals: tuple[str, ...] = ()
    records: int = 0
    restart_links: int = 0
    collector: bool = True
    speak_locale: bool = False
    records_max: int = 0
    plant: str = ""
    link: int = -1
    compile_only: bool = False

    def encode(self) -> str:
        return orjson.dumps(asdict(self)).decode()


def main(job: Job) -> None:
    if job.speak_locale:
        import locale

        locale.setlocale(locale.LC_ALL, "")
    if not job.collector:
        gc.disable()
    if job.plant:
        from replay.prove.plants import PLANTS

        PLANTS[job.plant].plant()  # before anything imports a stage
    if job.compile_only:
        from engine.core.kernel import is_warm
        from engine.warm import warm

        if not is_warm():
            warm()
        return
    if job.link < 0:
        from replay.prove.facts import facts

        tell(
            {"facts": facts() | {"records a batch": str(job.records), "links between restarts": str(job.restart_links)}}
        )
    for journal in job.journals:
        answer(job, Path(journal))


def answer(job: Job, journal: Path) -> None:
    """The lines of one journal; the last one counts its records."""
    from engine.core.effects import Link
    from engine.io.digest_line import digest_line

    records = 0
    for count, effects in replayed(job, journal):
        records += count
        for effect in effects:
            if not isinstance(effect, Link):
                continue
            if job.link < 0:
                tell(digest_line(effect))
            elif effect.link == job.link:
                tell(rows_told(effect))
                return
        if 0 < job.records_max <= records:
            break
    if job.link < 0:
        tell({"records": records})


def replayed(job: Job, journal: Path) -> Iterator[tuple[int, list[Any]]]:
    """(records, effects) of each batch."""
    from engine import snapshot
    from engine.conveyor import Conveyor
    from engine.io.journal_reader import JournalReader
    from replay.prove.interpreted import accept_records

    conveyor = Conveyor()
    accept_records(conveyor)
    taken_link = restored_link = 0
    room = None
    records = job.records or min(job.records_max, 1000)  # a limit is reached to the record only in small batches
    for batch in cut(JournalReader(journal).batches(), records):
        yield records_in(batch), conveyor.handle(batch)
        if job.restart_links and conveyor.link > taken_link:
            # As in a run: one room for all snapshots, so that what changed since the last one is told apart.
            room = room or snapshot.Room(conveyor)
            taken, taken_link = snapshot.take(conveyor, room), conveyor.link
            if conveyor.link - restored_link >= job.restart_links:
                conveyor = snapshot.restore(snapshot.decode(snapshot.encode(taken)))
                restored_link, room = conveyor.link, None


def cut(blocks: Iterable[RecordBatch], records: int) -> Iterator[RecordBatch]:
    """The same records in other batches."""
    if records == 0:
        yield from blocks
    elif records == WHOLE_SEGMENTS:
        parts: list[bytes] = []
        size = 0
        for block in blocks:
            parts.append(block.buffer[block.start : block.end].tobytes())
            size += block.nbytes
            if size >= SEGMENT_BYTES:
                yield batch_of(b"".join(parts))
                parts, size = [], 0
        if parts:
            yield batch_of(b"".join(parts))
    else:
        for block in blocks:
            begin = position = block.start
            count = 0
            while position < block.end:
                position, count = behind(block.buffer, position), count + 1
                if count % records == 0 or position == block.end:
                    yield RecordBatch(block.buffer, begin, position)
                    begin = position


def behind(buffer: np.ndarray, position: int) -> int:
    """Where the record at `position` ends."""
    return position + HEADER_BYTES + padded(int.from_bytes(buffer.data[position : position + 4], "little"))


def records_in(batch: RecordBatch) -> int:
    count, position = 0, batch.start
    while position < batch.end:
        position, count = behind(batch.buffer, position), count + 1
    return count


def rows_told(minute: Link) -> dict[str, Any]:
    """A link with the bits of its rows; proof.rows_heard makes the effect of it again."""
    told = {
        name: getattr(minute, name) for name in minute.__dataclass_fields__ if name not in ("rows", "market", "found")
    }
    return told | {"rows": minute.rows.tobytes().hex()}


def tell(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main(Job(**orjson.loads(sys.argv[1])))
