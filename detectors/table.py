"""Every detector, in the order in which they are asked and numbered. Append-only: a place is never used again."""

from __future__ import annotations

from detectors import (
    book_shocks,
    breadth,
    burst,
    candles,
    charts,
    classic_divergence,
    delta_volume,
    diagonals,
    divergence,
    hidden_momentum,
    level_breaks,
    quadrant,
    rotation,
    shift,
    spike,
    synchrony,
)
from engine.core.detector import Detector

TABLE: tuple[Detector, ...] = (
    *spike.DETECTORS,
    *shift.DETECTORS,
    *quadrant.DETECTORS,
    *divergence.DETECTORS,
    *synchrony.DETECTORS,
    *rotation.DETECTORS,
    *hidden_momentum.DETECTORS,
    *classic_divergence.DETECTORS,
    *delta_volume.DETECTORS,
    *breadth.DETECTORS,
    *candles.DETECTORS,
    *level_breaks.DETECTORS,
    *charts.DETECTORS,
    *diagonals.DETECTORS,
    *burst.DETECTORS,
    *book_shocks.DETECTORS,
)
