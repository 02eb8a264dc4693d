"""What was to be seen: the labels of a simulated market, laid over the minutes that are judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.core.minutes import NS_PER_MINUTE
from replay.evaluate.minutes import Minutes
from replay.simulate import Label
from replay.simulate.script import KINDS, MARKET_WIDE

# Which classes an episode's footprint of 60 s can show itself to, from the columns that their detectors read. A kind
# that stands at no class moves nothing that a detector reads, or leaves no minute that is ok.
SEEN_BY: dict[str, tuple[str, ...]] = {
    "spike": ("spike",),  # price, trades
    "squeeze": ("spike", "quadrant", "divergence"),  # price, open interest, trades, basis
    "cascade": ("spike", "quadrant"),  # price, open interest, trades
    "depth_vacuum": ("shift",),  # depth is read by nobody, the spread widens a little
    "sweep_stall": ("spike",),  # price, trades
    "absorption": ("spike", "divergence"),  # trades, one-sided; the price stands still
    "spread_stress": ("shift",),
    "thin_print": ("spike", "shift"),  # half of the price move stays; spread
    "basis_jolt": ("shift", "divergence"),
    "funding_jolt": ("shift",),
    "basket_shock": ("spike", "synchrony"),
    "gap": (),
}
HEADLINE = "spike"  # the class whose recall and false alarms are promised
HIT_MINUTES = 2  # the footprint's own minute and the one behind it
OUTSIDE, IN_TRUE, IN_DECOY = 0, 1, 2

EPISODE = np.dtype([
    ("minute", "<i8"), ("symbol", "<i8"), ("kind", "<i8"), ("sigma", "<f8"), ("direction", "<i8"), ("decoy", "?"),
    ("is_open", "?"),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """episodes: EPISODE (n,), by minute and symbol, one for each symbol of a market-wide one; minute and symbol are
    places in Minutes, kind one in KINDS; is_open: the minute of its footprint is. inside: int8 (minutes, symbols),
    OUTSIDE, IN_TRUE or IN_DECOY, from the footprint to the end of what follows, true ones before decoys.
    """

    episodes: np.ndarray
    inside: np.ndarray

    def seen_by(self, name: str) -> np.ndarray:
        """(n,) bool: episodes that a class can see in principle."""
        able = np.array([name in SEEN_BY[kind] for kind in KINDS])
        return able[self.episodes["kind"]]


def lay(labels: Iterable[Label], minutes: Minutes) -> Truth:
    """Labels of other symbols, and those whose footprint is not among the minutes, are left out."""
    count, symbols = minutes.shape
    found, inside = [], np.zeros((count, symbols), np.int8)
    for label in labels:
        begin = label.start_ns // NS_PER_MINUTE - minutes.first
        end = -(-label.end_ns // NS_PER_MINUTE) - minutes.first
        if not 0 <= begin < count:
            continue
        names = minutes.symbols if label.symbol == MARKET_WIDE else (label.symbol,)
        for s in [minutes.symbols.index(name) for name in names if name in minutes.symbols]:
            is_open = bool(minutes.is_open[begin, s])
            found.append((begin, s, KINDS.index(label.kind), label.sigma, label.direction, label.decoy, is_open))
            stretch = inside[begin:end, s]
            stretch[stretch != IN_TRUE] = IN_DECOY if label.decoy else IN_TRUE
    return Truth(np.array(sorted(found), EPISODE), inside)


def joined(parts: Iterable[tuple[Truth, int]]) -> Truth:
    """Truths of several stretches, each with the place at which its minutes begin; what lies between is outside."""
    episodes, insides, end = [], [], 0
    for truth, begin in parts:
        moved = truth.episodes.copy()
        moved["minute"] += begin
        episodes.append(moved)
        insides += [np.zeros((begin - end, truth.inside.shape[1]), np.int8), truth.inside]
        end = begin + len(truth.inside)
    return Truth(np.concatenate(episodes), np.concatenate(insides))
