"""What is ranked, and the ranks: volume and open interest of the lookback, or what stands in for them.

A symbol with a whole lookback of rows, without an outage of the venue, is ranked by its rows. Until then, and as long
as it is not carried, by the venue's 24 h figure times the pace: the part of a day's volume that the symbols with such
rows made within the lookback. So those inside and those outside are compared by one measure, at a busy hour and at a
quiet one.
"""

from __future__ import annotations

import numpy as np

from config.schema import Universe
from engine.core.kernel import inlined, kernel
from engine.core.layouts import DUE_DEAD, DUE_ENTRY, DUE_EXIT
from engine.core.minutes import MINUTES_PER_DAY
from engine.core.rings import ColumnRing
from engine.core.schema import NULL, Status
from engine.core.state import Choice

POWERS = np.array([float(10**exponent) for exponent in range(20)])  # exact
WORD = 2.0**64
STALE = int(Status.STALE)


@kernel
def observe(members, minute, rows, carried):
    """Note the rows of a minute that has just closed: how many in a row each symbol has, and whether it was stale.

    Returns whether any was not. A minute in which all were stale is an outage of the venue: it says nothing of its
    symbols, and every count of rows begins anew behind it.
    """
    fresh = False
    for i in range(members.shape[0]):
        fresh = fresh or rows[members[i]].dq_status != STALE
    for i in range(members.shape[0]):
        one = carried[members[i]]
        one.row_minutes = (one.row_minutes if one.row_minute == minute - 1 else 0) + 1 if fresh else 0
        one.row_minute = minute
        one.stale = rows[members[i]].dq_status == STALE
    return fresh


@kernel
def write_membership(members, revision, carried, candidates, rows):
    """The columns of the stage, of every symbol of a minute that closes."""
    for i in range(members.shape[0]):
        row, place = rows[members[i]], carried[members[i]].candidate
        row.is_in_universe = candidates[place].in_universe if place >= 0 else 0
        row.is_hot = candidates[place].hot if place >= 0 else 0
        row.tier = candidates[place].tier if place >= 0 else 0
        row.universe_rev = revision


@inlined
def wide_as_real(hi, lo):
    """The nearest float64, or one beside it, of a 128-bit number."""
    return float(hi) * WORD + (float(lo) + WORD if lo < 0 else float(lo))


@kernel
def look_back(
    minute, volume_minutes, interest_minutes, hi, lo, interest, mid, symbols, venue, words, reals, carried
):  # fmt: skip
    """Sum quote volume, and open interest times mid, over each symbol's rows in the lookback.

    hi, lo, interest, mid: places of the columns in the windows, words and reals the two readings of its memory.
    """
    minutes = words.shape[1] // 2
    end = minute % minutes + minutes
    for s in range(symbols.shape[0]):
        carried[s].volume = 0.0
        carried[s].interest = 0.0
        carried[s].interest_minutes = 0
    for age in range(max(volume_minutes, interest_minutes) - 1, -1, -1):
        for s in range(symbols.shape[0]):
            one = carried[s]
            if symbols[s].venue != venue or one.row_minute != minute or one.row_minutes <= age:
                continue
            if age < volume_minutes:
                one.volume += wide_as_real(words[hi, end - age, s], words[lo, end - age, s])
            amount, price = reals[interest, end - age, s], words[mid, end - age, s]
            if age < interest_minutes and amount == amount and price != NULL:
                one.interest += amount * float(price)
                one.interest_minutes += 1


@kernel
def measure(order, minute, lookback, powers, symbols, carried, candidates):
    """Volume and open interest of every candidate of a venue, in quote units; NaN where nothing is known."""
    own_total, day_total = 0.0, 0.0
    for i in range(order.shape[0]):
        one = candidates[order[i]]
        one.own_volume = 0.0
        if one.symbol < 0:
            continue
        symbol, rows = symbols[one.symbol], carried[one.symbol]
        if rows.row_minute == minute:
            one.own_volume = rows.volume / powers[symbol.price_decimals + symbol.quantity_decimals]
            if rows.row_minutes >= lookback and one.day_volume > 0.0:
                own_total += one.own_volume
                day_total += one.day_volume
    pace = own_total / day_total if own_total > 0.0 else float(lookback) / float(MINUTES_PER_DAY)
    for i in range(order.shape[0]):
        one = candidates[order[i]]
        rows_in_hand = 0
        one.interest = one.day_interest
        if one.symbol >= 0 and carried[one.symbol].row_minute == minute:
            symbol, rows = symbols[one.symbol], carried[one.symbol]
            rows_in_hand = rows.row_minutes
            if rows.interest_minutes > 0:
                mean = rows.interest / float(rows.interest_minutes) / powers[symbol.price_decimals + 1]
                one.interest = mean * float(symbol.contract_size) if symbol.inverse else mean
        if rows_in_hand >= lookback:
            one.volume = one.own_volume
        elif one.day_volume == one.day_volume:
            one.volume = one.day_volume * pace
        elif rows_in_hand > 0:
            one.volume = one.own_volume * float(lookback) / float(rows_in_hand)
        else:
            one.volume = np.nan


