"""Where each number of the simulated market stands: columns of the arrays that the kernels share.

One row per symbol; the order is private to this package. Prices are whole ticks, sizes whole lots, times milliseconds
since the session's start, returns natural logarithms.
"""

from __future__ import annotations

LEVELS = 40  # levels kept on each side of a book
PRINTED = 20  # levels a side that Hyperliquid prints
SLOT_MS = 100  # the latent price moves at most once in a slot, at an instant drawn for the slot
SLOTS = 600  # slots in one chunk
CHUNK_MS = SLOT_MS * SLOTS
CELL_MS = 1_000  # an episode's controls are constant over a cell
PARENTS = 3  # hidden parent orders working at once, per symbol

# What a symbol is: SPEC[symbol, column], constant over the session.
SIGMA, LOADING, INSTANT, LAG_S, RATE, MEAN_LOTS, DEPTH_LOTS, SPREAD, GAP, TICK, OPEN_INTEREST, QUOTE_RATE = range(12)
SPEC_WIDTH = 12

# What a symbol does: F[symbol, column], float64.
ACC, EXCITE_FAST, EXCITE_SLOW, VOL_FAST, VOL_SLOW, PENDING, POOL_0, POOL_1, POOL_2, POOL_3, FLOW, VOL = range(12)
MEAN_PRICE, PREMIUM, BASIS, FUNDING, OI, NEXT_TRADE, NEXT_QUOTE, NEXT_BOOK, NEXT_CONTEXT, NOW, RATE_NOW = range(12, 23)
F_WIDTH = 23

# N[symbol, column], int64.
(
    UPDATE,
    FIRST_UPDATE,
    SENT_UPDATE,
    TRADE_NO,
    ORDER_NO,
    BID,
    BID_LOTS,
    ASK,
    ASK_LOTS,
    SLOT,
    SNAPSHOT,
    DAY_LOTS,
    PRINTED_CELL,
    WORKING,
) = range(14)
N_WIDTH = 14

# One hidden parent order: PARENT[symbol, slot, column].
SIDE, LEFT, DONE, PAID, SCALE = range(5)
PARENT_WIDTH = 5

# What an episode may change: CONTROL[symbol, cell, column].
DRIFT, TRADES, BIAS, SIZE, DEPTH_BID, DEPTH_ASK, WIDTH, JOLT, FUND, INTEREST, HEAT, IMPACT, PRINT = range(13)
CONTROL_WIDTH = 13
ADDITIVE = (DRIFT, BIAS, JOLT, FUND, INTEREST, PRINT)  # neutral at 0; the others multiply and are neutral at 1

# What the market as a whole does in a slot: MARKET[slot, column].
SLOT_TIME, FACTOR, MARKET_VOL, SEASON = range(4)
MARKET_WIDTH = 4

# One event: EVENT[row, column], int64. LEVEL_AT counts rows of the level buffer (price, lots).
TIME, KIND, SYMBOL = range(3)
PRICE, LOTS, SIGN, ORDER, NUMBER, FILLS = range(3, 9)  # a trade; FILLS > 0 in the first row of its order, else 0
Q_UPDATE, Q_BID, Q_BID_LOTS, Q_ASK, Q_ASK_LOTS = range(3, 8)  # best bid and ask
LEVEL_AT, BIDS, ASKS, B_FIRST, B_LAST, B_BEFORE = range(3, 9)  # a book, its changes or a snapshot
MARK, INDEX, FUNDING_RATE, INTEREST_LOTS, TOUCH_BID, TOUCH_ASK, DAY = range(3, 10)  # context, prices in 1e-8
EVENT_WIDTH = 10

TRADE, QUOTE, BOOK, CHANGES, CONTEXT, DEPTH_SNAPSHOT = range(6)
KINDS = 6
