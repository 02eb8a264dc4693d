"""Order, ticks, back-pressure and a full disk, on a disk in memory and by a clock that is set by hand."""

import asyncio
import errno
import random
from typing import Any

import orjson
import pytest

from engine.core.control import LOAD, read_control
from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.core.records import Record, RecordKind, iterate
from engine.io import sequencer as subject
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalFull, JournalLost, JournalWriter
from engine.io.sequencer import TICK_NS, Sequencer, pieces
from replay.chaos.disk import MemoryDisk
from tests.io.journals import FOLDER, HEADER

START_NS = 1_700_000_000 * NS_PER_S + 50 * NS_PER_MS
FRAME, TICK = int(RecordKind.FRAME), int(RecordKind.TICK)


class HandClock:
    def __init__(self, now_ns: int = START_NS) -> None:
        self.at_ns = now_ns

    def now_ns(self) -> int:
        return self.at_ns

    def seconds(self, span_s: float) -> float:
        return span_s

    def pass_ms(self, ms: int) -> None:
        self.at_ns += ms * NS_PER_MS


class Bench:
    """A sequencer with what it stands on, and what it handed over."""

    def __init__(self, disk: MemoryDisk | None = None, newest_ns: int = START_NS) -> None:
        self.disk, self.clock = disk or MemoryDisk(), HandClock()
        self.writer = JournalWriter(FOLDER, header=HEADER, disk=self.disk, seal_behind=False)
        self.handed: list[Record] = []
        self.pressures: list[bool] = []
        self.sequencer = Sequencer(
            self.writer, self.clock, newest_ns=newest_ns, load=lambda: (7, 20, 30),
            hand_over=lambda batch: self.handed.extend(iterate(batch)), on_pressure=self.pressures.append,
        )  # fmt: skip

    def journal(self) -> list[Record]:
        return [record for batch in JournalReader(FOLDER, self.disk).batches() for record in iterate(batch)]


