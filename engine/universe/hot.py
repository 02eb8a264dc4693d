"""Signals that put their symbol on the hotlist."""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.effects import Effect, Signal
from engine.universe.stage import Universe

ALWAYS = ("shift_basis_v1", "spike_liq_v1")  # whatever their severity (domain 11)


def make_hot(universe: Universe, venue: int, signals: Sequence[Signal], severity_min: int) -> list[Effect]:
    """What follows from the signals of one reading of a venue's minute. A pinned symbol stays anyway."""
    why: dict[int, str] = {}
    for signal in signals:
        place = universe.names.place(venue, signal.symbol)
        if place < 0 or universe.candidates[place]["pinned"]:
            continue
        if signal.severity >= severity_min or signal.detector in ALWAYS:
            why |= universe.heat(place, signal.severity)
    return universe.settle(venue, why) if why else []
