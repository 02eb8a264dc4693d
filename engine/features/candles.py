"""Candles: shapes of one bar or two, and volume above that of the minutes before."""

from __future__ import annotations

import numpy as np

from engine.core.averages import mean
from engine.core.feature_state import CLOSE, HIGH, LOW, OPEN, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.schema import Status
from engine.core.state import EngineState

STALE = int(Status.STALE)
VOLUME_MINUTES = 20


@inlined
def write_shapes(ring, place, row):
    """Shapes of the bar at `place`, and of it with the one before. ring: (INPUTS, 2 * RECENT)."""
    opened, high, low, close = ring[OPEN, place], ring[HIGH, place], ring[LOW, place], ring[CLOSE, place]
    if close != close:
        return
    body, top, bottom = abs(close - opened), max(opened, close), min(opened, close)
    row.is_doji = int(high > low and body < 0.1 * (high - low))
    row.is_hammer = int(body > 0.0 and bottom - low > 2.0 * body and high - top < body)
    opened_before, close_before = ring[OPEN, place - 1], ring[CLOSE, place - 1]
    if close_before != close_before:
        return
    body_before = abs(close_before - opened_before)
    top_before, bottom_before = max(opened_before, close_before), min(opened_before, close_before)
    covers = bottom <= bottom_before and top >= top_before and body > body_before
    row.is_engulfing_up = int(covers and close_before < opened_before and close > opened)
    row.is_engulfing_down = int(covers and close_before > opened_before and close < opened)


@kernel
def write_candles(members, minute, ring, rows):
    """The family's columns of `minute`."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        if row.dq_status == STALE:
            continue
        write_shapes(ring[s], place, row)
        usual = mean(ring[s, VOLUME, place - VOLUME_MINUTES : place])
        if usual == usual:
            row.is_volume_confirmed = int(ring[s, VOLUME, place] > 1.5 * usual)


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the shapes of candles of `minute`, whose inputs are in the ring."""
    write_candles(members, minute, state.features.ring, state.bars.rows)
