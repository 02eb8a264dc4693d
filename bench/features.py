"""What lies behind the bars of one minute: features, baselines, quantiles, residuals and the market of a venue.

Every state is warm: windows full, baselines and estimators taught. The close path is timed, then what is done behind
it: the usual upkeep, that of a full hour, and bars. Beside the whole stage a plain numpy version of some of its columns
takes its turn over the same ring; what both give must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import thread_time_ns

import numpy as np

from bench.harness import Agreed, ResultDiffersError, Row, clocked, digest_of, no_collection, now_ns, row
from bench.made import OI_STALE_MS, Made, warmed
from bench.material import bare
from engine.context import stage as context
from engine.core.feature_state import CLOSE, HIGH, LOG_RETURN, LOW, MID, RECENT
from engine.core.rings import words_of
from engine.features import stage as features
from engine.rollups import stage as rollups
from engine.warm import load

WHOLE, ON_CPU = "features: one minute, all columns", "features: one minute, all columns, CPU"
USUAL, HOUR = "features: upkeep, usual minute", "features: upkeep, full hour"
AGREE = 1e-12  # relative: numpy adds pairwise, the engine from the oldest to the newest
MARKET_PARTS = ("gather", "find_leader", "find_middle", "venue_residuals", "correlate")


def by_numpy(ring: np.ndarray, minute: int) -> dict[str, np.ndarray]:
    """Some columns of a minute of all symbols at once, (symbols,), where nothing is missing.

    ring: (symbols, INPUTS, 2 * RECENT) float64, as the stage keeps it.
    """
    end = minute % RECENT + RECENT + 1
    closes, mids, returns = ring[:, CLOSE, :end], ring[:, MID, :end], ring[:, LOG_RETURN, :end]
    close, mid = closes[:, -1], mids[:, -1]
    found = {f"ret_m_{n}": mid / mids[:, -1 - n] - 1.0 for n in (1, 5, 15)}
    found |= {f"roc_{n}": 100.0 * (close / closes[:, -1 - n] - 1.0) for n in (10, 20)}
    found |= {f"ma_{n}": closes[:, -n:].mean(axis=1) for n in (50, 200)}
    for name, n in (("rv_m_15", 15), ("rv_h_1", 60)):
        found[name] = np.sqrt(np.square(returns[:, -n:]).sum(axis=1))
    short, long = (closes[:, -n:] @ np.arange(1.0, n + 1.0) / (n * (n + 1) / 2) for n in (50, 100))
    found["hma_raw"] = 2.0 * short - long
    middle, spread = closes[:, -20:].mean(axis=1), 2.0 * closes[:, -20:].std(axis=1)
    found |= {"bb_middle_20": middle, "bb_upper_20": middle + spread, "bb_lower_20": middle - spread}
    highest, lowest = ring[:, HIGH, end - 14 : end].max(axis=1), ring[:, LOW, end - 14 : end].min(axis=1)
    found["stoch_k_14"] = 100.0 * (close - lowest) / (highest - lowest)
    return found


def _compare(made: Made, theirs: dict[str, np.ndarray]) -> None:
    for name, values in theirs.items():
        ours = made.state.bars.rows[name][made.members]
        if not np.allclose(ours, values, rtol=AGREE, atol=AGREE):
            raise ResultDiffersError(
                f"features: {name} differs from numpy's by more than {AGREE}: see bench/features.py"
            )


def one_minute(symbols: int, minutes: int = 60) -> Iterator[Row]:
    """Close path, upkeep and bars of `minutes` minutes, from a full hour on."""
    agreed = Agreed(f"features of {symbols} symbols")
    load()  # every kernel, as the start of an engine does
    made = warmed(symbols)
    closing: list[int] = []
    on_cpu: list[int] = []  # without what others took of the machine meanwhile
    numpy: list[int] = []
    keeping: dict[str, list[int]] = {USUAL: [], HOUR: []}
    bars: dict[str, list[int]] = {}
    results: list[bytes] = []
    with no_collection():
        for _ in range(minutes):
            made.market.step(made.minute)
            begun, begun_cpu = now_ns(), thread_time_ns()
            market = made.close()
            on_cpu.append(thread_time_ns() - begun_cpu)
            closing.append(now_ns() - begun)
            results += [words_of(made.state.bars.rows).tobytes(), market.tobytes()]
            begun = now_ns()
            theirs = by_numpy(made.state.features.ring, made.minute)
            numpy.append(now_ns() - begun)
            _compare(made, theirs)
            made.remember()
            begun = now_ns()
            made.keep()
            keeping[HOUR if made.minute % 60 == 0 else USUAL].append(now_ns() - begun)
            for frame in rollups.due(made.state, made.minute):
                begun = now_ns()
                rollups.close(made.state, 0, frame, made.minute, OI_STALE_MS)
                bars.setdefault(frame.name, []).append(now_ns() - begun)
            made.minute += 1
            results[:] = [digest_of(*results).encode()]
    agreed.add(results[0].decode())
    yield row(
        WHOLE, bare(symbols), minutes, "ms", np.array(closing) / 1e6,
        rate=symbols * minutes / sum(closing) * 1e9, rate_unit="rows/s", against=f"numpy, {len(theirs)} of the columns",
        ratio=float(np.median(numpy) / np.median(closing)), digest=agreed.digest,
    )  # fmt: skip
    yield row(ON_CPU, bare(symbols), minutes, "ms", np.array(on_cpu) / 1e6, digest=agreed.digest)
    named = {**keeping, **{f"features: bars of {name}": spent for name, spent in bars.items()}}
    for name, spent in named.items():
        yield row(name, bare(symbols), len(spent), "ms", np.array(spent) / 1e6, digest=agreed.digest)
    yield from _parts(symbols, minutes, agreed)


def _parts(symbols: int, minutes: int, agreed: Agreed) -> Iterator[Row]:
    """The same minutes again, each family with a clock of its own."""
    made = warmed(symbols)
    spent: dict[str, list[int]] = {}
    results: list[bytes] = []
    families = features.FAMILIES
    timed = tuple(_timed(family, spent.setdefault(family.__module__.rpartition(".")[2], [])) for family in families)
    with no_collection(), ExitStack() as clocks:
        spent["observe"] = clocks.enter_context(clocked(features, "observe"))
        for name in MARKET_PARTS:
            spent[f"market, {name}"] = clocks.enter_context(clocked(context, name))
        features.FAMILIES = timed
        try:
            for _ in range(minutes):
                made.market.step(made.minute)
                market = made.close()
                results += [words_of(made.state.bars.rows).tobytes(), market.tobytes()]
                made.remember()
                made.keep()
                made.minute += 1
                results[:] = [digest_of(*results).encode()]
        finally:
            features.FAMILIES = families
    agreed.add(results[0].decode())
    for name, parts in spent.items():
        yield row(f"features: of it {name}", bare(symbols), minutes, "ms", np.array(parts) / 1e6, digest=agreed.digest)


def _timed(family: features.Family, spent: list[int]) -> features.Family:
    def timed(*args: object) -> None:
        begun = now_ns()
        family(*args)  # type: ignore[arg-type]
        spent.append(now_ns() - begun)

    return timed
