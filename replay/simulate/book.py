"""The simulated order book: LEVELS whole-tick levels a side, best first, never crossed.

`key` holds ask prices as they are and bid prices negated, so that both sides ascend and one piece of code serves them:
key[0] bids, key[1] asks, (2, LEVELS) ticks; lots likewise. A book is crossed when -key[0, 0] >= key[1, 0].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.core.detmath import log
from replay.simulate import layout as at
from replay.simulate.compiled import inlined, kernel
from replay.simulate.draws import lognormal, whole

LEVELS = at.LEVELS
DEPTH_SPREAD = 0.8  # standard deviation of the logarithm of a level's size


@inlined
def gap(rng: Any, mean: float) -> int:
    """Ticks from one level to the next, at least 1, geometric."""
    return 1 + int(-(mean - 0.5) * log(1.0 - rng.random()) * 0.9) if mean > 1.0 else 1


@kernel
def fresh_lots(rng: Any, side: int, level: int, spec: np.ndarray, f: np.ndarray, control: np.ndarray) -> int:
    """Size of a new order block at `level`, deeper levels larger, thinner when volatility is high.

    Follows flow: after buying, bids are larger and asks smaller. control: the episode's row for this second.
    """
    lean = 1.0 + 0.4 * f[at.FLOW] * (1.0 - 2.0 * side)
    calm = 1.0 / max(0.3, f[at.VOL])
    depth = spec[at.DEPTH_LOTS] * calm * lean * control[at.DEPTH_BID + side]
    return max(1, whole(rng, depth * (0.6 + 0.1 * min(level, 12)) * lognormal(rng, DEPTH_SPREAD)))


@kernel
def extend(
    rng: Any,
    side: int,
    begin: int,
    spec: np.ndarray,
    f: np.ndarray,
    control: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
) -> None:
    """Fill the levels from `begin` (at least 1) to the end behind the ones that stand."""
    for level in range(begin, LEVELS):
        key[side, level] = key[side, level - 1] + gap(rng, spec[at.GAP])
        lots[side, level] = fresh_lots(rng, side, level, spec, f, control)


@kernel
def set_best(
    rng: Any,
    side: int,
    best: int,
    spec: np.ndarray,
    f: np.ndarray,
    control: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
) -> None:
    """Make `best` (a key) the first level: better ones go, a missing one and those between come new."""
    first = key[side, 0]
    if best == first:
        return
    if best > first:
        gone = 0
        while gone < LEVELS and key[side, gone] < best:
            gone += 1
        if gone == LEVELS or key[side, gone] != best:
            gone -= 1
            key[side, gone] = best
            lots[side, gone] = fresh_lots(rng, side, 0, spec, f, control)
        if gone > 0:
            for level in range(LEVELS - gone):
                key[side, level] = key[side, level + gone]
                lots[side, level] = lots[side, level + gone]
            extend(rng, side, LEVELS - gone, spec, f, control, key, lots)
        return
    # Better than before: count the new levels with the gaps drawn, then make room; the first few are enough.
    new = 1
    step = best + gap(rng, spec[at.GAP])
    room = LEVELS // 2
    while step < first and new < room:
        new += 1
        step += gap(rng, spec[at.GAP])
    for level in range(LEVELS - 1, new - 1, -1):
        key[side, level] = key[side, level - new]
        lots[side, level] = lots[side, level - new]
    span = first - best
    for level in range(new):
        key[side, level] = best + span * level // new
        lots[side, level] = fresh_lots(rng, side, level, spec, f, control)


@kernel
def shift(
    rng: Any,
    up: int,
    down: int,
    spec: np.ndarray,
    f: np.ndarray,
    control: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
) -> None:
    """Move the ask by `up` ticks and the bid by `down` ticks, in the order that never crosses."""
    ask = key[1, 0] + up
    bid = -key[0, 0] + down
    if up > 0:
        set_best(rng, 1, ask, spec, f, control, key, lots)
        set_best(rng, 0, -bid, spec, f, control, key, lots)
    else:
        set_best(rng, 0, -bid, spec, f, control, key, lots)
        set_best(rng, 1, ask, spec, f, control, key, lots)


@kernel
def open_book(
    rng: Any,
    bid: int,
    ask: int,
    spec: np.ndarray,
    f: np.ndarray,
    control: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
) -> None:
    """The first book of a session."""
    for side in range(2):
        key[side, 0] = ask if side == 1 else -bid
        lots[side, 0] = fresh_lots(rng, side, 0, spec, f, control)
        extend(rng, side, 1, spec, f, control, key, lots)


@kernel
def refresh(rng: Any, spec: np.ndarray, f: np.ndarray, control: np.ndarray, key: np.ndarray, lots: np.ndarray) -> None:
    """One order comes or goes: a level near the best gets another size, or moves by a tick where there is room."""
    side = int(2.0 * rng.random())
    u = rng.random()
    level = int(-log(1.0 - rng.random()) * 2.0) if u < 0.8 else int(rng.random() * LEVELS)
    if level >= LEVELS:
        level = LEVELS - 1
    if u > 0.93 and 0 < level < LEVELS - 1 and key[side, level] + 1 < key[side, level + 1]:
        key[side, level] += 1
    lots[side, level] = fresh_lots(rng, side, level, spec, f, control)


@kernel
def copy_sides(key: np.ndarray, lots: np.ndarray, count: int, levels: np.ndarray, begin: int) -> None:
    """The first `count` levels of both sides into the level buffer: bids, then asks, as (price, lots)."""
    for side in range(2):
        for level in range(count):
            price = key[side, level]
            levels[begin, 0] = price if side == 1 else -price
            levels[begin, 1] = lots[side, level]
            begin += 1


@kernel
def changes(
    old_key: np.ndarray,
    old_lots: np.ndarray,
    key: np.ndarray,
    lots: np.ndarray,
    side: int,
    levels: np.ndarray,
    begin: int,
) -> int:
    """Levels of one side that differ from the old book, in ascending price as the venue prints them; zero lots = gone.

    levels: written from `begin`. Returns how many.
    """
    i = 0
    j = 0
    count = 0
    while i < LEVELS or j < LEVELS:
        was = old_key[side, i] if i < LEVELS else np.int64(1 << 60)
        now = key[side, j] if j < LEVELS else np.int64(1 << 60)
        same = was == now
        if not same or old_lots[side, i] != lots[side, j]:
            price = min(was, now)
            levels[begin + count, 0] = price if side == 1 else -price
            levels[begin + count, 1] = lots[side, j] if now <= was else 0
            count += 1
        if was <= now:
            i += 1
        if now <= was:
            j += 1
    if side == 0:
        for k in range(count // 2):
            for column in range(2):
                other = levels[begin + count - 1 - k, column]
                levels[begin + count - 1 - k, column] = levels[begin + k, column]
                levels[begin + k, column] = other
    return count


@kernel
def remember(book: np.ndarray) -> None:
    """The book as it stands becomes the book last said. book: (4, 2, LEVELS), now and then, key and lots each."""
    for part in range(2):
        for side in range(2):
            for level in range(LEVELS):
                book[2 + part, side, level] = book[part, side, level]
