"""The context stage: the market row of a venue's minute, and what it teaches once it is final."""

from __future__ import annotations

import numpy as np

from engine.context.breadth import find_breadth, learn_breadth
from engine.context.correlation import correlate
from engine.context.market import elect, find_leader, find_middle
from engine.context.regimes import judge_regimes, learn_levels
from engine.context.roster import Roster
from engine.context.strength import gather
from engine.core.digest import make_words_canonical
from engine.core.layouts import SLOTS
from engine.core.market import MARKET, MARKET_REALS
from engine.core.state import EngineState


def compute(state: EngineState, venue: int, members: np.ndarray, minute: int, roster: Roster) -> np.ndarray:
    """Write the columns of the stage into the rows of `minute`, and make the market row of the venue.

    members: symbols whose rows are new, at the first close all, in a revision within grace those it revises; the market
    row is made of the newest row of every symbol. Returns MARKET (1,), a view.
    """
    own, room, slot = state.market, state.market_room, minute % SLOTS
    gather(members, minute, state.bars.rows, state.features.ring, own.seen, own.seen_minutes, own.excluded)
    row = own.rows[venue, slot]
    own.minutes[venue, slot] = minute
    count = elect(roster.order, minute, own.seen, own.seen_minutes, own.excluded, room.chosen, row)
    chosen = room.chosen[:count]
    find_leader(chosen, roster.majors, own.seen, room.values, room.places, row)
    find_middle(chosen, own.seen, room.values, room.places, row)
    find_breadth(chosen, own.seen, own.moments[venue], room.values, row)
    correlate(chosen, minute, state.features.ring, room.gram, room.vectors, row)
    judge_regimes(chosen, minute, own.seen, own.counts[venue], own.ordered[venue], row)
    made = own.rows[venue, slot : slot + 1]
    make_words_canonical(words_of(made), MARKET_REALS)
    return made


def words_of(made: np.ndarray) -> np.ndarray:
    """(rows, words) int64 of market rows: the same memory."""
    return made.view(np.int64).reshape(len(made), MARKET.itemsize // 8)


def settle(state: EngineState, venue: int, minute: int) -> None:
    """Upkeep at the end of grace of the minute after `minute`: what its final market row teaches."""
    own, slot = state.market, minute % SLOTS
    if own.minutes[venue, slot] != minute:
        return
    row = own.rows[venue, slot]
    learn_breadth(row, own.moments[venue])
    learn_levels(minute, row, own.counts[venue], own.arrivals[venue], own.ordered[venue])
