"""Stored minutes through the stage again: the same bits as minute by minute, whatever is missing between them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.made import FIRST_MINUTE, OI_STALE_MS, rows_between
from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.digest import make_canonical
from engine.core.instruments import Instrument
from engine.core.layouts import SET_HOUR_FACTORS
from engine.core.schema import NULL, ROW, Status
from engine.features import stage
from engine.features.offline import INSIDE, Walk

ONE = np.zeros(1, np.int64)
DAYS = 3
INSTRUMENT = Instrument("binance_usdm", "XUSDT", 2, 3, funding_interval_h=8)


def some_days(seed: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """Rows and minutes of three days: gaps of every length, stale, partial and quiet minutes, feeds that pause."""
    draw = np.random.default_rng(seed)
    count = DAYS * 1_440
    mids = 100.0 * np.exp(np.cumsum(8e-4 * draw.standard_normal(count + 1)))
    rows, minutes = rows_between(mids[:-1], mids[1:], draw), FIRST_MINUTE + np.arange(count)
    rows["dq_status"] = draw.choice([Status.OK, Status.PARTIAL, Status.STALE], count, p=[0.94, 0.03, 0.03])
    for name in INSIDE:
        rows[name] = draw.uniform(0.001, 0.01, count)
        rows[name][rows["dq_status"] == Status.STALE] = np.nan
    quiet = draw.random(count) < 0.02
    for name in ("base_volume", "quote_volume_lo", "taker_buy_quote_volume_lo", "trade_count"):
        rows[name][quiet] = 0
    rows["vwap"][quiet] = np.nan
    rows["oi_staleness_ms"][draw.random(count) < 0.05] = NULL
    rows["index_price"][draw.random(count) < 0.05] = np.nan
    kept = draw.random(count) > 0.01
    for first, length in ((700, 40), (1_500, 61), (2_000, 62), (2_400, 300), (3_539, 3)):
        kept[first : first + length] = False
    return rows[kept], minutes[kept]


def by_minutes(rows: np.ndarray, minutes: np.ndarray, hour_factors: bool = False) -> np.ndarray:
    """As a run does it: a close, the row remembered, and the upkeep of every minute there is, row or not."""
    conveyor = Conveyor()
    core = Core()
    conveyor.configure(core.model_copy(update={"limits": core.limits.model_copy(update={"symbols_max": 1})}))
    state = conveyor.state
    assert state is not None
    state.tape.settings[SET_HOUR_FACTORS] = hour_factors
    for name in ("price_decimals", "quantity_decimals", "inverse", "contract_size", "funding_interval_h"):
        state.tape.symbols[name] = getattr(INSTRUMENT, name)
    found = rows.copy()
    for i, minute in enumerate(minutes.tolist()):
        state.bars.rows[0] = rows[i]
        stage.blank(ONE, state.bars.rows.view(np.int64).reshape(1, -1), stage.OWN_FIELDS, stage.OWN_NULLS)
        stage.observe(
            ONE, minute, OI_STALE_MS, stage.UNITS, state.bars.rows, state.tape.symbols, state.features.newest,
            state.features.turn, state.features.ring,
        )  # fmt: skip
        for name in INSIDE:  # the families find nothing of the inside of a minute, and leave it
            state.bars.rows[name][0] = rows[name][i]
        for family in stage.FAMILIES:
            family(state, ONE, minute)
        found[i] = state.bars.rows[0]
        make_canonical(found[i : i + 1])
        state.remember(minute, ONE, found[i : i + 1])
        following = int(minutes[i + 1]) if i + 1 < len(minutes) else minute + 1
        for t in range(minute, following):
            stage.settle(state, ONE, t - 1)
    return found


@pytest.mark.parametrize("hour_factors", [False, True])
def test_days_with_gaps_have_the_bits_of_minute_by_minute(hour_factors: bool) -> None:
    rows, minutes = some_days()
    expected = by_minutes(rows, minutes, hour_factors)
    core = Core()
    core = core.model_copy(update={"features": core.features.model_copy(update={"hour_factors": hour_factors})})
    walk = Walk(INSTRUMENT, core)
    for first, last in ((0, 1), (1, 1_444), (1_444, 1_445), (1_445, len(rows))):  # in pieces: nothing is lost between
        walk.compute(rows[first:last], minutes[first:last])
    names = [name for name in ROW.names or () if rows[name].tobytes() != expected[name].tobytes()]
    assert names == []
    for name in ("z_vol_m_1", "order_flow_prediction", "q_rv_m_15", "seasonality_prediction", "level_above"):
        assert np.isfinite(rows[name]).sum() > 1_000, name


def test_minutes_out_of_order_are_refused() -> None:
    rows, minutes = some_days()
    walk = Walk(INSTRUMENT, Core())
    with pytest.raises(ValueError, match="ascend"):
        walk.compute(rows[:2], minutes[[1, 0]])
    walk.compute(rows[:2], minutes[:2])
    with pytest.raises(ValueError, match="ascend"):
        walk.compute(rows[:2], minutes[:2])
