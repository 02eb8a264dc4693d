"""What feature columns need from inside a minute (docs/minute.md, docs/features.md): grid points and the last book.

All in Decimals, from the points that `tape.Tape` keeps; nothing here knows how the engine remembers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.core.minutes import NS_PER_S
from tests.oracles.minutes import spread, window
from tests.oracles.tape import Best, Depth, Point, Symbol, mid

Number = Decimal | None


@dataclass
class Inside:
    """60 points each (point k: just before second k + 1 of the minute ends), and the slope at the close."""

    mids: list[Number]
    spreads: list[Number]
    microprices: list[Number]
    depths5: list[Number]
    slope: Number


def points(kept: Sequence[Point], minute: int, of: Callable[[Any], Number]) -> list[Number]:
    """`of` what was in force just before each second of the minute ended."""
    inside = window(kept, minute)
    values = [inside.before(inside.start + second * NS_PER_S) for second in range(1, 61)]
    return [None if value is None else of(value) for value in values]


def microprice(quote: Best) -> Decimal:
    weight = quote.bid_quantity + quote.ask_quantity
    return (quote.ask * quote.bid_quantity + quote.bid * quote.ask_quantity) / weight


def worth(symbol: Symbol, price: Decimal, quantity: Decimal) -> Decimal:
    """Of a level, in quote units."""
    return quantity * (symbol.contract_size if symbol.inverse else price)


def depth5(symbol: Symbol, depth: Depth) -> Decimal:
    return sum((worth(symbol, *level) for level in depth.bids[:5] + depth.asks[:5]), Decimal(0))


def slope(symbol: Symbol, depth: Depth) -> Number:
    """Mean of both sides' least-squares slopes of cumulative worth on distance from the mid in bp, best 10 levels."""
    middle = (depth.bids[0][0] + depth.asks[0][0]) / 2
    slopes = []
    for side in (depth.bids[:10], depth.asks[:10]):
        if len(side) < 3:
            return None
        xs = [10_000 * abs(price - middle) / middle for price, _ in side]
        ys = [sum((worth(symbol, *level) for level in side[: n + 1]), Decimal(0)) for n in range(len(side))]
        x_mean, y_mean = sum(xs, Decimal(0)) / len(xs), sum(ys, Decimal(0)) / len(ys)
        products = sum(((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)), Decimal(0))
        slopes.append(products / sum(((x - x_mean) ** 2 for x in xs), Decimal(0)))
    return (slopes[0] + slopes[1]) / 2


def inside(symbol: Symbol, minute: int) -> Inside:
    books = window(symbol.books, minute)
    last = books.before(books.end)
    return Inside(
        mids=points(symbol.quotes, minute, mid),
        spreads=points(symbol.quotes, minute, spread),
        microprices=points(symbol.quotes, minute, microprice),
        depths5=points(symbol.books, minute, lambda depth: depth5(symbol, depth)),
        slope=None if last is None else slope(symbol, last),
    )
