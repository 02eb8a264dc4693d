"""The market's state jumps: the spread, the basis, the funding rate."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.kernel import kernel

HOUR_MINUTES = 60
JOLT = 1e-3  # of the hourly rate: 10 bp
JOLT_SIGMA = 2.5  # nothing says how large a change of funding is usual: the bound counts as much as that of the basis


@kernel
def spread(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = row.z_spread_m_1
        found.secondary = row.z_spread_p95_m_1
        found.is_met = 1


@kernel
def basis(members, rows, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = abs(row.z_basis_m_5)
        found.secondary = row.z_oi_roc_m_5
        found.is_met = 1


@kernel
def funding(members, rows, before, held, minute, out):
    """before: ROW (symbols,) of `minute`, where `held` says so."""
    for i in range(members.shape[0]):
        s = members[i]
        found = out[s]
        found.is_met = 1
        if held[s] == minute:
            found.measure = abs(rows[s].funding_rate_hour - before[s].funding_rate_hour) / JOLT
            found.primary = JOLT_SIGMA * found.measure


def find_spread(view: View, threshold: float, out: np.ndarray) -> None:
    spread(view.members, view.rows, out)


def find_basis(view: View, threshold: float, out: np.ndarray) -> None:
    basis(view.members, view.rows, out)


def find_funding(view: View, threshold: float, out: np.ndarray) -> None:
    minute = view.minute - HOUR_MINUTES
    place = minute % len(view.history)
    funding(view.members, view.rows, view.history[place], view.held[place], minute, out)


DETECTORS = (
    Detector(
        id="shift_spread_v1", subtype="shift.spread_stress_m_1", signal_class="shift", threshold=2.0, unit="sigma",
        trigger="z_spread_m_1", primary="z_spread_m_1", secondary="z_spread_p95_m_1",
        inputs=("z_spread_m_1", "z_spread_p95_m_1"), cooldown_s=90, half_life_s=300, find=find_spread,
    ),
    Detector(
        id="shift_basis_v1", subtype="shift.basis_jolt_m_5", signal_class="shift", threshold=2.5, unit="sigma",
        trigger="|z_basis_m_5|", primary="|z_basis_m_5|", secondary="z_oi_roc_m_5",
        inputs=("z_basis_m_5", "z_oi_roc_m_5"), cooldown_s=90, half_life_s=300, find=find_basis,
    ),
    Detector(
        id="shift_funding_v1", subtype="shift.funding_jolt_h_1", signal_class="shift", threshold=1.0,
        unit="10 bp an hour",
        trigger="|funding_rate_hour - funding_rate_hour of t-60| / 0.001",
        primary="2.5 times the measure", secondary="none", inputs=("funding_rate_hour",), minutes=HOUR_MINUTES + 1,
        cooldown_s=300, half_life_s=600, find=find_funding,
        source="Null if t-60 has no row. No column predicts the next rate, so a sign about to turn is not looked for.",
    ),
)  # fmt: skip
