"""Every detector against its rule in plain Python, on made-up minutes, at the bounds, on lived ones and on frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.made import Made, warmed
from bench.material import simulated
from detectors.stage import view_of
from detectors.table import TABLE
from engine.core.detector import Detector, View
from engine.core.effects import MinuteRows
from engine.core.feature_state import RECENT
from engine.core.records import Record, RecordKind
from engine.core.rollup_columns import ROLLUP
from engine.core.schema import COLUMNS
from replay.detectors.contract import found_by
from replay.detectors.world import EDGES, KINDS, MINUTE, Kind, a_view
from tests.detectors.plain import problems, seen
from tests.engine.running import core, run, values
from tests.oracles.detectors import ORACLES, Found, Row, Seen

CORE = tuple(detector for detector in TABLE if detector.is_core)
ROTATIONS = tuple(detector for detector in CORE if detector.signal_class == "rotation")
SHOCKS = tuple(detector for detector in CORE if detector.id.startswith(("spike_burst", "spike_absorb", "spike_print")))
# Values at which a word of the page turns; each is tried as it is and one step to either side.
BOUNDS: dict[str, tuple[float, ...]] = {
    "ret_m_1": (0.0,), "ret_m_5": (0.003, -0.003, 0.001, -0.001, 0.0), "z_ret_abs_m_1": (1.5, 2.5),
    "z_vol_m_1": (2.5, 3.0), "oi_roc_m_5": (0.015, -0.015, 0.01, -0.01, 0.0),
    "cvd_slope_m_5": (0.0,), "z_oi_roc_m_5": (2.0, -2.0, 0.0),
}  # fmt: skip


def test_there_is_a_rule_for_every_detector_of_the_core():
    """Those of docs/patterns.md have theirs in patterns.py and charts.py of tests/oracles."""
    assert set(ORACLES) == {detector.id for detector in CORE}


def compare(view: View, triggers: Counter[str], detectors: Sequence[Detector] = CORE, minutes: int = RECENT) -> None:
    """Some detectors and every member; counts what triggers. minutes: how many of them are read."""
    told = seen(view, minutes)
    for detector in detectors:
        found = found_by(detector, view)
        for symbol in view.members.tolist():
            expected = ORACLES[detector.id](told, symbol)
            assert problems(found[symbol], expected) == [], (detector.id, view.minute, symbol, expected)
            triggers[detector.id] += is_trigger(expected, detector.threshold)


def is_trigger(found: Found, threshold: float) -> bool:
    return found.measure is not None and found.measure >= threshold and found.is_met


@pytest.mark.parametrize("kind", [*KINDS, *EDGES], ids=lambda kind: kind.name)
def test_on_made_up_minutes_with_and_without_nulls(kind: Kind):
    for seed in range(3):
        compare(a_view(kind, seed), Counter())


def test_at_the_bounds_of_what_must_hold():
    triggers: Counter[str] = Counter()
    for seed in range(4):
        view, draw = a_view(KINDS[1], seed), np.random.default_rng(seed)
        for name, bounds in BOUNDS.items():
            steps = np.array([near for bound in bounds for near in (bound, *np.nextafter(bound, [-9.0, 9.0]))])
            view.rows[name] = draw.choice(steps, len(view.rows))
        for name, whole in {"oi_staleness_ms": 20_000, "trade_count": 5}.items():
            view.rows[name] = draw.integers(whole - 1, whole + 2, len(view.rows))
        view.rows["liquidation_count"][::2] = 0
        view.rows["b_scale_ret_m_1"][::3] = draw.choice([0.0, -0.001, 0.001])
        view.market["shock_count"], view.market["eligible_count"] = draw.integers(3, 8), draw.choice([20, 26, 27, 40])
        compare(view, triggers)
    for name in ("spike_oi_up_v1", "spike_oi_down_v1", "div_premium_v1", "combo_price_vol_up_v1"):
        assert triggers[name] > 0


def test_shocks_of_a_minute_where_volatilities_are_of_the_size_of_ranges():
    """On plain chance a range of some 20 bp is never twice a volatility of any size."""
    triggers: Counter[str] = Counter()
    for seed in range(8):
        view, draw = a_view(KINDS[0] if seed % 2 else KINDS[2], seed), np.random.default_rng(seed)
        for rows in (view.rows, view.history):
            rows["rv_m_1"] *= draw.choice([0.0, 1e-3, 3e-3], rows.shape, p=[0.02, 0.49, 0.49])
            rows["obi_top1_mean"] = draw.random(rows.shape)
        view.rows["trade_count"] = draw.integers(0, 400, len(view.rows))
        view.rows["oi_roc_m_5"] = draw.choice([0.0, 0.01, -0.01, -0.02, np.nan], len(view.rows))
        compare(view, triggers, SHOCKS)
    for detector in SHOCKS:
        assert triggers[detector.id] >= 10, detector.id


@pytest.mark.parametrize("step", [0.0, 0.5], ids=["any values", "halves, so that many are equal"])
def test_rotations_on_bars_in_which_followers_gain_and_the_leader_loses(step: float):
    """On plain chance the leader's rule of six comparisons holds once in some hundred bars."""
    triggers: Counter[str] = Counter()
    view, newest = a_view(replace(KINDS[0], symbols=24)), MINUTE // 15 - 1
    for seed in range(120):
        draw = np.random.default_rng(seed)
        leader = int(draw.choice(view.members))
        view.market["leader"] = leader
        for back in range(3):
            bars = view.bars_15m[(newest - back) % len(view.bars_15m)]
            for name in ("ret", "z_ret_abs", "z_vol", "oi_roc", "z_oi_roc"):
                values = draw.standard_normal(len(bars)) + draw.choice([0.0, 1.0 - back])
                bars[name] = np.rint(values / step) * step if step else values
            for name in ("ret", "z_vol"):
                bars[name][leader] += draw.choice([0.0, 2.0, 3.0], p=[0.1, 0.2, 0.7]) * back
        compare(view, triggers, ROTATIONS, minutes=1)
    assert triggers["rot_leader_v1"] >= 3
    assert triggers["rot_sector_v1"] >= 3


