"""`conveyor drift`: whether the z columns of a session keep what they promise, over its last day and week."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.commands import terminal
from engine.commands.data import queried
from engine.core.feature_columns import BASELINES

SPANS = (("1d", 1), ("7d", 7))  # name, days up to the newest minute
MEAN_MOST, DEVIATION_LEAST, DEVIATION_MOST = 0.2, 0.8, 1.2
VALUES_LEAST = 1_000  # 70 % of a day's minutes: the promise is about days
MS_PER_DAY = 86_400_000
COLUMNS = tuple(f"z_{name}{suffix}" for name, _, _, suffix in BASELINES)
HEADING = ("venue", "symbol", "column", "span", "values", "mean", "deviation", "kept")


@click.command(cls=terminal.Verb)
@click.argument("session", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--symbols/--all-symbols", default=True, help="A line for each symbol, or one for all of a venue.")
@terminal.json_option
def drift(session: Path | None, symbols: bool, as_json: bool) -> None:
    """Mean and standard deviation of every z column over the last 1 and 7 days of minute rows that are ok.

    kept: |mean| <= 0.2 and a deviation within 0.8 and 1.2. Without SESSION, or while an engine runs in it, it answers.
    """
    lines, origin = [], ""
    for span, days in SPANS:
        result, origin = queried(session, query_of(days, symbols))
        lines += [line for row in result.to_pylist() for line in lines_of(row, span)]
    lines.sort(key=lambda line: (line["venue"], line["symbol"], COLUMNS.index(line["column"]), line["span"]))
    if as_json:
        terminal.emit({"origin": origin, "lines": lines})
        return
    terminal.table((*HEADING[:-1], ""), shown(lines), title=f"drift ({origin})")
    terminal.note(
        f"promised over days: |mean| <= {MEAN_MOST}, deviation {DEVIATION_LEAST} to {DEVIATION_MOST}; "
        f"few: less than {VALUES_LEAST:,} values" if lines else "no z yet: they begin after 200 minutes that are ok"
    )  # fmt: skip


def shown(lines: list[dict[str, Any]]) -> list[list[Any]]:
    """For people: a mark where the promise is not kept, and no week that holds the same minutes as the day."""
    rows: list[list[Any]] = []
    for line in lines:
        row = [f"{line[name]:.3f}" if name in ("mean", "deviation") else line[name] for name in HEADING[:-1]]
        same = rows and rows[-1][:3] == row[:3] and rows[-1][4] == row[4]
        if not same:
            mark = "" if line["kept"] else "drifts" if line["values"] >= VALUES_LEAST else "few"
            rows.append([*row, mark])
    return rows


def keeps(mean: float, deviation: float) -> bool:
    """The promise of a z column over days of minutes that are ok."""
    return abs(mean) <= MEAN_MOST and DEVIATION_LEAST <= deviation <= DEVIATION_MOST


def query_of(days: int, symbols: bool) -> str:
    """One row a symbol (or a venue, whose symbol is `*`): count, mean and deviation of each column.

    The sums of one pass lose nothing that matters here: z is of the order of 1.
    """
    who = "symbol" if symbols else "'*' AS symbol"
    figures = ", ".join(
        f"count({name}) AS {name}_values, avg({name}) AS {name}_mean, stddev_pop({name}) AS {name}_deviation"
        for name in COLUMNS
    )
    return (
        f"SELECT venue, {who}, {figures} FROM features_snapshot WHERE tf = '1m' AND dq_status = 'ok' AND exchange_ts > "
        f"(SELECT max(exchange_ts) FROM features_snapshot) - {days * MS_PER_DAY} GROUP BY ALL"
    )


def lines_of(row: dict[str, Any], span: str) -> list[dict[str, Any]]:
    """A line for each column that has values."""
    lines = []
    for name in COLUMNS:
        values, mean, deviation = (row[f"{name}_{what}"] for what in ("values", "mean", "deviation"))
        if values:
            found = (row["venue"], row["symbol"], name, span, values, mean, deviation, keeps(mean, deviation))
            lines.append(dict(zip(HEADING, found, strict=True)))
    return lines
