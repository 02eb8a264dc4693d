"""A journal made of what is already known: an import or a simulated session, as a live run would have journaled it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from config.folder import Journal
from config.schema import Core
from engine.core.errors import ConfigError, FeedError
from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.core.records import HEADER_BYTES, RecordKind
from engine.io.journal_writer import JournalWriter, journal_header

TICK_NS = 200 * NS_PER_MS
PAUSE_NS_MAX = 7 * 24 * 3600 * NS_PER_S  # 3 million ticks; a longer pause is a wrong clock, or two recordings
COMMIT_BYTES = 8 << 20
SYMBOLS_STEP, CONNECTIONS_STEP = 16, 8
SYMBOLS_MAX, CONNECTIONS_MAX = 1024, 63  # the carriers of a symbol are a bit set in one signed word

Message = tuple[int, int, int, bytes]  # recv_ns, source, kind, payload


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written. kinds: records by name of their kind, ticks and the configuration epoch among them.

    clamped: records whose receive time ran backwards and was set to the newest one before them.
    """

    origin: str
    records: int
    clamped: int
    kinds: dict[str, int]
    first_recv_ns: int
    last_recv_ns: int
    stored_bytes: int
    core: Core


def sized(core: Core, symbols: int, connections: int) -> Core:
    """The same settings with room for so many symbols and connections; connection ids start at 1."""
    limits = core.limits
    wanted = {
        "symbols_max": (symbols, SYMBOLS_STEP, SYMBOLS_MAX),
        "connections_max": (connections + 1, CONNECTIONS_STEP, CONNECTIONS_MAX),
    }
    raised = {}
    for name, (count, step, most) in wanted.items():
        if count > most:
            raise ConfigError(
                f"one journal: {name} would be {count}, expected at most {most}; write what comes into several journals"
            )
        if count > getattr(limits, name):
            raised[name] = min(-(-count // step) * step, most)
    return core.model_copy(update={"limits": limits.model_copy(update=raised)})


def record(
    folder: Path | str, records: Iterable[Message], *, origin: str, core: Core, symbols: int = 0, connections: int = 0,
    settings: Journal | None = None, progress: Callable[[int], None] | None = None,
) -> Summary:  # fmt: skip
    """Write a new journal: the configuration epoch, the records in order, and the ticks of a live run between them.

    origin: "imported" or "simulated". symbols, connections: how many come; limits of `core` are raised to hold them.
    Instruments that come first need not be told in `symbols`. progress: told how many records were written since.
    A tick stands at every multiple of 200 ms of receive time, before what came at or after it; none after the last
    record, so that no minute closes which a live run could not have closed yet. The folder exists only when the whole
    journal is in it.
    """
    settings = settings or Journal()
    rest = iter(records)
    head = [next(rest, None)]
    while (last := head[-1]) is not None and last[2] == RecordKind.INSTRUMENT:
        head.append(next(rest, None))
    first = head[0]
    if first is None:
        raise FeedError("nothing to record: not one record came; check what is to be written")
    core = sized(core, max(symbols, len(head) - 1), connections)
    with new_folder(Path(folder)) as unfinished:
        with JournalWriter(
            unfinished, header=journal_header(origin, core.digest()), segment_bytes=settings.segment_mib << 20,
            block_bytes=settings.block_kib << 10, zstd_level=settings.zstd_level,
        ) as writer:  # fmt: skip
            kinds, clamped, last_ns = _write(writer, core, first[0], chain(filter(None, head), rest), progress)
        stored_bytes = sum(path.stat().st_size for path in unfinished.iterdir())
    named = {RecordKind(kind).name: count for kind, count in enumerate(kinds) if count}
    return Summary(origin, sum(kinds), clamped, named, first[0], last_ns, stored_bytes, core)


def _write(
    writer: JournalWriter, core: Core, first_ns: int, records: Iterable[Message], progress: Callable[[int], None] | None
) -> tuple[list[int], int, int]:
    """Counts by kind, clamped records, newest receive time."""
    append, tick_kind = writer.append, int(RecordKind.TICK)
    kinds = [0] * (max(RecordKind) + 1)
    clamped = waiting = 0
    newest_ns = first_ns
    told = 0
    tick_ns = -(-first_ns // TICK_NS) * TICK_NS
    append(RecordKind.CONFIG, 0, first_ns, core.encode())
    kinds[RecordKind.CONFIG] = 1
    for recv_ns, source, kind, payload in records:
        if recv_ns < newest_ns:
            recv_ns = newest_ns
            clamped += 1
        if tick_ns <= recv_ns:
            if recv_ns - newest_ns > PAUSE_NS_MAX:
                ahead_s = (recv_ns - newest_ns) // NS_PER_S
                raise FeedError(
                    f"receive times jump from {newest_ns} to {recv_ns} ns, {ahead_s} s ahead; "
                    "expected at most seven days between two records: correct the clock, or write two journals"
                )
            while tick_ns <= recv_ns:
                append(tick_kind, 0, tick_ns, b"")
                kinds[tick_kind] += 1
                waiting += HEADER_BYTES
                tick_ns += TICK_NS
                if waiting >= COMMIT_BYTES:
                    writer.commit()
                    waiting = 0
        append(kind, source, recv_ns, payload)
        kinds[kind] += 1
        newest_ns = recv_ns
        waiting += len(payload) + HEADER_BYTES
        if waiting >= COMMIT_BYTES:
            writer.commit()
            waiting = 0
            if progress:
                progress(sum(kinds) - told)
                told = sum(kinds)
    if progress:
        progress(sum(kinds) - told)
    return kinds, clamped, newest_ns


def must_be_new(folder: Path) -> None:
    """Refuse a folder in which something stands: a journal is never mixed with, or lost to, another."""
    if folder.is_dir():
        if any(folder.iterdir()):
            holds = "a journal" if any(folder.glob("*.seg")) else "files"
            raise ConfigError(f"{folder} already holds {holds}; name a new folder, or move this one away first")
    elif folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} is not a folder; name a new one")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside it that takes its name when all went well, and is removed otherwise.

    A half-written journal would read as a whole one that is shorter.
    """
    must_be_new(folder)
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=folder.parent))
    try:
        yield unfinished
        unfinished.rename(folder)  # Fails if something came to stand there meanwhile; an empty folder is replaced.
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