def test_on_minutes_that_were_lived_with_full_baselines():
    """Columns as the stages make them: 480 minutes lived, then an hour with bars of 15 minutes behind it."""
    made, triggers, draw = warmed(16), Counter[str](), np.random.default_rng(5)
    for _ in range(48):
        compare(next_view(made, draw), triggers)
    assert sum(count > 0 for count in triggers.values()) >= 5


def next_view(made: Made, draw: np.random.Generator) -> View:
    """The next minute, closed; its newest bars of 15 minutes are drawn."""
    made.market.step(made.minute)
    market, ring = made.close(), made.state.rings["rollups_15m"]
    for bar in range(made.minute // 15 - 3, made.minute // 15):
        if not ring.has(bar, made.members).all():
            rows = np.zeros(len(made.members), ROLLUP)
            for name in ("ret", "z_ret_abs", "z_vol", "oi_roc", "z_oi_roc"):
                rows[name] = draw.standard_normal(len(rows))
            ring.put(bar, made.members, rows)
    view = view_of(made.state, made.members, made.minute, market, made.roster.order, made.members % 4)
    made.remember()
    made.keep()
    made.minute += 1
    return view


# A session of frames: what leaves the conveyor ------------------------------------------------------------------------

TOLD = {column.name for column in COLUMNS}


def session() -> list[MinuteRows]:
    """Candidates of everything that has a measure above next to nothing: thresholds are as low as they can be."""
    low: dict[str, Any] = {detector.id: {"enabled": detector.is_core, "threshold": 1e-9} for detector in TABLE}
    settings = core(signals={"detectors": low}, limits={"history_minutes": 128})
    messages = simulated("hyperliquid", symbols=3, minutes=14).messages
    records = [Record(n, ns, source, kind, data) for n, (ns, source, kind, data) in enumerate(messages)]
    return run([record for record in records if record.kind != RecordKind.CONFIG], settings).links


def test_what_a_simulated_session_publishes_as_candidates_is_what_the_rows_say():
    rows: dict[Any, dict[int, Row]] = {}
    found: Counter[str] = Counter()
    for link in session():
        for name, scale, row in zip(link.symbols, link.scales, link.rows, strict=True):
            plain = {key: value for key, value in values(row, *scale, link).items() if key in TOLD}
            rows.setdefault(name, {})[link.minute] = plain
        if link.market is None or link.found is None:
            continue
        market = {name: link.market.row[name].item() for name in ("shock_count", "eligible_count")}
        leader = link.market.names.get(int(link.market.row["leader"]))
        market |= {"leader": leader, "dq_status": "ok" if link.market.row["dq_status"] == 0 else "partial"}
        told = Seen(link.minute, rows, {link.minute: market}, {name: {} for name in rows}, sorted(rows), {})
        expected = {}
        for name in link.symbols:
            for detector in CORE:
                one = ORACLES[detector.id](told, name)
                if is_trigger(one, 1e-9):
                    expected[name, detector.id] = one
        ours = dict(zip(zip(link.found.symbols, link.found.detectors, strict=True), link.found.rows, strict=True))
        if link.revision == 0:
            assert ours.keys() == expected.keys()
        for key, row in ours.items():
            assert row["direction"] == expected[key].direction
            for name in ("measure", "primary", "secondary"):
                mine, other = float(row[name]), getattr(expected[key], name)
                assert np.isnan(mine) if other is None else mine == pytest.approx(float(other), rel=1e-12), (key, name)
            found[key[1]] += 1
    assert found.total() >= 20
    assert len(found) >= 3, "open interest and prices go both ways"
