"""What comes later changes no row: windows, baselines and flags of a day's beginning are those of the whole day."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.features import Columns, Minute
from tests.oracles.features.baselines import SUFFIXES, baselines
from tests.oracles.features.days import days
from tests.oracles.features.flags import flags
from tests.oracles.features.windows import windows

TAKEN = (
    "ret_m_1", "ret_m_5", "ret_abs_m_1", "rv_m_15", "cvd_delta_m_1", "cvd_slope_m_5", "oi_roc_m_5", "basis_bp_m_5",
    "liq_count_m_5", "spread_p95_m_1", "atr_14",
)  # fmt: skip
WARM = 260


def made_up(minutes: list[Minute], seed: int) -> list[Columns]:
    """Any numbers do for what the other oracles would have said; one in twenty is null."""
    random = Random(seed)

    def one(name: str) -> float | None:
        value = random.choice((random.gauss(0, 1), random.gauss(0, 1), 0.0))
        signed = not name.startswith(("ret_abs", "rv", "spread", "atr"))
        return None if random.random() < 0.05 else value if signed else abs(value)

    return [{name: one(name) for name in TAKEN} for _ in minutes]


def every_column(minutes: list[Minute], columns: list[Columns]) -> list[Columns]:
    normalised = baselines(minutes, columns)
    known = [{**column, **row} for column, row in zip(columns, normalised, strict=True)]
    parts = (windows(minutes, columns), normalised, flags(minutes, known))
    return [{**a, **b, **c} for a, b, c in zip(*parts, strict=True)]


@settings(max_examples=12, deadline=None)
@given(minutes=days(warm_minutes=WARM), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_row_is_the_same_whatever_comes_after(minutes, seed, data):
    columns = made_up(minutes, seed)
    cut = data.draw(st.integers(1, len(minutes)))
    assert every_column(minutes[:cut], columns[:cut]) == every_column(minutes, columns)[:cut]


@settings(max_examples=12, deadline=None)
@given(minutes=days(warm_minutes=WARM), seed=st.integers(0, 2**32 - 1))
def test_every_number_is_in_its_range_and_every_null_has_its_reason(minutes, seed):
    columns = made_up(minutes, seed)
    for row, found in zip(minutes, every_column(minutes, columns), strict=True):
        for name, value in found.items():
            if name.startswith("q_"):
                assert value is None or 0 <= value <= 1
            if name.startswith(("is_", "illiquidity")):
                assert value in (None, 0.0, 1.0)
            if row.status == "stale":
                assert value is None
        for name, suffix in SUFFIXES.items():
            z, mean, scale = (found[f"{part}_{name}{suffix}"] for part in ("z", "b_mean", "b_scale"))
            assert (mean is None) == (scale is None)
            assert z is None or mean is not None
            assert scale is None or scale >= 0
        if found["is_warming_up"] == 0.0 and row.status == "ok" and row.spread_mean is not None:
            assert found["illiquidity_hit"] is not None
            assert not (found["illiquidity_hit"] and found["illiquidity_penalty"])
        elif found["is_warming_up"] == 1.0:
            assert found["is_vol_spike_m_1"] is None
