"""What an episode does, second by second, and the labels that say so.

An episode is a path of controls over 360 s: 60 s of footprint, 300 s of follow-through. A decoy is the same path
without the follow-through, so that by construction nothing in the footprint tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from replay.simulate import layout as at
from replay.simulate.draws import generator
from replay.simulate.market import Listing, Market, listings
from replay.simulate.script import FOLLOW_S, FOOTPRINT_S, KINDS, MARKET_KINDS, MARKET_WIDE, Episode

PATH_S = FOOTPRINT_S + FOLLOW_S
GAP_BEGIN_S = 20  # a gap begins here in its minute and is over before the minute is
GAP_S_PER_SIGMA = 3.0
SLOT_MINUTES = 8  # of the default script: one of footprint, five of follow-through, two of rest
LEAD_MINUTES = 2
MINUTE_SIGMA = math.sqrt(60.0)  # of one second
UP_ONLY, DOWN_ONLY = ("squeeze",), ("cascade",)


@dataclass(frozen=True, slots=True)
class Label:
    """What the script did: for scoring, never an input of the engine.

    end_ns: when the follow-through ends, or of a decoy would have ended.
    """

    symbol: str
    start_ns: int
    end_ns: int
    kind: str
    sigma: float
    direction: int
    decoy: bool


def labels(market: Market) -> list[Label]:
    """The session's episodes in order of time; symbol "*" means all of them."""
    symbols = {}
    for listing in listings(market)[0]:
        symbols[listing.coin] = symbols[listing.instrument.symbol] = listing.instrument.symbol
    symbols[MARKET_WIDE] = MARKET_WIDE
    out = []
    for episode in script_of(market):
        if episode.symbol not in symbols:
            raise ConfigError(
                f"episode {episode.kind}: symbol {episode.symbol!r} is not in this market of {market.symbols}"
            )
        start = market.first_minute_ns + episode.minute * NS_PER_MINUTE
        end = start + (FOOTPRINT_S if episode.kind == "gap" else PATH_S) * NS_PER_S
        name = symbols[episode.symbol]
        out.append(Label(name, start, end, episode.kind, episode.sigma, episode.direction, episode.decoy))
    return out


def script_of(market: Market) -> list[Episode]:
    """The episodes played, in order of time."""
    if isinstance(market.episodes, tuple):
        chosen = list(market.episodes)
        for episode in chosen:
            if episode.minute >= market.minutes:
                raise ConfigError(
                    f"episode {episode.kind}: minute is {episode.minute}, expected below {market.minutes}"
                )
        gaps = [episode.minute for episode in chosen if episode.kind == "gap"]
        if len(set(gaps)) < len(gaps):
            raise ConfigError("episode gap: two in one minute, expected one; correct the script")
    elif market.episodes == "none" or not market.information:
        chosen = []
    else:
        chosen = _default_script(market)
    return sorted(chosen, key=lambda e: (e.minute, e.symbol, e.kind))


