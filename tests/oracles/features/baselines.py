"""Location and scale of what is normalised (docs/features.md, Baselines): every step of every baseline, one by one.

`columns` is what the other oracles said of the same minutes, one dict a minute: ret_m_1, ret_abs_m_1 (price),
cvd_delta_m_1, cvd_slope_m_5 (flow), oi_roc_m_5, basis_bp_m_5 (positioning), spread_p95_m_1 (microstructure).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.oracles.features import Columns, Minute, Number, total, whole

SEED_VALUES = 200
SEED_SCALE = 1.4826
HALF_LIFE_MINUTES = 1_440
CLIP_SCALES = 8.0
HOUR_SHRINK = 30
SCALES_MIN = {
    "vol": 0.05, "ret_abs": 0.05, "oi_roc": 1e-3, "spread": 0.05, "basis": 0.01, "ret": 1e-6, "cvd": 1.0,
    "cvd_slope": 1.0, "spread_p95": 0.05,
}  # fmt: skip
SUFFIXES = {  # of the columns z_NAME, b_mean_NAME, b_scale_NAME
    "vol": "_m_1", "ret_abs": "_m_1", "oi_roc": "_m_5", "spread": "_m_1", "basis": "_m_5", "ret": "_m_1", "cvd": "_m_5",
    "cvd_slope": "_m_5", "spread_p95": "_m_1",
}  # fmt: skip
NAMES = tuple(SUFFIXES)


@dataclass
class Baseline:
    """What the ok minutes (of a roll-up: bars) so far have taught."""

    half_life: int = HALF_LIFE_MINUTES
    scale_min: float = 1e-3
    seed: list[float] = field(default_factory=list)
    count: int = 0
    mean: float = 0.0
    scale: float = 0.0
    hour_sums: list[float] = field(default_factory=lambda: [0.0] * 24)
    hour_counts: list[int] = field(default_factory=lambda: [0] * 24)

    def is_there(self) -> bool:
        return self.count >= SEED_VALUES

    def factor(self, hour: int) -> float:
        """What this hour of the day adds, as far as it is known."""
        n = self.hour_counts[hour]
        return 0.0 if n == 0 else self.hour_sums[hour] / n * (n / (n + HOUR_SHRINK))

    def z(self, value: float) -> float:
        return (value - self.mean) / self.scale

    def fold(self, value: float) -> None:
        self.count += 1
        if self.count <= SEED_VALUES:
            self.seed.append(value)
            if self.count == SEED_VALUES:
                self.begin()
        else:
            a = max(1 - 2 ** (-1 / self.half_life), 1 / self.count)  # count = values before + 1
            b = max(1 - 2 ** (-3 / self.half_life), 1 / self.count)
            away = clipped(value - self.mean, self.scale)
            self.mean += b * away
            self.scale = max(math.sqrt(self.scale**2 + a * (away**2 - self.scale**2)), self.scale_min)

    def begin(self) -> None:
        middle = median(self.seed)
        width = max(SEED_SCALE * median(abs(one - middle) for one in self.seed), self.scale_min)
        away = [clipped(one - middle, width) for one in sorted(self.seed)]
        shift = total(away) / SEED_VALUES
        self.mean = middle + shift
        self.scale = max(math.sqrt(total([(one - shift) ** 2 for one in away]) / SEED_VALUES), self.scale_min)

    def teach_hour(self, value: float, hour: int) -> None:
        self.hour_sums[hour] += value - self.mean
        self.hour_counts[hour] += 1


def clipped(away: float, scale: float) -> float:
    """A distance from the location, as far as it counts."""
    return min(max(away, -CLIP_SCALES * scale), CLIP_SCALES * scale)


def normalised(
    minutes: Sequence[Minute], values: Sequence[Number], hour_factors: bool = False, scale_min: float = 1e-3
) -> list[tuple[Number, Number, Number]]:
    """Of each minute z, and the location and scale before it, which are told without a value too."""
    rows: list[tuple[Number, Number, Number]] = []
    baseline = Baseline(scale_min=scale_min)
    for row, value in zip(minutes, values, strict=True):
        if row.status == "stale" or not baseline.is_there():
            told: tuple[Number, Number] = None, None
        else:
            told = baseline.mean, baseline.scale
        if value is None:
            rows.append((None, *told))
            continue
        hour = row.minute // 60 % 24
        less = value - baseline.factor(hour) if hour_factors else value
        rows.append((baseline.z(less) if baseline.is_there() else None, *told))
        if row.status == "ok":
            if baseline.is_there():
                baseline.teach_hour(value, hour)
            baseline.fold(less)
    return rows


def values_folded(minutes: Sequence[Minute], values: Sequence[Number]) -> list[int]:
    """At the close of each minute, how many values of ok minutes before it a baseline has taken."""
    folded: list[int] = []
    count = 0
    for row, value in zip(minutes, values, strict=True):
        folded.append(count)
        count += row.status == "ok" and value is not None
    return folded


def signed_root(value: Number) -> Number:
    return None if value is None else math.copysign(math.sqrt(abs(value)), value)


def logarithm(value: Number) -> Number:
    return None if value is None or value <= 0 else math.log(value)


def cvd_of_5(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Number]:
    """Sum of cvd_delta_m_1 over t-4 .. t, the oldest first; any missing: null."""
    delta = {
        row.minute: one
        for row, column in zip(minutes, columns, strict=True)
        if row.status != "stale" and (one := column["cvd_delta_m_1"]) is not None
    }
    present = [whole(delta, row.minute, 5) for row in minutes]
    return [None if five is None else total(five) for five in present]


def inputs(minutes: Sequence[Minute], columns: Sequence[Columns]) -> dict[str, list[Number]]:
    """What each baseline takes of each minute. A stale minute gives nothing."""
    cvd = cvd_of_5(minutes, columns)
    taken: list[Columns] = []
    for row, column, cvd_m_5 in zip(minutes, columns, cvd, strict=True):
        ret_abs, spread_p95, mid = column["ret_abs_m_1"], column["spread_p95_m_1"], row.mid_close
        taken.append(
            {
                "vol": math.log(1 + row.quote_volume),
                "ret_abs": None if ret_abs is None else math.log(ret_abs + 1e-6),
                "oi_roc": signed_root(column["oi_roc_m_5"]),
                "spread": logarithm(row.spread_bp_mean),
                "basis": column["basis_bp_m_5"],
                "ret": column["ret_m_1"],
                "cvd": signed_root(cvd_m_5),
                "cvd_slope": signed_root(column["cvd_slope_m_5"]),
                "spread_p95": None if spread_p95 is None or mid is None else logarithm(spread_p95 / mid * 1e4),
            }
        )
    return {
        name: [None if row.status == "stale" else one[name] for row, one in zip(minutes, taken, strict=True)]
        for name in NAMES
    }


def baselines(minutes: Sequence[Minute], columns: Sequence[Columns], hour_factors: bool = False) -> list[Columns]:
    rows: list[Columns] = [{} for _ in minutes]
    for name, values in inputs(minutes, columns).items():
        column = name + SUFFIXES[name]
        for row, (z, mean, scale) in zip(
            rows, normalised(minutes, values, hour_factors, SCALES_MIN[name]), strict=True
        ):
            row[f"z_{column}"], row[f"b_mean_{column}"], row[f"b_scale_{column}"] = z, mean, scale
    return rows
