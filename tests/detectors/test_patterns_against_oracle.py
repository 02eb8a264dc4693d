"""Every pattern and divergence against the oracle, minute by minute, over histories full of shapes and near misses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detectors import breadth, candles, charts, classic_divergence, delta_volume, diagonals, hidden_momentum
from detectors import level_breaks as levels
from engine.core.detector import Detector
from tests.detectors.belt import Belt, found_by, plain, views
from tests.detectors.markets import START, history
from tests.oracles import charts as chart_oracle
from tests.oracles import patterns as oracle
from tests.oracles.histories import NOTHING, Finding, History, Row

FAMILIES = (hidden_momentum, classic_divergence, delta_volume, candles, levels, charts, diagonals)
DETECTORS = {detector.id: detector for family in FAMILIES for detector in family.DETECTORS}
CHARTS = ("falling_wedge", "bull_flag", "ascending_triangle", "head_shoulders", "double_top", "double_bottom")
WRITTEN: dict[str, Callable[[History, int], Finding]] = {
    **{
        f"div_{name}_v1": lambda h, t, n=told: oracle.divergence(h, t, n)  # type: ignore[misc]
        for name, told in (
            ("hidden_bull", "hidden_bull"), ("hidden_bear", "hidden_bear"), ("rsi_bear", "rsi"), ("macd_bear", "macd"),
            ("delta_volume_bear", "delta_volume"),
        )
    },
    **{f"pattern_{name}_v1": lambda h, t, n=name: oracle.candle(h, t, n) for name in ("doji", "hammer", "engulfing")},  # type: ignore[misc]
    **{
        f"pattern_{name}_break_v1": lambda h, t, n=name: oracle.level_break(h, t, n)  # type: ignore[misc]
        for name in ("support", "resistance")
    },
    **{f"pattern_{name}_v1": lambda h, t, n=name: chart_oracle.chart(h, t, n) for name in CHARTS},  # type: ignore[misc]
    **{
        f"pattern_diagonal_{name}_v1": lambda h, t, n=name: chart_oracle.diagonal(h, t, n)  # type: ignore[misc]
        for name in ("support", "resistance")
    },
    "pattern_channel_break_v1": lambda h, t: chart_oracle.channel(h, t),
}  # fmt: skip
SYMBOLS = 20


@pytest.fixture(scope="module")
def histories() -> list[dict[int, Row]]:
    return [history(seed) for seed in range(SYMBOLS)]


@pytest.fixture(scope="module")
def found(histories: list[dict[int, Row]]) -> dict[str, dict[tuple[int, int], np.ndarray]]:
    """Detector -> (minute, symbol) -> finding."""
    told: dict[str, dict[tuple[int, int], np.ndarray]] = {name: {} for name in DETECTORS}
    for view in views(histories):
        for name, detector in DETECTORS.items():
            out = found_by(detector, view)
            told[name] |= {(view.minute, int(s)): out[s] for s in view.members}
    return told


def are_equal(mine: float | None, theirs: float | None) -> bool:
    """Both null, or equal but for the order of additions."""
    if mine is None or theirs is None:
        return mine is theirs
    return abs(mine - theirs) <= 1e-9 * max(1.0, abs(theirs))


def test_the_oracle_knows_every_detector() -> None:
    assert set(WRITTEN) == set(DETECTORS)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_findings_are_those_of_the_oracle(
    name: str, histories: list[dict[int, Row]], found: dict[str, dict[tuple[int, int], np.ndarray]]
) -> None:
    shapes = 0
    for (minute, s), one in found[name].items():
        row = histories[s][minute]
        if row.get("C") is None or row.get("atr_14") is None:
            theirs = NOTHING
        else:
            theirs = WRITTEN[name](histories[s], minute)
        mine = plain(one)
        assert mine[1:] == theirs[1:], (minute, s)
        assert are_equal(mine.measure, theirs.measure), (minute, s, mine.measure, theirs.measure)
        if mine.measure is not None and row["z_vol_m_1"] is not None:
            assert one["secondary"] == row["z_vol_m_1"]
        shapes += mine.measure is not None and mine.is_met and mine.measure > 0
    assert shapes >= 2


# Breadth --------------------------------------------------------------------------------------------------------------


def test_breadth_is_that_of_the_oracle() -> None:
    draw, markets, belt, told = np.random.default_rng(3), dict[int, Row](), Belt(3), 0
    detector: Detector = breadth.DETECTORS[0]
    for minute in range(START, START + 6_000):
        market: dict[str, float | None] = {
            "market_return_m_1": float(draw.standard_normal() + 1.5 * np.sin(minute / 12.0)),
            "breadth_composite": float(draw.standard_normal()), "z_vol_mean": float(draw.standard_normal()),
            "eligible_count": int(draw.integers(18, 24)), "leader": int(draw.integers(3)),
        }  # fmt: skip
        if draw.random() < 0.002:
            market["breadth_composite" if draw.random() < 0.5 else "market_return_m_1"] = None
        if draw.random() > 0.001:
            markets[minute] = market
        out = found_by(detector, belt.step(minute, [{}, {}, {}], markets.get(minute)))
        for s in range(3):
            is_leader = minute in markets and markets[minute]["leader"] == s
            theirs = oracle.breadth(markets, minute) if is_leader else NOTHING
            mine = plain(out[s])
            assert mine[1:] == theirs[1:], minute
            assert are_equal(mine.measure, theirs.measure), minute
            told += mine.is_met and mine.measure is not None and mine.measure >= detector.threshold
    assert told >= 5
