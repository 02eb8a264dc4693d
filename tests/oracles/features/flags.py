"""Warm-up, guards and cheap flags (docs/features.md, Flags and guards).

`columns` is what the other oracles said of the same minutes, one dict a minute: ret_m_1, ret_m_5, ret_abs_m_1 (price),
oi_roc_m_5, liq_count_m_5 (positioning), cvd_delta_m_1 (flow), z_vol_m_1, z_ret_abs_m_1, z_oi_roc_m_5, z_spread_m_1,
b_scale_cvd_m_5 (baselines). A flag is 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracles.features import Columns, Minute, Number
from tests.oracles.features.baselines import SEED_VALUES, cvd_of_5, inputs, signed_root, values_folded
from tests.oracles.features.windows import WEEK, medians, unless_stale

VOLUME_MIN = 10_000.0
VOLUME_SHARE = 0.005
SPREAD_TIMES = 15.0
MEDIAN_VALUES_MIN = 200
NEAR = 0.1


def all_of(*conditions: bool | None) -> bool | None:
    """An input that is null makes the whole null, also where another condition is false already."""
    if None in conditions:
        return None
    return all(conditions)


def at_least(value: Number, bound: Number) -> bool | None:
    return None if value is None or bound is None else value >= bound


def at_most(value: Number, bound: Number) -> bool | None:
    return None if value is None or bound is None else value <= bound


def above(value: Number, bound: Number) -> bool | None:
    return None if value is None or bound is None else value > bound


def below(value: Number, bound: Number) -> bool | None:
    return None if value is None or bound is None else value < bound


def guards(
    volume: Number, spread: Number, median_volume: Number, median_spread: Number
) -> tuple[bool | None, bool | None]:
    """Is the minute illiquid; is it not, but within 10 % of a bound."""
    if volume is None or spread is None:
        return None, None
    least = VOLUME_MIN if median_volume is None else max(VOLUME_MIN, VOLUME_SHARE * median_volume)
    hit = volume < least
    near = volume < (1 + NEAR) * least
    if median_spread is not None:
        cap = SPREAD_TIMES * median_spread
        hit = hit or spread > cap
        near = near or spread > (1 - NEAR) * cap
    return hit, near and not hit


def flags(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Columns]:
    taken = inputs(minutes, columns)
    folded = {name: values_folded(minutes, taken[name]) for name in ("vol", "ret_abs")}
    volumes = unless_stale(minutes, [row.quote_volume for row in minutes])
    spreads = unless_stale(minutes, [row.spread_mean for row in minutes])
    median_volumes = medians(minutes, volumes, WEEK, MEDIAN_VALUES_MIN)
    median_spreads = medians(minutes, spreads, WEEK, MEDIAN_VALUES_MIN)
    cvd = [signed_root(one) for one in cvd_of_5(minutes, columns)]
    rows: list[Columns] = []
    for i, (row, c) in enumerate(zip(minutes, columns, strict=True)):
        warming_up = folded["vol"][i] < SEED_VALUES or folded["ret_abs"][i] < SEED_VALUES
        hit, near = guards(volumes[i], spreads[i], median_volumes[i], median_spreads[i])
        cvd_scale = c["b_scale_cvd_m_5"]
        much_bought = None if cvd_scale is None else 2 * cvd_scale
        much_sold = None if cvd_scale is None else -2 * cvd_scale
        price_moved = at_least(c["z_ret_abs_m_1"], 2.5)
        found = {
            "is_vol_spike_m_1": all_of(at_least(c["z_vol_m_1"], 3), at_least(row.trade_count, 5)),
            "is_price_spike_up_m_1": all_of(price_moved, above(c["ret_m_1"], 0)),
            "is_price_spike_down_m_1": all_of(price_moved, below(c["ret_m_1"], 0)),
            "is_oi_spike_up_m_5": all_of(at_least(c["z_oi_roc_m_5"], 2), at_least(c["oi_roc_m_5"], 0.015)),
            "is_oi_spike_down_m_5": all_of(at_most(c["z_oi_roc_m_5"], -2), at_most(c["oi_roc_m_5"], -0.015)),
            "is_spread_stress_m_1": at_least(c["z_spread_m_1"], 2),
            "is_liq_cluster_m_5": at_least(c["liq_count_m_5"], 3),
            "is_divergence_bearish_m_5": all_of(at_least(c["ret_m_5"], 0.003), at_most(cvd[i], much_sold)),
            "is_divergence_bullish_m_5": all_of(at_most(c["ret_m_5"], -0.003), at_least(cvd[i], much_bought)),
        }
        told: dict[str, bool | None] = {"illiquidity_hit": hit, "illiquidity_penalty": near}
        for name, raised in found.items():
            told[name] = None if raised is None or hit is None else raised and not hit
        if row.status != "ok" or warming_up:
            told = dict.fromkeys(told)
        rows.append({name: None if one is None else float(one) for name, one in told.items()})
        rows[-1]["is_warming_up"] = None if row.status == "stale" else float(warming_up)
    return rows
