"""Trade ids that count tell of losses themselves: those of a minute, and its seams, have no hole."""

from __future__ import annotations

from engine.bars.trades import begin_trades
from engine.core.kernel import kernel


@kernel
def carry_ids(members, minute, trades, previous_id):
    """Before `minute` is judged for the first time: the greatest id of the minutes before it, and when that was.

    previous_id: (symbols, 2) int64, id and event time; -1 before the first.
    """
    for i in range(members.shape[0]):
        before = trades[members[i], (minute - 1) & 3]
        if before.minute == minute - 1 and before.ids > 0:
            previous_id[members[i], 0] = before.last_id
            previous_id[members[i], 1] = before.last_id_ns


@kernel
def find_holes(members, minute, symbols, trades, previous_id):
    """Set `hole` of each symbol's minute: 1 if an id is missing in it, before it or, as far as is known, behind it.

    A gap of the symbol's trades that ended behind the trade before a seam explains the seam: it is told already.
    """
    for i in range(members.shape[0]):
        s = members[i]
        total, behind = trades[s, minute & 3], trades[s, (minute + 1) & 3]
        if not symbols[s].ids_count or total.minute > minute:
            continue
        if total.minute < minute:
            begin_trades(total, minute)
        newest, newest_ns, explained_ns = previous_id[s, 0], previous_id[s, 1], symbols[s].gap_to_ns
        total.hole = 0
        if total.ids > 0:
            if total.last_id - total.first_id + 1 != total.ids:
                total.hole = 1
            if newest >= 0 and total.first_id > newest + 1 and explained_ns < newest_ns:
                total.hole = 1
            newest, newest_ns = total.last_id, total.last_id_ns
        follows = newest >= 0 and behind.minute == minute + 1 and behind.ids > 0
        if follows and behind.first_id > newest + 1 and explained_ns < newest_ns:
            total.hole = 1
