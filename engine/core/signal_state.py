"""What detectors and signals remember, allocated once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from engine.core.detector import CLASSES, FINDING
from engine.core.layouts import SLOTS, layout
from engine.core.signal_columns import CANDIDATE

KEY = layout("last signal of a symbol and class", """
    first_minute      of its first signal; -1: it had none
    minute            of its newest signal; -1: it had none
    detector          of that one
    severity          of that one
    count             signals of that minute
""")  # fmt: skip

MINUTE_BUDGET = layout("signals of one minute, all venues", f"""
    minute            whose place this is; -1: nobody's
    total             signals so far
    of_class[{len(CLASSES)}]       of each class
""")  # fmt: skip


class Signals(NamedTuple):
    """What the stages `detectors` and `signals` own."""

    disarmed: np.ndarray  # (symbols, detectors) int64: 1 since a signal named it, until it is armed again
    keys: np.ndarray  # KEY (symbols, CLASSES)
    budgets: np.ndarray  # MINUTE_BUDGET (SLOTS,): of minute m at m % SLOTS
    read_minute: np.ndarray  # (symbols,) int64: newest minute that was read; -1: none
    quarantined: np.ndarray  # (detectors,) int64: 1: it failed, and is not asked again in this session


class SignalRoom(NamedTuple):
    """Memory that holds nothing between two closes."""

    findings: np.ndarray  # FINDING (detectors, symbols)
    candidates: np.ndarray  # CANDIDATE (detectors * symbols,): every one that can be in a reading


def make_signals(limits: Any) -> Signals:
    """limits: config.schema.Limits."""
    symbols, detectors = limits.symbols_max, limits.detectors_max
    keys = np.zeros((symbols, len(CLASSES)), KEY)
    for name in ("first_minute", "minute", "detector", "severity"):
        keys[name] = -1
    budgets = np.zeros(SLOTS, MINUTE_BUDGET)
    budgets["minute"] = -1
    return Signals(
        disarmed=np.zeros((symbols, detectors), np.int64),
        keys=keys,
        budgets=budgets,
        read_minute=np.full(symbols, -1, np.int64),
        quarantined=np.zeros(detectors, np.int64),
    )


def make_signal_room(limits: Any) -> SignalRoom:
    """limits: config.schema.Limits."""
    symbols, detectors = limits.symbols_max, limits.detectors_max
    return SignalRoom(np.zeros((detectors, symbols), FINDING), np.zeros(detectors * symbols, CANDIDATE))
