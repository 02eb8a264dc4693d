"""The ridge regression of the residuals, against numpy and by head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.kernel import kernel
from engine.core.ridge import ALPHA, RIDGE, WEIGHTS, decay_model, fit, learn, predict

ROOM = np.zeros(WEIGHTS * (WEIGHTS + 1))


@kernel
def teach(model, xs, ys, decay, width):
    for i in range(xs.shape[0]):
        decay_model(model, decay, width)
        learn(model, xs[i], ys[i], 1.0, width)


@kernel
def say(model, x, width):
    return predict(model, x, width)


def fitted(xs: np.ndarray, ys: np.ndarray, decay: float = 1.0) -> np.void:
    model = np.zeros(1, RIDGE)[0]
    teach(model, xs, ys, decay, xs.shape[1])
    fit(model, xs.shape[1], ROOM)
    return model


def by_numpy(xs: np.ndarray, ys: np.ndarray, decay: float = 1.0) -> np.ndarray:
    """(S_xx / N + alpha D) w = S_xy / N, solved by somebody else."""
    weights = decay ** np.arange(len(ys) - 1, -1, -1)
    xx, xy = (xs * weights[:, None]).T @ xs / weights.sum(), (xs * weights[:, None]).T @ ys / weights.sum()
    penalty = ALPHA * np.diag(xx)
    penalty[0] = 0.0
    return np.linalg.solve(xx + np.diag(penalty), xy)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([1.0, 0.99, 0.9]))
def test_the_weights_are_those_of_a_ridge_whose_penalty_knows_no_units(seed, width, decay):
    draw = np.random.default_rng(seed)
    xs = draw.normal(size=(60, width)) * 10.0 ** draw.integers(-3, 4, width)
    xs[:, 0] = 1.0
    ys = draw.normal(size=60)
    model = fitted(xs, ys, decay)
    assert model["fitted"] == 1
    assert model["weights"][:width] * np.abs(xs).max(0) == pytest.approx(
        by_numpy(xs, ys, decay) * np.abs(xs).max(0), rel=1e-9, abs=1e-9
    )


def test_a_mean_is_what_an_intercept_alone_says():
    model = fitted(np.ones((4, 1)), np.array([1.0, 2.0, 3.0, 6.0]))
    assert model["weights"][0] == 3.0
    assert say(model, np.ones(1), 1) == 3.0


def test_what_never_varied_from_zero_weighs_nothing():
    xs = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 2.0], [1.0, 0.0, 3.0]])
    with_it, without = fitted(xs, np.array([1.0, 2.0, 4.0])), fitted(xs[:, [0, 2]], np.array([1.0, 2.0, 4.0]))
    assert with_it["weights"][1] == 0.0
    assert with_it["weights"][[0, 2]].tolist() == without["weights"][:2].tolist()


def test_without_a_fit_nothing_is_predicted():
    assert np.isnan(say(np.zeros(1, RIDGE)[0], np.ones(2), 2))


def test_an_x_that_is_missing_leaves_the_prediction_missing():
    model = fitted(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 4.0]]), np.array([1.0, 2.0, 3.0]))
    assert np.isnan(say(model, np.array([1.0, np.nan]), 2))
