"""Every detector, in the order in which they are asked and numbered. Append-only: a place is never used again."""

from __future__ import annotations

from detectors import divergence, quadrant, rotation, shift, spike, synchrony
from engine.core.detector import Detector

TABLE: tuple[Detector, ...] = (
    *spike.DETECTORS,
    *shift.DETECTORS,
    *quadrant.DETECTORS,
    *divergence.DETECTORS,
    *synchrony.DETECTORS,
    *rotation.DETECTORS,
)
