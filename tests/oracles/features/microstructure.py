"""Microstructure: what the grid points and the book at the close tell of one minute."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import median

from tests.oracles.features import Columns, Minute, Number, usable
from tests.oracles.features.flow import exact

NULL: Columns = dict.fromkeys(
    (
        "spread_p95_m_1", "imbalance_top1", "imbalance_top5", "depth_top5_quote_median_m_1", "depth_slope",
        "microprice_drift_s_30",
    )
)  # fmt: skip
QUOTES_MIN = POINTS_MIN = 20
LEVELS, LEVELS_MIN = 10, 3

Levels = Sequence[tuple[float, float]]


def microstructure(minutes: Sequence[Minute]) -> list[Columns]:
    """All microstructure columns; inputs: spreads, quote_count, obi_*, depths5, bids, asks, microprices."""
    rows = usable(minutes)
    return [_row(minute) if minute.minute in rows else NULL for minute in minutes]


def _row(minute: Minute) -> Columns:
    spreads = [spread for spread in minute.spreads if spread is not None]
    depths = [depth for depth in minute.depths5 if depth is not None]
    is_sampled = minute.quote_count >= QUOTES_MIN and len(spreads) >= POINTS_MIN
    return {
        "spread_p95_m_1": nearest_rank_95(spreads) if is_sampled else None,
        "imbalance_top1": signed(minute.obi_top1_mean),
        "imbalance_top5": signed(minute.obi_top5_mean),
        "depth_top5_quote_median_m_1": median(depths) if depths else None,
        "depth_slope": depth_slope(minute.bids, minute.asks, minute.contract_size if minute.inverse else None),
        "microprice_drift_s_30": drift(minute.microprice_close, minute.microprices[29]),
    }


def nearest_rank_95(values: Sequence[float]) -> float:
    """The ceil(0.95 n)-th smallest."""
    return sorted(values)[-(-95 * len(values) // 100) - 1]


def signed(share: Number) -> Number:
    return None if share is None else 2 * share - 1


def drift(new: Number, old: Number) -> Number:
    return None if new is None or old is None else new / old - 1


def depth_slope(bids: Levels, asks: Levels, contract_size: Number) -> Number:
    """Mean of both sides' slopes, exact until the end. contract_size: None, or quote value of a contract (inverse)."""
    if min(len(bids), len(asks)) < LEVELS_MIN:
        return None
    mid = (exact(bids[0][0]) + exact(asks[0][0])) / 2
    return float((side_slope(bids, mid, contract_size) + side_slope(asks, mid, contract_size)) / 2)


def side_slope(levels: Levels, mid: Fraction, contract_size: Number) -> Fraction:
    """Least-squares slope of cumulative quote depth on the distance from the mid in bp, over the best 10 levels."""
    distances, depths = [], []
    depth = Fraction(0)
    for price, quantity in levels[:LEVELS]:
        value = exact(price) if contract_size is None else exact(contract_size)
        depth += value * exact(quantity)
        depths.append(depth)
        distances.append(10_000 * abs(exact(price) - mid) / mid)
    n = len(depths)
    none = Fraction(0)
    distance_mean, depth_mean = sum(distances, none) / n, sum(depths, none) / n
    products = [(x - distance_mean) * (y - depth_mean) for x, y in zip(distances, depths, strict=True)]
    return sum(products, none) / sum([(x - distance_mean) ** 2 for x in distances], none)
