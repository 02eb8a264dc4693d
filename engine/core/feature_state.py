"""What the stage `features` remembers of each symbol, allocated once. Every array has the symbol as its first axis.

Recursive values stand twice: `turn` says which of the two places belongs to the newest minute. Row t is computed from
the other place, which holds the state through t-1, into this one; so a revision of t can be computed again, and the
close of t+1 only turns the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

RECENT = 256  # minutes of inputs that are remembered; a power of two
RESTART_MINUTES = 60  # a recursion that saw no usable minute for longer begins anew

# Columns of the ring. What a row does not have is NaN, and so is everything of a minute that is not usable.
INPUTS = (
    "status",  # code of Status; NaN: no row
    "open", "high", "low", "close",
    "mid",  # mid_close
    "log_return",  # r_t: ln m_t - ln m_(t-1)
    "volume",  # V, quote
    "flow",  # D: taker buys - taker sells, quote
    "interest",  # oi
    "basis",  # basis_bp
    "liquidations",  # liquidation_count
    "liquidation_quote",  # liquidated quantity * m
    "hma_raw", "hma", "stoch_k",  # columns of the row whose own past is looked at again
)  # fmt: skip
(
    STATUS, OPEN, HIGH, LOW, CLOSE, MID, LOG_RETURN, VOLUME, FLOW, INTEREST, BASIS, LIQUIDATIONS, LIQUIDATION_QUOTE,
    HMA_RAW, HMA, STOCH_K,
) = range(len(INPUTS))  # fmt: skip


class Features(NamedTuple):
    """What the stage owns."""

    ring: np.ndarray  # (symbols, INPUTS, 2 * RECENT) float64: minute m stands at m % RECENT and RECENT further on
    newest: np.ndarray  # (symbols,) int64: newest minute of the ring; -1: none
    turn: np.ndarray  # (symbols,) int64, 0 or 1: the place of the newest minute's state


def make_features(limits: Any) -> Features:
    """limits: config.schema.Limits."""
    symbols = limits.symbols_max
    return Features(
        ring=np.full((symbols, len(INPUTS), 2 * RECENT), np.nan),
        newest=np.full(symbols, -1, np.int64),
        turn=np.zeros(symbols, np.int64),
    )
