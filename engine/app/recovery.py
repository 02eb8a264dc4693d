"""What a start has to find out: whether the run may begin here, and where the one before it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from config.schema import Config, Core
from engine.conveyor import Conveyor
from engine.core.control import TURN, Change, read_control, read_epoch, write_epoch
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordBatch, RecordKind, iterate
from engine.io.disk import Disk
from engine.io.feeds.feeds import fixed_symbols
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter, journal_header
from engine.io.segment import is_segment
from engine.runner import beginning

AHEAD_NS_MAX = 5 * NS_PER_S  # of the clock, that the newest record may be
OURS = {"journal", "logs", "state", "control.sock"}  # of a start that was cut short


def origin(config: Config, local: Mapping[str, bool], journal: Path, disk: Disk) -> Literal["live", "simulated"]:
    """What records of this run are: a market's, or those of an exchange of ours.

    local: by venue, of those that answered. Where none did, a journal that goes on is what it was.
    """
    if config.time.source != "host" or any(local.values()):
        return "simulated"
    begun = JournalReader(journal, disk).header if not local and has_begun(journal, disk) else {}
    return "simulated" if begun.get("origin") == "simulated" else "live"


def pinned(config: Config) -> Config:
    """The same settings, in which every symbol that a venue's section names is a pin of the core: it must know them."""
    pins = list(config.core.universe.pins)
    for name in type(config.venues).model_fields:
        if getattr(config.venues, name).enabled:
            pins += [f"{name}:{symbol}" for symbol in fixed_symbols(config, name)]
    universe = config.core.universe.model_copy(update={"pins": tuple(dict.fromkeys(pins))})
    return config.model_copy(update={"core": config.core.model_copy(update={"universe": universe})})


@dataclass(frozen=True, slots=True)
class Past:
    """What the runs before this one left in the journal. up: connections (id, venue) that nobody told are down.

    given: digest of the pack in the settings of the newest start, which may have been changed since.
    """

    core: Core
    given: str
    instruments: Mapping[tuple[str, str], Instrument]  # by venue and symbol
    up: Sequence[tuple[int, str]]


def must_be_startable(
    config: Config, instruments: Sequence[Instrument], journal: Path, session: Path | None, disk: Disk
) -> None:
    """Raises ConfigError for what can be known before anything is written."""
    limits = config.core.limits
    if len(instruments) > limits.symbols_max:
        raise ConfigError(
            f"{len(instruments)} symbols are configured, core.limits.symbols_max is {limits.symbols_max}; raise it"
        )
    if session is not None and session.exists() and not has_begun(journal, disk):
        if not session.is_dir():
            raise ConfigError(f"{session} is not a folder; give another one")
        if {path.name for path in session.iterdir()} - OURS:
            raise ConfigError(f"{session} holds something, but no live session; give a new folder")


def open_journal(
    folder: Path, config: Config, origin: str, now_ns: int, disk: Disk, threads: bool, note: Callable[[str], None]
) -> JournalWriter:
    """The journal, whole again and locked; a new one begins with the configuration epoch."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    core, settings = config.core, config.journal
    writer = JournalWriter(
        folder, header=journal_header(origin, core.digest()), disk=disk,
        segment_bytes=settings.segment_mib << 20, block_bytes=settings.block_kib << 10,
        zstd_level=settings.zstd_level, seal_behind=threads,
    )  # fmt: skip
    if writer.torn:
        note(f"note: {writer.torn.nbytes} bytes that were being written at the last end were cut from the journal")
    if writer.durable_seq < 0:
        writer.append(RecordKind.CONFIG, 0, now_ns, core.encode())
        writer.commit()
    return writer


def newest_ns(journal: Path, now_ns: int, disk: Disk) -> int:
    """Receive time of the journal's last record. Raises ConfigError if the clock is far behind it."""
    newest = JournalReader(journal, disk).info().last_recv_ns
    if newest - now_ns > AHEAD_NS_MAX:
        raise ConfigError(
            f"{journal}: its newest record is {(newest - now_ns) / NS_PER_S:.0f} s ahead of this clock; correct the "
            "clock, or give a new folder"
        )
    return newest


def tail(journal: Path, from_seq: int, disk: Disk) -> Iterator[RecordBatch]:
    """The records that the state does not know yet."""
    return JournalReader(journal, disk).batches(from_seq)


def must_go_together(past: Past, core: Core, instruments: Sequence[Instrument], journal: Path) -> None:
    """Raises ConfigError for settings that the conveyor of this journal could not obey, before they are journaled."""
    if core.limits != past.core.limits:
        raise ConfigError(f"{journal}: core.limits changed, which hold for the life of a session; give a new folder")
    symbols = {*past.instruments, *((one.venue, one.symbol) for one in instruments)}
    if len(symbols) > core.limits.symbols_max:
        raise ConfigError(
            f"{journal}: with these it has {len(symbols)} symbols, core.limits.symbols_max is "
            f"{core.limits.symbols_max} for the life of a session; give a new folder"
        )


def past_of(conveyor: Conveyor) -> Past:
    """Of a conveyor that has seen the whole journal."""
    assert conveyor.state is not None, "a journal begins with a configuration epoch"
    registry, connections = conveyor.registry, conveyor.state.tape.connections
    live = np.flatnonzero(connections["live"] == 1).tolist()
    return Past(
        conveyor.core, conveyor.minutes.epochs.given, {(one.venue, one.symbol): one for one in registry.instruments},
        [(c, registry.venues[connections[c]["venue"]]) for c in live],
    )  # fmt: skip


def read_past(journal: Path, disk: Disk) -> Past:
    """Of the control records alone, where nothing is computed."""
    reader = JournalReader(journal, disk)
    conveyor, seq = beginning(reader)
    past = past_of(conveyor) if conveyor.state is not None else Past(conveyor.core, "", {}, [])
    core, given, instruments, up = past.core, past.given, dict(past.instruments), dict(past.up)
    for batch in reader.batches(seq + 1):
        for record in iterate(batch):
            if record.kind == RecordKind.CONFIG:
                core, told = read_epoch(record.payload)
                given = told.given or given
            elif record.kind == RecordKind.INSTRUMENT:
                instrument = Instrument.decode(record.payload)
                instruments.setdefault((instrument.venue, instrument.symbol), instrument)
            elif record.kind == RecordKind.CONNECTION:
                turn = read_control("connection", TURN, record.payload)
                up.pop(record.source, None)
                if turn.state == "up":
                    up[record.source] = turn.venue
    return Past(core, given, instruments, sorted(up.items()))


def epoch_of_start(past: Past, core: Core, note: Callable[[str], None]) -> bytes:
    """What a start that goes on journals as its settings.

    A pack that was changed while the engine ran stays, until the settings that it is started with say another one than
    at the start before.
    """
    given = core.signals.digest()
    if given == past.given and core.signals != past.core.signals:
        note("note: the detector pack was changed while it ran, and stays so; `conveyor config history` shows how")
        core = core.model_copy(update={"signals": past.core.signals})
    return write_epoch(core, Change("start", given=given))


def has_begun(journal: Path, disk: Disk) -> bool:
    """Whether a journal stands there."""
    try:
        return any(map(is_segment, disk.list(journal)))
    except OSError:
        return False
