"""Detectors of one minute by themselves, without gates; what follows them is in bench/signals.py.

The minutes are those of bench/made.py, with bars of 15 minutes for every symbol and ten sectors, so that rotations have
something to look at. Beside the whole a plain numpy version of five measures takes its turn; they must be equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import thread_time_ns

import numpy as np

from bench.harness import Agreed, ResultDiffersError, Row, digest_of, no_collection, now_ns, row
from bench.made import Made, warmed
from bench.material import bare
from detectors.stage import blank, view_of
from engine.core.detector import View
from engine.warm import load

USUAL, BEHIND_A_BAR = "detectors: core, usual minute", "detectors: core, minute behind a bar"
ON_CPU = "detectors: core, every minute, CPU"
BAR_MINUTES, SECTORS = 15, 10


def by_numpy(view: View) -> dict[str, np.ndarray]:
    """Detector -> its measure of every member."""
    rows = view.rows
    names = ("z_vol_m_1", "z_ret_abs_m_1", "z_basis_m_5", "z_cvd_slope_m_5", "ret_m_5", "oi_roc_m_5")
    volume, move, basis, slope, price, interest = (rows[name][view.members] for name in names)
    return {
        "spike_vol_v1": volume,
        "spike_price_up_v1": move,
        "shift_basis_v1": np.abs(basis),
        "div_flat_cvd_v1": np.abs(slope),
        "quad_uu_v1": np.minimum(price / 0.003, interest / 0.01),
    }


def core(symbols: int, minutes: int = 240) -> Iterator[Row]:
    """The core catalogue over `minutes` minutes, and each detector of it."""
    load()
    made, agreed = warmed(symbols), Agreed(f"detectors of {symbols} symbols")
    draw = np.random.default_rng(3)
    table = [detector for detector in made.conveyor.minutes.epochs.newest.pack.table if detector.is_core]
    findings = made.state.signal_room.findings
    whole: dict[str, list[int]] = {USUAL: [], BEHIND_A_BAR: []}
    each: dict[str, list[int]] = {detector.id: [] for detector in table}
    on_cpu: list[int] = []  # without what others took of the machine meanwhile
    numpy: list[int] = []
    result = b""
    with no_collection():
        for _ in range(minutes):
            view = _next(made, draw)
            begun_cpu, begun = thread_time_ns(), now_ns()
            last = begun
            blank(view.members, len(table), findings)
            for place, detector in enumerate(table):
                detector.find(view, detector.threshold, findings[place])
                spent, last = now_ns() - last, now_ns()
                each[detector.id].append(spent)
            on_cpu.append(thread_time_ns() - begun_cpu)
            whole[USUAL if view.minute % BAR_MINUTES else BEHIND_A_BAR].append(last - begun)
            begun = now_ns()
            theirs = by_numpy(view)
            numpy.append(now_ns() - begun)
            for place, detector in enumerate(table):
                ours = findings[place]["measure"][view.members]
                if detector.id in theirs and not np.array_equal(ours, theirs[detector.id], equal_nan=True):
                    raise ResultDiffersError(f"{detector.id}: its measure is not numpy's: see bench/detectors.py")
            found = np.ascontiguousarray(findings[: len(table), : len(view.members)])
            result = digest_of(result, found.tobytes()).encode()
    agreed.add(result.decode())
    for name, spent_ns in whole.items():
        yield row(
            name, bare(symbols), len(spent_ns), "ms", np.array(spent_ns) / 1e6,
            rate=symbols * len(spent_ns) / sum(spent_ns) * 1e9, rate_unit="rows/s",
            against=f"numpy, {len(theirs)} of {len(table)}",
            ratio=float(np.median(numpy) / np.median(spent_ns)), digest=agreed.digest,
        )  # fmt: skip
    yield row(ON_CPU, bare(symbols), minutes, "ms", np.array(on_cpu) / 1e6, digest=agreed.digest)
    for detector_id, spent_ns in each.items():
        yield row(f"detectors: {detector_id}", bare(symbols), minutes, "us", np.array(spent_ns) / 1e3)


def _next(made: Made, draw: np.random.Generator) -> View:
    """What detectors may read of the next minute, which is closed."""
    made.market.step(made.minute)
    market = made.close()
    ring = made.state.rings["rollups_15m"]
    newest = made.minute // BAR_MINUTES - 1
    for bar in range(newest - 2, newest + 1):
        if not ring.has(bar, made.members).all():
            rows = np.zeros(len(made.members), ring.row)
            for name in ("z_vol", "z_ret_abs", "z_oi_roc", "ret", "oi_roc"):
                rows[name] = draw.standard_normal(len(rows))
            ring.put(bar, made.members, rows)
    view = view_of(made.state, made.members, made.minute, market, made.roster.order, made.members % SECTORS)
    made.remember()
    made.keep()
    made.minute += 1
    return view
