"""Flow columns against numbers that can be checked by head."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.oracles.features import MINUTES_PER_DAY, Minute
from tests.oracles.features.flow import flow, pour


def traded(t: int, buy: float, sell: float, **columns: object) -> Minute:
    return Minute(t, quote_volume=buy + sell, taker_buy_quote_volume=buy, **columns)  # type: ignore[arg-type]


def test_the_difference_of_buys_and_sells_is_exact():
    row = flow([Minute(0, quote_volume=0.3, taker_buy_quote_volume=0.1)])[0]
    assert row["taker_sell_quote_volume"] == 0.2  # not 0.3 - 0.1 = 0.19999999999999998
    assert row["cvd_delta_m_1"] == -0.1  # not 0.2 - 0.3
    assert row["signed_flow_ratio_m_1"] == -0.1 / 0.3


def test_a_quiet_minute_has_no_ratio():
    row = flow([Minute(0)])[0]
    assert row["cvd_delta_m_1"] == 0.0
    assert row["signed_flow_ratio_m_1"] is None
    assert row["avg_trade_quote"] is None
    assert flow([traded(0, 60.0, 30.0, trade_count=4)])[0]["avg_trade_quote"] == 22.5


def test_the_cumulative_difference_begins_at_midnight():
    midnight = MINUTES_PER_DAY
    minutes = [traded(midnight - 2, 5.0, 1.0), traded(midnight - 1, 2.0, 0.0), traded(midnight, 1.0, 4.0)]
    minutes += [traded(midnight + 3, 10.0, 0.0), traded(midnight + 4, 0.0, 1.0)]
    assert [row["cvd_level"] for row in flow(minutes)] == [4.0, 6.0, -3.0, 7.0, 6.0]
    minutes[3].status = "stale"
    assert [row["cvd_level"] for row in flow(minutes)] == [4.0, 6.0, -3.0, None, -4.0]


def test_the_slope_of_the_cumulative_difference_crosses_midnight_and_needs_all_five():
    minutes = [traded(MINUTES_PER_DAY - 2 + k, 3.0, 1.0) for k in range(6)]
    assert [row["cvd_slope_m_5"] for row in flow(minutes)] == [None, None, None, None, 2.0, 2.0]
    steps = [traded(k, buy, 0.0) for k, buy in enumerate((1.0, 0.0, 0.0, 0.0, 5.0))]
    # cumulative 1, 1, 1, 1, 6 on 0..4: (2 * 6 - 2 * 1 + 1 - 1) / 10
    assert flow(steps)[-1]["cvd_slope_m_5"] == 1.0
    del minutes[2]
    assert {row["cvd_slope_m_5"] for row in flow(minutes)} == {None}


def test_the_session_vwap_weighs_by_base_and_skips_quiet_minutes():
    minutes = [
        Minute(0),
        Minute(1, vwap=100.0, base_volume=1.0, mid_close=104.0),
        Minute(2, mid_close=104.0),
        Minute(3, vwap=108.0, base_volume=3.0, mid_close=106.0),
        Minute(MINUTES_PER_DAY, mid_close=106.0),
    ]
    rows = flow(minutes)
    assert [row["vwap_session"] for row in rows] == [None, 100.0, 100.0, 106.0, None]
    assert [row["vwap_dev_bp"] for row in rows] == [None, 400.0, 400.0, 0.0, None]


def test_the_price_impact_is_the_slope_of_returns_on_flow():
    flows = (3.0, -1.0, 2.0, 5.0, -4.0, 1.0, 0.0, 2.0, -3.0, 4.0, 6.0)
    mid, minutes = 1_000.0, []
    for t, signed in enumerate(flows):
        mid *= 1 + 1e-3 * signed
        minutes.append(traded(t, max(signed, 0.0), max(-signed, 0.0), mid_close=mid))
    rows = flow(minutes)
    assert [row["kyle_lambda_m_15"] is None for row in rows] == [True] * 10 + [False]  # the first has no return
    assert rows[-1]["kyle_lambda_m_15"] == pytest.approx(1e-3, rel=1e-12)


def test_the_price_impact_forgets_the_sixteenth_minute():
    flows = [900.0, *[float(k % 4 - 1) for k in range(15)]]
    mids = [50.0] + [100.0 + t % 3 for t in range(16)]
    minutes = [traded(t, max(d, 0.0), max(-d, 0.0), mid_close=mids[t + 1]) for t, d in enumerate(flows)]
    without = flow(minutes[1:])[-1]["kyle_lambda_m_15"]  # of 14 returns, as the first one has none
    minutes.insert(0, traded(-1, 0.0, 0.0, mid_close=mids[0]))
    assert flow(minutes)[-1]["kyle_lambda_m_15"] != without
    changed = [traded(-1, 0.0, 0.0, mid_close=1.0), traded(0, 0.0, 77.0, mid_close=mids[1]), *minutes[2:]]
    assert flow(minutes)[-1]["kyle_lambda_m_15"] == flow(changed)[-1]["kyle_lambda_m_15"]


def test_no_variation_of_flow_means_no_impact_even_if_the_mean_is_rounded():
    minutes = [traded(t, 0.1, 0.0, mid_close=100.0 + t % 3) for t in range(16)]
    assert flow(minutes)[-1]["kyle_lambda_m_15"] is None


def test_illiquidity_is_the_mean_of_moves_by_volume():
    mids = [100.0 if t % 2 else 125.0 for t in range(12)]  # up a quarter, down a fifth
    minutes = [traded(t, 0.5, 0.5, mid_close=mid) for t, mid in enumerate(mids)]
    assert flow(minutes)[10]["amihud_m_15"] == pytest.approx((0.25 + 0.2) / 2, rel=1e-15)
    minutes[5] = Minute(5, mid_close=mids[5])  # no volume: 9 of the first 10 are left
    assert flow(minutes)[10]["amihud_m_15"] is None
    assert flow(minutes)[11]["amihud_m_15"] == pytest.approx((5 * 0.25 + 5 * 0.2) / 10, rel=1e-12)


# --- vpin ------------------------------------------------------------------------------------------------------------


def poured(bucket: tuple[float, float], size: float, buy: float, sell: float) -> tuple[tuple[float, ...], list[float]]:
    held, full = pour((Fraction(bucket[0]), Fraction(bucket[1])), Fraction(size), (Fraction(buy), Fraction(sell)))
    return tuple(float(side) for side in held), full


def test_volume_is_poured_in_equal_proportion():
    assert poured((0, 0), 10, 3, 1) == ((3, 1), [])
    assert poured((3, 1), 10, 3, 9) == ((1.5, 4.5), [1 / 10])  # 4.5 and 5.5, then the other half
    assert poured((0, 0), 10, 30, 0) == ((0, 0), [1, 1, 1])
    assert poured((0, 0), 10, 0, 0) == ((0, 0), [])


def test_a_bucket_over_its_new_size_is_full_with_what_it_holds():
    assert poured((9, 3), 10, 1, 1) == ((1, 1), [6 / 12])
    assert poured((9, 3), 10, 0, 0) == ((9, 3), [])


def test_a_bucket_with_hardly_any_room_is_full():
    assert poured((5, 2), 10, 3 - 2**-40, 0) == ((0, 0), [pytest.approx(0.6)])
    assert poured((5, 2), 10, 3 - 2**-20, 0) == ((8 - 2**-20, 2), [])


def test_of_a_minute_of_many_buckets_the_newest_are_told():
    held, full = poured((5, 0), 10, 30_000_003, 10_000_001)
    assert len(full) == 51
    assert full[1:] == [pytest.approx(0.5)] * 50
    assert sum(held) == pytest.approx(9)  # 5 + 40,000,004 = 4,000,000 * 10 + 9


def test_buckets_are_sized_at_the_hour_and_told_once_there_are_fifty():
    """V = 10 a minute makes buckets of 288; from minute 60 on a minute of 2,880 fills ten of them."""
    quiet = [traded(t, 10.0, 0.0) for t in range(60)]
    loud = [traded(t, 2_160.0, 720.0) for t in range(60, 66)]
    vpins = [row["vpin"] for row in flow([*quiet, *loud])]
    assert vpins[:64] == [None] * 64
    assert vpins[64:] == [pytest.approx(0.5), pytest.approx(0.5)]
    # an hour that began with 59 minutes behind it has no size until the next hour
    assert {row["vpin"] for row in flow([*quiet[1:], *loud])} == {None}


def test_a_missing_top_of_the_hour_leaves_the_size_to_the_next_minute():
    quiet = [traded(t, 10.0, 0.0) for t in range(60)]
    loud = [traded(t, 0.0, 2_880.0) for t in range(61, 67)]
    vpins = [row["vpin"] for row in flow([*quiet, *loud])]
    assert vpins[-2:] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert vpins[-3] is None


def test_buckets_outlast_an_outage_and_its_size_stays():
    quiet = [traded(t, 10.0, 0.0) for t in range(60)]
    loud = [traded(t, 0.0, 2_880.0) for t in range(60, 65)]
    later = [traded(600, 144.0, 0.0), traded(601, 144.0, 0.0)]  # nobody in the 240 minutes before: still 288
    vpins = [row["vpin"] for row in flow([*quiet, *loud, *later, traded(602, 144.0, 144.0)])]
    assert vpins[-4:] == [pytest.approx(1.0)] * 3 + [pytest.approx(49 / 50)]
