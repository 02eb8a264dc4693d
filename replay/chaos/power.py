"""Power cuts at random instants on the disk in memory, and damage where no power cut can be blamed for it.

A story is a journal (or a session) that is begun, cut down, spoilt as a power cut spoils what was not synced, begun
again, until it reaches its end. Story n of seed s is drawn from s + n alone, so that any of them can be seen again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from engine.core.errors import JournalError
from engine.io.segment import durable_behind, unpack_header
from replay.chaos.disk import Killed, MemoryDisk
from replay.chaos.journal_life import Writing, reader, torn_bytes
from replay.chaos.material import Loss, Material, chain_of, effects_of
from replay.chaos.session_life import SessionLife

KINDS = ("journal", "session", "damage")


@dataclass
class Figures:
    """cuts: deaths with a power cut; kills: deaths without one; torn_bytes: in the tails that were found and cut."""

    stories: int = 0
    cuts: int = 0
    kills: int = 0
    torn_tails: int = 0
    torn_bytes: int = 0
    acknowledged: int = 0
    session_stories: int = 0
    session_cuts: int = 0
    damaged: int = 0
    refused: int = 0
    stores: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "power_cuts": self.cuts, "kills": self.kills, "journals": self.stories, "torn_tails": self.torn_tails,
            "torn_bytes_cut": self.torn_bytes, "acknowledged_records": self.acknowledged, "lost": 0,
            "session_power_cuts": self.session_cuts, "sessions": self.session_stories,
            "stores": dict(sorted(self.stores.items())), "damaged": self.damaged, "refused": self.refused,
        }  # fmt: skip


def power(
    material: Material, folder: Path, runs: int, seed: int = 0, kinds: tuple[str, ...] = KINDS,
    progress: Callable[[int], None] = lambda count: None,
) -> Figures:  # fmt: skip
    """`runs` deaths of journals, a twentieth as many of sessions, `runs` damaged bits. Raises Loss."""
    figures = Figures()
    writing = Writing.of(material.records, segment_bytes=150_000, block_bytes=16_000, commit_records_max=400)
    story = 0
    while "journal" in kinds and figures.cuts + figures.kills < runs:
        before = figures.cuts + figures.kills
        with again("journal", seed + story):
            journal_story(writing, material, Random(f"journal {seed + story}"), figures)
        progress(figures.cuts + figures.kills - before)
        story += 1
    story = 0
    while "session" in kinds and figures.session_cuts < max(1, runs // 20):
        with again("session", seed + story):
            session_story(material, folder, Random(f"session {seed + story}"), figures)
        story += 1
    undamaged = standing(writing)
    for number in range(runs if "damage" in kinds else 0):
        with again("damage", seed + number):
            damage(deepcopy(undamaged), Random(f"damage {seed + number}"), figures)
    return figures


class again:  # noqa: N801 - used like a function
    """Whatever goes wrong inside is a Loss that says how to see it once more."""

    def __init__(self, kind: str, seed: int) -> None:
        self.command = f"conveyor chaos power --runs 1 --seed {seed} --kind {kind}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if isinstance(error, Exception):
            raise Loss(f"{type(error).__name__}: {error}; to see it again: {self.command}") from error


def journal_story(writing: Writing, material: Material, random: Random, figures: Figures) -> None:
    """A journal through deaths to its last record; then the conveyor must make of it what it makes of the original."""
    disk, acknowledged = MemoryDisk(seed=random.randrange(2**32)), list[int]()
    while True:
        disk.fail_at, disk.how, disk.calls = random.randrange(1, 400), "kill", 0
        try:
            writing.live(disk, random, acknowledged)
            break
        except Killed:
            cut = random.random() < 0.8
            figures.cuts, figures.kills = figures.cuts + cut, figures.kills + (not cut)
            disk.cut_power() if cut else disk.restart()
            writing.check(disk, acknowledged)
            torn = torn_bytes(disk)
            figures.torn_tails, figures.torn_bytes = figures.torn_tails + (torn > 0), figures.torn_bytes + torn
    disk.restart()
    writing.check_whole(disk)
    chain = chain_of(effects_of(reader(disk).batches()))
    if chain != material.chain:
        raise Loss(f"the journal's records give digest {chain[:16]}, undisturbed they give {material.chain[:16]}")
    figures.stories, figures.acknowledged = figures.stories + 1, figures.acknowledged + len(writing.records)


def session_story(material: Material, folder: Path, random: Random, figures: Figures) -> None:
    """A session through power cuts to its end, its store now and then lost or replaced by an older one."""
    with TemporaryDirectory(dir=folder) as place:
        life, disk = SessionLife(material, Path(place)), MemoryDisk(seed=random.randrange(2**32))
        while True:
            disk.fail_at, disk.how, disk.calls = random.randrange(1, 70), "kill", 0
            try:
                life.live(disk)
                break
            except Killed:
                figures.session_cuts += 1
                disk.cut_power()
                figures.stores[life.lose_store(random)] += 1
                if life.complete(disk):
                    break
                life.check(disk)
        disk.restart()
        if not life.complete(disk):
            life.live(disk)
        life.check_whole(disk)
    figures.session_stories += 1


def damage(disk: MemoryDisk, random: Random, figures: Figures) -> None:
    """One flipped bit anywhere outside the tail: the journal is refused with the name of that segment."""
    path = random.choice(sorted(disk.entries))
    data = disk.entries[path].data
    place = random.randrange(len(data) if path != max(disk.entries) else _relied_on(path.name, data))
    data[place] ^= 1 << random.randrange(8)
    figures.damaged += 1
    try:
        for _ in reader(disk).batches():
            pass
    except JournalError as error:
        if error.segment != path.name:
            raise Loss(f"byte {place} of {path.name} is wrong, the refusal names {error.segment}") from error
        figures.refused += 1
        return
    raise Loss(f"byte {place} of {path.name} is wrong, and the journal was read to its end")


def standing(writing: Writing) -> MemoryDisk:
    """A journal that was not closed: sealed segments, and an open one with several commits."""
    disk = MemoryDisk()
    writer = writing.opened(disk)
    for first in range(0, len(writing.records), 97):
        writing.append(writer, first, first + 96)
        writer.commit()
    writer.release()
    return disk.restart()


def _relied_on(name: str, data: bytearray) -> int:
    """Bytes of the open segment that its last block says were durable; behind them a wrong byte may be a torn tail."""
    return durable_behind(bytes(data), unpack_header(name, bytes(data)).crc)
