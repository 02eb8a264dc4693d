"""`plot`: columns of one symbol over time, with every minute that is not `ok` marked."""

from __future__ import annotations

import difflib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import terminal
from engine.commands.data import queried
from engine.commands.terminal import Exit, Stop

if TYPE_CHECKING:
    from engine.core.column import Column

ROWS_MAX = 100_000
TIMEFRAMES = {"1m": 60, "15m": 900, "1h": 3600}
SUFFIXES = (".png", ".svg", ".pdf", ".html")
SHADES = {
    "partial": ("yellow", "#f2b705", 0.28),
    "stale": ("red", "#d1495b", 0.30),
    "no row": ("grey", "#888888", 0.25),
}
LINES = ("#1f5aa6", "#c8553d", "#2a8c6a", "#7b4fa3", "#8a6d1d", "#3a3a3a")


@click.command(cls=terminal.Verb)
@click.argument("session", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--symbol", required=True, help="The venue's name of it; VENUE:SYMBOL where several venues have it.")
@click.option("--columns", required=True, metavar="A,B,...", help="Columns of the minute row, or their aliases.")
@click.option("--last", metavar="SPAN", help="Only the newest 90m, 6h, 2d.")
@click.option("--tf", type=click.Choice(tuple(TIMEFRAMES)), default="1m", show_default=True, help="Length of the bars.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("plot.png"), show_default=True,
    help="File to write: .png, .svg, .pdf, or .html with the formulas below the picture.",
)  # fmt: skip
@terminal.json_option
def plot(session: Path | None, symbol: str, columns: str, last: str | None, tf: str, out: Path, as_json: bool) -> None:
    """Draw columns of one symbol. Columns of one unit share a panel; minutes that are not ok are shaded."""
    if out.suffix not in SUFFIXES:
        raise click.BadParameter(f"it ends in {out.suffix or 'nothing'}, expected one of {', '.join(SUFFIXES)}",
                                 param_hint="--out")  # fmt: skip
    chosen = columns_named([name.strip() for name in columns.split(",") if name.strip()])
    venue, _, name = symbol.rpartition(":")
    rows, origin = queried(session, query_of(venue, name, list(chosen), last, tf), ROWS_MAX)
    if not rows.num_rows:
        raise Stop(Exit.ERROR, f"{symbol} has no {tf} rows here; `conveyor sql` tells which symbols there are: "
                   "SELECT DISTINCT venue, symbol FROM features_snapshot")  # fmt: skip
    venues = sorted(set(rows["venue"].to_pylist()))
    if len(venues) > 1:
        raise click.BadParameter(f"{name} is on {', '.join(venues)}; say {venues[0]}:{name}", param_hint="--symbol")
    drawing = Drawing(rows, chosen, f"{name} on {venues[0]}, {tf} bars, {origin} market", TIMEFRAMES[tf])
    drawing.save(out)
    if as_json:
        terminal.emit({"file": str(out), "rows": rows.num_rows, "origin": origin, "status": dict(drawing.statuses)})
    else:
        counts = ", ".join(f"{count} {status}" for status, count in drawing.statuses.items())
        click.echo(f"{out}: {rows.num_rows} {drawing.unit} ({counts}), {origin} market")


def columns_named(names: list[str]) -> dict[str, Column]:
    """The columns by the names they were asked for. Raises click.BadParameter that names every wrong one."""
    from engine.core.schema import COLUMNS, Form

    known = {other: column for column in COLUMNS for other in (column.name, *column.aliases)}
    drawable = {name: column for name, column in known.items() if column.form not in (Form.STATUS, Form.REASONS)}
    wrong = []
    for name in names:
        if name in drawable:
            continue
        near = difflib.get_close_matches(name, drawable, 3, 0.5)
        what = "is not a number" if name in known else "is no column"
        wrong.append(f"{name} {what}" + (f" (near: {', '.join(near)})" if near and name not in known else ""))
    if wrong or not names:
        sentence = "; ".join(wrong) or "name at least one"
        raise click.BadParameter(f"{sentence}. `conveyor describe --features` lists them", param_hint="--columns")
    return {name: drawable[name] for name in dict.fromkeys(names)}


def query_of(venue: str, symbol: str, columns: list[str], last: str | None, tf: str) -> str:
    from engine.io.tables import quoted

    where = f"symbol = {quoted(symbol)} AND tf = {quoted(tf)}"
    if venue:
        where += f" AND venue = {quoted(venue)}"
    if last:
        span_ms = int(_span(last).total_seconds() * 1000)
        where += f" AND exchange_ts > (SELECT max(exchange_ts) FROM features_snapshot WHERE {where}) - {span_ms}"
    drawn = ", ".join(f'CAST("{name}" AS DOUBLE) AS "{name}"' for name in columns)
    return (
        f"SELECT venue, exchange_ts, dq_status, dq_reasons, {drawn} FROM features_snapshot WHERE {where} "
        f"ORDER BY exchange_ts"
    )


def _span(text: str) -> timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdigit() and text[-1:] in units and int(text[:-1]):
        return timedelta(**{units[text[-1]]: int(text[:-1])})
    raise click.BadParameter(f"{text!r} is no span; write 90m, 6h or 2d", param_hint="--last")


def _short(value: float, _: int) -> str:
    """A number at an axis: 25M, 61,800, 0.0025."""
    return f"{value / 1e6:,.10g}M" if abs(value) >= 1e6 else f"{value:,.10g}"


class Drawing:
    """One panel for each unit, one line for each column, time below."""

    def __init__(self, rows: Any, chosen: dict[str, Column], title: str, bar_s: int) -> None:
        import numpy as np

        self.chosen, self.title, self.bar_s = chosen, title, bar_s
        self.unit = "minutes" if bar_s == 60 else "bars"
        closes = rows["exchange_ts"].to_numpy() // 1000
        first = int(closes[0])
        places = (closes - first) // bar_s
        self.times = [datetime.fromtimestamp(first + k * bar_s, UTC) for k in range(int(places[-1]) + 1)]
        self.values: dict[str, Any] = {}
        for name in chosen:  # a minute without a row breaks the line, as a null does
            self.values[name] = np.full(len(self.times), np.nan)
            self.values[name][places] = rows[name].to_numpy()
        self.status = ["no row"] * len(self.times)
        self.reasons: Counter[str] = Counter()
        for place, status, reasons in zip(
            places.tolist(), rows["dq_status"].to_pylist(), rows["dq_reasons"].to_pylist(), strict=True
        ):
            self.status[place] = status
            if status != "ok":
                self.reasons.update(reasons or [])
        self.statuses = Counter(self.status)

    def save(self, out: Path) -> None:
        """Write the picture, or a page that holds it and says what each line is."""
        if out.suffix != ".html":
            self.figure().savefig(out, dpi=150)
            return
        import io

        picture = io.StringIO()
        self.figure().savefig(picture, format="svg")
        out.write_text(self._page(picture.getvalue()), encoding="utf-8")

    def figure(self) -> Any:
        """A matplotlib figure."""
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter

        panels: dict[str, list[str]] = {}
        for name, column in self.chosen.items():
            panels.setdefault(column.unit, []).append(name)
        heights = [0.5 if unit == "0|1" else 1.0 for unit in panels]
        figure = Figure(figsize=(11, 1.1 + 2.1 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (unit, names) in zip(axes, panels.items(), strict=True):
            self._shade(axis)
            for number, name in enumerate(names):
                colour = LINES[number % len(LINES)]
                if unit == "0|1":
                    axis.vlines(
                        [t for t, value in zip(self.times, self.values[name], strict=True) if value == 1.0],
                        number, number + 0.8, color=colour, linewidth=1.2, label=name,
                    )  # fmt: skip
                else:
                    told = (self.values[name] == self.values[name]).any()
                    label = name if told else f"{name} (null here)"
                    axis.plot(self.times, self.values[name], color=colour, linewidth=1.0, label=label)
            if unit == "0|1":
                axis.set_yticks([number + 0.4 for number in range(len(names))], names, fontsize=8)
                axis.set_ylim(-0.1, len(names))
            else:
                axis.set_ylabel("" if unit == "1" else unit, fontsize=8)
                axis.yaxis.set_major_formatter(FuncFormatter(_short))
                axis.legend(  # above the panel: a line never runs through it
                    loc="lower left", bbox_to_anchor=(0.0, 0.97), fontsize=8, frameon=False, ncols=6,
                    borderpad=0.0, borderaxespad=0.2, handlelength=1.4,
                )  # fmt: skip
                if unit == "sigma":
                    axis.axhline(0.0, color="#999999", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=8)
            axis.margins(x=0.01)
        locator = AutoDateLocator(tz=UTC)
        axes[-1].xaxis.set_major_locator(locator)
        axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
        axes[-1].xaxis.get_offset_text().set_fontsize(8)
        figure.align_ylabels(axes)
        figure.suptitle(self.title, fontsize=10, x=0.01, ha="left")
        figure.supxlabel(self._note(), fontsize=8, x=0.01, ha="left")
        return figure

    def _shade(self, axis: Any) -> None:
        """A band over every run of minutes that are not ok; a bar's label is its close."""
        bar = timedelta(seconds=self.bar_s)
        begin = 0
        for place in range(1, len(self.status) + 1):
            if place < len(self.status) and self.status[place] == self.status[begin]:
                continue
            if (shade := SHADES.get(self.status[begin])) is not None:
                axis.axvspan(self.times[begin] - bar, self.times[place - 1], color=shade[1], alpha=shade[2], lw=0)
            begin = place

    def _note(self) -> str:
        shaded = [f"{self.statuses[name]} {name} ({shade[0]})" for name, shade in SHADES.items() if self.statuses[name]]
        if not shaded:
            return f"times in UTC; all {len(self.status)} {self.unit} ok"
        why = ", ".join(f"{name} {count}" for name, count in self.reasons.most_common(4))
        return f"times in UTC; {', '.join(shaded)} of {len(self.status)} {self.unit}" + (f"; {why}" if why else "")

    def _page(self, picture: str) -> str:
        from html import escape

        lines = "</tr><tr>".join(
            "<tr>"
            + "".join(f"<td>{escape(text)}</td>" for text in (name, c.unit, c.window, c.source, c.null))
            + "</tr>"
            for name, c in self.chosen.items()
        )
        heads = "".join(f"<th>{head}</th>" for head in ("column", "unit", "window", "what it is", "null"))
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(self.title)}</title>'
            "<style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1000px;color:#222}"
            "table{border-collapse:collapse}td,th{text-align:left;padding:.25rem .8rem .25rem 0;vertical-align:top;"
            "border-bottom:1px solid #ddd}svg{width:100%;height:auto}</style>"
            f"{picture[picture.index('<svg') :]}<table><tr>{heads}</tr><tr>{lines}</tr></table></html>"
        )
