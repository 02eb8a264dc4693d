"""What the table of patterns counts."""

from __future__ import annotations

import numpy as np

from bench.patterns import PATTERNS, THRESHOLDS, count_of, findings_of
from engine.core.detector import FINDING
from replay.simulate import Market


def test_shapes_triggers_and_those_that_are_allowed():
    """Five symbols: below, a trigger, one without its precondition, one that is not met, one that does not count."""
    found = np.zeros((len(PATTERNS), 5), FINDING)
    found["measure"] = np.nan
    found["measure"][0] = THRESHOLDS[0] * np.array([0.5, 1.0, 2.0, 2.0, 2.0])
    found["is_met"][0], found["is_allowed"][0] = [1, 1, 1, 0, 1], [1, 1, 0, 1, 1]

    counted = count_of(found, np.array([True, True, True, True, False]))

    assert counted[0].tolist() == [3, 2, 1]
    assert not counted[1:].any()


def test_a_short_market_is_looked_at_whole():
    seen = [
        counts.tolist() for found, counts in findings_of(Market(seed=5, symbols=3, minutes=12, episodes="none"), 10)
    ]

    assert seen == [[False] * 3] * 2  # every symbol is still warming up
