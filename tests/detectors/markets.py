"""Random histories that hold patterns and near misses: shapes drawn by hand, bent and cut, among random walks."""

from __future__ import annotations

import numpy as np

from replay.detectors import shapes
from replay.detectors.shapes import PATHS, bars_of, closes_of, mirrored
from tests.oracles.histories import Row

USUAL = tuple(dict.fromkeys(PATHS.values()))
RARE = (
    shapes.DOUBLE_TOP, shapes.HEAD_SHOULDERS, shapes.FALLING_WEDGE, shapes.ASCENDING_TRIANGLE, shapes.BULL_FLAG,
    shapes.CHANNEL, shapes.CHANNEL, mirrored(shapes.CHANNEL), mirrored(shapes.DOUBLE_TOP),
)  # fmt: skip
SHAPES = (*USUAL, *RARE, *RARE)  # what a random walk has least often comes most often
START = 28_000_000
FLAGS = ("is_doji", "is_hammer", "is_engulfing_up", "is_engulfing_down", "is_volume_confirmed")
LEVELS = ("level_above", "level_below")


def history(seed: int, minutes: int = 420, gaps: float = 0.2) -> dict[int, Row]:
    """One symbol's minutes: a shape every hour or two. gaps: chance that a shape has a minute missing or stale."""
    draw = np.random.default_rng(seed)
    atr = float(draw.choice([0.05, 0.4, 3.0]))
    steps: list[np.ndarray] = [0.7 * draw.standard_normal(40)]
    while sum(map(len, steps)) < minutes:
        if draw.random() < 0.9:
            length = int(draw.integers(75, 135))
            shape = closes_of(SHAPES[int(draw.integers(len(SHAPES)))], length + 1)
            bent = shape * draw.uniform(0.9, 1.3) + draw.uniform(0.0, 0.08) * draw.standard_normal(length + 1)
            steps.append(np.diff(bent))
        steps.append(draw.uniform(0.2, 1.0) * draw.standard_normal(int(draw.integers(2, 12))))
    closes = np.concatenate(steps)[:minutes].cumsum()
    opened, high, low = bars_of(closes)
    high, low = high + 0.05 * np.abs(draw.standard_normal(minutes)), low - 0.05 * np.abs(draw.standard_normal(minutes))
    lines = {"O": opened, "H": high, "L": low, "C": closes}
    found: dict[int, Row] = {}
    for n in range(minutes):
        if draw.random() < gaps / 80.0:
            if draw.random() < 0.5:
                found[START + n] = {}
            continue
        row: dict[str, float | None] = {name: 200.0 + atr * float(line[n]) for name, line in lines.items()}
        row |= {"V": float(np.exp(draw.standard_normal())), "D": float(draw.standard_normal())}
        row |= _columns(draw, atr, 200.0 + atr * float(closes[n]))
        found[START + n] = row
    return found


def _columns(draw: np.random.Generator, atr: float, close: float) -> dict[str, float | None]:
    """Columns of a row, a few of them null."""
    found: dict[str, float | None] = {
        "atr_14": atr * float(draw.uniform(0.9, 1.1)), "rsi_14": float(draw.uniform(20, 80)),
        "macd_histogram": atr * float(draw.standard_normal()), "hma_100_slope": float(draw.standard_normal()),
        "adx_14": float(draw.uniform(5, 50)), "atr_percentile_7d": float(draw.uniform(0, 100)),
        "z_vol_m_1": float(draw.standard_normal()),
        "level_above": close + atr * float(draw.uniform(0, 3)), "level_below": close - atr * float(draw.uniform(0, 3)),
        "level_above_touches": float(draw.integers(3, 7)), "level_below_touches": float(draw.integers(3, 7)),
        **{name: int(draw.random() < 0.4) for name in FLAGS},
    }  # fmt: skip
    if draw.random() < 0.02:
        found[list(found)[int(draw.integers(len(found)))]] = None
    if found["is_engulfing_up"]:
        found["is_engulfing_down"] = 0
    return found
