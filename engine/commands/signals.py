"""`conveyor signals`: the outbox of a session in a terminal, and what a webhook gets of it."""

from __future__ import annotations

import os
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

    folder = (session or find(None).session) / SIGNALS
    if not files_of(folder):
        replayed = folder.with_name("manifest.json").exists()
        raise ConfigError(
            f"{folder.parent} is no live session, so it has no outbox; its signals: "
            f'conveyor sql {folder.parent} "SELECT * FROM signals"'
            if replayed
            else f"{folder.parent} has no outbox {SIGNALS}; give the folder of a live session"
        )
    is_empty = True
    for position, line in lines_of(folder, newest(folder, count), follow):
        is_empty = False
        click.echo(line if as_json else shown(decode(position, line)))
    if is_empty:
        terminal.note("no signal has come into this outbox yet")


def shown(entry: Entry) -> str:
    """One line for a terminal."""
    signal = entry.signal
    told = line_of(signal.exchange_ts, signal.venue, signal.symbol, signal.detector, signal.direction, signal.severity)
    reach = entry.reach.name.lower() + (f" ({entry.why})" if entry.why else "")
    return f"{told}  {click.style(reach, dim=entry.why != '')}"


def line_of(exchange_ts: int, venue: str, symbol: str, detector: str, direction: int, severity: int) -> str:
    """exchange_ts: close of its minute, ms UTC."""
    at = datetime.fromtimestamp(exchange_ts / 1000, UTC).strftime("%m-%d %H:%M")
    filled = round(severity * BAR / 100)
    bar = "█" * filled + "░" * (BAR - filled)
    colour = "red" if severity >= 85 else "yellow" if severity >= 70 else None
    who = f"{venue}:{symbol}"
    return f"{at}  {who:<24} {detector:<26} {ARROWS[direction]} {click.style(bar, fg=colour)} {severity:3}"


def files_of(folder: Path) -> list[tuple[int, Path]]:
    """(position of its first line, file) of an outbox, oldest first."""
    return [(int(path.stem), path) for path in sorted(folder.glob("*.jsonl"))]


def newest(folder: Path, count: int) -> int:
    """Position at which the last `count` whole lines begin."""
    files = files_of(folder)
    for first, path in reversed(files):
        content = path.read_bytes()
        if (lines := content.count(b"\n")) >= count:
            at = content.rfind(b"\n") + 1
            for _ in range(count):
                at = content.rfind(b"\n", 0, at - 1) + 1
            return first + at
        count -= lines
    return files[0][0]


def lines_of(folder: Path, position: int, follow: bool) -> Iterator[tuple[int, bytes]]:
    """(position, line) of whole lines; follow: for ever. A file cut shorter by a restart goes on at its new end."""
    while True:
        files = files_of(folder)
        position = max(position, files[0][0])  # what was removed meanwhile is not waited for
        first, path = max(file for file in files if file[0] <= position)
        with path.open("rb") as file:
            position = min(position, first + file.seek(0, 2))
            file.seek(position - first)
            content = file.read(READ_BYTES)
        whole = content.rfind(b"\n") + 1
        for line in content[:whole].splitlines():
            yield position, line
            position += len(line) + 1
        if not whole:
            if not follow:
                return
            time.sleep(FOLLOW_S)


@signals.command(cls=terminal.Verb)
@click.option("--port", type=click.IntRange(0, 65_535), default=9191, show_default=True, help="0: any that is free.")
@click.option("--secret-env", metavar="NAME", help="Environment variable with the secret that signs the POSTs.")
@click.option("--json", "as_json", is_flag=True, help="Print each message as it came.")
def receive(port: int, secret_env: str | None, as_json: bool) -> None:
    """Take signals as a webhook of this machine and print them, until Ctrl-C: to see what leaves an engine.

    What came before is not printed again. With a secret, a POST that is not signed by it is refused.
    """
    import asyncio

    from engine.io.publish.receiver import Receiver

    secret = os.environ.get(secret_env, "").encode() if secret_env else b""
    if secret_env and not secret:
        raise ConfigError(f"the environment variable {secret_env} is empty; every signature would be wrong")

    def show(message: dict[str, Any]) -> None:
        if as_json:
            terminal.emit(message)
            return
        payload = message["payload"]
        event, direction = payload["event"], (payload["signal"] > 0) - (payload["signal"] < 0)
        told = payload["venue"], payload["symbol"], payload["detector_id"], direction, event["severity"]
        click.echo(line_of(event["exchange_ts"], *told))

    async def serve() -> None:
        stopped = terminal.asked_to_stop()
        receiver = Receiver(show, secret)
        bound = await receiver.start(port)
        terminal.note(f"waiting for signals; --set publish.webhook_url=http://127.0.0.1:{bound}/ sends them here")
        try:
            await stopped.wait()
        finally:
            await receiver.stop()

    asyncio.run(serve())
