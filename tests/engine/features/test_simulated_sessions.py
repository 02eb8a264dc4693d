"""Feature columns of a simulated session against the oracle, from what the engine's own rows say of each minute.

Rows go through their decimal texts and the grid points through the arrays as they stand when the minute closes, so the
whole road is walked: frames, ticks, sums, rows, ring, columns. depth_slope is not here, as the book at the close is in
no row: tests/engine/test_inside_minutes.py has it.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.material import simulated
from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.records import Record, RecordKind
from tests.engine.features.rows import GIVEN, OWN
from tests.engine.running import batches, core, values
from tests.engine.test_inside_minutes import held
from tests.oracles.features import Columns, Minute, agree
from tests.oracles.features.candles import candles
from tests.oracles.features.flow import flow
from tests.oracles.features.levels import levels
from tests.oracles.features.microstructure import microstructure
from tests.oracles.features.oscillators import oscillators
from tests.oracles.features.positioning import positioning
from tests.oracles.features.price import price
from tests.oracles.features.trend import trend

RECORDS_A_BATCH = 200  # a minute's arrays stand until the fourth minute after it begins
SYMBOLS, MINUTES = 3, 25
NOT_IN_ROWS = {"depth_slope"}
# Prices of up to 70,000 and their logarithms: an ulp of ln is twice that of the days that FLOORS speaks of; sums of
# volumes are rounded at 1e8. Volatilities of 2 bp a minute, where one ulp in each logarithm moves drifts by 6e-11.
FLOORS = {
    "cvd_level": 1e-6, "cvd_slope_m_5": 1e-6, "rv_m_1": 1e-13, "rv_m_15": 1e-13, "rv_h_1": 1e-13,
    "drift_burst_m_1": 1e-9,
}  # fmt: skip


def played(venue: str) -> dict[str, tuple[list[Minute], list[Columns]]]:
    """Symbol -> its minutes in their newest revision and the engine's feature columns of them."""
    messages = simulated(venue, SYMBOLS, MINUTES).messages
    epoch = Record(0, messages[0][0], 0, RecordKind.CONFIG, core().encode())
    records = [epoch, *(Record(n, ns, source, kind, data) for n, (ns, source, kind, data) in enumerate(messages, 1))]
    conveyor = Conveyor()
    minutes: dict[str, dict[int, Minute]] = {}
    rows: dict[str, dict[int, Columns]] = {}
    for batch in batches(records, range(0, len(records), RECORDS_A_BATCH)):
        for effect in conveyor.handle(batch):
            if isinstance(effect, MinuteRows):
                for name, scale, row in zip(effect.symbols, effect.scales, effect.rows, strict=True):
                    told = values(row, *scale)
                    minute = minutes.setdefault(name, {}).setdefault(effect.minute, Minute(effect.minute))
                    if effect.revision == 0:
                        _add_inside(minute, conveyor, effect.venue, name)
                    for column in GIVEN:
                        setattr(minute, column, _plain(told[column]))
                    minute.status = told["dq_status"]
                    rows.setdefault(name, {})[effect.minute] = {c.name: _plain(told[c.name]) for c in OWN}
    return {name: (list(found.values()), list(rows[name].values())) for name, found in minutes.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str | set) else float(value)


def _add_inside(minute: Minute, conveyor: Conveyor, venue: str, name: str) -> None:
    inside, symbol = held(conveyor, venue, name, minute.minute)
    minute.mids, minute.spreads = [_plain(x) for x in inside.mids], [_plain(x) for x in inside.spreads]
    minute.microprices, minute.depths5 = [_plain(x) for x in inside.microprices], [_plain(x) for x in inside.depths5]
    minute.inverse, minute.contract_size = bool(symbol["inverse"]), float(symbol["contract_size"])
    minute.funding_interval_h = int(symbol["funding_interval_h"]) or None


@pytest.mark.parametrize("venue", ["binance_usdm", "hyperliquid"])
def test_every_column_of_a_simulated_session(venue: str) -> None:
    seen: set[str] = set()
    for minutes, rows in played(venue).values():
        assert len(minutes) >= MINUTES - 2
        for oracle in (price, flow, positioning, microstructure, trend, oscillators, levels, candles):
            for minute, ours, theirs in zip(minutes, rows, oracle(minutes), strict=True):
                for name, value in theirs.items():
                    if name in NOT_IN_ROWS:
                        continue
                    found = ours[name]
                    near = found is not None and value is not None and abs(found - value) <= FLOORS.get(name, 0.0)
                    assert near or agree(found, value, name), (minute.minute, name, found, value)
                    seen |= {name} if value is not None else set()
    expected = {"ret_s_30", "rv_m_1", "drift_burst_m_1", "jump_m_15", "cvd_level", "kyle_lambda_m_15", "spread_p95_m_1"}
    expected |= {"stoch_d_14", "is_engulfing_up"}
    assert expected <= seen
