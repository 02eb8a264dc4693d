"""What becomes of the store when its file is damaged, or when the system refuses to let it grow.

DuckDB writes its file itself, so nothing can be put between it and the disk. The file is spoilt while the process is
away, or the process may write no file longer than a limit, which is a full disk for it. Either way bars and digests
must come to their end, and then every row is there, or the manifest says that it is not and a rebuild brings it back.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

import orjson

from engine.io.database import log_of
from engine.io.session import EVENTS, MANIFEST, STORE, rebuild_store
from replay.chaos.disk import Killed, MemoryDisk
from replay.chaos.material import Loss, Material
from replay.chaos.nursery import ROOT, environment
from replay.chaos.session_life import SessionLife, check_session, recorded_events

FULL = "full"
HOWS = ("removed", "emptied", "garbage", "cut", "log", FULL)
NUMBERS = 5  # of each
FILE_BYTES_MAX = (20_000, 60_000, 300_000, 600_000, 1_000_000)  # what `full` number 1, 2, ... leaves of the disk


def spoil(material: Material, folder: Path, how: str, number: int) -> None:
    """One session whose store meets its fate. Raises Loss."""
    if how == FULL:
        without_room(material, folder, FILE_BYTES_MAX[number - 1])
    else:
        damaged(material, folder, how, Random(f"{how} {number}"))


def damaged(material: Material, folder: Path, how: str, random: Random) -> None:
    """A session that died half-way finds its store spoilt, and goes on to an end at which nothing shows of it."""
    life, disk = SessionLife(material, folder), MemoryDisk(fail_at=random.randrange(20, 60), how="kill")
    with suppress(Killed):
        life.live(disk)
    disk.restart()
    store = life.folder / STORE
    size = store.stat().st_size
    if how == "removed":
        store.unlink()
    elif how == "emptied":
        store.write_bytes(b"")
    elif how == "garbage":
        store.write_bytes(random.randbytes(size))
    elif how == "cut":
        store.write_bytes(store.read_bytes()[: random.randrange(1, size)])
    else:
        log_of(store).write_bytes(random.randbytes(random.randrange(1, 5000)))
    if not life.complete(disk):
        life.live(disk)
    life.check_whole(disk)


def without_room(material: Material, folder: Path, file_bytes_max: int) -> None:
    """A replay whose files may not grow beyond a limit; then, with room again, a rebuild."""
    session = folder / "session"
    replayed = subprocess.run(
        [sys.executable, "-m", "replay.chaos.victim", "replay", str(material.journal), str(session),
         "--speed", "100000", "--file-bytes-max", str(file_bytes_max)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if replayed.returncode:
        raise Loss(f"a store without room ended the replay: {replayed.stderr.strip()[-600:]}")
    if not orjson.loads((session / MANIFEST).read_bytes())["complete"]:
        raise Loss("a store without room kept the session from being complete")
    if orjson.loads((session / MANIFEST).read_bytes())["store"]["missing_links"]:
        rebuild_store(session, lambda: material.effects)
    check_session(session, material, recorded_events((session / EVENTS).read_bytes()))
