"""What a start has to find out: whether the run may begin here, and where the one before it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from config.schema import Config, Core
from engine.conveyor import Conveyor
from engine.core.control import TURN, read_control
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_S
from engine.core.records import RecordBatch, RecordKind, iterate
from engine.io.disk import Disk
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter, journal_header
from engine.io.segment import is_segment

AHEAD_NS_MAX = 5 * NS_PER_S  # of the clock, that the newest record may be
OURS = {"journal", "logs", "state", "control.sock"}  # of a start that was cut short


def origin(config: Config) -> Literal["live", "simulated"]:
    """What records of this run are: a market's, or those of a local exchange whose clock is followed."""
    return "live" if config.time.source == "host" else "simulated"


def must_be_startable(
    config: Config, instruments: Sequence[Instrument], journal: Path, session: Path | None, disk: Disk
) -> None:
    """Raises ConfigError for what can be known before anything is written."""
    limits = config.core.limits
    if len(instruments) > limits.symbols_max:
        raise ConfigError(
            f"{len(instruments)} symbols are configured, core.limits.symbols_max is {limits.symbols_max}; raise it"
        )
    if session is not None and session.exists() and not _begun(journal, disk):
        if not session.is_dir():
            raise ConfigError(f"{session} is not a folder; give another one")
        if {path.name for path in session.iterdir()} - OURS:
            raise ConfigError(f"{session} holds something, but no live session; give a new folder")


def open_journal(
    folder: Path, config: Config, now_ns: int, disk: Disk, threads: bool, note: Callable[[str], None]
) -> JournalWriter:
    """The journal, whole again and locked; a new one begins with the configuration epoch."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    core, settings = config.core, config.journal
    writer = JournalWriter(
        folder, header=journal_header(origin(config), core.digest()), disk=disk,
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


def must_go_together(conveyor: Conveyor, core: Core, instruments: Sequence[Instrument], journal: Path) -> None:
    """Raises ConfigError for settings that this journal's conveyor could not obey, before they are journaled."""
    if conveyor.state is None:
        return
    if core.limits != conveyor.core.limits:
        raise ConfigError(f"{journal}: core.limits changed, which hold for the life of a session; give a new folder")
    for instrument in instruments:
        index = conveyor.registry.symbol(instrument.venue, instrument.symbol)
        if index < 0:
            continue
        before = conveyor.registry.instruments[index]
        scales = (before.price_decimals, before.quantity_decimals)
        if scales != (instrument.price_decimals, instrument.quantity_decimals):
            raise ConfigError(
                f"{journal}: {instrument.venue} changed the decimals of {instrument.symbol}; give a new folder"
            )


def left_up(conveyor: Conveyor, journal: Path, disk: Disk) -> list[tuple[int, str]]:
    """Connections (id, venue) that the process before this one left up, because it could not say otherwise."""
    if conveyor.state is not None:
        connections = conveyor.state.tape.connections
        live = np.flatnonzero(connections["live"] == 1).tolist()
        return [(c, conveyor.registry.venues[connections[c]["venue"]]) for c in live]
    up: dict[int, str] = {}
    for batch in tail(journal, 0, disk):
        for record in iterate(batch):
            if record.kind == RecordKind.CONNECTION:
                turn = read_control("connection", TURN, record.payload)
                up.pop(record.source, None)
                if turn.state == "up":
                    up[record.source] = turn.venue
    return sorted(up.items())


def _begun(journal: Path, disk: Disk) -> bool:
    """Whether a journal stands there."""
    try:
        return any(map(is_segment, disk.list(journal)))
    except OSError:
        return False
