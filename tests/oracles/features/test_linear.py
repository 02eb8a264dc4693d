"""Exact least squares by head and against numpy."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from tests.oracles.features.linear import Forgetting, ridge, solve


def test_two_lines_cross_in_a_point():
    assert solve([[Fraction(1), Fraction(1)], [Fraction(1), Fraction(-1)]], [Fraction(5), Fraction(1)]) == [3, 2]
    assert solve([[Fraction(0), Fraction(2)], [Fraction(4), Fraction(0)]], [Fraction(2), Fraction(8)]) == [2, 1]
    assert solve([[Fraction(1), Fraction(2)], [Fraction(2), Fraction(4)]], [Fraction(1), Fraction(2)]) is None


def test_points_on_a_line_give_the_line():
    assert ridge([[1.0, x] for x in (0.0, 1.0, 2.0)], [3.0, 5.0, 7.0], [0.0, 0.0]) == [3.0, 2.0]


def test_a_penalty_shrinks():
    assert ridge([[1.0], [1.0]], [3.0, 3.0], [2.0]) == [1.5]  # 6 / (2 + 2)
    assert ridge([[1.0, -1.0], [1.0, 1.0]], [0.0, 2.0], [0.0, 2.0]) == [1.0, 0.5]  # the intercept is free


def test_the_same_column_twice_has_no_answer_without_a_penalty():
    design = [[1.0, 1.0], [2.0, 2.0]]
    assert ridge(design, [1.0, 2.0], [0.0, 0.0]) is None
    assert ridge(design, [1.0, 2.0], [1.0, 1.0]) == [5 / 11, 5 / 11]


def test_it_agrees_with_numpy():
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    random = Random(4)
    design = [[1.0, *(random.gauss(0, 1) for _ in range(4))] for _ in range(120)]
    targets = [sum(line) + random.gauss(0, 1) for line in design]
    penalties = [0.0, 3.0, 3.0, 0.5, 0.0]
    x, y = numpy.array(design), numpy.array(targets)
    expected = numpy.linalg.solve(x.T @ x + numpy.diag(penalties), x.T @ y)
    assert ridge(design, targets, penalties) == pytest.approx(list(expected), rel=1e-11)


def test_the_penalty_of_a_model_that_forgets_nothing_follows_the_size_of_its_column():
    random = Random(6)
    seen = [(random.gauss(0, 1), [1.0, random.gauss(0, 3), random.gauss(0, 1e-4)]) for _ in range(200)]
    model = Forgetting(3, keep=1.0)
    for y, x in seen[:-1]:
        model.learn([(y, x)])
    model.fit()
    assert model.weights is None  # 199
    model.learn([seen[-1]])
    model.fit()
    penalties = [0.0, *(0.1 * sum(x[j] ** 2 for _, x in seen) for j in (1, 2))]
    expected = ridge([x for _, x in seen], [y for y, _ in seen], penalties)
    assert expected is not None
    assert model.weights == pytest.approx(expected, rel=1e-12)


def test_an_observation_fades_by_half_in_a_half_life():
    model = Forgetting(1, keep=0.5)
    model.learn([(8.0, [1.0])])
    model.learn([(2.0, [1.0])])
    model.fit(least=2)
    assert (model.count, model.weight, model.products) == (2, 1.5, [6.0])
    assert model.weights == [4.0]
    assert model.predict([1.0]) == 4.0


def test_a_step_may_hold_several_observations_of_less_weight():
    model = Forgetting(1, keep=0.5)
    model.learn([(1.0, [1.0]), (2.0, [1.0]), (4.0, [1.0]), (5.0, [1.0])], each=0.25)
    model.fit(least=1)
    assert (model.count, model.weight, model.weights) == (1, 1.0, [3.0])


def test_a_column_that_was_always_0_has_weight_0():
    model = Forgetting(3, keep=1.0)
    for x in (1.0, -1.0):
        model.learn([(x, [1.0, 0.0, x])])
    model.fit(least=2)
    assert model.weights == [0.0, 0.0, pytest.approx(1 / 1.1, rel=1e-15)]
