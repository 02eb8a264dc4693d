"""Pictures as SVG text: axes, lines, bars, marks. Coordinates are rounded to a tenth: equal data is equal text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

INK, FAINT, GRID = "#222", "#667", "#dde"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777")  # Okabe & Ito
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 40

Scale = Callable[[float], float]


def number(value: float) -> str:
    """A coordinate."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def linear(low: float, high: float, begin: float, end: float) -> Scale:
    """From values to coordinates; an empty range is a point in the middle."""
    if high <= low:
        return lambda _: 0.5 * (begin + end)
    return lambda value: begin + (value - low) / (high - low) * (end - begin)


def logarithmic(low: float, high: float, begin: float, end: float) -> Scale:
    inner = linear(math.log(low), math.log(high), begin, end)
    return lambda value: inner(math.log(min(max(value, low), high)))


def text(x: float, y: float, said: str, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    return (
        f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">'
        f"{escape(said)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str = GRID, width: float = 1.0, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
        f'stroke="{colour}" stroke-width="{number(width)}"{dashed}/>'
    )


def path(points: Sequence[tuple[float, float]], colour: str, width: float = 2.0) -> str:
    if not points:
        return ""
    placed = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="{number(width)}"/>'


def box(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    faded = f' fill-opacity="{opacity:g}"' if opacity < 1.0 else ""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.5))}" height="{number(max(height, 0.0))}" '
        f'fill="{colour}"{faded}/>'
    )


def dot(x: float, y: float, colour: str, radius: float = 5.0, said: str = "") -> str:
    told = f"<title>{escape(said)}</title>" if said else ""
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{colour}">{told}</circle>'


def arrow(x: float, y: float, direction: int, colour: str, said: str) -> str:
    """A triangle that points up or down, or a diamond; `said` is shown by a reader's pointer."""
    d = 6.0
    if direction == 0:
        corners = [(x, y - d), (x + d, y), (x, y + d), (x - d, y)]
    else:
        corners = [(x - d, y + direction * d), (x + d, y + direction * d), (x, y - direction * d)]
    placed = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return f'<polygon points="{placed}" fill="{colour}"><title>{escape(said)}</title></polygon>'


def frame(
    width: float, height: float, title: str, x: Scale, x_ticks: Sequence[float], y: Scale, y_ticks: Sequence[float],
    x_name: str = "", y_name: str = "", told: Callable[[float], str] = lambda value: f"{value:g}",
) -> list[str]:  # fmt: skip
    """Title, grid and axes of a picture of width x height, whose inside begins at (LEFT, TOP)."""
    bottom, right = height - BOTTOM, width - RIGHT
    parts = [text(LEFT, 18, title, size=13)]
    for tick in y_ticks:
        parts += [line(LEFT, y(tick), right, y(tick)), text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end", 11, FAINT)]
    for tick in x_ticks:
        parts += [line(x(tick), TOP, x(tick), bottom), text(x(tick), bottom + 16, told(tick), "middle", 11, FAINT)]
    parts.append(line(LEFT, bottom, right, bottom, FAINT))
    if x_name:
        parts.append(text(0.5 * (LEFT + right), height - 6, x_name, "middle", 11, FAINT))
    if y_name:
        parts.append(
            f'<text transform="translate(13 {number(0.5 * (TOP + bottom))}) rotate(-90)" text-anchor="middle" '
            f'font-size="11" fill="{FAINT}">{escape(y_name)}</text>'
        )
    return parts


def legend(x: float, y: float, names: Sequence[tuple[str, str]]) -> list[str]:
    """(name, colour), one below the other."""
    parts = []
    for place, (name, colour) in enumerate(names):
        parts += [box(x, y + 16 * place - 8, 12, 4, colour), text(x + 18, y + 16 * place - 2, name, size=11)]
    return parts


def svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    inside = "\n".join(part for part in parts if part)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img" aria-label="{escape(label)}" '
        f'font-family="system-ui, sans-serif">\n{inside}\n</svg>'
    )


def ticks_between(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(times for times in (1.0, 2.0, 5.0, 10.0) if times * step >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]
