"""How far predictions usually lie from what came: a scale that forgets (docs/features.md, Residuals).

It is made of squares, clipped at 8 scales as those of the baselines are, so that the spread of what is divided by it is
1 whatever the tails; the least scale keeps it from 0 where for a while nothing moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.kernel import inlined
from engine.core.layouts import layout

FORGET = 0.00048123637733374044  # 1 - 2^(-1/1440): a day of minutes halves what was learned
FIRST_ERRORS = 30
CLIP = 8.0
RETURN_LEAST = 1e-6  # least scale of what predicts a return, or ln of a price: below it a miss is no news

ERROR_SCALE = layout("scale of errors", """
    errors            errors that were taken
    ~scale            as a standard deviation
""")  # fmt: skip


@inlined
def scale_of(state: Any) -> float:
    """The scale of a prediction's errors so far; NaN until there were enough."""
    return state.scale if state.errors >= FIRST_ERRORS else np.nan


@inlined
def take_error(before: Any, now: Any, error: float, least: float) -> None:
    """now = before, and one error more; a NaN changes nothing. least: the smallest scale there is."""
    now.errors, now.scale = before.errors, before.scale
    if error != error:
        return
    step = max(FORGET, 1.0 / float(before.errors + 1))
    size = abs(error)
    if before.errors >= FIRST_ERRORS:
        size = min(size, CLIP * before.scale)
    square = before.scale * before.scale
    now.scale = max(np.sqrt(square + step * (size * size - square)), least)
    now.errors = before.errors + 1
