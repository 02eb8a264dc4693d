"""Sudden volume, and sudden moves of the price, within one minute."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.kernel import kernel

TRADES_MIN = 5
COMBINED_RETURN_SIGMA = 1.5


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


def find_volume(view: View, threshold: float, out: np.ndarray) -> None:
    volume(view.members, view.rows, out)


def find_up(view: View, threshold: float, out: np.ndarray) -> None:
    price(view.members, view.rows, 1, out)


def find_down(view: View, threshold: float, out: np.ndarray) -> None:
    price(view.members, view.rows, -1, out)


def find_combined(view: View, threshold: float, out: np.ndarray) -> None:
    price_with_volume(view.members, view.rows, out)


DETECTORS = (
    Detector(
        id="spike_vol_v1", subtype="spike.vol_spike_m_1", signal_class="spike", threshold=3.0, unit="sigma",
        trigger="z_vol_m_1", precondition="trade_count >= 5", primary="z_vol_m_1", secondary="z_ret_abs_m_1",
        inputs=("z_vol_m_1", "z_ret_abs_m_1", "trade_count", "ret_m_1"), cooldown_s=45, half_life_s=120,
        find=find_volume, tiers=(("top", 3.2), ("tail", 3.8)),
    ),
    Detector(
        id="spike_price_up_v1", subtype="spike.price_spike_up_m_1", signal_class="spike", threshold=2.5, unit="sigma",
        trigger="z_ret_abs_m_1, where ret_m_1 > 0", primary="z_ret_abs_m_1", secondary="z_vol_m_1",
        inputs=("z_ret_abs_m_1", "z_vol_m_1", "ret_m_1"), cooldown_s=45, half_life_s=120, find=find_up,
    ),
    Detector(
        id="spike_price_down_v1", subtype="spike.price_spike_down_m_1", signal_class="spike", threshold=2.5,
        unit="sigma", trigger="z_ret_abs_m_1, where ret_m_1 < 0", primary="z_ret_abs_m_1", secondary="z_vol_m_1",
        inputs=("z_ret_abs_m_1", "z_vol_m_1", "ret_m_1"), cooldown_s=45, half_life_s=120, find=find_down,
    ),
    Detector(
        id="combo_price_vol_up_v1", subtype="combo.price_up_volume_up_m_1", signal_class="spike", threshold=2.5,
        unit="sigma", trigger="z_vol_m_1, where ret_m_1 > 0 and z_ret_abs_m_1 >= 1.5",
        precondition="trade_count >= 5", primary="z_ret_abs_m_1", secondary="z_vol_m_1",
        inputs=("z_vol_m_1", "z_ret_abs_m_1", "trade_count", "ret_m_1"), cooldown_s=45, half_life_s=120,
        find=find_combined,
    ),
)  # fmt: skip
