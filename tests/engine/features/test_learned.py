"""Windows, baselines and flags of the engine against the oracle, and against numbers that can be checked by head."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.features.learned import close, to_rows
from tests.engine.features.rows import a_state, columns
from tests.engine.test_minutes_against_oracle import USUAL
from tests.oracles.features import MINUTES_PER_DAY, Columns, Minute, agree
from tests.oracles.features.baselines import baselines
from tests.oracles.features.days import MONDAY, Stretch, day, days
from tests.oracles.features.flags import flags
from tests.oracles.features.test_prefix import made_up
from tests.oracles.features.windows import windows

START = MONDAY * MINUTES_PER_DAY


def with_flows(minutes: list[Minute], made: list[Columns]) -> list[Columns]:
    """The made-up columns, but for the flow, which the engine takes from its own ring."""
    return [
        {**column, "cvd_delta_m_1": 2 * minute.taker_buy_quote_volume - minute.quote_volume}
        for minute, column in zip(minutes, made, strict=True)
    ]


def expected(minutes: list[Minute], given: list[Columns], hour_factors: bool = False) -> list[Columns]:
    """What the three oracles say, of minutes whose other columns are given."""
    normalised = baselines(minutes, given, hour_factors)
    known = [{**column, **row} for column, row in zip(given, normalised, strict=True)]
    parts = (windows(minutes, given), normalised, flags(minutes, known))
    return [{**a, **b, **c} for a, b, c in zip(*parts, strict=True)]


def compare(minutes: list[Minute], seed: int, hour_factors: bool = False) -> list[Columns]:
    given = with_flows(minutes, made_up(minutes, seed))
    found = to_rows(minutes, given, hour_factors)
    for minute, ours, theirs in zip(minutes, found, expected(minutes, given, hour_factors), strict=True):
        wrong = {name: (ours[name], value) for name, value in theirs.items() if not agree(ours[name], value, name)}
        assert wrong == {}, (minute.minute - minutes[0].minute, minute.status, wrong)
    return found


@settings(USUAL, max_examples=15)
@given(days(warm_minutes=260), st.integers(0, 2**32 - 1), st.booleans())
def test_any_days(minutes: list[Minute], seed: int, hour_factors: bool) -> None:
    compare(minutes, seed, hour_factors)


def test_windows_of_a_day_are_full_and_forget() -> None:
    plan = [Stretch("ordinary", 1_500), Stretch("stale", 70), Stretch("flicker", 300), Stretch("ordinary", 60)]
    rows = compare(day(START + 415, plan, seed=3), seed=4)
    assert {row["is_squeeze"] for row in rows[-30:]} == {0.0, 1.0}
    assert rows[-1]["atr_percentile_7d"] is not None


@pytest.mark.slow
def test_windows_of_a_week_are_full_and_forget() -> None:
    """The oracle walks its lists anew for each minute: some minutes of time."""
    compare(day(START, [Stretch("ordinary", 10_400)], seed=5), seed=6)


def quiet(count: int) -> tuple[list[Minute], list[Columns]]:
    """Minutes with returns of plus and minus one, and volumes of e - 1 and e^2 - 1 thousands."""
    random = Random(1)
    minutes = [
        Minute(START + t, quote_volume=float(20_000 + t), spread_mean=0.1, spread_bp_mean=1.0, mid_close=100.0)
        for t in range(count)
    ]
    return minutes, [{"ret_m_1": -1.0 if t % 2 else 1.0, "ret_abs_m_1": random.random()} for t in range(count)]


def test_by_head() -> None:
    minutes, given = quiet(204)
    given[200]["ret_m_1"] = 3.0
    rows = to_rows(minutes, given)
    assert [row["z_ret_m_1"] for row in rows[:200]] == [None] * 200
    assert (rows[200]["z_ret_m_1"], rows[200]["b_mean_ret_m_1"], rows[200]["b_scale_ret_m_1"]) == (3.0, 0.0, 1.0)
    assert rows[201]["b_mean_ret_m_1"] == 3 / 201
    assert rows[201]["b_scale_ret_m_1"] == pytest.approx((1 + 8 / 201) ** 0.5, rel=1e-15)
    assert [row["is_warming_up"] for row in rows[199:]] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert [row["q_vol_m_1"] for row in rows[199:]] == [None, None, 1.0, 1.0, 1.0]  # windows end two minutes before
    assert rows[203]["illiquidity_hit"] == 0.0


def test_a_revision_is_taken_and_its_first_version_forgotten() -> None:
    """Minute 200 first says 3, then 5: what it teaches is the 5, and the 201st is judged by it."""
    minutes, given = quiet(202)
    state = a_state(minutes)
    for minute, told in zip(minutes[:200], given, strict=False):
        close(state, minute, told)
    close(state, minutes[200], {**given[200], "ret_m_1": 3.0})
    close(state, minutes[200], {**given[200], "ret_m_1": 5.0})
    assert columns(state.bars.rows[:1])[0]["z_ret_m_1"] == 5.0
    close(state, minutes[201], given[201])
    assert columns(state.bars.rows[:1])[0]["b_mean_ret_m_1"] == pytest.approx(5 / 201, rel=1e-15)
