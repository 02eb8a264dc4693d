"""Mean and spread of every z over simulated days: `python -m bench.drift [--minutes N] [--market 0|1|2] [--seed N]`.

The promise is |mean| <= 0.2 and a standard deviation within 0.8 and 1.2 for every normalised column of every liquid
symbol after warm-up. The market's events are made into the columns that bars would write (frames and tape are left
out: a week takes minutes, not hours), and the feature stage itself does the rest. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.simulated import MONDAY_NS, Belt
from engine.commands.drift import COLUMNS, keeps
from engine.features import stage
from replay.simulate import Market
from replay.simulate.market import listings

LIQUID_TRADES = 5.0  # a minute; the simulated market has quiet symbols, which are not
MARKETS = (  # heavy tails and a season in all, episodes of every kind in the first
    Market(seed=7, symbols=4, activity=0.5, first_minute_ns=MONDAY_NS),
    Market(seed=11, symbols=3, information=False, episodes="none", first_minute_ns=MONDAY_NS),
    Market(seed=23, symbols=6, venue="binance_usdm", episodes="none", activity=0.2, first_minute_ns=MONDAY_NS),
)


def rows_of(market: Market) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(minute, rows (symbols,) behind the feature stage, trades of each) of every full minute."""
    belt = Belt(market)
    for minute, rows in belt.rows():
        stage.compute(belt.state, belt.members, minute, oi_stale_ms=20_000)
        belt.state.remember(minute, belt.members, rows)
        stage.settle(belt.state, belt.members, minute - 1)
        yield minute, rows, np.maximum(rows["trade_count"], 0)


def drift(market: Market) -> list[dict[str, Any]]:
    """Of every liquid symbol and z column: values, mean, deviation, and whether they keep the promise."""
    listed, _ = listings(market)
    told: list[np.ndarray] = []
    trades = np.zeros(len(listed))
    for _, rows, counts in rows_of(market):
        told.append(np.stack([rows[name] for name in COLUMNS], axis=1))
        trades += counts
    found = []
    for s, listing in enumerate(listed):
        if trades[s] < LIQUID_TRADES * len(told):
            continue
        for column, z in zip(COLUMNS, np.array([minute[s] for minute in told]).T, strict=True):
            z = z[~np.isnan(z)]
            if not len(z):
                continue
            mean, deviation = float(z.mean()), float(z.std())
            found.append({
                "seed": market.seed, "symbol": listing.instrument.symbol, "column": column, "values": len(z),
                "mean": round(mean, 3), "deviation": round(deviation, 3), "kept": keeps(mean, deviation),
            })  # fmt: skip
    return found


def worst(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each column over all symbols: the largest |mean|, the least and the largest deviation."""
    return {
        column: {
            "mean": max(abs(one["mean"]) for one in mine), "least": min(one["deviation"] for one in mine),
            "largest": max(one["deviation"] for one in mine), "symbols": len(mine),
        }
        for column in COLUMNS if (mine := [one for one in found if one["column"] == column])
    }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.drift", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--minutes", type=int, default=10_080)
    asked.add_argument("--market", type=int, choices=range(len(MARKETS)), help="only this one; default: all, in turn")
    asked.add_argument("--seed", type=int, help="instead of each market's own, on which the recipe was chosen")
    told = asked.parse_args()
    chosen = MARKETS if told.market is None else MARKETS[told.market : told.market + 1]
    if told.seed is not None:
        chosen = tuple(replace(market, seed=told.seed) for market in chosen)
    found = [line for market in chosen for line in drift(replace(market, minutes=told.minutes))]
    print(json.dumps({"worst": worst(found), "broken": [line for line in found if not line["kept"]], "all": found}))


if __name__ == "__main__":
    main()
