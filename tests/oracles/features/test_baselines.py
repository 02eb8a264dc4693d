"""The recipe by head where it has a closed form, and by its promise: z of normal values has mean 0 and spread 1."""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist, fmean, median, pstdev

import pytest

from tests.oracles.features import Columns, Minute, Number
from tests.oracles.features.baselines import (
    NAMES,
    SEED_SCALE,
    SEED_VALUES,
    Baseline,
    baselines,
    cvd_of_5,
    inputs,
    normalised,
)

FIRST = 29_000_160  # 00:00 UTC
SLOWEST = 1 - 2 ** (-1 / 480)  # step of the location


def lattice(count: int, status: str = "ok") -> list[Minute]:
    return [Minute(minute=FIRST + i, status=status) for i in range(count)]


def columns(minutes: list[Minute], **values: list[Number]) -> list[Columns]:
    names = (
        "ret_m_1", "ret_abs_m_1", "cvd_delta_m_1", "cvd_slope_m_5", "oi_roc_m_5", "basis_bp_m_5", "spread_p95_m_1",
    )  # fmt: skip
    return [{name: values[name][i] if name in values else None for name in names} for i in range(len(minutes))]


def seeded(after: list[float]) -> list[Number]:
    """Two hundred values with median 10 and median deviation 1, then what follows."""
    return [*[9.0, 11.0] * 100, *after]


def test_the_day_of_these_tests_begins_at_midnight():
    assert FIRST % 1440 == 0


def test_the_two_hundredth_value_begins_it():
    rows = normalised(lattice(202), seeded([12.0, 12.0]))
    assert rows[:200] == [(None, None, None)] * 200
    assert rows[200] == (2.0, 10.0, 1.0)


def test_an_odd_one_out_counts_eight_scales_in_the_seed():
    values: list[Number] = [10.0] * 60 + [9.0] * 70 + [11.0] * 69 + [1e9, 10.0]
    _, mean, scale = normalised(lattice(201), values)[-1]
    far = 8 * SEED_SCALE  # the median is 10, the median distance 1
    shift = (69 - 70 + far) / 200
    squares = 60 * shift**2 + 70 * (1 + shift) ** 2 + 69 * (1 - shift) ** 2 + (far - shift) ** 2
    assert mean == pytest.approx(10 + shift, rel=1e-15)
    assert scale == pytest.approx(math.sqrt(squares / 200), rel=1e-15)


def test_z_is_told_before_its_own_value_is_learned():
    rows = normalised(lattice(202), seeded([12.0, 10.0]))
    z, mean, scale = rows[201]
    assert mean == pytest.approx(10 + 2 / 201, rel=1e-15)
    assert scale == pytest.approx(math.sqrt(1 + (2**2 - 1) / 201), rel=1e-15)
    assert z == pytest.approx((10 - mean) / scale, rel=1e-12)


def test_a_shock_counts_eight_scales():
    rows = normalised(lattice(203), seeded([1e12, 10.0, 10.0]))
    assert rows[200][0] == 1e12 - 10  # z is not clipped
    assert rows[201][1] == pytest.approx(10 + 8 / 201, rel=1e-15)
    assert rows[201][2] == pytest.approx(math.sqrt(1 + (8**2 - 1) / 201), rel=1e-15)
    mirrored = normalised(lattice(203), seeded([-1e12, 10.0, 10.0]))
    assert mirrored[201][1] == pytest.approx(10 - 8 / 201, rel=1e-15)
    assert mirrored[201][2] == rows[201][2]


def test_while_young_it_is_a_plain_mean():
    """As long as 1/(n+1) is the greater step and nothing is clipped, the seed counts as 200 values of its median."""
    random = Random(1)
    after = [random.uniform(8, 12) for _ in range(450)]
    _, mean, _ = normalised(lattice(651), seeded([*after, 10.0]))[-1]
    assert mean == pytest.approx((200 * 10 + math.fsum(after)) / 650, rel=1e-12)


def test_later_its_location_forgets_half_in_eight_hours():
    """From 692 values on the step is 1 - 2^(-1/480): after 480 values half of a shift is learned."""
    assert 1 / 694 < SLOWEST < 1 / 692
    values = seeded([9.0, 11.0] * 1_000)
    _, before, _ = normalised(lattice(len(values) + 1), [*values, 10.0])[-1]
    shifted = [*values, *([10.5] * 480), 10.5]
    _, after, _ = normalised(lattice(len(shifted)), shifted)[-1]
    assert before is not None
    assert after is not None
    assert 10.5 - after == pytest.approx((10.5 - before) / 2, rel=1e-9)


