"""Price against what should carry it: against flow, and a premium without new interest."""

from __future__ import annotations

import numpy as np

from detectors.moves import has_fresh_interest, side_of, sigmas_of_5
from engine.core.detector import Detector, View
from engine.core.kernel import kernel

MOVE_MIN = 0.003
FLAT_MAX = 0.001


@kernel
def price_against_flow(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.secondary = -row.z_cvd_m_5
        found.primary = sigmas_of_5(row)
        found.is_met = np.int64(row.ret_m_5 >= MOVE_MIN)
        found.direction = -1


@kernel
def flow_without_price(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = abs(row.z_cvd_slope_m_5)
        found.is_met = np.int64(abs(row.ret_m_5) <= FLAT_MAX)
        found.direction = side_of(row.cvd_slope_m_5)


@kernel
def premium_without_interest(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = row.z_basis_m_5
        found.is_met = np.int64(row.oi_roc_m_5 <= 0.0)
        found.is_allowed = has_fresh_interest(row)
        found.direction = -1


def find_price_against_flow(view: View, threshold: float, out: np.ndarray) -> None:
    price_against_flow(view.members, view.rows, out)


def find_flow_without_price(view: View, threshold: float, out: np.ndarray) -> None:
    flow_without_price(view.members, view.rows, out)


def find_premium_without_interest(view: View, threshold: float, out: np.ndarray) -> None:
    premium_without_interest(view.members, view.rows, out)


DETECTORS = (
    Detector(
        id="div_cvd_v1", subtype="div.price_up_cvd_down_m_5", signal_class="divergence", threshold=2.0, unit="sigma",
        trigger="-z_cvd_m_5, where ret_m_5 >= 0.003", primary="ret_m_5 / (b_scale_ret_m_1 sqrt 5)",
        secondary="-z_cvd_m_5", direction="-1", inputs=("z_cvd_m_5", "ret_m_5", "b_scale_ret_m_1"),
        cooldown_s=90, half_life_s=240, find=find_price_against_flow,
    ),
    Detector(
        id="div_flat_cvd_v1", subtype="div.price_flat_cvd_trend_m_5", signal_class="divergence", threshold=2.0,
        unit="sigma", trigger="|z_cvd_slope_m_5|, where |ret_m_5| <= 0.001", primary="|z_cvd_slope_m_5|",
        secondary="none", direction="sign of cvd_slope_m_5", inputs=("z_cvd_slope_m_5", "ret_m_5", "cvd_slope_m_5"),
        cooldown_s=90, half_life_s=240, find=find_flow_without_price,
    ),
    Detector(
        id="div_premium_v1", subtype="div.premium_no_oi_m_5", signal_class="divergence", threshold=2.0, unit="sigma",
        trigger="z_basis_m_5, where oi_roc_m_5 <= 0", precondition="oi_staleness_ms <= 20000", primary="z_basis_m_5",
        secondary="none", direction="-1", inputs=("z_basis_m_5", "oi_roc_m_5", "oi_staleness_ms"),
        cooldown_s=90, half_life_s=240, find=find_premium_without_interest,
    ),
)  # fmt: skip
