"""What the queries find in a store whose signals were made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.core.effects import Found, MinuteRows, Signal
from engine.core.minutes import close_ms
from engine.core.schema import Status
from engine.core.signal_columns import CANDIDATE, Stop
from engine.io.evidence import Evidence, evidence_of_engine, evidence_of_folder
from engine.io.session_reader import QueryError
from engine.io.store import Store
from tests.engines import WELL
from tests.io.hand_minutes import some_minutes


def found_in(minute: MinuteRows, told: list[tuple[int, str, Stop]]) -> MinuteRows:
    """A minute with candidates: (symbol's place, class, what became of it)."""
    rows = np.zeros(len(told), CANDIDATE)
    rows["symbol"], rows["reason"] = [place for place, *_ in told], [int(stop) for *_, stop in told]
    rows["into"] = -1
    names = tuple(minute.symbols[place] for place, *_ in told)
    classes = tuple(name for _, name, _ in told)
    detectors = tuple(f"{name}_v1" for name in classes)
    signals = tuple(
        Signal(
            f"{minute.link}-{place}-{number}", minute.venue, minute.symbols[place], "key", f"{name}_v1", name,
            "production", close_ms(minute.minute), 70, 1, b"{}",
        )
        for number, (place, name, stop) in enumerate(told) if stop is Stop.PUBLISHED
    )  # fmt: skip
    return replace(minute, found=Found(rows, names, detectors, classes, ("",) * len(told), signals, "hash"))


def asked(store: Store, query: str) -> pa.Table:
    with store.reader() as connection:
        return connection.sql(query).to_arrow_table()


def evidence(folder: Path) -> Evidence:
    """Four minutes: in the second S0 has two spikes and S1 one; in the last the only signal is of a stale row."""
    minutes = some_minutes(4, revise=False)
    for minute in minutes:
        minute.rows["dq_status"][:] = Status.OK
        minute.rows["is_warming_up"][:] = [0, 0, 1]
    minutes[3].rows["dq_status"][2] = Status.STALE
    spikes = [(0, "spike", Stop.PUBLISHED), (0, "spike", Stop.PUBLISHED), (1, "spike", Stop.PUBLISHED)]
    minutes[1] = found_in(minutes[1], [*spikes, (2, "shift", Stop.COOLDOWN)])
    minutes[2] = found_in(minutes[2], [(1, "spike", Stop.DQ), (0, "spike", Stop.DQ)])
    minutes[3] = found_in(minutes[3], [(2, "shift", Stop.PUBLISHED)])
    store = Store(folder / "store.duckdb")
    try:
        for minute in minutes:
            store.put(minute)
        assert store.drain()
        status: Any = dict(WELL) | {"release": {"budgets": {"spike": 4, "shift": 2}}}
        return evidence_of_engine(status, lambda query: asked(store, query))
    finally:
        store.close()


def test_candidates_signals_budgets_and_signals_of_bad_minutes_are_counted(tmp_path: Path):
    found = evidence(tmp_path)

    assert found.candidates == [
        {"signal_class": "shift", "reason": "cooldown", "candidates": 1, "symbols": 1},
        {"signal_class": "shift", "reason": "published", "candidates": 1, "symbols": 1},
        {"signal_class": "spike", "reason": "dq", "candidates": 2, "symbols": 2},
        {"signal_class": "spike", "reason": "published", "candidates": 3, "symbols": 2},
    ]
    assert found.signals == [{"signal_class": "shift", "signals": 1}, {"signal_class": "spike", "signals": 3}]
    assert (found.budget_share("spike"), found.budget_share("shift")) == (0.5, 0.5)
    assert found.budget_share("rotation") is None  # nobody told its budget
    assert found.of_bad_minutes == 1
    assert [(row["symbol"], row["is_warming_up"], row["ok"]) for row in found.warming] == [
        ("S0USDT", 0, 4), ("S1USDT", 0, 4), ("S2USDT", 1, 3)
    ]  # fmt: skip
    assert len(found.symbols) == 3
    assert found.minutes["rows"] == 180


def test_a_session_without_those_tables_has_no_such_evidence(tmp_path: Path):
    def older(query: str) -> pa.Table:
        if "candidates" in query or "signals" in query:
            raise QueryError("no such table")
        return pa.table({})

    found = evidence_of_folder(tmp_path, older)

    assert (found.candidates, found.signals, found.busiest, found.of_bad_minutes) == (None, None, None, None)
    assert found.budget_share("spike") is None
