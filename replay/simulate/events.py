"""What is said of a symbol: rows of the event buffer, written as things happen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.core.detmath import exp
from replay.simulate import layout as at
from replay.simulate.book import changes, copy_sides, remember
from replay.simulate.compiled import inlined, kernel
from replay.simulate.draws import normal

BASIS_S, BASIS_DEVIATION = 600.0, 1.5e-4
PREMIUM_S, FUNDING_S = 60.0, 600.0
E8 = 100_000_000.0


@inlined
def touch(rng: Any, n: np.ndarray) -> None:
    """The book has changed: a new update id (ids are shared by a venue's symbols, so they leap)."""
    n[at.UPDATE] += 1 + int(40.0 * rng.random())
    if n[at.FIRST_UPDATE] == 0:
        n[at.FIRST_UPDATE] = n[at.UPDATE]


@inlined
def new_row(symbol: int, kind: int, f: np.ndarray, events: np.ndarray, counts: np.ndarray) -> int:
    """Which row to fill: the next free one, with time, kind and symbol written."""
    at_row = counts[0]
    counts[0] += 1
    for column in range(at.EVENT_WIDTH):
        events[at_row, column] = 0
    events[at_row, at.TIME] = int(f[at.NOW])
    events[at_row, at.KIND] = kind
    events[at_row, at.SYMBOL] = symbol
    return at_row


@kernel
def say_quote(
    symbol: int, f: np.ndarray, n: np.ndarray, key: np.ndarray, lots: np.ndarray, events: np.ndarray, counts: np.ndarray
) -> None:
    """The best bid and ask, if they differ from the ones last said."""
    if (
        n[at.BID] == -key[0, 0]
        and n[at.ASK] == key[1, 0]
        and n[at.BID_LOTS] == lots[0, 0]
        and n[at.ASK_LOTS] == lots[1, 0]
    ):
        return
    n[at.BID], n[at.BID_LOTS], n[at.ASK], n[at.ASK_LOTS] = -key[0, 0], lots[0, 0], key[1, 0], lots[1, 0]
    row = events[new_row(symbol, at.QUOTE, f, events, counts)]
    row[at.Q_UPDATE], row[at.Q_BID], row[at.Q_BID_LOTS] = n[at.UPDATE], n[at.BID], n[at.BID_LOTS]
    row[at.Q_ASK], row[at.Q_ASK_LOTS] = n[at.ASK], n[at.ASK_LOTS]


@kernel
def say_trade(
    symbol: int,
    sign: float,
    price: int,
    lots: int,
    f: np.ndarray,
    n: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    n[at.TRADE_NO] += 1
    n[at.DAY_LOTS] += lots
    row = events[new_row(symbol, at.TRADE, f, events, counts)]
    row[at.PRICE], row[at.LOTS], row[at.SIGN] = price, lots, int(sign)
    row[at.ORDER], row[at.NUMBER], row[at.FILLS] = n[at.ORDER_NO], n[at.TRADE_NO], 0


@kernel
def say_book(
    symbol: int,
    differences: bool,
    f: np.ndarray,
    n: np.ndarray,
    book: np.ndarray,
    events: np.ndarray,
    levels: np.ndarray,
    counts: np.ndarray,
) -> None:
    """The top of the book as it stands, or what has changed since it was last said."""
    begin = counts[1]
    if not differences:
        copy_sides(book[0], book[1], at.PRINTED, levels, begin)
        row = events[new_row(symbol, at.BOOK, f, events, counts)]
        row[at.LEVEL_AT], row[at.BIDS], row[at.ASKS] = begin, at.PRINTED, at.PRINTED
        counts[1] += 2 * at.PRINTED
        return
    if n[at.FIRST_UPDATE] == 0:
        return
    bids = changes(book[2], book[3], book[0], book[1], 0, levels, begin)
    asks = changes(book[2], book[3], book[0], book[1], 1, levels, begin + bids)
    remember(book)
    row = events[new_row(symbol, at.CHANGES, f, events, counts)]
    row[at.LEVEL_AT], row[at.BIDS], row[at.ASKS] = begin, bids, asks
    row[at.B_FIRST], row[at.B_LAST], row[at.B_BEFORE] = n[at.FIRST_UPDATE], n[at.UPDATE], n[at.SENT_UPDATE]
    n[at.SENT_UPDATE] = n[at.UPDATE]
    n[at.FIRST_UPDATE] = 0
    counts[1] += bids + asks


@kernel
def say_snapshot(
    rng: Any,
    symbol: int,
    f: np.ndarray,
    n: np.ndarray,
    book: np.ndarray,
    events: np.ndarray,
    levels: np.ndarray,
    counts: np.ndarray,
) -> None:
    """The whole book for a REST answer; a far level changes first, so that the next changes reach over its id.

    They are those since this answer: a level that came just before it and goes just behind it has to be taken back.
    """
    book[1, 0, at.LEVELS - 1] += 1
    touch(rng, n)
    row = events[new_row(symbol, at.DEPTH_SNAPSHOT, f, events, counts)]
    row[at.LEVEL_AT], row[at.BIDS], row[at.ASKS], row[at.B_LAST] = counts[1], at.LEVELS, at.LEVELS, n[at.UPDATE]
    copy_sides(book[0], book[1], at.LEVELS, levels, counts[1])
    remember(book)
    counts[1] += 2 * at.LEVELS


@kernel
def say_context(
    rng: Any,
    symbol: int,
    elapsed_s: float,
    control: np.ndarray,
    spec: np.ndarray,
    f: np.ndarray,
    n: np.ndarray,
    events: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Mark, index, funding and open interest. The index lags the mid and stands off by a basis that reverts."""
    decay = exp(-elapsed_s / BASIS_S)
    f[at.BASIS] = decay * f[at.BASIS] + BASIS_DEVIATION * math.sqrt(1.0 - decay * decay) * normal(rng)
    index = f[at.MEAN_PRICE] / (1.0 + f[at.BASIS] + control[at.JOLT])
    premium = 0.5 * (n[at.BID] + n[at.ASK]) / index - 1.0
    f[at.PREMIUM] += (1.0 - exp(-elapsed_s / PREMIUM_S)) * (premium - f[at.PREMIUM])
    f[at.FUNDING] += (1.0 - exp(-elapsed_s / FUNDING_S)) * (premium - f[at.FUNDING])
    # Venues' common rule: premium plus an interest of 1e-4 per 8 h, clamped to 5e-4 around the premium.
    eight_hours = f[at.FUNDING] + min(5e-4, max(-5e-4, 1e-4 - f[at.FUNDING]))
    row = events[new_row(symbol, at.CONTEXT, f, events, counts)]
    row[at.MARK] = math.floor(index * (1.0 + f[at.PREMIUM]) * spec[at.TICK] * E8 + 0.5)
    row[at.INDEX] = math.floor(index * spec[at.TICK] * E8 + 0.5)
    row[at.FUNDING_RATE] = math.floor((eight_hours / 8.0 + control[at.FUND]) * 1e10 + 0.5)
    row[at.INTEREST_LOTS] = int(f[at.OI])
    row[at.TOUCH_BID], row[at.TOUCH_ASK], row[at.DAY] = n[at.BID], n[at.ASK], n[at.DAY_LOTS]
