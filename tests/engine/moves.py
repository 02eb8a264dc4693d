"""One move of a generated session, and how a venue tells it: the frames, and when each of them may be received.

The exchange is LAG_MS ahead of the receiver, and an anchor (a trade of a symbol of its own, four a minute and behind
every connect) holds the clock offset there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.core.minutes import MS_PER_MINUTE
from tests.engine.story import START_MS, Story

LAG_MS, TICK_MS, DELAY_MS_MAX = 100, 500, 400  # the lateness is 500 ms: a delay stays inside it
ANCHORS_MS = (600, 20_000, 40_000, 59_200)  # in every minute: it closes by event, and its book is fresh then
SYMBOLS = {
    "binance_usdm": ("XUSDT", "YUSDT", "ANCHOR"),
    "binance_spot": ("XUSDT", "YUSDT", "ANCHOR"),
    "binance_coinm": ("XUSD_PERP", "YUSD_PERP", "ANCHOR"),
    "hyperliquid": ("BTC", "ETH", "ANCHOR"),
}
CHANNELS = {
    "binance_usdm": ("bookTicker", "depth", "markPrice", "openInterest", "forceOrder", "kline_1m"),
    "binance_coinm": ("bookTicker", "depth", "markPrice", "openInterest", "forceOrder", "kline_1m"),
    "binance_spot": ("bookTicker", "depth", "kline_1m"),
    "hyperliquid": ("trades", "bbo", "l2Book", "activeAssetCtx", "candle"),
}


class Move(NamedTuple):
    """One thing that happens. wait_ms: after the move before it, of either venue; a, b: what the kind makes of them."""

    kind: str
    venue: int  # 0: the Binance venue, 1: Hyperliquid
    symbol: int  # 0 or 1
    wait_ms: int
    delay_ms: int  # above LAG_MS, on the way to the receiver
    a: int  # mostly a price in cents
    b: int  # mostly a quantity in thousandths
    buy: bool


class Room(NamedTuple):
    """When a trade frame may be received, ms since the start of M, both ends included."""

    first: int
    last: int


@dataclass
class Teller:
    """One venue's side of a session."""

    story: Story
    source: int
    trade_channels: tuple[str, ...]
    rooms: dict[int, Room] = field(default_factory=dict)  # by place in story.records
    symbols_of: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sent: int = 0
    newest_came: int = -30_000
    up_came: int = -30_000
    book_came: list[int] = field(default_factory=lambda: [-30_000, -30_000])
    last_ids: list[int] = field(default_factory=lambda: [10, 10])
    used_ms: set[tuple[int, int]] = field(default_factory=set)
    frames_of_trades: list[int] = field(default_factory=list)
    anchored_ms: int = -(10**9)
    numbered: list[tuple[int, int, int]] = field(default_factory=list)  # (symbol, ms, id) of every trade there was
    lost: list[tuple[int, int, int, int, int, bool]] = field(default_factory=list)  # and of those not heard: what of

    @property
    def venue(self) -> str:
        return self.story.venue

    def connect(self, came: int) -> None:
        self.story.connection("up", came, self.source)
        self.story.subscribe([*CHANNELS[self.venue], *self.trade_channels], came, self.source)
        self.newest_came, self.up_came = max(self.newest_came, came), came
        for s in (0, 1):
            self.play("snapshot", came, s)
        self.anchor(came + 1 - LAG_MS)

    def play(self, kind: str, ms: int, symbol: int) -> None:
        """A usual move without any delay."""
        PLAY[kind](self, Move(kind, self.source - 1, symbol, 0, 0, 10_000, 1_000, True), ms)

    def anchor(self, ms: int) -> None:
        """A trade of the third symbol without any delay; and what keeps the other two from being stale at a close."""
        self._trade_frame(ms + LAG_MS, None, [(2, ms, 10_000, 1_000, True, self.next_id(2))])
        self.anchored_ms = ms
        for symbol in (0, 1):
            for kind in ("quote", "interest", "context"):
                self.play(kind, ms, symbol)
            if self.venue == "hyperliquid":
                self.play("book", ms, symbol)

    def next_id(self, symbol: int) -> int:
        name = self.story.symbols[symbol]
        self.story.ids[name] = self.story.ids.get(name, 0) + 1
        return self.story.ids[name]

    def free_ms(self, symbol: int, ms: int) -> int:
        """An instant without another trade of the symbol: where arrival is the order, it must not decide here."""
        while (symbol, ms) in self.used_ms:
            ms += 1
        self.used_ms.add((symbol, ms))
        return ms

    def trade(self, ms: int, came: int, room: Room, trades: Sequence[tuple[int, int, int, bool]], **more: Any) -> None:
        """Trades (symbol, price, quantity, buy) of one frame, or on Binance of one frame each, at `ms`."""
        if self.venue != "hyperliquid":
            for symbol, price, quantity, buy in trades:
                at = [(symbol, ms, price, quantity, buy, self.next_id(symbol))]
                self._trade_frame(came, room, at, **more)
            return
        told = []
        for symbol, price, quantity, buy in trades:
            told.append((symbol, ms, price, quantity, buy, self.next_id(symbol) * 7_919 % 1_000_003))
        self._trade_frame(came, room, told)

    def _trade_frame(
        self, came: int, room: Room | None, trades: Sequence[tuple[int, int, int, int, bool, int]], **more: Any
    ) -> None:
        story, names = self.story, self.story.symbols
        if self.venue == "hyperliquid":
            data = [
                {
                    "coin": names[s], "side": "B" if buy else "A", "px": price_of(price), "sz": self.size_of(quantity),
                    "time": START_MS + at, "hash": "0x0", "tid": number,
                }
                for s, at, price, quantity, buy, number in trades
            ]  # fmt: skip
            self._note(story.frame(came, {"channel": "trades", "data": data}, self.source), room, trades)
            self.sent += len(trades)
            return
        ((s, at, price, quantity, buy, number),) = trades
        if at <= came:  # else it comes from the future, and is not believed
            self.numbered.append((s, at, number))
        for channel in self.trade_channels:
            if channel == "trade":
                place = story.trade(
                    at, price_of(price), self.size_of(quantity), buy, number, came, self.source, names[s], **more
                )
            else:
                place = self._aggregate(at, came, names[s], price, quantity, buy, number)
            self._note(place, room, trades)
        self.sent += 1

    def _aggregate(self, ms: int, came: int, name: str, price: int, quantity: int, buy: bool, number: int) -> int:
        data: dict[str, Any] = {
            "e": "aggTrade", "E": START_MS + ms, "s": name, "a": number, "p": price_of(price),
            "q": self.size_of(quantity), "f": 10 * number, "l": 10 * number + quantity % 3, "T": START_MS + ms,
            "m": not buy,
        }  # fmt: skip
        data |= {"M": True} if self.venue == "binance_spot" else {}
        return self.story.frame(came, {"stream": f"{name.lower()}@aggTrade", "data": data}, self.source)

    def _note(self, place: int, room: Room | None, trades: Sequence[tuple[int, ...]]) -> None:
        if room is not None:
            self.symbols_of[place] = tuple(sorted({trade[0] for trade in trades}))
            self.rooms[place] = room
            self.frames_of_trades.append(place)
            self.newest_came = max(self.newest_came, room.last)

    def again(self, which: int, came: int) -> None:
        """A trade frame that was sent before, once more."""
        if not self.frames_of_trades:
            return
        place = self.frames_of_trades[which % len(self.frames_of_trades)]
        if self.rooms[place].last >= came:
            return
        self.story.frame(came, self.story.records[place].payload, self.source)
        channel = b"aggTrade" if b"@aggTrade" in self.story.records[place].payload else b"trade"
        if self.venue == "hyperliquid" or channel.decode() == self.trade_channels[0]:
            self.sent += len(trades_in(self.story.records[place].payload))

    def size_of(self, quantity: int) -> str:
        return str(quantity) if self.venue == "binance_coinm" else f"{quantity / 1000:.3f}"


