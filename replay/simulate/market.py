"""What a simulated market is: its parameters, its symbols and their scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from replay.simulate import layout as at
from replay.simulate.draws import generator
from replay.simulate.script import Episode

VERSION = 3  # of the model; a change needs a reason that is not a detector's score, and a new number

VENUES = ("hyperliquid", "binance_usdm")
LEAD_IN_NS = 8 * NS_PER_S  # the session starts this long before its first full minute
LEAD_OUT_NS = 8 * NS_PER_S  # and ends this long after its last
FIRST_MINUTE_NS = 1_736_164_800 * NS_PER_S  # 2025-01-06 12:00:00 UTC

# The leaders have names a reader knows; no price or size of theirs is a recorded one.
# name, price, sigma of one second, loading, instant share, lag s, trades/s, mean trade and open interest in quote units
LEADERS = (
    ("BTC", 61_800.0, 8.0e-5, 0.93, 1.00, 0.5, 5.0, 7_000.0, 1.2e9),
    ("ETH", 2_680.0, 1.1e-4, 0.90, 0.80, 0.6, 3.5, 4_000.0, 6.0e8),
    ("SOL", 155.0, 1.4e-4, 0.82, 0.70, 1.2, 2.5, 2_000.0, 2.5e8),
)


@dataclass(frozen=True, slots=True)
class Market:
    """One simulated session, wholly given by these values: equal values give equal bytes.

    minutes: full minutes that close. activity: scale of trade and quote arrivals, 1 = as calibrated.
    information: False makes every mid price a martingale with respect to all that is printed.
    episodes: "default" (as many decoys as true ones, strengths 1 to 6 sigma), "none", or a script.
    start_ns: where the first full minute begins, a whole minute UTC; records start LEAD_IN_NS earlier.
    """

    seed: int = 7
    minutes: int = 10
    symbols: int = 3
    venue: Literal["hyperliquid", "binance_usdm"] = "hyperliquid"
    first_minute_ns: int = FIRST_MINUTE_NS
    information: bool = True
    episodes: tuple[Episode, ...] | Literal["default", "none"] = "default"
    activity: float = 1.0
    clock_offset_ms: float = 3.0
    latency_ms: float = 6.0

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2^63 - 1")
        _require(1 <= self.minutes <= 10_080, "minutes", self.minutes, "1 to 10080")
        _require(3 <= self.symbols <= 200, "symbols", self.symbols, "3 to 200")
        _require(self.venue in VENUES, "venue", self.venue, " or ".join(VENUES))
        _require(
            self.first_minute_ns % NS_PER_MINUTE == 0 and self.first_minute_ns > 0,
            "first_minute_ns",
            self.first_minute_ns,
            "a whole minute",
        )
        _require(0.05 <= self.activity <= 20.0, "activity", self.activity, "0.05 to 20")
        _require(-60_000 <= self.clock_offset_ms <= 60_000, "clock_offset_ms", self.clock_offset_ms, "-60000 to 60000")
        _require(0.1 <= self.latency_ms <= 1_000, "latency_ms", self.latency_ms, "0.1 to 1000")
        if not self.information and isinstance(self.episodes, tuple):
            told = [episode.kind for episode in self.episodes if episode.kind != "gap"]
            _require(
                not told,
                "episodes",
                ", ".join(told),
                "none but gaps when information is false: an episode is information",
            )

    @property
    def start_ns(self) -> int:
        return self.first_minute_ns - LEAD_IN_NS

    @property
    def end_ns(self) -> int:
        return self.first_minute_ns + self.minutes * NS_PER_MINUTE + LEAD_OUT_NS


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"simulated market: {name} is {value!r}, expected {expected}; correct the parameter")


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of the market. tick_units: the tick in units of 10^-price_decimals."""

    instrument: Instrument
    coin: str
    price: float
    tick_units: int
    quiet: bool

    @property
    def tick(self) -> float:
        return self.tick_units / 10**self.instrument.price_decimals


def listings(market: Market) -> tuple[list[Listing], np.ndarray]:
    """The symbols and their SPEC rows (see layout)."""
    rows = [_listing(market, index) for index in range(market.symbols)]
    return [row[0] for row in rows], np.array([row[1] for row in rows])


def _listing(market: Market, index: int) -> tuple[Listing, list[float]]:
    rng = generator(market.seed, 1, index)
    u = [float(x) for x in rng.random(8)]
    quiet = index >= len(LEADERS) and index % 5 == 4
    if index < len(LEADERS):
        coin, price, sigma, loading, instant, lag, rate, notional, interest = LEADERS[index]
        spread, gap, depth = 1.0, 1.3, 20.0
    else:
        coin = f"SIM{index:03d}"
        # Mantissas stay far from a power of ten, where Hyperliquid's rule of five significant digits changes the tick.
        price = (1.6 + 4.4 * u[0]) * (0.1, 1.0, 10.0, 100.0)[int(4 * u[1])]
        sigma, loading = 1.2e-4 * (1.0 + u[2]), 0.4 + 0.35 * u[3]
        instant, lag = 0.5 + 0.3 * u[4], 1.0 + 7.0 * u[5]
        rate, notional = 2.0 / (1.0 + 0.12 * (index - 3)), 300.0 + 900.0 * u[6]
        spread, gap, depth, interest = 1.0 + 2.5 * u[7], 1.6, 12.0, notional * 2.0e4
        if quiet:
            rate, sigma, loading, lag, spread, gap = 0.008, 1.0e-4, 0.3, 15.0, 6.0, 3.0
    price_decimals, tick_units, quantity_decimals = _scales(market.venue, index, price)
    symbol = coin if market.venue == "hyperliquid" else coin + "USDT"
    instrument = Instrument(market.venue, symbol, price_decimals, quantity_decimals)
    listing = Listing(instrument, coin, price, tick_units, quiet)
    rate *= market.activity
    mean_lots = max(4.0, notional / price * 10**quantity_decimals)
    spec = [0.0] * at.SPEC_WIDTH
    spec[at.SIGMA], spec[at.LOADING], spec[at.INSTANT], spec[at.LAG_S] = sigma, loading, instant, lag
    spec[at.RATE], spec[at.MEAN_LOTS], spec[at.DEPTH_LOTS] = rate, mean_lots, depth * mean_lots
    spec[at.SPREAD], spec[at.GAP], spec[at.TICK] = spread, gap, listing.tick
    spec[at.OPEN_INTEREST] = interest / price * 10**quantity_decimals
    spec[at.QUOTE_RATE] = 1.5 * rate + (0.3 if quiet else 2.0) * market.activity
    return listing, spec


def _scales(venue: str, index: int, price: float) -> tuple[int, int, int]:
    """price_decimals, tick in units of the last decimal, quantity_decimals, as the venue would set them."""
    exponent = next(e for e in range(6, -3, -1) if price >= 10.0**e)
    tick_decimals = max(0, 4 - exponent)  # five significant digits
    if venue == "hyperliquid":
        # Perpetuals print at most 6 - szDecimals decimals.
        quantity_decimals = (5, 4, 2)[index] if index < 3 else (1 if tick_decimals >= 4 else 2)
        price_decimals = 6 - quantity_decimals
        return price_decimals, 10 ** (price_decimals - tick_decimals), quantity_decimals
    if index < 3:
        return ((2, 10, 3), (2, 1, 3), (2, 1, 2))[index]
    return tick_decimals, 1, 1
