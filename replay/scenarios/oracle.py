"""What must stand in the minute rows, said from the specification alone; nothing of the engine is imported here.

Two questions are answered. What did the exchange trade in a minute (`candle_of`)? And which reasons would be right if
the row of a minute were marked (`Oracle.reasons`; none: it must be ok)? The second follows from the hits of the faults:
what was done to whom, when, in the exchange's own time. Consequences are written down per kind of hit, once, below.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

MINUTE_NS = 60_000_000_000
SECOND_NS = 1_000_000_000
GRACE_S = 3.0  # a hit in the grace of a minute may touch it: the last of its trades were still on their way
FOR_EVER_S = 1e9


class Trade(NamedTuple):
    """One trade as the exchange made it. Order in a list of them is the order in which they were made."""

    symbol: str
    trade_id: int
    price: str
    quantity: str
    taker_buy: bool
    event_ms: int


class Quote(NamedTuple):
    """The best bid and offer as the exchange said it, in the order in which it did."""

    symbol: str
    event_ms: int
    bid: str
    ask: str


class Hit(NamedTuple):
    """What a fault did, in the exchange's time. symbols, channels, connection: to whom; empty: to all of the venue."""

    kind: str
    venue: str
    begin_ns: int
    end_ns: int
    symbols: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    connection: str = ""


class Candle(NamedTuple):
    """Trade columns of a minute. open, close: every price that is right (several if the order was disturbed)."""

    open: frozenset[Decimal]
    high: Decimal
    low: Decimal
    close: frozenset[Decimal]
    base_volume: Decimal
    quote_volume: Decimal
    taker_buy_base_volume: Decimal
    taker_buy_quote_volume: Decimal
    trade_count: int

    def text(self) -> dict[str, str]:
        """Columns as decimal strings, for a person who has to compare."""
        return {name: _text(value) for name, value in self._asdict().items()}


class Mids(NamedTuple):
    """Quote columns of a minute; each is None if no quote was in force for it."""

    mid_open: Decimal | None
    mid_high: Decimal | None
    mid_low: Decimal | None
    mid_close: Decimal | None
    spread_max: Decimal | None


def mids_of(before: Quote | None, quotes: Iterable[Quote]) -> Mids:
    """before: in force when the minute began. quotes: of the minute, in order; none is crossed on the exchange."""
    in_force = [quote for quote in (before, *quotes) if quote is not None]
    if not in_force:
        return Mids(None, None, None, None, None)
    pairs = [(Decimal(quote.bid), Decimal(quote.ask)) for quote in in_force]
    mids = [(bid + ask) / 2 for bid, ask in pairs]
    return Mids(mids[0], max(mids), min(mids), mids[-1], max(ask - bid for bid, ask in pairs))


def candle_of(trades: Iterable[Trade], ordered_by_id: bool, disturbed: bool = False) -> Candle | None:
    """The candle of one symbol's trades of one minute; None without trades.

    Open and close go by (event time, venue order); the venue's order is its id where ids count, else that of arrival.
    disturbed: arrival may have been another, so any trade of the same millisecond may be the first or the last.
    """
    made = list(enumerate(trades))
    if not made:
        return None
    made.sort(key=lambda pair: (pair[1].event_ms, pair[1].trade_id if ordered_by_id else pair[0]))
    in_order = [trade for _, trade in made]
    first, last = in_order[:1], in_order[-1:]
    if disturbed and not ordered_by_id:
        first = [trade for trade in in_order if trade.event_ms == in_order[0].event_ms]
        last = [trade for trade in in_order if trade.event_ms == in_order[-1].event_ms]
    prices = [Decimal(trade.price) for trade in in_order]
    base = quote = buy_base = buy_quote = Decimal(0)
    for trade in in_order:
        price, quantity = Decimal(trade.price), Decimal(trade.quantity)
        base += quantity
        quote += price * quantity
        if trade.taker_buy:
            buy_base += quantity
            buy_quote += price * quantity
    return Candle(
        frozenset(Decimal(trade.price) for trade in first), max(prices), min(prices),
        frozenset(Decimal(trade.price) for trade in last), base, quote, buy_base, buy_quote, len(in_order),
    )  # fmt: skip


