"""The minute row by its definitions: keep everything, then look back at each minute.

`minutes(records)` gives every column that does not depend on when a minute closed, as if no message had come after its
close. With `closes` (see closing.py: (venue, minute) -> seq of the record that closed it first) quotes and books that
came after the close count from the boundary, and the columns that ask "what was known at the close" are there too:
clock_skew_ms, book_age_ms, book_staleness_ms. Never here: lateness_ms, close_wait_ms, close_reason, late_merged,
late_dropped. Messages that could not be read, and `future` ones, belong to no minute here: received and rejected lack
them.

A value is Decimal, int, str (ohlc_source) or None. Means and roots are Decimals of 60 digits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.records import Record, RecordKind
from tests.oracles.books import Book
from tests.oracles.events import Reader
from tests.oracles.nouns import Trade
from tests.oracles.tape import Best, Key, Point, Row, Symbol, Tape, mid

DIGITS = 60
CANDLE_COLUMNS = (
    "open", "high", "low", "close", "base_volume", "quote_volume",
    "taker_buy_base_volume", "taker_buy_quote_volume", "trade_count",
)  # fmt: skip


# --- one minute of one symbol -----------------------------------------------------------------------------------------


def candle(symbol: Symbol, trades: Sequence[Trade]) -> Row:
    """The eight candle columns and the count, of trades in arrival order. Prices are None without trades."""
    ordered = list(trades)
    if symbol.venue == "hyperliquid":
        ordered.sort(key=lambda trade: trade.time_ms)  # stable: arrival is the venue's order
    else:
        ordered.sort(key=lambda trade: (trade.time_ms, trade.id))
    buys = [trade for trade in trades if trade.taker_buy]

    def base(some: Sequence[Trade]) -> Decimal:
        return sum((trade.quantity for trade in some), Decimal(0))

    def quote(some: Sequence[Trade]) -> Decimal:
        if symbol.inverse:
            return symbol.contract_size * base(some)
        return sum((trade.price * trade.quantity for trade in some), Decimal(0))

    return {
        "open": ordered[0].price if ordered else None,
        "high": max((trade.price for trade in trades), default=None),
        "low": min((trade.price for trade in trades), default=None),
        "close": ordered[-1].price if ordered else None,
        "base_volume": base(trades),
        "quote_volume": quote(trades),
        "taker_buy_base_volume": base(buys),
        "taker_buy_quote_volume": quote(buys),
        "trade_count": sum(trade.count for trade in trades),
    }


def trade_columns(trades: Sequence[Trade]) -> Row:
    if not trades:
        return {"vwap": None, "trade_size_mean": None, "trade_size_std": None, "trade_size_max": None}
    sizes = [trade.quantity for trade in trades]
    total = sum(sizes, Decimal(0))
    mean = total / len(sizes)
    return {
        "vwap": sum((trade.price * trade.quantity for trade in trades), Decimal(0)) / total,
        "trade_size_mean": mean,
        "trade_size_std": (sum(((size - mean) ** 2 for size in sizes), Decimal(0)) / len(sizes)).sqrt(),
        "trade_size_max": max(sizes),
    }


@dataclass
class Window:
    """The points of one minute, and the one in force at its start."""

    start: int
    end: int
    carried: Point | None
    inside: list[Point]

    def in_force(self) -> list[Point]:
        """Every point in force at some instant of the minute, with a value."""
        both = ([self.carried] if self.carried else []) + self.inside
        return [point for point in both if point.value is not None]

    def before(self, time_ns: int) -> Any:
        """The value in force just before `time_ns`."""
        found = self.carried
        for point in self.inside:
            if point.time_ns < time_ns:
                found = point
        return found.value if found else None

    def mean(self, of: Callable[[Any], Decimal | None]) -> Decimal | None:
        """Time-weighted over the parts of the minute in which there is a value."""
        points = ([Point(self.start, self.carried.value, False)] if self.carried else []) + self.inside
        total, weight = Decimal(0), 0
        for number, point in enumerate(points):
            until = points[number + 1].time_ns if number + 1 < len(points) else self.end
            duration = until - point.time_ns
            value = of(point.value) if point.value is not None and duration else None
            if value is not None:
                total += value * duration
                weight += duration
        return total / weight if weight else None


def window(points: Sequence[Point], minute: int) -> Window:
    start, end = minute * NS_PER_MINUTE, (minute + 1) * NS_PER_MINUTE
    first = bisect_left(points, start, key=lambda point: point.time_ns)
    last = bisect_left(points, end, key=lambda point: point.time_ns)
    return Window(start, end, points[first - 1] if first else None, list(points[first:last]))


def spread(quote: Best) -> Decimal:
    return quote.ask - quote.bid


def share(bids: Decimal, asks: Decimal) -> Decimal | None:
    return bids / (bids + asks) if bids + asks else None


def mid_path(symbol: Symbol, minute: int) -> list[Decimal | None]:
    """The mid in force just before each of the seconds 1..60 ends."""
    quotes = window(symbol.quotes, minute)
    path: list[Decimal | None] = []
    for second in range(1, 61):
        quote = quotes.before(quotes.start + second * NS_PER_S)
        path.append(None if quote is None else mid(quote))
    return path


def flow(quotes: Sequence[Best]) -> Decimal:
    """Order-flow imbalance over consecutive quotes."""
    total = Decimal(0)
    for old, new in pairwise(quotes):
        if new.bid >= old.bid:
            total += new.bid_quantity
        if new.bid <= old.bid:
            total -= old.bid_quantity
        if new.ask <= old.ask:
            total -= new.ask_quantity
        if new.ask >= old.ask:
            total += old.ask_quantity
    return total


def quote_columns(symbol: Symbol, minute: int) -> Row:
    quotes = window(symbol.quotes, minute)
    ever = [point.value for point in quotes.in_force()]
    opening = quotes.carried.value if quotes.carried else None
    if opening is None and ever:
        opening = ever[0]
    closing = quotes.before(quotes.end)
    updates = [point.value for point in quotes.inside if point.value is not None]
    earlier = [point.value for point in symbol.quotes if point.time_ns < quotes.start and point.value is not None]
    return {
        "mid_open": mid(opening) if opening else None,
        "mid_high": max((mid(quote) for quote in ever), default=None),
        "mid_low": min((mid(quote) for quote in ever), default=None),
        "mid_close": mid(closing) if closing else None,
        "mid_path_points": sum(value is not None for value in mid_path(symbol, minute)),
        "microprice_close": (closing.ask * closing.bid_quantity + closing.bid * closing.ask_quantity)
        / (closing.bid_quantity + closing.ask_quantity)
        if closing
        else None,
        "spread_mean": quotes.mean(spread),
        "spread_bp_mean": quotes.mean(lambda quote: 10_000 * spread(quote) / mid(quote)),
        "spread_max": max((spread(quote) for quote in ever), default=None),
        "obi_top1_mean": quotes.mean(lambda quote: share(quote.bid_quantity, quote.ask_quantity)),
        "ofi": flow(earlier[-1:] + updates) if len(updates) >= 2 else None,
        "quote_count": sum(point.counted for point in quotes.inside),
    }


def book_columns(symbol: Symbol, minute: int) -> Row:
    books = window(symbol.books, minute)
    return {
        "obi_top5_mean": books.mean(lambda depth: share(depth.bids5, depth.asks5)),
        "obi_top20_mean": books.mean(lambda depth: share(depth.bids20, depth.asks20)),
        "depth_top20_mean": books.mean(lambda depth: depth.bids20 + depth.asks20),
        "book_count": sum(point.counted for point in books.inside),
    }


def context_columns(symbol: Symbol, minute: int) -> Row:
    start, end = minute * NS_PER_MINUTE, (minute + 1) * NS_PER_MINUTE
    known = [entry for entry in sorted(symbol.contexts, key=lambda entry: entry[:2]) if entry[0] < end]

    def newest(name: str) -> Decimal | None:
        values = [getattr(context, name) for _, _, context in known if getattr(context, name) is not None]
        return values[-1] if values else None

    samples = [(time_ns, context.open_interest) for time_ns, _, context in known if context.open_interest is not None]
    inside = [value for time_ns, value in samples if time_ns >= start]
    row: Row = {
        "oi_open": inside[0] if inside else None,
        "oi_close": newest("open_interest"),
        "oi_min": min(inside, default=None),
        "oi_max": max(inside, default=None),
        "oi_staleness_ms": (end - samples[-1][0]) // NS_PER_MS if samples else None,
        "mark_price": newest("mark"),
        "index_price": newest("index"),
        "funding_rate": newest("funding"),
        "funding_rate_hour": per_hour(symbol.venue, newest("funding")),
        "liquidation_count": None,
        "liquidation_buy_base": None,
        "liquidation_sell_base": None,
    }
    if "forceOrder" in symbol.channels:
        forced = [order for of, order in symbol.liquidations if of == minute]
        row["liquidation_count"] = len(forced)
        row["liquidation_buy_base"] = sum((order.quantity for order in forced if order.buy), Decimal(0))
        row["liquidation_sell_base"] = sum((order.quantity for order in forced if not order.buy), Decimal(0))
    return row


def per_hour(venue: str, funding: Decimal | None) -> Decimal | None:
    """Hyperliquid pays every hour, Binance futures every eight unless an instrument says otherwise."""
    return None if funding is None else funding / (1 if venue == "hyperliquid" else 8)


def row_of(symbol: Symbol, minute: int, trades: Sequence[Trade]) -> Row:
    row = candle(symbol, trades)
    row |= trade_columns(trades)
    row |= quote_columns(symbol, minute)
    row |= book_columns(symbol, minute)
    row |= context_columns(symbol, minute)
    row["ohlc_source"] = "trade" if trades else "none"
    if not trades and row["mid_open"] is not None:
        row["ohlc_source"] = "mid"
        for name in ("open", "high", "low", "close"):
            row[name] = row[f"mid_{name}"]
    row["duplicate"] = symbol.extra.count((minute, "duplicate"))
    row["rejected"] = symbol.extra.count((minute, "rejected"))
    row["received"] = len(trades) + row["duplicate"] + row["rejected"]
    return row


# --- the doors --------------------------------------------------------------------------------------------------------


def _trades_by_minute(symbol: Symbol) -> dict[int, list[Trade]]:
    found: dict[int, list[Trade]] = {}
    for trade in symbol.trades:
        found.setdefault(trade.time_ms // 60_000, []).append(trade)
    return found


def minutes(records: Iterable[Record], closes: dict[tuple[str, int], int] | None = None) -> dict[Key, Row]:
    """Rows of every subscribed symbol: of the closed minutes if `closes` is given, else of all with an event, dense."""
    with localcontext() as context:
        context.prec = DIGITS
        tape = Tape(closes)
        tape.run(records)
        rows: dict[Key, Row] = {}
        for (venue, name), symbol in tape.symbols.items():
            if closes is not None:
                wanted = sorted(minute for of, minute in closes if of == venue)
            elif venue in tape.span:
                wanted = list(range(tape.span[venue][0], tape.span[venue][1] + 1))
            else:
                wanted = []
            by_minute = _trades_by_minute(symbol)
            for minute in wanted:
                row = row_of(symbol, minute, by_minute.get(minute, []))
                rows[venue, name, minute] = row | tape.at_close.get((venue, name, minute), {})
        return rows


def candles(records: Iterable[Record]) -> dict[Key, Row]:
    """The candle columns of every minute that has a trade, by event time alone. Books and quotes are not looked at."""
    with localcontext() as context:
        context.prec = DIGITS
        reader = Reader()
        symbols: dict[tuple[str, str], Symbol] = {}
        instruments: dict[tuple[str, str], dict[str, Any]] = {}
        for step in reader.read(records):
            if step.record.kind == RecordKind.INSTRUMENT:
                instruments[step.venue, step.control["symbol"]] = step.control
            for seen in step.seen:
                trade = seen.event
                if not isinstance(trade, Trade) or not seen.believed:
                    continue
                told = instruments.get((step.venue, trade.symbol), {})
                if (step.venue, trade.symbol) not in symbols:
                    symbols[step.venue, trade.symbol] = Symbol(
                        step.venue, trade.symbol, Book(step.venue, trade.symbol),
                        told.get("inverse", False), told.get("contract_size", 1),
                    )  # fmt: skip
                symbol = symbols[step.venue, trade.symbol]
                if trade.id not in symbol.ids and trade.in_candles:
                    symbol.trades.append(trade)
                symbol.ids.add(trade.id)
        return {
            (venue, name, minute): candle(symbol, trades)
            for (venue, name), symbol in symbols.items()
            for minute, trades in _trades_by_minute(symbol).items()
        }
