"""Ranks and medians by head, and against scipy and numpy."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from tests.oracles.features import Columns, Minute, Number
from tests.oracles.features.windows import DAY, WEEK, float32, held, medians, rank, ranks, windows

FIRST = 29_000_000


def lattice(count: int, status: str = "ok") -> list[Minute]:
    return [Minute(minute=FIRST + i, status=status) for i in range(count)]


def columns(minutes: list[Minute], **values: list[float]) -> list[Columns]:
    names = ("ret_abs_m_1", "oi_roc_m_5", "rv_m_15", "atr_14")
    return [{name: values[name][i] if name in values else None for name in names} for i in range(len(minutes))]


def test_a_rank_counts_half_of_what_is_equal():
    assert rank([1.0, 2.0, 3.0, 4.0], 3.0) == 2.5 / 4
    assert rank([1.0, 2.0, 3.0, 4.0], 5.0) == 1.0
    assert rank([1.0, 2.0, 3.0, 4.0], 0.0) == 0.0
    assert rank([7.0] * 9, 7.0) == 0.5


def test_values_are_equal_when_their_four_byte_roundings_are():
    assert float32(1 + 2**-23) == 1 + 2**-23
    assert float32(1 + 2**-25) == 1.0
    assert rank([1.0], 1 + 2**-25) == 0.5


def test_a_window_ends_two_minutes_before():
    minutes = lattice(5)
    assert list(held(minutes, [10.0, 11.0, 12.0, 13.0, 14.0], 3)) == [[], [], [10], [10, 11], [10, 11, 12]]
    assert list(held(minutes, [10.0, 11.0, 12.0, 13.0, 14.0], 2))[-1] == [11, 12]


def test_a_window_counts_values_not_minutes():
    minutes = [Minute(minute=FIRST + i, status="ok") for i in (0, 1, 500, 501, 502)]
    assert list(held(minutes, [10.0, 11.0, 12.0, None, 14.0], 2)) == [[], [], [10, 11], [10, 11], [11, 12]]


def test_only_ok_minutes_teach():
    minutes = lattice(6)
    minutes[1].status = "partial"
    minutes[2].status = "stale"
    assert list(held(minutes, [10.0, 11.0, 12.0, 13.0, 14.0, 15.0], 9))[-1] == [10, 13]


def test_fewer_than_needed_is_null():
    minutes = lattice(10)
    values: list[Number] = [float(i) for i in range(10)]
    assert ranks(minutes, values, 100, 3) == [None] * 4 + [1.0] * 6
    assert medians(minutes, values, 100, 3) == [None] * 4 + [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    assert medians(minutes, values, 3, 3)[-1] == 6.0


def test_the_columns_begin_when_their_windows_are_long_enough():
    minutes = lattice(1_450)
    count = len(minutes)
    for i, row in enumerate(minutes):
        row.quote_volume = float(i)
    rising = [float(i) for i in range(count)]
    rows = windows(minutes, columns(minutes, ret_abs_m_1=rising, oi_roc_m_5=rising, rv_m_15=rising, atr_14=rising))
    begins = {name: next(i for i in range(count) if rows[i][name] is not None) for name in rows[0]}
    assert begins == {
        "q_vol_m_1": 201, "q_ret_abs_m_1": 201, "q_oi_roc_m_5": 201,
        "q_rv_m_15": 241, "compression_ratio": 241, "is_squeeze": 241, "atr_percentile_7d": 1_441,
    }  # fmt: skip
    assert rows[-1]["atr_percentile_7d"] == 100.0
    assert rows[-1]["is_squeeze"] == 0.0
    assert rows[241]["compression_ratio"] == 241 / 119.5  # of 0 .. 239


def test_a_quiet_quarter_of_an_hour_is_a_squeeze():
    minutes = lattice(260)
    rv = [1.0 + i % 10 for i in range(258)] + [1.0, 3.0]
    rows = windows(minutes, columns(minutes, rv_m_15=rv))
    assert rows[258]["is_squeeze"] == 1.0
    assert rows[258]["q_rv_m_15"] == 0.5 * 26 / 257  # of 257 values 26 are 1
    assert rows[259]["is_squeeze"] == 0.0
    assert rows[259]["compression_ratio"] == 3 / median(rv[:258])


def test_no_variation_before_gives_no_ratio_but_a_rank():
    minutes = lattice(250)
    rows = windows(minutes, columns(minutes, rv_m_15=[0.0] * 250))
    assert rows[-1]["compression_ratio"] is None
    assert rows[-1]["q_rv_m_15"] == 0.5


def test_a_stale_minute_has_no_rank_and_a_partial_one_has():
    minutes = lattice(300)
    minutes[-1].status, minutes[-2].status = "stale", "partial"
    for row in minutes:
        row.quote_volume = 5.0
    rows = windows(minutes, columns(minutes, rv_m_15=[1.0] * 300))
    assert rows[-1]["q_vol_m_1"] is None
    assert rows[-1]["compression_ratio"] is None
    assert rows[-2]["q_vol_m_1"] == 0.5
    assert rows[-2]["compression_ratio"] == 1.0


def test_windows_are_a_day_and_a_week():
    assert (DAY, WEEK) == (24 * 60, 7 * 24 * 60)


def test_ranks_agree_with_scipy_and_medians_with_numpy():
    stats = pytest.importorskip("scipy.stats", reason="scipy, a second opinion on ranks, is not installed")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    random = Random(5)
    minutes = lattice(400)
    values: list[Number] = [float(random.choice([random.lognormvariate(0, 2), 1.0, 2.0])) for _ in minutes]
    found, middle = ranks(minutes, values, 150, 50), medians(minutes, values, 150, 50)
    for t in range(60, 400):
        window = numpy.array(values[max(0, t - 151) : t - 1], dtype=numpy.float32)
        expected = stats.percentileofscore(window, numpy.float32(values[t]), kind="mean") / 100
        assert found[t] == pytest.approx(expected, rel=1e-14)
        assert middle[t] == float(numpy.median(window.astype(numpy.float64)))
