"""Verbs that answer `is it well?`: `checklist first-hour` and `doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from engine.io.doctor import Finding
    from engine.io.evidence import Evidence

_folder = click.Path(path_type=Path)
MARKS = {"pass": "[x]", "fail": "[!]", "unknown": "[ ]", "ok": "[x]", "warn": "[?]"}
STYLES = {"pass": "green", "ok": "green", "fail": "bold red", "warn": "yellow", "unknown": "dim"}


@click.group(cls=terminal.Family)
def checklist() -> None:
    """The operator's checklists, ticked by measured values."""


@checklist.command("first-hour")
@click.argument("session", type=_folder, required=False)
@terminal.json_option
def first_hour(session: Path | None, as_json: bool) -> None:
    """The guide's first hour, box by box; exit 6 if a box fails. What is not built yet is unknown.

    SESSION is the folder of a session, running or ended; without it, the one engine that runs.
    """
    from engine.io.checklist import first_hour as judged

    boxes = judged(_evidence(session))
    counts = {verdict: sum(box.verdict == verdict for box in boxes) for verdict in ("pass", "fail", "unknown")}
    if as_json:
        terminal.emit(counts | {"boxes": [asdict(box) for box in boxes]})
    else:
        _lines([(box.verdict, f"{box.when:>5} min  {box.box}", box.measured) for box in boxes])
        click.echo(f"{counts['pass']} pass, {counts['fail']} fail, {counts['unknown']} unknown")
    if counts["fail"]:
        raise Stop(Exit.RED)


def _evidence(session: Path | None) -> Evidence:
    """From the engine that runs in the session, else from what it left."""
    from engine.commands.data import queried
    from engine.commands.operating import find
    from engine.io.control_client import NotRunningError, engine_in
    from engine.io.evidence import evidence_of_engine, evidence_of_folder

    folder = session or find(None).session
    try:
        status: Any = engine_in(folder).status()
    except NotRunningError:
        return evidence_of_folder(folder, lambda query: queried(folder, query)[0])
    return evidence_of_engine(status, lambda query: queried(folder, query)[0])


def _lines(found: list[tuple[str, str, str]]) -> None:
    """(verdict, what, measured) as lines: a mark in colour, the measured value below where the line is too long."""
    import textwrap

    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    width = console.width if console.is_terminal else 100
    for verdict, what, measured in found:
        line = Text()
        line.append(MARKS[verdict].ljust(5), STYLES[verdict])
        line.append(what)
        line.append(f": {measured}", "" if verdict in ("fail", "warn") else "dim")
        if len(line) > width:
            below = textwrap.fill(measured, width, initial_indent=" " * 9, subsequent_indent=" " * 9)
            line = Text.assemble(line[: 5 + len(what)], "\n", (below, "dim"))
        console.print(line, soft_wrap=True)


@click.command(cls=terminal.Verb)
@click.option("--net", is_flag=True, help="Ask the enabled venues, or all of them, over the network as well.")
@click.option("--out", "folder", type=_folder, default="sessions", show_default=True, help="Where sessions will lie.")
@terminal.settings_options()
@terminal.json_option
def doctor(net: bool, folder: Path, profile: str, files: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Look whether this machine is fit: clock, disk, cores, versions, settings, venues; exit 1 if something is not."""
    from engine.io.doctor import of_the_machine

    config = terminal.settings(profile, files, sets).config
    found = [*of_the_machine(config, folder.resolve()), _kernels()]
    if net:
        found += _asked_venues(config)
    if as_json:
        terminal.emit({"fit": all(one.verdict != "fail" for one in found), "findings": [asdict(one) for one in found]})
    else:
        _lines([(one.verdict, one.what, one.words) for one in found])
    if failed := [one.what for one in found if one.verdict == "fail"]:
        raise Stop(Exit.ERROR, "" if as_json else f"not fit: {', '.join(failed)}")


def _kernels() -> Finding:
    from engine.core.kernel import is_warm
    from engine.io.doctor import Finding

    if is_warm():
        return Finding("kernels", "ok", "compiled")
    return Finding(
        "kernels",
        "warn",
        "not compiled for this version yet; the first start takes a minute longer, or several on a busy machine",
    )


def _asked_venues(config: Any) -> list[Finding]:
    import asyncio
    import time

    from engine.io.clock import AnchoredClock
    from engine.io.doctor import of_the_network
    from engine.io.feeds.http import AiohttpHttp
    from engine.io.feeds.sockets import Sockets

    async def ask() -> list[Finding]:
        http = AiohttpHttp()
        try:
            return await of_the_network(config, http, Sockets(AnchoredClock(time.time_ns())))
        finally:
            await http.close()

    return asyncio.run(ask())
