"""The ridge of a venue and that of its breadth, with what was planted in them."""

from __future__ import annotations

from math import exp
from random import Random

import pytest

from tests.oracles.features import Minute
from tests.oracles.features.cross_section import breadth_mode, breadth_of, cross_sectional, observations, place
from tests.oracles.features.market import Listed, Market
from tests.oracles.features.test_market import QUIET

FIRST = 29_000_160  # 00:00 UTC


def venue(count: int, symbols: int = 6, seed: int = 1) -> dict[str, Listed]:
    """r of symbol i = M (1 + size_i) + 0.001 x 1e4 funding, M drawn for each minute; S0 trades least."""
    random = Random(seed)
    market = [random.gauss(0, 1e-3) for _ in range(count)]
    found = {}
    for i in range(symbols):
        mid, minutes = 100.0, []
        size = (i + 0.5) / symbols - 0.5
        for k in range(count):
            funding = random.choice((-1e-5, 1e-5))
            mid *= exp(market[k] * (1 + size) + 0.001 * 1e4 * funding)
            minutes.append(
                Minute(
                    FIRST + k, mid_close=mid, quote_volume=1.0 + i, spread_bp_mean=10.0 - i, funding_rate_hour=funding
                )
            )
        found[f"S{i}"] = Listed(minutes, [QUIET] * count)
    return found


def test_places_by_head():
    values = {"A": 1.0, "B": 3.0, "C": 3.0, "D": 9.0, "E": None}
    assert [place(name, values) for name in values] == [0.5 / 5 - 0.5, 2 / 5 - 0.5, 2 / 5 - 0.5, 3.5 / 5 - 0.5, None]


def test_what_a_symbol_is_exposed_to():
    symbols = venue(70)
    seen = observations(symbols, FIRST + 69, 0)
    middle = sorted(one.returns[FIRST + 69] for one in symbols.values())
    y, x = seen["S1"]
    assert y == symbols["S1"].returns[FIRST + 69]
    half = (middle[2] + middle[3]) / 2
    assert x is not None
    assert x[:4] == [1.0, half, half * (1.5 / 6 - 0.5), half * (4.5 / 6 - 0.5)]
    assert abs(x[4]) == pytest.approx(0.1)
    symbols["S1"].rows[FIRST + 69].funding_rate_hour = None
    symbols["S2"].rows[FIRST + 69].spread_bp_mean = None
    symbols["S3"].rows[FIRST + 69].status = "partial"
    seen = observations(symbols, FIRST + 69, 0)
    x = seen["S1"][1]
    assert x is not None
    assert x[4] == 0.0
    assert seen["S2"][1] is None
    assert "S3" not in seen


def test_the_planted_exposures_are_found():
    symbols = venue(500)
    rows = cross_sectional(symbols)
    first = next(i for i, row in enumerate(rows["S0"]) if row["cross_sectional_prediction"] is not None)
    assert first == 241  # minutes 1 .. 239 have a return
    errors = [
        symbols[name].returns[FIRST + i] - (rows[name][i]["cross_sectional_prediction"] or 0)
        for name in symbols
        for i in range(450, 500)
    ]
    moves = [symbols[name].returns[FIRST + i] for name in symbols for i in range(450, 500)]
    assert sum(e * e for e in errors) < 0.1 * sum(r * r for r in moves)
    assert rows["S0"][499]["z_cross_sectional_residual"] is not None


def test_four_symbols_teach_nothing_but_are_told():
    symbols = venue(500)
    for name in ("S4", "S5"):
        for row in list(symbols[name].rows.values())[300:]:
            row.status = "partial"
    rows = cross_sectional(symbols)
    assert rows["S0"][499]["cross_sectional_prediction"] is not None
    assert rows["S5"][499]["cross_sectional_prediction"] is None
    assert rows["S5"][499]["cross_sectional_prediction_std"] is not None
    few = cross_sectional(dict(list(venue(500).items())[:4]))
    assert all(row["cross_sectional_prediction"] is None for row in few["S0"])


def market_rows(count: int, seed: int = 2) -> dict[int, Market]:
    """breadth of t = 0.5 of that before + 0.3 x 100 market return before + noise."""
    random = Random(seed)
    rows: dict[int, Market] = {}
    breadth, returned = 0.0, 0.0
    for i in range(count):
        breadth = 0.5 * breadth + 0.3 * 100 * returned + random.gauss(0, 0.05)
        returned = random.gauss(0, 1e-2)
        rows[FIRST + i] = {
            "eligible_count": 10, "breadth_m_1": breadth, "market_return_m_1": returned,
            "return_dispersion_m_5": abs(random.gauss(0, 1e-2)), "z_vol_mean": random.gauss(0, 1),
        }  # fmt: skip
    return rows


def test_breadth_is_predicted_from_the_minute_before():
    rows = market_rows(2_000)
    found = breadth_mode(rows)
    first = next(t - FIRST for t in sorted(found) if found[t]["breadth_prediction"] is not None)
    assert first == 241
    late = [FIRST + i for i in range(1_800, 2_000)]
    errors = [rows[t]["breadth_m_1"] - (found[t]["breadth_prediction"] or 0) for t in late]
    assert sum(e * e for e in errors) < 0.1 * sum(rows[t]["breadth_m_1"] ** 2 for t in late)
    assert list(found[FIRST + 1_999]) == ["breadth_prediction", "breadth_prediction_std", "z_breadth_residual"]


def test_breadth_wants_ten_symbols():
    rows = market_rows(3)
    rows[FIRST + 1]["eligible_count"] = 9
    y, x = breadth_of(rows, FIRST + 1)
    assert y is None
    before = rows[FIRST]
    assert x == [1.0, before["breadth_m_1"], 100 * before["market_return_m_1"], 100 * before["return_dispersion_m_5"],
                 before["z_vol_mean"]]  # fmt: skip
    assert breadth_of(rows, FIRST) == (before["breadth_m_1"], None)
    rows[FIRST + 1]["z_vol_mean"] = None
    assert breadth_of(rows, FIRST + 2)[1] is None


def test_what_comes_later_changes_nothing():
    symbols = venue(320)
    whole = cross_sectional(symbols)
    for cut in (241, 242, 301, 302):
        short = {name: Listed(one.minutes[:cut], one.columns[:cut]) for name, one in symbols.items()}
        assert cross_sectional(short) == {name: rows[:cut] for name, rows in whole.items()}