def price_of(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def trades_in(payload: bytes) -> list[Any]:
    """One item for every trade of a frame."""
    return [None] * max(payload.count(b'"tid"'), 1)


def minute_end(ms: int) -> int:
    """ms since the start of M at which the minute of `ms` ends."""
    return (ms // MS_PER_MINUTE + 1) * MS_PER_MINUTE


# --- one function a kind of move; ms: now, on the exchange's clock ----------------------------------------------------


def _trade(teller: Teller, move: Move, ms: int, **more: Any) -> None:
    ms = teller.free_ms(move.symbol, ms)
    room = Room(ms + LAG_MS, ms + LAG_MS + DELAY_MS_MAX)
    teller.trade(ms, room.first + move.delay_ms, room, [(move.symbol, move.a, move.b, move.buy)], **more)


def _trades(teller: Teller, move: Move, ms: int) -> None:
    """Two to five at one instant, of both symbols if `a` is odd."""
    for symbol in (0, 1):
        while (symbol, ms) in teller.used_ms:
            ms += 1
    teller.used_ms |= {(0, ms), (1, ms)}
    room = Room(ms + LAG_MS, ms + LAG_MS + DELAY_MS_MAX)
    made = [((move.symbol + n * (move.a % 2)) % 2, move.a + 3 * n, move.b + n, move.buy) for n in range(2 + move.b % 4)]
    teller.trade(ms, room.first + move.delay_ms, room, made)


def _late(teller: Teller, move: Move, ms: int) -> None:
    """A trade of the minute before that comes in its grace, behind the tick that closes it at the latest."""
    boundary = minute_end(ms) - MS_PER_MINUTE
    at = teller.free_ms(move.symbol, boundary - 1_000 + move.a % 900)
    step = TICK_MS * (3 + move.b % 3)  # 1,500, 2,000 or 2,500 ms behind the boundary
    room = Room(boundary + LAG_MS + step + 1, boundary + LAG_MS + step + TICK_MS - 1)
    if room.first > teller.up_came:
        teller.trade(at, room.first + move.delay_ms, room, [(move.symbol, move.a, move.b, move.buy)])


def _dropped(teller: Teller, move: Move, ms: int) -> None:
    """A trade of a closed minute, after its grace; it may not move over a tick."""
    boundary = minute_end(ms) - MS_PER_MINUTE * (1 + move.b % 2)
    at = teller.free_ms(move.symbol, boundary - 1_000 + move.a % 900)
    ticked = max(boundary + 3_000, -(-ms // TICK_MS) * TICK_MS) + LAG_MS
    room = Room(ticked + 1, ticked + TICK_MS - 1)
    if room.first > teller.up_came:
        teller.trade(at, room.first + move.delay_ms, room, [(move.symbol, move.a, move.b, move.buy)])


def _again(teller: Teller, move: Move, ms: int) -> None:
    teller.again(move.a, ms + LAG_MS + DELAY_MS_MAX)
    teller.newest_came = max(teller.newest_came, ms + LAG_MS + DELAY_MS_MAX)


def _fund(teller: Teller, move: Move, ms: int) -> None:
    _trade(teller, move, ms, **({"X": "INSURANCE_FUND"} if teller.venue in ("binance_usdm", "binance_coinm") else {}))


def _future(teller: Teller, move: Move, ms: int) -> None:
    """More than five seconds ahead of its receipt: not believed."""
    came = ms + LAG_MS
    at = teller.free_ms(move.symbol, came + 5_001 + move.a)
    teller.trade(at, came, Room(came, came), [(move.symbol, move.a, move.b, move.buy)])


def _quote(teller: Teller, move: Move, ms: int) -> None:
    spread = move.b % 6 - 1  # crossed, locked or open
    sizes = [teller.size_of(q) for q in (move.b, 5_001 - move.b if move.a % 7 else 0)]
    story = teller.story
    place = story.quote(
        ms, price_of(move.a), sizes[0], price_of(move.a + spread), sizes[1], ms + LAG_MS + move.delay_ms, teller.source,
        story.symbols[move.symbol], teller.last_ids[move.symbol],
    )  # fmt: skip
    teller.symbols_of[place] = (move.symbol,)


def _levels(teller: Teller, move: Move) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    count = 1 + move.b % 4
    bids = [(price_of(move.a - 5 * n), teller.size_of(move.b + n)) for n in range(count)]
    asks = [(price_of(move.a + 7 + 5 * n), teller.size_of(move.b + 2 * n)) for n in range(count)]
    return bids, asks


def _book(teller: Teller, move: Move, ms: int, lost: int = 0) -> None:
    s = move.symbol
    came = max(ms + LAG_MS + move.delay_ms, teller.book_came[s])  # a depth channel does not overtake itself
    teller.book_came[s] = came
    bids, asks = _levels(teller, move)
    story, name = teller.story, teller.story.symbols[s]
    if teller.venue == "hyperliquid":
        place = story.book(ms, bids, asks, came, teller.source, name)
    else:
        last = teller.last_ids[s] + lost
        teller.last_ids[s] = last + 2
        asks = [(price, teller.size_of(0)) if n % 2 else (price, size) for n, (price, size) in enumerate(asks)]
        place = story.diff(ms, last + 1, last + 2, last, bids, asks, came, teller.source, name)
    teller.symbols_of[place] = (s,)


def _gap(teller: Teller, move: Move, ms: int) -> None:
    _book(teller, move, ms, lost=5)


def _snapshot(teller: Teller, move: Move, ms: int) -> None:
    if teller.venue == "hyperliquid":
        return
    s, bids_asks = move.symbol, _levels(teller, move)
    came = max(ms + LAG_MS, teller.book_came[s])
    teller.book_came[s] = came
    data = {"lastUpdateId": teller.last_ids[s] - move.a % 2, "bids": bids_asks[0], "asks": bids_asks[1]}
    teller.story.rest(came, "depth", data, teller.source, teller.story.symbols[s])


def _context(teller: Teller, move: Move, ms: int) -> None:
    story, name = teller.story, teller.story.symbols[move.symbol]
    data: dict[str, Any]
    if teller.venue == "hyperliquid":
        context = {"funding": "-0.00001", "openInterest": f"{move.b}.5", "markPx": price_of(move.a), "oraclePx": "100"}
        data = {"channel": "activeAssetCtx", "data": {"coin": name, "ctx": context}}
    else:
        body = {
            "e": "markPriceUpdate",
            "E": START_MS + ms,
            "s": name,
            "p": price_of(move.a),
            "i": "99.5",
            "r": "0.0001",
        }
        data = {"stream": f"{name.lower()}@markPrice", "data": body | {"r": "0.0001", "T": START_MS + 28_800_000}}
    place = story.frame(ms + LAG_MS + move.delay_ms, data, teller.source)
    teller.symbols_of[place] = (move.symbol,)


def _interest(teller: Teller, move: Move, ms: int) -> None:
    if teller.venue in ("binance_usdm", "binance_coinm"):
        data = {"openInterest": f"{move.b}.25", "time": START_MS + ms}
        teller.story.rest(
            ms + LAG_MS + move.delay_ms, "openInterest", data, teller.source, teller.story.symbols[move.symbol]
        )


def _liquidation(teller: Teller, move: Move, ms: int) -> None:
    if teller.venue in ("binance_usdm", "binance_coinm"):
        name = teller.story.symbols[move.symbol]
        order = {
            "s": name,
            "S": "BUY" if move.buy else "SELL",
            "z": teller.size_of(move.b),
            "p": "100",
            "T": START_MS + ms,
        }
        data = {"stream": f"{name.lower()}@forceOrder", "data": {"e": "forceOrder", "E": START_MS + ms, "o": order}}
        teller.story.frame(ms + LAG_MS + move.delay_ms, data, teller.source)


def _candle(teller: Teller, move: Move, ms: int) -> None:
    """A candle of the minute before, whose numbers are hardly ever ours."""
    name, began = teller.story.symbols[move.symbol], START_MS + minute_end(ms) - 2 * MS_PER_MINUTE
    k: dict[str, Any] = {"t": began, "s": name, "i": "1m", "n": 1} | dict.fromkeys("ohlcv", "100")
    if teller.venue == "hyperliquid":
        data: dict[str, Any] = {"channel": "candle", "data": k}
    else:
        k |= {"x": move.buy, "q": "0", "V": "0", "Q": "0"}
        data = {"stream": f"{name.lower()}@kline_1m", "data": {"e": "kline", "s": name, "k": k}}
    teller.story.frame(ms + LAG_MS + move.delay_ms, data, teller.source)


def _odd(teller: Teller, move: Move, ms: int) -> None:
    """What is no message of a minute: an answer, a frame cut short, a symbol nobody asked for."""
    frames = (b'{"result":null,"id":1}', b'{"stream":"x', b"{}", b'{"channel":"pong"}', b"")
    teller.story.frame(ms + LAG_MS + move.delay_ms, frames[move.a % len(frames)], teller.source)


def _reconnect(teller: Teller, move: Move, ms: int) -> None:
    away = teller.newest_came + 1
    teller.story.down(max(away, ms + LAG_MS + DELAY_MS_MAX + 1), teller.source)
    teller.newest_came = max(away, ms + LAG_MS + DELAY_MS_MAX + 1) + 10 * move.b
    teller.connect(teller.newest_came)


PLAY: dict[str, Callable[[Teller, Move, int], None]] = {
    "trade": _trade, "trades": _trades, "late": _late, "dropped": _dropped, "again": _again, "fund": _fund,
    "future": _future, "quote": _quote, "book": _book, "gap": _gap, "snapshot": _snapshot, "context": _context,
    "interest": _interest, "liquidation": _liquidation, "candle": _candle, "odd": _odd, "reconnect": _reconnect,
}  # fmt: skip
