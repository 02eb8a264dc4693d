"""The quality stage: judge the rows of a minute when it closes, and again when it is revised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.core.state import Bars, Tape
from engine.quality.judge import judge_again, judge_rows


class Limits(NamedTuple):
    """Thresholds of the configuration epoch."""

    book_slow_ms: int
    book_stale_ms: int
    oi_stale_ms: int
    return_max: float


class Witness(NamedTuple):
    """What the connections say of a minute that closes, as bit sets of connections.

    present: live at some time of the minute; proven: heard from after its end. timed_out: it was closed by the clock.
    skewed: the clock offset is unknown or moved too far.
    """

    present: int
    proven: int
    timed_out: bool
    skewed: bool


def close(tape: Tape, bars: Bars, members: np.ndarray, minute: int, witness: Witness, limits: Limits) -> None:
    """Judge the rows of `minute` at its first close."""
    judge_rows(
        members, minute, witness.present, witness.proven, witness.timed_out, witness.skewed, *limits,
        tape.symbols, tape.books, tape.marks, bars.trade_sums, bars.previous_mid, bars.rows,
    )  # fmt: skip


def revise(
    tape: Tape, bars: Bars, members: np.ndarray, minute: int, in_grace: bool, added: int = 0, taken_back: int = 0
) -> None:
    """Judge a revision of `minute`: `added` are reasons found only now, `taken_back` such as were disproved."""
    judge_again(members, minute, in_grace, tape.marks, bars.trade_sums, added, taken_back, bars.rows)
