"""The ring of closed minutes: a window is the tail of history, wherever it ends."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.rings import ColumnRing
from engine.core.schema import NULL

ROW = np.dtype([("count", "<i8"), ("mean", "<f8")])


def rows(*values: int) -> np.ndarray:
    return np.array([(value, value / 2) for value in values], ROW)


@settings(deadline=None)  # the first example may compile
@given(first=st.integers(0, 10**6), minutes=st.integers(1, 60), length=st.integers(1, 16))
def test_a_window_is_the_tail_of_history_and_contiguous(first, minutes, length):
    ring = ColumnRing(ROW, symbols=2, minutes=16)
    for minute in range(first, first + minutes):
        ring.put(minute, np.array([0, 1]), rows(minute, -minute))
    window = ring.window("count", first + minutes - 1, length)
    history = [minute if minute >= first else NULL for minute in range(first + minutes - length, first + minutes)]
    assert window.shape == (length, 2)
    assert window[:, 0].tolist() == history
    assert window.base is not None, "a view, not a copy"
    assert window.strides[0] == 2 * 8, "rows of symbols, one behind the other"


def test_a_minute_never_put_holds_the_null_of_its_column():
    ring = ColumnRing(ROW, symbols=3, minutes=4)
    ring.put(9, np.array([1]), rows(7))
    assert ring.window("count", 9, 2)[:, 1].tolist() == [NULL, 7]
    assert ring.window("count", 9, 1)[0].tolist() == [NULL, 7, NULL]
    assert np.isnan(ring.window("mean", 9, 1)[0]).tolist() == [True, False, True]


def test_rows_come_back_as_they_were_put():
    ring = ColumnRing(ROW, symbols=4, minutes=4)
    ring.put(5, np.array([3, 1]), rows(30, 10))
    ring.put(6, np.array([3]), rows(31))
    assert ring.at(5, np.array([1, 3])).tolist() == rows(10, 30).tolist()
    assert ring.at(6, np.array([3])).tolist() == rows(31).tolist()


def test_a_later_revision_replaces_the_row_in_both_halves():
    ring = ColumnRing(ROW, symbols=1, minutes=4)
    ring.put(7, np.array([0]), rows(1))
    ring.put(7, np.array([0]), rows(2))
    assert [ring.window("count", 7, length)[-1, 0] for length in (1, 2, 3, 4)] == [2, 2, 2, 2]
