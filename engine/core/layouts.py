"""The record layouts, declared as text, and the places in the two arrays of single numbers.

A block below is one record: name, meaning. All fields are int64 unless the name starts with `~` (float64) or is
followed by a shape. The same text gives the dtype and `conveyor describe --state`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SLOTS = 4  # minutes held per symbol: the one in grace, the open one, and those that run ahead
MINUTES_AHEAD = 2
GRID_POINTS = 60
DISORDER_BINS = 160  # of 10 ms
TOP_LEVELS = 20
NAME_BYTES = 64
BOOK_FELL, BOOK_ASKED, BOOK_LEFT = 1, 2, 3  # why a book is broken
CARRIED, NEVER = -1, -2  # in place of the time from which on a channel has no carrier
FINALIZE_CLOSES = 20  # closes whose bar_finalize_ms the load ladder remembers
LAYOUTS: dict[str, dict[str, str]] = {}  # layout -> field -> meaning


def layout(title: str, text: str) -> np.dtype:
    fields: list[Any] = []
    LAYOUTS[title] = {}
    for line in text.strip().splitlines():
        name, _, meaning = line.strip().partition(" ")
        kind = "<f8" if name.startswith("~") else "<i8"
        name, _, shape = name.lstrip("~").partition("[")
        count = int(shape.rstrip("]")) if shape else 0
        fields.append((name, kind, (count,)) if count else (name, kind))
        LAYOUTS[title][name] = meaning.strip()
    return np.dtype(fields)


VENUE = layout("venue", """
    dialect           index of its decoder in VENUES
    open_minute       minute not yet closed; -1 before the first event
    grace_open        1 while late trades of open_minute - 1 are still merged
    dirty             1 if a late trade was merged since open_minute - 1 was last closed
    late              1 if trades of it came after grace since the last TICK
    candles_due       1 if candles that have not come are asked for once they should have
    backfills         1: a new connection is first told of trades from before it
    subscribed_ns     receive time of the first subscription; -1 before
    closed_skew_ns    clock offset when the last minute closed; NULL before
    unreadable        frames of this venue that no decoder understood
    mix               running 64-bit mix of every tick: the digest of the tape
""")  # fmt: skip

CONNECTION = layout("connection", f"""
    venue             index of its venue; -1: never used
    live              1 between up and down
    votes             1 if it carries a core channel with event times
    up_ns             receive time of the last up
    last_recv_ns      receive time of the newest frame; -1 before
    event_ns_max      largest event time of a timed core message; -1 before: it has no vote until then
    lateness_ns       how far behind event_ns_max its watermark stands
    first_event       1 until the first core message after an up, or after it was given more to carry
    first_event_ns    its event time
    told_ns           receive time of that up, or of that subscription
    offset_minute     minute of receive time that offset_now_ns belongs to
    offset_now_ns     least receive - event time in that minute; NULL: none
    offset_before_ns  the same for the minute before
    frames            frames received
    fallbacks         frames no template knew, decoded by the strict slow path
    ignored           frames with nothing for a minute row (acks, pongs, other channels)
    malformed         frames that could not be read
    future            messages not believed because of their time
    disorder[{3 * DISORDER_BINS}]     disorder per core channel (trade, quote, book), {DISORDER_BINS} bins of 10 ms
""")  # fmt: skip

SYMBOL = layout("symbol", """
    venue             index of its venue; -1: unused
    active            1 while subscribed, 2 until the minute closes in which it ceased to be
    price_decimals    scale of its prices
    quantity_decimals scale of its quantities
    inverse           1: quantity counts contracts
    contract_size     quote units per contract, inverse only
    ids_count         1: trade ids count up by one, so that a missing one is a missing trade
    arrival_order     1: trades at one instant keep their arrival (ids do not increase)
    funding_interval_h hours between two fundings; 0: there is none
    trade_channel     channel whose trades are counted; -1: none
    quote_channel     best-bid-and-offer channel; -1: the quote comes from the book
    book_channel      depth channel; -1: none
    book_is_diff      1: diffs with sequence numbers, 0: whole snapshots
    spot_sequence     1: spot rule (U follows u), 0: futures rule (pu equals u)
    quote_on_change   1: its quote channel speaks only on change
    book_on_change    1: its depth channel speaks only on change
    carriers          bit set of the connections of its core channels
    trade_carriers    bit set of the connections of its trade channel
    quote_carriers    bit set of the connections of its quote channel
    book_carriers     bit set of the connections of its depth channel
    unheard[3]        bit sets, per core channel, of carriers not heard since they came up or took it on
    silent[3]         bit sets of carriers that are alive but on which this stream is silent
    lost_ns[3]        event time from which on nobody carries it; CARRIED: somebody does; NEVER: nobody has yet
    newest_id         greatest trade id heard; -1: none, or ids that do not count
    lost_id           what it was when the last carrier of its trades was lost
    gap_to_ns         end of the newest gap of its trades; -1: there was none
    edge_minute       newest minute in which its recording began or ended; -1: none
    has_interest      1: open interest is subscribed
    has_mark          1: mark price is subscribed
    has_liquidations  1: forced orders are subscribed
    has_candle        1: the venue's own candle is subscribed
    candles_absent    minutes with trades in a row whose candle never came
    proven_since      first of the final minutes in a row that equal the venue's candles
    proven_minute     newest of them; -1: none
    arrivals          trades seen, the venue order where ids do not increase
    newest_quote_ns   event time of the newest quote message; -1: none
    newest_quote_id   its update id, or where there are no ids a digest of what it said
    quote_mid         bid + ask of the newest valid quote that was believed; 0: none
    quote_mid_ns      its event time
    newest_book_ns    event time of the newest depth message; -1: none
    seen_generation   which half of the seen ids is being filled
    seen_count        ids in that half
    name_length       bytes of its name
    name[8]           its name as words, zero padded
