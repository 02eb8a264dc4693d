"""`chaos`: failures on purpose against journal, session, store and feeds; exit 4 if anything is lost or untrue."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

FAULTS = 32  # of the catalogue in replay.scenarios, which is slow to import; 0 is none


def _options(runs: int | None, runs_help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            terminal.json_option,
            click.option("--planted", default="", metavar="NAME", help="Plant a bug that must be found."),
            click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn."),
            click.option("--runs", type=click.IntRange(1), default=runs, show_default=runs is not None, help=runs_help),
        ):  # fmt: skip
            function = option(function)
        return function

    return decorate


@click.group(cls=terminal.Family)
def chaos() -> None:
    """Kill, cut the power, let calls fail: nothing acknowledged may be lost. See docs/journal.md."""


@chaos.command()
@_options(100, "SIGKILLs.")
def kill(runs: int, seed: int, planted: str, as_json: bool) -> None:
    """Kill real processes at random instants: a journal writer, and every fifth time a replay into a session."""

    def work(material: Any, folder: Path, advance: Callable[[float], None]) -> Any:
        from replay.chaos.kill import kill

        return kill(material, folder, runs, seed, planted=planted, progress=advance)

    _run("kill", work, runs, "kills", "", planted, as_json)


@chaos.command()
@_options(1000, "Deaths of journals; a twentieth as many of sessions, and as many damaged bits.")
@click.option(
    "--kind", type=click.Choice(("all", "journal", "session", "damage")), default="all", show_default=True,
    help="Only this part of it.",
)  # fmt: skip
def power(runs: int, seed: int, planted: str, as_json: bool, kind: str) -> None:
    """Cut the power at random instants, on a disk in memory; damage every place that a power cut cannot explain."""

    def work(material: Any, folder: Path, advance: Callable[[float], None]) -> Any:
        from replay.chaos.power import KINDS, power

        return power(material, folder, runs, seed, KINDS if kind == "all" else (kind,), advance)

    _run("power", work, runs, "deaths", planted, "", as_json)


@chaos.command()
@_options(None, "Cases, drawn from all of them; without it every one, which takes minutes.")
@click.option("--case", "only", default="", metavar="CASE", help="One case, as an earlier run named it.")
def syscall(runs: int | None, seed: int, planted: str, as_json: bool, only: str) -> None:
    """Let every call on the disk fail once: EIO, ENOSPC, a short write, death; then restart, or cut the power first."""

    def work(material: Any, folder: Path, advance: Callable[[float], None]) -> Any:
        from replay.chaos.syscall import syscall

        return syscall(material, folder, runs, seed, only=only, progress=advance)

    _run("syscall", work, runs, "cases", planted, "", as_json)


@chaos.command()
@click.option("--fault", "faults", type=click.IntRange(0, FAULTS), multiple=True, metavar="N",
              help="Number in the catalogue, 0: no fault; repeatable. Without it all of them.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Scenarios of each fault.")
@click.option("--pairs", type=click.IntRange(0), default=0, show_default=True, help="Scenarios of two faults at once.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the table there as Markdown.")
@terminal.json_option
def feeds(faults: tuple[int, ...], seeds: int, pairs: int, seed: int, report: Path | None, as_json: bool) -> None:
    """Break exchange, host, process under a live engine: rows must be true or say why not. See docs/reliability.md.

    The engine runs in memory against the local exchange, minutes of its time in seconds. Exit 4 at any disagreement.
    """
    from replay.scenarios.run import HEADINGS, markdown, run, scenarios, table

    chosen = faults or tuple(range(FAULTS + 1))
    begun = time.monotonic()
    place = Path(mkdtemp(prefix="conveyor-chaos-"))
    total = sum(1 for _ in scenarios(chosen, seeds, pairs, seed))
    with terminal.progress("chaos feeds", total, "scenarios") as advance:
        found = run(chosen, seeds, pairs, place, seed, advance)
    seconds = round(time.monotonic() - begun, 1)
    if report:
        report.write_text(markdown(found), encoding="utf-8")
    failures = [
        {
            "scenario": str(outcome.scenario),
            "journal": str(outcome.journal),
            "findings": list(map(str, outcome.findings)),
        }
        for outcome in found.failures
    ]
    if as_json:
        terminal.emit({"chaos": "feeds", **found.as_dict(), "failures": failures, "seconds": seconds})
    else:
        terminal.table(HEADINGS, table(found))
    if not failures:
        shutil.rmtree(place)
        return
    for outcome in found.failures:
        terminal.note(f"{outcome.scenario}: {len(outcome.findings)} findings, {outcome.findings[0]}")
    raise Stop(Exit.VERIFICATION, f"chaos feeds: {len(failures)} of {total} scenarios failed; journals are in {place}")


def _run(
    name: str, work: Callable[..., Any], total: int | None, unit: str, here: str, elsewhere: str, as_json: bool
) -> None:
    """Do the work in a folder of its own, which is kept if something was lost, and print its figures.

    here, elsewhere: a bug planted in this process, or in the processes that it starts.
    """
    from replay.chaos.material import Loss, simulated
    from replay.chaos.plants import PLANTS, planted

    bug = here or elsewhere
    if bug and bug not in PLANTS:
        raise click.BadParameter(f"{bug!r} is none of {', '.join(PLANTS)}", param_hint="--planted")
    begun = time.monotonic()
    found: dict[str, Any] = {"chaos": name}
    loss = ""
    place = Path(mkdtemp(prefix="conveyor-chaos-"))
    material = simulated(place / "journal")
    try:
        with terminal.progress(f"chaos {name}", total, unit) as advance, planted(here):
            found |= work(material, place, advance).as_dict()
    except Loss as error:
        loss = f"{error}; files are in {place}"
    else:
        shutil.rmtree(place)
    found["seconds"] = round(time.monotonic() - begun, 1)
    if as_json:
        terminal.emit(found | {"loss": loss or None})
    elif not loss:
        click.echo(sentence(found))
    if loss:
        raise Stop(Exit.VERIFICATION, f"chaos {name}: {loss}")


def sentence(found: dict[str, Any]) -> str:
    """The figures in one line: names as they are, counters in brackets."""
    words = []
    for name, value in found.items():
        if name == "chaos":
            continue
        if isinstance(value, dict):
            parts = ", ".join(f"{part} {count:,}" for part, count in value.items())
            value = f"({parts})" if parts else "none"
        words.append(f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}")
    return f"chaos {found['chaos']}: " + ", ".join(words)
