"""Alarms against episodes: what was seen and when, what was said of nothing, and both by threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.core.minutes import MINUTES_PER_DAY
from replay.evaluate.episodes import HIT_MINUTES, IN_DECOY, IN_TRUE, OUTSIDE, Truth
from replay.evaluate.minutes import Minutes

CUTS = 60  # thresholds of a curve, at most, behind the strictest
FALSE_LEAST, FALSE_MOST = 0.05, 50.0  # minutes outside of episodes per symbol-day that they let through
MISSED = -1
ALL_MORE = 100.0  # sigma: no episode is so strong
STRENGTHS = ((1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, ALL_MORE))  # sigma, from (included) to (excluded)
WEAK, STRONG = STRENGTHS[2], STRENGTHS[3]  # of which a recall is promised


def alarms_of(rows: np.ndarray, minutes: Minutes) -> np.ndarray:
    """(minutes, symbols) bool: where candidates, CANDIDATE (n,), stand."""
    said = np.zeros(minutes.shape, bool)
    said[rows["minute"], rows["symbol"]] = True
    return said


def scores_of(rows: np.ndarray, minutes: Minutes) -> np.ndarray:
    """(minutes, symbols): the largest raw score of the candidates there; NaN: none was scored."""
    best = np.full(minutes.shape, -np.inf)
    np.maximum.at(best, (rows["minute"], rows["symbol"]), rows["raw"])
    best[np.isneginf(best)] = np.nan
    return best


def delays(said: np.ndarray, truth: Truth) -> np.ndarray:
    """(episodes,) minutes from the footprint's own to the first alarm; MISSED: none in HIT_MINUTES."""
    found = np.full(len(truth.episodes), MISSED)
    minute, symbol = truth.episodes["minute"], truth.episodes["symbol"]
    for delay in reversed(range(HIT_MINUTES)):
        inside = minute + delay < len(said)
        found[inside] = np.where(said[(minute + delay)[inside], symbol[inside]], delay, found[inside])
    return found


def share(hits: np.ndarray) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def of_strength(truth: Truth, strength: tuple[float, float]) -> np.ndarray:
    sigma = truth.episodes["sigma"]
    return (sigma >= strength[0]) & (sigma < strength[1])


@dataclass(frozen=True, slots=True)
class Alarms:
    """Alarms in minutes that are open. per_day: outside of any episode, per symbol-day of open minutes there.
    Precision: the share of those in a true episode.
    """

    in_true: int
    in_decoys: int
    outside: int
    per_day: float
    decoys_per_day: float

    @property
    def precision(self) -> float | None:
        total = self.in_true + self.in_decoys + self.outside
        return self.in_true / total if total else None


def count_alarms(said: np.ndarray, truth: Truth, minutes: Minutes, merged: bool = True) -> Alarms:
    """merged: an alarm that goes on from the minute before is the same alarm; else every minute with one counts."""
    begun = said & minutes.is_open
    if merged:
        begun[1:] &= ~said[:-1]
    counts = np.bincount(truth.inside[begun], minlength=3)
    days = np.bincount(truth.inside[minutes.is_open], minlength=3) / MINUTES_PER_DAY
    rates = [float(count / span) if span else 0.0 for count, span in zip(counts, days, strict=True)]
    return Alarms(int(counts[IN_TRUE]), int(counts[IN_DECOY]), int(counts[OUTSIDE]), rates[OUTSIDE], rates[IN_DECOY])


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold of a rule: false alarms per symbol-day, recall of weak and of strong episodes, alarms in decoys."""

    cut: float
    per_day: float
    weak: float
    strong: float
    decoys_per_day: float


def curve_of(score: np.ndarray, truth: Truth, minutes: Minutes, wanted: np.ndarray) -> list[Point]:
    """The operating curve of a rule that says something where its score reaches a threshold, from strict to loose.

    The strictest threshold lets nothing outside of episodes through. score: (minutes, symbols), NaN: silent. wanted:
    (episodes,) bool, of which the recall is.
    """
    score = np.where(minutes.is_open, score, np.nan)
    days = np.count_nonzero((truth.inside == OUTSIDE) & minutes.is_open) / MINUTES_PER_DAY
    if not days:
        return []
    ordered = np.sort(score[(truth.inside == OUTSIDE) & ~np.isnan(score)])[::-1]
    cuts = [np.nextafter(ordered[0], np.inf) if len(ordered) else -np.inf]
    if len(ordered):
        ranks = (np.geomspace(FALSE_LEAST, FALSE_MOST, CUTS) * days).astype(np.int64)
        cuts += np.unique(ordered[np.minimum(ranks, len(ordered) - 1)])[::-1].tolist()
    weak, strong = wanted & of_strength(truth, WEAK), wanted & of_strength(truth, STRONG)
    points = []
    for cut in map(float, cuts):
        said = score >= cut
        seen = delays(said, truth) != MISSED
        alarms = count_alarms(said, truth, minutes)
        recalls = share(seen[weak]) or 0.0, share(seen[strong]) or 0.0
        points.append(Point(cut, alarms.per_day, *recalls, alarms.decoys_per_day))
    return points


def at_rate(curve: list[Point], per_day: float) -> Point | None:
    """The point of a curve with the largest strong recall at so many false alarms or fewer; None: it has none."""
    within = [point for point in curve if point.per_day <= per_day]
    return max(within, key=lambda point: (point.strong, point.weak)) if within else None
