"""How much of a venue is carried: the wanted symbols' share of the 24 h volume that the venue lists."""

from __future__ import annotations

import numpy as np


def coverage_of(candidates: np.ndarray, order: np.ndarray, wanted_pct: int) -> tuple[float | None, int]:
    """The share, None without a list, and how many of the largest symbols would make `wanted_pct` of the volume."""
    mine = candidates[order]
    mine = mine[(mine["listed"] > 0) & (mine["day_volume"] > 0)]
    total = covered = 0.0
    for volume, wanted in zip(mine["day_volume"].tolist(), mine["wanted"].tolist(), strict=True):
        total += volume
        covered += volume if wanted else 0.0
    if not total:
        return None, 0
    reached, enough = 0.0, 0
    for volume in sorted(mine["day_volume"].tolist(), reverse=True):
        if 100.0 * reached >= wanted_pct * total:
            break
        reached, enough = reached + volume, enough + 1
    return covered / total, enough
