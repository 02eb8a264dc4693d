"""Detectors, gates and payloads of one minute, as they follow the market row at a close.

The minutes are those of bench/made.py, in which hardly anything repeats and most detectors have something to look at.
Beside them a plain numpy version of a single comparison per detector; and 5,000 signals at once, as no market gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import thread_time_ns

import numpy as np

from bench.harness import Agreed, Row, digest_of, no_collection, now_ns, row
from bench.made import Made, warmed
from bench.material import bare
from engine.core.effects import Effect, Found, MarketRow
from engine.core.rings import words_of
from engine.core.signal_columns import CANDIDATE, Stop
from engine.signals import stage as signals
from engine.warm import load

WHOLE, ON_CPU = "signals: one minute, detectors to payloads", "signals: one minute, detectors to payloads, CPU"
MANY = 5_000
COMPARED = ("z_vol_m_1", "z_ret_abs_m_1", "z_spread_m_1")  # once for each detector that begins with one of them


def one_minute(symbols: int, minutes: int = 200) -> Iterator[Row]:
    """Core detectors as they are by default, over `minutes` minutes from a full hour on."""
    agreed = Agreed(f"signals of {symbols} symbols")
    load()
    made = warmed(symbols)
    pack = made.conveyor.minutes.epochs.newest.pack
    asked = [name for detector in pack.table for name in COMPARED if detector.is_core and name in detector.inputs[:1]]
    spent: list[int] = []
    on_cpu: list[int] = []
    numpy: list[int] = []
    results: list[bytes] = []
    with no_collection():
        for _ in range(minutes):
            found, wall_ns, cpu_ns = _judged(made)
            spent.append(wall_ns)
            on_cpu.append(cpu_ns)
            begun = now_ns()
            for name in asked:
                np.flatnonzero(made.state.bars.rows[name][made.members] >= 3.0)
            numpy.append(now_ns() - begun)
            results[:] = [digest_of(*results, words_of(found.rows).tobytes(), *_payloads(found)).encode()]
    agreed.add(results[0].decode())
    rate = 1e9 * symbols * minutes / sum(spent)
    yield row(
        WHOLE, bare(symbols), minutes, "ms", np.array(spent) / 1e6, rate=rate, rate_unit="rows/s",
        against=f"numpy, {len(asked)} comparisons",
        ratio=float(np.median(numpy) / np.median(spent)), digest=agreed.digest,
    )  # fmt: skip
    yield row(ON_CPU, bare(symbols), minutes, "ms", np.array(on_cpu) / 1e6, digest=agreed.digest)


def _judged(made: Made) -> tuple[Found, int, int]:
    """The next minute: what was found, and the time that took by the clock and of the processor."""
    made.market.step(made.minute)
    made.state.bars.rows["is_in_universe"][: len(made.members)] = 1
    market = made.close()
    made.remember()
    told, effects = MarketRow(market[0].copy(), _names(made)), list[Effect]()
    begun, begun_cpu = now_ns(), thread_time_ns()
    found = made.conveyor.minutes.detect(0, made.minute, 0, made.members, told, effects)
    cpu_ns, wall_ns = thread_time_ns() - begun_cpu, now_ns() - begun
    made.keep()
    made.minute += 1
    return found, wall_ns, cpu_ns


def many(passes: int = 5) -> Iterator[Row]:
    """Payloads of 5,000 signals of one minute."""
    load()
    agreed, made = Agreed(f"{MANY} payloads"), warmed(500)
    _judged(made)
    minute = made.minute - 1
    forced = np.zeros(MANY, CANDIDATE)
    forced["symbol"], forced["detector"] = np.arange(MANY) % 500, np.arange(MANY) % 4
    forced["severity"], forced["reason"], forced["direction"] = 80, Stop.PUBLISHED, 1
    forced["first_minute"] = forced["into"] = -1
    market = MarketRow(made.close()[0].copy(), _names(made))
    spent = []
    for _ in range(passes):
        begun = now_ns()
        found = signals.tell(
            made.state,
            made.conveyor.registry,
            0,
            minute,
            0,
            0,
            forced,
            market,
            made.conveyor.minutes.epochs.newest.pack,
        )
        spent.append(now_ns() - begun)
        agreed.add(digest_of(*_payloads(found)))
    rate = 1e9 * MANY / float(np.median(spent))
    yield row(
        f"signals: {MANY:,} payloads", bare(500), MANY, "ms", np.array(spent) / 1e6, rate=rate, rate_unit="signals/s",
        digest=agreed.digest,
    )  # fmt: skip


def _names(made: Made) -> dict[int, str]:
    return dict(enumerate(made.conveyor.registry.names))


def _payloads(found: Found) -> list[bytes]:
    return [signal.payload for signal in found.signals]
