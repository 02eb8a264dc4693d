"""Many symbols at once. Said of the symbol that leads the market."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.kernel import kernel
from engine.core.schema import Status

OK = int(Status.OK)
SHOCKS_MIN = 4
SHOCKS_PCT = 15  # of those that are counted


@kernel
def basket(members, market, out):
    row = market[0]
    shocks_min = max(SHOCKS_MIN, (SHOCKS_PCT * row.eligible_count + 99) // 100)  # rounded up
    for i in range(members.shape[0]):
        if members[i] != row.leader:
            continue
        found = out[members[i]]
        found.measure = float(row.shock_count) / float(shocks_min)
        found.primary = 2.0 * np.sqrt(float(row.shock_count))
        found.is_met = 1
        found.is_allowed = np.int64(row.dq_status == OK)


def find_basket(view: View, threshold: float, out: np.ndarray) -> None:
    basket(view.members, view.market, out)


DETECTORS = (
    Detector(
        id="sync_basket_v1", subtype="sync.basket_shock_dt_5s", signal_class="synchrony", threshold=1.0,
        unit="times its bound",
        trigger="market.shock_count / max(4, ceil(0.15 market.eligible_count)) of the symbol market.leader; null of "
        "every other",
        precondition="market.dq_status is ok",
        primary="2 sqrt(market.shock_count)", secondary="none",
        inputs=("market.shock_count", "market.eligible_count", "market.leader", "market.dq_status"),
        cooldown_s=60, half_life_s=60, find=find_basket,
    ),
)  # fmt: skip
