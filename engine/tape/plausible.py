"""Whether what was read may be taken as it stands: a quote told before, a price far from all that was said just now."""

from __future__ import annotations

from engine.core.frame import ASK, ASK_QUANTITY, BID, BID_QUANTITY, EVENT_MS, LAST_ID, TRANSACTION_MS
from engine.core.kernel import inlined
from engine.core.marks import set_mark
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.schema import Reason
from engine.core.words import mix

OUTLIER = int(Reason.RETURN_OUTLIER)
FACTOR_MAX = 1.65  # from the mid, e to the power of a half: what is further away is not believed at once
OUTLIER_NS = 10 * NS_PER_S  # after so long without a quote near the last mid, the price has moved
MID_NS = NS_PER_MINUTE  # age up to which the mid may judge a trade
UNTIMED_NS = 10 * NS_PER_S  # a quote without time is held to be repeated for so long


@inlined
def far(value, other):
    """Whether two prices differ by more than FACTOR_MAX."""
    return float(value) > FACTOR_MAX * float(other) or float(other) > FACTOR_MAX * float(value)


@inlined
def judge_price(tape, s, tick):
    """A trade far from the mid may be real, so it stays in the bar; but its minute is marked."""
    symbol = tape.symbols[s]
    age_ns = tick.event_ns - symbol.quote_mid_ns
    if symbol.quote_mid > 0 and tick.price > 0 and -MID_NS < age_ns < MID_NS and far(2 * tick.price, symbol.quote_mid):
        set_mark(tape.marks, s, tick.event_ns // NS_PER_MINUTE, OUTLIER)


@inlined
def told_before(frame, symbol, event_ns):
    """Whether the quote in the frame is the newest one again or an older one; if not, it is the newest from here on.

    By update id and time where there are both; an id that begins anew at a later time is no repetition.
    """
    timed = frame[TRANSACTION_MS] >= 0 or frame[EVENT_MS] >= 0
    newest_ns, newest_id = symbol.newest_quote_ns, symbol.newest_quote_id
    number = frame[LAST_ID]
    if number >= 0:
        old = number <= newest_id and event_ns <= (newest_ns if timed else newest_ns + UNTIMED_NS)
    else:
        number = mix(mix(frame[BID], 2 * frame[ASK]), mix(frame[BID_QUANTITY], 2 * frame[ASK_QUANTITY]))
        old = event_ns < newest_ns or (event_ns == newest_ns and number == newest_id)
    if not old or newest_ns < 0:
        symbol.newest_quote_ns = max(newest_ns, event_ns)
        symbol.newest_quote_id = number
        return False
    return True


@inlined
def believe_mid(tape, s, mid, event_ns):
    """Whether a valid quote's mid is near enough to the one before it; if not, its minute is marked."""
    symbol = tape.symbols[s]
    if symbol.quote_mid > 0 and far(mid, symbol.quote_mid) and event_ns - symbol.quote_mid_ns < OUTLIER_NS:
        set_mark(tape.marks, s, event_ns // NS_PER_MINUTE, OUTLIER)
        return 0
    symbol.quote_mid = mid
    symbol.quote_mid_ns = event_ns
    return 1
