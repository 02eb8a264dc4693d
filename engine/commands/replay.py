"""`replay`: a journal through the conveyor, into a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal

if TYPE_CHECKING:
    from config.schema import Core
    from engine.io.disk import Disk
    from engine.io.journal_reader import JournalReader
    from engine.io.store import StoreLimits


class Speed(click.ParamType):
    """`max`, or a factor of real time such as `60x`."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or value == "max":
            return None
        try:
            factor = float(str(value).removesuffix("x"))
        except ValueError:
            factor = 0.0
        if factor <= 0:
            self.fail(f"{value!r} is neither `max` nor a factor such as 60x", param, ctx)
        return factor


@click.command(cls=terminal.Verb)
@click.argument("journal", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", "session", type=click.Path(path_type=Path), required=True, help="Folder of the session to write."
)
@click.option("--speed", type=Speed(), default="max", show_default=True, help="max, or a factor of real time: 60x.")
@click.option("--show", is_flag=True, help="Show every minute as it closes.")
@click.option("--force", is_flag=True, help="Start anew in a folder that holds a session.")
@click.option(
    "--state-every", type=click.IntRange(1), default=60, show_default=True, help="Links between state snapshots."
)
@terminal.settings_options("replay")
@terminal.json_option
def replay(
    journal: Path, session: Path, speed: float | None, show: bool, force: bool, state_every: int, profile: str,
    files: tuple[str, ...], sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Replay a journal through the conveyor and write the session; one that was cut short goes on where it stopped.

    The core settings are those of the journal; of the settings given here, those of the store count.
    """
    from engine.io.store import StoreLimits

    loaded = terminal.settings(profile, files, sets)
    config = loaded.config
    ignored = [key for key, source in loaded.sources.items() if key.startswith("core.") and source != "default"]
    if ignored:
        terminal.note(f"note: the journal has core settings of its own; left aside: {', '.join(ignored)}")
    limits = StoreLimits(checkpoint_s=60 * config.store.checkpoint_minutes)
    summary = replay_into(journal, session, speed=speed, show=show, force=force, state_every=state_every, limits=limits)
    if as_json:
        terminal.emit(summary)
    else:
        click.echo(sentence(summary))


def sentence(summary: dict[str, Any]) -> str:
    label = " (simulated market)" if summary["origin"] == "simulated" else ""
    went_on = f", went on from record {summary['resumed_from']}" if summary["resumed_from"] else ""
    told = ", ".join(f"{count:,} {type_}" for type_, count in summary["bus"].items())
    said = f", on the bus {told}" if told else ""
    return (
        f"replayed{label}: {rows_told(summary['counts'])}{said}{went_on}; "
        f"digest {summary['chain'] or 'none: no minute closed'}"
    )


def rows_told(counts: dict[str, Any]) -> str:
    """`62 minutes, 201 rows (195 ok, 6 partial, 0 stale)`. counts: as in a session's manifest."""
    status = ", ".join(f"{counts['revisions'][name]} {name}" for name in ("ok", "partial", "stale"))
    return f"{counts['minutes']} minutes, {counts['rows']} rows ({status})"


def replay_into(
    journal: Path,
    session: Path,
    *,
    speed: float | None = None,
    show: bool = False,
    force: bool = False,
    state_every: int = 60,
    title: str = "",
    limits: StoreLimits | None = None,
    disk: Disk | None = None,
    save_behind: bool = True,
) -> dict[str, Any]:
    """Write the session of a journal; what the manifest will say, and where it went on from.

    disk: what the session's own files stand on, all but the store's; the real one unless given. save_behind: state
    snapshots are written by a thread of their own.
    """
    from engine.io.bus.simulated import Simulated
    from engine.io.disk import OS_DISK
    from engine.io.journal_reader import JournalReader
    from engine.io.session import SessionWriter
    from engine.io.states import StateFolder
    from engine.runner import StateSaver, beginning, paced, recall, run

    compile_kernels()
    disk = disk or OS_DISK
    reader = JournalReader(journal)
    info = reader.info()
    origin = str(reader.header.get("origin", "live"))
    begun, begun_seq = beginning(reader)
    core = begun.core if reader.pruned else _first_epoch(reader, journal)
    if force and session.exists():
        StateFolder(session / "state", disk).clear()
    with SessionWriter(
        session, origin=origin, journal=journal, config_digest=core.digest(), overwrite=force, limits=limits, disk=disk,
        first_link=begun.link,
    ) as writer:  # fmt: skip
        states = StateFolder(session / "state", disk)
        conveyor, state_seq = recall(states, writer.links_behind, terminal.note)
        if state_seq < begun_seq:
            conveyor, state_seq = begun, begun_seq
        batches: Iterator[Any] = JournalReader(journal).batches(state_seq + 1)
        batches = paced(batches, speed) if speed else batches
        showing = table_of(title or f"{origin} market · {journal}") if show else None
        with (
            Simulated(session, conveyor.release, disk) as bus,
            nullcontext(_unseen) if showing else terminal.progress("replay", info.raw_bytes, "bytes") as advance,
            StateSaver(states, conveyor, lambda: writer.sync() and bus.sync(), terminal.note, save_behind) as saver,
            showing or nullcontext(),
        ):
            sinks: Sequence[Any] = [writer, bus, showing] if showing else [writer, bus]

            def after(batch: Any) -> None:
                advance(batch.nbytes)
                if conveyor.link - saver.link >= state_every:
                    saver.save()

            run(batches, conveyor, sinks, after)
        states.clear()
        counts, chain, said = writer.counts, writer.chain, bus.said()
    return {
        "session": str(session), "journal": str(journal), "origin": origin, "counts": counts, "chain": chain,
        "bus": said, "resumed_from": max(state_seq, 0), "records": info.records, "torn_bytes": reader.torn_bytes,
    }  # fmt: skip


def _first_epoch(reader: JournalReader, journal: Path) -> Core:
    """The settings with which a whole journal begins."""
    from config.schema import Core
    from engine.core.errors import ConfigError
    from engine.core.records import RecordKind, decode_at

    first = next(iter(reader.batches()), None)
    record = decode_at(first.buffer, first.start)[0] if first else None
    if record is None or record.kind != RecordKind.CONFIG:
        raise ConfigError(f"{journal}: holds no configuration epoch at its start, so there is nothing to replay")
    return Core.decode(record.payload)


def compile_kernels() -> None:
    """The first start after an update compiles; say so, rather than let a replay seem to stand still."""
    from engine.core.kernel import is_warm

    if is_warm():
        return
    from engine.warm import functions, warm

    terminal.note(
        "compiling kernels, once for this version; about a minute of two free cores, longer on a busy machine"
    )
    with terminal.progress("compile", len(functions()), "functions") as advance:
        warm(lambda name: advance(1, name.rpartition(".")[2]))


def table_of(title: str, events: bool = False) -> Any:
    from engine.commands.minutes import MinuteTable

    return MinuteTable(title, events)


def _unseen(amount: float, what: str = "") -> None:
    """No progress is shown: the minutes themselves are."""
