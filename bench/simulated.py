"""Minutes of a simulated market without frames: its events, folded into the columns that bars would write.

Frames and tape take most of a session's time and change no number of a row. Left out, a day of fifty symbols takes
half a minute. What is not said: depth beyond the best level, liquidations, ids, what is late or lost; a minute that a
lost connection cuts is `partial`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.material import records_of, sized
from engine.context.roster import Roster
from engine.conveyor import Conveyor
from engine.core.kernel import inlined, kernel
from engine.core.layouts import SLOTS
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MINUTE, NS_PER_MS
from engine.core.records import RecordKind, batch_of, encode
from engine.core.schema import NULL, ROW, OhlcSource, Reason, Status, Tier
from engine.core.state import EngineState
from replay.simulate import Market
from replay.simulate import layout as at
from replay.simulate.episodes import outages
from replay.simulate.frames import connection, subscription
from replay.simulate.market import LEAD_IN_NS, Listing, listings
from replay.simulate.session import events_of_minutes

TRADE, QUOTE, CONTEXT = at.TRADE, at.QUOTE, at.CONTEXT
MONDAY_NS = 1_736_121_600 * 10**9  # 2025-01-06 00:00 UTC, a Monday: where markets of whole days begin
GRID = 60
OK, STALE, NO_TIER = int(Status.OK), int(Status.STALE), int(Tier.NONE)
OF_TRADES, OF_MIDS = int(OhlcSource.TRADE), int(OhlcSource.MID)
# What is in force of a symbol when a minute begins; a bid of 0: nothing yet, an interest time below 0: none yet.
BID, ASK, BID_LOTS, ASK_LOTS, INTEREST, MARK, INDEX, FUNDING, INTEREST_MS = range(9)
IN_FORCE = 9
BLANK = np.array(tuple(np.nan if ROW[name].kind == "f" else NULL for name in ROW.names or ()), ROW)


@inlined
def take(event, now):
    """What an event leaves in force."""
    if event[at.KIND] == QUOTE:
        now[BID], now[ASK] = event[at.Q_BID], event[at.Q_ASK]
        now[BID_LOTS], now[ASK_LOTS] = event[at.Q_BID_LOTS], event[at.Q_ASK_LOTS]
    elif event[at.KIND] == CONTEXT:
        now[INTEREST], now[MARK], now[INDEX] = event[at.INTEREST_LOTS], event[at.MARK], event[at.INDEX]
        now[FUNDING], now[INTEREST_MS] = event[at.FUNDING_RATE], event[at.TIME]


@kernel
def fold_symbol(events, begin_ms, tick_units, price_unit, base_unit, now, path, quotes, row):
    """The row of a symbol's minute that begins at begin_ms of the session, its path and its quotes; moves `now` on.

    events: EVENT rows in order of time, of this minute or, before the first one, earlier: those only move what is in
    force. now: (IN_FORCE,) int64. price_unit, base_unit: powers of ten of its scales.
    """
    length, first = 60_000, 0
    while first < events.shape[0] and events[first, at.TIME] < begin_ms:
        take(events[first], now)
        first += 1
    runs, point, told, trades = 0, 1, 0, 0
    since, held = 0, 0
    spreads, spreads_bp, leans, flow = 0.0, 0.0, 0.0, 0.0
    first_mid = now[BID] + now[ASK] if now[BID] else 0
    most = least = first_mid
    volume, bought, lots, bought_lots = 0, 0, 0, 0
    opened, closed, high, low = 0, 0, 0, 0
    for i in range(first, events.shape[0] + 1):
        is_end = i == events.shape[0]
        if not is_end and events[i, at.KIND] != QUOTE:
            event = events[i]
            if event[at.KIND] == TRADE:
                price, size = event[at.PRICE] * tick_units, event[at.LOTS]
                opened = price if trades == 0 else opened
                high, low = (price, price) if trades == 0 else (max(high, price), min(low, price))
                closed = price
                trades += 1
                volume += price * size
                lots += size
                if event[at.SIGN] > 0:
                    bought += price * size
                    bought_lots += size
            take(event, now)
            continue
        time = length if is_end else events[i, at.TIME] - begin_ms
        # The grid: what was in force just before each second ended.
        while point <= GRID and 1_000 * point <= time:
            if now[BID]:
                path[runs].end = point
                path[runs].mid = (now[BID] + now[ASK]) * tick_units
                path[runs].spread = (now[ASK] - now[BID]) * tick_units
                runs += 1
            point += 1
        if now[BID] and time > since:
            width, both = (now[ASK] - now[BID]) * tick_units, (now[ASK] + now[BID]) * tick_units
            lasted = time - since
            held += lasted
            spreads += lasted * width
            spreads_bp += lasted * (2e4 * width / both)
            leans += lasted * (now[BID_LOTS] / (now[BID_LOTS] + now[ASK_LOTS]))
        since = time
        if is_end:
            break
        event = events[i]
        if now[BID]:  # order-flow imbalance (Cont, Kukanov & Stoikov 2014)
            flow += event[at.Q_BID_LOTS] * (event[at.Q_BID] >= now[BID]) - now[BID_LOTS] * (event[at.Q_BID] <= now[BID])
            flow -= event[at.Q_ASK_LOTS] * (event[at.Q_ASK] <= now[ASK]) - now[ASK_LOTS] * (event[at.Q_ASK] >= now[ASK])
        take(event, now)
        told += 1
        mid = now[BID] + now[ASK]
        first_mid = mid if first_mid == 0 else first_mid
        most, least = max(most, mid), (mid if least == 0 else min(least, mid))
    row.is_in_universe, row.is_hot, row.universe_rev, row.tier = 1, 0, 1, NO_TIER
    row.dq_status, row.dq_reasons = (OK if held else STALE), 0
    if held == 0:
        return
    mid = 5 * (now[BID] + now[ASK]) * tick_units
    row.mid_close, row.mid_open = mid, 5 * first_mid * tick_units
    row.mid_high, row.mid_low = 5 * most * tick_units, 5 * least * tick_units
    if trades:
        row.ohlc_source = OF_TRADES
        row.open, row.high, row.low, row.close = 10 * opened, 10 * high, 10 * low, 10 * closed
        row.vwap = volume / lots / price_unit
    else:
        row.ohlc_source = OF_MIDS
        row.open, row.high, row.low, row.close = row.mid_open, row.mid_high, row.mid_low, mid
    row.spread_mean, row.spread_bp_mean = spreads / held / price_unit, spreads_bp / held
    row.obi_top1_mean = leans / held
    if told > 1:
        row.ofi = np.int64(flow)
    row.quote_count, row.trade_count, row.mid_path_points = told, trades, runs
    row.quote_volume_hi, row.quote_volume_lo = 0, volume
    row.taker_buy_quote_volume_hi, row.taker_buy_quote_volume_lo = 0, bought
    row.base_volume, row.taker_buy_base_volume = lots, bought_lots
    quotes.path_runs, quotes.path_points, quotes.mid_open = runs, runs, first_mid * tick_units
    if now[INTEREST_MS] >= 0:
        row.oi_close = now[INTEREST] / base_unit
        row.oi_staleness_ms = begin_ms + length - now[INTEREST_MS]
        row.mark_price, row.index_price = now[MARK] / 1e8, now[INDEX] / 1e8
        row.funding_rate = row.funding_rate_hour = now[FUNDING] / 1e10


@kernel
def fold_minute(events, ends, begin_ms, tick_units, price_units, base_units, now, slot, mid_paths, quote_sums, rows):
    """fold_symbol for every symbol. events: one symbol's behind the other's, ends: (symbols,) where each one's end."""
    begin = 0
    for s in range(ends.shape[0]):
        fold_symbol(
            events[begin : ends[s]], begin_ms, tick_units[s], price_units[s], base_units[s], now[s],
            mid_paths[s, slot], quote_sums[s, slot], rows[s],
        )  # fmt: skip
        begin = ends[s]


