"""docs/modes.svg: the gates of a candidate, and what each mode lets out. Made from the tables themselves.

`python -m bench.modes_picture` writes it anew.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

from engine.core.release import Reach
from engine.core.signal_columns import Stop
from engine.modes import MODES

WIDTH = 960
GATE_WIDTH, GATE_HEIGHT, GATES_A_ROW = 124, 34, 7
INK, PALE, LINE, BLUE, GREEN = "#24292f", "#57606a", "#8aa9c7", "#dbe9f6", "#d7f0dd"
REACHES = {
    Reach.LOG: ("log", "session, outbox file"),
    Reach.INTERNAL: ("internal", "internal topic (module bus)"),
    Reach.OUTSIDE: ("outside", "webhook, stream, Redis, NATS"),
}
END_GATES = (("kill, emit", "at once"), ("mode", "by minute"), ("stage", "of the detector"), ("canary", "its list"))


def svg() -> str:
    """The picture, as text."""
    gates = [stop.name.lower() for stop in Stop if stop is not Stop.PUBLISHED]
    parts = [_text(20, 34, "In the core: one sequence, the same in every mode, in the chain", weight=600)]
    for place, name in enumerate([*gates, "signal"]):
        x, y = 20 + place % GATES_A_ROW * (GATE_WIDTH + 8), 50 + place // GATES_A_ROW * (GATE_HEIGHT + 12)
        is_signal = place == len(gates)
        parts.append(_box(x, y, GATE_WIDTH, GATE_HEIGHT, GREEN if is_signal else BLUE))
        shown = name if is_signal else f"{place + 1} {name}"
        parts.append(_text(x + 10, y + 22, shown, size=12, weight=600 if is_signal else 400))
    bottom = 50 + len(gates) // GATES_A_ROW * (GATE_HEIGHT + 12)
    top = bottom + 70
    told = (
        "At the ends: how far a signal goes; asked when it is taken into the outbox, and before each attempt to send it"
    )
    parts.append(_text(20, top, told, weight=600))
    for place, (name, note) in enumerate(END_GATES):
        x = 20 + place * 230
        parts += [_box(x, top + 14, 210, 46, "#ffffff"), _text(x + 12, top + 34, name)]
        parts.append(_text(x + 12, top + 51, note, PALE, 11))
    top += 96
    columns = [150 + 220 * place for place in range(len(REACHES))]
    for x, (name, note) in zip(columns, REACHES.values(), strict=True):
        parts += [_text(x, top, name, weight=600), _text(x, top + 16, note, PALE, 11)]
    for row, mode in enumerate(MODES):
        y = top + 30 + row * 36
        parts.append(_text(20, y + 19, mode.name, weight=600))
        for x, reach in zip(columns, REACHES, strict=True):
            reached = reach <= mode.most
            parts.append(_box(x, y, 200, 28, GREEN if reached else "#f6f8fa", LINE if reached else "#d0d7de"))
            parts.append(_text(x + 10, y + 18, mode.lets_out if reach is mode.most else "", INK, 11))
    height = top + 30 + len(MODES) * 36 + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])


def _box(x: int, y: int, width: int, height: int, fill: str, stroke: str = LINE) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{stroke}"/>'


def _text(x: int, y: int, words: str, fill: str = INK, size: int = 13, weight: int = 400) -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}" font-size="{size}" font-weight="{weight}">{escape(words)}</text>'


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[1] / "docs" / "modes.svg"
    path.write_text(svg())
