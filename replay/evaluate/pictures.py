"""The pictures of the report, each an SVG made of the verdict's figures."""

from __future__ import annotations

import numpy as np

from engine.core.minutes import label
from engine.core.signal_columns import Stop
from replay.evaluate import svg
from replay.evaluate.episodes import IN_TRUE, OUTSIDE, Truth
from replay.evaluate.forward import HORIZONS
from replay.evaluate.matching import FALSE_LEAST, FALSE_MOST
from replay.evaluate.minutes import Candidates, Minutes
from replay.evaluate.severity import BIN
from replay.evaluate.verdict import Labelled, Verdict
from replay.simulate.script import KINDS

WIDTH = 460
TIMELINE_WIDTH, TIMELINE_MINUTES, NAME_WIDTH = 940, 360, 74


def recall_curves(told: Labelled) -> str:
    """Recall of strong and of weak episodes against false alarms per symbol-day, by rule."""
    height = 320.0
    signals = told.alarms["signals"].per_day
    panels = []
    for place, (name, title) in enumerate((("strong", "recall, 4 sigma and more"), ("weak", "recall, 3 sigma"))):
        shift = place * (WIDTH + 10)
        x = svg.logarithmic(FALSE_LEAST, FALSE_MOST, svg.LEFT, WIDTH - svg.RIGHT)
        y = svg.linear(0.0, 1.0, height - svg.BOTTOM, svg.TOP)
        parts = svg.frame(
            WIDTH, height, title, x, (0.1, 1.0, 10.0), y, (0.0, 0.25, 0.5, 0.75, 1.0),
            "false alarms per symbol-day, outside of any episode",
        )  # fmt: skip
        wanted = 0.9 if name == "strong" else 0.5
        parts += [svg.line(svg.LEFT, y(wanted), x(1.0), y(wanted), svg.INK, 1, "4 3")]
        parts += [svg.line(x(1.0), y(wanted), x(1.0), y(1.0), svg.INK, 1, "4 3")]
        for colour, curve in zip(svg.COLOURS, told.curves.values(), strict=False):
            points = [(x(point.per_day), y(getattr(point, name))) for point in curve if point.per_day >= FALSE_LEAST]
            parts.append(svg.path(points, colour))
        found = told.headline[name]
        if found is not None:
            parts.append(svg.dot(x(signals), y(found), svg.INK, 5, f"published: {found:.2f} at {signals:.2f}"))
            parts.append(svg.text(x(signals) + 9, y(found) + 4, "published", size=11))
        if place == 1:
            parts += svg.legend(svg.LEFT + 10, svg.TOP + 14, list(zip(told.curves, svg.COLOURS, strict=False)))
        panels.append(f'<g transform="translate({shift} 0)">' + "\n".join(parts) + "</g>")
    return svg.svg(2 * WIDTH + 10, height, panels, "recall against false alarms, by rule")