def test_later_its_scale_forgets_half_in_a_day():
    """A scale of 1 that meets nothing but the location itself: the variance halves in 1,440 values."""
    baseline = Baseline(scale_min=1e-6)
    for i in range(4_000):
        baseline.fold(9.0 if i % 2 else 11.0)
    before = baseline.scale
    for _ in range(1_440):
        baseline.fold(baseline.mean)
    assert baseline.scale**2 == pytest.approx(before**2 / 2, rel=1e-9)


def test_the_mean_agrees_with_river_once_it_forgets_evenly():
    stats = pytest.importorskip(
        "river.stats", reason="river, a second opinion on averages that forget, is not installed"
    )
    random = Random(2)
    values = seeded([random.uniform(9, 11) for _ in range(4_000)])
    rows = normalised(lattice(len(values)), values)
    even = stats.EWMean(fading_factor=SLOWEST)
    even.update(rows[2_500][1])
    for i in range(2_500, len(values) - 1):
        even.update(values[i])
        assert rows[i + 1][1] == pytest.approx(even.get(), rel=1e-12)


def test_normal_values_have_z_of_mean_0_and_spread_1():
    random = Random(3)
    values: list[Number] = [random.gauss(5, 0.3) for _ in range(30_000)]
    z = [row[0] for row in normalised(lattice(len(values)), values)[3_000:]]
    told = [one for one in z if one is not None]
    assert abs(fmean(told)) < 0.05
    assert pstdev(told) == pytest.approx(1, abs=0.05)


def test_the_constant_is_that_of_a_normal_distribution():
    assert 1 / NormalDist().inv_cdf(0.75) == pytest.approx(SEED_SCALE, abs=1e-4)


@pytest.mark.parametrize("degrees", [4, 6])
def test_heavy_tails_have_a_spread_near_1_too(degrees):
    """Student's t; with 4 degrees of freedom the fourth moment is infinite."""
    random = Random(4)

    def student() -> float:
        chi = math.fsum(random.gauss(0, 1) ** 2 for _ in range(degrees))
        return random.gauss(0, 1) / math.sqrt(chi / degrees)

    values: list[Number] = [student() for _ in range(20_000)]
    told = [one for one, _, _ in normalised(lattice(len(values)), values) if one is not None]
    assert abs(fmean(told)) < 0.1
    assert 0.8 < pstdev(told) < 1.2


def test_a_start_without_any_spread_is_left_again():
    """Two hundred equal values, then others: the clip grows with the scale, so it is out of the way within hours."""
    random = Random(5)
    values: list[Number] = [10.0] * 200 + [random.gauss(10, 1) for _ in range(3_000)]
    rows = normalised(lattice(len(values)), values, scale_min=0.01)
    assert rows[200][1:] == (10.0, 0.01)
    scale = rows[-1][2]
    assert scale is not None
    assert 0.8 < scale < 1.2


def test_only_ok_minutes_teach_but_a_partial_one_is_told_its_z():
    minutes = lattice(203)
    minutes[200].status = "partial"
    rows = normalised(minutes, seeded([50.0, 10.0, 10.0]))
    assert rows[200] == (40.0, 10.0, 1.0)
    assert rows[201] == (0.0, 10.0, 1.0)


def test_no_value_no_lesson():
    values = seeded([])
    values[100:100] = [None] * 7
    rows = normalised(lattice(210), [*values, None, 10.0, 11.0])
    assert rows[207] == (None, 10.0, 1.0)
    assert rows[208] == (0.0, 10.0, 1.0)


def test_a_gap_of_any_length_is_survived():
    minutes = lattice(201)
    minutes[-1].minute += 5_000
    assert normalised(minutes, seeded([11.0]))[-1] == (1.0, 10.0, 1.0)


def test_a_constant_is_its_own_location_and_has_no_scale():
    rows = normalised(lattice(203), [3.0] * 201 + [4.0, 3.0])
    assert rows[200] == (0.0, 3.0, 1e-3)
    assert rows[201] == (1 / 1e-3, 3.0, 1e-3)
    assert rows[202][0] == (3.0 - rows[202][1]) / rows[202][2]


