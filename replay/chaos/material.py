"""What chaos runs live on: a small simulated market as a journal, and what the conveyor makes of it undisturbed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.effects import Effect, Link
from engine.core.errors import ConveyorError
from engine.core.records import Record, RecordBatch, iterate
from engine.io.journal_reader import JournalReader
from replay.recording import record
from replay.simulate import Market, simulate

# Few and small arrays: a conveyor is made for every life, and a state snapshot for every minute of it.
LIMITS = {
    "symbols_max": 3, "connections_max": 4, "venues_max": 1, "book_window_ticks": 1024, "history_minutes": 16,
    "ticks_per_batch": 1024, "dedupe_ids": 1024, "levels_per_frame": 256, "book_spill_levels": 256,
    "pending_diffs": 64, "pending_levels": 1024,
}  # fmt: skip


class Loss(ConveyorError):  # noqa: N818 - what chaos looks for, and hopes not to find
    """Something acknowledged is gone, or what is there is not what an undisturbed life would have left."""


@dataclass(frozen=True)
class Material:
    """journal: its folder, closed. records: all of them. effects: of a conveyor that nothing disturbed."""

    journal: Path
    records: Sequence[Record]
    effects: Sequence[Effect]

    @property
    def chain(self) -> str:
        return chain_of(self.effects)


def simulated(folder: Path, minutes: int = 3) -> Material:
    """Write a journal of a simulated market into a new folder; always the same one for the same minutes."""
    market = Market(seed=3, minutes=minutes, symbols=3, venue="binance_usdm", episodes="none", activity=0.2)
    record(folder, simulate(market), origin="simulated", core=Core.model_validate({"limits": LIMITS}))
    records = [one for batch in JournalReader(folder).batches() for one in iterate(batch)]
    return Material(folder, records, effects_of(JournalReader(folder).batches()))


def effects_of(batches: Iterable[RecordBatch]) -> list[Effect]:
    """What a new conveyor makes of them."""
    conveyor = Conveyor()
    return [effect for batch in batches for effect in conveyor.handle(batch)]


def chain_of(effects: Sequence[Effect]) -> str:
    """Chain value of the last link; empty without one."""
    return next((effect.chain for effect in reversed(effects) if isinstance(effect, Link)), "")
