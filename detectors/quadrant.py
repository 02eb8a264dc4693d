"""Where price and open interest go together, and where against each other: who enters, and who leaves."""

from __future__ import annotations

import numpy as np

from detectors.moves import has_fresh_interest, sigmas_of_5
from engine.core.detector import Detector, Find, View
from engine.core.kernel import kernel

RETURN_BOUND, INTEREST_BOUND = 0.003, 0.01


@kernel
def quadrant(members, rows, price_side, interest_side, direction, out):
    """price_side, interest_side: 1.0 or -1.0, the moves that are looked for."""
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        price = price_side * row.ret_m_5 / RETURN_BOUND
        interest = interest_side * row.oi_roc_m_5 / INTEREST_BOUND
        if price == price and interest == interest:
            found.measure = min(price, interest)
        found.is_met = 1
        found.is_allowed = has_fresh_interest(row)
        found.primary = abs(sigmas_of_5(row))
        found.secondary = abs(row.z_oi_roc_m_5)
        found.direction = direction


def _find(price_side: float, interest_side: float, direction: int) -> Find:
    def find(view: View, threshold: float, out: np.ndarray) -> None:
        quadrant(view.members, view.rows, price_side, interest_side, direction, out)

    return find


def _detector(name: str, price: str, interest: str, direction: int) -> Detector:
    """price, interest: `up` or `down`. direction: of the signal; the two squeezes take no side."""
    signs = {"up": "", "down": "-"}
    return Detector(
        id=f"quad_{name}_v1", subtype=f"quadrant.price_{price}_oi_{interest}_m_5", signal_class="quadrant",
        threshold=1.0, unit="times its bounds",
        trigger=f"min({signs[price]}ret_m_5 / 0.003, {signs[interest]}oi_roc_m_5 / 0.01)",
        precondition="oi_staleness_ms <= 20000", primary="|ret_m_5| / (b_scale_ret_m_1 sqrt 5)",
        secondary="|z_oi_roc_m_5|", direction=str(direction),
        inputs=("ret_m_5", "oi_roc_m_5", "oi_staleness_ms", "b_scale_ret_m_1", "z_oi_roc_m_5"),
        cooldown_s=90, half_life_s=180,
        find=_find(1.0 if price == "up" else -1.0, 1.0 if interest == "up" else -1.0, direction),
    )  # fmt: skip


DETECTORS = (
    _detector("uu", "up", "up", 1),  # longs build
    _detector("ud", "up", "down", 0),  # shorts are squeezed
    _detector("du", "down", "up", -1),  # shorts build
    _detector("dd", "down", "down", 0),  # longs are squeezed
)
