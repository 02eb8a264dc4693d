"""What is remembered of closed minutes: whole rows, and a few columns whose windows are read.

Both rings hold a minute at `minute % minutes`. Rows lie as structs, so that putting one, or taking it back, touches one
stretch of memory however wide it is; a window of a column wants that column's minutes side by side.
"""

from __future__ import annotations

import numpy as np

from engine.core.kernel import kernel
from engine.core.schema import NULL

EVERY = slice(None)
BLOCK = 64  # symbols whose rows stay in the nearest cache while their columns are written one after the other


@kernel
def put_rows(
    words: np.ndarray, held: np.ndarray, position: int, minute: int, symbols: np.ndarray, rows: np.ndarray
) -> None:
    """Write rows, (symbols, fields), to words, (minutes, symbols, fields), and note whose minute stands there now."""
    for i in range(symbols.shape[0]):
        held[position, symbols[i]] = minute
        for field in range(rows.shape[1]):
            words[position, symbols[i], field] = rows[i, field]


@kernel
def take_rows(words: np.ndarray, position: int, symbols: np.ndarray, rows: np.ndarray) -> None:
    """The way back: rows, (symbols, fields), one behind the other."""
    for i in range(symbols.shape[0]):
        for field in range(rows.shape[1]):
            rows[i, field] = words[position, symbols[i], field]


@kernel
def take_rows_home(words: np.ndarray, position: int, symbols: np.ndarray, rows: np.ndarray) -> None:
    """As take_rows, but each row at the place of its symbol."""
    for i in range(symbols.shape[0]):
        for field in range(rows.shape[1]):
            rows[symbols[i], field] = words[position, symbols[i], field]


@kernel
def put_columns(words: np.ndarray, position: int, symbols: np.ndarray, places: np.ndarray, rows: np.ndarray) -> None:
    """Write the fields `places` of rows, (symbols, fields), to both halves of words, (places, 2 * minutes, symbols)."""
    minutes = words.shape[1] // 2
    for first in range(0, symbols.shape[0], BLOCK):
        last = min(first + BLOCK, symbols.shape[0])
        for k in range(places.shape[0]):
            for i in range(first, last):
                words[k, position, symbols[i]] = rows[i, places[k]]
            for i in range(first, last):
                words[k, position + minutes, symbols[i]] = rows[i, places[k]]


def words_of(rows: np.ndarray) -> np.ndarray:
    """(rows, fields) int64: the same memory, reals as their bits."""
    return rows.view(np.int64).reshape(len(rows), rows.itemsize // 8)


class RowRing:
    """The last `minutes` rows of every symbol, each in one piece.

    Nothing is written before the first row comes, so memory is used as minutes go by, until the ring is full. `held`
    says which minute's row stands at a place: a symbol that had none keeps an older one there, which is not its row.
    """

    def __init__(self, row: np.dtype, symbols: int, minutes: int) -> None:
        assert minutes & (minutes - 1) == 0, "a power of two, so that the position is one mask"
        self.row = row
        self.minutes = minutes
        self.index = {name: i for i, name in enumerate(row.names or ())}
        assert row.itemsize == 8 * len(self.index), "every field is eight bytes wide"
        self.puts = np.zeros(minutes, np.int64)  # of each position; a state snapshot copies what was put since the last
        self.held = np.full((minutes, symbols), -1, np.int64)
        self.words = np.zeros((minutes, symbols, len(self.index)), np.int64)
        self.rows = self.words.view(row).reshape(minutes, symbols)  # the same memory

    def put(self, minute: int, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Write one row per symbol index; `rows` has dtype `row` and the length of `symbols`."""
        position = minute % self.minutes
        put_rows(self.words, self.held, position, minute, symbols, words_of(rows))
        self.puts[position] += 1

    def has(self, minute: int, symbols: np.ndarray | slice | int = EVERY) -> np.ndarray:
        """Whether each of some symbols, or one, has a row of this minute."""
        found: np.ndarray = self.held[minute % self.minutes, symbols] == minute
        return found

    def at(self, minute: int, symbols: np.ndarray) -> np.ndarray:
        """A copy of the rows of one minute; of a symbol that has none it means nothing."""
        rows = np.empty(len(symbols), self.row)
        take_rows(self.words, minute % self.minutes, symbols, words_of(rows))
        return rows

    def take_home(self, minute: int, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Copy rows of one minute over those in `rows`, dtype `row`, where each symbol has its own."""
        take_rows_home(self.words, minute % self.minutes, symbols, words_of(rows))

    def column(self, name: str, minute: int) -> np.ndarray:
        """View (symbols,) of one column of a minute; of a symbol that has no row then it means nothing."""
        column = self.words[minute % self.minutes, :, self.index[name]]
        return column.view(np.float64) if self.row[name].kind == "f" else column

    def put_back(self, position: int, held: np.ndarray, words: np.ndarray) -> None:
        """Fill a position with its minutes, (symbols,), and words, (symbols, fields), of the first symbols."""
        symbols = len(words)
        self.held[position, :symbols] = held
        self.words[position, :symbols] = words
        self.puts[position] += 1


class ColumnRing:
    """Some columns of the last `minutes` rows of every symbol, so that every window is one contiguous view.

    A minute stands in each of two halves, so that a window of any length up to `minutes` is contiguous, wherever it
    ends. Shape of a column is (2 * minutes, symbols): a kernel that walks a window forwards in time reads whole rows of
    symbols, and sums each symbol in the same order on every machine. Minutes that were never put hold the null of their
    column. Where a symbol had no row of a minute, an older one stands.
    """

    def __init__(self, row: np.dtype, names: tuple[str, ...], symbols: int, minutes: int) -> None:
        """row: dtype of the rows that come; names: the columns that are kept of them."""
        assert minutes & (minutes - 1) == 0, "a power of two, so that the position is one mask"
        self.row = row
        self.minutes = minutes
        self.index = {name: i for i, name in enumerate(names)}
        self.places = np.array([(row.names or ()).index(name) for name in names])
        self.words = np.zeros((len(names), 2 * minutes, symbols), np.int64)
        for name, i in self.index.items():
            self.words[i] = np.float64(np.nan).view(np.int64) if row[name].kind == "f" else NULL

    def put(self, minute: int, symbols: np.ndarray, rows: np.ndarray) -> None:
        """Write one row per symbol index; `rows` has dtype `row` and the length of `symbols`."""
        put_columns(self.words, minute % self.minutes, symbols, self.places, words_of(rows))

    def window(self, name: str, minute: int, length: int) -> np.ndarray:
        """View (length, symbols) of one column, oldest first, ending with `minute`; valid until the next put."""
        assert 0 < length <= self.minutes
        end = minute % self.minutes + self.minutes + 1
        view = self.words[self.index[name], end - length : end]
        return view.view(np.float64) if self.row[name].kind == "f" else view
