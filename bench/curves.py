"""Cost against the amount of work: if it grows as the work does, the line is straight."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.harness import Agreed, Row, flat, in_turn, median_total, now_ns, row
from bench.material import FRAME, Material, blocks_of, records_of, simulated, sized
from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import iterate

SYMBOLS = (20, 50, 100, 200, 500, 1_000, 2_000)
MULTIPLES = (1, 2, 4, 8, 16, 32)
FRAMES = "curve: frames handled"


def growth(multiples: tuple[int, ...] = MULTIPLES, symbols: int = 3, passes: int = 3) -> Iterator[Row]:
    """The first minute of a simulated market, the first two, and so on: `handle` of all of it; a sample is a block."""
    whole = simulated("binance_usdm", symbols, max(multiples))
    begin_ns = whole.messages[0][0]
    for multiple in multiples:
        part = [message for message in whole.messages if message[0] < begin_ns + multiple * NS_PER_MINUTE]
        yield from _handled(Material(f"{whole.on}, {multiple} x", whole.venue, part), passes)


def _handled(material: Material, passes: int) -> Iterator[Row]:
    core = sized(material.symbols, connections_max=Core().limits.connections_max)
    records = list(records_of(material.messages, core))
    count = sum(record.kind == FRAME for record in records)
    epoch, batches = blocks_of(records[:1]), blocks_of(records[1:])
    agreed = Agreed(f"{FRAMES}, {material.on}")

    def work() -> list[int]:
        conveyor, spent = Conveyor(), []
        conveyor.handle(epoch[0])
        for batch in batches:
            begun = now_ns()
            conveyor.handle(batch)
            spent.append(now_ns() - begun)
        agreed.add(conveyor.chain)
        return spent

    (taken,) = in_turn(passes, work)
    per_block = np.array([max(1, sum(record.kind == FRAME for record in iterate(batch))) for batch in batches])
    yield row(
        FRAMES, material.on, count, "ns/frame", flat(taken, per_block), rate=count / median_total(taken) * 1e3,
        rate_unit="M frames/s", digest=agreed.digest,
    )  # fmt: skip
