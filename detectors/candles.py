"""Candles that turn a move: a doji, a hammer, an engulfing bar, at a level and with volume."""

from __future__ import annotations

import numpy as np

from detectors.moves import side_of
from detectors.swings import proximity
from engine.core.detector import Detector, Find, View
from engine.core.feature_state import CLOSE, HIGH, LOW, OPEN, RECENT
from engine.core.kernel import inlined, kernel

DOJI, HAMMER, ENGULFING = range(3)
MOVE_MINUTES = 5
MOVE_MIN = 1.0  # atr_14
PROXIMITY_MIN = 0.5


@inlined
def side_of_shape(row, shape, moved):
    """Where the candle points: 1 up, -1 down; 0 if it is not of the shape. moved: in the minutes before it."""
    if shape == DOJI:
        return -side_of(moved) if row.is_doji == 1 else 0
    if shape == HAMMER:
        return 1 if row.is_hammer == 1 else 0
    return 1 if row.is_engulfing_up == 1 else -1 if row.is_engulfing_down == 1 else 0


@kernel
def reversal(members, minute, rows, ring, shape, out):
    """shape: DOJI, HAMMER or ENGULFING."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, found, lines = rows[s], out[s], ring[s]
        if not row.atr_14 > 0.0:
            continue
        high, low = lines[HIGH, place], lines[LOW, place]
        size = abs(lines[CLOSE, place] - lines[OPEN, place]) if shape == ENGULFING else high - low
        found.measure = found.primary = size / row.atr_14
        found.secondary = row.z_vol_m_1
        moved = (lines[CLOSE, place - 1] - lines[CLOSE, place - 1 - MOVE_MINUTES]) / row.atr_14
        side = side_of_shape(row, shape, moved)
        found.direction = side
        found.is_met = np.int64(side != 0 and -side * moved >= MOVE_MIN)
        near = proximity(high if side < 0 else low, row) > PROXIMITY_MIN
        found.is_allowed = np.int64(near and row.is_volume_confirmed == 1)


def _find(shape: int) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        reversal(view.members, view.minute, view.rows, view.inputs, shape, out)

    return find


def _detector(
    name: str, shape: int, size: str, met: str, direction: str, columns: tuple[str, ...], threshold: float
) -> Detector:
    return Detector(
        id=f"pattern_{name}_v1", subtype=f"pattern.{name}_reversal_m_1", signal_class="pattern", threshold=threshold,
        unit="atr_14", trigger=f"{size} / atr_14, where {met}, M = (C_(t-1) - C_(t-6)) / atr_14",
        precondition="is_volume_confirmed is 1 and proximity of the candle's low (direction -1: high) to a level > 0.5",
        primary="the measure", secondary="z_vol_m_1", direction=direction,
        inputs=("high", "low", "close", "atr_14", "z_vol_m_1", *columns, "is_volume_confirmed", "level_above",
                "level_below"),
        cooldown_s=60, half_life_s=180, find=_find(shape), minutes=MOVE_MINUTES + 2, is_core=False,
        source="docs/patterns.md, Candles; shapes as of Nison, Japanese Candlestick Charting Techniques (1991).",
    )  # fmt: skip


DETECTORS: tuple[Detector, ...] = (
    _detector("doji", DOJI, "(H - L)", "is_doji is 1 and |M| >= 1", "against M", ("is_doji",), 2.0),
    _detector("hammer", HAMMER, "(H - L)", "is_hammer is 1 and M <= -1", "1", ("is_hammer",), 1.5),
    _detector("engulfing", ENGULFING, "|C - O|",
              "is_engulfing_up is 1 and M <= -1, or is_engulfing_down is 1 and M >= 1", "1 of up, -1 of down",
              ("open", "is_engulfing_up", "is_engulfing_down"), 1.5),
)  # fmt: skip
