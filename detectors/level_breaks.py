"""A close beyond a level that held: support from above, resistance from below."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, Find, View
from engine.core.feature_state import CLOSE, RECENT
from engine.core.kernel import inlined, kernel

HELD_MINUTES = 6  # before this one, in which the level stood and no close was beyond it
STRENGTH_MIN = 0.5  # touches / (touches + 3)


@inlined
def level_of(row, side):
    """(price, touches) of the nearest level above the close, or at or below it. side: 1.0 above."""
    if side > 0.0:
        return row.level_above, row.level_above_touches
    return row.level_below, row.level_below_touches


@inlined
def no_close_beyond(closes, place, level, side):
    for p in range(place - HELD_MINUTES, place):  # noqa: SIM110 - kernels know no generators
        if not side * closes[p] <= side * level:  # also where one is missing
            return False
    return True


@kernel
def level_break(members, minute, rows, ring, history, held, side, out):
    """side: 1.0 resistance, -1.0 support."""
    place, minutes = minute % RECENT + RECENT, history.shape[0]
    last, first = (minute - 1) % minutes, (minute - HELD_MINUTES) % minutes
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        if held[last, s] != minute - 1 or held[first, s] != minute - HELD_MINUTES or not row.atr_14 > 0.0:
            continue
        level, touches = level_of(history[last, s], side)
        if level != level:
            continue
        found.measure = found.primary = side * (ring[s, CLOSE, place] - level) / row.atr_14
        found.secondary = row.z_vol_m_1
        found.direction = np.int64(side)
        found.is_allowed = np.int64(row.is_volume_confirmed == 1)
        if touches / (touches + 3.0) > STRENGTH_MIN and no_close_beyond(ring[s, CLOSE], place, level, side):
            stood, _ = level_of(history[first, s], side)
            found.is_met = np.int64(abs(stood - level) <= row.atr_14)


def _find(side: float) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        level_break(view.members, view.minute, view.rows, view.inputs, view.history, view.held, side, out)

    return find


def _detector(name: str, side: int, column: str, beyond: str, kept: str) -> Detector:
    return Detector(
        id=f"pattern_{name}_break_v1", subtype=f"pattern.{name}_breakout_m_1", signal_class="pattern", threshold=1.5,
        unit="atr_14",
        trigger=f"({beyond}) / atr_14, X = {column} of t-1, where {column}_touches of t-1 > 3, every close of t-6 .. "
        f"t-1 is {kept} X, and {column} of t-6 is at most atr_14 from X",
        precondition="is_volume_confirmed is 1", primary="the measure", secondary="z_vol_m_1", direction=str(side),
        inputs=("close", "atr_14", column, f"{column}_touches", "is_volume_confirmed", "z_vol_m_1"),
        cooldown_s=90, half_life_s=240, find=_find(float(side)), minutes=HELD_MINUTES + 1, is_core=False,
        source="docs/patterns.md, Level breaks; strength = touches / (touches + 3) > 0.5, age > 5 minutes.",
    )  # fmt: skip


DETECTORS: tuple[Detector, ...] = (
    _detector("support", -1, "level_below", "X - C", ">="),
    _detector("resistance", 1, "level_above", "C - X", "<="),
)
