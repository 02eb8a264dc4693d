"""How far predictions usually lie from what came: a robust scale that forgets (docs/features.md, Residuals).

The constants are those of the baselines: an error counts up to 2.5 scales, and 1 / 0.7939 makes the mean of what is
left a standard deviation where errors are normal; 1.2533 = sqrt(pi / 2) does so for the first, unclipped ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.kernel import inlined
from engine.core.layouts import _layout

FORGET = 0.00048123637733374044  # 1 - 2^(-1/1440): a day of minutes halves what was learned
FIRST_ERRORS = 30
CLIP, CLIPPED_MEAN_TO_STD, MEAN_TO_STD = 2.5, 1.2596, 1.2533
LEAST = 1e-12

ERROR_SCALE = _layout("scale of errors", """
    errors            errors that were taken
    ~scale            as a standard deviation
""")  # fmt: skip


@inlined
def scale_of(state: Any) -> float:
    """The scale of a prediction's errors so far; NaN until there were enough."""
    return state.scale if state.errors >= FIRST_ERRORS else np.nan


@inlined
def take_error(before: Any, now: Any, error: float) -> None:
    """now = before, and one error more; a NaN changes nothing."""
    now.errors, now.scale = before.errors, before.scale
    if error != error:
        return
    step = max(FORGET, 1.0 / float(before.errors + 1))
    size = abs(error)
    if before.errors < FIRST_ERRORS:
        size = MEAN_TO_STD * size
    else:
        size = CLIPPED_MEAN_TO_STD * min(size, CLIP * before.scale)
    now.scale = before.scale + step * (size - before.scale)
    now.errors = before.errors + 1


@inlined
def standardised(error: float, scale: float) -> float:
    """error / scale; NaN where either is."""
    return error / max(scale, LEAST)
