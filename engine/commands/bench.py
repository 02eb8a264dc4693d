"""`bench`: time decoders, stages, closes and ends on this machine, with every result checked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from bench.harness import Row

HEADINGS = (
    "what", "on", "count", "unit", "p50", "p95", "p99", "max", "rate", "of", "times faster than", "ratio", "digest",
)  # fmt: skip


@click.command(cls=terminal.Verb)
@click.option("--minutes", type=click.IntRange(1, 1440), default=3, show_default=True, help="Of the simulated markets.")
@click.option("--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="Of the simulated markets.")
@click.option(
    "--captures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of recorded captures; default CONVEYOR_CAPTURES, or ../shared/data beside the project if it is there.",
)
@click.option("--full", is_flag=True, help="More passes, 500 minutes, and compiling every kernel anew; takes minutes.")
@terminal.json_option
def bench(minutes: int, symbols: int, captures: Path | None, full: bool, as_json: bool) -> None:
    """Time stages and decoders on this machine; exit 4 if a result differs between passes. See docs/benchmarks.md."""
    from bench.harness import ResultDiffersError, machine
    from bench.suite import Plan, steps

    described = machine()
    terminal.note("bench: " + ", ".join(f"{name} {value}" for name, value in described.items()))
    rows: list[Row] = []
    differs = ""
    try:
        for name, work in steps(Plan(minutes, symbols, captures, full)):
            begun = time.monotonic()
            rows += work()
            terminal.note(f"bench: {name}, {time.monotonic() - begun:.1f} s")
    except ResultDiffersError as error:
        differs = str(error)
    if as_json:
        found: dict[str, Any] = {"machine": described, "same": not differs, "differs": differs or None}
        terminal.emit(found | {"rows": [row.as_dict() for row in rows]})
    else:
        terminal.table(HEADINGS, map(cells, rows), title=f"{described['cpu']}, {described['at']}")
    if differs:
        raise Stop(Exit.VERIFICATION, differs)


def cells(row: Row) -> list[Any]:
    """A row for people: three significant digits, the first of the digest."""
    figures = map(figure, (row.p50, row.p95, row.p99, row.max, row.rate))
    rest = (row.rate_unit, row.against, figure(row.ratio), row.digest[:12])
    return [row.what, row.on, row.count, row.unit, *figures, *rest]


def figure(value: float | None) -> str | None:
    """Three significant digits, no exponent: 0.0123, 1.23, 123, 12,300."""
    if value is None:
        return None
    text = f"{float(f'{value:.3g}'):,.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
