"""What a severity means: how it spreads, how often it is right, and the offset that puts a class where it belongs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from replay.evaluate.episodes import HIT_MINUTES, OUTSIDE, Truth
from replay.evaluate.minutes import Candidates, Minutes

BIN = 10  # of severity
MEDIAN, MEDIAN_RANGE, TOP_RANGE = 62.0, (55.0, 70.0), (80.0, 95.0)  # promised of a class, p50 and p90
SAMPLES_MIN = 30


@dataclass(frozen=True, slots=True)
class Spread:
    """Severities of a class before the threshold. counts: by bins of BIN from 0, the last one with 100.

    on_episodes: of the candidates in the footprints of episodes and decoys, which look alike, of those kinds that the
    class can see; None: fewer than SAMPLES_MIN.
    """

    signal_class: str
    samples: int
    counts: tuple[int, ...]
    labelled: int
    on_episodes: tuple[float, float] | None  # median and 90th percentile
    over_all: tuple[float, float] | None


def footprints(truth: Truth, minutes: Minutes, name: str) -> np.ndarray:
    """(minutes, symbols) bool: where an alarm hits an episode or a decoy that the class can see."""
    found = np.zeros(minutes.shape, bool)
    seen = truth.episodes[truth.seen_by(name)]
    for delay in range(HIT_MINUTES):
        inside = seen[seen["minute"] + delay < len(found)]
        found[inside["minute"] + delay, inside["symbol"]] = True
    return found


def spread_of(candidates: Candidates, truth: Truth | None, minutes: Minutes, name: str) -> Spread:
    rows = candidates.of_class(candidates.scored, name)
    severity = rows["severity"]
    counts = np.bincount(np.minimum(severity // BIN, 100 // BIN - 1), minlength=100 // BIN)
    labelled = severity[:0]
    if truth is not None:
        labelled = severity[footprints(truth, minutes, name)[rows["minute"], rows["symbol"]]]
    return Spread(name, len(rows), tuple(counts.tolist()), len(labelled), _quantiles(labelled), _quantiles(severity))


def _quantiles(severity: np.ndarray) -> tuple[float, float] | None:
    if len(severity) < SAMPLES_MIN:
        return None
    middle, top = np.percentile(severity, (50, 90))
    return float(middle), float(top)


@dataclass(frozen=True, slots=True)
class Bin:
    """Scored candidates of severities from `low` on: how many, and which share of them is right.

    hit: in the footprint of an episode or of a decoy that the class can see. true: of an episode alone.
    """

    low: int
    count: int
    hit: float
    true: float


def reliability(candidates: Candidates, truth: Truth, minutes: Minutes, name: str) -> list[Bin]:
    """Bins that hold a candidate. What lies inside of an episode but behind its footprint is neither, and left out."""
    rows = candidates.of_class(candidates.scored, name)
    place = rows["minute"], rows["symbol"]
    hit = footprints(truth, minutes, name)[place]
    only_true = Truth(truth.episodes[~truth.episodes["decoy"]], truth.inside)
    true = footprints(only_true, minutes, name)[place]
    counted = hit | (truth.inside[place] == OUTSIDE)
    found = []
    for low in range(0, 100, BIN):
        mine = counted & (rows["severity"] // BIN == low // BIN)
        if low == 100 - BIN:
            mine |= counted & (rows["severity"] == 100)
        if mine.any():
            found.append(Bin(low, int(mine.sum()), float(hit[mine].mean()), float(true[mine].mean())))
    return found


def offset_of(candidates: Candidates, truth: Truth, minutes: Minutes, name: str, steepness: float) -> float | None:
    """The offset under which the class's median severity on labelled episodes is MEDIAN; None: too few of them."""
    rows = candidates.of_class(candidates.scored, name)
    rows = rows[footprints(truth, minutes, name)[rows["minute"], rows["symbol"]]]
    if len(rows) < SAMPLES_MIN:
        return None
    return float(np.median(rows["raw"])) - math.log(MEDIAN / (100.0 - MEDIAN)) / steepness
