"""What each symbol saw of a journal: trades, points of quotes and books, context, and what was known at a close.

`Tape(closes).run(records)` keeps everything. With `closes` ((venue, minute) -> seq of the record that closed it first)
quotes and books that came after the close count from the boundary, and `at_close` holds what was known then. Messages
that could not be read, and `future` ones, are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.records import Record, RecordKind
from tests.oracles.books import Book
from tests.oracles.events import Offset, Reader, Seen, Step
from tests.oracles.nouns import Context, Diff, Liquidation, Quote, Snapshot, Trade

QUOTE_CHANNELS = ("bookTicker", "bbo")

Key = tuple[str, str, int]
Row = dict[str, Any]


@dataclass
class Point:
    """From `time_ns` on, until the next point, `value` is in force; None: nothing is."""

    time_ns: int
    value: Any
    counted: bool  # an update, in contrast to a book that fell out of step


@dataclass
class Symbol:
    venue: str
    name: str
    book: Book
    inverse: bool = False
    contract_size: int = 1
    channels: set[str] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    book_source: int | None = None
    trades: list[Trade] = field(default_factory=list)  # in bars, by arrival
    extra: list[tuple[int, str]] = field(default_factory=list)  # (minute, "duplicate" or "rejected")
    ids: set[int] = field(default_factory=set)
    quotes: list[Point] = field(default_factory=list)
    books: list[Point] = field(default_factory=list)
    contexts: list[tuple[int, int, Context]] = field(default_factory=list)  # time, arrival
    liquidations: list[tuple[int, Liquidation]] = field(default_factory=list)
    newest_book_ns: int | None = None  # event time of the newest book or quote message
    closed_before_ns: int = 0  # boundary of the newest closed minute
    newest_quote: tuple[Quote, int] | None = None  # the quote last taken, and the latest event time of any
    believed: tuple[Decimal, int] | None = None  # mid of the newest valid quote that was believed, and its event time
    newest_levels_ns: int = 0  # event time of the newest whole book

    def told_before(self, quote: Quote, time_ns: int) -> bool:
        """Not above the newest update id and not later; without ids, earlier, or the same at the same time."""
        if self.newest_quote is None:
            return False
        newest, newest_ns = self.newest_quote
        if quote.update_id is not None and newest.update_id is not None:
            patience_ns = 0 if quote.time_ms is not None else 10 * NS_PER_S
            return quote.update_id <= newest.update_id and time_ns <= newest_ns + patience_ns
        sides = (quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity)
        same = sides == (newest.bid, newest.bid_quantity, newest.ask, newest.ask_quantity)
        return time_ns < newest_ns or (time_ns == newest_ns and same)

    def believe(self, quote: Best | None, time_ns: int) -> Best | None:
        """A quote more than a factor of 1.65 from the one before it, less than 10 s old, is not in force."""
        if quote is None:
            return None
        middle = mid(quote)
        if self.believed is not None:
            before, before_ns = self.believed
            if time_ns - before_ns < 10 * NS_PER_S and max(middle / before, before / middle) > Decimal("1.65"):
                return None
        self.believed = middle, time_ns
        return quote

    def quote_comes_from_book(self) -> bool:
        return not any(channel in self.channels for channel in QUOTE_CHANNELS)

    def add(self, points: list[Point], time_ns: int, value: Any, counted: bool) -> None:
        before = points[-1].time_ns if points else 0
        points.append(Point(max(time_ns, before, self.closed_before_ns), value, counted))


class Best(NamedTuple):
    """A quote that may be in force."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


class Depth(NamedTuple):
    """A book in force: sums of quantities of the best 5 and best 20; (price, quantity) of the best 20, best first."""

    bids5: Decimal
    asks5: Decimal
    bids20: Decimal
    asks20: Decimal
    bids: list[tuple[Decimal, Decimal]]
    asks: list[tuple[Decimal, Decimal]]


def valid(quote: Quote) -> Best | None:
    """Both sides are there and not crossed."""
    bid, bid_quantity, ask, ask_quantity = quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity
    if bid is None or bid_quantity is None or ask is None or ask_quantity is None or bid > ask:
        return None
    return Best(bid, bid_quantity, ask, ask_quantity)


def mid(quote: Best) -> Decimal:
    return (quote.bid + quote.ask) / 2


