"""One life of a session: a journal replayed into it, its files on a disk in memory, its store a real DuckDB file.

The replay is that of `conveyor replay`, with a state snapshot after every link.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from random import Random
from typing import Any

import orjson

from engine.commands.replay import replay_into
from engine.core.effects import Event, Link, SnapshotNeeded
from engine.io.outputs import DRAFT, whole_lines
from engine.io.session import DIGESTS, EVENTS, MANIFEST, STORE
from engine.io.session_reader import SessionReader
from engine.io.store import StoreLimits
from replay.chaos.disk import MemoryDisk
from replay.chaos.material import Loss, Material
from replay.verify import verify

LIMITS = StoreLimits(retry_s_min=0.01, retry_s_max=0.01, patience_s=0.1)


class SessionLife:
    """folder: a real one for the store and for the proof at the end."""

    def __init__(self, material: Material, folder: Path) -> None:
        self.material, self.folder = material, folder / "session"
        self.folder.mkdir(parents=True)
        self._kept = folder / "kept.duckdb"  # the store as it was when an earlier life ended

    def live(self, disk: MemoryDisk) -> None:
        """One process from its start to the end of the journal; raises what it dies of."""
        with redirect_stderr(io.StringIO()):
            replay_into(self.material.journal, self.folder, state_every=1, limits=LIMITS, disk=disk, save_behind=False)

    def complete(self, disk: MemoryDisk) -> bool:
        """Whether the manifest says that nothing more is to come."""
        path = self.folder / MANIFEST
        return path in disk.entries and bool(orjson.loads(disk.entries[path].data)["complete"])

    def lose_store(self, random: Random) -> str:
        """What may have become of the store while the process was away; returns what it was."""
        store = self.folder / STORE
        happened = random.choice(("kept", "removed", "an older one"))
        if happened == "removed":
            store.unlink(missing_ok=True)
        elif happened == "an older one" and self._kept.exists():
            shutil.copyfile(self._kept, store)
        if store.exists() and random.random() < 0.5:
            shutil.copyfile(store, self._kept)
        return happened

    def check(self, disk: MemoryDisk) -> int:
        """No mixed state: what stands in the folder is the beginning of what an undisturbed life leaves, and the
        manifest claims no more than is there. Returns the links there."""
        found = [orjson.loads(line)["chain"] for line in whole_lines(self._content(disk, DIGESTS))]
        if found != [link.chain for link in links(self.material)][: len(found)]:
            raise Loss(f"{DIGESTS} has {len(found)} links, which are not those of an undisturbed replay")
        if self.complete(disk):
            self.check_whole(disk)
        return len(found)

    def check_whole(self, disk: MemoryDisk) -> None:
        """As a replay without faults leaves it: every link, every event, every cell of the store, nothing else."""
        if not self.complete(disk):
            raise Loss(f"the replay went to its end, and {MANIFEST} says that it did not")
        if strange := [path.name for path in disk.entries if path.parent != self.folder or path.name.endswith(DRAFT)]:
            raise Loss(f"{strange[0]} was left behind in a complete session")
        for path, inode in disk.entries.items():
            path.write_bytes(inode.data)
        check_session(self.folder, self.material, recorded_events(self._content(disk, EVENTS)))

    def _content(self, disk: MemoryDisk, name: str) -> bytes:
        path = self.folder / name
        return bytes(disk.entries[path].data) if path in disk.entries else b""


def links(material: Material) -> Sequence[Link]:
    return [effect for effect in material.effects if isinstance(effect, Link)]


def recorded_events(content: bytes) -> list[Any]:
    """Events of the conveyor; what the ends report is no part of a replay."""
    return [event for event in map(orjson.loads, content.splitlines()) if event["cause_seq"] is not None]


def check_session(folder: Path, material: Material, events: Sequence[Any]) -> None:
    """A complete session on the real disk against an undisturbed life: digests, events, every cell, the manifest."""
    with SessionReader(folder) as session:
        if not session.complete or session.manifest["store"]["missing_links"] or session.manifest["store"]["rebuild"]:
            raise Loss(f"{MANIFEST} of a whole session: {session.manifest['store']}")
        verdict = verify(session, material.effects)
        if verdict.difference:
            raise Loss(verdict.difference.sentence())
        if verdict.chain != material.chain or verdict.links != len(links(material)):
            raise Loss(f"{verdict.links} links to {verdict.chain[:16]}, expected {material.chain[:16]}")
    expected = len([effect for effect in material.effects if isinstance(effect, Event | SnapshotNeeded)])
    if len(events) != expected or len({orjson.dumps(event) for event in events}) != expected:
        raise Loss(f"{EVENTS} has {len(events)} events of the conveyor, an undisturbed replay has {expected}")
