"""Least squares without rounding: every number is a fraction until the end.

A float is a fraction with a power of two below it, so sums of products are exact and the only rounding is that of the
answer. What a kernel in float64 may differ by is then its own error alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def solve(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction] | None:
    """x of matrix x = right by Gauss' elimination; None where the matrix is singular."""
    n = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = next((k for k in range(i, n) if rows[k][i] != 0), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(n):
            if k != i and rows[k][i] != 0:
                times = rows[k][i] / rows[i][i]
                rows[k] = [a - times * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def ridge(
    design: Sequence[Sequence[float]], targets: Sequence[float], penalties: Sequence[float]
) -> list[float] | None:
    """Weights that make sum of (target - design . weights)^2 + sum of penalty * weight^2 least; None: not unique.

    A column of ones with penalty 0 is an intercept.
    """
    lines = [[Fraction(value) for value in line] for line in design]
    wanted = [Fraction(value) for value in targets]
    size = len(penalties)
    gram = [[sum((line[i] * line[j] for line in lines), Fraction(0)) for j in range(size)] for i in range(size)]
    for i, penalty in enumerate(penalties):
        gram[i][i] += Fraction(penalty)
    right = [
        sum((line[i] * value for line, value in zip(lines, wanted, strict=True)), Fraction(0)) for i in range(size)
    ]
    weights = solve(gram, right)
    return None if weights is None else [float(weight) for weight in weights]


PENALTY = 0.1
OBSERVATIONS_MIN = 200


class Forgetting:
    """Ridge of docs/features.md, Residuals: sums that forget by `keep` an observation, fitted without rounding.

    `width` counts the x, the 1 in front among them.
    """

    def __init__(self, width: int, keep: float) -> None:
        self.keep = keep
        self.count = 0
        self.weight = 0.0
        self.squares = [[0.0] * width for _ in range(width)]
        self.products = [0.0] * width
        self.weights: list[float] | None = None

    def learn(self, observations: Sequence[tuple[float, Sequence[float]]], each: float = 1.0) -> None:
        """One step: what there was fades, and each (y, x) comes in with weight `each`."""
        size = range(len(self.products))
        self.count += 1
        self.weight *= self.keep
        self.squares = [[self.keep * value for value in line] for line in self.squares]
        self.products = [self.keep * value for value in self.products]
        for y, x in observations:
            self.weight += each
            for i in size:
                self.products[i] += each * (x[i] * y)
                for j in size:
                    self.squares[i][j] += each * (x[i] * x[j])

    def fit(self, least: int = OBSERVATIONS_MIN) -> None:
        """New weights, if there are enough observations; a column that was always 0 has weight 0."""
        if self.count < least:
            return
        alive = [i for i, line in enumerate(self.squares) if line[i] != 0]
        total = Fraction(self.weight)
        matrix = [[Fraction(self.squares[i][j]) / total for j in alive] for i in alive]
        for line, i in enumerate(alive):
            if i != 0:
                matrix[line][line] *= 1 + Fraction(PENALTY)
        found = solve(matrix, [Fraction(self.products[i]) / total for i in alive])
        assert found is not None, "with a penalty on every column but the ones there is always an answer"
        self.weights = [0.0] * len(self.products)
        for i, value in zip(alive, found, strict=True):
            self.weights[i] = float(value)

    def predict(self, x: Sequence[float]) -> float | None:
        if self.weights is None:
            return None
        prediction = 0.0
        for weight, value in zip(self.weights, x, strict=True):
            prediction += weight * value
        return prediction
