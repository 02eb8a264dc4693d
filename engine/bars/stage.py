"""The bar stage: fold ticks as they come, write rows when a minute closes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.bars.context import fold_contexts
from engine.bars.depths import close_depths, fold_depths
from engine.bars.ids import carry_ids, find_holes
from engine.bars.quotes import close_quotes, fold_quotes
from engine.bars.rows import rewrite_trades, write_rows
from engine.bars.trades import fold_trades
from engine.core.errors import InvariantError
from engine.core.minutes import label
from engine.core.state import Bars, Tape


def fold(tape: Tape, bars: Bars) -> None:
    """Fold every waiting tick; the buffers are empty afterwards."""
    fold_trades(tape.clock, tape.trade_ticks, tape.symbols, tape.venues, tape.marks, bars.trade_sums, bars.ledger)
    fold_quotes(
        tape.clock, tape.quote_ticks, tape.symbols, tape.venues, bars.quote_sums, bars.mid_paths, bars.quote_now
    )
    fold_depths(
        tape.clock, tape.quote_ticks, tape.symbols, tape.venues, bars.depth_sums, bars.depth_paths, bars.depth_now
    )
    fold_contexts(tape.clock, tape.context_ticks, tape.symbols, tape.venues, bars.context_sums)


def seal(tape: Tape, bars: Bars, members: np.ndarray, minute: int) -> None:
    """Take quotes and books to the boundary; from here on they cannot change the minute."""
    close_quotes(members, minute, bars.quote_sums, bars.mid_paths, bars.quote_now)
    close_depths(
        members, minute, tape.symbols, tape.top_price, tape.top_quantity, bars.depth_sums, bars.depth_paths,
        bars.depth_now,
    )  # fmt: skip


class Closing(NamedTuple):
    """What the tape and the clock say of a minute that closes.

    heard_ns: as in write_rows. skew_ms: clock offset or NULL. lateness_ms: of the slowest voting connection. wait_ms:
    closing record - boundary - skew. reason: code of CloseReason.
    """

    heard_ns: np.ndarray
    skew_ms: int
    lateness_ms: int
    wait_ms: int
    reason: int


def close(tape: Tape, bars: Bars, members: np.ndarray, minute: int, closing: Closing) -> None:
    """Write the rows of `minute` at its first close."""
    lost = write_rows(
        members, minute, *closing, tape.symbols, bars.trade_sums, bars.quote_sums, bars.depth_sums, bars.context_sums,
        bars.context_now, bars.rows,
    )  # fmt: skip
    _conserve(bars, minute, lost)
    carry_ids(members, minute, bars.trade_sums, bars.previous_id)
    find_holes(members, minute, tape.symbols, bars.trade_sums, bars.previous_id)


def look_for_holes(tape: Tape, bars: Bars, members: np.ndarray, minute: int) -> np.ndarray:
    """Those of `members` for whom it has changed whether an id of `minute`, closed and in grace, is missing."""
    before = bars.trade_sums["hole"][members, minute & 3]
    find_holes(members, minute, tape.symbols, bars.trade_sums, bars.previous_id)
    held = bars.trade_sums["minute"][members, minute & 3] == minute
    changed: np.ndarray = members[held & (bars.trade_sums["hole"][members, minute & 3] != before)]
    return changed


def revise(tape: Tape, bars: Bars, members: np.ndarray, minute: int) -> None:
    """Write the trade columns of `minute` anew into the rows, which hold the revision before."""
    lost = rewrite_trades(members, minute, tape.symbols, bars.trade_sums, bars.rows)
    _conserve(bars, minute, lost)


def _conserve(bars: Bars, minute: int, lost: int) -> None:
    """A trade that was received and is in no count is our own fault, in production too. lost: a symbol; -1: none."""
    if lost >= 0:
        total = bars.trade_sums[lost, minute & 3]
        raise InvariantError(
            f"bars: minute {label(minute)}, symbol index {lost}: received {total['received']} trades, accounted for "
            f"{total['messages'] + total['duplicate'] + total['rejected']}; stop publishing, keep the journal and "
            "report it"
        )
