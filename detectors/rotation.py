"""Strength moves from the leader to those behind it, and from one sector to another, over bars of 15 minutes.

Of other symbols a rotation reads bars only. It is looked for once a bar, in the minute behind it, and is null in every
other minute.
"""

from __future__ import annotations

import numpy as np

from detectors.moves import side_of
from engine.core.detector import Detector, View
from engine.core.kernel import inlined, kernel
from engine.core.schema import NULL

BAR_MINUTES = 15
FOLLOWERS_MIN = 5
SECTORS_MIN, SECTOR_SYMBOLS_MIN = 3, 3
INTEREST_Z_MAX = 3.0
SIGMAS_PER_STRENGTH = 2.0  # half a sigma of the return is one half of strength


@inlined
def strength(bar):
    """What rs_score_m_5 is to a minute; null without return or volume. 0.0 is added so that no zero is negative."""
    score = 0.5 * bar.z_ret_abs * side_of(bar.ret) + 0.3 * bar.z_vol
    if bar.z_oi_roc == bar.z_oi_roc:
        score += 0.2 * side_of(bar.oi_roc) * min(abs(bar.z_oi_roc), INTEREST_Z_MAX)
    return score + 0.0 if bar.ret == bar.ret else np.nan


@kernel
def strengths(peers, bars, held, newest, out):
    """out: (bars, peers) strength, the newest bar last; NaN in all of them where one is missing or null."""
    count = out.shape[0]
    for i in range(peers.shape[0]):
        s, whole = peers[i], True
        for k in range(count):
            bar = newest - count + 1 + k
            place = bar % bars.shape[0]
            out[k, i] = strength(bars[place, s]) if held[place, s] == bar else np.nan
            whole = whole and out[k, i] == out[k, i]
        if not whole:
            out[:, i] = np.nan


def strengths_of(view: View, count: int) -> np.ndarray:
    """(count, peers) float64: of the newest `count` bars; NaN in all of them where one is missing or null."""
    found = np.empty((count, len(view.peers)))
    strengths(view.peers, view.bars_15m, view.bars_15m_held, view.minute // BAR_MINUTES - 1, found)
    return found


def middle(values: np.ndarray) -> float:
    """The median of values of which none is NaN."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half]) if len(values) % 2 else float(ordered[half - 1] + ordered[half]) / 2.0


def is_behind_a_bar(view: View) -> bool:
    """Whether the minute before this one was the last of a bar."""
    return view.minute % BAR_MINUTES == 0


def find_leader(view: View, threshold: float, out: np.ndarray) -> None:
    leader = int(view.market["leader"][0])
    if not is_behind_a_bar(view) or leader == NULL or leader not in view.members:
        return
    newest = view.minute // BAR_MINUTES - 1
    minutes = np.arange(newest - 2, newest + 1)
    places = minutes % len(view.bars_15m)
    if not np.array_equal(view.bars_15m_held[places, leader], minutes):
        return
    volume, move = (view.bars_15m[name][places, leader] for name in ("z_vol", "ret"))
    found = strengths_of(view, 3)[:, view.peers != leader]
    found = found[:, found[0] == found[0]]
    if found.shape[1] < FOLLOWERS_MIN or np.isnan(volume).any() or np.isnan(move).any():
        return
    oldest, between, now = (middle(of_bar) for of_bar in found)
    cools = volume[0] > volume[1] > volume[2] and move[0] > move[1] > move[2]
    out[leader]["measure"] = now - oldest
    out[leader]["is_met"] = int(cools and oldest < between < now)
    out[leader]["primary"] = volume[0] - volume[2]
    out[leader]["secondary"] = SIGMAS_PER_STRENGTH * (now - oldest)


def find_sector(view: View, threshold: float, out: np.ndarray) -> None:
    if not is_behind_a_bar(view) or not len(view.sectors) or not len(view.peers):
        return
    found, sectors = strengths_of(view, 2), view.sectors[view.peers]
    sectors = np.where(np.isnan(found[0]), -1, sectors)
    counts = np.bincount(sectors[sectors >= 0])
    numbers = np.flatnonzero(counts >= SECTOR_SYMBOLS_MIN)
    if len(numbers) < SECTORS_MIN:
        return
    before, now = (np.array([middle(of_bar[sectors == number]) for number in numbers]) for of_bar in found)
    ranks = np.argsort(-now, kind="stable")  # of equal ones the first
    old, new = int(np.argmax(before)), int(ranks[0])
    mine = np.flatnonzero(sectors == numbers[new])
    speaker = int(view.peers[mine[np.argmax(found[1, mine])]])
    if speaker not in view.members:
        return
    out[speaker]["measure"] = now[new] - now[ranks[1]]
    out[speaker]["is_met"] = int(old not in ranks[:2])
    out[speaker]["primary"] = SIGMAS_PER_STRENGTH * (now[new] - before[new])
    out[speaker]["secondary"] = SIGMAS_PER_STRENGTH * (before[old] - now[old])


STRENGTH = (
    "RS of a bar = 0.5 15m.z_ret_abs sign(15m.ret) + 0.3 15m.z_vol + 0.2 sign(15m.oi_roc) min(|15m.z_oi_roc|, 3), "
    "null if 15m.ret, 15m.z_ret_abs or 15m.z_vol is, a null 15m.z_oi_roc or 15m.oi_roc counts as 0. "
    "b is the bar that ends with t-1; there is one in minutes that open at :00, :15, :30 and :45, in all others the "
    "measure is null. The median of an even number is the mean of the middle two. "
)
BARS = ("15m.ret", "15m.z_ret_abs", "15m.z_vol", "15m.oi_roc", "15m.z_oi_roc")

DETECTORS = (
    Detector(
        id="rot_leader_v1", subtype="rot.leader_cooling_followers_hot_m_15", signal_class="rotation", threshold=0.5,
        unit="RS",
        trigger="M_b - M_(b-2) of the symbol market.leader, where M_(b-2) < M_(b-1) < M_b and of the leader 15m.z_vol "
        "and 15m.ret fall from b-2 to b-1 and again to b",
        primary="15m.z_vol of the leader at b-2 less that at b", secondary="2 (M_b - M_(b-2))",
        inputs=("market.leader", *BARS), minutes=3 * BAR_MINUTES + 1, cooldown_s=300, half_life_s=900,
        find=find_leader,
        source=STRENGTH + "M: median of RS over the symbols of the venue but the leader that have RS at b-2, b-1 and "
        "b; fewer than 5 of them, or a null 15m.z_vol or 15m.ret of the leader in one of the three: null.",
    ),
    Detector(
        id="rot_sector_v1", subtype="rot.rs_flip_sector_m_15", signal_class="rotation", threshold=0.5, unit="RS",
        trigger="X_b of the sector with the largest less X_b of the second, of the symbol of the first that has the "
        "largest RS at b, where the sector with the largest X_(b-1) is neither of the two",
        primary="2 (X_b - X_(b-1)) of the sector that leads at b",
        secondary="2 (X_(b-1) - X_b) of the sector that led at b-1",
        inputs=BARS, minutes=2 * BAR_MINUTES + 1, cooldown_s=300, half_life_s=900, find=find_sector,
        source=STRENGTH + "X: median of RS over the symbols of the venue and sector (core.signals.sectors) that have "
        "RS at b-1 and b, at least 3; fewer than 3 such sectors: null. "
        "Of equal sectors the first by name, of equal symbols likewise.",
    ),
)  # fmt: skip
