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

from config.schema import Core, Limits
from engine.conveyor import Conveyor
from engine.core.feature_columns import BASELINES
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MINUTE, NS_PER_MS
from engine.core.schema import NULL, ROW, OhlcSource, Status
from engine.core.wide import from_int
from engine.features import stage
from replay.simulate import Market
from replay.simulate import layout as at
from replay.simulate.market import LEAD_IN_NS, Listing, listings
from replay.simulate.session import events_of_minutes

MEAN_MOST, DEVIATION_LEAST, DEVIATION_MOST = 0.2, 0.8, 1.2
LIQUID_TRADES = 5.0  # a minute; the simulated market has quiet symbols, which are not
MONDAY_NS = 1_736_121_600 * 10**9  # 2025-01-06 00:00 UTC
MARKETS = (  # heavy tails and a season in all, episodes of every kind in the first
    Market(seed=7, symbols=4, activity=0.5, first_minute_ns=MONDAY_NS),
    Market(seed=11, symbols=3, information=False, episodes="none", first_minute_ns=MONDAY_NS),
    Market(seed=23, symbols=6, venue="binance_usdm", episodes="none", activity=0.2, first_minute_ns=MONDAY_NS),
)
COLUMNS = tuple(f"z_{name}{suffix}" for name, _, _, suffix in BASELINES)


class Minutes:
    """The events of one symbol, cut into minutes."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.waiting = np.zeros((0, at.EVENT_WIDTH), np.int64)
        self.touch: tuple[int, int] | None = None  # best bid and ask in force, in ticks
        self.context: np.ndarray | None = None

    def take(self, begin_ms: int, end_ms: int) -> np.ndarray:
        """Events before end_ms that were not taken; those before begin_ms only for what is in force then."""
        before = self.waiting[:, at.TIME] < end_ms
        taken, self.waiting = self.waiting[before], self.waiting[~before]
        contexts = taken[taken[:, at.KIND] == at.CONTEXT]
        if len(contexts):
            self.context = contexts[-1]
        early = taken[(taken[:, at.TIME] < begin_ms) & (taken[:, at.KIND] == at.QUOTE)]
        if len(early):
            self.touch = int(early[-1, at.Q_BID]), int(early[-1, at.Q_ASK])
        return taken[taken[:, at.TIME] >= begin_ms]

    def write(self, begin_ms: int, row: Any, quotes: Any, path: Any) -> int:
        """Make the columns that the baselines need of one minute; how many trades it had."""
        listing, end_ms = self.listing, begin_ms + MS_PER_MINUTE
        events = self.take(begin_ms, end_ms)
        told = events[events[:, at.KIND] == at.QUOTE]
        times, bids, asks = told[:, at.TIME], told[:, at.Q_BID], told[:, at.Q_ASK]
        if self.touch is not None:
            bid, ask = self.touch
            times, bids, asks = np.append(begin_ms, times), np.append(bid, bids), np.append(ask, asks)
        if not len(times):
            row["dq_status"] = Status.STALE
            return 0
        self.touch = int(bids[-1]), int(asks[-1])
        units = listing.tick_units
        spreads, doubled = (asks - bids) * units, (asks + bids) * units
        held_ms = np.diff(np.append(times, end_ms))
        row["dq_status"], row["ohlc_source"] = Status.OK, OhlcSource.MID
        row["mid_close"] = row["close"] = 5 * int(doubled[-1])
        row["open"], row["high"], row["low"] = 5 * int(doubled[0]), 5 * int(doubled.max()), 5 * int(doubled.min())
        row["mid_open"] = row["open"]
        row["spread_mean"] = (held_ms * spreads).sum() / held_ms.sum() / 10.0**listing.instrument.price_decimals
        row["spread_bp_mean"] = (held_ms * 2e4 * spreads / doubled).sum() / held_ms.sum()
        points = np.searchsorted(times, begin_ms + 1_000 * np.arange(1, 61)) - 1
        seen = np.flatnonzero(points >= 0)
        for run, k in enumerate(seen.tolist()):
            path[run]["end"], path[run]["mid"], path[run]["spread"] = k + 1, doubled[points[k]], spreads[points[k]]
        quotes["path_runs"] = quotes["path_points"] = row["mid_path_points"] = len(seen)
        quotes["mid_open"] = int(doubled[0])
        row["quote_count"] = len(told)
        trades = events[events[:, at.KIND] == at.TRADE]
        values = trades[:, at.PRICE] * units * trades[:, at.LOTS]
        for name, total in (("quote_volume", values), ("taker_buy_quote_volume", values[trades[:, at.SIGN] > 0])):
            row[f"{name}_hi"], row[f"{name}_lo"] = from_int(int(total.sum()))
        row["trade_count"] = len(trades)
        if self.context is not None:
            row["oi_close"] = self.context[at.INTEREST_LOTS] / 10.0**listing.instrument.quantity_decimals
            row["oi_staleness_ms"] = 0
            row["mark_price"], row["index_price"] = self.context[at.MARK] / 1e8, self.context[at.INDEX] / 1e8
        return len(trades)


def rows_of(market: Market) -> Iterator[tuple[int, np.ndarray, list[int]]]:
    """(minute, rows (symbols,) behind the feature stage, trades of each) of every full minute."""
    listed, _ = listings(market)
    conveyor = Conveyor()
    conveyor.configure(Core(limits=Limits(symbols_max=len(listed))))
    state = conveyor.state
    assert state is not None
    for symbol, listing in zip(state.tape.symbols, listed, strict=True):
        symbol["venue"], symbol["active"], symbol["contract_size"] = 0, 1, 1
        symbol["price_decimals"] = listing.instrument.price_decimals
        symbol["quantity_decimals"] = listing.instrument.quantity_decimals
    members, rows = np.arange(len(listed)), state.bars.rows
    blank = np.array(tuple(np.nan if ROW[name].kind == "f" else NULL for name in ROW.names or ()), ROW)
    made = [Minutes(listing) for listing in listed]
    first, lead_ms, done = market.first_minute_ns // NS_PER_MINUTE, LEAD_IN_NS // NS_PER_MS, 0
    for end_ns, parts in events_of_minutes(market):
        for events in parts:
            if len(events):
                one = made[int(events[0, at.SYMBOL])]
                one.waiting = np.concatenate([one.waiting, events])
        while done < market.minutes and market.first_minute_ns + (done + 1) * NS_PER_MINUTE <= end_ns:
            minute, begin_ms = first + done, lead_ms + done * MS_PER_MINUTE
            rows[:] = blank
            state.bars.quote_sums[:, minute & 3]["minute"] = minute
            trades = [
                one.write(begin_ms, rows[s], state.bars.quote_sums[s, minute & 3], state.bars.mid_paths[s, minute & 3])
                for s, one in enumerate(made)
            ]
            stage.compute(state, members, minute, oi_stale_ms=20_000)
            state.remember(minute, members, rows)
            stage.settle(state, members, minute - 1)
            yield minute, rows, trades
            done += 1


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


def keeps(mean: float, deviation: float) -> bool:
    return abs(mean) <= MEAN_MOST and DEVIATION_LEAST <= deviation <= DEVIATION_MOST


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