TRADES = frozenset({"trade", "aggTrade", "trades"})
QUOTES = frozenset({"bookTicker", "bbo"})
DEPTH = frozenset({"depth", "l2Book"})
CANDLES = frozenset({"kline_1m", "candle"})
CONTEXT = frozenset({"markPrice", "activeAssetCtx", "openInterest", "forceOrder"})

# A row with one of these does not claim that its trade columns are those of the exchange. With any other reason it
# does, since a broken book alone does not touch them.
TRADES_IN_DOUBT = frozenset({
    "edge", "gap", "disconnected", "unconfirmed", "no_data", "price_sanity", "late_trades", "rejected",
    "candle_mismatch", "overflow", "return_outlier",
})  # fmt: skip
# Said of rows that may be ok: no reason to distrust.
REMARKS = frozenset({"no_trades", "book_slow", "recovered", "feed_absent"})

_LOST: tuple[tuple[frozenset[str], frozenset[str]], ...] = (  # channels -> what is right to say if they were lost
    (TRADES, frozenset({"gap", "candle_mismatch", "late_trades", "unconfirmed", "no_data"})),
    (QUOTES, frozenset({"book_gap", "book_stale", "no_data", "unconfirmed"})),
    (DEPTH, frozenset({"book_gap", "book_stale", "l2_stale", "unconfirmed"})),
    (CANDLES, frozenset()),
    (CONTEXT, frozenset({"oi_stale"})),
)
_ALL_LOST = frozenset({"edge", "disconnected", "skew"}).union(*(reasons for _, reasons in _LOST))
_BOOK = frozenset({"book_gap", "book_stale", "l2_stale", "no_data"})
_UNREADABLE = frozenset({"rejected", "malformed"})
_LATE = frozenset({"late_trades", "unconfirmed", "skew", "book_stale", "candle_mismatch", "oi_stale", "gap"})
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a kind of hit may do to rows, and for how long.

    reasons: right for a row it touches. by_channel: also what is right if the channels of the hit were lost.
    settle_s: how long after its end (of noticing included) it may still touch. notice_s: least length that is assumed.
    whole_connection: a hit on one symbol may touch all, because nobody can know whose the bytes were.
    """

    reasons: frozenset[str]
    by_channel: bool = False
    settle_s: float = 0.0
    notice_s: float = 0.0
    whole_connection: bool = False
    never_ok: bool = False  # a minute that lies within it as a whole, a minute after its begin, must not be ok


_LINK = Consequence(_ALL_LOST, settle_s=10.0)
CONSEQUENCES: Mapping[str, Consequence] = {
    # the life of the engine itself
    "start": Consequence(_ALL_LOST, settle_s=10.0),
    "end": Consequence(_ALL_LOST, settle_s=FOR_EVER_S),
    "restart": _LINK,
    # the connection
    "disconnect": _LINK,
    "half_open": Consequence(_ALL_LOST, settle_s=10.0, notice_s=5.0),
    "refuse": Consequence(_ALL_LOST, settle_s=35.0),
    "maintenance": Consequence(_ALL_LOST, settle_s=35.0),
    "slow": Consequence(_ALL_LOST | _LATE, settle_s=10.0),
    "huge": Consequence(_ALL_LOST | _UNREADABLE, settle_s=10.0, whole_connection=True),
    # what is sent on it
    "silent_stream": Consequence(_NONE, by_channel=True, settle_s=10.0),
    "drop": Consequence(_NONE, by_channel=True, settle_s=5.0),
    "delay": Consequence(_LATE, by_channel=True, settle_s=5.0),
    "duplicate": Consequence(_NONE),
    "reorder": Consequence(_NONE),
    "corrupt": Consequence(_ALL_LOST | _UNREADABLE, settle_s=10.0, whole_connection=True),
    "schema_drift": Consequence(_ALL_LOST | _UNREADABLE, settle_s=10.0, whole_connection=True),
    "wrong_sequence": Consequence(_BOOK, settle_s=5.0),
    "crossed_book": Consequence(_BOOK, settle_s=5.0),
    "absurd_price": Consequence(
        _BOOK | _UNREADABLE | {"price_sanity", "return_outlier", "candle_mismatch", "gap", "late_trades"},
        settle_s=60.0,
        whole_connection=True,
    ),
    "burst": Consequence(_NONE),
    "delist": Consequence(_ALL_LOST, settle_s=FOR_EVER_S, never_ok=True),
    # time
    # An offset that comes and goes is two steps; one that stands is corrected.
    "clock_offset": Consequence(_LATE | _UNREADABLE | {"no_data", "edge"}, settle_s=120.0),
    "clock_step": Consequence(_LATE | _UNREADABLE | {"no_data", "edge"}, settle_s=120.0),
    # REST
    "snapshot_race": Consequence(_BOOK, settle_s=35.0),
    "rest_down": Consequence(_BOOK | {"oi_stale"}, settle_s=35.0),
    "rest_slow": Consequence(_BOOK | {"oi_stale"}, settle_s=35.0),
    "rest_429": Consequence(_BOOK | {"oi_stale"}, settle_s=70.0),
    # the host
    "host_clock_step": Consequence(_NONE),
    "loop_stall": Consequence(_ALL_LOST | _LATE, settle_s=10.0),
    "disk_full": Consequence(_NONE),
    "store_trouble": Consequence(_NONE),
    "flood": Consequence(_NONE),
}
# Quotes that came were late, or others than the exchange had: an ok row has to be near, it need not be equal.
OTHER_QUOTES = frozenset(
    {"slow", "delay", "reorder", "crossed_book", "absurd_price", "clock_offset", "clock_step", "loop_stall"}
)
REORDERED_DEPTH = _BOOK  # differences out of order are a sequence gap; trades and quotes out of order are nothing


@dataclass(slots=True)
class Oracle:
    """Truth and hits of one run of one venue's exchange.

    trades, quotes: all that the exchange made and said, in its order. ordered_by_id: its trade ids count, one by one.
    """

    venue: str
    symbols: tuple[str, ...]
    ordered_by_id: bool
    trades: Iterable[Trade]
    hits: tuple[Hit, ...]
    quotes: Iterable[Quote] = ()
    _said: dict[tuple[str, int], list[Quote]] = field(init=False, repr=False)
    _made: dict[tuple[str, int], list[Trade]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        unknown = sorted({hit.kind for hit in self.hits} - set(CONSEQUENCES))
        if unknown:
            raise ValueError(
                f"the oracle knows no consequence of {', '.join(unknown)}; write it down from the specification"
            )
        self._made = defaultdict(list)
        for trade in self.trades:
            self._made[trade.symbol, trade.event_ms // 60_000].append(trade)
        self._said = defaultdict(list)
        for quote in self.quotes:
            self._said[quote.symbol, quote.event_ms // 60_000].append(quote)

    def candle(self, symbol: str, minute: int) -> Candle | None:
        """Trade columns of the minute that begins at minute * 60 s; None: the symbol did not trade."""
        made = self._made.get((symbol, minute), ())
        return candle_of(made, self.ordered_by_id, self.disturbed(symbol, minute))

    def mids(self, symbol: str, minute: int) -> Mids | None:
        """Quote columns of an ok minute; None if nobody can know better than what came (see OTHER_QUOTES)."""
        others = (hit for hit in self.hits if hit.kind in OTHER_QUOTES and _is_of(hit, QUOTES))
        if not self._said or any(self._touches(hit, symbol, minute) for hit in others):
            return None
        earlier = [at for name, at in self._said if name == symbol and at < minute]
        before = self._said[symbol, max(earlier)][-1] if earlier else None
        return mids_of(before, self._said.get((symbol, minute), ()))

    def mids_within(self, symbol: str, minute: int) -> tuple[Decimal, Decimal] | None:
        """Least and greatest mid of the minute and those beside it: no honest mid of the minute lies outside."""
        around = [quote for near in (minute - 1, minute, minute + 1) for quote in self._said.get((symbol, near), ())]
        found = mids_of(None, around)
        return None if found.mid_low is None or found.mid_high is None else (found.mid_low, found.mid_high)

    def disturbed(self, symbol: str, minute: int) -> bool:
        """Whether anything at all was done to the minute, be it something that may not change a row."""
        return any(self._touches(hit, symbol, minute) for hit in self.hits)

    def must_be_marked(self, symbol: str, minute: int) -> bool:
        """Whether an ok row would be a lie, whatever its numbers: nothing was there to be known."""
        return any(
            hit.begin_ns + MINUTE_NS <= minute * MINUTE_NS and hit.end_ns >= (minute + 1) * MINUTE_NS
            for hit in self.hits
            if CONSEQUENCES[hit.kind].never_ok and self._touches(hit, symbol, minute)
        )

    def reasons(self, symbol: str, minute: int) -> frozenset[str]:
        """Reasons that would be right for this row; empty: it must be ok, and equal."""
        found: frozenset[str] = frozenset()
        for hit in self.hits:
            if self._touches(hit, symbol, minute):
                found |= _reasons_of(hit)
        return found

    def _touches(self, hit: Hit, symbol: str, minute: int) -> bool:
        consequence = CONSEQUENCES[hit.kind]
        if hit.venue != self.venue:
            return False
        if hit.symbols and symbol not in hit.symbols and not consequence.whole_connection:
            return False
        end_ns = max(hit.end_ns, hit.begin_ns + int(consequence.notice_s * SECOND_NS))
        if _is_of(hit, TRADES) and consequence.by_channel:
            # A hole in the ids is told by the next trade: the seam to the minute after may carry the mark.
            end_ns = max(end_ns, self._next_trade_ns(symbol, end_ns))
        begins_ns, ends_ns = minute * MINUTE_NS, (minute + 1) * MINUTE_NS
        return (
            hit.begin_ns < ends_ns + int(GRACE_S * SECOND_NS)
            and end_ns + int(consequence.settle_s * SECOND_NS) >= begins_ns
        )

    def _next_trade_ns(self, symbol: str, after_ns: int) -> int:
        minute = after_ns // MINUTE_NS
        last = max((made for name, made in self._made if name == symbol), default=minute)
        while minute <= last:
            for trade in self._made.get((symbol, minute), ()):
                if trade.event_ms * 1_000_000 > after_ns:
                    return trade.event_ms * 1_000_000
            minute += 1
        return after_ns


def _is_of(hit: Hit, channels: frozenset[str]) -> bool:
    return not hit.channels or not channels.isdisjoint(hit.channels)


def _reasons_of(hit: Hit) -> frozenset[str]:
    consequence = CONSEQUENCES[hit.kind]
    reasons = consequence.reasons
    if hit.kind == "reorder" and _is_of(hit, DEPTH):
        reasons |= REORDERED_DEPTH
    if consequence.by_channel:
        for channels, lost in _LOST:
            if _is_of(hit, channels):
                reasons |= lost
    return reasons


def _text(value: frozenset[Decimal] | Decimal | int) -> str:
    if isinstance(value, frozenset):
        return " or ".join(sorted(_text(one) for one in value))
    if isinstance(value, int):
        return str(value)
    return f"{value.normalize():f}"
