"""The report: one HTML file with its pictures inside, readable without scripts, network or server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.core.minutes import label
from replay.evaluate import pictures
from replay.evaluate.episodes import HEADLINE, HIT_MINUTES, SEEN_BY, Truth
from replay.evaluate.matching import ALL_MORE, CUTS, FALSE_LEAST, FALSE_MOST, MISSED
from replay.evaluate.minutes import Candidates, Minutes
from replay.evaluate.verdict import RATES, Labelled, Verdict

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 960px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #dde; }
table { border-collapse: collapse; font-size: 13px; margin: 0.8em 0; }
th, td { padding: 2px 10px 2px 0; text-align: right; border-bottom: 1px solid #eef; }
th { color: #667; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
.kept { color: #009e73; } .broken { color: #d55e00; } .note { color: #667; font-size: 13px; }
svg { max-width: 100%; height: auto; }
"""
Cell = str | int | float | None


def page(title: str, minutes: Minutes, candidates: Candidates, truth: Truth | None, verdict: Verdict) -> bytes:
    """The same bytes for the same figures: nothing in it is of the day on which it is made."""
    told = verdict.labelled
    parts = [f"<h1>Detectors judged: {escape(title)}</h1>", _summary(minutes, verdict)]
    if told is not None:
        parts += _promised(told)
        parts += ["<h2>Recall against false alarms</h2>", pictures.recall_curves(told), _rates(told), _alarms(told)]
    parts += ["<h2>Some hours of one symbol</h2>", pictures.timeline(minutes, candidates, truth)]
    if told is not None:
        parts += ["<h2>Recall by kind and strength</h2>", _recalls(told), _delays(told)]
    parts += ["<h2>Severity</h2>", pictures.severities(verdict), _severities(verdict)]
    if told is not None:
        parts += [pictures.reliabilities(told), _bins(told)]
    parts += ["<h2>Suppression and budgets</h2>", pictures.suppression(verdict), _suppression(verdict)]
    parts += ["<h2>Forward returns</h2>", pictures.forwards(verdict), _forwards(verdict)]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'.encode()


