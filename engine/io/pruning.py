"""A journal whose beginning was taken away, and what stands in for it.

`<seq>.state` in the journal's folder is a key frame: the conveyor's state behind record `seq`, from which a replay can
begin. `pruned.json` says where the journal begins now, and keeps the header of its very first segment, by which
sessions know it. It is written before a segment goes: what a crash leaves in front of that place is no longer journal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.core.errors import JournalError
from engine.io.disk import Disk, read_all
from engine.io.outputs import write_whole
from engine.io.segment import HEADER_BYTES_MAX, is_segment, segment_name, unpack_header
from engine.io.states import SUFFIX

PRUNED = "pruned.json"


@dataclass(frozen=True, slots=True)
class Pruned:
    """first_seq: of the oldest segment that is kept. state_seq: of the key frame a replay begins with.

    segments, nbytes: removed so far, as stored. header: of the segment that held record 0.
    """

    first_seq: int
    state_seq: int
    segments: int
    nbytes: int
    header: dict[str, Any]


def read_pruned(disk: Disk, folder: Path) -> Pruned | None:
    """None: nothing was removed. Raises JournalError if the file is not what `prune` writes."""
    if PRUNED not in disk.list(folder):
        return None
    try:
        return Pruned(**orjson.loads(read_all(disk, folder / PRUNED)))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise JournalError(PRUNED, 0, "where the journal begins", str(error), "restore this file from a copy") from None


def state_name(seq: int) -> str:
    return f"{seq:020d}{SUFFIX}"


def key_frames(disk: Disk, folder: Path) -> list[int]:
    """Seqs of the states that lie in a journal's folder, oldest first."""
    return [int(name[:20]) for name in disk.list(folder) if name.endswith(SUFFIX) and name[:20].isdigit()]


def key_frame_content(disk: Disk, folder: Path, seq: int) -> bytes:
    """Raises JournalError if it is gone."""
    try:
        return read_all(disk, folder / state_name(seq))
    except OSError as error:
        action = "restore this file from a copy: the records before it were removed"
        raise JournalError(state_name(seq), 0, "a key frame", str(error.strerror), action) from error


def keep_key_frame(disk: Disk, folder: Path, seq: int, content: bytes) -> None:
    """Durable, and whole or not there."""
    write_whole(disk, folder / state_name(seq), content)


def removable(disk: Disk, folder: Path) -> list[tuple[int, list[str]]]:
    """(seq of a key frame, segments that are not needed to replay from it), oldest first; only where there are some.

    A segment goes only when it is sealed, every segment before it goes too, and the key frame stands behind all of it.
    So the last one, which is being written, never does.
    """
    segments = kept_segments(disk, folder)
    last_seqs = [int(name[:20]) - 1 for name in segments[1:]]
    found = []
    for seq in key_frames(disk, folder):
        covered = [name for name, last in zip(segments, last_seqs, strict=False) if last <= seq]
        if covered:
            found.append((seq, covered))
    sealed = 0
    for name in found[-1][1] if found else []:
        if not _is_sealed(disk, folder / name):
            break
        sealed += 1
    return [(seq, covered) for seq, covered in found if len(covered) <= sealed]


def prune(disk: Disk, folder: Path, seq: int, segments: list[str]) -> int:
    """Remove what `removable` names beside the key frame `seq`, and the key frames before it; returns bytes.

    OSError leaves a journal that is read as before or as after, and goes on with the next call.
    """
    before = read_pruned(disk, folder)
    kept = [name for name in kept_segments(disk, folder) if name not in segments]
    nbytes = sum(size_of(disk, folder / name) for name in segments)
    header = before.header if before else _header(disk, folder / segments[0])
    now = Pruned(
        int(kept[0][:20]), seq, len(segments) + (before.segments if before else 0),
        nbytes + (before.nbytes if before else 0), header,
    )  # fmt: skip
    write_whole(disk, folder / PRUNED, orjson.dumps(asdict(now)))
    sweep(disk, folder)
    return nbytes


def sweep(disk: Disk, folder: Path) -> None:
    """Remove what lies in front of the journal: of this pruning, or of one that a crash cut short."""
    pruned = read_pruned(disk, folder)
    if pruned is None:
        return
    gone = [name for name in disk.list(folder) if is_segment(name) and name < segment_name(pruned.first_seq)]
    gone += [state_name(seq) for seq in key_frames(disk, folder) if seq < pruned.state_seq]
    for name in gone:
        disk.unlink(folder / name)
    if gone:
        disk.fsync_dir(folder)


def kept_segments(disk: Disk, folder: Path) -> list[str]:
    """Names of the segments that are the journal, in order."""
    pruned = read_pruned(disk, folder)
    first = segment_name(pruned.first_seq) if pruned else ""
    return [name for name in disk.list(folder) if is_segment(name) and name >= first]


def size_of(disk: Disk, path: Path) -> int:
    handle = disk.open(path)
    try:
        return disk.size(handle)
    finally:
        disk.close(handle)


def _header(disk: Disk, path: Path) -> dict[str, Any]:
    return unpack_header(path.name, _head(disk, path)).json


def _is_sealed(disk: Disk, path: Path) -> bool:
    return unpack_header(path.name, _head(disk, path)).sealed


def _head(disk: Disk, path: Path) -> bytes:
    handle = disk.open(path)
    try:
        content = bytearray(min(disk.size(handle), HEADER_BYTES_MAX))
        return bytes(content[: disk.read(handle, 0, memoryview(content))])
    finally:
        disk.close(handle)
