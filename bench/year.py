"""A year of one symbol's minutes through the feature stage, offline: `python -m bench.year [--days 365]`.

Beside it the first day again as a run does it, minute by minute through every kernel: the same bits, another speed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from bench.harness import SYNTHETIC, Agreed, Row, digest_of, no_collection, now_ns, row
from bench.made import DEVIATION, FIRST_MINUTE, OI_STALE_MS, rows_between
from bench.material import bare_conveyor, sized
from engine.core.digest import make_canonical
from engine.core.instruments import Instrument
from engine.core.schema import ROW_FIELDS
from engine.features import stage
from engine.features.offline import INSIDE, Walk

WHOLE = "features offline: one symbol, all columns"
MINUTES_PER_DAY = 1_440
INSTRUMENT = Instrument("binance_usdm", "S0USDT", 2, 3, funding_interval_h=8)  # what is usual at the venue


def days_of(days: int, seed: int = 9) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, minutes) of each day, made when it is asked for: a year of rows is a gigabyte."""
    draw = np.random.default_rng(seed)
    mid = 100.0
    for day in range(days):
        moves = DEVIATION * (draw.standard_normal(MINUTES_PER_DAY) - np.log(mid / 100.0) / MINUTES_PER_DAY / DEVIATION)
        mids = mid * np.exp(np.cumsum(np.concatenate([np.zeros(1), moves])))
        rows = rows_between(mids[:-1], mids[1:], draw)
        for name in INSIDE:
            rows[name] = np.nan  # what a row alone does not tell
        mid = float(mids[-1])
        first = FIRST_MINUTE + day * MINUTES_PER_DAY
        yield rows, np.arange(first, first + MINUTES_PER_DAY)


def by_minutes(rows: np.ndarray, minutes: np.ndarray) -> int:
    """The columns of a day as a run writes them, a call of Python for each family and minute; ns that it took."""
    state = bare_conveyor(1).state
    assert state is not None
    one, spent = np.zeros(1, np.int64), 0
    for i, minute in enumerate(minutes.tolist()):
        state.bars.rows[0] = rows[i]
        begun = now_ns()
        stage.compute(state, one, minute, OI_STALE_MS)
        spent += now_ns() - begun
        rows[i] = state.bars.rows[0]
        make_canonical(rows[i : i + 1])
        state.remember(minute, one, rows[i : i + 1])
        begun = now_ns()
        stage.settle(state, one, minute - 1)
        spent += now_ns() - begun
    return spent


def year(days: int = 365) -> Iterator[Row]:
    """The kernel is compiled before the clock runs: half a minute once, then it is in the cache."""
    core, agreed = sized(1), Agreed("a day of one symbol, offline and minute by minute")
    for rows, minutes in days_of(1):
        Walk(INSTRUMENT, core).compute(rows, minutes)
    spent: list[int] = []
    walk = Walk(INSTRUMENT, core)
    firsts: list[np.ndarray] = []
    with no_collection():
        for rows, minutes in days_of(days):
            begun = now_ns()
            walk.compute(rows, minutes)
            spent.append(now_ns() - begun)
            firsts = firsts or [rows]
        again, minutes = next(days_of(1))
        by_minutes(again.copy(), minutes)
        slow = by_minutes(again, minutes)
    for found in (firsts[0], again):
        agreed.add(digest_of(*(np.ascontiguousarray(found[name]) for name in ROW_FIELDS["features"])))
    yield row(
        WHOLE, f"{SYNTHETIC} {days} days", days * MINUTES_PER_DAY, "us/minute",
        np.array(spent) / 1e3 / MINUTES_PER_DAY, rate=sum(spent) / 1e9, rate_unit="s in all",
        against="the same stage minute by minute", ratio=slow / float(np.median(spent)), digest=agreed.digest,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    found = next(year(parser.parse_args().days))
    print(f"{found.what}, {found.on}: {found.count:,} minutes in {found.rate:.2f} s, {found.p50:.2f} us a minute")
    print(f"{found.ratio:.1f} times as fast as {found.against}")


if __name__ == "__main__":
    main()