class Tape:
    def __init__(self, closes: dict[tuple[str, int], int] | None) -> None:
        self.reader = Reader()
        self.symbols: dict[tuple[str, str], Symbol] = {}
        self.instruments: dict[tuple[str, str], dict[str, Any]] = {}
        self.subscriptions: dict[int, list[dict[str, str]]] = {}
        self.frame_ns: dict[int, int] = {}  # connection -> newest receive time - offset of its frames
        self.due: dict[int, list[tuple[str, int]]] = {}  # seq -> minutes that it closed
        for (venue, minute), seq in sorted((closes or {}).items()):
            self.due.setdefault(seq, []).append((venue, minute))
        self.at_close: dict[Key, Row] = {}
        self.span: dict[str, tuple[int, int]] = {}  # venue -> first and last minute with an event

    def run(self, records: Iterable[Record]) -> None:
        for step in self.reader.read(records):
            kind = step.record.kind
            if kind == RecordKind.INSTRUMENT:
                self.instruments[step.venue, step.control["symbol"]] = step.control
            elif kind == RecordKind.SUBSCRIPTION:
                self._subscribe(step)
            elif kind == RecordKind.CONNECTION and step.control["state"] == "down":
                self._lose_books(step)
            for seen in step.seen:
                self._see(step, seen)
            if kind == RecordKind.FRAME:
                source, recv_ns = step.record.source, step.record.recv_ns
                proof = recv_ns - self.reader.offset_ns(source, recv_ns)
                self.frame_ns[source] = max(proof, self.frame_ns.get(source, proof))
            for venue, minute in self.due.get(step.record.seq, []):
                self._close(venue, minute, step.record.recv_ns)
        for key, symbol in self.symbols.items():
            told = self.instruments.get(key, {})
            symbol.inverse, symbol.contract_size = told.get("inverse", False), told.get("contract_size", 1)

    def _subscribe(self, step: Step) -> None:
        self.subscriptions[step.record.source] = step.control["channels"]
        for symbol in self.symbols.values():
            symbol.channels, symbol.sources = set(), set()
        for source, entries in self.subscriptions.items():
            venue = self.reader.venues[source]
            for entry in entries:
                name = entry["symbol"]
                if not name:
                    continue
                if (venue, name) not in self.symbols:
                    self.symbols[venue, name] = Symbol(venue, name, Book(venue, name))
                symbol = self.symbols[venue, name]
                symbol.channels.add(entry["channel"])
                symbol.sources.add(source)

    def _lose_books(self, step: Step) -> None:
        source, recv_ns = step.record.source, step.record.recv_ns
        for symbol in self.symbols.values():
            if symbol.book_source == source and symbol.book.in_step:
                symbol.book.lose()
                self._book_changed(symbol, recv_ns - self.reader.offset_ns(source, recv_ns), counted=False)
            if symbol.book_source == source:
                symbol.book.pending = []  # a new connection starts its own sequence

    def _see(self, step: Step, seen: Seen) -> None:
        event, record = seen.event, step.record
        symbol = self.symbols.get((step.venue, getattr(event, "symbol", "")))
        if symbol is None or not seen.believed:
            return
        minute = seen.time_ns // NS_PER_MINUTE
        if not isinstance(event, Snapshot) or record.kind == RecordKind.FRAME:
            first, last = self.span.get(step.venue, (minute, minute))
            self.span[step.venue] = (min(first, minute), max(last, minute))
        if seen.channel in ("quote", "book"):
            symbol.newest_book_ns = max(seen.time_ns, symbol.newest_book_ns or 0)
        if isinstance(event, Trade):
            if event.id in symbol.ids:
                symbol.extra.append((minute, "duplicate"))
                return
            symbol.ids.add(event.id)
            if event.in_candles:
                symbol.trades.append(event)
            else:
                symbol.extra.append((minute, "rejected"))
        elif isinstance(event, Quote):
            if not symbol.quote_comes_from_book() and not symbol.told_before(event, seen.time_ns):
                newest_ns = symbol.newest_quote[1] if symbol.newest_quote else 0
                symbol.newest_quote = event, max(newest_ns, seen.time_ns)
                quote = symbol.believe(valid(event), seen.time_ns)
                symbol.add(symbol.quotes, seen.time_ns, quote, counted=True)
        elif isinstance(event, Diff):
            symbol.book_source = record.source
            self._apply(symbol, event, seen.time_ns)
        elif isinstance(event, Snapshot) and record.kind == RecordKind.FRAME:
            if seen.time_ns < symbol.newest_levels_ns:
                return
            symbol.newest_levels_ns = seen.time_ns
            symbol.book_source = record.source
            symbol.book.replace(event)
            self._book_changed(symbol, seen.time_ns, counted=True)
        elif isinstance(event, Snapshot):
            waiting = symbol.book.start(event)
            self._book_changed(symbol, seen.time_ns, counted=False)
            for diff in waiting:
                self._apply(symbol, diff, diff.time_ms * NS_PER_MS)
        elif isinstance(event, Context):
            symbol.contexts.append((seen.time_ns, record.seq, event))
        elif isinstance(event, Liquidation):
            symbol.liquidations.append((minute, event))

    def _apply(self, symbol: Symbol, diff: Diff, time_ns: int) -> None:
        outcome = symbol.book.diff(diff)
        if outcome in ("applied", "gap"):
            self._book_changed(symbol, time_ns, counted=outcome == "applied")
        if outcome == "applied" and symbol.book.stays_crossed(time_ns):
            symbol.book.lose()

    def _book_changed(self, symbol: Symbol, time_ns: int, counted: bool) -> None:
        book = symbol.book
        depth = Depth(*book.depth(), *book.best_levels()) if book.in_step and valid(book.best()) else None
        symbol.add(symbol.books, time_ns, depth, counted)
        if symbol.quote_comes_from_book():
            symbol.add(symbol.quotes, time_ns, valid(book.best()) if book.in_step else None, counted)

    def _close(self, venue: str, minute: int, recv_ns: int) -> None:
        boundary = (minute + 1) * NS_PER_MINUTE
        for (of, name), symbol in self.symbols.items():
            if of != venue:
                continue
            offsets = [self.reader.offsets.get(source, Offset()).at(recv_ns) for source in sorted(symbol.sources)]
            known = [offset for offset in offsets if offset is not None]
            newest = symbol.newest_book_ns
            whole = any(c == "l2Book" or (c.startswith("depth") and c != "depth") for c in symbol.channels)
            proofs = [self.frame_ns[source] for source in symbol.sources if source in self.frame_ns]
            proof = newest if whole or newest is None else max([newest, *proofs])
            self.at_close[venue, name, minute] = {
                "clock_skew_ms": min(known) // NS_PER_MS if known else None,
                "book_age_ms": None if newest is None else max(0, boundary - newest) // NS_PER_MS,
                "book_staleness_ms": None if proof is None else max(0, boundary - proof) // NS_PER_MS,
            }
            symbol.closed_before_ns = max(symbol.closed_before_ns, boundary)