def busiest(minutes: Minutes, candidates: Candidates, truth: Truth | None) -> tuple[int, int]:
    """(symbol, first minute) of the TIMELINE_MINUTES that show most signals in true episodes, or most signals."""
    rows = candidates.published
    if truth is not None:
        hits = rows[truth.inside[rows["minute"], rows["symbol"]] == IN_TRUE]
        rows = hits if len(hits) else rows
    stretch = max(1, min(TIMELINE_MINUTES, minutes.shape[0]))
    if not len(rows):
        return 0, 0
    places, counts = np.unique(rows["symbol"] * len(minutes.mid) + rows["minute"] // stretch, return_counts=True)
    best = int(places[int(np.argmax(counts))])
    return best // len(minutes.mid), best % len(minutes.mid) * stretch


def timeline(minutes: Minutes, candidates: Candidates, truth: Truth | None) -> str:
    """The mid of one symbol over some hours, its episodes and its signals."""
    height = 330.0
    symbol, first = busiest(minutes, candidates, truth)
    last = min(first + TIMELINE_MINUTES, minutes.shape[0])
    mid = minutes.mid[first:last, symbol]
    seen = mid[~np.isnan(mid)]
    if not len(seen):
        return svg.svg(TIMELINE_WIDTH, 40, [svg.text(20, 24, "no price")], "timeline")
    low, high = float(seen.min()), float(seen.max())
    x = svg.linear(first, first + TIMELINE_MINUTES, svg.LEFT, TIMELINE_WIDTH - svg.RIGHT)
    y = svg.linear(-2.0, 102.0, height - svg.BOTTOM, svg.TOP + 36)
    scale = svg.linear(low, high, 0.0, 100.0)
    parts = svg.frame(
        TIMELINE_WIDTH, height, f"{minutes.symbols[symbol]}: mid from {low:g} to {high:g}, episodes and signals",
        x, range(first, last, 60), y, (), told=lambda value: label(minutes.first + int(value) - 1)[-5:],
        x_name=f"UTC, from {label(minutes.first + first - 1)}",
    )  # fmt: skip
    if truth is not None:
        free = 0.0  # where the next name may stand
        for one in truth.episodes[truth.episodes["symbol"] == symbol]:
            begin = int(one["minute"])
            if not first <= begin < last:
                continue
            colour = svg.FAINT if one["decoy"] else svg.COLOURS[4]
            inside = truth.inside[begin : begin + 6, symbol]
            length = int(np.argmax(inside == OUTSIDE)) if (inside == OUTSIDE).any() else len(inside)
            parts.append(svg.box(x(begin), svg.TOP + 36, x(begin + length) - x(begin), 224, colour, 0.22))
            if x(begin) < free:
                continue
            free = x(begin) + NAME_WIDTH
            parts.append(svg.text(x(begin), svg.TOP + 10, KINDS[one["kind"]], size=9, colour=svg.INK))
            said = f"{one['sigma']:g} sigma" + (", decoy" if one["decoy"] else "")
            parts.append(svg.text(x(begin), svg.TOP + 21, said, size=9, colour=svg.FAINT))
    parts.append(
        svg.path(
            [(x(first + k + 1), y(scale(float(value)))) for k, value in enumerate(mid) if value == value], svg.INK, 1.2
        )
    )
    said_of = candidates.published
    said_of = said_of[(said_of["symbol"] == symbol) & (said_of["minute"] >= first) & (said_of["minute"] < last)]
    for one in said_of:
        price = minutes.mid[one["minute"], symbol]
        place = y(scale(float(price))) - 16 * (int(one["direction"]) or 1)
        told = f"{candidates.detectors[one['detector']]}, severity {one['severity']}"
        parts.append(
            svg.arrow(x(one["minute"] + 1), place, int(one["direction"]), svg.COLOURS[one["signal_class"]], told)
        )
    names = [(name, svg.COLOURS[place]) for place, name in enumerate(candidates.classes)]
    shown = [names[place] for place in sorted(set(said_of["signal_class"].tolist()))]
    for place, one in enumerate(shown):
        parts += svg.legend(TIMELINE_WIDTH - 90 * (len(shown) - place), 20, [one])
    return svg.svg(TIMELINE_WIDTH, height, parts, "timeline of one symbol")


def severities(verdict: Verdict) -> str:
    """A histogram of each class that scored anything, with the promised places of its median and 90th percentile."""
    shown = [one for one in verdict.spreads if one.samples]
    if not shown:
        return svg.svg(WIDTH, 40, [svg.text(20, 24, "no candidate was scored")], "severities")
    width, height = 305.0, 200.0
    panels = []
    for place, one in enumerate(shown):
        most = max(one.counts)
        x = svg.linear(0.0, 100.0, svg.LEFT, width - svg.RIGHT)
        y = svg.linear(0.0, most, height - svg.BOTTOM, svg.TOP)
        title = f"{one.signal_class}: {one.samples:,} scored"
        parts = svg.frame(width, height, title, x, range(0, 101, 20), y, (0.0, float(most)), "severity")
        for low, count in zip(range(0, 100, BIN), one.counts, strict=True):
            left, right = x(low) + 1, x(low + BIN) - 1
            colour = svg.COLOURS[place % len(svg.COLOURS)]
            parts.append(svg.box(left, y(count), right - left, y(0) - y(count), colour, 0.75))
        for quantile, name in zip(one.on_episodes or (), ("p50", "p90"), strict=False):
            parts.append(svg.line(x(quantile), svg.TOP, x(quantile), y(0), svg.INK, 1.5))
            parts.append(svg.text(x(quantile) - 3, svg.TOP + (10 if name == "p50" else 22), name, "end", 10))
        panels.append(
            f'<g transform="translate({number_of(place % 3 * (width + 8))} {number_of(place // 3 * height)})">'
            + "\n".join(parts) + "</g>"
        )  # fmt: skip
    rows = -(-len(shown) // 3)
    return svg.svg(3 * width + 16, rows * height, panels, "severities before the threshold, by class")


def number_of(value: float) -> str:
    return svg.number(value)


def reliabilities(told: Labelled) -> str:
    """Share of scored candidates in the footprint of an episode or decoy, by severity, for each class with labels."""
    height = 320.0
    x = svg.linear(0.0, 100.0, svg.LEFT, WIDTH - svg.RIGHT)
    y = svg.linear(0.0, 1.0, height - svg.BOTTOM, svg.TOP)
    parts = svg.frame(
        WIDTH, height, "how often a severity is right", x, range(0, 101, 20), y, (0.0, 0.25, 0.5, 0.75, 1.0),
        "severity", "share in a footprint",
    )  # fmt: skip
    parts.append(svg.line(x(0), y(0), x(100), y(1), svg.FAINT, 1, "3 4"))
    names = []
    for place, (name, bins) in enumerate(told.bins.items()):
        if not any(one.hit for one in bins):
            continue
        colour = svg.COLOURS[place % len(svg.COLOURS)]
        names.append((name, colour))
        points = [(x(one.low + BIN / 2), y(one.hit)) for one in bins]
        parts.append(svg.path(points, colour, 1.5))
        for (a, b), one in zip(points, bins, strict=True):
            radius = 2.0 + min(6.0, 0.8 * float(np.log1p(one.count)))
            parts.append(svg.dot(a, b, colour, radius, f"{name} {one.low}+: {one.hit:.2f} of {one.count}"))
    parts += svg.legend(svg.LEFT + 10, svg.TOP + 14, names)
    return svg.svg(WIDTH, height, parts, "reliability of severities")


def suppression(verdict: Verdict) -> str:
    """From all candidates to the signals: what each gate takes away, in the order of the gates."""
    totals = {stop.name.lower(): 0 for stop in Stop}
    for reasons in verdict.suppression.values():
        for reason, count in reasons.items():
            totals[reason] += count
    steps = [(reason, count) for reason, count in totals.items() if count and reason != "published"]
    height = svg.TOP + 24.0 * (len(steps) + 2) + 10
    x = svg.linear(0.0, max(1, verdict.candidates), 130, 2 * WIDTH - 110)
    parts = [svg.text(svg.LEFT, 18, "what becomes of candidates", size=13)]
    left = verdict.candidates
    lines = [("candidates", 0, verdict.candidates, svg.FAINT)]
    for reason, count in steps:
        lines.append((reason, left - count, count, svg.COLOURS[1]))
        left -= count
    lines.append(("published", 0, totals["published"], svg.COLOURS[0]))
    for place, (name, begin, count, colour) in enumerate(lines):
        top = svg.TOP + 24.0 * place
        share = 100.0 * count / max(1, verdict.candidates)
        parts.append(svg.text(122, top + 13, name, "end"))
        parts.append(svg.box(x(begin), top, x(begin + count) - x(begin), 16, colour, 0.85))
        parts.append(svg.text(x(begin + count) + 6, top + 13, f"{count:,} ({share:.1f} %)", size=11, colour=svg.FAINT))
    return svg.svg(2 * WIDTH, height, parts, "suppression by gate")


def forwards(verdict: Verdict) -> str:
    """Mean return behind signals in their direction, with its interval, by class and horizon; the costs beside."""
    told = {name: lines for name, lines in verdict.forwards.items() if any(one.mean_bp is not None for one in lines)}
    if not told:
        return svg.svg(WIDTH, 40, [svg.text(20, 24, "no signal with a direction")], "forward returns")
    ends = [bp for lines in told.values() for one in lines for bp in (one.low_bp, one.high_bp) if bp is not None]
    hurdle = (verdict.half_spread_bp or 0.0) + verdict.fee_bp
    low, high = min([*ends, -1.0]), max([*ends, hurdle * 1.1])
    height, width = 320.0, 2.0 * WIDTH
    y = svg.linear(low, high, height - svg.BOTTOM, svg.TOP)
    x = svg.linear(0.0, len(told), svg.LEFT, width - svg.RIGHT)
    parts = svg.frame(
        width, height, "return behind signals, in their direction, at 1, 5 and 15 minutes", x, (), y,
        svg.ticks_between(low, high), y_name="bp",
    )  # fmt: skip
    parts.append(svg.line(svg.LEFT, y(0), width - svg.RIGHT, y(0), svg.INK))
    parts.append(svg.line(svg.LEFT, y(hurdle), width - svg.RIGHT, y(hurdle), svg.COLOURS[1], 1, "4 3"))
    parts.append(svg.text(width - svg.RIGHT, y(hurdle) - 4, "half spread + fee", "end", 11, svg.COLOURS[1]))
    for place, (name, lines) in enumerate(told.items()):
        parts.append(svg.text(x(place + 0.5), height - 22, name, "middle", 12))
        for step, one in enumerate(lines):
            if one.mean_bp is None or one.low_bp is None or one.high_bp is None:
                continue
            across = x(place + (step + 1) / (len(HORIZONS) + 1))
            said = f"{name}, {one.horizon} min: {one.mean_bp:.2f} bp ({one.low_bp:.2f} to {one.high_bp:.2f}), p {one.p}"
            parts.append(svg.line(across, y(one.low_bp), across, y(one.high_bp), svg.COLOURS[0], 2))
            parts.append(svg.dot(across, y(one.mean_bp), svg.COLOURS[0], 4, said))
            parts.append(svg.text(across, height - 8, f"{one.horizon}", "middle", 10, svg.FAINT))
    return svg.svg(width, height, parts, "forward returns")
