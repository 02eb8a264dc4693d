"""All figures of an evaluation, as one value that prints as JSON and from which the report is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.core.signal_columns import Stop
from replay.evaluate.episodes import HEADLINE, Truth
from replay.evaluate.forward import FEE_BP, HORIZONS, Forward, forward
from replay.evaluate.matching import (
    MISSED,
    STRENGTHS,
    STRONG,
    WEAK,
    Alarms,
    Point,
    alarms_of,
    at_rate,
    count_alarms,
    curve_of,
    delays,
    of_strength,
    scores_of,
    share,
)
from replay.evaluate.minutes import Candidates, Minutes, symbol_days
from replay.evaluate.severity import MEDIAN_RANGE, TOP_RANGE, Bin, Spread, offset_of, reliability, spread_of
from replay.simulate.script import KINDS

RULES = ("volume z", "last return")
FIXED_SIGMA = 3.0  # where the trivial rule of the volume stands
RATES = (0.5, 1.0, 2.0, 5.0, 10.0)  # false alarms per symbol-day at which curves are compared


@dataclass(frozen=True, slots=True)
class Promise:
    """A number to reach, and what was found; None: it cannot be told here."""

    what: str
    wanted: str
    found: float | None
    is_kept: bool | None


@dataclass(frozen=True, slots=True)
class Recall:
    """Of true episodes of one kind and strength whose minute is open: how many, and which share was seen.

    by_class: by a published signal of the headline class; by_any: of any class. decoys, decoys_seen: of decoys, by the
    headline class. closed: true ones whose minute is not open.
    """

    kind: str
    strength: tuple[float, float]
    episodes: int
    by_class: float | None
    by_any: float | None
    decoys: int
    decoys_seen: float | None
    closed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """labelled is None for a session without labels. suppression: class -> reason -> candidates."""

    minutes: int
    symbols: int
    ok_days: float
    open_days: float
    candidates: int
    signals: int
    signals_not_ok: int
    signals_per_day: dict[str, float]
    suppression: dict[str, dict[str, int]]
    minute_most: int
    key_most: dict[str, int]
    spreads: list[Spread]
    forwards: dict[str, list[Forward]]
    half_spread_bp: float | None
    fee_bp: float
    labelled: Labelled | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Labelled:
    """What labels tell. curves, at_rates: by rule, `detectors` first, of the headline class; delays: minutes from the
    footprint's own to the signal -> episodes; offsets: proposed, by class.
    """

    episodes: int
    decoys: int
    headline: dict[str, float | None]
    alarms: dict[str, Alarms]
    recalls: list[Recall]
    delays: dict[str, int]
    curves: dict[str, list[Point]]
    at_rates: dict[str, list[Point | None]]
    at_ours: dict[str, Point | None]
    bins: dict[str, list[Bin]]
    offsets: dict[str, float | None]
    promises: list[Promise]


def judge(
    minutes: Minutes, candidates: Candidates, truth: Truth | None, steepness: dict[str, float], fee_bp: float = FEE_BP
) -> Verdict:
    """steepness: by class, as the pack has it."""
    published, classes = candidates.published, candidates.classes
    forwards = {name: [forward(rows, minutes, h) for h in HORIZONS] for name, rows in _by_class(candidates).items()}
    at_signals = minutes.spread_bp[published["minute"], published["symbol"]]
    return Verdict(
        minutes=minutes.shape[0],
        symbols=minutes.shape[1],
        ok_days=symbol_days(minutes.is_ok),
        open_days=symbol_days(minutes.is_open),
        candidates=len(candidates.rows),
        signals=len(published),
        signals_not_ok=int(np.count_nonzero(~minutes.is_ok[published["minute"], published["symbol"]])),
        signals_per_day={
            name: _per(len(candidates.of_class(published, name)), symbol_days(minutes.is_open)) for name in classes
        },
        suppression={name: _reasons(candidates.of_class(candidates.rows, name)) for name in classes},
        minute_most=_most(published["minute"]),
        key_most={
            name: _most(rows["minute"] * minutes.shape[1] + rows["symbol"])
            for name in classes if len(rows := candidates.of_class(published, name))
        },
        spreads=[spread_of(candidates, truth, minutes, name) for name in classes],
        forwards=forwards,
        half_spread_bp=float(np.nanmean(at_signals)) / 2.0 if len(at_signals) else None,
        fee_bp=fee_bp,
        labelled=None if truth is None else _label(minutes, candidates, truth, steepness),
    )  # fmt: skip


def _by_class(candidates: Candidates) -> dict[str, np.ndarray]:
    """Published signals: of all classes, and of each that has some."""
    found = {"all": candidates.published}
    for name in candidates.classes:
        rows = candidates.of_class(candidates.published, name)
        if len(rows):
            found[name] = rows
    return found


def _per(count: int, days: float) -> float:
    return count / days if days else 0.0


def _most(places: np.ndarray) -> int:
    """How often the most frequent value comes."""
    return int(np.unique(places, return_counts=True)[1].max()) if len(places) else 0


def _reasons(rows: np.ndarray) -> dict[str, int]:
    counts = np.bincount(rows["reason"], minlength=len(Stop))
    return {stop.name.lower(): int(counts[stop]) for stop in Stop if counts[stop]}


def _label(minutes: Minutes, candidates: Candidates, truth: Truth, steepness: dict[str, float]) -> Labelled:
    published = candidates.of_class(candidates.published, HEADLINE)
    said, any_said = alarms_of(published, minutes), alarms_of(candidates.published, minutes)
    able, true, is_open = truth.seen_by(HEADLINE), ~truth.episodes["decoy"], truth.episodes["is_open"]
    late = delays(said, truth)
    seen, seen_by_any = late != MISSED, delays(any_said, truth) != MISSED
    wanted = able & true & is_open
    headline = {
        "weak": share(seen[wanted & of_strength(truth, WEAK)]),
        "strong": share(seen[wanted & of_strength(truth, STRONG)]),
        "weak_closed_too": share(seen[able & true & of_strength(truth, WEAK)]),
        "strong_closed_too": share(seen[able & true & of_strength(truth, STRONG)]),
        "decoys_strong": share(seen[able & ~true & is_open & of_strength(truth, STRONG)]),
    }
    alarms = {"signals": count_alarms(said, truth, minutes, merged=False)}
    fixed = minutes.is_open & (minutes.volume_sigma >= FIXED_SIGMA)
    alarms[f"volume z >= {FIXED_SIGMA:g}"] = count_alarms(fixed, truth, minutes)
    alarms[f"last return >= {FIXED_SIGMA:g}"] = count_alarms(
        minutes.is_open & (minutes.return_sigma >= FIXED_SIGMA), truth, minutes
    )
    scores = {
        "detectors": scores_of(candidates.of_class(candidates.scored, HEADLINE), minutes),
        RULES[0]: minutes.volume_sigma,
        RULES[1]: minutes.return_sigma,
    }
    curves = {name: curve_of(score, truth, minutes, wanted) for name, score in scores.items()}
    ours = alarms["signals"].per_day
    recalls = [
        _recall(kind, strength, truth, seen, seen_by_any) for kind in range(len(KINDS)) for strength in STRENGTHS
    ]
    return Labelled(
        episodes=int(true.sum()),
        decoys=int((~true).sum()),
        headline=headline,
        alarms=alarms,
        recalls=[one for one in recalls if one.episodes or one.decoys or one.closed],
        delays={str(delay): int(np.count_nonzero(late[wanted] == delay)) for delay in np.unique(late[wanted]).tolist()},
        curves=curves,
        at_rates={name: [at_rate(curve, rate) for rate in RATES] for name, curve in curves.items()},
        at_ours={name: at_rate(curves[name], ours) for name in RULES},
        bins={name: reliability(candidates, truth, minutes, name) for name in candidates.classes},
        offsets={name: offset_of(candidates, truth, minutes, name, steepness[name]) for name in candidates.classes},
        promises=promises(
            headline,
            ours,
            {name: at_rate(curves[name], ours) for name in RULES},
            int(np.count_nonzero(~minutes.is_ok[candidates.published["minute"], candidates.published["symbol"]])),
            spread_of(candidates, truth, minutes, HEADLINE),
        ),
    )


def _recall(
    kind: int, strength: tuple[float, float], truth: Truth, seen: np.ndarray, seen_by_any: np.ndarray
) -> Recall:
    mine = (truth.episodes["kind"] == kind) & of_strength(truth, strength)
    decoy, is_open = truth.episodes["decoy"], truth.episodes["is_open"]
    true = mine & ~decoy & is_open
    decoys = mine & decoy & is_open
    return Recall(
        KINDS[kind], strength, int(true.sum()), share(seen[true]), share(seen_by_any[true]), int(decoys.sum()),
        share(seen[decoys]), int((mine & ~decoy & ~is_open).sum()),
    )  # fmt: skip


def promises(
    headline: dict[str, float | None], per_day: float, at_ours: dict[str, Point | None], not_ok: int, spread: Spread
) -> list[Promise]:  # fmt: skip
    """The numbers to reach that labels can tell. per_day: false alarms; not_ok: signals in minutes that are not ok."""
    strong, weak = headline["strong"], headline["weak"]
    found = [
        Promise("recall of 4 sigma and more", ">= 0.90", strong, None if strong is None else strong >= 0.90),
        Promise("recall of 3 sigma", ">= 0.50", weak, None if weak is None else weak >= 0.50),
        Promise("signals per symbol-day outside of any episode", "<= 1", per_day, per_day <= 1.0),
    ]
    for name, point in at_ours.items():
        theirs = point.strong if point else 0.0
        kept = None if strong is None else strong > theirs
        found.append(Promise(f"recall of 4 sigma and more over `{name}` at as many false alarms", "more", theirs, kept))
    found.append(Promise("signals in minutes that are not ok", "0", float(not_ok), not_ok == 0))
    for place, (name, (low, high)) in enumerate((("median", MEDIAN_RANGE), ("90th percentile", TOP_RANGE))):
        severity = spread.on_episodes[place] if spread.on_episodes else None
        kept = None if severity is None else low <= severity <= high
        what = f"{name} of severities in footprints, before the threshold, class {spread.signal_class}"
        found.append(Promise(what, f"{low:g} to {high:g}", severity, kept))
    return found


def weighed(settings: Any, classes: Sequence[str]) -> dict[str, float]:
    """Steepness by class, of config.signals.Classes."""
    return {name: getattr(settings, name).steepness for name in classes}
