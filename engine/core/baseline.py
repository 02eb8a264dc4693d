"""Location and scale of one normalised number, as its past `ok` minutes (or bars) taught them.

A value waits until the next close, because a revision in grace may still change it; then it is folded and never taken
back. docs/features.md, Baselines, has the recipe and why each of its numbers is what it is.
"""

from __future__ import annotations

import numpy as np

from engine.core.detmath import log, pow
from engine.core.kernel import inlined, kernel
from engine.core.layouts import layout

SEED_VALUES = 200  # that the first location and scale are made of
MAD_TO_SCALE = 1.4826  # median absolute deviation to standard deviation, of a normal distribution
MEAN_HALF_LIFE = 1.0 / 3.0  # of that of the scale: a trend of days stays small beside the scale
RETURN_MIN = 1e-6  # added to |return| before its logarithm: a return of 0 has one too
CLIP = 8.0  # scales beyond which a distance counts as if it were so long

BASELINE = layout("baseline", """
    minute            newest minute (or bar) it was asked about; -1: none
    values            values folded so far
    ~mean             location
    ~scale            scale, as a standard deviation
    ~waiting          value of the newest minute, if that is ok: folded at the next close; NaN: none
""")  # fmt: skip


@inlined
def positive_log(value):
    """ln of what is above 0, else NaN."""
    return log(value) if value > 0.0 else np.nan


@inlined
def signed_root(value):
    """Root of |x| with the sign of x: what has long tails on both sides gets shorter ones."""
    return np.copysign(np.sqrt(abs(value)), value)


@kernel
def step_weight(half_life):
    """Weight of one more value, half_life in values: of the scale, or MEAN_HALF_LIFE of that, of the location."""
    return 1.0 - pow(2.0, -1.0 / half_life)


@kernel
def put_seed(seeds, held, value):
    """Put a value at its place among the first `held` of seeds, which ascend."""
    place = held
    while place > 0 and seeds[place - 1] > value:
        seeds[place] = seeds[place - 1]
        place -= 1
    seeds[place] = value


@inlined
def clip(distance, scale):
    """A distance from the location, at most CLIP scales long."""
    return min(max(distance, -CLIP * scale), CLIP * scale)


@kernel
def median_distance(seeds, middle):
    """Median of the distances of all seeds, which ascend, from their median."""
    below, above = SEED_VALUES // 2 - 1, SEED_VALUES // 2  # the nearest ones that were not looked at yet
    nearer, distance = 0.0, 0.0
    for _ in range(SEED_VALUES // 2 + 1):
        nearer = distance
        down = middle - seeds[below] if below >= 0 else np.inf
        up = seeds[above] - middle if above < SEED_VALUES else np.inf
        distance = min(down, up)
        if down <= up:
            below -= 1
        else:
            above += 1
    return (nearer + distance) / 2.0


@kernel
def begin(baseline, seeds, scale_min):
    """Mean and deviation of the seeds, all there and ascending; what lies too far from their median is clipped."""
    middle = (seeds[SEED_VALUES // 2 - 1] + seeds[SEED_VALUES // 2]) / 2.0
    width = max(MAD_TO_SCALE * median_distance(seeds, middle), scale_min)
    total, squares = 0.0, 0.0
    for i in range(SEED_VALUES):
        total += clip(seeds[i] - middle, width)
    shift = total / SEED_VALUES
    for i in range(SEED_VALUES):
        away = clip(seeds[i] - middle, width) - shift
        squares += away * away
    baseline.mean = middle + shift
    baseline.scale = max(np.sqrt(squares / SEED_VALUES), scale_min)


@kernel
def fold(baseline, seeds, value, mean_weight, scale_weight, scale_min):
    """One more value. Weights: step_weight of both half-lives; scale_min: least scale, in the unit of the value."""
    baseline.values += 1
    if baseline.values <= SEED_VALUES:
        put_seed(seeds, baseline.values - 1, value)
        if baseline.values == SEED_VALUES:
            begin(baseline, seeds, scale_min)
        return
    away = clip(value - baseline.mean, baseline.scale)
    variance = baseline.scale * baseline.scale
    variance += max(scale_weight, 1.0 / baseline.values) * (away * away - variance)
    baseline.mean += max(mean_weight, 1.0 / baseline.values) * away
    baseline.scale = max(np.sqrt(variance), scale_min)


@kernel
def normalise(baseline, seeds, minute, value, is_ok, mean_weight, scale_weight, scale_min):
    """(z, location, scale) of a value by what came before its minute, and let it wait; NaN before the seed is there.

    For the first close of a minute, or again for a revision of it. Without a value, NaN, z alone is NaN. Weights and
    scale_min: as `fold`.
    """
    if minute > baseline.minute:
        baseline.minute = minute
        if baseline.waiting == baseline.waiting:
            fold(baseline, seeds, baseline.waiting, mean_weight, scale_weight, scale_min)
    baseline.waiting = value if is_ok else np.nan
    if baseline.values < SEED_VALUES:
        return np.nan, np.nan, np.nan
    return (value - baseline.mean) / baseline.scale, baseline.mean, baseline.scale
