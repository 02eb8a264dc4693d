"""The context stage against the oracle, over made-up markets: symbols come and go, columns are null, values repeat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from engine.core.market import MARKET_COLUMNS
from tests.engine.context.stages import OUTLIER, RING, Stage
from tests.oracles.features import Columns, Minute
from tests.oracles.features.cross_section import breadth_mode, cross_sectional
from tests.oracles.features.market import Listed, Market, eligible, markets, score
from tests.oracles.features.regimes import regimes

BEGIN = 29_000_160 - 70  # over midnight
NAMES = ["SOLUSDT", "ETHUSDT", "BTCUSDT", "BTCUSDC", "AUSDT", "BTCDOMUSDT", "XRPUSDT", "DOGEUSDT", "ZUSDT"]
FLAGS = (
    "is_vol_spike_m_1", "is_price_spike_up_m_1", "is_price_spike_down_m_1", "is_oi_spike_up_m_5",
    "is_oi_spike_down_m_5", "is_breakout", "is_breakbelow",
)  # fmt: skip
# Columns of a row that the market reads: how far from 0 they lie.
REALS = {
    "ret_m_1": 1e-3, "ret_m_5": 2e-3, "z_ret_abs_m_1": 1.0, "z_vol_m_1": 1.5, "oi_roc_m_5": 1e-2, "z_oi_roc_m_5": 4.0,
    "hma_100_slope": 1e-4,
}  # fmt: skip
# Both are given the same numbers, so that they may only differ by how they round: 1e-12 of a value, and of differences
# of numbers around 1 that are near 0 a few ulp of 1.
RELATIVE, ABSOLUTE = 1e-12, 1e-15


def columns_of(rng: Random, close: float | None) -> Columns:
    columns: Columns = {name: rng.gauss(0.0, size) for name, size in REALS.items()}
    columns |= {name: float(rng.random() < 0.1) for name in FLAGS}
    for name in ("ret_m_1", "ret_m_5"):
        if rng.random() < 0.2:
            columns[name] = 0.0
    columns["rv_h_1"] = rng.choice([0.001, 0.002, rng.uniform(0.001, 0.05)])
    columns["adx_14"] = rng.uniform(5.0, 45.0)
    columns["time_to_next_funding_s"] = float(rng.randrange(60, 28_801, 60))
    for name in ("ma_50", "ma_200"):
        columns[name] = None if close is None else close + rng.choice([-0.5, 0.0, 0.5])
    for name in [name for name in columns if rng.random() < 0.05]:
        columns[name] = None
    columns["is_warming_up"] = float(rng.random() < 0.03)
    columns["illiquidity_hit"] = rng.choice([0.0] * 30 + [1.0, None])
    return columns


def listed(rng: Random, minutes: int, least: float) -> Listed:
    """One symbol. least: the share of its minutes that have a row."""
    rows, columns, outliers, mid = [], [], set(), rng.uniform(10.0, 1_000.0)
    still = False
    for t in range(BEGIN, BEGIN + minutes):
        still = rng.random() < (0.9 if still else 0.02)  # for a while its mid does not move
        mid *= 1.0 if still else 1.0 + rng.gauss(0.0, 1e-3)
        status = rng.choices(["ok", "partial", "stale"], [30, 1, 1])[0]
        if rng.random() > least:
            continue
        close = None if rng.random() < 0.02 else mid
        spread = None if rng.random() < 0.02 else rng.choice([1.0, 2.0, rng.uniform(0.5, 20.0)])
        volume = rng.choice([0.0, 100.0, rng.lognormvariate(8.0, 2.0)])
        member = rng.random() > 0.05
        hot = not member and rng.random() < 0.5
        mid_close = None if rng.random() < 0.02 else mid
        row = Minute(t, status=status, close=close, mid_close=mid_close, quote_volume=volume, spread_bp_mean=spread)
        row.is_in_universe, row.is_hot = member, hot
        rows.append(row)
        columns.append(columns_of(rng, close))
        if rng.random() < 0.01:
            outliers.add(t)
    return Listed(rows, columns, frozenset(outliers))


@dataclass
class Made:
    """A venue as the oracle takes it."""

    symbols: dict[str, Listed]
    revisions: dict[int, int]
    lattice: range


def venue(seed: int, minutes: int, names: list[str], presence: float = 0.97) -> Made:
    rng = Random(seed)
    symbols = {name: listed(rng, minutes, presence) for name in names}
    lattice = range(BEGIN, BEGIN + minutes)
    return Made(symbols, {t: int(t > BEGIN + minutes // 3) for t in lattice}, lattice)


def put(stage: Stage, name: str, one: Listed, t: int, universe_rev: int) -> None:
    """Give the engine's stage what the oracle reads of a symbol's row."""
    row, columns = one.rows[t], one.known[t]
    stale = row.status == "stale"
    own: dict[str, Any] = {
        "dq_status": row.status,
        "dq_reasons": OUTLIER if t in one.outliers else 0,
        "universe_rev": universe_rev,
        "is_in_universe": int(row.is_in_universe),
        "is_hot": int(row.is_hot),
        "spread_bp_mean": row.spread_bp_mean,
        "funding_rate_hour": row.funding_rate_hour,
        **({} if stale else columns),
    }
    inputs = {
        "close": None if stale else row.close,
        "volume": one.volumes.get(t),
        "log_return": one.returns.get(t),
    }
    stage.put(name, t, own, {RING[key]: value for key, value in inputs.items()})


def skip(stage: Stage, name: str, t: int) -> None:
    """A minute without a row: nothing stands in the ring."""
    stage.state.features.ring[stage.names.index(name), :, t % 256 :: 256] = float("nan")


def lived(stage: Stage, made: Made) -> Iterator[tuple[int, Market]]:
    """The market rows of the engine's stage, minute by minute."""
    for t in made.lattice:
        for name, one in made.symbols.items():
            (put(stage, name, one, t, made.revisions[t]) if t in one.rows else skip(stage, name, t))
        members = [name for name, one in made.symbols.items() if t in one.rows]
        if members:
            yield t, stage.close(t, members)
        stage.settle(t - 1)