class Belt:
    """A conveyor that knows the symbols of a market, and the rows of its minutes in turn."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.listed: list[Listing] = listings(market)[0]
        self.conveyor = Conveyor()
        self.conveyor.configure(sized(len(self.listed)))
        for record in records_of(self._introductions(), ticks=False):
            self.conveyor.handle(batch_of(encode(record)))
        assert self.conveyor.state is not None
        self.state: EngineState = self.conveyor.state
        self.members = np.arange(len(self.listed))
        self.names = tuple(listing.instrument.symbol for listing in self.listed)
        self.roster: Roster = self.conveyor.minutes.rosters.of(0, self.conveyor.registry)
        self.first_minute = market.first_minute_ns // NS_PER_MINUTE
        self._cut = {
            minute
            for begin_ns, end_ns, is_lost in outages(market) if is_lost
            for minute in range(begin_ns // NS_PER_MINUTE, (end_ns - 1) // NS_PER_MINUTE + 1)
        }  # fmt: skip

    def _introductions(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Instruments, the connection, and what is subscribed; after that nothing is heard of the venue."""
        start = self.market.start_ns
        for listing in self.listed:
            yield start, 0, int(RecordKind.INSTRUMENT), listing.instrument.encode()
        yield start, 1, int(RecordKind.CONNECTION), connection(self.market, "up", "")
        yield start, 1, int(RecordKind.SUBSCRIPTION), subscription(self.market, self.listed)

    def rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """(minute, ROW (symbols,) as bars, quality and universe leave them) of every full minute of the market."""
        count, bars = len(self.listed), self.state.bars
        waiting = [np.zeros((0, at.EVENT_WIDTH), np.int64) for _ in self.listed]
        now = np.zeros((count, IN_FORCE), np.int64)
        now[:, INTEREST_MS] = -1
        ticks = np.array([listing.tick_units for listing in self.listed])
        prices = np.array([10.0**listing.instrument.price_decimals for listing in self.listed])
        bases = np.array([10.0**listing.instrument.quantity_decimals for listing in self.listed])
        lead_ms, done = LEAD_IN_NS // NS_PER_MS, 0
        for end_ns, parts in events_of_minutes(self.market):
            for events in parts:
                if len(events):
                    s = int(events[0, at.SYMBOL])
                    waiting[s] = np.concatenate([waiting[s], events])
            while done < self.market.minutes and self.market.first_minute_ns + (done + 1) * NS_PER_MINUTE <= end_ns:
                minute, begin_ms = self.first_minute + done, lead_ms + done * MS_PER_MINUTE
                slot = minute % SLOTS
                bars.rows[:count] = BLANK
                bars.quote_sums[:count, slot]["minute"] = minute
                end_ms = begin_ms + MS_PER_MINUTE
                until = [int(np.searchsorted(events[:, at.TIME], end_ms)) for events in waiting]
                folded = np.concatenate([events[:n] for events, n in zip(waiting, until, strict=True)])
                waiting = [events[n:] for events, n in zip(waiting, until, strict=True)]
                fold_minute(
                    folded, np.cumsum(until), begin_ms, ticks, prices, bases, now, slot,
                    bars.mid_paths, bars.quote_sums, bars.rows,
                )  # fmt: skip
                if minute in self._cut:
                    heard = bars.rows["dq_status"][:count] == Status.OK
                    bars.rows["dq_status"][:count][heard] = Status.PARTIAL
                    bars.rows["dq_reasons"][:count][heard] = Reason.GAP
                yield minute, bars.rows
                done += 1
