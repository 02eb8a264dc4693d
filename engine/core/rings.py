"""The ring of closed minutes: one array, every column a mirrored ring, every window one contiguous view."""

from __future__ import annotations

import numpy as np

from engine.core.kernel import kernel
from engine.core.schema import NULL

BLOCK = 64  # symbols whose rows stay in the nearest cache while their columns are written one after the other


@kernel
def put_rows(words: np.ndarray, position: int, symbols: np.ndarray, rows: np.ndarray) -> None:
    """Write rows, (symbols, fields), at `position` of both halves of the ring, words (fields, 2 * minutes, symbols)."""
    minutes = words.shape[1] // 2
    for first in range(0, symbols.shape[0], BLOCK):
        last = min(first + BLOCK, symbols.shape[0])
        for field in range(words.shape[0]):
            for i in range(first, last):
                words[field, position, symbols[i]] = rows[i, field]
            for i in range(first, last):
                words[field, position + minutes, symbols[i]] = rows[i, field]


@kernel
def take_rows(words: np.ndarray, position: int, symbols: np.ndarray, rows: np.ndarray) -> None:
    """The way back: fill rows, (symbols, fields), with what stands at `position`."""
    for first in range(0, symbols.shape[0], BLOCK):
        last = min(first + BLOCK, symbols.shape[0])
        for field in range(words.shape[0]):
            for i in range(first, last):
                rows[i, field] = words[field, position, symbols[i]]


class ColumnRing:
    """The last `minutes` rows of every symbol, by column.

    A minute stands at `minute % minutes` and again `minutes` further on, so that a window of any length up to `minutes`
    is contiguous, wherever it ends. Shape of a column is (2 * minutes, symbols): a kernel that walks a window forwards
    in time reads whole rows of symbols, and sums each symbol in the same order on every machine.
    Minutes that were never put hold the null of their column.
    """

    def __init__(self, row: np.dtype, symbols: int, minutes: int) -> None:
        assert minutes & (minutes - 1) == 0, "a power of two, so that the position is one mask"
        self.row = row
        self.minutes = minutes
        self.index = {name: i for i, name in enumerate(row.names or ())}
        assert row.itemsize == 8 * len(self.index), "every field is eight bytes wide"
        self.puts = np.zeros(minutes, np.int64)  # of each position; a state snapshot copies what was put since the last
        self.words = np.zeros((len(self.index), 2 * minutes, symbols), np.int64)
        nulls = np.full((), NULL, np.int64)
        for name, i in self.index.items():
            self.words[i] = np.float64(np.nan).view(np.int64) if row[name].kind == "f" else nulls

    def put(self, minute: int, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Write one row per symbol index; `rows` has dtype `row` and the length of `symbols`."""
        position = minute % self.minutes
        put_rows(self.words, position, symbols, rows.view(np.int64).reshape(len(rows), len(self.index)))
        self.puts[position] += 1

    def leave_out(self, minute: int, symbols: np.ndarray, name: str) -> None:
        """Some symbols have no row of this minute: their column `name` is null, whatever stood here a ring ago."""
        position = minute % self.minutes
        self.words[self.index[name], position, symbols] = NULL
        self.words[self.index[name], position + self.minutes, symbols] = NULL

    def put_back(self, position: int, words: np.ndarray) -> None:
        """Fill a position with its words, (columns, symbols), of the first symbols."""
        symbols = words.shape[1]
        self.words[:, position, :symbols] = self.words[:, position + self.minutes, :symbols] = words
        self.puts[position] += 1

    def at(self, minute: int, symbols: np.ndarray) -> np.ndarray:
        """A copy of the rows of one minute."""
        rows = np.empty((len(symbols), len(self.index)), np.int64)
        take_rows(self.words, minute % self.minutes, symbols, rows)
        return rows.view(self.row).reshape(len(symbols))

    def window(self, name: str, minute: int, length: int) -> np.ndarray:
        """View (length, symbols) of one column, oldest first, ending with `minute`; valid until the next put."""
        assert 0 < length <= self.minutes
        end = minute % self.minutes + self.minutes + 1
        view = self.words[self.index[name], end - length : end]
        return view.view(np.float64) if self.row[name].kind == "f" else view
