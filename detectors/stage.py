"""The stage `detectors`: every detector is asked about every symbol of a venue's minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.core.detector import View
from engine.core.instruments import is_of_coin
from engine.core.kernel import kernel
from engine.core.pack import Pack
from engine.core.state import EngineState


@kernel
def blank(members, detectors, findings):
    """Nothing is found yet: null, nothing met, allowed, no direction."""
    for d in range(detectors):
        for i in range(members.shape[0]):
            found = findings[d, members[i]]
            found.measure = found.primary = found.secondary = np.nan
            found.is_met, found.is_allowed, found.direction = 0, 1, 0


class Sectors:
    """The sector of each symbol, made anew when symbols or settings have changed."""

    def __init__(self) -> None:
        self.symbols = 0  # known when they were made
        self.settings: Mapping[str, str] = {}
        self.numbers = np.zeros(0, np.int64)

    def of(self, names: Sequence[str], settings: Mapping[str, str]) -> np.ndarray:
        """(symbols,) int64: place of a symbol's sector among those of the settings, by name; -1: none.

        settings: coin -> sector. A symbol that could be of two coins is of the one with the longer name.
        """
        if self.symbols != len(names) or self.settings != settings:
            places = {sector: place for place, sector in enumerate(sorted(dict.fromkeys(settings.values())))}
            coins = sorted(settings, key=lambda coin: (-len(coin), coin))
            found = [next((places[settings[coin]] for coin in coins if is_of_coin(name, coin)), -1) for name in names]
            self.numbers = np.array(found, np.int64)
            self.symbols, self.settings = len(names), settings
        return self.numbers


def view_of(
    state: EngineState, members: np.ndarray, minute: int, market: np.ndarray, peers: np.ndarray, sectors: np.ndarray
) -> View:
    """What detectors may read of this minute."""
    bars, venue = state.rings["rollups_15m"], int(state.tape.symbols["venue"][members[0]]) if len(members) else 0
    return View(
        minute, members, state.bars.rows, market, state.history.rows, state.history.held, state.features.ring,
        state.features.newest, bars.rows, bars.held, peers, sectors, state.market.rows[venue],
        state.market.minutes[venue],
    )  # fmt: skip


def look(
    state: EngineState, members: np.ndarray, minute: int, market: np.ndarray, peers: np.ndarray, sectors: np.ndarray,
    pack: Pack,
) -> list[tuple[str, str]]:  # fmt: skip
    """Write the findings of the minute. Returns (detector, reason) of those that failed now and are quarantined.

    members: (n,) symbols by name. market: MARKET (1,) of the venue. peers, sectors: as View has them.
    """
    findings, quarantined = state.signal_room.findings, state.signals.quarantined
    view, failed = view_of(state, members, minute, market, peers, sectors), []
    blank(members, len(pack.table), findings)
    for place, detector in enumerate(pack.table):
        if not pack.rules["runs"][place] or quarantined[place]:
            continue
        try:
            detector.find(view, float(pack.rules["threshold"][place, 0]), findings[place])
        except Exception as error:
            quarantined[place] = 1
            blank(members, 1, findings[place : place + 1])
            failed.append((detector.id, f"{type(error).__name__}: {error}"))
    return failed
