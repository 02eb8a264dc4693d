"""What is remembered of closed minutes: rows come back whole, and a window is the tail of history, wherever it ends."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.rings import ColumnRing, RowRing
from engine.core.schema import NULL

ROW = np.dtype([("open", "<i8"), ("count", "<i8"), ("mean", "<f8")])
ALL = np.arange(3)


def rows(*values: int) -> np.ndarray:
    return np.array([(value + 1, value, value / 2) for value in values], ROW)


def columns(symbols: int, minutes: int) -> ColumnRing:
    return ColumnRing(ROW, ("mean", "count"), symbols, minutes)


@settings(deadline=None)  # the first example may compile
@given(first=st.integers(0, 10**6), minutes=st.integers(1, 60), length=st.integers(1, 16))
def test_a_window_is_the_tail_of_history_and_contiguous(first, minutes, length):
    ring = columns(symbols=2, minutes=16)
    for minute in range(first, first + minutes):
        ring.put(minute, np.array([0, 1]), rows(minute, -minute))
    window = ring.window("count", first + minutes - 1, length)
    history = [minute if minute >= first else NULL for minute in range(first + minutes - length, first + minutes)]
    assert window.shape == (length, 2)
    assert window[:, 0].tolist() == history
    assert window.base is not None, "a view, not a copy"
    assert window.strides[0] == 2 * 8, "rows of symbols, one behind the other"


def test_a_column_of_a_minute_never_put_is_null():
    ring = columns(symbols=3, minutes=4)
    ring.put(9, np.array([1]), rows(7))
    assert ring.window("count", 9, 2)[:, 1].tolist() == [NULL, 7]
    assert ring.window("count", 9, 1)[0].tolist() == [NULL, 7, NULL]
    assert np.isnan(ring.window("mean", 9, 1)[0]).tolist() == [True, False, True]


def test_a_later_revision_replaces_a_column_in_both_halves():
    ring = columns(symbols=1, minutes=4)
    ring.put(7, np.array([0]), rows(1))
    ring.put(7, np.array([0]), rows(2))
    assert [ring.window("count", 7, length)[-1, 0] for length in (1, 2, 3, 4)] == [2, 2, 2, 2]


def test_rows_come_back_as_they_were_put():
    ring = RowRing(ROW, symbols=4, minutes=4)
    ring.put(5, np.array([3, 1]), rows(30, 10))
    ring.put(6, np.array([3]), rows(31))
    assert ring.at(5, np.array([1, 3])).tolist() == rows(10, 30).tolist()
    assert ring.at(6, np.array([3])).tolist() == rows(31).tolist()
    assert ring.column("mean", 5)[[1, 3]].tolist() == [5.0, 15.0]


def test_rows_are_taken_home_to_the_place_of_their_symbol():
    ring, home = RowRing(ROW, symbols=3, minutes=4), rows(0, 1, 2)
    ring.put(5, ALL, rows(50, 51, 52))
    ring.take_home(5, np.array([2, 0]), home)
    assert home.tolist() == rows(50, 1, 52).tolist()


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(ALL.tolist())), max_size=60))
def test_a_symbol_has_a_row_of_exactly_the_minutes_that_were_put_and_not_yet_overwritten(puts):
    ring, newest = RowRing(ROW, symbols=3, minutes=8), {}
    for minute, symbol in puts:
        ring.put(minute, np.array([symbol]), rows(minute))
        newest[symbol, minute % 8] = minute
    for minute in range(41):
        assert ring.has(minute).tolist() == [newest.get((s, minute % 8)) == minute for s in ALL.tolist()]
        assert [bool(ring.has(minute, s)) for s in ALL.tolist()] == ring.has(minute, ALL).tolist()


def test_a_position_put_back_has_the_same_rows_of_the_same_minutes():
    ring, again = RowRing(ROW, symbols=3, minutes=4), RowRing(ROW, symbols=3, minutes=4)
    ring.put(5, ALL, rows(50, 51, 52))
    ring.put(9, np.array([1]), rows(91))  # the same position; the others had no row of minute 9
    again.put_back(1, ring.held[1, :2], ring.words[1, :2])
    assert again.has(9).tolist() == [False, True, False]
    assert again.has(5).tolist() == [True, False, False]
    assert again.at(9, np.array([1])).tolist() == rows(91).tolist()
    assert ring.puts[1] == 2
    assert again.puts[1] == 1
