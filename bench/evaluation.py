"""The detectors on simulated weeks: `python -m bench.evaluation --days 30 --symbols 50 --seed 101 --html report.html`.

The market's events are folded into minutes (bench/simulated.py) and go through features, context, detectors and gates,
as the engine calls them at a close. Each week is a market of its own seed and begins cold. Of every symbol each day has
TRUE_PER_DAY episodes and as many decoys, the market as a whole MARKET_PER_DAY of each, all at random minutes, kinds and
strengths: sparse, so that most minutes belong to none. One JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.simulated import MONDAY_NS, Belt
from config.signals import Signals
from detectors import stage as detectors
from detectors.table import TABLE
from engine.context import stage as context
from engine.core.detector import CLASSES
from engine.core.digest import make_canonical
from engine.core.errors import InvariantError
from engine.core.minutes import MINUTES_PER_DAY
from engine.core.pack import Pack, make_pack
from engine.core.rollup_columns import ROLLUP_REALS
from engine.core.schema import NULL, Status
from engine.features import stage as features
from engine.rollups import stage as rollups
from engine.signals import stage as signals
from replay.evaluate import minutes as stretches
from replay.evaluate.episodes import Truth, lay
from replay.evaluate.episodes import joined as joined_truth
from replay.evaluate.minutes import CANDIDATE, SEAM_MINUTES, Candidates, Minutes
from replay.evaluate.report import page
from replay.evaluate.verdict import judge, weighed
from replay.simulate import Episode, Market, labels
from replay.simulate.draws import generator
from replay.simulate.episodes import DOWN_ONLY, UP_ONLY
from replay.simulate.market import listings
from replay.simulate.script import KINDS, MARKET_KINDS, MARKET_WIDE

DAYS_MOST = 7  # of one market
TRUE_PER_DAY, MARKET_PER_DAY = 6, 2
WARM_MINUTES = 300  # before the first episode: baselines begin after 200
SIGMAS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
OI_STALE_MS = 20_000
PURPOSE = 77  # of the draws of this script, beside those of the market


def market_of(seed: int, days: float, symbols: int, activity: float, informed: bool) -> Market:
    """A market with its sparse script; without information it has no episodes."""
    market = Market(
        seed=seed, minutes=int(days * MINUTES_PER_DAY), symbols=symbols, first_minute_ns=MONDAY_NS, activity=activity,
        information=informed, episodes="none",
    )  # fmt: skip
    return replace(market, episodes=tuple(script(market))) if informed else market


def script(market: Market) -> Iterator[Episode]:
    """A day of each symbol is cut into as many slots as it has episodes and decoys; each falls anywhere in its slot."""
    draw = generator(market.seed, PURPOSE)
    own = [kind for kind in KINDS if kind not in MARKET_KINDS]
    for per_day, kinds, names in (
        (TRUE_PER_DAY, own, [listing.coin for listing in listings(market)[0]]),
        (MARKET_PER_DAY, list(MARKET_KINDS), [MARKET_WIDE]),
    ):
        slot = MINUTES_PER_DAY // (2 * per_day)
        for begin in range(WARM_MINUTES, market.minutes - slot, slot):
            for name in names:
                kind, sigma = kinds[int(draw.integers(len(kinds)))], SIGMAS[int(draw.integers(len(SIGMAS)))]
                direction = 1 if kind in UP_ONLY else -1 if kind in DOWN_ONLY else 2 * int(draw.integers(2)) - 1
                minute = begin + int(draw.integers(slot - 6))
                yield Episode(kind, name, minute, sigma, direction, bool(draw.integers(2)))


def close(belt: Belt, minute: int, pack: Pack) -> np.ndarray:
    """What the engine does of a minute at its close and behind it; its candidates, engine.core's CANDIDATE (n,)."""
    state, members = belt.state, belt.members
    features.compute(state, members, minute, OI_STALE_MS)
    market = context.compute(state, 0, members, minute, belt.roster)
    rows = state.bars.rows.take(members)
    make_canonical(rows)
    state.remember(minute, members, rows)
    order, own = belt.roster.order, belt.conveyor.minutes
    sectors = own.sectors.of(own.registry.names, pack.settings.sectors)
    unread = signals.unread(state, order, minute)
    failed = detectors.look(state, unread, minute, market, order, sectors, pack)
    if failed:
        raise InvariantError(f"detectors failed in minute {minute}: {failed}")
    found = signals.judge(state, unread, minute, market, pack).copy()
    features.settle(state, order, minute - 1)
    context.settle(state, 0, minute - 1, belt.roster)
    for frame in rollups.due(state, minute):
        has_bar = rollups.close(state, 0, frame, minute, OI_STALE_MS)
        bars = state.rollups.draft.take(has_bar)
        make_canonical(bars, ROLLUP_REALS)
        frame.ring.put(minute // frame.minutes, has_bar, bars)
    return found


def played(market: Market, pack: Pack) -> tuple[Minutes, Candidates, Truth]:
    """One market through the detectors."""
    belt = Belt(market)
    shape = (market.minutes, market.symbols)
    ok, is_open = np.zeros(shape, bool), np.zeros(shape, bool)
    mid, spread, ret, volume = (np.full(shape, np.nan) for _ in range(4))
    units = np.array([10.0 ** (listing.instrument.price_decimals + 1) for listing in belt.listed])
    parts = []
    for place, (minute, rows) in enumerate(belt.rows()):
        found = close(belt, minute, pack)
        ok[place] = rows["dq_status"] == Status.OK
        is_open[place] = ok[place] & (rows["is_warming_up"] == 0) & (rows["illiquidity_hit"] == 0)
        mid[place] = np.where(rows["mid_close"] == NULL, np.nan, rows["mid_close"] / units)
        spread[place], ret[place] = rows["spread_bp_mean"], np.abs(rows["z_ret_m_1"])
        volume[place] = rows["z_vol_m_1"]
        part = np.zeros(len(found), CANDIDATE)
        part["minute"] = place
        for name in ("symbol", "detector", "direction", "reason", "severity", "raw"):
            part[name] = found[name]
        part["signal_class"] = pack.rules["place"][found["detector"]]
        parts.append(part)
    minutes = Minutes(belt.first_minute, belt.names, ok, is_open, mid, spread, ret, volume)
    names = tuple(detector.id for detector in pack.table)
    candidates = Candidates(np.concatenate(parts), names, CLASSES)
    return minutes, candidates, lay(labels(market), minutes)


def weeks(days: float, seed: int) -> Iterator[tuple[int, float]]:
    """(seed, days) of the markets that make so many days, none longer than DAYS_MOST."""
    while days > 0:
        yield seed, min(days, DAYS_MOST)
        days, seed = days - DAYS_MOST, seed + 1


def evaluate(
    days: float, symbols: int, seed: int, activity: float, informed: bool, settings: Signals
) -> tuple[Minutes, Candidates, Truth]:
    pack = make_pack(TABLE, settings)
    parts, begin = [], 0
    truths = []
    for one, span in weeks(days, seed):
        minutes, candidates, truth = played(market_of(one, span, symbols, activity, informed), pack)
        print(f"seed {one}: {span:g} days, {len(candidates.rows)} candidates", file=sys.stderr)
        parts.append((minutes, candidates))
        truths.append((truth, begin))
        begin += len(minutes.is_ok) + SEAM_MINUTES
    minutes, candidates = stretches.joined(parts)
    return minutes, candidates, joined_truth(truths)


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m bench.evaluation", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--days", type=float, default=1.0)
    asked.add_argument("--symbols", type=int, default=50)
    asked.add_argument("--seed", type=int, default=101, help="of the first week; calibration was on 10 to 19")
    asked.add_argument("--activity", type=float, default=1.0, help="scale of arrivals of trades and quotes")
    asked.add_argument("--no-information", action="store_true", help="a martingale: nothing can be foretold")
    asked.add_argument("--settings", type=json.loads, default={}, help="of the detector pack, as JSON")
    asked.add_argument("--html", type=Path, help="where the report goes")
    told = asked.parse_args()
    settings = Signals.model_validate(told.settings)
    minutes, candidates, truth = evaluate(
        told.days, told.symbols, told.seed, told.activity, not told.no_information, settings
    )
    verdict = judge(minutes, candidates, truth if len(truth.episodes) else None, weighed(settings.classes, CLASSES))
    title = (
        f"simulated market, {told.days:g} days of {told.symbols} symbols, seeds from {told.seed}, "
        f"activity {told.activity:g}" + (", without information" if told.no_information else "")
    )
    if told.html:
        told.html.write_bytes(page(title, minutes, candidates, truth if len(truth.episodes) else None, verdict))
    print(json.dumps({"title": title, **verdict.as_dict()}))


if __name__ == "__main__":
    main()
