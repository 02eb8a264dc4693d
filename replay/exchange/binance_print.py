"""Facts as the `data` of a Binance frame, USD-M or spot, key for key as recorded."""

from __future__ import annotations

from typing import Any

from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MS
from replay.exchange.source import Levels, Sent
from replay.exchange.truth import MS_PER_MINUTE, Candle, Trade
from replay.simulate.frames import fixed

EIGHT_HOURS_MS = 28_800_000


def padded(text: bytes, decimals: int) -> bytes:
    """A printed number with more zeros: 61800.2, 8 -> 61800.20000000."""
    whole, _, part = text.partition(b".")
    return whole + b"." + part.ljust(decimals, b"0")


def sides(levels: Levels) -> bytes:
    return b",".join([b'["%b","%b"]' % level for level in levels])


def truth(flag: bool) -> bytes:
    return b"true" if flag else b"false"


class Texts:
    """What every source of Binance frames shares: facts printed as what stands behind `"data":`."""

    instruments: list[Instrument]
    spot: bool

    def text(self, sent: Sent) -> bytes:
        name = self.instruments[sent.symbol].symbol.encode()
        return PRINTERS[sent.channel](sent.facts, sent.at_ns // NS_PER_MS, name, self.spot)

    def trade_text(self, symbol: int, trade: Trade) -> bytes:
        return self.text(Sent(trade.ms * NS_PER_MS, "trade", symbol, trade))


def _trade(trade: Any, sent_ms: int, name: bytes, spot: bool) -> bytes:
    if spot:
        return b'{"e":"trade","E":%d,"s":"%b","t":%d,"p":"%b","q":"%b","T":%d,"m":%b,"M":true}' % (
            sent_ms, name, trade.id, trade.price, trade.quantity, trade.ms, truth(not trade.buy),
        )  # fmt: skip
    return b'{"e":"trade","E":%d,"T":%d,"s":"%b","t":%d,"p":"%b","q":"%b","X":"MARKET","m":%b}' % (
        sent_ms, trade.ms, name, trade.id, trade.price, trade.quantity, truth(not trade.buy),
    )  # fmt: skip


def _aggregate(one: Any, sent_ms: int, name: bytes, spot: bool) -> bytes:
    if spot:
        form = b'{"e":"aggTrade","E":%d,"s":"%b","a":%d,"p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b,"M":true}'
        facts = (sent_ms, name, one.id)
    else:
        form = b'{"e":"aggTrade","E":%d,"a":%d,"s":"%b","p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b}'
        facts = (sent_ms, one.id, name)
    return form % (*facts, one.price, one.quantity, one.first, one.last, one.ms, truth(not one.buy))


def _quote(quote: Any, sent_ms: int, name: bytes, spot: bool) -> bytes:
    texts = (quote.update, name, quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity)
    if spot:
        return b'{"u":%d,"s":"%b","b":"%b","B":"%b","a":"%b","A":"%b"}' % texts
    form = b'{"e":"bookTicker","u":%d,"s":"%b","b":"%b","B":"%b","a":"%b","A":"%b","T":%d,"E":%d}'
    return form % (*texts, quote.ms, sent_ms)


def _depth(diff: Any, sent_ms: int, name: bytes, spot: bool) -> bytes:
    if spot:
        return b'{"e":"depthUpdate","E":%d,"s":"%b","U":%d,"u":%d,"b":[%b],"a":[%b]}' % (
            sent_ms, name, diff.first, diff.last, sides(diff.bids), sides(diff.asks),
        )  # fmt: skip
    return b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%b","U":%d,"u":%d,"pu":%d,"b":[%b],"a":[%b]}' % (
        sent_ms, diff.ms, name, diff.first, diff.last, diff.before, sides(diff.bids), sides(diff.asks),
    )  # fmt: skip


def _mark(mark: Any, _sent_ms: int, name: bytes, _spot: bool) -> bytes:
    funding_at = (mark.ms // EIGHT_HOURS_MS + 1) * EIGHT_HOURS_MS
    return b'{"e":"markPriceUpdate","E":%d,"s":"%b","p":"%b","i":"%b","r":"%b","T":%d}' % (
        mark.ms, name, mark.mark_price, mark.index_price, mark.rate, funding_at,
    )  # fmt: skip


def _forced(order: Any, sent_ms: int, name: bytes, _spot: bool) -> bytes:
    side, price, size = (b"BUY" if order.buy else b"SELL"), order.price, order.quantity
    return (
        b'{"e":"forceOrder","E":%d,"o":{"s":"%b","S":"%b","o":"LIMIT","f":"IOC","q":"%b","p":"%b","ap":"%b",'
        b'"X":"FILLED","l":"%b","z":"%b","T":%d}}' % (sent_ms, name, side, size, price, price, size, size, order.ms)
    )


PRINTERS = {
    "trade": _trade,
    "aggTrade": _aggregate,
    "bookTicker": _quote,
    "depth": _depth,
    "markPrice": _mark,
    "forceOrder": _forced,
}


class CandlePrinter:
    """Candles of one symbol, in a frame and as a line of REST."""

    def __init__(self, name: bytes, price_decimals: int, quantity_decimals: int, spot: bool) -> None:
        self.name, self.price_decimals, self.quantity_decimals, self.spot = (
            name,
            price_decimals,
            quantity_decimals,
            spot,
        )

    def _numbers(self, candle: Candle) -> tuple[bytes, ...]:
        """open, high, low, close, volume, value, volume and value of taker buys."""
        price, quantity = self.price_decimals, self.quantity_decimals
        texts = [fixed(number, price) for number in (candle.open, candle.high, candle.low, candle.close)]
        for volume, value in ((candle.volume, candle.value), (candle.buy_volume, candle.buy_value)):
            texts += [fixed(volume, quantity), fixed(value, price + quantity)]
        return tuple(padded(text, 8) for text in texts) if self.spot else tuple(texts)

    def frame(self, candle: Candle, sent_ms: int, final: bool) -> bytes:
        opened, high, low, close, volume, value, buy_volume, buy_value = self._numbers(candle)
        begin = candle.minute * MS_PER_MINUTE
        return (
            b'{"e":"kline","E":%d,"s":"%b","k":{"t":%d,"T":%d,"s":"%b","i":"1m","f":%d,"L":%d,"o":"%b","c":"%b",'
            b'"h":"%b","l":"%b","v":"%b","n":%d,"x":%b,"q":"%b","V":"%b","Q":"%b","B":"0"}}'
        ) % (
            sent_ms, self.name, begin, begin + MS_PER_MINUTE - 1, self.name, candle.first, candle.last, opened, close,
            high, low, volume, candle.count, truth(final), value, buy_volume, buy_value,
        )  # fmt: skip

    def line(self, candle: Candle) -> bytes:
        opened, high, low, close, volume, value, buy_volume, buy_value = self._numbers(candle)
        begin = candle.minute * MS_PER_MINUTE
        return b'[%d,"%b","%b","%b","%b","%b",%d,"%b",%d,"%b","%b","0"]' % (
            begin, opened, high, low, close, volume, begin + MS_PER_MINUTE - 1, value, candle.count, buy_volume,
            buy_value,
        )  # fmt: skip
