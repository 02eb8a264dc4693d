"""Exact least squares by head and against numpy."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest

from tests.oracles.features.linear import ridge, solve


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
