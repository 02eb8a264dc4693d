"""How much of a venue is carried: the wanted symbols' share of the 24 h volume that the venue lists."""

from __future__ import annotations

import numpy as np


def coverage_of(candidates: np.ndarray, order: np.ndarray, wanted_pct: int) -> tuple[float | None, int]:
    """The share, None without a list, and how many of the largest symbols would make `wanted_pct` of the volume."""
    mine = order[(candidates["listed"][order] > 0) & (candidates["day_volume"][order] > 0)]
    volumes = candidates["day_volume"][mine].tolist()
    total = covered = 0.0
    for volume, wanted in zip(volumes, candidates["wanted"][mine].tolist(), strict=True):
        total += volume
        covered += volume if wanted else 0.0
    if not total:
        return None, 0
    reached, enough = 0.0, 0
    for volume in sorted(volumes, reverse=True):
        if 100.0 * reached >= wanted_pct * total:
            break
        reached, enough = reached + volume, enough + 1
    return covered / total, enough
