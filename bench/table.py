"""The table of the README: what is promised, the floor, the aim, and where among the rows of the bench it is read.

Nothing is measured here: `read` finds the rows and says met, short, or why there is no figure.
`python -m bench.table RESULTS.json` prints what `conveyor bench --json` found as `conveyor bench --markdown` would.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.harness import Row

MB_PER_MIB = 2**20 / 1e6
PEERS = ("nautilus", "hftbacktest", "orjson", "websockets")


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table.

    reads, on: regular expressions that a Row's `what` and `on` match whole; otherwise: `on` where nothing matched.
    take: the figure that is judged, "p50", "p95", "p99", "ratio", or "p99/p50"; times `scale` it is in `unit`.
    floor: at least (or at most) this; aim: None if the floor is all there is. more: larger is better.
    peer: who must be asked for by --against; full: only --full measures it.
    """

    what: str
    reads: str
    on: str
    take: str
    floor: float
    aim: float | None = None
    unit: str = ""
    more: bool = False
    otherwise: str = ""
    peer: str = ""
    full: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A goal with its figure. value: None where nothing was measured; then `verdict` says why."""

    what: str
    on: str
    value: float | None
    take: str
    unit: str
    floor: float | None
    aim: float | None
    more: bool
    verdict: str
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    in_unit: str = ""
    rate: float | None = None
    rate_unit: str = ""
    against: str = ""
    ratio: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _bars() -> Iterator[Goal]:
    for symbols in (20, 500):
        on = f"synthetic {symbols} symbols"
        yield Goal(
            f"ticks to closed bars, {symbols} symbols, beside a bare kernel of 24 accumulators",
            r"bars: folds and rows", on, "ratio", 0.5, 1 / 1.3, more=True,
        )  # fmt: skip
    ours = r"bars: trades to closed bars"
    for peer, floor, counts in (("nautilus", 100, (20, 500)), ("hftbacktest", 1, (1, 20))):
        for symbols in counts:
            what = f"trades to closed bars, {symbols} symbol{'s' * (symbols > 1)}, beside {peer}"
            against = f"{ours}, {peer}"
            yield Goal(what, against, f"synthetic {symbols} symbols", "ratio", floor, more=True, peer=peer)


def _closes() -> Iterator[Goal]:
    for symbols, floor in ((50, 1.0), (500, 6.0), (2_000, 25.0)):
        what = f"minute close, all stages, {symbols} symbols, p99"
        yield Goal(what, r"close: all stages", f"synthetic {symbols} symbols", "p99", floor, floor / 4, "ms")
    for symbols, floor in ((50, 1.5), (500, 10.0), (2_000, 45.0)):
        what = f"features, baselines and market of a minute, {symbols} symbols, p99"
        yield Goal(
            what, "features: one minute, all columns", f"synthetic {symbols} symbols", "p99", floor, floor / 2, "ms"
        )
    for symbols, floor, aim in ((50, 15.0, 10.0), (500, 30.0, 15.0)):
        what, reads = f"close decision to durable row, {symbols} symbols", r"store: close decision to durable row"
        yield Goal(f"{what}, p95", reads, f"synthetic {symbols} symbols", "p95", floor, aim, "ms")
        yield Goal(f"{what}, p99 over its median", reads, f"synthetic {symbols} symbols", "p99/p50", 2.0)


GOALS: tuple[Goal, ...] = (
    *_bars(),
    Goal(
        "raw frames through the whole conveyor, beside a bare orjson.loads loop", r"conveyor: handle", r"recorded .*",
        "ratio", 1.5, 2.0, more=True, otherwise=r"simulated .*",
    ),
    Goal(
        "one socket client, orjson.loads or the conveyor behind it, CPU of the receiver",
        r"socket: same client, conveyor behind it", r".*", "ratio", 1.0, more=True, peer="websockets",
    ),
    *_closes(),
    Goal("a year of one symbol through the feature stage, offline", r"features offline: .*", r".*", "rate",
         10.0, unit="s", full=True),
    Goal("warm start to first frame handled, 50 symbols", r"start: process to first frame handled, warm", r".*", "p50",
         1.5, 1.0, "s", scale=1e-3),
    Goal("cold start, every kernel to compile", r"start: (compile every kernel|.*, cold)", r".*", "p50",
         20.0, 10.0, "s", full=True, scale=1e-3),
    Goal("memory at rest, 50 symbols", r"start: memory .*", r".*", "p50", 250.0, 180.0, "MB", scale=MB_PER_MIB),
)  # fmt: skip


def read(rows: Sequence[Row], goals: Iterable[Goal] = GOALS, absent: Mapping[str, str] | None = None) -> list[Line]:
    """Every goal with each row that answers it. absent: peer -> why it could not be measured."""
    found: list[Line] = []
    for goal in goals:
        matching = [row for row in rows if re.fullmatch(goal.reads, row.what)]
        chosen = [row for row in matching if re.fullmatch(goal.on, row.on)]
        if not chosen and goal.otherwise:
            chosen = [row for row in matching if re.fullmatch(goal.otherwise, row.on)]
        found += [_line(goal, row) for row in chosen] or [_missing(goal, absent or {})]
    return found


def _line(goal: Goal, row: Row) -> Line:
    taken = row.p99 / row.p50 if goal.take == "p99/p50" else getattr(row, goal.take)
    value = float(taken) * goal.scale
    figures = (row.p50 * goal.scale, row.p95 * goal.scale, row.p99 * goal.scale)
    return Line(
        goal.what, row.on, value, goal.take, goal.unit, goal.floor, goal.aim, goal.more, verdict(goal, value), *figures,
        goal.unit if goal.take in ("p50", "p95", "p99") else row.unit, row.rate, row.rate_unit, row.against, row.ratio,
    )  # fmt: skip


def verdict(goal: Goal, value: float) -> str:
    """`aim` and `met` reach the aim and the floor; `short` does not."""
    sign = 1 if goal.more else -1
    if goal.aim is not None and sign * value >= sign * goal.aim:
        return "aim"
    return "met" if sign * value >= sign * goal.floor else "short"


def _missing(goal: Goal, absent: Mapping[str, str]) -> Line:
    if goal.peer:
        why = absent.get(goal.peer, f"peer not asked for: --against {goal.peer}")
    else:
        why = "not measured: --full does" if goal.full else "not measured"
    return Line(goal.what, "", None, goal.take, goal.unit, goal.floor, goal.aim, goal.more, why)


# For people -----------------------------------------------------------------------------------------------------------

HEADINGS = ("what", "on", "judged", "floor", "aim", "verdict", "p50", "p95", "p99", "unit", "rate", "against", "ratio")


def cells(line: Line) -> list[str]:
    """One line of the table, as HEADINGS; empty where there is nothing to say."""
    sign, unit = ("≥" if line.more else "≤"), f" {line.unit}" if line.unit else ("x" if line.take == "ratio" else "")
    judged = f"{line.take} {figure(line.value)}{unit}" if line.value is not None else ""
    rate = f"{figure(line.rate)} {line.rate_unit}" if line.rate is not None else ""
    bounds = [f"{sign} {figure(bound)}{unit}" if bound is not None else "" for bound in (line.floor, line.aim)]
    figures = [figure(value) for value in (line.p50, line.p95, line.p99)]
    ratio = figure(line.ratio) if line.against else ""
    return [line.what, line.on, judged, *bounds, line.verdict, *figures, line.in_unit, rate, line.against, ratio]


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for a README."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |" for line in lines)


def jitter_told(rows: Iterable[Row]) -> list[str]:
    """How much of the machine was taken away while it was measured."""
    return [
        f"{row.what}: {figure(row.rate)} {row.rate_unit}, at once up to {figure(row.max)} us"
        for row in rows
        if row.what.startswith("jitter")
    ]


def report(machine: Mapping[str, str], rows: Sequence[Row], lines: Iterable[Line]) -> str:
    """Machine, jitter and table in Markdown, for bench/README.md."""
    told = ", ".join(f"{name} {value}" for name, value in machine.items())
    return f"{told}.\n{'; '.join(jitter_told(rows))}.\n\n{markdown(HEADINGS, map(cells, lines))}"


def figure(value: float | None) -> str:
    """Three significant digits, no exponent: 0.0123, 1.23, 123, 12,300; nothing for None."""
    if value is None:
        return ""
    text = f"{float(f'{value:.3g}'):,.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def main(results: str) -> None:
    found = json.loads(Path(results).read_text(encoding="utf-8"))
    rows = [Row(**row) for row in found["rows"]]
    print(report(found["machine"], rows, [Line(**line) for line in found["table"]]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
