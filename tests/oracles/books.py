"""A book is two dicts, price to quantity, and one question: does the next diff follow the last one?"""

from __future__ import annotations

import heapq
from decimal import Decimal

from tests.oracles.nouns import FUTURES, Diff, Quote, Snapshot


class Book:
    def __init__(self, venue: str, symbol: str) -> None:
        self.futures = venue in FUTURES
        self.symbol = symbol
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.in_step = False
        self.snapshot_id: int | None = None  # while no diff has been applied on top of the snapshot
        self.last_id: int | None = None  # `u` of the last applied diff
        self.pending: list[Diff] = []  # diffs that wait for a snapshot
        self.gaps = 0
        self.crossed_ns: int | None = None  # event time since which bids reach above asks

    def replace(self, snapshot: Snapshot) -> None:
        """A frame that is the whole book: l2Book, partial depth."""
        self.bids = {price: quantity for price, quantity in snapshot.bids if quantity > 0}
        self.asks = {price: quantity for price, quantity in snapshot.asks if quantity > 0}
        self.in_step = True

    def start(self, snapshot: Snapshot) -> list[Diff]:
        """A REST snapshot. Returns the diffs that waited for it: hand each to `diff` now."""
        self.replace(snapshot)
        self.snapshot_id, self.last_id = snapshot.last_id, snapshot.last_id
        self.crossed_ns = None
        waiting, self.pending = self.pending, []
        return waiting

    def diff(self, diff: Diff) -> str:
        """ "pending", "old", "applied" or "gap"."""
        if not self.in_step:
            self.pending.append(diff)
            return "pending"
        if self._is_old(diff):
            return "old"
        if not self._follows(diff):
            self.lose()
            self.gaps += 1
            self.pending.append(diff)
            return "gap"
        for side, levels in ((self.bids, diff.bids), (self.asks, diff.asks)):
            for price, quantity in levels:
                if quantity == 0:
                    side.pop(price, None)
                else:
                    side[price] = quantity
        self.snapshot_id, self.last_id = None, diff.last_id
        return "applied"

    def stays_crossed(self, time_ns: int) -> bool:
        """Whether best prices have been crossed for more than 500 ms, as of a diff that was applied at this time."""
        if not (self.bids and self.asks and max(self.bids) > min(self.asks)):
            self.crossed_ns = None
        elif self.crossed_ns is None:
            self.crossed_ns = time_ns
        return self.crossed_ns is not None and time_ns - self.crossed_ns > 500_000_000

    def lose(self) -> None:
        """Out of step until the next snapshot."""
        self.in_step = False
        self.bids, self.asks = {}, {}
        self.snapshot_id = self.last_id = None

    def _is_old(self, diff: Diff) -> bool:
        if self.snapshot_id is None:
            return False
        return diff.last_id < self.snapshot_id if self.futures else diff.last_id <= self.snapshot_id

    def _follows(self, diff: Diff) -> bool:
        if self.snapshot_id is not None:
            reach = self.snapshot_id if self.futures else self.snapshot_id + 1
            return diff.first_id <= reach <= diff.last_id
        assert self.last_id is not None
        return diff.previous_id == self.last_id if self.futures else diff.first_id == self.last_id + 1

    def best(self) -> Quote:
        """The best prices as a quote without time."""
        bid = max(self.bids) if self.bids else None
        ask = min(self.asks) if self.asks else None
        return Quote(
            self.symbol,
            self.last_id,
            bid,
            None if bid is None else self.bids[bid],
            ask,
            None if ask is None else self.asks[ask],
            None,
        )

    def depth(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Sums of the quantities of the best 5 bids and asks, then of the best 20."""
        bids = [self.bids[price] for price in heapq.nlargest(20, self.bids)]
        asks = [self.asks[price] for price in heapq.nsmallest(20, self.asks)]
        zero = Decimal(0)
        return sum(bids[:5], zero), sum(asks[:5], zero), sum(bids, zero), sum(asks, zero)

    def best_levels(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """(price, quantity) of the best 20 bids and asks, best first."""
        bids = [(price, self.bids[price]) for price in heapq.nlargest(20, self.bids)]
        return bids, [(price, self.asks[price]) for price in heapq.nsmallest(20, self.asks)]
