"""Events as the bytes a venue prints. One printer per venue, with the same three methods; no number here is a float."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from replay.simulate import layout as at
from replay.simulate.market import Listing, Market

Row = list[int]
Levels = list[list[int]]
EIGHT_HOURS_MS = 28_800_000


def fixed(value: int, decimals: int) -> bytes:
    """A scaled whole number with all its decimals: 6180020, 2 -> 61800.20."""
    if decimals == 0:
        return b"%d" % value
    sign, scale = (b"-" if value < 0 else b""), 10**decimals
    whole, part = divmod(abs(value), scale)
    return sign + b"%d.%0*d" % (whole, decimals, part)


def shortest(value: int, decimals: int) -> bytes:
    """The same without trailing zeros, but with at least one decimal: 61800.0, 0.38111."""
    text = fixed(value, decimals)
    if b"." not in text:
        return text + b".0"
    text = text.rstrip(b"0")
    return text + b"0" if text.endswith(b".") else text


MEMO_MOST = 250  # printed numbers a symbol: what repeats does so soon, and a venue may run for weeks


class Memo(dict[int, bytes]):
    """Printed numbers by value: prices and sizes repeat."""

    def __init__(self, write: Callable[[int], bytes]) -> None:
        super().__init__()
        self.write = write

    def __missing__(self, value: int) -> bytes:
        if len(self) >= MEMO_MOST:
            self.clear()
        text = self[value] = self.write(value)
        return text


class _Printer:
    """What both venues share: scales, time and the printed numbers of one symbol each."""

    def __init__(self, market: Market, listed: list[Listing], number: Callable[[int, int], bytes]) -> None:
        self.market, self.listed = market, listed
        self.origin_ms = market.start_ns // 1_000_000
        self.symbols = [listing.instrument.symbol.encode() for listing in listed]
        self.prices = [Memo(_price(listing, number)) for listing in listed]
        self.sizes = [Memo(_size(listing, number)) for listing in listed]


def _price(listing: Listing, number: Callable[[int, int], bytes]) -> Callable[[int], bytes]:
    return lambda ticks: number(ticks * listing.tick_units, listing.instrument.price_decimals)


def _size(listing: Listing, number: Callable[[int, int], bytes]) -> Callable[[int], bytes]:
    return lambda lots: number(lots, listing.instrument.quantity_decimals)


class Binance(_Printer):
    """USD-M combined streams, key for key as recorded in 2024. T is the matching engine's time, E the sending."""

    channels = ("trade", "bookTicker", "depth", "markPrice")  # the update speed is part of a stream's name only
    groups_orders = False
    asks_snapshots = True

    def __init__(self, market: Market, listed: list[Listing]) -> None:
        super().__init__(market, listed, fixed)
        self.streams = [symbol.lower() for symbol in self.symbols]

    def frame(self, rows: list[Row], at_row: int, levels: Levels, sent_ms: int) -> bytes:
        row = rows[at_row]
        kind, symbol, ms = row[at.KIND], row[at.SYMBOL], self.origin_ms + row[at.TIME]
        name, stream, price, size = self.symbols[symbol], self.streams[symbol], self.prices[symbol], self.sizes[symbol]
        if kind == at.QUOTE:
            return (
                b'{"stream":"%b@bookTicker","data":{"e":"bookTicker","u":%d,"s":"%b","b":"%b","B":"%b","a":"%b","A":"%b","T":%d,"E":%d}}'
                % (
                    stream,
                    row[at.Q_UPDATE],
                    name,
                    price[row[at.Q_BID]],
                    size[row[at.Q_BID_LOTS]],
                    price[row[at.Q_ASK]],
                    size[row[at.Q_ASK_LOTS]],
                    ms,
                    sent_ms,
                )
            )
        if kind == at.TRADE:
            maker = b"true" if row[at.SIGN] < 0 else b"false"
            return (
                b'{"stream":"%b@trade","data":{"e":"trade","E":%d,"T":%d,"s":"%b","t":%d,"p":"%b","q":"%b","X":"MARKET","m":%b}}'
                % (
                    stream,
                    sent_ms,
                    ms,
                    name,
                    row[at.NUMBER],
                    price[row[at.PRICE]],
                    size[row[at.LOTS]],
                    maker,
                )
            )
        if kind == at.CHANGES:
            bids, asks = self._sides(row, levels, price, size)
            return (
                b'{"stream":"%b@depth@0ms","data":{"e":"depthUpdate","E":%d,"T":%d,"s":"%b","U":%d,"u":%d,"pu":%d,"b":[%b],"a":[%b]}}'
                % (
                    stream,
                    sent_ms,
                    ms,
                    name,
                    row[at.B_FIRST],
                    row[at.B_LAST],
                    row[at.B_BEFORE],
                    bids,
                    asks,
                )
            )
        if kind == at.DEPTH_SNAPSHOT:
            bids, asks = self._sides(row, levels, price, size)
            body = b'{"lastUpdateId":%d,"E":%d,"T":%d,"bids":[%b],"asks":[%b]}' % (
                row[at.B_LAST],
                min(sent_ms, ms + 8),
                ms,
                bids,
                asks,
            )
            return b"depth %b\n%b" % (name, body)
        funding_at = (ms // EIGHT_HOURS_MS + 1) * EIGHT_HOURS_MS
        return (
            b'{"stream":"%b@markPrice@1s","data":{"e":"markPriceUpdate","E":%d,"s":"%b","p":"%b","i":"%b","r":"%b","T":%d}}'
            % (
                stream,
                ms,
                name,
                fixed(row[at.MARK], 8),
                fixed(row[at.INDEX], 8),
                fixed(row[at.FUNDING_RATE] * 8 // 100, 8),
                funding_at,
            )
        )

    @staticmethod
    def _sides(row: Row, levels: Levels, price: Memo, size: Memo) -> tuple[bytes, bytes]:
        begin = row[at.LEVEL_AT]
        middle = begin + row[at.BIDS]
        text = [b'["%b","%b"]' % (price[p], size[q]) for p, q in levels[begin : middle + row[at.ASKS]]]
        return b",".join(text[: row[at.BIDS]]), b",".join(text[row[at.BIDS] :])


class Hyperliquid(_Printer):
    """Trades of one order in one message; best bid and ask; 20 levels a side; asset context without a time."""

    channels = ("trades", "bbo", "l2Book", "activeAssetCtx")
    groups_orders = True
    asks_snapshots = False
    USERS = 64

    def __init__(self, market: Market, listed: list[Listing]) -> None:
        super().__init__(market, listed, shortest)
        salt = market.seed.to_bytes(8, "little")
        self.salts = [salt + symbol for symbol in self.symbols]
        self.users = [
            hashlib.blake2b(salt + b"%d" % user, digest_size=20).hexdigest().encode() for user in range(self.USERS)
        ]

    def frame(self, rows: list[Row], at_row: int, levels: Levels, sent_ms: int) -> bytes:
        row = rows[at_row]
        kind, symbol, ms = row[at.KIND], row[at.SYMBOL], self.origin_ms + row[at.TIME]
        name, price, size = self.symbols[symbol], self.prices[symbol], self.sizes[symbol]
        if kind == at.QUOTE:
            bid, ask = (row[at.Q_BID], row[at.Q_BID_LOTS]), (row[at.Q_ASK], row[at.Q_ASK_LOTS])
            return b'{"channel":"bbo","data":{"coin":"%b","time":%d,"bbo":[%b,%b]}}' % (
                name,
                ms,
                _level(price, size, *bid),
                _level(price, size, *ask),
            )
        if kind == at.TRADE:
            return b'{"channel":"trades","data":[%b]}' % self._trades(rows[at_row : at_row + row[at.FILLS]], symbol, ms)
        if kind == at.BOOK:
            text = [_level(price, size, p, q) for p, q in levels[row[at.LEVEL_AT] : row[at.LEVEL_AT] + 2 * at.PRINTED]]
            bids, asks = b",".join(text[: at.PRINTED]), b",".join(text[at.PRINTED :])
            return b'{"channel":"l2Book","data":{"coin":"%b","time":%d,"levels":[[%b],[%b]]}}' % (name, ms, bids, asks)
        return self._context(row, symbol, name)

    def _trades(self, rows: list[Row], symbol: int, ms: int) -> bytes:
        price, size = self.prices[symbol], self.sizes[symbol]
        return b",".join(
            self.trade(
                symbol,
                row[at.ORDER],
                row[at.NUMBER],
                row[at.SIGN] > 0,
                price[row[at.PRICE]],
                size[row[at.LOTS]],
                ms,
            )
            for row in rows
        )

    def trade(self, symbol: int, order: int, number: int, buy: bool, price: bytes, size: bytes, ms: int) -> bytes:
        """One trade of a message. Hash and taker follow from the order, id and maker from the number."""
        hashed = hashlib.blake2b(b"%d" % order, digest_size=32, key=self.salts[symbol]).digest()
        tag = self._tag(symbol, number)
        taker, maker = self.users[hashed[0] % self.USERS], self.users[tag[0] % self.USERS]
        side, buyer, seller = (b"B", taker, maker) if buy else (b"A", maker, taker)
        return (
            b'{"coin":"%b","side":"%b","px":"%b","sz":"%b","time":%d,"hash":"0x%b","tid":%d,"users":["0x%b","0x%b"]}'
        ) % (
            self.symbols[symbol], side, price, size, ms, hashed.hex().encode(), self._id(tag), buyer, seller,
        )  # fmt: skip

    def trade_id(self, symbol: int, number: int) -> int:
        """What the venue calls the trade of this number: 50 bits that do not count."""
        return self._id(self._tag(symbol, number))

    @staticmethod
    def _id(tag: bytes) -> int:
        return int.from_bytes(tag, "little") >> 14

    def _tag(self, symbol: int, number: int) -> bytes:
        return hashlib.blake2b(b"%d" % number, digest_size=8, key=self.salts[symbol]).digest()

    def _context(self, row: Row, symbol: int, name: bytes) -> bytes:
        listing = self.listed[symbol]
        bid, ask, price = row[at.TOUCH_BID], row[at.TOUCH_ASK], self.prices[symbol]
        decimals, units = listing.instrument.price_decimals, listing.tick_units
        quantity = listing.instrument.quantity_decimals
        volume = row[at.DAY] * row[at.MARK] // 10 ** (quantity + 2)  # quote units in 1e-6
        premium = (row[at.MARK] - row[at.INDEX]) * 10**8 // row[at.INDEX]
        keep = 8 - decimals
        return (
            b'{"channel":"activeAssetCtx","data":{"coin":"%b","ctx":{"funding":"%b","openInterest":"%b","prevDayPx":"%b","dayNtlVlm":"%b",'
            b'"premium":"%b","oraclePx":"%b","markPx":"%b","midPx":"%b","impactPxs":["%b","%b"],"dayBaseVlm":"%b"}}}'
        ) % (
            name,
            shortest(row[at.FUNDING_RATE], 10),
            shortest(row[at.INTEREST_LOTS], quantity),
            price[_opening(listing)],
            shortest(volume, 6),
            shortest(premium, 8),
            shortest(row[at.INDEX] // 10**keep, decimals),
            shortest(row[at.MARK] // 10**keep, decimals),
            shortest((bid + ask) * units * 5, decimals + 1),
            price[bid - 1],
            price[ask + 1],
            shortest(row[at.DAY], quantity),
        )


def _opening(listing: Listing) -> int:
    return int(listing.price / listing.tick + 0.5)


def _level(price: Memo, size: Memo, ticks: int, lots: int) -> bytes:
    # The number of orders is not simulated; a plausible count follows from the size alone.
    return b'{"px":"%b","sz":"%b","n":%d}' % (price[ticks], size[lots], 1 + (lots * 7 + ticks) % 9)


PRINTERS: dict[str, Any] = {"hyperliquid": Hyperliquid, "binance_usdm": Binance}


def subscription(market: Market, listed: list[Listing]) -> bytes:
    channels = PRINTERS[market.venue].channels
    wanted = [{"channel": channel, "symbol": listing.instrument.symbol} for listing in listed for channel in channels]
    return orjson.dumps({"venue": market.venue, "channels": wanted})


def connection(market: Market, state: str, reason: str) -> bytes:
    return orjson.dumps({"venue": market.venue, "state": state, "reason": reason})
