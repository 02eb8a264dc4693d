"""Trades into the tick buffer: each once, what is not believed flagged, what came late noted."""

from __future__ import annotations

from engine.core.frame import (
    CORE_TRADE,
    COUNTED,
    DUPLICATE,
    IN_NO_CANDLE,
    NOT_BELIEVED,
    NOT_IN_CANDLES,
    TRADES,
    WORTH_NOTHING,
)  # fmt: skip
from engine.core.kernel import inlined
from engine.core.layouts import (
    CLOCK_TRADES,
)
from engine.core.minutes import NS_PER_MINUTE
from engine.core.words import mix
from engine.tape.outcome import APPLIED, IGNORED, stir
from engine.tape.plausible import judge_price
from engine.tape.seen import seen_before
from engine.tape.watermark import believed, hear


@inlined
def worth(fresh):
    """Flag of a trade that is believed and new."""
    if fresh.flag == NOT_IN_CANDLES:
        return IN_NO_CANDLE
    return WORTH_NOTHING if fresh.price == 0 or fresh.quantity == 0 else COUNTED


@inlined
def copy_trade(fresh, symbol, tick):
    """A trade of the frame in hand as a tick, all but its flag."""
    tick.symbol = fresh.symbol
    tick.event_ns = fresh.event_ns
    tick.price = fresh.price
    tick.quantity = fresh.quantity
    tick.buy = fresh.buy
    tick.count = fresh.count
    symbol.arrivals += 1
    tick.order = symbol.arrivals if symbol.arrival_order else fresh.order


@inlined
def place_trade(symbol, venue, tick):
    """Note what a trade tick means for a minute that is closed already, and stir it into the digest."""
    if tick.flag not in (DUPLICATE, NOT_BELIEVED):
        if symbol.ids_count and tick.order > symbol.newest_id:
            symbol.newest_id = tick.order
        if tick.event_ns < venue.open_minute * NS_PER_MINUTE:
            if venue.grace_open and tick.event_ns >= (venue.open_minute - 1) * NS_PER_MINUTE:
                venue.dirty = 1  # even if it is not counted, its id may be one that was missing
            elif tick.flag == COUNTED:
                venue.late = 1
    stir(
        venue,
        tick.event_ns ^ (tick.symbol << 4) ^ tick.flag,
        mix(tick.price, 2 * tick.order),
        mix(tick.quantity, 4 * tick.count + tick.buy),
    )


@inlined
def apply_trades(tape, channel, connection, recv_ns):
    clock = tape.clock
    for i in range(tape.frame[TRADES]):
        fresh = tape.fresh[i]
        symbol = tape.symbols[fresh.symbol]
        if symbol.trade_channel != channel:
            return IGNORED
        venue = tape.venues[symbol.venue]
        trusted = believed(tape, connection, recv_ns, fresh.event_ns)
        if trusted:
            hear(tape, connection, recv_ns, fresh.event_ns, CORE_TRADE)
        else:
            connection.future += 1
            if venue.open_minute < 0:
                continue  # there is no minute yet that could answer for it
        tick = tape.trade_ticks[clock[CLOCK_TRADES]]
        clock[CLOCK_TRADES] += 1
        copy_trade(fresh, symbol, tick)
        if not trusted:
            tick.flag = NOT_BELIEVED
        elif seen_before(symbol, tape.seen_ids[fresh.symbol], fresh.order):
            tick.flag = DUPLICATE
        else:
            tick.flag = worth(fresh)
            judge_price(tape, fresh.symbol, tick)
        place_trade(symbol, venue, tick)
    return APPLIED
