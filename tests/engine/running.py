"""Records in, minute rows as plain values out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.effects import Effect, Event, MinuteRows, SnapshotNeeded
from engine.core.records import Record, RecordBatch, RecordKind, batch_of, encode
from engine.core.schema import CODES, COLUMNS, NULL, Form, Reason
from engine.core.wide import as_int

D = Decimal
Key = tuple[str, str, int]
Row = dict[str, Any]

M = 28_000_000  # the first minute of the hand-made sessions
SYMBOL = "XUSDT"  # what most of them are about


def core(**sections: dict[str, Any]) -> Core:
    """Settings with few and small arrays, so that a conveyor costs next to nothing; any of them may be overridden."""
    limits = {
        "venues_max": 2, "connections_max": 8, "symbols_max": 8, "book_window_ticks": 16_384, "dedupe_ids": 8192,
        "history_minutes": 16,
    }  # fmt: skip
    given = {"limits": limits | sections.pop("limits", {})} | sections
    return Core.model_validate(given)


@dataclass
class Run:
    """What a conveyor did with a session."""

    conveyor: Conveyor
    effects: list[Effect]

    @property
    def links(self) -> list[MinuteRows]:
        return [effect for effect in self.effects if isinstance(effect, MinuteRows)]

    @property
    def events(self) -> list[Event]:
        return [effect for effect in self.effects if isinstance(effect, Event)]

    @property
    def wanted(self) -> list[SnapshotNeeded]:
        return [effect for effect in self.effects if isinstance(effect, SnapshotNeeded)]

    @property
    def chain(self) -> str:
        return self.conveyor.chain

    @property
    def tape(self) -> Any:
        assert self.conveyor.state is not None
        return self.conveyor.state.tape

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def rows(self) -> dict[Key, list[Row]]:
        """(venue, symbol, minute) -> values of every revision, oldest first."""
        found: dict[Key, list[Row]] = {}
        for link in self.links:
            for name, scale, row in zip(link.symbols, link.scales, link.rows, strict=True):
                found.setdefault((link.venue, name, link.minute), []).append(values(row, *scale, link))
        return found

    def row(self, minute: int = M, symbol: str = SYMBOL, revision: int = -1) -> Row:
        """One revision of a symbol's minute, whatever the venue; the newest unless told."""
        (found,) = [rows for key, rows in self.rows().items() if key[1:] == (symbol, minute)]
        return found[revision]

    def closes(self) -> list[tuple[int, int, int, str]]:
        """(minute after M, revision, seq of the cause, reason) of every link."""
        return [(link.minute - M, link.revision, link.cause_seq, reason_of(link)) for link in self.links]


def reason_of(link: MinuteRows) -> str:
    """Why a link was made: event or timeout at first, later what the rows say."""
    row = link.rows[0]
    if link.revision == 0:
        return CODES["close_reason"](int(row["close_reason"])).name.lower()
    return "late_trades" if int(row["dq_reasons"]) & Reason.LATE_TRADES else "late_merged"


def batches(records: Sequence[Record], cuts: Iterable[int] = ()) -> list[RecordBatch]:
    """One batch, or several cut before the given records."""
    encoded = [encode(record) for record in records]
    edges = [0, *sorted(set(cuts)), len(encoded)]
    return [batch_of(b"".join(encoded[a:b])) for a, b in pairwise(edges) if a < b]


def run(
    records: Sequence[Record], settings: Core | None = None, cuts: Iterable[int] = (), conveyor: Conveyor | None = None
) -> Run:
    """Hand a session to a new conveyor, behind a configuration epoch; `cuts` are places in `records`."""
    settings = settings or core()
    epoch = Record(-1, records[0].recv_ns if records else 0, 0, RecordKind.CONFIG, settings.encode())
    conveyor, effects = conveyor or Conveyor(), list[Effect]()
    for batch in batches([epoch, *records], [cut + 1 for cut in cuts]):
        effects += conveyor.handle(batch)
    return Run(conveyor, effects)


class SlowConveyor(Conveyor):
    """Its scanner knows no template: every frame is read by orjson."""

    def configure(self, core: Core) -> None:
        super().configure(core)
        assert self.state is not None
        self.state.tape.channels[:, :, 1:] = 0  # no channel has a program any more


def run_slowly(records: Sequence[Record], settings: Core | None = None) -> Run:
    """As `run`, every frame by the slow path."""
    return run(records, settings, conveyor=SlowConveyor())


def values(row: Any, price_decimals: int, quantity_decimals: int, link: MinuteRows | None = None) -> Row:
    """A row as Decimals, ints, texts and sets of reason names; None for every null. `rev`: the link's revision."""
    out: Row = {} if link is None else {"rev": link.revision, "link": link.link, "seq": link.cause_seq}
    for column in COLUMNS:
        name, form = column.name, column.form
        if form is Form.QUOTE:
            wide = as_int(row[f"{name}_hi"], row[f"{name}_lo"])
            out[name] = D(wide).scaleb(-price_decimals - quantity_decimals)
        elif form is Form.REAL:
            real = float(row[name])
            out[name] = None if math.isnan(real) else real
        elif form is Form.REASONS:
            out[name] = {reason.name.lower() for reason in Reason if reason & int(row[name]) and reason.name}
        elif form is Form.STATUS:
            out[name] = CODES[name](int(row[name])).name.lower()
        elif row[name] == NULL:
            out[name] = None
        elif form is Form.PRICE:
            out[name] = D(int(row[name])).scaleb(-price_decimals - 1)
        elif form is Form.BASE:
            out[name] = D(int(row[name])).scaleb(-quantity_decimals)
        else:
            out[name] = int(row[name])
    return out


def digests(links: Sequence[MinuteRows], *stages: str) -> list[tuple[Any, ...]]:
    """What two runs are compared by: every link with the digests of some stages."""
    return [(link.venue, link.minute, link.revision, *(link.digests[stage] for stage in stages)) for link in links]


def same_rows(one: Sequence[MinuteRows], other: Sequence[MinuteRows]) -> bool:
    """Bit for bit, and in the same order."""
    return [(a.minute, a.revision, a.symbols, a.rows.tobytes()) for a in one] == [
        (b.minute, b.revision, b.symbols, b.rows.tobytes()) for b in other
    ]


def words(rows: np.ndarray) -> np.ndarray:
    """The cells of rows as words, (rows, fields)."""
    return rows.view(np.int64).reshape(len(rows), -1)
