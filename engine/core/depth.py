"""What a book measures as it stands: how much its best levels are worth, and how fast that grows away from the mid."""

from __future__ import annotations

import numpy as np

from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.kernel import inlined, kernel

DEPTH_LEVELS, SLOPE_LEVELS = 5, 10  # of each side
SLOPE_LEVELS_MIN = 3


@inlined
def worth_in_quote(symbol, price, quantity):
    """What one level is worth in quote units, its mantissa at price_decimals + quantity_decimals."""
    if symbol.inverse:
        return float(quantity) * symbol.contract_size * FLOAT_POWERS_OF_TEN[symbol.price_decimals]
    return float(price) * float(quantity)


@kernel
def depth_top5(symbol, prices, quantities):
    """Worth of the best 5 levels of both sides in quote units; prices, quantities: (2, TOP_LEVELS), 0 if none."""
    total = 0.0
    for side in range(2):
        for i in range(DEPTH_LEVELS):
            total += worth_in_quote(symbol, prices[side, i], quantities[side, i])
    return total / FLOAT_POWERS_OF_TEN[symbol.price_decimals + symbol.quantity_decimals]


@inlined
def slope_of_side(symbol, prices, quantities, twice_mid):
    """Least-squares slope of cumulative worth (mantissa) on distance in bp; NaN with fewer than 3 levels."""
    levels, worth, distance_mean, worth_mean = 0, 0.0, 0.0, 0.0
    while levels < SLOPE_LEVELS and quantities[levels] > 0:
        worth += worth_in_quote(symbol, prices[levels], quantities[levels])
        distance_mean += 1e4 * abs(2 * prices[levels] - twice_mid) / twice_mid
        worth_mean += worth
        levels += 1
    if levels < SLOPE_LEVELS_MIN:
        return np.nan
    distance_mean /= levels
    worth_mean /= levels
    worth, products, squares = 0.0, 0.0, 0.0
    for i in range(levels):
        worth += worth_in_quote(symbol, prices[i], quantities[i])
        distance = 1e4 * abs(2 * prices[i] - twice_mid) / twice_mid - distance_mean
        products += distance * (worth - worth_mean)
        squares += distance * distance
    return products / squares


@kernel
def depth_slope(symbol, prices, quantities):
    """Mean of both sides' slopes in quote units per bp; NaN if a side has fewer than 3 levels.

    prices, quantities: (2, TOP_LEVELS), best first, 0 if none.
    """
    twice_mid = prices[0, 0] + prices[1, 0]
    bids = slope_of_side(symbol, prices[0], quantities[0], twice_mid)
    asks = slope_of_side(symbol, prices[1], quantities[1], twice_mid)
    return (bids + asks) / 2 / FLOAT_POWERS_OF_TEN[symbol.price_decimals + symbol.quantity_decimals]
