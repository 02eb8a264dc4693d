"""One symbol's life: the next thing that happens, again and again, written down as events.

The kernel stops where the chunk ends or the buffers are nearly full, and goes on from there at the next call: the size
of the buffers changes no bit of the session.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detmath import exp
from replay.simulate import layout as at
from replay.simulate.book import fresh_lots, open_book, refresh, remember, set_best, shift
from replay.simulate.compiled import kernel
from replay.simulate.draws import normal, waiting, whole
from replay.simulate.events import BASIS_DEVIATION, say_book, say_context, say_quote, say_snapshot, say_trade, touch
from replay.simulate.flow import base_rate, decay_excitement, excite, new_parent, next_order, open_interest_change
from replay.simulate.price import OWN_FAST_VARIANCE, OWN_SLOW_VARIANCE, SLOT_S, latent_return, whole_ticks

ROW_MARGIN, LEVEL_MARGIN = 128, 4 * at.LEVELS  # free rows that one happening may need
SWEPT_MAX, FILLS_MAX = 8, 20
PRINT_STEPS = 10
WIDER = 0.2  # of a move, at most: how far each quote falls back behind it
NEVER = 1e18
MEAN_S = 2.0  # of the price that the index follows


@kernel
def execute(
    rng: Any,
    informed: bool,
    symbol: int,
    order: np.ndarray,
    control: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Match one market order against the book, move the quotes by its impact, say both.

    Without information the best level is refilled rather than swept: a sweep moves the mid further on the thinner side,
    which would make the sizes in the book predict it.
    """
    sign = order[0]
    side = 1 if sign > 0.0 else 0
    held = not informed or control[at.IMPACT] == 0.0
    mid = 0.5 * (key[1, 0] - key[0, 0])
    before = key[side, 0]
    first = counts[0]
    left = int(order[1])
    n[at.ORDER_NO] += 1
    swept = 0
    while left > 0 and swept < SWEPT_MAX and counts[0] - first < FILLS_MAX:
        take = min(left, lots[side, 0])
        pieces = 1 + int(3.0 * rng.random() * rng.random()) if take > 4 else 1
        price = key[side, 0] if side == 1 else -key[side, 0]
        for piece in range(pieces):
            say_trade(
                symbol,
                sign,
                price,
                take // pieces if piece else take - (take // pieces) * (pieces - 1),
                f,
                n,
                events,
                counts,
            )
        left -= take
        lots[side, 0] -= take
        if lots[side, 0] == 0:
            if held:
                lots[side, 0] = fresh_lots(rng, side, 0, spec, f, control)
                break
            set_best(rng, side, key[side, 1], spec, f, control, key, lots)
            swept += 1
    events[first, at.FILLS] = counts[0] - first
    open_interest_change(rng, order[1], spec, f)
    wanted = abs(order[2]) * mid if control[at.IMPACT] != 0.0 else 0.0
    walked = 0.5 * (key[side, 0] - before)
    if wanted >= walked:
        ticks = whole(rng, wanted - walked) * int(sign)
        if ticks != 0:
            shift(rng, ticks, ticks, spec, f, control, key, lots)
    else:
        f[at.POOL_3] += sign * (walked - wanted) / mid  # swept further than the law allows: it comes back
    touch(rng, n)
    say_quote(symbol, f, n, key, lots, events, counts)


