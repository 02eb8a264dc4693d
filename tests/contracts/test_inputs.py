"""What a column is declared to be made of is what it is made of: nothing else moves a bit of it, and each input does.

Names of inputs are followed down to what bars, quality and universe write, and to `ticks`, the inside of a minute.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.context import stage as context
from engine.core.column import Column, Form
from engine.core.feature_state import CLOSE, LOG_RETURN, MID, RECENT, VOLUME
from engine.core.market import MARKET_COLUMNS
from engine.core.rings import words_of
from engine.core.schema import COLUMNS, ROW, ROW_FIELDS, Reason
from engine.features.inputs import OWN_FIELDS, OWN_NULLS, blank
from tests.contracts.venues import GIVEN, NAMES, OWN, Day, Machine, bits, change, long_day, moved, run

TICKS = "ticks"
TABLE = {column.name: column for column in (*MARKET_COLUMNS, *COLUMNS)}  # dq_status is read of rows, never of markets
PEERS = ("lead_lag_prediction", "lead_lag_prediction_std", "z_lead_lag_residual")  # made of other symbols as well
# Wanted in vain on a day of a usual size: a week before this one, options.
UNTOLD = (
    "prior_week_high", "prior_week_low", "vol_surface_prediction", "vol_surface_prediction_std",
    "z_vol_surface_residual",
)  # fmt: skip


def made_of(column: Column) -> set[str]:
    """The names of all columns that it is made of, directly or not, and `ticks`."""
    found: set[str] = set()
    waiting = list(column.inputs)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += TABLE[name].inputs if name != TICKS else ()
    return found


def test_inputs_are_columns_of_this_table_and_no_column_is_made_of_itself() -> None:
    for column in (*COLUMNS, *MARKET_COLUMNS):
        assert set(column.inputs) <= {*TABLE, TICKS}, column.name
        assert len(set(column.inputs)) == len(column.inputs), column.name
        assert column in MARKET_COLUMNS or column.name not in made_of(column), column.name


# --- features: each symbol has another column changed -----------------------------------------------------------------

MINUTES = 1_560


def shocked(day: Day, rng: np.random.Generator) -> Day:
    """Now and then much volume or next to none, a jump of open interest, a wide spread: every flag has its moments."""
    rows, shape = day.rows, day.rows.shape
    for name in ("base_volume", "quote_volume_lo", "taker_buy_quote_volume_lo"):
        rows[name] *= np.where(rng.random(shape) < 0.03, 20, 1)
    near = rng.integers(9_500, 11_200, shape) * 100_000  # about the least volume of a liquid minute
    rows["quote_volume_lo"] = np.where(rng.random(shape) < 0.3, near, rows["quote_volume_lo"])
    rows["taker_buy_quote_volume_lo"] = np.minimum(rows["taker_buy_quote_volume_lo"], rows["quote_volume_lo"])
    rows["oi_close"] *= rng.choice((0.95, 1.0, 1.05), shape, p=(0.02, 0.96, 0.02))
    rows["quote_count"] = rng.integers(15, 300, shape)
    rows["spread_mean"] *= np.where(rng.random(shape) < 0.02, 40.0, 1.0)
    rows["spread_bp_mean"] *= np.where(rng.random(shape) < 0.02, 40.0, 1.0)
    return day


def other_ticks(day: Day, rng: np.random.Generator, symbol: int) -> None:
    """Another inside of every minute of a symbol."""
    day.quotes["microprice_s_30"][:, symbol] *= 1.001
    for name in ("mid", "spread"):
        runs = day.mids[name][:, symbol]
        runs += rng.integers(0, 5, runs.shape)
    day.depths["slope"][:, symbol] *= 1.1
    day.depth_runs["depth5"][:, symbol] *= 1.1


@pytest.fixture(scope="module")
def moved_by() -> dict[str, set[str]]:
    """Column of the stage `features` -> what moved a bit of it."""
    rng = np.random.default_rng(5)
    one = shocked(long_day(("S000",), MINUTES, seed=3), rng)
    day = replace(one.of([0] * (len(GIVEN) + 2)), names=tuple(f"S{k:03}" for k in range(len(GIVEN) + 2)))
    for k, column in enumerate(GIVEN, 1):
        change(day, column, rng, slice(k, k + 1))
    other_ticks(day, rng, len(GIVEN) + 1)
    rows = run(day).rows
    found: dict[str, set[str]] = {}
    for column in OWN:
        fields = [f"{column.name}_hi", f"{column.name}_lo"] if column.form is Form.QUOTE else [column.name]
        differ = np.any([(bits(rows[field]) != bits(rows[field])[:, :1]).any(axis=0) for field in fields], axis=0)
        found[column.name] = {name for k, name in enumerate([*(c.name for c in GIVEN), TICKS], 1) if differ[k]}
    return found


# The first asks whether a value was there, and volume always is. The others read volume through illiquidity_hit, which
# would have to change in the very minute of a rare flag.
VOLUMES = {"quote_volume", "taker_buy_quote_volume"}
VOLUME_UNSEEN = (
    "is_warming_up", "is_oi_spike_up_m_5", "is_oi_spike_down_m_5", "is_spread_stress_m_1", "is_divergence_bullish_m_5",
    "is_divergence_bearish_m_5",
)  # fmt: skip
ALONE = [column for column in OWN if column.stage == "features" and column.name not in (*PEERS, *UNTOLD)]


@pytest.mark.parametrize("column", ALONE, ids=lambda column: column.name)
def test_a_feature_reads_what_it_declares_and_nothing_else(column: Column, moved_by: dict[str, set[str]]) -> None:
    declared = made_of(column) & {TICKS, *(one.name for one in GIVEN)}
    assert moved_by[column.name] | (declared & VOLUMES if column.name in VOLUME_UNSEEN else set()) == declared


# --- the market: a column of all rows is changed, between the stages --------------------------------------------------

IN_THE_RING = {"mid_close": (MID, LOG_RETURN), "quote_volume": (VOLUME,), "close": (CLOSE,)}
# Read through what earlier minutes taught, which a change of this minute does not reach.
REMEMBERED = ("cross_sectional_prediction_std",)
CONTEXT = [
    *((f"market {column.name}", column) for column in MARKET_COLUMNS),
    *((column.name, column) for column in OWN if column.stage == "context"),
]
ROUNDS = 40


def varied(day: Day, rng: np.random.Generator) -> Day:
    """Of every reason why a symbol is left out a few, in the last minutes of a day."""
    rows, shape = day.rows[-ROUNDS:], day.rows[-ROUNDS:].shape
    rows["dq_status"] = rng.choice((0, 0, 0, 0, 0, 1, 2), shape)
    rows["is_in_universe"] = rng.random(shape) < 0.8
    rows["is_hot"] = rng.random(shape) < 0.1
    rows["dq_reasons"] = np.where(rng.random(shape) < 0.1, int(Reason.RETURN_OUTLIER), 0)
    day.has[: -2 * ROUNDS, -2:] = False  # two are new, and two have hardly any volume
    day.rows["quote_volume_lo"][-ROUNDS:, -4:-2] = day.rows["taker_buy_quote_volume_lo"][-ROUNDS:, -4:-2] = 100_000
    return day


def changed_in_rows(machine: Machine, column: Column, rng: np.random.Generator) -> None:
    """Another column in the newest rows; and in the ring, where one symbol has nothing of it any more."""
    field = f"{column.name}_lo" if column.form is Form.QUOTE else column.name
    rows = machine.state.bars.rows
    rows[field] = moved(rows[field], column, rng, size=0.1)
    for place in IN_THE_RING.get(column.name, ()):
        factor = rng.uniform(0.5, 1.5, (len(rows), RECENT))
        factor[rng.integers(len(rows))] = np.nan
        machine.state.features.ring[:, place] *= np.concatenate([factor, factor], axis=1)


def written(machine: Machine, minute: int) -> dict[str, bytes]:
    """What the stage `context` makes of the rows and the ring as they stand."""
    roster, rows = machine.rosters.of(0, machine.registry), machine.state.bars.rows
    blank(machine.places[0], words_of(rows), OWN_FIELDS[CONTEXT_FIELDS], OWN_NULLS[CONTEXT_FIELDS])
    market = context.compute(machine.state, 0, machine.places[0], minute, roster)
    return {name: (market if name.startswith("market") else rows)[column.name].tobytes() for name, column in CONTEXT}


CONTEXT_FIELDS = np.isin(OWN_FIELDS, [(ROW.names or ()).index(name) for name in ROW_FIELDS["context"]])


@pytest.fixture(scope="module")
def market_moved_by() -> dict[str, set[str]]:
    """Column of the stage `context` -> columns of other stages that moved a bit of it."""
    names = (*NAMES, "AAVEUSDT", "BTCUSDC", "DOTUSDT", "ZECUSDT", "AVAXUSDT", "NEARUSDT", "SUIUSDT", "XLMUSDT")
    day = varied(shocked(long_day(names, 1_680, seed=4), np.random.default_rng(6)), np.random.default_rng(8))
    machine, rng = Machine(day), np.random.default_rng(7)
    machine.run(day.minutes[:-ROUNDS])
    found: dict[str, set[str]] = {name: set() for name, _ in CONTEXT}
    for minute in day.minutes[-ROUNDS:]:
        machine.close(minute)
        rows, ring = machine.state.bars.rows.copy(), machine.state.features.ring.copy()
        before = written(machine, minute)
        for column in (column for column in COLUMNS if column.stage != "context"):
            changed_in_rows(machine, column, rng)
            for name, words in written(machine, minute).items():
                found[name] |= {column.name} if words != before[name] else set()
            machine.state.bars.rows[:], machine.state.features.ring[:] = rows, ring
        assert written(machine, minute) == before
        machine.end_grace(minute)
    return found


@pytest.mark.parametrize(("name", "column"), CONTEXT, ids=[name for name, _ in CONTEXT])
def test_the_market_reads_what_it_declares_and_nothing_else(
    name: str, column: Column, market_moved_by: dict[str, set[str]]
) -> None:
    assert market_moved_by[name] <= made_of(column)
    direct = {one for one in column.inputs if one in TABLE and TABLE[one].stage != "context"}
    assert market_moved_by[name] >= (set() if name in REMEMBERED else direct)
