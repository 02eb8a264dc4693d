"""A view of a few symbols in which everything is null but what a story says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detectors.table import TABLE
from engine.core.detector import View
from engine.core.feature_state import INPUTS, RECENT
from engine.core.market import MARKET
from engine.core.rollup_columns import ROLLUP
from engine.core.schema import NULL, ROW
from replay.detectors.contract import found_by, triggered
from replay.detectors.world import BARS, MINUTE, MINUTES

Told = Mapping[str, float]


def _nulls(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    rows = np.zeros(shape, dtype)
    for name in dtype.names or ():
        rows[name] = np.nan if dtype[name].base.kind == "f" else NULL
    return rows


def a_story(
    *symbols: Told,
    market: Told | None = None,
    before: Mapping[int, Sequence[Told]] | None = None,
    bars: Mapping[int, Sequence[Told]] | None = None,
    sectors: Sequence[int] = (),
    minute: int = MINUTE,
) -> View:
    """symbols: of each its columns of this minute. before, bars: the same of the minute, or closed bar, so many before
    the newest (bars: 0 is the newest).
    """
    count = len(symbols)
    rows, history, row = _nulls(count, ROW), _nulls((MINUTES, count), ROW), _nulls(1, MARKET)
    held = np.full((MINUTES, count), -1)
    bars_15m, bars_held = _nulls((BARS, count), ROLLUP), np.full((BARS, count), -1)
    _tell(rows, symbols)
    _tell(row, [market or {}])
    for back, told in (before or {}).items():
        held[(minute - back) % MINUTES] = minute - back
        _tell(history[(minute - back) % MINUTES], told)
    for back, told in (bars or {}).items():
        bar = minute // 15 - 1 - back
        bars_held[bar % BARS] = bar
        _tell(bars_15m[bar % BARS], told)
    everyone, inputs = np.arange(count), np.full((count, len(INPUTS), 2 * RECENT), np.nan)
    return View(
        minute, everyone, rows, row, history, held, inputs, np.full(count, minute), bars_15m, bars_held, everyone,
        np.array(sectors, np.int64),
    )  # fmt: skip


def _tell(rows: np.ndarray, told: Sequence[Told]) -> None:
    for row, columns in zip(rows, told, strict=True):
        for name, value in columns.items():
            row[name] = value


def tell(detector_id: str, view: View) -> list[dict[str, Any]]:
    """Of each symbol what a detector of the table finds, and `triggers`."""
    detector = next(one for one in TABLE if one.id == detector_id)
    found = found_by(detector, view)
    names = found.dtype.names or ()
    return [
        dict(zip(names, one, strict=True)) | {"triggers": bool(met)}
        for one, met in zip(found.tolist(), triggered(detector, found), strict=True)
    ]
