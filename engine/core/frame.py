"""The frame in hand: one decoded message, whichever path decoded it.

The strict scanner and the slow path both fill these slots, and one kernel applies them, so that there is one meaning.
"""

from __future__ import annotations

# Slots of Tape.frame. All int64, UNSET where the message does not say; the last four are float64 in the same memory
# (Tape.reals), NaN where it does not.
(
    EVENT_MS, TRANSACTION_MS, TRADE_ID, AGGREGATE_FIRST, AGGREGATE_LAST, PRICE, QUANTITY, BUYER_IS_MAKER, TAKER_BUY,
    ORDER_TYPE, FIRST_ID, LAST_ID, PREVIOUS_ID, BID, BID_QUANTITY, ASK, ASK_QUANTITY, BIDS, ASKS, TRADES, SYMBOL,
    IGNORED_NUMBER, KIND, CHANNEL, INTEREST, MARK, INDEX, FUNDING,
) = range(28)  # fmt: skip
FRAME_SLOTS = 28
UNSET = -1

# Order types, by what a candle does with them.
IN_CANDLES, NOT_IN_CANDLES = 1, 2

# Frame kinds: what applying the frame does.
(
    KIND_NONE, KIND_TRADES, KIND_QUOTE, KIND_DIFF, KIND_LEVELS, KIND_SNAPSHOT, KIND_CONTEXT, KIND_FORCED,
) = range(8)  # fmt: skip

# Trade flags, in Tape.trade_ticks.
COUNTED, DUPLICATE, IN_NO_CANDLE, NOT_BELIEVED, WORTH_NOTHING = range(5)

# Sides of a forced order, in Tape.context_ticks.
NOT_FORCED, FORCED_SELL, FORCED_BUY = range(3)

# Roles of a quote tick.
ROLE_QUOTE, ROLE_BOOK, ROLE_BOTH = 1, 2, 3

# Core channels, whose event times move the watermark.
CORE_TRADE, CORE_QUOTE, CORE_BOOK = range(3)
