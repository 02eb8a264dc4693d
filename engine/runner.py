"""The loop: records from a source, through the conveyor, effects to the sinks; and the states from which it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.effects import Effect
from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_S
from engine.core.ports import Sink
from engine.core.records import HEADER_BYTES, RecordBatch, RecordKind, padded
from engine.io.journal_reader import JournalReader
from engine.io.states import StateFolder


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


def beginning(journal: JournalReader) -> tuple[Conveyor, int]:
    """The conveyor with which a replay begins, and the seq of the last record it has seen, -1 if it is new.

    A journal whose beginning was removed begins with its key frame. Raises ConfigError if that is of another version.
    """
    content = journal.key_frame()
    if content is None:
        return Conveyor(), -1
    try:
        taken = snapshot.decode(content)
        return snapshot.restore(taken), taken.seq
    except ConfigError as error:
        raise ConfigError(
            f"the beginning of this journal was removed, and the state in its place cannot be used: {error}"
        ) from error


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


def recall(states: StateFolder, links: int, note: Callable[[str], None]) -> tuple[Conveyor, int]:
    """The conveyor of the newest usable state snapshot and its seq; a new one and -1 if there is none.

    links: links the session already holds in all its parts; a snapshot ahead of them would leave a hole.
    """
    for seq, data in states.newest_first():
        try:
            taken = snapshot.decode(data)
            if taken.header["link"] <= links:
                return snapshot.restore(taken), taken.seq
        except ConfigError as error:
            note(f"note: state {seq} is not used: {error}")
    return Conveyor(), -1


class StateSaver:
    """Takes state snapshots; encoding one and writing it out is the time of a thread of its own.

    sync: makes digests and events durable, False if the disk refused; a snapshot ahead of them would leave a hole.
    behind: False leaves no time to chance: a snapshot is written when it is taken.
    """

    def __init__(
        self, states: StateFolder, conveyor: Conveyor, sync: Callable[[], bool], note: Callable[[str], None],
        behind: bool = True,
    ) -> None:  # fmt: skip
        self._states, self._conveyor, self._sync, self._note = states, conveyor, sync, note
        self._room: snapshot.Room | None = None
        self._thread = ThreadPoolExecutor(1, "states") if behind else None
        self._writing: Future[None] | None = None
        self.link, self.seq = conveyor.link, -1  # where the conveyor stood at the newest snapshot of this process

    def make_room(self) -> None:
        """Touch the memory of the snapshots, if the one at hand is not the right one."""
        if self._room is None or self._room.symbols != len(self._conveyor.registry.instruments):
            self._room = snapshot.Room(self._conveyor)

    def save(self) -> bool:
        """Take one, unless the last one is still being written."""
        if self._writing and not self._writing.done():
            return False
        self.wait()
        self.make_room()
        taken = snapshot.take(self._conveyor, self._room)
        self.link, self.seq = self._conveyor.link, taken.seq
        if self._thread:
            self._writing = self._thread.submit(self._write, taken)
        else:
            self._write(taken)
        return True

    def _write(self, taken: snapshot.Snapshot) -> None:
        """Without it the next start only has more to compute, so a disk that refuses it ends nothing."""
        if not self._sync():
            return
        try:
            self._states.save(taken.seq, snapshot.encode(taken))
        except OSError as error:
            self._note(f"note: no state snapshot at seq {taken.seq}: {error}")

    def wait(self) -> None:
        """Until what was taken is written."""
        if self._writing:
            self._writing.result()

    def close(self) -> None:
        """Let what was taken be written."""
        if self._thread:
            self._thread.shutdown(wait=True)

    def __enter__(self) -> StateSaver:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None:
            self.wait()
