"""How often patterns come where there is nothing to find: `python -m bench.patterns [--seed N] [--symbols N] ...`.

A simulated market without episodes, its minutes without frames; the detectors that are off by default are asked about
every minute. The table is the one of docs/patterns.md, per symbol-day of minutes that are ok, warm and liquid.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from bench.simulated import Belt
from detectors.stage import blank, view_of
from detectors.table import TABLE
from engine.context import stage as context
from engine.core.detector import FINDING
from engine.core.digest import make_canonical
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import Status
from engine.features import stage as features
from replay.simulate import Market

MONDAY_NS = 28_935_360 * NS_PER_MINUTE  # 2025-01-06 00:00 UTC
OI_STALE_MS = 20_000
MINUTES_PER_DAY = 1_440
PATTERNS = tuple(detector for detector in TABLE if not detector.is_core)
THRESHOLDS = np.array([detector.threshold for detector in PATTERNS])


def findings_of(market: Market, left_out: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """FINDING (patterns, symbols) of each minute behind the first `left_out`, and (symbols,) bool: who counts."""
    belt = Belt(market)
    state, members, count = belt.state, belt.members, len(belt.members)
    found, sectors = np.zeros((len(PATTERNS), count), FINDING), np.full(count, -1)
    for minute, rows in belt.rows():
        features.compute(state, members, minute, OI_STALE_MS)
        row = context.compute(state, 0, members, minute, belt.roster)
        if minute - belt.first_minute >= left_out:
            view = view_of(state, members, minute, row, belt.roster.order, sectors)
            blank(members, len(PATTERNS), found)
            for place, detector in enumerate(PATTERNS):
                detector.find(view, detector.threshold, found[place])
            mine = rows[:count]
            liquid = (mine["is_warming_up"] == 0) & (mine["illiquidity_hit"] == 0)
            yield found, liquid & (mine["dq_status"] == Status.OK)
        closed = rows[:count].copy()
        make_canonical(closed)
        state.remember(minute, members, closed)
        features.settle(state, belt.roster.order, minute - 1)
        context.settle(state, 0, minute - 1, belt.roster)


def count_of(found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(patterns, 3) int64, of who counts: shapes with a measure above 0, triggers, those with their precondition."""
    shapes = counts & (found["is_met"] == 1) & (found["measure"] > 0.0)
    triggers = shapes & (found["measure"] >= THRESHOLDS[:, None])
    return np.stack([kind.sum(axis=1) for kind in (shapes, triggers, triggers & (found["is_allowed"] == 1))], axis=1)


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.patterns", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--seed", type=int, default=303)
    asked.add_argument("--symbols", type=int, default=48)
    asked.add_argument("--minutes", type=int, default=3_040)
    asked.add_argument("--left-out", type=int, default=1_600, help="minutes at the start that are not counted")
    asked.add_argument("--without-information", action="store_true", help="order flow says nothing of the price")
    told = asked.parse_args()
    market = Market(
        seed=told.seed, symbols=told.symbols, minutes=told.minutes, episodes="none", activity=0.5,
        information=not told.without_information, first_minute_ns=MONDAY_NS,
    )  # fmt: skip
    total, minutes = np.zeros((len(PATTERNS), 3), np.int64), 0
    for found, counts in findings_of(market, told.left_out):
        total += count_of(found, counts)
        minutes += int(counts.sum())
    days = minutes / MINUTES_PER_DAY
    print(f"{days:.1f} symbol-days\n\n| detector | threshold | shape | triggers | allowed |\n|---|---|---|---|---|")
    for detector, line in zip(PATTERNS, total / max(days, 1e-9), strict=True):
        print(f"| {detector.id} | {detector.threshold:g} | " + " | ".join(f"{one:.2f}" for one in line) + " |")


if __name__ == "__main__":
    main()
