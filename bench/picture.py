"""Pictures of the curves, as SVG by hand: `python -m bench.picture RESULTS.json [FOLDER]`.

RESULTS.json is what `conveyor bench --full --json` printed. Both axes are logarithmic, so that a cost that grows as the
work does is a straight line, and a cost per unit that stays is a flat one.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.curves import FRAMES

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 150, 48, 52
COLOURS = ("#0969da", "#cf222e", "#1a7f37")
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Picture:
    """x_name, y_name: with their units."""

    file: str
    title: str
    x_name: str
    y_name: str
    lines: list[Line]


def pictures(rows: Sequence[dict[str, Any]]) -> list[Picture]:
    """What the rows of a run can show; a curve of fewer than two points is none."""

    def against_symbols(what: str, take: Callable[[dict[str, Any]], float]) -> list[Point]:
        found = []
        for one in rows:
            symbols = re.fullmatch(r"synthetic (\d+) symbols", one["on"])
            if one["what"] == what and symbols:
                found.append((float(symbols[1]), take(one)))
        return sorted(found)

    def median(one: dict[str, Any]) -> float:
        return float(one["p50"])

    frames = [one for one in rows if one["what"] == FRAMES]
    made = [
        Picture("closes.svg", "A minute closes: all stages, against symbols", "symbols", "ms a close", [
            Line("p99", against_symbols("close: all stages", lambda one: float(one["p99"]))),
            Line("p50", against_symbols("close: all stages", median)),
        ]),
        Picture("folds.svg", "Ticks to accumulators, against symbols", "symbols", "ns an event, median part", [
            Line("folds", against_symbols("bars: folds", median)),
            Line("bare kernel", against_symbols("bare kernel, 24 accumulators", median)),
        ]),
        Picture("frames.svg", "Frames through the conveyor, against their number", "frames", "ns a frame", [
            Line("median pass", sorted((float(one["count"]), 1e3 / float(one["rate"])) for one in frames)),
            Line("median block", sorted((float(one["count"]), median(one)) for one in frames)),
        ]),
    ]  # fmt: skip
    return [picture for picture in made if all(len(line.points) > 1 for line in picture.lines)]


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 of every power of ten, from at most `low` to at least `high`; at least two of them."""
    steps = [digit * 10.0**power for power in range(-9, 13) for digit in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= low * (1 + 1e-9))
    last = min(i for i, step in enumerate(steps) if step >= high * (1 - 1e-9))
    return steps[first : max(last, first + 1) + 1]


def svg(picture: Picture) -> str:
    """The whole file, on white, so that it can be read on any page."""
    points = [point for line in picture.lines for point in line.points]
    across, upwards = (ticks(min(p[axis] for p in points), max(p[axis] for p in points)) for axis in (0, 1))

    def x(value: float) -> float:
        share = math.log(value / across[0]) / math.log(across[-1] / across[0])
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        share = math.log(value / upwards[0]) / math.log(upwards[-1] / upwards[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def text(at: Point, words: str, anchor: str = "start", colour: str = "#24292f", more: str = "") -> str:
        return (
            f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}" fill="{colour}"{more}>{_escaped(words)}</text>'
        )

    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text((LEFT, 28), picture.title, more=' font-weight="600" font-size="15"'),
    ]
    for value in across:
        parts.append(f'<path d="M{x(value)} {TOP}V{bottom}" stroke="#e4e8ec" fill="none"/>')
        parts.append(text((x(value), bottom + 18), _short(value), "middle", "#57606a"))
    for value in upwards:
        parts.append(f'<path d="M{LEFT} {y(value)}H{right}" stroke="#e4e8ec" fill="none"/>')
        parts.append(text((LEFT - 8, y(value) + 4), _short(value), "end", "#57606a"))
    parts.append(text(((LEFT + right) / 2, HEIGHT - 12), picture.x_name, "middle"))
    middle = (TOP + bottom) / 2
    parts.append(text((18, middle), picture.y_name, "middle", more=f' transform="rotate(-90 18 {middle:g})"'))
    for line, colour, label in zip(picture.lines, COLOURS, _labels(picture.lines, y), strict=False):
        path = "L".join(f"{x(at)} {y(value)}" for at, value in line.points)
        parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{x(at)}" cy="{y(value)}" r="3.5" fill="{colour}"/>' for at, value in line.points]
        parts.append(text((right + 10, label), line.name, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


def _labels(lines: Sequence[Line], y: Callable[[float], float]) -> list[float]:
    """Where each line's name stands: at its end, but 17 below the name above it."""
    wanted = sorted((y(line.points[-1][1]) + 4, place) for place, line in enumerate(lines))
    found = [0.0] * len(lines)
    free = 0.0
    for at, place in wanted:
        found[place] = max(at, free)
        free = found[place] + 17
    return found


def _short(value: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def main(results: str, folder: str = str(Path(__file__).parent)) -> None:
    found = json.loads(Path(results).read_text(encoding="utf-8"))
    made = pictures(found["rows"])
    if not made:
        sys.exit(f"picture: {results} holds no curve; make it with: conveyor bench --full --json > {results}")
    for picture in made:
        path = Path(folder) / picture.file
        path.write_text(svg(picture), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