""")  # fmt: skip

BOOK = layout("book", """
    synced            1: in step with the venue
    chained           1: at least one diff was applied since the snapshot
    last_id           update id of the newest applied diff or snapshot
    base[2]           key of window index 0, per side (key = price for bids, -price for asks)
    top_word[2]       no bit is set above this bitmap word
    spill_count[2]    levels below the window
    spilled_over      levels dropped because the spill was full
    gaps              times it fell out of step
    broken            until a snapshot mends it: 1 it fell out of step, 2 the snapshot is asked for, 3 nobody carries it
    crossed_ns        event time since which its best prices are crossed; 0: they are not
    grid_ns           end of the second its newest tick lies in: a tick from there on carries past_*
    quote_id          update id of the newest best-bid-and-offer message
    quote[4]          its bid, bid quantity, ask, ask quantity
    compared          times book and quote were compared at the identical update id
    mismatched        times they differed
""")  # fmt: skip

TRADE_TICK = layout("trade tick", """
    symbol            index of its symbol
    flag              0 counted, 1 duplicate, 2 in no candle, 3 time not believed, 4 price or quantity zero
    event_ns          event time
    order             venue order among trades at one instant
    price             mantissa at price_decimals
    quantity          mantissa at quantity_decimals
    buy               1: the taker bought
    count             venue trades in this message
""")  # fmt: skip

QUOTE_TICK = layout("quote tick", """
    symbol            index of its symbol
    role              1 best bid and offer, 2 book, 3 both (no quote channel)
    valid             1: in force (two-sided, not crossed, in step)
    updates           messages of the venue that this tick stands for; 0: the venue did not speak
    event_ns          event time, or corrected receive time where the venue gives none
    bid               mantissa at price_decimals
    bid_quantity      mantissa at quantity_decimals
    ask               mantissa at price_decimals
    ask_quantity      mantissa at quantity_decimals
    bid5              quantity of the best 5 bids
    ask5              quantity of the best 5 asks
    bid20             quantity of the best 20 bids
    ask20             quantity of the best 20 asks
    ~past_depth5      worth of the best 5 levels before this tick, in quote units; only where a second ended since then
    ~past_slope       slope of the depth before this tick, in quote units per bp; only where a minute ended since then
""")  # fmt: skip

CONTEXT_TICK = layout("context tick", """
    symbol            index of its symbol
    time_ns           event time, but never later than it was heard; corrected receive time where the venue gives none
    ~interest         open interest; NaN: not said
    ~mark             mark price; NaN: not said
    ~index            index price; NaN: not said
    ~funding          funding rate; NaN: not said
    forced            0 no forced order, 1 a forced sell, 2 a forced buy
    quantity          its filled quantity, mantissa at quantity_decimals
""")  # fmt: skip

TRADE_SUM = layout("trade sums", """
    minute            minute this slot holds; -1: clean
    received          trade messages of this minute, whatever became of them
    messages          trade messages in the bar
    trades            venue trades in the bar
    high              largest price
    low               smallest price
    size_max          largest quantity
    open_ns           event time of the least trade by (event_ns, order)
    close_ns          event time of the greatest trade
    close             its price
    close_order       its order
    base              sum of quantity
    quote_hi          sum of price * quantity, high word
    quote_lo          low word
    square_hi         sum of quantity squared, high word
    square_lo         low word
    buy_base          sum of quantity over taker buys
    buy_quote_hi      sum of price * quantity over taker buys, high word
    buy_quote_lo      low word
    open              price of the least trade
    open_order        its order
    late_merged       merged after the first close
    duplicate         seen before
    rejected          in no candle, or not believed
    ids               distinct ids of this minute, whatever became of their trades; only where ids count
    first_id          least of them
    last_id           greatest
    last_id_ns        its event time
    hole              1: when it was judged last, an id was missing
