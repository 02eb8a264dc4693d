"""Breadth divergence: the market's index makes a higher high that fewer symbols carry. Said of the market's leader."""

from __future__ import annotations

import numpy as np

from detectors.swings import NONE, newest_swing
from engine.core.detector import Detector, View
from engine.core.kernel import inlined, kernel

SIDE_MINUTES = 15  # on either side of a swing of the index
RECENT_MINUTES = 30  # how old the newer swing may be
APART_MIN, APART_MAX = 30, 180  # minutes between the two swings
RUN_MINUTES = RECENT_MINUTES + APART_MAX + SIDE_MINUTES + 1
ELIGIBLE_MIN = 20


@inlined
def index_of(minute, markets, held, index, breadths):
    """Write index and breadth_composite of the unbroken run of market rows that ends with `minute`; how long it is.

    The newest stands last. The index is the sum of median returns since the run began.
    """
    count = 0
    while count < RUN_MINUTES:
        at = (minute - count) % markets.shape[0]
        row = markets[at]
        moved, composite = row.market_return_m_1, row.breadth_composite
        if held[at] != minute - count or moved != moved or composite != composite:
            break
        count += 1
        index[RUN_MINUTES - count], breadths[RUN_MINUTES - count] = moved, composite
    for k in range(RUN_MINUTES - count + 1, RUN_MINUTES):
        index[k] += index[k - 1]
    return count


@kernel
def narrowing(members, minute, market, markets, held, index, breadths, out):
    """index, breadths: (RUN_MINUTES,) float64, scratch."""
    row = market[0]
    for i in range(members.shape[0]):
        if members[i] != row.leader:
            continue
        found = out[members[i]]
        count = index_of(minute, markets, held, index, breadths)
        now, first = RUN_MINUTES - 1, RUN_MINUTES - count + SIDE_MINUTES
        newest = newest_swing(index, now - SIDE_MINUTES, max(first, now - RECENT_MINUTES), SIDE_MINUTES, 1.0)
        if newest == NONE:
            continue
        before = newest_swing(index, newest - APART_MIN, max(first, newest - APART_MAX), SIDE_MINUTES, 1.0)
        if before == NONE:
            continue
        found.measure = found.primary = -row.breadth_composite
        found.secondary = row.z_vol_mean
        found.is_met = np.int64(index[newest] > index[before] and breadths[newest] < breadths[before])
        found.is_allowed = np.int64(row.eligible_count > ELIGIBLE_MIN)
        found.direction = -1


def find_narrowing(view: View, threshold: float, out: np.ndarray) -> None:
    index, breadths = np.zeros(RUN_MINUTES), np.zeros(RUN_MINUTES)
    narrowing(view.members, view.minute, view.market, view.markets, view.markets_held, index, breadths, out)


DETECTORS: tuple[Detector, ...] = (
    Detector(
        id="div_breadth_bear_v1", subtype="div.breadth_bear_d_1", signal_class="divergence", threshold=1.0,
        unit="sigma",
        trigger="-market.breadth_composite of the symbol market.leader, where of the index's swing highs v and u "
        "I_u > I_v and market.breadth_composite of u is below that of v; null without two such swings",
        precondition="market.eligible_count > 20", primary="the measure", secondary="market.z_vol_mean",
        direction="-1",
        inputs=("market.leader", "market.market_return_m_1", "market.breadth_composite", "market.z_vol_mean",
                "market.eligible_count"),
        cooldown_s=300, half_life_s=600, find=find_narrowing, minutes=RUN_MINUTES, is_core=False,
        source="docs/patterns.md, Breadth.",
    ),
)  # fmt: skip
