"""Slow numbers: open interest, mark, index, funding, forced orders."""

from __future__ import annotations

import numpy as np

from engine.core.frame import FORCED_BUY, NOT_FORCED
from engine.core.kernel import inlined, kernel
from engine.core.layouts import CLOCK_CONTEXTS, MINUTES_AHEAD
from engine.core.minutes import NS_PER_MINUTE


@inlined
def begin_context(total, minute):
    """Make a slot clean."""
    total.minute = minute
    total.interest_open = total.interest_min = total.interest_max = total.interest = np.nan
    total.interest_ns = -1
    total.mark = total.index = total.funding = np.nan
    total.liquidations = total.liquidation_buy = total.liquidation_sell = 0


@inlined
def add_interest(total, tick):
    """Open interest: first and extremes as they come, newest by time."""
    interest = tick.interest
    if np.isnan(total.interest_open):
        total.interest_open = total.interest_min = total.interest_max = interest
    if interest < total.interest_min:
        total.interest_min = interest
    if interest > total.interest_max:
        total.interest_max = interest
    if tick.time_ns >= total.interest_ns:
        total.interest = interest
        total.interest_ns = tick.time_ns


@kernel
def fold_contexts(clock, ticks, symbols, venues, sums):
    """Fold the waiting context ticks into `sums`, CONTEXT_SUM (symbols, SLOTS); NaN leaves what was known.

    What comes late counts for the open minute: nothing here revises a closed one.
    """
    for i in range(clock[CLOCK_CONTEXTS]):
        tick = ticks[i]
        s = tick.symbol
        opened = venues[symbols[s].venue].open_minute
        minute = min(max(tick.time_ns // NS_PER_MINUTE, opened), opened + MINUTES_AHEAD)
        total = sums[s, minute & 3]
        if total.minute != minute:
            begin_context(total, minute)
        if tick.forced != NOT_FORCED:
            total.liquidations += 1
            if tick.forced == FORCED_BUY:
                total.liquidation_buy += tick.quantity
            else:
                total.liquidation_sell += tick.quantity
        if not np.isnan(tick.mark):
            total.mark = tick.mark
        if not np.isnan(tick.index):
            total.index = tick.index
        if not np.isnan(tick.funding):
            total.funding = tick.funding
        if not np.isnan(tick.interest):
            add_interest(total, tick)
    clock[CLOCK_CONTEXTS] = 0
