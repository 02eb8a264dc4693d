"""Books by the oracle: where a sequence begins, where it breaks, how deep it is."""

from __future__ import annotations

from tests.oracles.books import Book
from tests.oracles.journal import D
from tests.oracles.nouns import Diff, Snapshot


def diff(first: int, last: int, previous: int | None, bid: str = "10", quantity: str = "1") -> Diff:
    return Diff("X", first, last, previous, ((D(bid), D(quantity)),), (), 0)


def test_futures_book_starts_at_the_diff_that_reaches_over_the_snapshot() -> None:
    book = Book("binance_usdm", "X")
    assert [book.diff(diff(1, 4, 0, "7")), book.diff(diff(5, 8, 4, "8"))] == ["pending", "pending"]
    waiting = book.start(Snapshot("X", 6, ((D(9), D(5)),), ((D(11), D(6)),), None))
    assert [book.diff(each) for each in waiting] == ["old", "applied"]
    assert book.bids == {D(9): D(5), D(8): D(1)}  # the old one left no trace
    assert book.diff(diff(9, 9, 8, "9", "0")) == "applied"
    assert (book.best().bid, book.best().ask_quantity, book.best().update_id) == (D(8), D(6), 9)
    assert book.diff(diff(11, 12, 10)) == "gap"
    assert not book.in_step
    assert book.diff(diff(13, 14, 12)) == "pending"
    assert [book.diff(each) for each in book.start(Snapshot("X", 12, (), (), None))] == ["applied", "applied"]
    assert book.gaps == 1


def test_spot_book_wants_the_next_number() -> None:
    book = Book("binance_spot", "X")
    book.start(Snapshot("X", 6, (), (), None))
    assert [book.diff(diff(4, 6, None)), book.diff(diff(5, 8, None)), book.diff(diff(9, 9, None))] == [
        "old",
        "applied",
        "applied",
    ]
    assert book.diff(diff(9, 12, None)) == "gap"
    book.start(Snapshot("X", 20, (), (), None))
    assert book.diff(diff(22, 23, None)) == "gap"  # does not reach 21


def test_depth_of_a_book() -> None:
    book = Book("hyperliquid", "X")
    book.replace(Snapshot("X", None, tuple((D(90 - n), D(1)) for n in range(30)), ((D(91), D(2)), (D(92), D(3))), None))
    assert book.depth() == (5, 5, 20, 5)
