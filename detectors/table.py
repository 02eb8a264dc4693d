"""Every detector, in the order in which they are asked and numbered. Append-only: a place is never used again."""

from __future__ import annotations

from detectors import spike
from engine.core.detector import Detector

TABLE: tuple[Detector, ...] = (*spike.DETECTORS,)
