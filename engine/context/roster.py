"""A venue's symbols by name: the order in which the market takes them, so that no other order decides anything."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.core.instruments import is_of_coin
from engine.core.registry import Registry

BTC, ETH = 1, 2
MAJORS = {"BTC": BTC, "ETH": ETH}


class Roster(NamedTuple):
    order: np.ndarray  # (symbols of the venue,) int64: their indices, by name
    majors: np.ndarray  # (symbols of the engine,) int64: BTC, ETH, or 0


def major_of(name: str) -> int:
    """BTC or ETH if a symbol's name says that this is its base: `BTC`, `BTCUSDT`, `BTC-PERP`; else 0."""
    return next((number for coin, number in MAJORS.items() if is_of_coin(name, coin)), 0)


class Rosters:
    """The roster of each venue, made anew when symbols were added."""

    def __init__(self) -> None:
        self.symbols = 0  # known when they were made
        self.made: dict[int, Roster] = {}  # by index of the venue

    def of(self, venue: int, registry: Registry) -> Roster:
        if len(registry.names) != self.symbols:
            self.symbols = len(registry.names)
            self.made.clear()
        if venue not in self.made:
            name = registry.venues[venue]
            mine = [(one.symbol, i) for i, one in enumerate(registry.instruments) if one.venue == name]
            order = np.array([i for _, i in sorted(mine)], np.int64)
            self.made[venue] = Roster(order, np.array([major_of(one) for one in registry.names], np.int64))
        return self.made[venue]
