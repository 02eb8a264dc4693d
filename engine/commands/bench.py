"""`bench`: the table of promises measured on this machine, with every result checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from bench.harness import Row
    from bench.table import Line

PARTS = (
    "what", "on", "count", "unit", "p50", "p95", "p99", "max", "rate", "of", "times faster than", "ratio", "digest",
)  # fmt: skip


def _peers(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    from bench.table import PEERS

    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if names == ("all",):
        return PEERS
    for name in names:
        if name not in PEERS:
            raise click.BadParameter(f"{name!r} is not a peer; expected all, or names of {', '.join(PEERS)}")
    return names


@click.command(cls=terminal.Verb)
@click.option("--minutes", type=click.IntRange(1, 1440), default=3, show_default=True, help="Of the simulated markets.")
@click.option("--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="Of the simulated markets.")
@click.option(
    "--captures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of recorded captures; default CONVEYOR_CAPTURES, or ../shared/data beside the project if it is there.",
)
@click.option("--full", is_flag=True, help="More passes, 500 minutes, every kernel compiled anew, curves; takes long.")
@click.option(
    "--against", default="", callback=_peers, metavar="PEER,...", help="Measure these peers beside us, or all."
)
@click.option("--budgets", is_flag=True, help="The guide's latency budgets instead; exit 4 when one is missed.")
@click.option("--detail", is_flag=True, help="Print every row that was measured instead of the table.")
@click.option("--markdown", is_flag=True, help="Print the table, and the machine, for bench/README.md.")
@terminal.json_option
def bench(
    minutes: int, symbols: int, captures: Path | None, full: bool, against: tuple[str, ...], budgets: bool,
    detail: bool, markdown: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure on this machine what is promised: ours, theirs, the floor and the aim. See bench/README.md.

    Exit 4 if a result differs between passes or from a peer's, or a budget is missed; a figure below its floor is told.
    """
    from bench.harness import machine

    described = machine()
    terminal.note("bench: " + ", ".join(f"{name} {value}" for name, value in described.items()))
    if budgets:
        from bench.budgets import steps as budget_steps

        steps = budget_steps(500 if full else 120)
    else:
        from bench.suite import Plan
        from bench.suite import steps as plan_steps

        steps = plan_steps(Plan(minutes, symbols, captures, full, against))
    rows, absent, differs = _measure(steps)
    lines = _lines(rows, absent, budgets)
    if as_json:
        found: dict[str, Any] = {"machine": described, "same": not differs, "differs": differs or None}
        found |= {"table": [line.as_dict() for line in lines], "absent": absent}
        terminal.emit(found | {"rows": [row.as_dict() for row in rows]})
    elif detail:
        terminal.table(PARTS, map(parts, rows), title=f"{described['cpu']}, {described['at']}")
    else:
        _print(lines, rows, described, markdown)
    if differs:
        raise Stop(Exit.VERIFICATION, differs)
    missed = [line.what for line in lines if budgets and line.verdict == "short"]
    if missed:
        raise Stop(Exit.VERIFICATION, f"{len(missed)} budget{'s' * (len(missed) > 1)} missed: {'; '.join(missed)}")


def _measure(steps: Iterable[tuple[str, Callable[[], Iterable[Row]]]]) -> tuple[list[Row], dict[str, str], str]:
    """The rows; peer -> why it is not there; and the sentence of the first result that differs, which ends it."""
    from bench.harness import ResultDiffersError
    from bench.peers.environment import PeerUnavailableError

    rows: list[Row] = []
    absent: dict[str, str] = {}
    for name, work in steps:
        begun = time.monotonic()
        try:
            rows += work()
        except PeerUnavailableError as error:
            absent[error.peer] = str(error)
            terminal.note(str(error))
        except ResultDiffersError as error:
            return rows, absent, str(error)
        terminal.note(f"bench: {name}, {time.monotonic() - begun:.1f} s")
    return rows, absent, ""


def _lines(rows: list[Row], absent: dict[str, str], budgets: bool) -> list[Line]:
    from bench import table

    if budgets:
        from bench.budgets import judged

        return judged(rows)
    return table.read(rows, table.GOALS, absent)


def _print(lines: list[Line], rows: list[Row], described: dict[str, str], markdown: bool) -> None:
    """The table, and how much of the machine was taken away while it was measured."""
    from bench import table

    if markdown:
        click.echo(table.report(described, rows, lines))
        return
    terminal.table(table.HEADINGS, map(table.cells, lines), title=f"{described['cpu']}, {described['at']}")
    for line in table.jitter_told(rows):
        terminal.note(line)


def parts(row: Row) -> list[Any]:
    """A row for people: three significant digits, the first of the digest."""
    from bench.table import figure

    def shown(value: float | None) -> str | None:
        return figure(value) or None

    figures = map(shown, (row.p50, row.p95, row.p99, row.max, row.rate))
    return [
        row.what,
        row.on,
        row.count,
        row.unit,
        *figures,
        row.rate_unit,
        row.against,
        shown(row.ratio),
        row.digest[:12],
    ]
