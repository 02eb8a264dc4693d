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