def _default_script(market: Market) -> list[Episode]:
    """Slots of eight minutes; every fourth belongs to the whole market, in the others each symbol has its own episode.

    True ones and decoys come in pairs of one kind and one strength, shuffled over the slots; an odd slot stays empty.
    """
    count = max(0, (market.minutes - LEAD_MINUTES) // SLOT_MINUTES)
    coins = [listing.coin for listing in listings(market)[0]]
    wide = [slot for slot in range(count) if slot % 4 == 3]
    own = [(slot, coin) for slot in range(count) if slot % 4 != 3 for coin in coins]
    rng = generator(market.seed, 2)
    out = []
    for places, kinds in (
        (own, [k for k in KINDS if k not in MARKET_KINDS]),
        ([(s, MARKET_WIDE) for s in wide], list(MARKET_KINDS)),
    ):
        pairs = len(places) // 2
        order = _shuffled(rng, len(places))
        first = int(rng.integers(len(kinds)))
        for pair in range(pairs):
            kind = kinds[(first + pair) % len(kinds)]
            sigma = 1.0 + float((pair * 7 + int(rng.integers(3))) % 11) / 2.0
            for twin in (0, 1):
                slot, symbol = places[order[2 * pair + twin]]
                direction = 1 if kind in UP_ONLY else -1 if kind in DOWN_ONLY else 2 * int(rng.integers(2)) - 1
                out.append(Episode(kind, symbol, LEAD_MINUTES + slot * SLOT_MINUTES, sigma, direction, bool(twin)))
    return out


def _shuffled(rng: np.random.Generator, count: int) -> list[int]:
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = int(rng.integers(last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def neutral(cells: int) -> np.ndarray:
    """Controls that change nothing; (cells, CONTROL_WIDTH)."""
    path = np.ones((cells, at.CONTROL_WIDTH))
    path[:, at.ADDITIVE] = 0.0
    return path


def path_of(kind: str, sigma: float, direction: int, decoy: bool, lag_s: int = 0) -> np.ndarray:
    """Controls of one episode, (PATH_S, CONTROL_WIDTH); DRIFT and PRINT in one-minute sigmas.

    lag_s: delay inside the footprint.
    """
    path = neutral(PATH_S)
    _FOOTPRINT[kind](path, sigma, direction, lag_s)
    if not decoy:
        _FOLLOW[kind](path, sigma, direction)
    return path


def _ramp(path: np.ndarray, column: int, begin: int, end: int, total: float) -> None:
    path[begin:end, column] += total / (end - begin)


def _spike(path: np.ndarray, s: float, d: int, lag: int) -> None:
    _ramp(path, at.DRIFT, 10 + lag, 30 + lag, d * s)
    path[10 + lag : 30 + lag, at.TRADES] *= 1.0 + s
    path[10 + lag : 30 + lag, at.BIAS] = 0.5 * d


def _squeeze(path: np.ndarray, s: float, d: int, lag: int) -> None:
    _ramp(path, at.DRIFT, 5, 55, d * s)
    _ramp(path, at.INTEREST, 5, 55, -0.01 * s)
    path[5:55, at.TRADES] *= 1.0 + 0.7 * s
    path[5:55, at.BIAS] = 0.6 * d
    path[5:60, at.JOLT] = d * s * 1e-4


def _cascade(path: np.ndarray, s: float, d: int, lag: int) -> None:
    for begin in (5, 22, 40):
        _ramp(path, at.DRIFT, begin, begin + 7, d * s / 3.0)
        path[begin : begin + 7, at.TRADES] *= 1.0 + 1.5 * s
        path[begin : begin + 7, at.BIAS] = 0.8 * d
    _ramp(path, at.INTEREST, 5, 50, -0.015 * s)
    path[5:50, at.DEPTH_BID : at.DEPTH_ASK + 1] /= 1.0 + 0.3 * s


def _depth_vacuum(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[10:60, at.DEPTH_ASK if d > 0 else at.DEPTH_BID] /= 1.0 + 1.5 * s
    path[10:60, at.WIDTH] *= 1.0 + 0.2 * s


def _sweep_stall(path: np.ndarray, s: float, d: int, lag: int) -> None:
    _ramp(path, at.DRIFT, 20, 28, d * s)
    path[20:28, at.TRADES] *= 1.0 + 3.0 * s
    path[20:28, at.BIAS] = 0.9 * d
    path[20:28, at.SIZE] *= 1.5
    path[28:60, at.TRADES] *= 0.5


def _absorption(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[5:55, at.BIAS] = 0.8 * d
    path[5:55, at.TRADES] *= 1.0 + 1.5 * s
    path[5:55, at.SIZE] *= 1.5
    path[5:55, at.IMPACT] = 0.0
    path[5:55, at.DEPTH_ASK if d > 0 else at.DEPTH_BID] *= 1.0 + s


def _spread_stress(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[5:60, at.WIDTH] *= 1.0 + s
    path[5:60, at.DEPTH_BID : at.DEPTH_ASK + 1] /= 1.0 + 0.3 * s


def _thin_print(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[18:24, at.DEPTH_BID : at.DEPTH_ASK + 1] /= 1.0 + s
    path[20, at.PRINT] = d * s


def _basis_jolt(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[5:60, at.JOLT] = d * s * 3e-4
    path[60:240, at.JOLT] = d * s * 3e-4 * (1.0 - np.arange(180) / 180.0)


def _funding_jolt(path: np.ndarray, s: float, d: int, lag: int) -> None:
    path[5:60, at.FUND] = d * s * 2e-5
    path[60:PATH_S, at.FUND] = d * s * 2e-5 * (1.0 - np.arange(FOLLOW_S) / FOLLOW_S)


def _nothing(path: np.ndarray, s: float, d: int, lag: int = 0) -> None:
    """A gap is played by the connection, not by the market."""


def _continues(share: float, end: int) -> Callable[[np.ndarray, float, int], None]:
    def follow(path: np.ndarray, s: float, d: int) -> None:
        _ramp(path, at.DRIFT, FOOTPRINT_S, end, share * d * s)

    return follow


def _squeeze_on(path: np.ndarray, s: float, d: int) -> None:
    _ramp(path, at.DRIFT, 60, 300, 0.6 * d * s)
    _ramp(path, at.INTEREST, 60, 300, -0.005 * s)


def _cascade_on(path: np.ndarray, s: float, d: int) -> None:
    for begin in (80, 120, 160):
        _ramp(path, at.DRIFT, begin, begin + 7, 0.25 * d * s)
        path[begin : begin + 7, at.TRADES] *= 1.0 + s
        path[begin : begin + 7, at.BIAS] = 0.6 * d
        _ramp(path, at.INTEREST, begin, begin + 7, -0.003 * s)


def _stress_on(path: np.ndarray, s: float, d: int) -> None:
    path[60:300, at.HEAT] *= 1.0 + 0.35 * s
    path[60:300, at.WIDTH] *= 1.0 + 0.4 * s


def _unwind(path: np.ndarray, s: float, d: int) -> None:
    _ramp(path, at.DRIFT, 60, 300, -0.5 * d * s)
    _ramp(path, at.INTEREST, 60, 300, -0.005 * s)


_FOOTPRINT = {
    "spike": _spike,
    "squeeze": _squeeze,
    "cascade": _cascade,
    "depth_vacuum": _depth_vacuum,
    "sweep_stall": _sweep_stall,
    "absorption": _absorption,
    "spread_stress": _spread_stress,
    "thin_print": _thin_print,
    "basis_jolt": _basis_jolt,
    "funding_jolt": _funding_jolt,
    "basket_shock": _spike,
    "gap": _nothing,
}
_FOLLOW = {
    "spike": _continues(0.5, 240),
    "squeeze": _squeeze_on,
    "cascade": _cascade_on,
    "depth_vacuum": _continues(0.6, 180),
    "sweep_stall": _continues(-0.6, 240),
    "absorption": _continues(-0.5, 240),
    "spread_stress": _stress_on,
    "thin_print": _continues(-0.5, 180),
    "basis_jolt": _continues(-0.5, 240),
    "funding_jolt": _unwind,
    "basket_shock": _continues(0.5, 240),
    "gap": _nothing,
}


class Controls:
    """The script as arrays, cut into the chunks in which the market is played."""

    def __init__(self, market: Market, listed: list[Listing], spec: np.ndarray) -> None:
        self.symbols = len(listed)
        self.pieces: list[tuple[int, int, np.ndarray]] = []  # (symbol index, first second of the session, path)
        names = [listing.instrument.symbol for listing in listed]
        minute_sigma = spec[:, at.SIGMA] * MINUTE_SIGMA
        for label in labels(market):
            if label.kind == "gap":
                continue
            first = (label.start_ns - market.start_ns) // NS_PER_S
            for index in range(self.symbols) if label.symbol == MARKET_WIDE else (names.index(label.symbol),):
                lag = min(20, int(spec[index, at.LAG_S])) if label.symbol == MARKET_WIDE else 0
                path = path_of(label.kind, label.sigma, label.direction, label.decoy, lag)
                path[:, (at.DRIFT, at.PRINT)] *= minute_sigma[index]
                self.pieces.append((index, int(first), path))

    def chunk(self, first_second: int, cells: int, out: np.ndarray) -> None:
        """Controls of `cells` seconds from `first_second` of the session; out: (symbols, cells, CONTROL_WIDTH)."""
        out[:] = neutral(cells)
        for index, first, path in self.pieces:
            begin, end = max(first, first_second), min(first + len(path), first_second + cells)
            if begin >= end:
                continue
            here, part = out[index, begin - first_second : end - first_second], path[begin - first : end - first]
            for column in range(at.CONTROL_WIDTH):
                if column in at.ADDITIVE:
                    here[:, column] += part[:, column]
                else:
                    here[:, column] *= part[:, column]


def outages(market: Market) -> list[tuple[int, int, bool]]:
    """(begin_ns, end_ns, lost) of scripted gaps; if nothing is lost the stream stalls and delivers all at the end."""
    out = []
    for label in labels(market):
        if label.kind == "gap":
            begin = label.start_ns + GAP_BEGIN_S * NS_PER_S
            out.append((begin, begin + int(label.sigma * GAP_S_PER_SIGMA * NS_PER_S), not label.decoy))
    return out
