"""Shapes drawn by hand: of each pattern of docs/patterns.md closes that have it, for worlds and stories.

A shape is a path of knots (minute, price): minute 0 is the one that is looked at, prices are in atr_14. Between two
knots closes run straight, so that a knot where the path turns is a swing, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Path = Sequence[tuple[int, float]]

WICK = 0.1  # by which a bar reaches beyond open and close, in atr_14
FIRST = -240


def mirrored(path: Path) -> Path:
    """Upside down."""
    return tuple((minute, -price) for minute, price in path)


HIGHER_HIGHS: Path = ((FIRST, 0), (-60, -4), (-25, 5), (-14, 1), (-5, 6), (0, 5))
HIGHER_LOWS: Path = ((FIRST, 0), (-60, 4), (-25, -2), (-14, 3), (-5, -1), (0, 0))
DOUBLE_TOP: Path = ((FIRST, 0), (-75, 2), (-60, 0), (-36, 5), (-24, 1), (-12, 5.2), (-1, 1.2), (0, 0.2))
HEAD_SHOULDERS: Path = ((FIRST, 0), (-52, 4), (-42, 1), (-31, 6), (-20, 1.2), (-12, 4.2), (-1, 1.6), (0, 0.3))
FALLING_WEDGE: Path = (
    (FIRST, 0), (-50, 10), (-42, 4), (-30, 7), (-20, 2.5), (-10, 4), (-4, 2.2), (-1, 2.6), (0, 3.4),
)  # fmt: skip
ASCENDING_TRIANGLE: Path = (
    (FIRST, -4), (-50, 5), (-40, 0.5), (-30, 5), (-20, 2), (-10, 5), (-4, 3.9), (-1, 5), (0, 6),
)  # fmt: skip
BULL_FLAG: Path = ((FIRST, 3), (-42, 2), (-30, 0), (-14, 9), (-1, 6.5), (0, 8.2))
RISING_LINE: Path = (
    (FIRST, 5), (-50, 2), (-44, 0), (-39, 3), (-34, 1), (-29, 4), (-24, 2), (-19, 5), (-14, 3), (-8, 6), (-1, 4.6),
    (0, 3.5),
)  # fmt: skip
CHANNEL: Path = (
    (-140, 14), (-60, 0), (-50, 6), (-40, 2), (-30, 8), (-20, 4), (-10, 10), (-1, 7), (0, 4.9),
)  # fmt: skip
FALL: Path = ((FIRST, 8), (-7, 8), (-1, 0), (0, 0.3))
JUMP: Path = ((FIRST, 0), (-1, 0), (0, 3))

# Detector -> a path that it finds; the others see it as they see anything.
PATHS: dict[str, Path] = {
    "div_hidden_bull_v1": HIGHER_LOWS,
    "div_hidden_bear_v1": mirrored(HIGHER_LOWS),
    "div_rsi_bear_v1": HIGHER_HIGHS,
    "pattern_hammer_v1": FALL,
    "pattern_resistance_break_v1": JUMP,
    "pattern_support_break_v1": mirrored(JUMP),
    "pattern_falling_wedge_v1": FALLING_WEDGE,
    "pattern_bull_flag_v1": BULL_FLAG,
    "pattern_ascending_triangle_v1": ASCENDING_TRIANGLE,
    "pattern_head_shoulders_v1": HEAD_SHOULDERS,
    "pattern_double_top_v1": DOUBLE_TOP,
    "pattern_double_bottom_v1": mirrored(DOUBLE_TOP),
    "pattern_diagonal_support_v1": RISING_LINE,
    "pattern_diagonal_resistance_v1": mirrored(RISING_LINE),
    "pattern_channel_break_v1": CHANNEL,
}


def closes_of(path: Path, minutes: int) -> np.ndarray:
    """(minutes,) float64: closes in atr_14, the newest last."""
    knots = np.array(path, np.float64)
    return np.interp(np.arange(1 - minutes, 1), knots[:, 0], knots[:, 1])


def bars_of(closes: np.ndarray, wick: np.ndarray | float = WICK) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(open, high, low) of bars with these closes, (minutes,) or (minutes, n): each opens where the last one closed."""
    opened = np.concatenate([closes[:1], closes[:-1]])
    return opened, np.maximum(opened, closes) + wick, np.minimum(opened, closes) - wick
