"""`conveyor signals`: the outbox of a session in a terminal, whether an engine runs in it or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.operating import find
from engine.core.errors import ConfigError

if TYPE_CHECKING:
    from engine.io.publish.entry import Entry

READ_BYTES = 256 << 10
FOLLOW_S = 0.2  # between two looks at the file
BAR = 10  # places of a severity of 100
ARROWS = {1: "▲", -1: "▼", 0: "·"}


@click.group(cls=terminal.Family)
def signals() -> None:
    """Look at the signals of a session."""


@signals.command(cls=terminal.Verb)
@click.argument("session", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--follow", is_flag=True, help="Go on with what comes until Ctrl-C.")
@click.option("--lines", "count", type=click.IntRange(0), default=20, show_default=True, help="Of what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as it stands in the file.")
def tail(session: Path | None, follow: bool, count: int, as_json: bool) -> None:
    """Print the newest signals: minute (UTC), symbol, detector, direction, severity, how far they went and why.

    SESSION is its folder; without it, the one engine that runs in a folder of ./sessions.
    """
    from engine.io.publish.entry import decode
    from engine.io.publish.outbox import SIGNALS

    path = (session or find(None).session) / SIGNALS
    if not path.exists():
        replayed = path.with_name("manifest.json").exists()
        raise ConfigError(
            f"{path.parent} is no live session, so it has no outbox; its signals: "
            f'conveyor sql {path.parent} "SELECT * FROM signals"'
            if replayed
            else f"{path.parent} has no {SIGNALS}; give the folder of a live session"
        )
    with path.open("rb") as file:
        begin = newest(file, count)
        for position, line in lines_of(file, begin, follow):
            if as_json:
                click.echo(line)
            else:
                click.echo(shown(decode(position, line)))


def shown(entry: Entry) -> str:
    """One line for a terminal."""
    signal = entry.signal
    at = datetime.fromtimestamp(signal.exchange_ts / 1000, UTC).strftime("%m-%d %H:%M")
    filled = round(signal.severity * BAR / 100)
    bar = "█" * filled + "░" * (BAR - filled)
    reach = entry.reach.name.lower() + (f" ({entry.why})" if entry.why else "")
    colour = "red" if signal.severity >= 85 else "yellow" if signal.severity >= 70 else None
    who = f"{signal.venue}:{signal.symbol}"
    return (
        f"{at}  {who:<24} {signal.detector:<26} {ARROWS[signal.direction]} "
        f"{click.style(bar, fg=colour)} {signal.severity:3}  {click.style(reach, dim=entry.why != '')}"
    )


def newest(file: Any, count: int) -> int:
    """Where the last `count` whole lines begin."""
    end = file.seek(0, 2)
    position, feeds = end, 0
    while position > 0:
        begin = max(position - READ_BYTES, 0)
        file.seek(begin)
        content = file.read(position - begin)
        at = len(content)
        while (at := content.rfind(b"\n", 0, at)) >= 0:
            feeds += 1
            if feeds == count + 1:
                return int(begin + at + 1)
        position = begin
    return 0


def lines_of(file: Any, position: int, follow: bool) -> Iterator[tuple[int, bytes]]:
    """(position, line) of whole lines; follow: for ever. A file cut shorter by a restart goes on at its new end."""
    while True:
        size = file.seek(0, 2)
        position = min(position, size)
        file.seek(position)
        content = file.read(READ_BYTES)
        whole = content.rfind(b"\n") + 1
        for line in content[:whole].splitlines():
            yield position, line
            position += len(line) + 1
        if not whole:
            if not follow:
                return
            time.sleep(FOLLOW_S)
