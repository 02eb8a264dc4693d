"""Verbs for a running engine, over its control socket: `status` and `ctl`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from engine.io.control_client import Engine
    from engine.io.health import Colour

_folder = click.Path(path_type=Path)
STOP_S = 30.0  # that `ctl stop` waits for the end


@click.command(cls=terminal.Verb)
@click.argument("session", type=_folder, required=False)
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C.")
@click.option("--every", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--exit-code", is_flag=True, help="Exit 6 if anything is red.")
@click.option("--strict", is_flag=True, help="With --exit-code: 6 for amber as well.")
@terminal.json_option
def status(session: Path | None, watch: bool, every: float, exit_code: bool, strict: bool, as_json: bool) -> None:
    """Show how a running engine does: latency, quality, feeds, clock, disk.

    SESSION is its folder; without it, the one engine that runs in a folder of ./sessions. Exit 3 if none runs.
    """
    engine = find(session)
    if watch:
        _watch(engine, every, as_json)
        return
    found = ask(engine)
    colour = _colour(found)
    if as_json:
        terminal.emit(_judged(found))
    else:
        _print(found)
    if exit_code and (colour == "red" or (strict and colour == "amber")):
        raise Stop(Exit.RED)


def find(session: Path | None) -> Engine:
    """The engine that is meant. Stop with exit code 3 if none runs."""
    from engine.io.control_client import NotRunningError, engine_in

    try:
        return engine_in(session)
    except NotRunningError as error:
        raise Stop(Exit.UNREACHABLE, str(error)) from None


def ask(engine: Engine) -> Any:
    """Its status dict."""
    return told_by(engine.status)


def told_by(asked: Callable[[], Any]) -> Any:
    """The answer of an engine. Stop with exit code 3 if it is gone, 5 if it does not answer, 1 if it has no room."""
    from engine.io.control_client import BusyError, NoAnswerError, NotRunningError

    try:
        return asked()
    except NotRunningError as error:
        raise Stop(Exit.UNREACHABLE, str(error)) from None
    except NoAnswerError as error:
        raise Stop(Exit.TIMEOUT, str(error)) from None
    except BusyError as error:
        raise Stop(Exit.ERROR, str(error)) from None


def must_be_done(answer: dict[str, Any], as_json: bool) -> None:
    """Stop with the sentence of a refusal: exit code 2 if what was asked is wrong, 1 if it only cannot be now."""
    if not answer["done"]:
        code = Exit.USAGE if answer["fault"] == "input" else Exit.ERROR
        raise Stop(code, "" if as_json else refusal(answer))


def refusal(answer: dict[str, Any]) -> str:
    """Its sentence; what a mode lacks stands line by line."""
    if not answer.get("unmet"):
        return str(answer["sentence"])
    lines = ["refused, for this is unmet:", *(f"  {one}" for one in answer["unmet"])]
    return "\n".join([*lines, '--override "REASON" passes over it; who, why and what was unmet are written down'])


def _colour(found: Any) -> Colour:
    from engine.io.health import indicators, worst

    return worst(indicators(found))


def _judged(found: Any) -> dict[str, Any]:
    from engine.io.health import indicators, worst

    judged = indicators(found)
    health = [{"name": one.name, "colour": one.colour, "words": one.words} for one in judged]
    return {"health": worst(judged), "indicators": health, "status": found}


def _print(found: Any) -> None:
    from rich.console import Console

    from engine.commands.status_page import page

    console = Console(file=sys.stdout, highlight=False)
    console.print(page(found, console.width if sys.stdout.isatty() else 80))


def _watch(engine: Engine, every_s: float, as_json: bool) -> None:
    """A screen that refreshes; in a pipe one page, or one line of JSON, at a time. Ends when the engine does."""
    if not sys.stdout.isatty() or as_json:
        while True:
            found = ask(engine)
            if as_json:
                terminal.emit(_judged(found))
            else:
                _print(found)
            sys.stdout.flush()
            time.sleep(every_s)
    from rich.console import Console
    from rich.live import Live

    from engine.commands.status_page import page

    console = Console(file=sys.stdout, highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(page(ask(engine), console.width, console.height), refresh=True)
            time.sleep(every_s)


# Commands -------------------------------------------------------------------------------------------------------------


@click.group(cls=terminal.Family)
def ctl() -> None:
    """Change what a running engine does; every change is journaled before it is obeyed."""


_COMMANDS: tuple[tuple[str, str, bool, str], ...] = (  # name, arguments, whether some are needed, help
    ("stop", "", False, "Stop: take in nothing more, write what is there, take a snapshot, end."),
    ("shed", "COUNT", True, "Leave out depth for so many symbols of each venue, those of least rank, to save load."),
    ("stop-shed", "", False, "Carry depth for all symbols again."),
    ("emergency-top5", "", False, "Carry only five symbols of each venue, pinned ones first, until `resume`."),
    ("resume", "", False, "End emergency-top5 and go back to the universe's rules."),
    ("pin", "VENUE:SYMBOL...", True, "Carry symbols always, whatever their rank."),
    ("unpin", "VENUE:SYMBOL...", True, "Let rank decide on symbols again."),
    ("hot", "VENUE:SYMBOL... [SEVERITY]", True, "Carry symbols for a while, longer at a greater severity (0 to 100)."),
    ("unhot", "VENUE:SYMBOL...", True, "Take symbols off the hotlist."),
    ("kill", "all|DETECTOR...", True, "Kill switch: nothing of these detectors, or of all, leaves from now on."),
    ("revive", "all|DETECTOR...", True, "End a kill; what it held back stays back."),
)


def _command(name: str, metavar: str, needed: bool, help_text: str) -> click.Command:
    @click.command(name, cls=terminal.Verb, help=f"{help_text} Exit 1 if it cannot be, 2 if it is wrong.")
    @terminal.session_option
    @terminal.json_option
    def verb(session: Path | None, as_json: bool, arguments: tuple[str, ...] = ()) -> None:
        _obey(session, name, list(arguments), as_json)

    if metavar:
        verb.params.insert(0, click.Argument(["arguments"], nargs=-1, required=needed, metavar=metavar))
    return verb


@ctl.command(cls=terminal.Verb)
@click.argument("mode", required=False, metavar="MODE")
@click.option("--override", default="", metavar="REASON", help="Pass over unmet conditions; the reason is journaled.")
@terminal.session_option
@terminal.json_option
def mode(mode: str | None, override: str, session: Path | None, as_json: bool) -> None:
    """Change how far signals may go: dry-run, shadow, canary, production. Without MODE, show how it stands.

    Down it goes at once, up only if nothing is unmet: exit 1 with the list. It begins with the next minute that closes.
    """
    if mode:
        _obey(session, "mode", [mode], as_json, override)
        return
    from engine.commands.status_page import release_lines

    told = ask(find(session)).get("release")
    if not told:
        raise Stop(Exit.ERROR, "this engine has no mode; it only records")
    if as_json:
        terminal.emit(told)
    else:
        click.echo("\n".join(release_lines(told)))


def _obey(session: Path | None, name: str, arguments: list[str], as_json: bool, override: str = "") -> None:
    engine = find(session)
    answer = told_by(lambda: engine.command(name, arguments, override=override))
    if name == "stop" and answer["done"]:
        has_ended = engine.has_ended_within(STOP_S)  # what comes next finds a whole session
        answer["sentence"] = "the engine has stopped" if has_ended else f"it is still stopping after {STOP_S:g} s"
    if as_json:
        terminal.emit(answer)
    elif answer["done"]:
        click.echo(answer["sentence"])
    must_be_done(answer, as_json)


for _told in _COMMANDS:
    ctl.add_command(_command(*_told))
