"""The venue's own book of one symbol: a plain dictionary a side, so that it can be believed by reading it."""

from __future__ import annotations

from decimal import Decimal

from replay.exchange.source import Book, Diff, Levels


def _price(level: tuple[bytes, bytes]) -> Decimal:
    return Decimal(level[0].decode())


class Ladder:
    """Levels by printed price. last: the update id it stands at, 0 before the first whole book; ms: its time.

    reach: the id that a snapshot tells, see Diff."""

    def __init__(self) -> None:
        self.bids: dict[bytes, bytes] = {}
        self.asks: dict[bytes, bytes] = {}
        self.last = self.ms = self.reach = 0

    def begin(self, book: Book) -> None:
        self.bids, self.asks = dict(book.bids), dict(book.asks)
        self.last, self.ms, self.reach = book.last, book.ms, book.reach

    def apply(self, diff: Diff) -> None:
        for side, levels in ((self.bids, diff.bids), (self.asks, diff.asks)):
            for price, quantity in levels:
                if quantity.strip(b"0."):
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.last, self.ms, self.reach = diff.last, diff.ms, diff.reach

    def copy(self) -> Ladder:
        other = Ladder()
        other.bids, other.asks = dict(self.bids), dict(self.asks)
        other.last, other.ms, other.reach = self.last, self.ms, self.reach
        return other

    def sides(self, limit: int) -> tuple[Levels, Levels]:
        """The best levels of both sides, best first."""
        bids = sorted(self.bids.items(), key=_price, reverse=True)[:limit]
        return bids, sorted(self.asks.items(), key=_price)[:limit]
