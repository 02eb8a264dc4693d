"""Which symbol's returns came before another's: looked for at each full hour, used during the next one.

The tests of one venue are one family, so the false discovery rate holds for all of them (Benjamini & Hochberg 1995).
"""

from __future__ import annotations

import numpy as np

from engine.core.detmath import exp, log
from engine.core.feature_state import LOG_RETURN, RECENT, VOLUME
from engine.core.kernel import inlined, kernel
from engine.core.ridge import decay_model, fit, learn
from engine.core.state import EngineState
from engine.features.inputs import write

WINDOW = 240
LAGS = 5
CANDIDATES = 8
PAIRS_MIN = 180
FALSE_DISCOVERIES = 0.05
WIDTH = LAGS + 1


@kernel
def forget_absent(members, minute, newest, ring):
    """Symbols without a row up to `minute` have nothing in the minutes since: an older lap of the ring stands there."""
    for i in range(members.shape[0]):
        s = members[i]
        for m in range(max(newest[s] + 1, minute - RECENT + 1), minute + 1):
            write(ring[s, LOG_RETURN], m % RECENT, np.nan)
            write(ring[s, VOLUME], m % RECENT, np.nan)


@kernel
def sum_volumes(members, place, ring, volumes):
    """Quote volume of each member over the window that ends at `place`."""
    for i in range(members.shape[0]):
        total = 0.0
        for k in range(place - WINDOW + 1, place + 1):
            value = ring[members[i], VOLUME, k]
            if value == value:
                total += value
        volumes[i] = total


@inlined
def correlation(follower, leader, first, last, lag):
    """(rho, pairs) of follower[v] and leader[v - lag] over v = first..last-1; rho is NaN where one does not vary."""
    pairs, follower_sum, leader_sum = 0, 0.0, 0.0
    for v in range(first, last):
        if follower[v] == follower[v] and leader[v - lag] == leader[v - lag]:
            pairs += 1
            follower_sum += follower[v]
            leader_sum += leader[v - lag]
    if pairs < PAIRS_MIN:
        return np.nan, pairs
    follower_mean, leader_mean = follower_sum / float(pairs), leader_sum / float(pairs)
    both, own, other = 0.0, 0.0, 0.0
    for v in range(first, last):
        if follower[v] == follower[v] and leader[v - lag] == leader[v - lag]:
            x, y = follower[v] - follower_mean, leader[v - lag] - leader_mean
            both += x * y
            own += x * x
            other += y * y
    if own == 0.0 or other == 0.0:
        return np.nan, pairs
    return both / np.sqrt(own * other), pairs


@kernel
def test_lags(members, candidates, place, ring, rhos, chances):
    """Fill rhos and chances, (members, candidates, LAGS): correlation and a bound of its p value; NaN: not tested."""
    first, last = place - WINDOW + 1, place + 1
    for i in range(members.shape[0]):
        others = 0
        for c in range(candidates.shape[0]):
            others += candidates[c] != members[i]
            for lag in range(1, LAGS + 1):
                rhos[i, c, lag - 1] = chances[i, c, lag - 1] = np.nan
                if candidates[c] == members[i] or others > CANDIDATES:
                    continue
                rho, pairs = correlation(
                    ring[members[i], LOG_RETURN], ring[candidates[c], LOG_RETURN], first, last, lag
                )
                rhos[i, c, lag - 1] = rho
                if abs(rho) < 1.0:
                    doubled = log(1.0 + rho) - log(1.0 - rho)
                    chances[i, c, lag - 1] = exp(-0.125 * doubled * doubled * float(pairs - 3))
                elif rho == rho:
                    chances[i, c, lag - 1] = 0.0


@kernel
def fit_leaders(members, candidates, place, largest, ring, rhos, chances, leaders, model, x, room):
    """Choose each member's peer among the tests whose chance is at most `largest`, and fit its weights."""
    first, last = place - WINDOW + 1, place + 1
    for i in range(members.shape[0]):
        leader = leaders[members[i]]
        leader.peer = -1
        best, strongest = -1, 0.0
        for c in range(candidates.shape[0]):
            for k in range(LAGS):
                if chances[i, c, k] <= largest and abs(rhos[i, c, k]) > strongest:
                    best, strongest = c, abs(rhos[i, c, k])
        if best < 0:
            continue
        own, other = ring[members[i], LOG_RETURN], ring[candidates[best], LOG_RETURN]
        model.steps, model.total = 0, 0.0
        for k in range(WIDTH):
            model.xy[k] = 0.0
            for j in range(WIDTH):
                model.xx[k * WIDTH + j] = 0.0
        for v in range(first, last):
            x[0] = 1.0
            whole = own[v] == own[v]
            for lag in range(1, LAGS + 1):
                x[lag] = other[v - lag]
                whole = whole and x[lag] == x[lag]
            if whole:
                decay_model(model, 1.0, WIDTH)
                learn(model, x, own[v], 1.0, WIDTH)
        if model.steps < PAIRS_MIN:
            continue
        fit(model, WIDTH, room)
        if model.fitted:
            leader.peer = candidates[best]
            for k in range(WIDTH):
                leader.weights[k] = model.weights[k]


def largest_chance(chances: np.ndarray) -> float:
    """The largest chance that Benjamini & Hochberg let pass; -1.0: none does."""
    tested = np.sort(chances[~np.isnan(chances)])
    bounds = FALSE_DISCOVERIES * np.arange(1, len(tested) + 1) / len(tested) if len(tested) else tested
    passing = np.flatnonzero(tested <= bounds)
    return float(tested[passing[-1]]) if len(passing) else -1.0


def find_leaders(state: EngineState, members: np.ndarray, minute: int) -> None:
    """Look for the leader of every member over the 240 minutes up to `minute`. members: a venue's, by name."""
    own = state.features
    place = minute % RECENT + RECENT
    volumes = np.zeros(len(members))
    forget_absent(members, minute, own.newest, own.ring)
    sum_volumes(members, place, own.ring, volumes)
    candidates = members[np.argsort(-volumes, kind="stable")[: CANDIDATES + 1]]
    rhos = np.empty((len(members), len(candidates), LAGS))
    chances = np.empty_like(rhos)
    test_lags(members, candidates, place, own.ring, rhos, chances)
    fit_leaders(
        members, candidates, place, largest_chance(chances), own.ring, rhos, chances, own.leaders, own.leader_model[0],
        own.observation, own.equations,
    )  # fmt: skip


@inlined
def predict_from_leader(leader, minute, newest, ring, place):
    """The log return that the peer's last five lead to; NaN without a peer, or where one of them is missing."""
    if leader.peer < 0 or newest[leader.peer] < minute - 1:
        return np.nan
    total = leader.weights[0]
    for lag in range(1, LAGS + 1):
        total += leader.weights[lag] * ring[leader.peer, LOG_RETURN, place - lag]
    return total
