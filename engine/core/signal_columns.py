"""What becomes of a candidate: the reasons, in the order of the gates, and the layout of one."""

from __future__ import annotations

from enum import IntEnum

from engine.core.layouts import layout


class Stop(IntEnum):
    """Why a candidate is no signal: the first gate that stopped it. Append-only: a number is never reused."""

    PUBLISHED = 0  # it is one
    MEMBERSHIP = 1
    DQ = 2
    WARMUP = 3
    ILLIQUID = 4
    PRECONDITION = 5
    REGIME = 6
    THRESHOLD = 7
    VETO = 8
    REARM = 9
    COALESCED = 10
    COOLDOWN = 11
    BUDGET_SYMBOL = 12
    BUDGET_GLOBAL = 13


NOT_SCORED = -1  # severity of a candidate that a gate before the severity stopped

# The first fields say what was found (digest stage `detectors`), the others what became of it (`signals`).
CANDIDATE = layout("candidate of a detector", """
    symbol            index
    detector          its place in the table of detectors
    direction         1 up, -1 down, 0 neither
    ~measure          what was compared with the threshold
    ~threshold        with which it was compared
    ~primary          NaN: null
    ~secondary        NaN: null
    reason            code of Stop
    severity          0 to 100; -1: not scored
    ~novelty          NaN: not scored
    ~raw              score behind the severity; NaN: not scored
    first_minute      minute of the key's first signal; -1: none before this
    into              detector that it was coalesced into; -1: none
""")  # fmt: skip
FOUND_FIELDS = 7  # how many of them are `detectors`'
CANDIDATE_REALS = ("measure", "threshold", "primary", "secondary", "novelty", "raw")
