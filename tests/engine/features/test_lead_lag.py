"""Who leads whom: planted, and not where there is nothing to find."""

from __future__ import annotations

import numpy as np

from config.schema import Limits
from engine.core.feature_state import LOG_RETURN, RECENT, VOLUME, make_features
from engine.core.kernel import kernel
from engine.features.lead_lag import find_leaders, largest_chance, predict_from_leader

MINUTE = 10 * RECENT + 239


class State:
    """As much of an engine as the search reads."""

    def __init__(self, returns: np.ndarray, volumes: list[float]) -> None:
        self.features = make_features(Limits(symbols_max=len(volumes)))
        self.features.newest[:] = MINUTE
        for s, volume in enumerate(volumes):
            for k, value in enumerate(returns[s]):
                place = (MINUTE - 249 + k) % RECENT
                self.features.ring[s, LOG_RETURN, [place, place + RECENT]] = value
                self.features.ring[s, VOLUME, [place, place + RECENT]] = volume


@kernel
def predicted(leaders, symbol, minute, newest, ring):
    return predict_from_leader(leaders[symbol], minute, newest, ring[0], minute % RECENT + RECENT)


def noise(symbols: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1e-3, (symbols, 250))


def test_who_follows_two_minutes_later_is_found_with_its_lag():
    returns = noise(4, seed=1)
    returns[2, 2:] = 0.5 * returns[0, :-2] + 0.5 * returns[2, 2:]
    state = State(returns, [4.0, 3.0, 2.0, 1.0])
    find_leaders(state, np.arange(4), MINUTE)
    assert state.features.leaders["peer"].tolist() == [-1, -1, 0, -1]
    weights = state.features.leaders["weights"][2]
    assert np.argmax(np.abs(weights[1:])) == 1  # lag 2
    assert 0.35 < weights[2] < 0.6  # 0.5, shrunk by a penalty of a tenth


def test_noise_leads_nobody():
    found = 0
    for seed in range(20):
        state = State(noise(5, seed), [1.0] * 5)
        find_leaders(state, np.arange(5), MINUTE)
        found += int((state.features.leaders["peer"] >= 0).sum())
    assert found <= 5  # of 100: false discoveries are at most one family in twenty


def test_one_symbol_alone_has_no_leader():
    state = State(noise(1, seed=3), [1.0])
    find_leaders(state, np.arange(1), MINUTE)
    assert state.features.leaders["peer"].tolist() == [-1]


def test_the_bound_of_benjamini_and_hochberg_by_head():
    chances = np.array([0.04, 0.01, 0.9, np.nan, 0.02])  # bounds 0.0125, 0.025, 0.0375, 0.05 of the sorted four
    assert largest_chance(chances) == 0.02
    assert largest_chance(np.array([0.5, np.nan])) == -1.0
    assert largest_chance(np.array([np.nan])) == -1.0


def test_a_peer_without_a_row_in_the_last_minute_predicts_nothing():
    state = State(np.array([[1e-3] * 250, [0.0] * 250]), [2.0, 1.0])
    state.features.leaders["peer"] = [-1, 0]
    state.features.leaders["weights"][1] = [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    ring, newest = state.features.ring[np.newaxis], state.features.newest
    assert predicted(state.features.leaders, 1, MINUTE, newest, ring) == 5e-3
    assert np.isnan(predicted(state.features.leaders, 1, MINUTE + 2, newest, ring)), "an older lap stands there"
    assert np.isnan(predicted(state.features.leaders, 0, MINUTE, newest, ring)), "who has no peer"


def test_who_has_been_away_leads_nobody():
    """What stands at the places of the minutes it missed is 512 minutes old."""
    returns = noise(2, seed=1)
    returns[1, 1:] = returns[0, :-1]
    here, away = State(returns, [4.0, 3.0]), State(returns, [4.0, 3.0])
    away.features.newest[0] = MINUTE - 100
    for state in (here, away):
        find_leaders(state, np.arange(2), MINUTE)
    assert here.features.leaders["peer"][1] == 0
    assert away.features.leaders["peer"].tolist() == [-1, -1]