@kernel
def thin_print(
    rng: Any,
    symbol: int,
    distance: float,
    control: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    """One impatient order through a book that draws back.

    The last fill is about `distance` (log price) away and the mid has moved half of it.
    """
    side = 1 if distance > 0.0 else 0
    start = key[side, 0]
    ticks = int(abs(distance) * 0.5 * (key[1, 0] - key[0, 0]))
    for step in range(1, PRINT_STEPS + 1):
        n[at.ORDER_NO] += 1
        price = key[side, 0] if side == 1 else -key[side, 0]
        say_trade(symbol, 1.0 if side == 1 else -1.0, price, lots[side, 0], f, n, events, counts)
        events[counts[0] - 1, at.FILLS] = 1
        set_best(rng, side, max(key[side, 0] + 1, start + ticks * step // PRINT_STEPS), spec, f, control, key, lots)
        touch(rng, n)
        say_quote(symbol, f, n, key, lots, events, counts)


@kernel
def price_step(
    rng: Any,
    informed: bool,
    symbol: int,
    market: np.ndarray,
    control: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    """One slot of the latent price: quotes follow, a large move leaves a wider spread behind."""
    mid = 0.5 * (key[1, 0] - key[0, 0])
    ticks = whole_ticks(rng, latent_return(rng, informed, market, control, spec, f) * mid, f)
    if ticks != 0:
        shift(rng, ticks, ticks, spec, f, control, key, lots)
        wider = min(40, int(WIDER * abs(ticks) * rng.random()))
        if wider > 0:
            shift(rng, wider, -wider, spec, f, control, key, lots)
        touch(rng, n)
        say_quote(symbol, f, n, key, lots, events, counts)
    cell = int(f[at.NOW]) // at.CELL_MS
    if control[at.PRINT] != 0.0 and n[at.PRINTED_CELL] != cell:
        n[at.PRINTED_CELL] = cell
        thin_print(rng, symbol, control[at.PRINT], control, spec, f, n, key, lots, events, counts)
    mid = 0.5 * (key[1, 0] - key[0, 0])
    f[at.MEAN_PRICE] += (1.0 - exp(-SLOT_S / MEAN_S)) * (mid - f[at.MEAN_PRICE])
    f[at.OI] *= 1.0 + control[at.INTEREST] * SLOT_S


@kernel
def quote_step(
    rng: Any,
    symbol: int,
    control: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    """A limit order comes or goes. The spread seeks a target that grows with volatility; a coin tells the side."""
    spread = key[1, 0] + key[0, 0]
    target = max(1, whole(rng, spec[at.SPREAD] * math.sqrt(f[at.VOL]) * control[at.WIDTH]))
    excess = spread - target
    if excess == 0 or rng.random() < 0.2:
        refresh(rng, spec, f, control, key, lots)
    elif excess >= 2:
        closer = excess // 2 if rng.random() < 0.6 else (excess + 3) // 4
        shift(rng, -closer, closer, spec, f, control, key, lots)
    elif excess <= -2:
        shift(rng, (-excess) // 2, -((-excess) // 2), spec, f, control, key, lots)
    elif rng.random() < 0.5:
        shift(rng, -excess, 0, spec, f, control, key, lots)
    else:
        shift(rng, 0, excess, spec, f, control, key, lots)
    touch(rng, n)
    say_quote(symbol, f, n, key, lots, events, counts)


@kernel
def begin(
    rng: Any,
    price: float,
    neutral: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    book: np.ndarray,
    parents: np.ndarray,
) -> None:
    """A symbol at the start of a session, its slow states drawn from where they usually are."""
    f[at.VOL_FAST] = math.sqrt(OWN_FAST_VARIANCE) * normal(rng)
    f[at.VOL_SLOW] = math.sqrt(OWN_SLOW_VARIANCE) * normal(rng)
    f[at.VOL] = 1.0
    f[at.BASIS] = BASIS_DEVIATION * normal(rng)
    f[at.OI] = spec[at.OPEN_INTEREST]
    for slot in range(at.PARENTS):
        new_parent(rng, parents[slot])
    bid = math.floor(price / spec[at.TICK] + 0.5)
    open_book(rng, bid, bid + max(1, int(spec[at.SPREAD])), spec, f, neutral, book[0], book[1])
    remember(book)
    f[at.MEAN_PRICE] = 0.5 * (book[0, 1, 0] - book[0, 0, 0])
    n[at.UPDATE] = 5_000_000_000_000 + int(1e9 * rng.random())
    n[at.SENT_UPDATE] = n[at.UPDATE]
    n[at.TRADE_NO] = 1_000_000_000 + int(1e9 * rng.random())
    n[at.PRINTED_CELL] = -1
    f[at.NEXT_TRADE] = waiting(rng, spec[at.RATE])
    f[at.NEXT_QUOTE] = waiting(rng, spec[at.QUOTE_RATE])
    f[at.NEXT_BOOK] = 500.0 * rng.random()
    f[at.NEXT_CONTEXT] = 1_000.0 + 2_000.0 * rng.random()


@kernel
def play(
    rng: Any,
    informed: bool,
    differences: bool,
    symbol: int,
    first_ms: float,
    until_ms: float,
    market: np.ndarray,
    controls: np.ndarray,
    snapshots: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    book: np.ndarray,
    parents: np.ndarray,
    order: np.ndarray,
    events: np.ndarray,
    levels: np.ndarray,
    counts: np.ndarray,
) -> bool:
    """Events of one symbol until `until_ms`; False when a buffer was nearly full and the rest is still to come.

    first_ms: when the chunk of `market` (SLOTS rows) and `controls` (one row a second) begins.
    differences: say changes of the book every 50 ms and the context every second (Binance), else the top of the book
    every 500 ms and the context every 3 s (Hyperliquid).
    snapshots: ms at which a whole book is asked for, ascending. counts: rows of events and of levels in use.
    """
    key, lots = book[0], book[1]
    while True:
        slot = n[at.SLOT]
        slot_ms = market[slot, at.SLOT_TIME] if slot < at.SLOTS else NEVER
        asked_ms = snapshots[n[at.SNAPSHOT]] if n[at.SNAPSHOT] < len(snapshots) else NEVER
        now = min(slot_ms, asked_ms, f[at.NEXT_TRADE], f[at.NEXT_QUOTE], f[at.NEXT_BOOK], f[at.NEXT_CONTEXT])
        if now >= until_ms:
            return True
        if counts[0] + ROW_MARGIN > len(events) or counts[1] + LEVEL_MARGIN > len(levels):
            return False
        decay_excitement(now - f[at.NOW], f)
        f[at.NOW] = now
        control = controls[int(now - first_ms) // at.CELL_MS]
        season = market[min(slot, at.SLOTS - 1), at.SEASON]
        if now == slot_ms:
            n[at.SLOT] += 1
            price_step(rng, informed, symbol, market[slot], control, spec, f, n, key, lots, events, counts)
        elif now == f[at.NEXT_TRADE]:
            rate = base_rate(season, control, spec, f) + f[at.EXCITE_FAST] + f[at.EXCITE_SLOW]
            # Thinning: the candidate was drawn at RATE_NOW, from which the rate has only decayed.
            if rng.random() * f[at.RATE_NOW] < rate:
                next_order(rng, informed, control[at.BIAS], control[at.SIZE], spec, f, n, parents, order)
                execute(rng, informed, symbol, order, control, spec, f, n, key, lots, events, counts)
                excite(f)
        elif now == f[at.NEXT_QUOTE]:
            quote_step(rng, symbol, control, spec, f, n, key, lots, events, counts)
            f[at.NEXT_QUOTE] = now + waiting(rng, spec[at.QUOTE_RATE] * season * max(0.4, f[at.VOL]))
        elif now == f[at.NEXT_BOOK]:
            say_book(symbol, differences, f, n, book, events, levels, counts)
            f[at.NEXT_BOOK] = now + (48.0 + 10.0 * rng.random() if differences else 500.0 + 60.0 * rng.random())
        elif now == f[at.NEXT_CONTEXT]:
            say_context(rng, symbol, 1.0 if differences else 3.0, control, spec, f, n, events, counts)
            f[at.NEXT_CONTEXT] = (
                (math.floor(now / 1_000.0) + 1.0) * 1_000.0 + int(2.0 * rng.random())
                if differences
                else now + 3_000.0 + 50.0 * rng.random()
            )
        else:
            n[at.SNAPSHOT] += 1
            say_snapshot(rng, symbol, f, n, book, events, levels, counts)
        if now == slot_ms or now == f[at.NEXT_TRADE]:
            # The exponential has no memory: drawing anew when the rate may have changed is exact.
            f[at.RATE_NOW] = base_rate(season, control, spec, f) + f[at.EXCITE_FAST] + f[at.EXCITE_SLOW]
            f[at.NEXT_TRADE] = now + waiting(rng, f[at.RATE_NOW])
