"""Minute rows made by hand, a journal of them, and a conveyor that gives them back: what the tests of the ends need."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.core.effects import Effect, Event, MinuteRows, RollupRows
from engine.core.records import RecordBatch, RecordKind, iterate
from engine.core.rollup_columns import ROLLUP, ROLLUP_COLUMNS
from engine.core.schema import CODES, COLUMNS, ROW, ROW_FIELDS, Column, Form, Reason
from engine.io.journal_writer import JournalWriter

FIRST_MINUTE = 28_719_356  # closes at 2024-08-08 23:57
STAGES = ("tape", "bars", "quality")


def some_rows(symbols: int, seed: int, columns: Sequence[Column] = COLUMNS, row: np.dtype = ROW) -> np.ndarray:
    """Rows whose every cell holds a value that its column may hold."""
    draw = np.random.default_rng(seed)
    rows = np.zeros(symbols, row)
    for column in columns:
        if column.form is Form.REAL:
            rows[column.name] = draw.normal(size=symbols)
        elif column.form is Form.QUOTE:
            rows[f"{column.name}_lo"] = draw.integers(0, 10**15, symbols)
        elif column.form is Form.STATUS:
            rows[column.name] = draw.integers(0, len(CODES[column.name]), symbols)
        elif column.form is Form.REASONS:
            rows[column.name] = draw.integers(0, 1 << len(Reason), symbols)
        else:
            rows[column.name] = draw.integers(1, 10**9, symbols)
    return rows


def stage_digest(rows: np.ndarray, stage: str) -> str:
    fields = ROW_FIELDS.get(stage, ())
    return hashlib.sha256(stage.encode() + b"".join(rows[name].tobytes() for name in fields)).hexdigest()


def chained(
    link: int,
    rows: np.ndarray,
    before: str = "",
    venue: str = "binance_usdm",
    minute: int | None = None,
    revision: int = 0,
) -> MinuteRows:
    """A link whose stage digests and chain follow from its rows and from the chain before."""
    digests = {stage: stage_digest(rows, stage) for stage in STAGES}
    chain = hashlib.sha256((before + "".join(digests.values())).encode()).hexdigest()
    return MinuteRows(
        link=link,
        cause_seq=10 * link,
        venue=venue,
        minute=FIRST_MINUTE + link if minute is None else minute,
        symbols=tuple(f"S{number}USDT" for number in range(len(rows))),
        scales=((2, 3),) * len(rows),
        rows=rows,
        digests=digests,
        chain=chain,
        revision=revision,
    )


def some_minutes(count: int, symbols: int = 3, seed: int = 7, revise: bool = True) -> list[MinuteRows]:
    """A chain of minutes of one venue; with `revise`, every fourth link is a later revision of the minute before it."""
    found: list[MinuteRows] = []
    minute = FIRST_MINUTE
    for link in range(count):
        revision = int(revise and link % 4 == 3)
        minute += 0 if revision or not link else 1
        before = found[-1].chain if found else ""
        found.append(chained(link, some_rows(symbols, seed * 1000 + link), before, minute=minute, revision=revision))
    return found


def some_bars(link: int, tf: str, symbols: int, revision: int = 0) -> RollupRows:
    """Bars of the block that ends with the first minute."""
    rows = some_rows(symbols, link, ROLLUP_COLUMNS, ROLLUP)
    names = tuple(f"S{number}USDT" for number in range(symbols))
    digests = {f"rollups_{tf}": hashlib.sha256(rows.tobytes()).hexdigest()}
    return RollupRows(
        link, 10 * link, "binance_usdm", tf, FIRST_MINUTE, names, ((2, 3),) * symbols, rows, digests, "", revision
    )


class HandConveyor:
    """Gives one minute for each TICK of a journal, and an event before it."""

    def __init__(self, minutes: list[MinuteRows]) -> None:
        self._minutes = {minute.cause_seq: minute for minute in minutes}

    def handle(self, batch: RecordBatch) -> list[Effect]:
        effects: list[Effect] = []
        for record in iterate(batch):
            if minute := self._minutes.get(record.seq):
                effects += [
                    Event(record.seq, record.recv_ns, "closed", minute.venue, "", {"link": minute.link}),
                    minute,
                ]
        return effects


def some_journal(folder: Path, minutes: list[MinuteRows], origin: str = "simulated") -> Path:
    """A journal with a record for every cause of `minutes`."""
    writer = JournalWriter(folder, header={"origin": origin})
    for seq in range(minutes[-1].cause_seq + 1):
        assert writer.append(RecordKind.TICK, 0, 10**18 + seq, b"") == seq
    writer.close()
    return folder
