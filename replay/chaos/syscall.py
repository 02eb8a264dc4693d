"""Every call on the disk fails once, in each way it can; the process ends or goes on as designed, and another follows.

A life is played as often as it has calls, each time with the next of them failing. The calls are those of
engine.io.disk, on a disk in memory: of a journal from nothing, of a journal that recovers, of a session (manifest,
digests, events, state snapshots). The store is DuckDB's own business: `replay/chaos/store.py`.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from engine.core.errors import ConveyorError
from engine.io.segment import UNFINISHED, segment_name
from replay.chaos import store
from replay.chaos.disk import Killed, MemoryDisk
from replay.chaos.journal_life import FOLDER, Writing, reader
from replay.chaos.material import Loss, Material
from replay.chaos.session_life import SessionLife

HOWS: dict[str, int | str] = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "short": "short", "kill": "kill"}
AFTERS = ("restart", "power")
KINDS = ("journal", "recovery", "session", "store")


@dataclass(frozen=True, order=True)
class Case:
    """The `number`th call of a life fails, `how`; what comes after it is a restart, or a power cut and a restart."""

    life: str
    how: str
    after: str
    number: int

    def __str__(self) -> str:
        return f"{self.life}/{self.how}/{self.after}/{self.number}"

    @classmethod
    def of(cls, text: str) -> Case:
        life, how, after, number = text.split("/")
        return cls(life, how, after, int(number))


@dataclass
class Figures:
    """failed: how often each call failed; went_on: lives that reached their end in spite of it."""

    cases: int = 0
    went_on: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0

    def as_dict(self) -> dict[str, Any]:
        failed = dict(sorted(self.failed.items()))
        return {"cases": self.cases, "went_on": self.went_on, "acknowledged_records": self.acknowledged, "lost": 0,
                "failed_calls": failed}  # fmt: skip


class Lives:
    """Every kind of life, ready to be played with a fault in it."""

    def __init__(self, material: Material, folder: Path) -> None:
        self.material, self._folder = material, folder
        self.writing = Writing.of(material.records[:60], segment_bytes=12_000, block_bytes=3_000, commit_records_max=8)
        self._killed = killed_in_mid_write(self.writing)
        # Each plays a case on its disk, asks its questions, and returns the calls of the life that had the fault.
        self.play: dict[str, Callable[[MemoryDisk, Case, Figures], int]] = {
            "journal": self._journal, "recovery": self._journal, "session": self._session,
            "store": self._store,
        }  # fmt: skip

    def disk(self, case: Case) -> MemoryDisk:
        disk = deepcopy(self._killed) if case.life == "recovery" else MemoryDisk()
        if case.life != "store":
            disk.fail_at, disk.how, disk.calls, disk.random = case.number, HOWS[case.how], 0, Random(case.number)
        return disk

    def calls(self, life: str) -> int:
        """How many calls a life without faults has."""
        case = Case(life, "EIO", "restart", 0)
        return self.play[life](self.disk(case), case, Figures())

    def _journal(self, disk: MemoryDisk, case: Case, figures: Figures) -> int:
        acknowledged = [39] if case.life == "recovery" else []
        try:
            self.writing.live(disk, Random(5), acknowledged)
            figures.went_on += case.number > 0
        except (ConveyorError, Killed) as error:
            if isinstance(error, Loss):
                raise
        calls = self._count(disk, figures)
        if case.number:
            disk.cut_power() if case.after == "power" else disk.restart()
            self.writing.check(disk, acknowledged)
            self.writing.live(disk, Random(6), acknowledged)
        self.writing.check_whole(disk)
        figures.acknowledged += len(self.writing.records)
        return calls

    def _session(self, disk: MemoryDisk, case: Case, figures: Figures) -> int:
        with TemporaryDirectory(dir=self._folder) as folder:
            life = SessionLife(self.material, Path(folder))
            try:
                life.live(disk)
                figures.went_on += case.number > 0
            except (ConveyorError, OSError, Killed) as error:
                if isinstance(error, Loss):
                    raise
            calls = self._count(disk, figures)
            disk.cut_power() if case.after == "power" else disk.restart()
            life.check(disk)
            if not life.complete(disk):
                life.live(disk)
            life.check_whole(disk)
        return calls

    def _store(self, disk: MemoryDisk, case: Case, figures: Figures) -> int:
        with TemporaryDirectory(dir=self._folder) as folder:
            store.spoil(self.material, Path(folder), case.how, case.number)
        figures.cases += 1
        figures.failed[f"store {case.how}"] += 1
        return 0

    def _count(self, disk: MemoryDisk, figures: Figures) -> int:
        if disk.failed_in is not None:
            figures.cases += 1
            figures.failed[disk.failed_in] += 1
        return disk.calls


def killed_in_mid_write(writing: Writing) -> MemoryDisk:
    """Closed segments, an open one with whole commits behind each other up to record 39, and a tail torn within its
    first block header, so that nothing on the disk tells that the commit before it was acknowledged."""
    disk = MemoryDisk(how="kill")
    writer = writing.opened(disk)
    for seq in range(0, 40, 2):
        writing.append(writer, seq, seq + 1)
        writer.commit()
    writing.append(writer, 40, 44)
    disk.only, disk.fail_at, disk.calls = "write", 1, 0
    with suppress(Killed):
        writer.commit()
    disk.restart()
    last = disk.entries[max(disk.entries)]
    last.data[len(last.synced) :] = b"CVB\x01 torn"
    disk.close(disk.create(FOLDER / (segment_name(0) + UNFINISHED)))  # and a sealing that had begun
    if reader(disk).info().torn_bytes != 9:
        raise Loss("the journal that is to be recovered has no torn tail of nine bytes")
    return disk


def cases(lives: Lives, kinds: tuple[str, ...]) -> Iterator[Case]:
    for life in kinds:
        if life == "store":
            yield from (Case(life, how, "restart", 1 + number) for how in store.HOWS for number in range(store.NUMBERS))
            continue
        count = lives.calls(life)
        for how in HOWS:
            for after in AFTERS:
                yield from (Case(life, how, after, number) for number in range(1, count + 1))


def syscall(
    material: Material, folder: Path, runs: int | None = None, seed: int = 0,
    kinds: tuple[str, ...] = KINDS, only: str = "",
    progress: Callable[[int], None] = lambda count: None,
) -> Figures:  # fmt: skip
    """Play every case, or `runs` of them drawn with `seed`, or `only` the one that is named. Raises Loss."""
    lives, figures = Lives(material, folder), Figures()
    chosen = [Case.of(only)] if only else list(cases(lives, kinds))
    if runs is not None and runs < len(chosen):
        chosen = sorted(Random(seed).sample(chosen, runs))
    for case in chosen:
        try:
            lives.play[case.life](lives.disk(case), case, figures)
        except Exception as error:
            again = f"conveyor chaos syscall --case {case}"
            raise Loss(f"{type(error).__name__}: {error}; to see it again: {again}") from error
        progress(1)
    return figures
