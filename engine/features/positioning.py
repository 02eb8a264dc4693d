"""Positioning: open interest, basis, liquidations, funding."""

from __future__ import annotations

import numpy as np

from engine.core.feature_state import BASIS, INTEREST, LIQUIDATION_QUOTE, LIQUIDATIONS, RECENT
from engine.core.kernel import inlined, kernel
from engine.core.schema import Status
from engine.core.state import EngineState

STALE = int(Status.STALE)
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3_600, 86_400
BASES_MIN = 4  # of a window of 5


@inlined
def sum_of_5(values, place):
    """Sum over 5 minutes, oldest first; NaN if any is missing."""
    total = 0.0
    for p in range(place - 4, place + 1):
        total += values[p]
    return total


@inlined
def mean_of_5(values, place):
    """Mean of what is present of 5 minutes, oldest first; NaN if more than one is missing."""
    present, total = 0, 0.0
    for p in range(place - 4, place + 1):
        if values[p] == values[p]:
            present += 1
            total += values[p]
    return total / present if present >= BASES_MIN else np.nan


@kernel
def write_positions(members, minute, symbols, ring, rows):
    """The family's columns of `minute`; NaN in the ring is what is absent, unsaid or too old."""
    place = minute % RECENT + RECENT
    for i in range(members.shape[0]):
        s = members[i]
        row, symbol = rows[s], symbols[s]
        if row.dq_status == STALE:
            continue
        interest, before = ring[s, INTEREST, place], ring[s, INTEREST, place - 5]
        row.oi_delta_m_5 = interest - before
        if before > 0.0:
            row.oi_roc_m_5 = row.oi_delta_m_5 / before
        row.oi_quote = interest * (float(symbol.contract_size) if symbol.inverse else row.mark_price)
        row.basis_bp = ring[s, BASIS, place]
        row.basis_bp_m_5 = mean_of_5(ring[s, BASIS], place)
        row.liq_count_m_5 = sum_of_5(ring[s, LIQUIDATIONS], place)
        row.liq_notional_m_5 = sum_of_5(ring[s, LIQUIDATION_QUOTE], place)
        if symbol.funding_interval_h > 0:
            interval_s = symbol.funding_interval_h * SECONDS_PER_HOUR
            row.time_to_next_funding_s = float(interval_s - (minute + 1) * 60 % SECONDS_PER_DAY % interval_s)


def compute(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Write the positioning columns of `minute`, whose inputs are in the ring."""
    write_positions(members, minute, state.tape.symbols, state.features.ring, state.bars.rows)
