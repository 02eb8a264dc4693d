"""The decision table: reasons of a minute, and the status that follows from them."""

from __future__ import annotations

from engine.core.frame import CORE_TRADE
from engine.core.kernel import inlined, kernel
from engine.core.marks import marks_of, set_mark
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import NULL, PARTIAL_REASONS, STALE_REASONS, Reason, Status

OK, PARTIAL, STALE = int(Status.OK), int(Status.PARTIAL), int(Status.STALE)
STALE_BITS, PARTIAL_BITS = int(STALE_REASONS), int(PARTIAL_REASONS)
DISCONNECTED, UNCONFIRMED, SKEW = int(Reason.DISCONNECTED), int(Reason.UNCONFIRMED), int(Reason.SKEW)
BOOK_STALE, BOOK_SLOW, L2_STALE = int(Reason.BOOK_STALE), int(Reason.BOOK_SLOW), int(Reason.L2_STALE)
NO_DATA, NO_TRADES, RECOVERED = int(Reason.NO_DATA), int(Reason.NO_TRADES), int(Reason.RECOVERED)
PRICE_SANITY, RETURN_OUTLIER = int(Reason.PRICE_SANITY), int(Reason.RETURN_OUTLIER)
OI_STALE, FEED_ABSENT = int(Reason.OI_STALE), int(Reason.FEED_ABSENT)
GAP, BOOK_GAP = int(Reason.GAP), int(Reason.BOOK_GAP)
OF_TRADES = NO_DATA | NO_TRADES | PRICE_SANITY  # judged anew in every revision
OF_GRACE = GAP | RECOVERED  # judged anew as long as trades are merged


@inlined
def status_of(reasons):
    """Stale if any stale reason, else partial if any partial one."""
    if reasons & STALE_BITS:
        return STALE
    return PARTIAL if reasons & PARTIAL_BITS else OK


@inlined
def reasons_of_trades(row):
    """What the prices and counts themselves say."""
    reasons = 0
    if row.open == NULL:
        reasons |= NO_DATA
    elif row.trade_count == 0:
        reasons |= NO_TRADES
    elif not (row.low <= min(row.open, row.close) and max(row.open, row.close) <= row.high and row.low > 0):
        reasons |= PRICE_SANITY
    if row.late_merged > 0:
        reasons |= RECOVERED
    return reasons


@inlined
def reason_of_holes(total, minute):
    """A missing id is a missing trade."""
    return GAP if total.minute == minute and total.hole != 0 else 0


@inlined
def reasons_of_carriers(symbol, minute, present, proven, timed_out):
    """What follows from who carries the symbol: present and proven are bit sets of connections, as in Witness."""
    reasons = 0
    begin_ns = minute * NS_PER_MINUTE
    carriers = symbol.trade_carriers if symbol.trade_channel >= 0 else symbol.carriers
    if carriers & present == 0:
        reasons |= DISCONNECTED
    elif timed_out and carriers & proven == 0:
        reasons |= UNCONFIRMED
    for core in range(3):
        lost_ns = symbol.lost_ns[core]
        if 0 <= lost_ns < begin_ns + NS_PER_MINUTE and symbol.silent[core] != 0:
            reasons |= GAP if core == CORE_TRADE else BOOK_GAP
        elif core == CORE_TRADE and 0 <= lost_ns < begin_ns:
            reasons |= DISCONNECTED  # a connection may be up that nothing was heard on yet
    return reasons


@kernel
def judge_rows(
    members, minute, present, proven, timed_out, skewed, slow_ms, stale_ms, interest_ms, return_max,
    symbols, books, marks, trades, previous_mid, rows,
):  # fmt: skip
    """Write dq_reasons and dq_status of `minute` for every symbol of `members`, and remember its mid."""
    for i in range(members.shape[0]):
        s = members[i]
        row, symbol = rows[s], symbols[s]
        reasons = reasons_of_carriers(symbol, minute, present, proven, timed_out)
        if reasons & GAP:
            set_mark(marks, s, minute, GAP)  # a later revision judges anew what ids say, and must not forget this
        reasons |= marks_of(marks, s, minute) | reasons_of_trades(row) | reason_of_holes(trades[s, minute & 3], minute)
        if skewed:
            reasons |= SKEW
        if symbol.quote_channel >= 0 or symbol.book_channel >= 0:
            if row.book_staleness_ms == NULL or row.book_staleness_ms > stale_ms:
                reasons |= BOOK_STALE
            elif row.book_staleness_ms > slow_ms:
                reasons |= BOOK_SLOW
        if symbol.book_channel >= 0 and not books[s].synced:
            reasons |= L2_STALE
        if symbol.has_interest and (row.oi_staleness_ms == NULL or row.oi_staleness_ms > interest_ms):
            reasons |= OI_STALE
        if not (symbol.has_interest and symbol.has_mark and symbol.book_channel >= 0):
            reasons |= FEED_ABSENT
        mid = row.mid_close
        if mid != NULL:
            before = previous_mid[s, 1]
            if previous_mid[s, 0] == minute - 1 and abs(float(mid - before)) > return_max * float(before):
                reasons |= RETURN_OUTLIER
            previous_mid[s, 0] = minute
            previous_mid[s, 1] = mid
        row.dq_reasons = reasons
        row.dq_status = status_of(reasons)


@kernel
def judge_again(members, minute, in_grace, marks, trades, added, taken_back, rows):
    """A later revision: what the trades say is judged anew, and in grace what their ids say.

    Everything else stays, `added` and new marks join, and `taken_back` leaves.
    """
    for i in range(members.shape[0]):
        s = members[i]
        row = rows[s]
        reasons = row.dq_reasons & ~OF_TRADES
        if in_grace:
            reasons = (reasons & ~OF_GRACE) | reason_of_holes(trades[s, minute & 3], minute)
        reasons |= marks_of(marks, s, minute) | reasons_of_trades(row)
        reasons = (reasons & ~taken_back) | added
        row.dq_reasons = reasons
        row.dq_status = status_of(reasons)
