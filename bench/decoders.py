"""Frames to ticks: the tape stage alone, and the whole conveyor, against `orjson.loads` over the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from bench.harness import Agreed, Row, clocked, digest_of, flat, in_turn, median_total, now_ns, row
from bench.material import FRAME, Material, blocks_of, channel_of, records_of, sized
from config.schema import Core
from engine import conveyor as door
from engine.closing import Minutes
from engine.conveyor import Conveyor
from engine.core.records import Record, RecordBatch, RecordKind, iterate
from engine.tape import stage as tape

KINDS = {
    "binance_usdm": ("trade", "bookTicker", "depth"),
    "binance_coinm": ("trade", "bookTicker", "depth"),
    "binance_spot": ("trade", "bookTicker", "depth"),
    "hyperliquid": ("trades", "bbo", "l2Book"),
}
BATCHES = (64, 512)
ORJSON = "orjson.loads"


def loads_all(frames: list[bytes], count: int) -> list[int]:
    """ns of `orjson.loads` over each `count` frames, nothing kept: the least any decoder of objects can do."""
    loads, spent = orjson.loads, []
    for first in range(0, len(frames), count):
        part = frames[first : first + count]
        begun = now_ns()
        for frame in part:
            loads(frame)
        spent.append(now_ns() - begun)
    return spent


# The tape stage -------------------------------------------------------------------------------------------------------


def decoders(
    material: Material, passes: int = 5, frames_max: int = 20_000, batches: tuple[int, ...] = BATCHES
) -> Iterator[Row]:
    """One row per kind of frame and batch size."""
    for kind in KINDS[material.venue]:
        lead, rest = of_kind(material, kind, frames_max)
        if not rest:
            continue
        agreed = Agreed(f"tape stage, {kind} of {material.on}")
        for count in batches:
            yield _decoder(material, kind, lead, rest, count, passes, agreed)


def of_kind(material: Material, kind: str, frames_max: int) -> tuple[list[Record], list[Record]]:
    """All that is no frame and the frames of one kind: up to the last book snapshot, and the frames behind it."""
    chosen = [m for m in material.messages if m[2] != FRAME or channel_of(m[3]) == kind]
    while chosen and chosen[-1][2] == RecordKind.CONNECTION:
        chosen.pop()
    behind = max((i for i, m in enumerate(chosen) if m[2] != FRAME), default=-1) + 1
    records = list(records_of(chosen[: behind + frames_max], sized(max(1, material.symbols)), ticks=False))
    return records[: behind + 1], records[behind + 1 :]


class Standing:
    """A conveyor that can be put back to where it stood, in the same memory."""

    def __init__(self, lead: list[Record]) -> None:
        self.conveyor = Conveyor()
        for batch in blocks_of(lead):
            self.conveyor.handle(batch)
        assert self.conveyor.state is not None
        self.arrays = self.conveyor.state.arrays()
        self.copies = {name: array.copy() for name, array in self.arrays.items()}
        self.fallbacks = int(self.conveyor.state.tape.connections["fallbacks"].sum())
        self.link, self.chain = self.conveyor.link, self.conveyor.chain
        self.revisions = dict(self.conveyor.minutes.revisions)

    def put_back(self) -> Conveyor:
        for name, array in self.arrays.items():
            array[...] = self.copies[name]
        minutes = self.conveyor.minutes
        minutes.link, minutes.chain, minutes.revisions = self.link, self.chain, dict(self.revisions)
        return self.conveyor


def read_batches(conveyor: Conveyor, batches: list[RecordBatch]) -> list[int]:
    """ns that `handle` spends in the tape stage, its slow path included, for each batch."""
    spent = []
    with clocked(tape, "read") as reading, clocked(Conveyor, "_read_slowly") as slowly:
        for batch in batches:
            conveyor.handle(batch)
            spent.append(sum(reading) + sum(slowly))
            reading.clear()
            slowly.clear()
    return spent


def _decoder(
    material: Material, kind: str, lead: list[Record], rest: list[Record], count: int, passes: int, agreed: Agreed
) -> Row:
    standing, batches = Standing(lead), blocks_of(rest, count=count)
    frames = [record.payload for record in rest]
    sizes = np.array([min(count, len(frames) - first) for first in range(0, len(frames), count)], np.float64)

    def ours() -> list[int]:
        conveyor = standing.put_back()
        spent = read_batches(conveyor, batches)
        assert conveyor.state is not None
        agreed.add(digest_of(tape.close(conveyor.state.tape, 0), conveyor.chain))
        return spent

    mine, theirs = in_turn(passes, ours, lambda: loads_all(frames, count))
    total = median_total(mine)
    assert standing.conveyor.state is not None
    slow = int(standing.conveyor.state.tape.connections["fallbacks"].sum()) - standing.fallbacks
    what = f"tape: {kind}, {sum(map(len, frames)) // len(frames)} B, {count} a batch"
    if slow:
        what += f", {100 * slow / len(frames):.0f} % by the slow path"
    return row(
        what, material.on, len(frames), "ns/frame",
        flat(mine, sizes), rate=len(frames) / total * 1e3, rate_unit="M frames/s", against=ORJSON,
        ratio=median_total(theirs) / total, digest=agreed.digest,
    )  # fmt: skip


# The whole conveyor ---------------------------------------------------------------------------------------------------


def whole(material: Material, passes: int = 5) -> Iterator[Row]:
    """`Conveyor.handle` over journal blocks, ticks, closes and digests included; then where its time goes.

    The clock starts at the first frame and stops behind the last one: what stands before it (the configuration epoch,
    which allocates all memory, and the control records) and behind it comes once in a session, not once a frame.
    """
    core = sized(max(1, material.symbols), connections_max=Core().limits.connections_max)
    records = list(records_of(material.messages, core))
    of_frames = [i for i, record in enumerate(records) if record.kind == FRAME]
    first, behind = of_frames[0], of_frames[-1] + 1
    before, batches, after = (blocks_of(part) for part in (records[:first], records[first:behind], records[behind:]))
    frames = material.frames
    agreed = Agreed(f"conveyor, {material.on}")

    def ours() -> list[int]:
        conveyor, spent = Conveyor(), []
        for batch in before:
            conveyor.handle(batch)
        for batch in batches:
            begun = now_ns()
            conveyor.handle(batch)
            spent.append(now_ns() - begun)
        for batch in after:
            conveyor.handle(batch)
        agreed.add(conveyor.chain)
        return spent

    mine, theirs = in_turn(passes, ours, lambda: loads_all(frames, 512))
    total = median_total(mine)
    per_block = np.array([max(1, sum(record.kind == FRAME for record in iterate(batch))) for batch in batches])
    yield row(
        "conveyor: handle", material.on, len(frames), "ns/frame", flat(mine, per_block),
        rate=len(frames) / total * 1e3, rate_unit="M frames/s", against=ORJSON,
        ratio=median_total(theirs) / total, digest=agreed.digest,
    )  # fmt: skip
    with (
        clocked(tape, "read") as reading,
        clocked(Conveyor, "_read_slowly") as slowly,
        clocked(Minutes, "fold") as folding,
        clocked(Minutes, "attend") as closing,
        clocked(Conveyor, "_begin") as beginning,
        clocked(Conveyor, "_obey") as obeying,
        clocked(door, "apply_snapshot") as beginning_books,
    ):
        spent = ours()
    parts = (
        ("of it tape", reading), ("of it tape, slow path", slowly), ("of it bars: folds", folding),
        ("of it closes", closing), ("of it book snapshots applied", beginning_books),
        ("first record: memory and templates", beginning), ("control records", obeying),
    )  # fmt: skip
    for name, samples in parts:
        if not samples:
            continue
        share = 100.0 * sum(samples) / sum(spent)
        told: dict[str, Any] = {"rate": share, "rate_unit": "% of handle"} if name.startswith("of it") else {}
        yield row(
            f"conveyor: {name}",
            material.on,
            len(samples),
            "us/call",
            np.array(samples) / 1e3,
            digest=agreed.digest,
            **told,
        )
