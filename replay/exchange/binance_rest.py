"""Binance's REST of public market data: weights, errors and bodies as the venue gives them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import orjson

from replay.exchange.binance_print import CandlePrinter, padded, sides, truth
from replay.exchange.limits import Gate, RefusedError
from replay.exchange.protocol import JSON, path_and_query
from replay.exchange.truth import MS_PER_MINUTE, Aggregate, Trade
from replay.simulate.frames import fixed

if TYPE_CHECKING:
    from replay.exchange.exchange import Exchange, Reply

Query = dict[str, str]
DAY_MS = 86_400_000
FUNDING_INTERVAL_H = 8
DEPTH_WEIGHTS = {
    False: ((50, 2), (100, 5), (500, 10), (1000, 20)),
    True: ((100, 5), (500, 25), (1000, 50), (5000, 250)),
}
KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))


def bad(code: int, told: str, status: int = 400) -> RefusedError:
    return RefusedError(status, orjson.dumps({"code": code, "msg": told}))


def unknown_symbol() -> RefusedError:
    return bad(-1121, "Invalid symbol.")


def not_yet() -> RefusedError:
    return bad(-1001, "Internal error; unable to process your request. Please try again.", 503)


class BinanceRest:
    """Requests by the last part of their path, each with its weight and its body."""

    def __init__(self, exchange: Exchange, prefix: str, spot: bool, candles: list[CandlePrinter]) -> None:
        self.exchange, self.prefix, self.spot, self.candles = exchange, prefix, spot, candles
        self.answers: dict[str, tuple[Callable[[Query], int], Callable[[Query], bytes]]] = {
            "ping": (lambda query: 1, lambda query: b"{}"),
            "time": (lambda query: 1, lambda query: b'{"serverTime":%d}' % self.exchange.venue_ms()),
            "exchangeInfo": (lambda query: 20 if spot else 1, self.exchange_info),
            "depth": (self._depth_weight, self.depth),
            "trades": (lambda query: 25 if spot else 5, self.trades),
            "aggTrades": (lambda query: 4 if spot else 20, self.aggregates),
            "klines": (self._kline_weight, self.klines),
            "ticker/24hr": (self._ticker_weight, self.ticker),
        }
        if not spot:
            self.answers["openInterest"] = (lambda query: 1, self.open_interest)
            self.answers["premiumIndex"] = (lambda query: 1, self.premium_index)
            self.answers["fundingInfo"] = (lambda query: 1, self.funding_info)

    def request(self, gate: Gate, method: str, target: str) -> Reply:
        from replay.exchange.exchange import Reply

        path, query = path_and_query(target)
        name = path.removeprefix(self.prefix + "/")
        if name not in self.answers or not path.startswith(self.prefix):
            raise RefusedError(404, b"<html><body><h2>404 Not found</h2></body></html>", {"content-type": "text/html"})
        if method != "GET":
            raise bad(-1000, f"Request method '{method}' is not supported.", 405)
        weight, answer = self.answers[name]
        used = gate.request(self.exchange.now_ns, weight(query))
        delay_s = self.exchange.faults.request(name, query.get("symbol", "*"))
        return Reply(200, {**JSON, "x-mbx-used-weight-1m": str(used)}, answer(query), delay_s)

    # Weights

    def _depth_weight(self, query: Query) -> int:
        limit, steps = _limit(query, 500 if not self.spot else 100, 5000), DEPTH_WEIGHTS[self.spot]
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    def _kline_weight(self, query: Query) -> int:
        if self.spot:
            return 2
        limit = _limit(query, 500, 1500)
        return next(weight for most, weight in KLINE_WEIGHTS if limit <= most)

    def _ticker_weight(self, query: Query) -> int:
        one, every = (2, 80) if self.spot else (1, 40)
        return one if "symbol" in query else every

    # Bodies

    def _place(self, query: Query) -> int:
        if "symbol" not in query:
            raise bad(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        place = self.exchange.places.get(query["symbol"])
        if place is None or not self.exchange.traded(place):
            raise unknown_symbol()
        return place

    def depth(self, query: Query) -> bytes:
        place, limit = self._place(query), _limit(query, 100 if self.spot else 500, 5000 if self.spot else 1000)
        ladder = self.exchange.faults.ladder(place)
        if not ladder.last:
            raise not_yet()
        bids, asks = ladder.sides(limit)
        if self.spot:
            return b'{"lastUpdateId":%d,"bids":[%b],"asks":[%b]}' % (ladder.reach, sides(bids), sides(asks))
        return b'{"lastUpdateId":%d,"E":%d,"T":%d,"bids":[%b],"asks":[%b]}' % (
            ladder.reach, self.exchange.venue_ms(), ladder.ms, sides(bids), sides(asks),
        )  # fmt: skip

    def trades(self, query: Query) -> bytes:
        limit = _limit(query, 500, 1000)
        return self._list(self._trade(one) for one in self.exchange.truth.records[self._place(query)].trades[-limit:])

    def _trade(self, one: Trade) -> bytes:
        value = _product(one.price, one.quantity, self.spot)
        return b'{"id":%d,"price":"%b","qty":"%b","quoteQty":"%b","time":%d,"isBuyerMaker":%b%b}' % (
            one.id, one.price, one.quantity, value, one.ms, truth(not one.buy),
            b',"isBestMatch":true' if self.spot else b"",
        )  # fmt: skip

    def aggregates(self, query: Query) -> bytes:
        held, limit = self.exchange.truth.records[self._place(query)].aggregates, _limit(query, 500, 1000)
        begin, end = _time(query, "startTime"), _time(query, "endTime")
        if "fromId" in query:
            wanted = _number(query, "fromId")
            first = bisect_left(held, wanted, key=lambda one: one.id)
            chosen = held[first : first + limit]
        elif begin is not None or end is not None:
            first = 0 if begin is None else bisect_left(held, begin, key=lambda one: one.ms)
            last = len(held) if end is None else bisect_left(held, end + 1, key=lambda one: one.ms)
            # Without a start the newest of the span are given, with one the oldest.
            chosen = held[first:last][:limit] if begin is not None else held[first:last][-limit:]
        else:
            chosen = held[-limit:]
        return self._list(self._aggregate(one) for one in chosen)

    def _aggregate(self, one: Aggregate) -> bytes:
        return b'{"a":%d,"p":"%b","q":"%b","f":%d,"l":%d,"T":%d,"m":%b%b}' % (
            one.id, one.price, one.quantity, one.first, one.last, one.ms, truth(not one.buy),
            b',"M":true' if self.spot else b"",
        )  # fmt: skip

    def klines(self, query: Query) -> bytes:
        place, limit = self._place(query), _limit(query, 500, 1000 if self.spot else 1500)
        if query.get("interval") != "1m":
            raise bad(-1120, "Invalid interval.")
        begin, end = _time(query, "startTime"), _time(query, "endTime")
        candles = [
            candle
            for minute, candle in sorted(self.exchange.truth.records[place].candles.items())
            if (begin is None or minute * MS_PER_MINUTE >= begin) and (end is None or minute * MS_PER_MINUTE <= end)
        ]
        chosen = candles[:limit] if begin is not None else candles[-limit:]
        return self._list(self.candles[place].line(candle) for candle in chosen)

    def open_interest(self, query: Query) -> bytes:
        place = self._place(query)
        mark = self.exchange.latest.get(("markPrice", place))
        if mark is None or not mark.facts.interest:
            raise not_yet()
        name = self.exchange.instruments[place].symbol.encode()
        interest: bytes = mark.facts.interest
        return b'{"symbol":"%b","openInterest":"%b","time":%d}' % (name, interest, self.exchange.venue_ms())

    def premium_index(self, query: Query) -> bytes:
        place = self._place(query)
        mark = self.exchange.latest.get(("markPrice", place))
        if mark is None:
            raise not_yet()
        name = self.exchange.instruments[place].symbol.encode()
        return b'{"symbol":"%b","markPrice":"%b","indexPrice":"%b","lastFundingRate":"%b","time":%d}' % (
            name, mark.facts.mark_price, mark.facts.index_price, mark.facts.rate, self.exchange.venue_ms(),
        )  # fmt: skip

    def funding_info(self, query: Query) -> bytes:
        """Only the first symbol: the venue leaves out those at which nothing is unusual."""
        told = {
            "symbol": self.exchange.instruments[0].symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": FUNDING_INTERVAL_H,
            "disclaimer": False,
        }
        return orjson.dumps([told])

    def ticker(self, query: Query) -> bytes:
        if "symbol" in query:
            return self._ticker(self._place(query))
        return self._list(self._ticker(place) for place in range(len(self.candles)) if self.exchange.traded(place))

    def _ticker(self, place: int) -> bytes:
        """What the venue has traded since the exchange began, at most the last day."""
        instrument, record = self.exchange.instruments[place], self.exchange.truth.records[place]
        oldest = (self.exchange.venue_ms() - DAY_MS) // MS_PER_MINUTE
        candles = [candle for minute, candle in sorted(record.candles.items()) if minute > oldest]
        price, quantity = instrument.price_decimals, instrument.quantity_decimals
        volume, value = sum(candle.volume for candle in candles), sum(candle.value for candle in candles)
        opened = candles[0].open if candles else record.close
        return orjson.dumps(
            {
                "symbol": instrument.symbol,
                "priceChange": fixed(record.close - opened, price).decode(),
                "lastPrice": fixed(record.close, price).decode(),
                "openPrice": fixed(opened, price).decode(),
                "highPrice": fixed(max((candle.high for candle in candles), default=record.close), price).decode(),
                "lowPrice": fixed(min((candle.low for candle in candles), default=record.close), price).decode(),
                "volume": fixed(volume, quantity).decode(),
                "quoteVolume": fixed(value, price + quantity).decode(),
                "openTime": self.exchange.venue_ms() - DAY_MS,
                "closeTime": self.exchange.venue_ms(),
                "count": sum(candle.count for candle in candles),
            }
        )

    def exchange_info(self, query: Query) -> bytes:
        rules = self.exchange.rules
        weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": rules.weight}
        return orjson.dumps(
            {
                "timezone": "UTC",
                "serverTime": self.exchange.venue_ms(),
                "rateLimits": [weight],
                "exchangeFilters": [],
                "symbols": [self._listing(place) for place in range(len(self.candles))],
            }
        )

    def _listing(self, place: int) -> dict[str, object]:
        instrument, coin = self.exchange.instruments[place], self.exchange.source.coins[place]
        traded = self.exchange.traded(place)
        tick, step = (
            fixed(self.exchange.source.tick_units[place], instrument.price_decimals),
            fixed(1, instrument.quantity_decimals),
        )
        if self.spot:
            tick, step = padded(tick, 8), padded(step, 8)
        told = {
            "symbol": instrument.symbol,
            "status": "TRADING" if traded else ("BREAK" if self.spot else "SETTLING"),
            "baseAsset": coin,
            "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": tick.decode()},
                {"filterType": "LOT_SIZE", "stepSize": step.decode()},
            ],
        }
        if self.spot:
            return told | {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8}
        return told | {
            "pair": instrument.symbol,
            "contractType": "PERPETUAL",
            "pricePrecision": instrument.price_decimals,
            "quantityPrecision": instrument.quantity_decimals,
        }

    @staticmethod
    def _list(items: Iterable[bytes]) -> bytes:
        return b"[" + b",".join(items) + b"]"


def _number(query: Query, key: str) -> int:
    text = query[key]
    if not text.isdecimal():
        raise bad(-1100, f"Illegal characters found in parameter '{key}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _limit(query: Query, default: int, most: int) -> int:
    return max(1, min(most, _number(query, "limit"))) if "limit" in query else default


def _time(query: Query, key: str) -> int | None:
    return _number(query, key) if key in query else None


def _product(price: bytes, quantity: bytes, spot: bool) -> bytes:
    """Price times quantity, with the decimals of both."""
    decimals = sum(len(text.partition(b".")[2]) for text in (price, quantity))
    text = fixed(int(price.replace(b".", b"")) * int(quantity.replace(b".", b"")), decimals)
    return text[: text.index(b".") + 9] if spot else text
