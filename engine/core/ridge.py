"""Ridge regression that learns one observation at a time and is fitted at boundaries; docs/features.md, Residuals.

A model is one RIDGE record. Weight 0 belongs to the intercept, whose x is 1 and which is not penalised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.layouts import layout

WEIGHTS = 6  # of the largest model; a smaller one leaves the rest at 0
ALPHA = 0.1
SINGULAR = 1e-12  # of a pivot against its diagonal
DAY_HALVES, WEEK_HALVES = 0.9995187636226662, 0.999931237762985  # decay a minute: 2^(-1/1440), 2^(-1/10080)
STEPS_MIN = 200  # before the first fit

RIDGE = layout("ridge regression", f"""
    steps             steps that were learned
    fitted            1: the weights below may be used
    ~total            sum of the weights of observations, decayed
    ~xx[{WEIGHTS * WEIGHTS}]            sum of x_i x_j, row by row, decayed
    ~xy[{WEIGHTS}]             sum of x_i y, decayed
    ~weights[{WEIGHTS}]        of the newest fit
""")  # fmt: skip


@inlined
def decay_model(model: Any, decay: float, width: int) -> None:
    """Begin a step: what was learned counts less by the factor `decay`."""
    model.total = decay * model.total
    model.steps += 1
    for i in range(width):
        model.xy[i] = decay * model.xy[i]
        for j in range(width):
            model.xx[i * WEIGHTS + j] = decay * model.xx[i * WEIGHTS + j]


@inlined
def learn(model: Any, x: np.ndarray, y: float, weight: float, width: int) -> None:
    """Add one observation of the running step. x: (width,) with x[0] = 1."""
    model.total += weight
    for i in range(width):
        model.xy[i] += weight * (x[i] * y)
        for j in range(width):
            model.xx[i * WEIGHTS + j] += weight * (x[i] * x[j])


@kernel
def fit(model: Any, width: int, room: np.ndarray) -> None:
    """Set the weights from what was learned, or none where the equations are singular. room: float64, 42 or more.

    Cholesky from the first row to the last; a column that never varied from 0 is left out and weighs 0.
    """
    model.fitted = 0
    for i in range(width):
        for j in range(i + 1):
            room[i * WEIGHTS + j] = model.xx[i * WEIGHTS + j] / model.total
    for i in range(width):
        diagonal = model.xx[i * WEIGHTS + i] / model.total
        left_out = diagonal == 0.0
        whole = diagonal if i == 0 else diagonal + ALPHA * diagonal
        for j in range(i + 1):
            value = whole if i == j else room[i * WEIGHTS + j]
            for k in range(j):
                value -= room[i * WEIGHTS + k] * room[j * WEIGHTS + k]
            if i == j:
                if left_out:
                    room[i * WEIGHTS + i] = 0.0
                elif not value > SINGULAR * whole:
                    return
                else:
                    room[i * WEIGHTS + i] = np.sqrt(value)
            else:
                pivot = room[j * WEIGHTS + j]
                room[i * WEIGHTS + j] = 0.0 if left_out or pivot == 0.0 else value / pivot
    solved = WEIGHTS * WEIGHTS
    for i in range(width):
        value = model.xy[i] / model.total
        for k in range(i):
            value -= room[i * WEIGHTS + k] * room[solved + k]
        pivot = room[i * WEIGHTS + i]
        room[solved + i] = 0.0 if pivot == 0.0 else value / pivot
    for back in range(width):
        i = width - 1 - back
        value = room[solved + i]
        for k in range(i + 1, width):
            value -= room[k * WEIGHTS + i] * model.weights[k]
        pivot = room[i * WEIGHTS + i]
        model.weights[i] = 0.0 if pivot == 0.0 else value / pivot
    model.fitted = 1


@inlined
def predict(model: Any, x: np.ndarray, width: int) -> float:
    """Sum of weight times x; NaN without a fit or where an x is NaN."""
    if not model.fitted:
        return np.nan
    total = 0.0
    for i in range(width):
        total += model.weights[i] * x[i]
    return total
