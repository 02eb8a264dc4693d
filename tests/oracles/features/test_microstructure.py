"""Microstructure columns against numbers that can be checked by head."""

from __future__ import annotations

from tests.oracles.features import Minute, Number
from tests.oracles.features.microstructure import depth_slope, microstructure, nearest_rank_95


def points(*values: Number) -> list[Number]:
    """The grid with these values at its end."""
    return [None] * (60 - len(values)) + list(values)


def test_the_95th_percentile_is_one_of_the_values():
    assert nearest_rank_95([float(k) for k in range(20, 0, -1)]) == 19.0
    assert nearest_rank_95([float(k) for k in range(1, 61)]) == 57.0
    assert nearest_rank_95([float(k) for k in range(1, 22)]) == 20.0  # 19.95


def test_spreads_need_twenty_quotes_and_twenty_points():
    spreads = points(*[float(k) for k in range(1, 21)])
    assert microstructure([Minute(0, spreads=spreads, quote_count=20)])[0]["spread_p95_m_1"] == 19.0
    assert microstructure([Minute(0, spreads=spreads, quote_count=19)])[0]["spread_p95_m_1"] is None
    assert microstructure([Minute(0, spreads=spreads[:-1], quote_count=20)])[0]["spread_p95_m_1"] is None


def test_imbalance_is_the_share_on_a_scale_from_minus_one():
    row = microstructure([Minute(0, obi_top1_mean=0.75, obi_top5_mean=0.0)])[0]
    assert (row["imbalance_top1"], row["imbalance_top5"]) == (0.5, -1.0)
    assert microstructure([Minute(0)])[0]["imbalance_top1"] is None


def test_the_median_depth_of_the_points_with_a_book():
    def median_of(*depths: Number) -> Number:
        return microstructure([Minute(0, depths5=points(*depths))])[0]["depth_top5_quote_median_m_1"]

    assert median_of(9.0, None, 1.0, 5.0) == 5.0
    assert median_of(9.0, 1.0, 5.0, 4.0) == 4.5
    assert median_of(7.0) == 7.0
    assert median_of() is None


def test_the_depth_slope_of_even_books():
    """1 bp of the mid is 0.01; each level adds 1 in quote on the bids and 3 on the asks, 2 bp further out."""
    bids = [(99.99, 1 / 99.99), (99.97, 1 / 99.97), (99.95, 1 / 99.95)]
    asks = [(100.01, 3 / 100.01), (100.03, 3 / 100.03), (100.05, 3 / 100.05)]
    found = depth_slope(bids, asks, None)
    assert found is not None
    assert abs(found - (0.5 + 1.5) / 2) < 1e-15
    assert depth_slope(bids[:2], asks, None) is None
    assert depth_slope([], [], None) is None


def test_the_depth_slope_of_contracts_counts_their_size_and_ten_levels():
    """Distances 1, 2, 3, .. bp; a contract is worth 10."""
    bids = [*((round(100 - k / 100, 2), 1.0) for k in range(1, 11)), (50.0, 1_000.0)]
    asks = [*((round(100 + k / 100, 2), 1.0) for k in range(1, 11)), (150.0, 1_000.0)]
    assert depth_slope(bids, asks, 10.0) == 10.0
    assert microstructure([Minute(0, bids=bids, asks=asks, contract_size=10.0, inverse=True)])[0]["depth_slope"] == 10.0


def test_the_microprice_drifts_from_the_30th_point():
    microprices: list[Number] = [100.0] * 29 + [80.0] + [90.0] * 30
    assert (
        microstructure([Minute(0, microprice_close=88.0, microprices=microprices)])[0]["microprice_drift_s_30"]
        == 88 / 80 - 1
    )
    microprices[29] = None
    row = microstructure([Minute(0, microprice_close=88.0, microprices=microprices)])[0]
    assert row["microprice_drift_s_30"] is None