def test_an_hour_of_the_day_is_taken_off_as_far_as_it_is_known():
    """Minutes 0 .. 199 are the seed; the rest of hour 3 (180 .. 239) is 40 values of 12 above a location of 10."""
    minutes = [
        *lattice(240),
        Minute(minute=FIRST + 1440 + 180, status="ok"),
        Minute(minute=FIRST + 1440 + 240, status="ok"),
    ]
    values = seeded([12.0, *([12.0] * 39), 12.0, 12.0])
    rows = normalised(minutes, values, hour_factors=True)
    assert rows[200] == (2.0, 10.0, 1.0)  # nothing known yet
    z, mean, scale = rows[201]  # one value was 2 above: 2 * 1/31 is taken off
    assert mean is not None
    assert scale is not None
    assert z == pytest.approx((12 - 2 / 31 - mean) / scale, rel=1e-12)
    before = [row[1] for row in rows[200:240] if row[1] is not None]
    hour = fmean(12 - one for one in before) * 40 / 70
    z, mean, scale = rows[240]  # the same hour a day later
    assert mean is not None
    assert scale is not None
    assert z == pytest.approx((12 - hour - mean) / scale, rel=1e-12)
    z, mean, scale = rows[241]  # another hour of which nothing is known
    assert mean is not None
    assert scale is not None
    assert z == pytest.approx((12 - mean) / scale, rel=1e-12)


def test_what_each_baseline_takes():
    minutes = lattice(6)
    for row in minutes:
        row.quote_volume, row.spread_bp_mean, row.mid_close = math.e - 1, math.e, 200.0
    minutes[5].status = "stale"
    taken = inputs(
        minutes,
        columns(
            minutes,
            ret_m_1=[-0.01] * 6, ret_abs_m_1=[0.01] * 6, cvd_delta_m_1=[1.0, -2.0, 3.0, 4.0, 5.0, 6.0],
            cvd_slope_m_5=[-7.0] * 6, oi_roc_m_5=[0.25] * 6, basis_bp_m_5=[-3.0] * 6, spread_p95_m_1=[0.02] * 6,
        ),
    )  # fmt: skip
    assert tuple(taken) == NAMES
    assert [taken[name][4] for name in ("oi_roc", "basis", "ret", "cvd", "cvd_slope")] == [
        0.5, -3.0, -0.01, math.sqrt(11.0), -math.sqrt(7.0),
    ]  # fmt: skip
    assert taken["vol"][4] == pytest.approx(1, rel=1e-15)
    assert taken["spread"][4] == 1.0
    assert taken["ret_abs"][4] == math.log(0.010001)
    assert taken["spread_p95"][4] == pytest.approx(0.0, abs=1e-15)  # 0.02 of 200 is 1 bp
    assert [taken[name][5] for name in NAMES] == [None] * 9
    assert taken["cvd"][:4] == [None] * 4


def test_a_spread_of_nothing_has_no_logarithm():
    minutes = lattice(1)
    minutes[0].quote_volume, minutes[0].spread_bp_mean, minutes[0].mid_close = 0.0, 0.0, 100.0
    taken = inputs(minutes, columns(minutes, spread_p95_m_1=[0.0]))
    assert taken["spread"] == [None]
    assert taken["spread_p95"] == [None]
    assert taken["vol"] == [0.0]


def test_five_minutes_in_a_row_make_a_sum_of_cvd():
    minutes = [Minute(minute=FIRST + i, status="ok") for i in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)]
    sums = cvd_of_5(minutes, columns(minutes, cvd_delta_m_1=[float(2**i) for i in range(10)]))
    assert sums == [None] * 4 + [31.0] + [None] * 4 + [992.0]


def test_every_baseline_has_its_three_columns():
    minutes = lattice(201)
    for row in minutes:
        row.quote_volume, row.spread_bp_mean, row.mid_close = 100.0, 2.0, 50.0
    rows = baselines(minutes, columns(minutes, ret_m_1=[0.5] * 201))
    assert len(rows[-1]) == 27
    assert (rows[-1]["z_ret_m_1"], rows[-1]["b_mean_ret_m_1"], rows[-1]["b_scale_ret_m_1"]) == (0.0, 0.5, 1e-6)
    assert rows[-1]["b_mean_vol_m_1"] == math.log(101)
    assert rows[-2]["z_vol_m_1"] is None
    assert rows[-1]["z_oi_roc_m_5"] is None
    assert median([1.0, 2.0]) == 1.5
    assert SEED_VALUES == 200