def times(records: list[Record], kind: int) -> list[int]:
    """Receive times since the start, in ms."""
    return [(record.recv_ns - START_NS) // NS_PER_MS for record in records if record.kind == kind]


def test_records_come_in_order_with_the_ticks_that_are_due_before_them():
    bench = Bench()
    for ms in (0, 149, 150, 340, 760):
        bench.sequencer.append(FRAME, 3, b"%d" % ms, START_NS + ms * NS_PER_MS)

    asyncio.run(bench.sequencer.commit())

    told = [(record.kind, (record.recv_ns - START_NS) // NS_PER_MS) for record in bench.handed]
    assert told == [
        (FRAME, 0), (FRAME, 149), (TICK, 150), (FRAME, 150), (FRAME, 340), (TICK, 350), (TICK, 550), (TICK, 750),
        (FRAME, 760),
    ]  # fmt: skip
    assert [record.seq for record in bench.handed] == list(range(9))
    assert all(record.recv_ns % TICK_NS == 0 for record in bench.handed if record.kind == TICK)
    assert bench.journal() == bench.handed


def test_nothing_is_handed_over_before_it_is_durable():
    bench = Bench()
    bench.sequencer.append(FRAME, 1, b"x")
    assert bench.handed == []
    asyncio.run(bench.sequencer.commit())
    bench.disk.cut_power()
    assert bench.journal() == bench.handed
    assert len(bench.handed) == 1


def test_each_group_tells_how_old_its_oldest_record_was_when_it_became_durable():
    class SlowDisk(MemoryDisk):
        def fdatasync(self, handle: int) -> None:
            super().fdatasync(handle)
            bench.clock.pass_ms(5)

    bench = Bench(SlowDisk())
    for _ in range(2):
        bench.sequencer.append(FRAME, 1, b"older")
        bench.clock.pass_ms(7)
        bench.sequencer.append(FRAME, 1, b"newer")
        asyncio.run(bench.sequencer.commit())
    bench.disk.capacity = 0
    bench.sequencer.append(FRAME, 1, bytes(5_000))
    assert not asyncio.run(bench.sequencer.commit()), "the disk is full"

    assert list(bench.sequencer.durable_ms) == [7 + 5 + 5, 7 + 5], "the first group waits for its segment's head too"


def test_a_stall_of_the_process_gets_its_ticks_and_a_long_one_only_the_last():
    bench = Bench()
    bench.sequencer.append(FRAME, 1, b"before")
    bench.sequencer.append(FRAME, 1, b"after 30 s", START_NS + 30_000 * NS_PER_MS)
    asyncio.run(bench.sequencer.commit())
    assert times(bench.handed, TICK) == list(range(150, 30_000, 200))

    bench.sequencer.append(FRAME, 1, b"after an hour", START_NS + 3_600_000 * NS_PER_MS)
    asyncio.run(bench.sequencer.commit())
    assert times(bench.handed, TICK)[150:] == [3_599_950]


def test_receive_times_never_run_backwards_and_a_clamp_is_told_once():
    bench = Bench()
    for ms in (100, 40, 160, 130):
        bench.sequencer.append(FRAME, 1, b"", START_NS + ms * NS_PER_MS)
    bench.clock.pass_ms(1_000)
    for _ in range(2):
        bench.sequencer.advance(bench.clock.now_ns())
    asyncio.run(bench.sequencer.commit())

    assert times(bench.handed, FRAME) == [100, 100, 160, 160]
    told = [orjson.loads(record.payload) for record in bench.handed if record.kind == RecordKind.HOST]
    assert told == [{"kind": "receive_time_clamped", "detail": {"count": 2, "most_ms": 60.0}}]
    assert all(one.recv_ns <= other.recv_ns for one, other in zip(bench.handed, bench.handed[1:], strict=False))


def test_time_alone_brings_ticks_and_a_sample_of_the_load_each_second():
    bench = Bench()
    for _ in range(350):
        bench.clock.pass_ms(10)
        bench.sequencer.advance(bench.clock.now_ns())
    asyncio.run(bench.sequencer.commit())

    assert times(bench.handed, TICK) == list(range(150, 3_501, 200))
    loads = [record for record in bench.handed if record.kind == RecordKind.LOAD]
    assert times(loads, int(RecordKind.LOAD)) == [950, 1_950, 2_950]
    last = read_control("load", LOAD, loads[-1].payload)
    assert (last.finalize_ms, last.cpu_pct, last.memory_pct) == (7, 20, 30)
    assert last.lag_ms == 2_000, "nothing was committed since the first sample"
    assert last.waiting_bytes > 0


def test_links_pause_when_much_waits_and_go_on_when_it_is_written(monkeypatch):
    monkeypatch.setattr(subject, "PRESSURE_BYTES", 10_000)
    monkeypatch.setattr(subject, "RELIEF_BYTES", 5_000)
    monkeypatch.setattr(subject, "FRAME_BYTES_MAX", 12_000)
    bench = Bench()
    for _ in range(12):
        bench.sequencer.append(FRAME, 1, bytes(1_000))
    with pytest.raises(JournalFull, match="room in memory"):
        bench.sequencer.append(FRAME, 1, bytes(1_000))
    assert bench.pressures == [True]
    assert bench.sequencer.counts.refused == 1
    bench.sequencer.tell("still_heard")

    asyncio.run(bench.sequencer.commit())

    assert bench.pressures == [True, False]
    assert [record.kind for record in bench.handed] == [FRAME] * 12 + [int(RecordKind.HOST)]


def test_a_full_disk_keeps_what_came_and_writes_it_when_there_is_room():
    disk = MemoryDisk(capacity=4_000)
    bench = Bench(disk)

    async def story() -> None:
        for _ in range(20):
            bench.sequencer.append(FRAME, 1, bytes(400))
            await bench.sequencer.commit()
        assert "No space left" in bench.sequencer.trouble
        assert bench.sequencer.trouble_since_ns == START_NS
        durable = len(bench.handed)
        assert 0 < durable < 20
        disk.capacity = None
        assert await bench.sequencer.commit()
        assert bench.sequencer.trouble == ""
        assert await bench.sequencer.commit()

    asyncio.run(story())
    assert [record.kind for record in bench.handed if record.kind != RecordKind.HOST] == [FRAME] * 20
    told = [orjson.loads(record.payload)["kind"] for record in bench.handed if record.kind == RecordKind.HOST]
    assert told == ["journal_full", "journal_has_room"]
    assert bench.journal() == bench.handed


def test_a_disk_that_lies_ends_the_run():
    disk = MemoryDisk(how=errno.EIO)
    bench = Bench(disk)
    bench.sequencer.append(FRAME, 1, b"x")
    disk.only, disk.calls, disk.fail_at = "fdatasync", 0, 2

    with pytest.raises(JournalLost, match="end this process"):
        asyncio.run(bench.sequencer.run())
    assert bench.handed == []


def test_it_runs_until_it_is_stopped_and_leaves_nothing_behind():
    bench = Bench()

    async def story() -> None:
        running = asyncio.create_task(bench.sequencer.run())
        seqs = [bench.sequencer.append(FRAME, 1, b"%d" % number) for number in range(1_000)]
        bench.sequencer.stop()
        await running
        assert seqs == list(range(1_000))

    asyncio.run(story())
    assert [record.payload for record in bench.handed] == [b"%d" % number for number in range(1_000)]
    assert bench.sequencer.waiting_bytes == 0


def test_large_groups_are_handed_over_in_pieces_of_whole_records():
    bench = Bench()
    rng = random.Random(4)
    batches: list[Any] = []
    bench.sequencer = Sequencer(
        bench.writer, bench.clock, newest_ns=START_NS, load=lambda: (0, 0, 0), hand_over=batches.append,
        on_pressure=bench.pressures.append,
    )  # fmt: skip
    sizes = [rng.choice((0, 3, 200, 700, 200_000)) for _ in range(600)]
    for size in sizes:
        bench.sequencer.append(FRAME, 1, bytes(size))

    asyncio.run(bench.sequencer.commit())

    assert len(batches) > 20
    assert [len(record.payload) for batch in batches for record in iterate(batch)] == sizes
    assert [batch for batch in batches if not any(iterate(batch))] == []


def test_a_piece_is_never_empty():
    bench = Bench()
    batches: list[Any] = []
    bench.sequencer._hand_over = batches.append
    for _ in range(3):
        bench.sequencer.append(FRAME, 1, bytes(2 * subject.PIECE_BYTES))
    asyncio.run(bench.sequencer.commit())
    assert [part.nbytes for batch in batches for part in pieces(batch)] == [2 * subject.PIECE_BYTES + 24] * 3
