"""Order: a record gets its seq, its receive time and the ticks before it, is made durable, and is then handed over.

All but the commit itself runs in the event loop. What is handed over is durable, so what comes of it may leave the
process. Batches mean nothing: they are as large as what came between two commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

import orjson

from engine.core.control import Host, Load
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.ports import Clock
from engine.core.records import HEADER_BYTES, RecordBatch, RecordKind, batch_of, padded
from engine.io.journal_writer import Chunk, JournalFull, JournalWriter

TICK_NS = 200 * NS_PER_MS
GROUP_S = 0.004  # between two commits: with the sync, a record is durable some 5 ms after its receipt
GROUP_S_MIN = 0.001  # also where the clock runs many times as fast
LOAD_NS = NS_PER_S
RETRY_S = 0.5  # between two attempts on a full disk
STOP_S = 1.5  # of such attempts once it is to stop
PRESSURE_BYTES, RELIEF_BYTES = 48 << 20, 24 << 20  # waiting for the disk: from here on links pause; they go on again
FRAME_BYTES_MAX = 60 << 20  # above it no frame is taken; what is left of the journal's memory is for control records
TURN_S = 0.004  # of handing over, then the sockets have their turn
PIECE_BYTES = 64 << 10  # about a quarter of a turn
COMMITS_KEPT = 6_000  # about a minute of them

_TICK, _FRAME, _REST = int(RecordKind.TICK), int(RecordKind.FRAME), int(RecordKind.REST)


@dataclass(slots=True)
class Counts:
    """What happened since the start.

    clamped: receive times that would have run backwards, and by how much at most. pressures: times the links were
    paused. refused: records for which there was no memory. lag_ms_max: age of a record when its group was handed over;
    whoever reads it sets it back.
    """

    commits: int = 0
    clamped: int = 0
    clamped_ns_max: int = 0
    pressures: int = 0
    refused: int = 0
    handed_over_bytes: int = 0
    lag_ms_max: float = 0.0


class Sequencer:
    """The only writer of a live journal.

    newest_ns: receive time of the journal's last record; nothing is stamped earlier. hand_over: gets what is durable,
    in order; called in the loop. load: asked once a second for (finalize ms, cpu %, memory %). on_pressure: told True
    when so much waits for the disk that links are to pause, False when they may go on. executor: commits run in it;
    None: in the loop's own.
    """

    def __init__(
        self, writer: JournalWriter, clock: Clock, *, newest_ns: int, hand_over: Callable[[RecordBatch], None],
        load: Callable[[], tuple[int, int, int]], on_pressure: Callable[[bool], None], executor: Executor | None = None,
        group_s: float = GROUP_S,
    ) -> None:  # fmt: skip
        self._writer, self._clock, self._hand_over, self._load = writer, clock, hand_over, load
        self._on_pressure, self._executor, self._group_s = on_pressure, executor, group_s
        self._append = writer.append
        self._newest_ns = newest_ns
        self._next_tick_ns = (newest_ns // TICK_NS + 1) * TICK_NS
        self._next_load_ns = (newest_ns // LOAD_NS + 1) * LOAD_NS
        self._oldest_ns = 0  # receive time of the oldest record that was not handed over; 0: there is none
        self._told_clamped = 0
        self._stopping = False
        self._durable: deque[Chunk] = deque()
        writer.on_durable = self._durable.append
        self.waiting_bytes = 0
        self.pressed = False
        self.trouble = ""  # why records wait in memory; empty while the disk takes them
        self.trouble_since_ns: int | None = None
        self.commit_ms: deque[float] = deque(maxlen=COMMITS_KEPT)
        self.durable_ms: deque[float] = deque(maxlen=COMMITS_KEPT)  # from receipt, of the oldest record of a group
        self.counts = Counts()

    # ---- in ----

    def append(self, kind: int, source: int, payload: bytes, recv_ns: int | None = None) -> int:
        """Take a record in; its seq. recv_ns: when it was received; now, if not given.

        JournalFull: memory is full of what the disk did not take; who brought the record must tell that it is lost, as
        by the end of its connection.
        """
        if recv_ns is None:
            recv_ns = self._clock.now_ns()
        if self.waiting_bytes > FRAME_BYTES_MAX and kind in (_FRAME, _REST):
            self.counts.refused += 1
            found, action = f"{self.waiting_bytes} bytes that wait for the disk", "free space on the disk"
            raise JournalFull("journal", 0, "room in memory", found, action)
        if recv_ns >= self._next_tick_ns:
            self._tick(recv_ns)
        if recv_ns < self._newest_ns:
            self._count_clamped(recv_ns)
            recv_ns = self._newest_ns
        seq = self._append(kind, source, recv_ns, payload)
        self._newest_ns = recv_ns
        if not self._oldest_ns:
            self._oldest_ns = recv_ns
        self.waiting_bytes += HEADER_BYTES + len(payload)
        if self.waiting_bytes > PRESSURE_BYTES and not self.pressed:
            self._press(True)
        return seq

    def tell(self, kind: str, **detail: int | float | str) -> int:
        """A HOST record: something this process noticed about itself or its machine."""
        return self.append(RecordKind.HOST, 0, orjson.dumps(Host(kind, detail)))

    def _tick(self, now_ns: int) -> None:
        """The ticks that are due at `now_ns`, also those that a stall of the process kept back."""
        if now_ns - self._newest_ns > NS_PER_MINUTE:  # The core closes at the next record what such a pause covers.
            self._next_tick_ns = now_ns // TICK_NS * TICK_NS
        while self._next_tick_ns <= now_ns:
            self._append(_TICK, 0, self._next_tick_ns, b"")
            self.waiting_bytes += HEADER_BYTES
            self._newest_ns = self._next_tick_ns
            self._next_tick_ns += TICK_NS

    def _count_clamped(self, recv_ns: int) -> None:
        self.counts.clamped += 1
        self.counts.clamped_ns_max = max(self.counts.clamped_ns_max, self._newest_ns - recv_ns)

    def advance(self, now_ns: int) -> None:
        """What time alone brings: ticks, and once a second a sample of the load."""
        if now_ns >= self._next_tick_ns:
            self._tick(now_ns)
        if now_ns >= self._next_load_ns:
            self._next_load_ns = (now_ns // LOAD_NS + 1) * LOAD_NS
            load = Load(self.lag_ms(now_ns), self.waiting_bytes, *self._load())
            self.append(RecordKind.LOAD, 0, orjson.dumps(load), now_ns)
            if self.counts.clamped > self._told_clamped:
                count, self._told_clamped = self.counts.clamped - self._told_clamped, self.counts.clamped
                self.tell("receive_time_clamped", count=count, most_ms=self.counts.clamped_ns_max / NS_PER_MS)

    def lag_ms(self, now_ns: int) -> int:
        """Age of the oldest record that was received and not handed over, in time of this machine."""
        return round(self._clock.seconds((now_ns - self._oldest_ns) / NS_PER_S) * 1000) if self._oldest_ns else 0

    def _age_ms(self, recv_ns: int) -> float:
        """Of what was received then, in time of this machine."""
        return self._clock.seconds((self._clock.now_ns() - recv_ns) / NS_PER_S) * 1000

    # ---- out ----

    async def run(self) -> None:
        """Commit and hand over until `stop`, and then what is left. Raises JournalLost, and at the end JournalFull."""
        loop = asyncio.get_running_loop()
        pause_s = max(self._clock.seconds(self._group_s), GROUP_S_MIN)
        retry_at = 0.0
        while not self._stopping:
            await asyncio.sleep(pause_s)
            with suppress(JournalFull):
                self.advance(self._clock.now_ns())
            if self.waiting_bytes and loop.time() >= retry_at:
                retry_at = 0.0 if await self.commit() else loop.time() + RETRY_S
        until = loop.time() + STOP_S
        while not await self.commit():
            if loop.time() > until:
                found, action = self.trouble, "free space on the disk and start again; nothing acknowledged is lost"
                raise JournalFull("journal", 0, "room on the disk", found, action)
            await asyncio.sleep(RETRY_S)

    def stop(self) -> None:
        """Let `run` end once everything appended so far is durable and handed over."""
        self._stopping = True

    async def commit(self) -> bool:
        """One group: durable, then handed over. False if the disk had no room for all of it: the rest still waits."""
        loop = asyncio.get_running_loop()
        oldest_ns, self._oldest_ns = self._oldest_ns, 0
        began = loop.time()
        trouble = ""
        try:
            await loop.run_in_executor(self._executor, self._writer.commit)
        except JournalFull as error:
            trouble, self._oldest_ns = str(error), oldest_ns or self._oldest_ns
        else:
            if oldest_ns:
                self.durable_ms.append(self._age_ms(oldest_ns))
        self.counts.commits += 1
        self.commit_ms.append((loop.time() - began) * 1000)
        self.waiting_bytes = self._writer.pending_bytes
        if bool(trouble) != bool(self.trouble):
            self._tell_trouble(trouble)
        if self.pressed and self.waiting_bytes < RELIEF_BYTES:
            self._press(False)
        await self._hand_over_durable()
        if oldest_ns:
            self.counts.lag_ms_max = max(self.counts.lag_ms_max, self._age_ms(oldest_ns))
        return not trouble

    def _tell_trouble(self, trouble: str) -> None:
        self.trouble, self.trouble_since_ns = trouble, self._clock.now_ns() if trouble else None
        with suppress(JournalFull):
            self.tell("journal_full" if trouble else "journal_has_room", waiting_bytes=self.waiting_bytes)

    async def _hand_over_durable(self) -> None:
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + TURN_S
        while self._durable:
            batch = batch_of(self._durable.popleft().raw)
            self.counts.handed_over_bytes += batch.nbytes
            for piece in pieces(batch):
                self._hand_over(piece)
                if loop.time() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = loop.time() + TURN_S

    def _press(self, pressed: bool) -> None:
        self.pressed = pressed
        self.counts.pressures += pressed
        self._on_pressure(pressed)


def pieces(batch: RecordBatch) -> Iterator[RecordBatch]:
    """The batch, cut between records into parts of about PIECE_BYTES."""
    if batch.nbytes <= 2 * PIECE_BYTES:
        yield batch
        return
    bytes_ = batch.buffer.data
    begin = position = batch.start
    while position < batch.end:
        position += HEADER_BYTES + padded(int.from_bytes(bytes_[position : position + 4], "little"))
        if position - begin >= PIECE_BYTES or position == batch.end:
            yield RecordBatch(batch.buffer, begin, position)
            begin = position
