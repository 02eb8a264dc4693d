"""What a detector is: a line of a table, and a pure function over all symbols of a venue's minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.core.layouts import layout
from engine.core.market import MARKET

CLASSES = ("spike", "shift", "quadrant", "divergence", "pattern", "synchrony", "rotation")
STAGES = ("dry-run", "shadow", "canary", "production")  # how far what it finds may go; the mode caps it

FINDING = layout("finding of a detector", """
    ~measure          what is compared with the threshold; NaN: null
    is_met            1 if everything else of the trigger holds
    is_allowed        1 if the precondition holds
    ~primary          what the severity is made of; NaN: null
    ~secondary        likewise
    direction         1 up, -1 down, 0 neither
""")  # fmt: skip


NOBODY = np.zeros(0, np.int64)
NO_MARKETS = np.zeros(0, MARKET)


class View(NamedTuple):
    """What a detector may read. Nothing of it may be written.

    Minutes before stand in rings: minute m at `m % len(history)`, and only if `held` says so; inputs of minute m at
    `m % RECENT + RECENT`, so that the minutes before it lie to the left.
    """

    minute: int
    members: np.ndarray  # (n,) int64: symbols that are looked at, by name
    rows: np.ndarray  # schema.ROW (symbols,): this minute, where the symbol is a member
    market: np.ndarray  # market.MARKET (1,): of the venue, this minute
    history: np.ndarray  # schema.ROW (minutes, symbols): closed minutes before this one
    held: np.ndarray  # (minutes, symbols) int64: whose minute stands there
    inputs: np.ndarray  # (symbols, INPUTS, 2 * RECENT) float64: feature_state.Features.ring, this minute included
    newest: np.ndarray  # (symbols,) int64: newest minute of inputs
    bars_15m: np.ndarray  # rollup_columns.ROLLUP (bars, symbols): bar b = (its last minute) // 15 at b % len(bars_15m)
    bars_15m_held: np.ndarray  # (bars, symbols) int64: whose bar stands there
    peers: np.ndarray = NOBODY  # (k,) int64: every symbol of the venue, looked at or not, by name
    sectors: np.ndarray = NOBODY  # (symbols,) int64: place of a symbol's sector among those by name; -1: none
    markets: np.ndarray = NO_MARKETS  # market.MARKET (minutes,): of the venue, this one too: m at m % len(markets)
    markets_held: np.ndarray = NOBODY  # (minutes,) int64: whose market row stands there


Find = Callable[[View, float, np.ndarray], None]


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector. docs/signals.md says what becomes of what it finds.

    find(view, threshold, out): writes out, FINDING (symbols,), of every member; `out` comes blank: null, not met,
    allowed, no direction. threshold: what `measure` will be compared with, for detectors whose shape depends on it.
    unit: of measure and threshold. trigger, precondition, primary, secondary, direction: in words, for docs. A trigger
    says what the measure is, then after `, where` what else must hold. A null among what the measure is made of makes
    it null; a null in what must hold does not hold, and so in a precondition. inputs: columns of the row, of the market
    row with `market.` before them, of 15m bars with `15m.`; all that is read.
    minutes: how far back it looks, 1: this minute only. is_core: on unless switched off; the others are off unless
    switched on. weights: (primary_weight, secondary_weight, breadth_weight, steepness) in place of its class's.
    tiers: thresholds of symbols of a tier.
    """

    id: str
    subtype: str
    signal_class: str
    threshold: float
    unit: str
    trigger: str
    primary: str
    secondary: str
    inputs: tuple[str, ...]
    cooldown_s: int
    half_life_s: int
    find: Find
    precondition: str = "none"
    direction: str = "0"
    source: str = ""
    minutes: int = 1
    is_core: bool = True
    weights: tuple[float, float, float, float] | None = None
    tiers: tuple[tuple[str, float], ...] = ()
