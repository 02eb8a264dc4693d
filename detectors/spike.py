"""Sudden volume, price, open interest, and clusters of forced orders."""

from __future__ import annotations

from math import sqrt

import numpy as np

from detectors.moves import has_fresh_interest, side_of, sigmas_of_5
from engine.core.detector import Detector, View
from engine.core.kernel import kernel
from engine.core.schema import NULL

TRADES_MIN = 5
COMBINED_RETURN_SIGMA = 1.5
INTEREST_MOVE = 0.015
# The score that stands in for forced orders is a sum of three z: 6 of it are worth 3 orders, and its sigma is root 3.
SCORE_PER_ORDER = 2.0
ROOT_3 = sqrt(3.0)
INTEREST_WEIGHTS = (0.9, 0.6, 0.3, 0.58)


@kernel
def volume(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = row.z_vol_m_1
        found.secondary = row.z_ret_abs_m_1
        found.is_met = 1
        found.is_allowed = np.int64(row.trade_count >= TRADES_MIN)
        found.direction = np.int64(row.ret_m_1 > 0.0) - np.int64(row.ret_m_1 < 0.0)


@kernel
def price(members, rows, direction, out):
    """direction: 1 or -1, the move that is looked for."""
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = row.z_ret_abs_m_1
        found.secondary = row.z_vol_m_1
        found.is_met = np.int64(row.ret_m_1 * float(direction) > 0.0)
        found.direction = direction


@kernel
def price_with_volume(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = row.z_vol_m_1
        found.primary = row.z_ret_abs_m_1
        found.secondary = row.z_vol_m_1
        found.is_met = np.int64(row.ret_m_1 > 0.0 and row.z_ret_abs_m_1 >= COMBINED_RETURN_SIGMA)
        found.is_allowed = np.int64(row.trade_count >= TRADES_MIN)
        found.direction = 1


@kernel
def interest(members, rows, direction, out):
    """direction: 1 or -1, the move of open interest that is looked for."""
    side = float(direction)
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = side * row.z_oi_roc_m_5
        found.secondary = abs(sigmas_of_5(row))
        found.is_met = np.int64(side * row.oi_roc_m_5 >= INTEREST_MOVE)
        found.is_allowed = has_fresh_interest(row)
        found.direction = side_of(row.ret_m_5) if direction > 0 else 0


@kernel
def liquidations(members, rows, out):
    """Forced orders where they are told of; else what they leave behind: a move, a torn spread, interest that goes."""
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        if row.liquidation_count != NULL:
            found.measure, found.is_met = row.liq_count_m_5, 1
            found.primary = 2.0 * np.sqrt(row.liq_count_m_5)
        else:
            left = -row.z_oi_roc_m_5
            left = 0.0 if left < 0.0 else left  # null stays null
            score = row.z_ret_abs_m_1 + row.z_spread_p95_m_1 + left
            found.measure, found.primary = score / SCORE_PER_ORDER, score / ROOT_3
            found.is_met = np.int64(row.oi_roc_m_5 < 0.0)
        found.secondary = row.z_ret_abs_m_1
        found.direction = side_of(row.ret_m_5)


def find_volume(view: View, threshold: float, out: np.ndarray) -> None:
    volume(view.members, view.rows, out)


def find_up(view: View, threshold: float, out: np.ndarray) -> None:
    price(view.members, view.rows, 1, out)


def find_down(view: View, threshold: float, out: np.ndarray) -> None:
    price(view.members, view.rows, -1, out)


def find_combined(view: View, threshold: float, out: np.ndarray) -> None:
    price_with_volume(view.members, view.rows, out)


def find_interest_up(view: View, threshold: float, out: np.ndarray) -> None:
    interest(view.members, view.rows, 1, out)


def find_interest_down(view: View, threshold: float, out: np.ndarray) -> None:
    interest(view.members, view.rows, -1, out)


def find_liquidations(view: View, threshold: float, out: np.ndarray) -> None:
    liquidations(view.members, view.rows, out)


DETECTORS = (
    Detector(
        id="spike_vol_v1", subtype="spike.vol_spike_m_1", signal_class="spike", threshold=3.0, unit="sigma",
        trigger="z_vol_m_1", precondition="trade_count >= 5", primary="z_vol_m_1", secondary="z_ret_abs_m_1",
        direction="sign of ret_m_1",
        inputs=("z_vol_m_1", "z_ret_abs_m_1", "trade_count", "ret_m_1"), cooldown_s=45, half_life_s=120,
        find=find_volume, tiers=(("top", 3.2), ("tail", 3.8)),
    ),
    Detector(
        id="spike_price_up_v1", subtype="spike.price_spike_up_m_1", signal_class="spike", threshold=2.5, unit="sigma",
        trigger="z_ret_abs_m_1, where ret_m_1 > 0", primary="z_ret_abs_m_1", secondary="z_vol_m_1", direction="1",
        inputs=("z_ret_abs_m_1", "z_vol_m_1", "ret_m_1"), cooldown_s=45, half_life_s=120, find=find_up,
    ),
    Detector(
        id="spike_price_down_v1", subtype="spike.price_spike_down_m_1", signal_class="spike", threshold=2.5,
        unit="sigma", trigger="z_ret_abs_m_1, where ret_m_1 < 0", primary="z_ret_abs_m_1", secondary="z_vol_m_1",
        direction="-1", inputs=("z_ret_abs_m_1", "z_vol_m_1", "ret_m_1"), cooldown_s=45, half_life_s=120,
        find=find_down,
    ),
    Detector(
        id="combo_price_vol_up_v1", subtype="combo.price_up_volume_up_m_1", signal_class="spike", threshold=2.5,
        unit="sigma", trigger="z_vol_m_1, where ret_m_1 > 0 and z_ret_abs_m_1 >= 1.5",
        precondition="trade_count >= 5", primary="z_ret_abs_m_1", secondary="z_vol_m_1", direction="1",
        inputs=("z_vol_m_1", "z_ret_abs_m_1", "trade_count", "ret_m_1"), cooldown_s=45, half_life_s=120,
        find=find_combined,
    ),
    Detector(
        id="spike_oi_up_v1", subtype="spike.oi_spike_up_m_5", signal_class="spike", threshold=2.0, unit="sigma",
        trigger="z_oi_roc_m_5, where oi_roc_m_5 >= 0.015", precondition="oi_staleness_ms <= 20000",
        primary="z_oi_roc_m_5", secondary="|ret_m_5| / (b_scale_ret_m_1 sqrt 5)", direction="sign of ret_m_5",
        inputs=("z_oi_roc_m_5", "oi_roc_m_5", "oi_staleness_ms", "ret_m_5", "b_scale_ret_m_1"),
        cooldown_s=60, half_life_s=180, find=find_interest_up, weights=INTEREST_WEIGHTS,
    ),
    Detector(
        id="spike_oi_down_v1", subtype="spike.oi_spike_down_m_5", signal_class="spike", threshold=2.0, unit="sigma",
        trigger="-z_oi_roc_m_5, where oi_roc_m_5 <= -0.015", precondition="oi_staleness_ms <= 20000",
        primary="-z_oi_roc_m_5", secondary="|ret_m_5| / (b_scale_ret_m_1 sqrt 5)", direction="0",
        inputs=("z_oi_roc_m_5", "oi_roc_m_5", "oi_staleness_ms", "ret_m_5", "b_scale_ret_m_1"),
        cooldown_s=60, half_life_s=180, find=find_interest_down, weights=INTEREST_WEIGHTS,
    ),
    Detector(
        id="spike_liq_v1", subtype="spike.liq_cluster_m_5", signal_class="spike", threshold=3.0,
        unit="forced orders in 5 minutes",
        trigger="liq_count_m_5; if liquidation_count is null, L / 2, where then oi_roc_m_5 < 0",
        primary="2 sqrt(liq_count_m_5); if liquidation_count is null, L / sqrt 3",
        secondary="z_ret_abs_m_1", direction="sign of ret_m_5",
        inputs=("liq_count_m_5", "liquidation_count", "z_ret_abs_m_1", "z_spread_p95_m_1", "z_oi_roc_m_5",
                "oi_roc_m_5", "ret_m_5"),
        cooldown_s=60, half_life_s=240, find=find_liquidations,
        source="L = z_ret_abs_m_1 + z_spread_p95_m_1 + max(0, -z_oi_roc_m_5), what forced orders leave behind, where "
        "the venue tells of none. 6 of it stand for 3 orders.",
    ),
)  # fmt: skip