def _cell(value: Cell) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else escape(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = "\n".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>"


def _note(said: str) -> str:
    return f'<p class="note">{escape(said)}</p>'


def _summary(minutes: Minutes, verdict: Verdict) -> str:
    last = minutes.first + verdict.minutes - 1
    per_day = verdict.signals / verdict.open_days if verdict.open_days else 0.0
    return (
        f"<p>{verdict.symbols} symbols, minutes {label(minutes.first)} to {label(last)} UTC: {verdict.ok_days:.2f} "
        f"symbol-days that are ok, {verdict.open_days:.2f} of them open (in the universe, warm, liquid). "
        f"{verdict.candidates:,} candidates became {verdict.signals:,} signals, {per_day:.2f} per open symbol-day, "
        f"{verdict.signals_not_ok} of them in a minute that is not ok.</p>"
    )


def _promised(told: Labelled) -> list[str]:
    lines = []
    for one in told.promises:
        mark = "-" if one.is_kept is None else "kept" if one.is_kept else "not kept"
        style = "" if one.is_kept is None else f' class="{"kept" if one.is_kept else "broken"}"'
        cells = f"<td>{escape(one.what)}</td><td>{escape(one.wanted)}</td><td>{_cell(one.found)}</td>"
        lines.append(f"<tr>{cells}<td{style}>{mark}</td></tr>")
    head = "<tr><th>number to reach</th><th>wanted</th><th>found</th><th></th></tr>"
    closed = told.headline["strong_closed_too"]
    return [
        "<h2>Numbers to reach</h2>",
        f"<table><thead>{head}</thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody></table>",
        _note(
            f"Recall: share of the true episodes whose footprint's minute is open and whose kind class `{HEADLINE}` "
            f"can see, that had a published signal of the class in the footprint's minute or in the "
            f"{HIT_MINUTES - 1} behind it. With minutes that are not open counted as missed, recall of 4 sigma and "
            f"more is {_cell(closed)}; decoys of that strength, whose footprint is the same, were told in "
            f"{_cell(told.headline['decoys_strong'])} of cases."
        ),
    ]


def _rates(told: Labelled) -> str:
    rows: list[list[Cell]] = []
    for name, points in told.at_rates.items():
        for strength in ("strong", "weak"):
            values = [getattr(point, strength) if point else None for point in points]
            rows.append([f"{name}, {'4 sigma and more' if strength == 'strong' else '3 sigma'}", *values])
    return _table(["recall at false alarms per symbol-day of at most", *(f"{rate:g}" for rate in RATES)], rows) + _note(
        "A curve of the detectors goes over the raw score of all scored candidates of the class, without the gates "
        "behind the threshold. Minutes in a row are one alarm of a rule or curve; every published signal counts. "
        + _resolved(told)
    )


def _resolved(told: Labelled) -> str:
    """How fine the curves are."""
    more = 100.0 * ((FALSE_MOST / FALSE_LEAST) ** (1.0 / (CUTS - 1)) - 1.0)
    points = ", ".join(f"{len(curve)} of {name}" for name, curve in told.curves.items())
    return (
        f"A curve is as fine as its thresholds (here {points}): the strictest one lets no minute outside of episodes "
        f"through, the next one at least, each other some {more:.0f} % more than the one before, and a recall above "
        "is that of the best of them at its rate or below."
    )


def _alarms(told: Labelled) -> str:
    rows = [
        [name, one.in_true, one.in_decoys, one.outside, one.per_day, one.decoys_per_day, one.precision]
        for name, one in told.alarms.items()
    ]
    heads = ["alarms", "in true ones", "in decoys", "outside", "outside, per day", "in decoys, per day", "precision"]
    return _table(heads, rows)


def _recalls(told: Labelled) -> str:
    rows: list[list[Cell]] = []
    for one in told.recalls:
        low, high = one.strength
        span = f"{low:g} and more" if high >= ALL_MORE else f"{low:g} to {high:g}"
        seen_by = ", ".join(SEEN_BY[one.kind]) or "nobody"
        rows.append([
            one.kind, span, one.episodes, one.by_class, one.by_any, one.decoys, one.decoys_seen, one.closed, seen_by
        ])  # fmt: skip
    heads = [
        "kind", "sigma", "episodes", f"seen by {HEADLINE}", "by any class", "decoys", "seen", "not open",
        "can be seen by",
    ]  # fmt: skip
    return _table(heads, rows)


def _delays(told: Labelled) -> str:
    rows: list[list[Cell]] = [
        ["missed" if delay == str(MISSED) else f"{delay} min", count] for delay, count in told.delays.items()
    ]
    return _table(["time to detection, from the close of the footprint's minute", "episodes"], rows)


def _severities(verdict: Verdict) -> str:
    rows: list[list[Cell]] = []
    for one in verdict.spreads:
        if one.samples:
            on, over = one.on_episodes or (None, None), one.over_all or (None, None)
            offset = verdict.labelled.offsets.get(one.signal_class) if verdict.labelled else None
            rows.append([one.signal_class, one.samples, *over, one.labelled, *on, offset])
    heads = ["class", "scored", "p50", "p90", "in footprints", "p50", "p90", "offset for a p50 of 62"]
    return _table(heads, rows) + _note(
        "Before the threshold. To reach in footprints: p50 of 55 to 70, p90 of 80 to 95."
    )


def _bins(told: Labelled) -> str:
    rows: list[list[Cell]] = [
        [name, f"{one.low} to {one.low + 9 if one.low < 90 else 100}", one.count, one.hit, one.true]
        for name, bins in told.bins.items() if any(one.hit for one in bins) for one in bins
    ]  # fmt: skip
    return _table(["class", "severity", "scored", "share in a footprint", "of a true one"], rows)


def _suppression(verdict: Verdict) -> str:
    reasons = list(dict.fromkeys(reason for of in verdict.suppression.values() for reason in of))
    rows: list[list[Cell]] = [
        [name, *(of.get(reason, 0) for reason in reasons), verdict.signals_per_day[name], verdict.key_most.get(name, 0)]
        for name, of in verdict.suppression.items() if of
    ]  # fmt: skip
    heads = ["class", *reasons, "signals per open symbol-day", "most of a symbol in a minute"]
    return _table(heads, rows) + _note(f"Most signals of the whole engine in one minute: {verdict.minute_most}.")


def _forwards(verdict: Verdict) -> str:
    rows: list[list[Cell]] = []
    for name, lines in verdict.forwards.items():
        for one in lines:
            rows.append([name, one.horizon, one.signals, one.mean_bp, one.low_bp, one.high_bp, one.p])
    heads = ["class", "minutes", "signals", "mean bp", "2.5 %", "97.5 %", "p"]
    half = verdict.half_spread_bp
    return _table(heads, rows) + _note(
        "In the direction of the signal, from the mid at its close. Intervals: bootstrap of blocks of an hour of all "
        "symbols; p: share of 1,000 random directions, one for each hour, that come as far from 0. A taker pays half "
        f"the spread ({_cell(half)} bp at these signals) and a fee ({verdict.fee_bp:g} bp, assumed) each way. On a "
        "simulated market these say nothing of what a strategy would earn."
    )
