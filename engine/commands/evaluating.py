"""`conveyor evaluate`: what the detectors of a session were worth, against labels and against what prices did next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands import markets, terminal
from engine.commands.terminal import existing_file

if TYPE_CHECKING:
    from replay.evaluate.verdict import Verdict
    from replay.simulate import Label


@click.command(cls=terminal.Verb)
@click.argument("session", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--labels",
    "told",
    type=existing_file,
    metavar="FILE",
    help="Episodes, as `conveyor simulate --json` prints them.",
)
@click.option("--seed", type=click.IntRange(0), help="Of the simulated market that the session is of, for its labels.")
@click.option("--minutes", type=click.IntRange(1), default=10, show_default=True, help="Of that market.")
@click.option("--symbols", type=click.IntRange(3, 200), default=3, show_default=True, help="Of that market.")
@markets.begin_option
@click.option("--script", type=existing_file, metavar="FILE", help="Its episodes (TOML), if it had a script.")
@click.option("--venue", help="Whose minutes are judged, in a session of several.")
@click.option("--fee-bp", type=click.FloatRange(0.0), default=4.5, show_default=True, help="A taker's fee, one way.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("evaluation.html"), show_default=True,
    help="Where the report goes: one HTML file.",
)  # fmt: skip
@click.option("--calibrate", is_flag=True, help="Print the offsets that put each class's median severity at 62.")
@terminal.settings_options("replay")
@terminal.json_option
def evaluate(
    session: Path, told: Path | None, seed: int | None, minutes: int, symbols: int, begin_ns: int | None,
    script: Path | None, venue: str | None, fee_bp: float, out: Path, calibrate: bool, profile: str,
    files: tuple[str, ...], sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Judge the detectors of SESSION, and write a report with pictures.

    With labels (--labels, or --seed of the simulated market): recall by kind and strength, false alarms per symbol-day,
    time to detection, severities, all beside two trivial rules. Without: suppression, budgets and forward returns.
    docs/evaluation.md has every rule.
    """
    from engine.core.detector import CLASSES
    from engine.io.disk import OS_DISK
    from engine.io.outputs import write_whole
    from engine.io.session_reader import SessionReader
    from replay.evaluate.episodes import lay
    from replay.evaluate.report import page
    from replay.evaluate.sessions import read, venue_of
    from replay.evaluate.verdict import judge, weighed

    if told and seed is not None:
        raise click.UsageError("--labels and --seed both say what happened; give one")
    classes = terminal.settings(profile, files, sets).config.core.signals.classes
    with SessionReader(session) as folder:
        name = venue_of(folder, venue)
        labels = _labels(name, told, seed, minutes, symbols, begin_ns, script)
        found, candidates = read(folder, name)
        title = f"{name}, {folder.origin}, chain {folder.manifest['chain'][:16]}"
    truth = lay(labels, found) if labels is not None else None
    verdict = judge(found, candidates, truth, weighed(classes, CLASSES), fee_bp)
    write_whole(OS_DISK, out, page(title, found, candidates, truth, verdict))
    if as_json:
        terminal.emit({"session": str(session), "venue": name, "report": str(out), **verdict.as_dict()})
        return
    _show(verdict, title)
    if calibrate:
        _show_offsets(verdict)
    click.echo(f"{out}: {verdict.signals:,} signals of {verdict.candidates:,} candidates judged")


def _labels(
    venue: str, told: Path | None, seed: int | None, minutes: int, symbols: int, begin_ns: int | None,
    script: Path | None,
) -> list[Label] | None:  # fmt: skip
    """What happened; None: nobody knows."""
    from replay.evaluate.sessions import read_labels

    if told:
        return read_labels(told)
    if seed is None:
        return None
    from replay import simulate

    market = simulate.Market(
        seed=seed, minutes=minutes, symbols=symbols, venue=venue,  # type: ignore[arg-type]
        episodes=simulate.read_script(script) if script else "default",
    )  # fmt: skip
    return simulate.labels(market if begin_ns is None else replace(market, first_minute_ns=begin_ns))


def _show(verdict: Verdict, title: str) -> None:
    told = verdict.labelled
    if told is not None:
        rows = [[one.what, one.wanted, one.found, _mark(one.is_kept)] for one in told.promises]
        terminal.table(("number to reach", "wanted", "found", ""), _rounded(rows), title=title)
        heads = ("alarms", "in true ones", "in decoys", "outside", "outside per symbol-day")
        terminal.table(
            heads,
            _rounded([[name, a.in_true, a.in_decoys, a.outside, a.per_day] for name, a in told.alarms.items()]),
        )
    lines = [
        [name, one.horizon, one.signals, one.mean_bp, one.low_bp, one.high_bp, one.p]
        for name, lines in verdict.forwards.items() for one in lines if one.signals
    ]  # fmt: skip
    if not verdict.signals:
        reasons = Counter[str]()
        for stopped in verdict.suppression.values():
            reasons.update(stopped)
        told_of = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common() if count)
        terminal.note(f"no signal was published; what stopped the candidates: {told_of or 'there were none'}")
    if lines:
        columns = ("class", "minutes", "signals", "mean bp", "2.5 %", "97.5 %", "p")
        terminal.table(columns, _rounded(lines), title="what prices did behind signals")


def _show_offsets(verdict: Verdict) -> None:
    if verdict.labelled is None:
        terminal.note("offsets are fitted on labelled episodes; give --labels or --seed")
        return
    rows = [[name, offset] for name, offset in verdict.labelled.offsets.items()]
    terminal.table(("class", "offset"), _rounded(rows))


def _mark(is_kept: bool | None) -> str:
    return "" if is_kept is None else "kept" if is_kept else "not kept"


def _rounded(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [[f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row] for row in rows]
