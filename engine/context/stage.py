"""The context stage: the market row of a venue's minute, and what it teaches once it is final."""

from __future__ import annotations

import numpy as np

from engine.context.breadth import find_breadth, learn_breadth
from engine.context.correlation import correlate
from engine.context.cross_section import (
    begin_exposures,
    expose,
    fit_if_taught,
    learn_cross_section,
    learn_from_breadth,
    write_breadth,
    write_cross_section,
)
from engine.context.market import elect, find_leader, find_middle
from engine.context.regimes import judge_regimes, learn_levels
from engine.context.roster import Roster
from engine.context.strength import gather
from engine.core.digest import make_words_canonical
from engine.core.market import MARKET, MARKET_REALS
from engine.core.market_state import MARKET_MINUTES
from engine.core.state import EngineState

MINUTES_PER_HOUR = 60


def compute(state: EngineState, venue: int, members: np.ndarray, minute: int, roster: Roster) -> np.ndarray:
    """Write the columns of the stage into the rows of `minute`, and make the market row of the venue.

    members: symbols whose rows are new, at the first close all, in a revision within grace those it revises; the market
    row is made of the newest row of every symbol. Returns MARKET (1,), a view.
    """
    own, room, slot = state.market, state.market_room, minute % MARKET_MINUTES
    gather(members, minute, state.bars.rows, state.features.ring, own.seen, own.seen_minutes, own.excluded)
    row = own.rows[venue, slot]
    own.minutes[venue, slot] = minute
    count = elect(roster.order, minute, own.seen, own.seen_minutes, own.excluded, room.chosen, row)
    chosen = room.chosen[:count]
    find_leader(chosen, roster.majors, own.seen, room.values, room.places, row)
    find_middle(chosen, own.seen, room.values, room.places, row)
    find_breadth(chosen, own.seen, own.moments[venue], room.values, row)
    venue_residuals(state, venue, members, chosen, minute)
    correlate(chosen, minute, state.features.ring, room.gram, room.vectors, row)
    judge_regimes(chosen, minute, own.seen, own.counts[venue], own.ordered[venue], row)
    made = own.rows[venue, slot : slot + 1]
    make_words_canonical(words_of(made), MARKET_REALS)
    return made


def venue_residuals(state: EngineState, venue: int, members: np.ndarray, chosen: np.ndarray, minute: int) -> None:
    """cross_sectional of the members, breadth_mode of the market row."""
    own, room = state.market, state.market_room
    begin_exposures(members, minute, own.exposed_newest, own.exposed_turn, own.exposed_minutes, own.exposures)
    expose(chosen, own.seen, room.values, room.places, room.ranks[0], room.ranks[1], own.exposed_turn, own.exposures)
    write_cross_section(members, state.bars.rows, own.ridges[venue, 0], own.exposed_turn, own.exposures, own.errors)
    if own.breadth_newest[venue] != minute:
        own.breadth_newest[venue] = minute
        own.breadth_turn[venue] ^= 1
    before = (minute - 1) % MARKET_MINUTES
    now = int(own.breadth_turn[venue])
    write_breadth(
        own.rows[venue, minute % MARKET_MINUTES], own.rows[venue, before], own.minutes[venue, before] == minute - 1,
        own.ridges[venue, 1], own.breadth_errors[venue, now ^ 1], own.breadth_errors[venue, now], room.observation,
    )  # fmt: skip


def words_of(made: np.ndarray) -> np.ndarray:
    """(rows, words) int64 of market rows: the same memory."""
    return made.view(np.int64).reshape(len(made), MARKET.itemsize // 8)


def settle(state: EngineState, venue: int, minute: int, roster: Roster) -> None:
    """Upkeep at the end of grace of the minute after `minute`: what its final market row teaches."""
    own, slot = state.market, minute % MARKET_MINUTES
    if own.minutes[venue, slot] == minute:
        row, before = own.rows[venue, slot], (minute - 1) % MARKET_MINUTES
        learn_breadth(row, own.moments[venue])
        learn_levels(minute, row, own.counts[venue], own.arrivals[venue], own.ordered[venue])
        returns, breadth = own.ridges[venue, 0], own.ridges[venue, 1]
        learn_cross_section(roster.order, minute, row["eligible_count"], returns, own.exposed_minutes, own.exposures)
        if own.minutes[venue, before] == minute - 1:
            learn_from_breadth(row, own.rows[venue, before], breadth, state.market_room.observation)
    if (minute + 1) % MINUTES_PER_HOUR == 0:
        fit_if_taught(own.ridges[venue, 0], state.market_room.equations)
        fit_if_taught(own.ridges[venue, 1], state.market_room.equations)