def differences(found: Market, expected: Market) -> list[str]:
    """What differs, of the columns that are expected."""
    return [
        f"{name}: {found[name]!r}, expected {value!r}"
        for name, value in expected.items()
        if name != "minute" and not alike(found[name], value)
    ]


def alike(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float | int):
        return abs(found - expected) <= max(RELATIVE * abs(expected), ABSOLUTE)
    return bool(found == expected)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_column_of_the_minute_itself(seed: int) -> None:
    made = venue(seed, 110, NAMES)
    expected = markets(made.symbols, made.revisions)
    stage, told = Stage(NAMES), set()
    for t, row in lived(stage, made):
        assert differences(row, expected[t]) == [], t
        told |= {name for name, value in row.items() if value not in (None, 0, 0.0)}
        for name, one in made.symbols.items():
            if t in one.rows:
                strength = score(one.rows[t], one.known[t]) if one.rows[t].status != "stale" else {}
                for column, value in strength.items():
                    assert alike(stage.row(name, column), value), (t, name, column)
                assert stage.row(name, "is_eligible") == (name in eligible(made.symbols, t, made.revisions[t]))
    assert {"leader", "dominance_share", "correlation_m_60", "first_factor_share_m_60", "market_volume_h_1"} <= told
    assert {"excluded_universe", "excluded_outlier", "excluded_warming_up", "excluded_illiquid"} <= told


def test_every_column_that_looks_back() -> None:
    """Regimes and z of breadth, from the engine's own market rows: the test above holds them to the oracle."""
    made = venue(5, 2_000, NAMES, presence=0.998)
    found = dict(lived(Stage(NAMES), made))
    expected = regimes(made.symbols, found)
    assert [(t, wrong) for t in found if (wrong := differences(found[t], expected[t]))] == []
    last = found[made.lattice[-2]]
    assert {row["volatility_regime"] for row in found.values()} == {None, "low", "medium", "high", "extreme"}
    assert {row["market_regime"] for row in found.values()} == {None, "normal", "trending", "volatile"}
    assert {row["trend_reason"] for row in found.values()} >= {"none", "no_input"}
    assert {row["volatility_reason"] for row in found.values()} == {"none", "few_symbols", "few_minutes"}
    assert last["breadth_composite"] is not None
    assert set(last) == {column.name for column in MARKET_COLUMNS}


def test_neither_the_order_of_the_symbols_nor_one_more_revision_changes_a_bit() -> None:
    made = venue(8, 80, NAMES)
    plain = dict(lived(Stage(NAMES), made))
    turned = Stage(list(reversed(NAMES)), symbols_max=40)
    for t, row in lived(turned, made):
        assert row == plain[t]
        members = [name for name, one in made.symbols.items() if t in one.rows]
        assert turned.close(t, members[3:4]) == plain[t]


def test_a_revision_of_one_symbol_gives_the_market_as_if_it_had_closed_so() -> None:
    made = venue(9, 70, NAMES)
    stage, last = Stage(NAMES), made.lattice[-1]
    rows = dict(lived(stage, made))
    revised = next(name for name in NAMES if stage.row(name, "is_eligible") and last in made.symbols[name].rows)
    column = made.symbols[revised].known[last]
    column["ret_m_1"], column["z_vol_m_1"] = 0.01, 9.0
    column["ret_m_5"], column["z_ret_abs_m_1"] = 0.02, 9.0
    put(stage, revised, made.symbols[revised], last, made.revisions[last])
    again = stage.close(last, [revised])
    afresh = dict(lived(Stage(NAMES), made))
    assert again == afresh[last]
    assert again != rows[last]


def test_what_the_market_says_of_each_return_and_of_its_own_breadth() -> None:
    """Both ridges, fitted at full hours; breadth from the engine's own market rows."""
    names = [*NAMES, *(f"X{number}USDT" for number in range(6))]  # breadth asks for ten that are eligible
    made = venue(11, 420, names, presence=0.998)
    rng = Random(12)
    for one in made.symbols.values():
        for minute in one.rows.values():
            minute.funding_rate_hour = rng.choice([None, rng.gauss(0.0, 1e-5)])
    expected = cross_sectional(made.symbols, made.revisions)
    stage, told = Stage(names), 0
    found: dict[int, Market] = {}
    for t, row in lived(stage, made):
        found[t] = row
        for name, one in made.symbols.items():
            if t not in one.rows:
                continue
            for column, value in expected[name][list(one.rows).index(t)].items():
                actual = stage.row(name, column)
                told += value is not None
                assert agreed(actual, value, 1e-9), (t, name, column, actual, value)
    assert told > 1_000
    breadth = breadth_mode(found)
    wrong = [
        (t, name, found[t][name], value)
        for t, columns in breadth.items()
        for name, value in columns.items()
        if not agreed(found[t][name], value, 1e-9)
    ]
    assert wrong == []
    assert sum(row["z_breadth_residual"] is not None for row in found.values()) > 60


def agreed(found: Any, expected: Any, floor: float) -> bool:
    """The equations are solved in another order than the oracle's: 1e-9, of numbers around 1e-3 to 1."""
    if found is None or expected is None:
        return found is expected
    return bool(abs(found - expected) <= 1e-9 * abs(expected) + floor * 1e-3)
