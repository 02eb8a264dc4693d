"""A store of a few minutes: written, asked, waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from engine.core.effects import MinuteRows
from engine.io.store import Store, StoreLimits, StoreStatus

QUICK = StoreLimits(retry_s_min=0.01, retry_s_max=0.05, idle_s=0.02, patience_s=0.2)


class Told:
    """Keeps the kinds of what a store reports."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, kind: str, detail: dict[str, str]) -> None:
        self.kinds.append(kind)


def write(path: Path, minutes: Sequence[MinuteRows], told: Told | None = None) -> StoreStatus:
    store = Store(path, QUICK, told)
    for minute in minutes:
        store.put(minute)
    return store.close()


def ask(path: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def links(path: Path) -> list[int]:
    return [link for (link,) in ask(path, "SELECT link FROM digests ORDER BY link")]


def until(holds: Callable[[], bool]) -> None:
    """Wait for the store's thread, which has 20 s."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