""")  # fmt: skip

QUOTE_SUM = layout("quote sums", """
    minute            minute this slot holds; -1: clean
    quotes            quote updates
    valid_quotes      valid ones among them
    mid_open          bid + ask at the start or the first one; NULL: none
    mid_high          largest
    mid_low           smallest
    mid_close         the one in force at the close
    ~microprice       at the close, NaN: none
    ~microprice_s_30  at the end of second 30, NaN: none
    ~spread_ns        sum of (ask - bid) * duration
    spread_max        largest ask - bid in force; NULL: none
    quote_ns          duration with a quote in force
    ~spread_bp_ns     sum of spread in bp * duration
    ~imbalance1_ns    sum of b/(a + b) at the best prices * duration
    ofi               order-flow imbalance
    path_points       points of the path that have a mid
    path_runs         runs of the path that are written
""")  # fmt: skip

MID_RUN = layout("run of the mid path", """
    end               one past its last point; point p is the end of second p, and the run begins where the last ended
    mid               bid + ask in force at these points; NULL: none
    spread            ask - bid in force; NULL: none
""")  # fmt: skip

QUOTE_NOW = layout("quote in force", """
    minute            minute being integrated; -1 before the first quote
    at_ns             integrated up to here
    path_next         next point of the mid path, 0..60
    valid             1: the quote below is in force
    bid               of the newest valid quote, as in the tick
    bid_quantity      as in the tick; 0: no quote was ever valid
    ask               as in the tick
    ask_quantity      as in the tick
""")  # fmt: skip

DEPTH_SUM = layout("depth sums", """
    minute            minute this slot holds; -1: clean
    books             book updates
    book_ns           duration with a book in force
    ~imbalance5_ns    sum of b/(a + b) over 5 levels * duration
    ~imbalance20_ns   sum of b/(a + b) over 20 levels * duration
    ~depth20_ns       sum of b + a over 20 levels * duration
    ~slope            of depth on distance at the close, in quote units per bp; NaN: none
    path_runs         runs of the path that are written
""")  # fmt: skip

DEPTH_RUN = layout("run of the depth path", """
    end               one past its last point, as of the mid path
    ~depth5           worth of the best 5 levels of both sides in force at these points, in quote units; NaN: none
""")  # fmt: skip

DEPTH_NOW = layout("depth in force", """
    minute            minute being integrated; -1 before the first book
    at_ns             integrated up to here
    path_next         next point of the depth path, 0..60
    valid             1: the sums below are in force
    bid5              as in the tick
    ask5              as in the tick
    bid20             as in the tick
    ask20             as in the tick
""")  # fmt: skip

CONTEXT_SUM = layout("context sums", """
    minute            minute this slot holds; -1: clean
    ~interest_open    first open interest of the minute; NaN: none
    ~interest_min     smallest
    ~interest_max     largest
    ~interest         newest of the minute; NaN: none
    interest_ns       its event time
    ~mark             newest mark price of the minute; NaN: none
    ~index            newest index price; NaN: none
    ~funding          newest funding rate; NaN: none
    liquidations      forced orders
    liquidation_buy   their filled quantity, forced buys
    liquidation_sell  forced sells
""")  # fmt: skip

CONTEXT_NOW = layout("context at the last close", """
    ~interest         newest open interest; NaN: never seen
    interest_ns       its event time; -1: never
    ~mark             newest mark price; NaN: never
    ~index            newest index price; NaN: never
    ~funding          newest funding rate as sent; NaN: never
""")  # fmt: skip

MARK = layout("marks", """
    minute            minute this slot holds; -1: clean
    reasons           Reason bits set while the minute was open
""")  # fmt: skip

LEDGER = layout("late ledger", """
    symbol            index of its symbol
    minute            minute the trades belonged to
    count             trades that came after grace
""")  # fmt: skip

PENDING = layout("pending diff", """
    symbol            index of its symbol; -1: done with
    first_id          U
    last_id           u
    previous_id       pu
    event_ns          event time
    bids              levels on the bid side
    asks              levels on the ask side
    offset            first level in the pool
""")  # fmt: skip

OPERATION = layout("template operation", """
    kind              what stands in the hole behind the literal
    slot              where its value goes
    length            bytes of the literal
    word0             the literal as words, first eight bytes
    mask0             which bytes of it count
    word1             second eight bytes
    mask1             which of them count
    word2             third eight bytes
    mask2             which of them count
    target            operation to go back to, or to leap to when a list is empty
