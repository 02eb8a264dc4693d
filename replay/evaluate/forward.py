"""Returns behind signals, in their direction: means with intervals that know that minutes hang together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from replay.evaluate.minutes import Minutes

HORIZONS = (1, 5, 15)  # minutes
BLOCK_MINUTES = 60
RESAMPLES, TURNS = 2_000, 1_000
INTERVAL = (2.5, 97.5)  # percentiles
FEE_BP = 4.5  # taker, one way: an assumption, the lowest tier of a venue in 2025


@dataclass(frozen=True, slots=True)
class Forward:
    """Mean return in bp at a horizon, with the interval of a block bootstrap; p: share of random
    directions whose mean is as far from 0, two-sided. None: no signal has a direction and a price that far ahead.
    """

    horizon: int
    signals: int
    mean_bp: float | None
    low_bp: float | None
    high_bp: float | None
    p: float | None


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def ahead(minutes: Minutes, horizon: int) -> np.ndarray:
    """(minutes, symbols): return in bp from each close to that `horizon` minutes later; NaN where one is missing."""
    found = np.full(minutes.shape, np.nan)
    if horizon < len(found):
        found[:-horizon] = 1e4 * (minutes.mid[horizon:] / minutes.mid[:-horizon] - 1.0)
    return found


def forward(rows: np.ndarray, minutes: Minutes, horizon: int, seed: int = 1) -> Forward:
    """rows: CANDIDATE (n,) that were published."""
    path = ahead(minutes, horizon)
    rows = rows[rows["direction"] != 0]
    values = rows["direction"] * path[rows["minute"], rows["symbol"]]
    there = ~np.isnan(values)
    rows, values = rows[there], values[there]
    if not len(values):
        return Forward(horizon, 0, None, None, None, None)
    blocks = rows["minute"] // BLOCK_MINUTES
    low, high = bootstrap(values, blocks, generator(seed))
    p = permute(values, blocks, generator(seed + 1))
    return Forward(horizon, len(values), float(values.mean()), low, high, p)


def bootstrap(values: np.ndarray, blocks: np.ndarray, draw: np.random.Generator) -> tuple[float, float]:
    """Interval of the mean when whole blocks of time, of all symbols, are drawn with replacement."""
    _, place = np.unique(blocks, return_inverse=True)
    sums, counts = np.bincount(place, weights=values), np.bincount(place).astype(np.float64)
    means = np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        drawn = (draw.random(len(sums)) * len(sums)).astype(np.int64)
        means[k] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)


def permute(values: np.ndarray, blocks: np.ndarray, draw: np.random.Generator) -> float:
    """How often directions that know nothing do as well: those of a block of time are turned together, by a coin.

    Turning signals where they stand keeps how violent their minutes are and how they cluster, which moving them to
    other minutes would not.
    """
    _, place = np.unique(blocks, return_inverse=True)
    sums = np.bincount(place, weights=values)
    found = abs(float(sums.sum())) * (1.0 - 1e-12)  # so that the same sum in another order is as far
    turned = np.where(draw.random((TURNS, len(sums))) < 0.5, -1.0, 1.0)
    return (1 + int(np.count_nonzero(np.abs((turned * sums).sum(axis=1)) >= found))) / (1 + TURNS)
