"""`conveyor bus`: what was said between modules in a session, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.operating import find
from engine.core.errors import ConfigError

if TYPE_CHECKING:
    from engine.io.bus.ledger import Reading

DIGEST_SHOWN = 16


@click.command(cls=terminal.Verb)
@click.argument("session", type=click.Path(file_okay=False, path_type=Path), required=False)
@terminal.json_option
def bus(session: Path | None, as_json: bool) -> None:
    """Show what was said on the module bus of a session: messages by type, and by module what became of them.

    A session and its replay said the same if counts and digests are equal. SESSION is its folder; without it, the one
    engine that runs in a folder of ./sessions.
    """
    from engine.io.bus.ledger import MESSAGES

    path = (session or find(None).session) / MESSAGES
    if not path.exists():
        raise ConfigError(f"{path.parent} has no {MESSAGES}; give the folder of a live or a replayed session")
    found = figures(read(path))
    if as_json:
        terminal.emit(found)
        return
    for said in found["said"]:
        click.echo(f"{said['type']:<24} {said['count']:>8,} said       digest {said['digest'][:DIGEST_SHOWN]}")
    for one in found["modules"]:
        words = ", ".join(f"{one[name]:,} {name}" for name in ("failed", "expired", "pending"))
        click.echo(f"{one['name']:<24} {one['delivered']:>8,} delivered  {words}")
    if not found["said"]:
        click.echo("nothing was said")


def read(path: Path) -> Reading:
    """All whole lines of the file, whoever writes to it."""
    from engine.io.bus.ledger import Reading

    reading = Reading()
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                reading.take(line[:-1])
    return reading


def figures(reading: Reading) -> dict[str, Any]:
    """said: type, count, digest. modules: name, delivered, failed, expired, pending."""
    from engine.io.bus.figures import OUTCOMES

    counts, pending = reading.figures.counts, reading.pending
    none = dict.fromkeys(OUTCOMES, 0)
    return {
        "said": [
            {"type": type_, "count": said.count, "digest": said.digest}
            for type_, said in sorted(reading.figures.said.items())
        ],
        "modules": [
            {"name": name} | counts.get(name, none) | {"pending": pending.get(name, 0)}
            for name in sorted({*counts, *pending})
        ],
    }  # fmt: skip