def rank(order: np.ndarray, candidates: np.ndarray, volume_weight_pct: int) -> None:
    """Ranks of a venue's candidates from 1, best first; ties by name, because `order` is by name.

    score = weight * rank by volume + (100 - weight) * rank by open interest, in whole numbers; without open interest
    100 * rank by volume. Candidates of unknown volume come last.
    """
    volume, interest = candidates["volume"][order], candidates["interest"][order]
    by_volume, by_interest = _places(volume), _places(interest)
    score = 100 * by_volume
    has_interest = ~np.isnan(interest)
    score[has_interest] = (
        volume_weight_pct * by_volume[has_interest] + (100 - volume_weight_pct) * by_interest[has_interest]
    )
    score[np.isnan(volume)] = 100 * (len(order) + 1)
    ranks = np.empty(len(order), np.int64)
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(order) + 1)
    candidates["volume_rank"][order] = by_volume
    candidates["rank"][order] = ranks


def _places(values: np.ndarray) -> np.ndarray:
    """Place of each value from 1, largest first, equal ones in the order given, NaN last."""
    places = np.empty(len(values), np.int64)
    places[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)  # NaN sorts last
    return places


@kernel
def judge(
    order, minute, entry_rank, exit_rank, entry_minutes, exit_minutes, dwell_minutes, stale_minutes, dead_volume,
    carried, candidates,
):  # fmt: skip
    """Count the minutes that each rule asks for and note what is due at this close; returns every bit that is due."""
    every = 0
    for i in range(order.shape[0]):
        one = candidates[order[i]]
        fresh = one.symbol >= 0 and carried[one.symbol].row_minute == minute and not carried[one.symbol].stale
        one.stale_minutes = one.stale_minutes + 1 if one.wanted and not fresh else 0
        chosen, ranked = one.base or one.pinned, one.volume == one.volume
        may_enter = not chosen and ranked and one.rank <= entry_rank and minute + 1 >= one.barred_until
        one.entry_minutes = one.entry_minutes + 1 if may_enter else 0
        one.exit_minutes = one.exit_minutes + 1 if one.base and one.rank > exit_rank else 0
        due = 0
        if one.wanted and not one.pinned and one.stale_minutes >= stale_minutes and one.own_volume < dead_volume:
            due |= DUE_DEAD
        if one.exit_minutes >= exit_minutes and minute - one.entered_minute >= dwell_minutes:
            due |= DUE_EXIT
        if one.entry_minutes >= entry_minutes:
            due |= DUE_ENTRY
        one.due = due
        every |= due
    return every


def refresh(choice: Choice, symbols: np.ndarray, windows: ColumnRing, order: np.ndarray, venue: int, minute: int,
            settings: Universe) -> None:  # fmt: skip
    """Figures and ranks of a venue's candidates as they stand after `minute`. symbols: SYMBOL (symbols in use,)."""
    volume_minutes = min(settings.volume_lookback_minutes, windows.minutes)
    interest_minutes = min(settings.interest_lookback_minutes, windows.minutes)
    at = windows.index
    look_back(
        minute, volume_minutes, interest_minutes, at["quote_volume_hi"], at["quote_volume_lo"], at["oi_close"],
        at["mid_close"], symbols, venue, windows.words, windows.words.view(np.float64), choice.carried,
    )  # fmt: skip
    measure(order, minute, volume_minutes, POWERS, symbols, choice.carried, choice.candidates)
    rank(order, choice.candidates, settings.volume_weight_pct)