""")  # fmt: skip

ROUTE = layout("route", f"""
    used              1: a route
    venue             dialect it belongs to
    length            bytes of the name
    channel           channel of the stream; -1: the name is a symbol
    symbol            symbol of the stream; -1: the body names it
    name[{NAME_BYTES // 8}]           the name as words, zero padded
""")  # fmt: skip

CANDIDATE = layout("candidate of the universe", """
    venue             index of its venue; -1: unused
    symbol            index of its symbol; -1: no instrument record yet
    listed            1 if the newest list of the venue names it
    pinned            bits of PINNED_*: never leaves
    base              1: chosen by rank
    hot_until         minute from which on it is no longer hot; 0: not hot
    hot_severity      of its newest trigger
    known             1 once it was carried or wanted
    wanted            1 if it is to be carried
    in_universe       1 if it is wanted as a pin or by rank
    hot               1 while it is on the hotlist
    kept              1 if it is carried in the emergency
    shed              1 if its depth is left out to save load
    entered_minute    minute at whose close it was chosen
    barred_until      minute before which it is not chosen again
    entry_minutes     minutes in a row at an entry's rank
    exit_minutes      minutes in a row beyond the exit's rank
    stale_minutes     minutes in a row, while wanted, that were stale or had no row
    due               bits of DUE_*: what the newest close asks for
    tier              of the wanted, by volume: code of Tier
    rank              by score, 1 is best; ties by name
    volume_rank       by volume, 1 is largest
    ~day_volume       24 h volume in quote units as the venue lists it; NaN: not listed
    ~day_interest     open interest in quote units as the venue lists it; NaN: not listed
    ~own_volume       quote volume of its own rows within the lookback
    ~volume           volume that is ranked, in quote units per lookback; NaN: unknown
    ~interest         open interest that is ranked, in quote units; NaN: unknown
""")  # fmt: skip

MEMBER = layout("symbol in the universe", """
    candidate         index of its candidate; -1: none yet
    row_minute        minute of its newest row; -1: none
    row_minutes       rows in a row up to there
    stale             1 if that row was stale at its first close
    interest_minutes  rows within the lookback that have open interest and a mid
    ~volume           sum of quote volume within the lookback, mantissa
    ~interest         sum of open interest times mid within the lookback, mantissa
""")  # fmt: skip

UNIVERSE = layout("universe of a venue", """
    revision          of the newest change; 0: none
    seeded            1 once the venue's own figures chose the first symbols
    fresh             1 if the newest minute had a row that was not stale: the venue was there
    changed_minute    minute at whose close the rules last changed it; -1: never
    full_hour         hour in which the limit of symbols last kept one out; -1: never
    hour              hour that hour_changes counts
    hour_changes      entries and exits by rule in that hour
    emergency         1 while only a few are carried
""")  # fmt: skip

LOADED = layout("load ladder", f"""
    level             code of LoadLevel
    above_ns[5]       receive time since which the threshold of each level is exceeded; -1: it is not
    relief_ns         receive time since which the level is not needed; -1: it is
    steps             times shed_pct of depth that are left out
    stepped_ns        receive time of the newest step
    operator_shed     symbols of each venue whose depth an operator left out
    operator_emergency 1: an operator asked for it
    disk_full         1: the journal has no room, so records wait for the disk and not for the processor
    closes            closes that were measured
    finalize_ms[{FINALIZE_CLOSES}]   of the last of them, a ring
""")  # fmt: skip

# Bits of CANDIDATE.pinned: named in the settings, by an operator, carried before anyone asked for it.
PINNED_SETTINGS, PINNED_OPERATOR, PINNED_CARRIED = 1, 2, 4
# Bits of CANDIDATE.due, in the order in which they are obeyed.
DUE_DEAD, DUE_EXIT, DUE_ENTRY = 1, 2, 4

# Places in Tape.clock: receive time of the newest TICK (-1 before), seq of the newest record, trade and quote ticks
# that wait for the bar stage, pending diffs and their levels, late-ledger lines, 1 if the newest record was a TICK,
# its receive time, context ticks that wait for the bar stage.
(
    CLOCK_NOW, CLOCK_SEQ, CLOCK_TRADES, CLOCK_QUOTES, CLOCK_PENDING, CLOCK_PENDING_LEVELS, CLOCK_LEDGER, CLOCK_TICKED,
    CLOCK_RECV, CLOCK_CONTEXTS,
) = range(10)  # fmt: skip
LEDGER_LINES = 1024

# Places in Tape.settings: the configuration epoch, times as nanoseconds.
(
    SET_WATERMARK, SET_GRACE, SET_FUTURE, SET_SETTLE, SET_LATENESS_START, SET_LATENESS_MIN, SET_LATENESS_MAX,
    SET_HOUR_FACTORS,
) = range(8)  # fmt: skip
