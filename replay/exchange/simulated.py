"""The simulated market as a venue sends it, whether or not anybody listens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from replay.exchange import binance_print
from replay.exchange.source import Book, Diff, Forced, Mark, Quote, Sent
from replay.exchange.truth import Aggregate, Trade
from replay.simulate import Market, Sending, sendings
from replay.simulate import layout as at
from replay.simulate.episodes import script_of
from replay.simulate.frames import Hyperliquid, Memo, fixed
from replay.simulate.market import Listing, listings

WARM_UP_NS = 4 * NS_PER_S  # until every book was told once
DEPTH_MS = 100  # between two depth updates of a symbol
FORCED_EVERY = 61  # every so manieth order is called a liquidation, at most one a second and symbol, as on the venue
FORCED_REST_MS = 1_000
FIRST_AGGREGATE = 700_000_000
SPOT_DECIMALS = 8  # that spot prints of every number


class SimulatedHyperliquid:
    """Trades of one order in one message; other frames are printed from the market's own rows."""

    venue = "hyperliquid"

    def __init__(self, market: Market) -> None:
        listed, _ = listings(market)
        self.market, self.printer = market, Hyperliquid(market, listed)
        self.instruments = [listing.instrument for listing in listed]
        self.coins = [listing.coin for listing in listed]
        self.tick_units = [listing.tick_units for listing in listed]
        self.start_ns, self.first_minute_ns = market.start_ns + WARM_UP_NS, market.first_minute_ns
        self.end_ns = market.end_ns

    def minutes(self) -> Iterator[list[Sent]]:
        channels = {at.QUOTE: "bbo", at.BOOK: "l2Book", at.CONTEXT: "activeAssetCtx"}
        for sendings_of_minute in sendings(self.market, None):
            out = []
            for sending in sendings_of_minute:
                row = sending.row
                kind, symbol = row[at.KIND], row[at.SYMBOL]
                if kind != at.TRADE:
                    out.append(Sent(sending.send_ns, channels[kind], symbol, sending))
                elif row[at.FILLS]:
                    out.append(Sent(sending.send_ns, "trades", symbol, self._trades(sending)))
            yield out

    def _trades(self, sending: Sending) -> tuple[Trade, ...]:
        symbol, first = sending.row[at.SYMBOL], sending.place
        prices, sizes = self.printer.prices[symbol], self.printer.sizes[symbol]
        return tuple(
            Trade(
                self.printer.trade_id(symbol, row[at.NUMBER]),
                prices[row[at.PRICE]],
                sizes[row[at.LOTS]],
                row[at.SIGN] > 0,
                self.printer.origin_ms + row[at.TIME],
                row[at.ORDER],
                row[at.NUMBER],
            )
            for row in sending.rows[first : first + sending.row[at.FILLS]]
        )

    def text(self, sent: Sent) -> bytes:
        if sent.channel == "trades":
            return b'{"channel":"trades","data":[%b]}' % b",".join(
                self.trade_text(sent.symbol, trade) for trade in sent.facts
            )
        one: Sending = sent.facts
        return self.printer.frame(one.rows, one.place, one.levels, one.send_ns // NS_PER_MS)

    def another(self, symbol: int, trade: Trade, copy: int) -> Trade:
        base = trade.base + (copy << 40)
        return trade._replace(id=self.printer.trade_id(symbol, base), base=base)

    def trade_text(self, symbol: int, trade: Trade) -> bytes:
        return self.printer.trade(symbol, trade.order, trade.base, trade.buy, trade.price, trade.quantity, trade.ms)


class SimulatedBinance(binance_print.Texts):
    """USD-M or spot: the same market, printed as that venue prints it."""

    def __init__(self, market: Market, spot: bool = False) -> None:
        market = replace(market, venue="binance_usdm")
        self.venue = "binance_spot" if spot else "binance_usdm"
        self.market, self.listed, self.spot = market, listings(market)[0], spot
        self.instruments = [replace(listing.instrument, venue=self.venue) for listing in self.listed]
        self.coins = [listing.coin for listing in self.listed]
        self.tick_units = [listing.tick_units for listing in self.listed]
        self.start_ns, self.first_minute_ns = market.start_ns + WARM_UP_NS, market.first_minute_ns
        self.end_ns = market.end_ns
        self.symbols = [_Symbol(market, listing, spot) for listing in self.listed]

    def minutes(self) -> Iterator[list[Sent]]:
        for sendings_of_minute in sendings(self.market, []):
            out: list[Sent] = []
            for sending in sendings_of_minute:
                symbol = sending.row[at.SYMBOL]
                self.symbols[symbol].tell(sending, symbol, out)
            yield out

    def another(self, symbol: int, trade: Trade, copy: int) -> Trade:
        return trade._replace(id=trade.id + copy)


class _Symbol:
    """One symbol's rows become facts. Depth rows, which come every 50 ms, are joined to one each DEPTH_MS."""

    def __init__(self, market: Market, listing: Listing, spot: bool) -> None:
        self.origin_ms, self.spot = market.start_ns // NS_PER_MS, spot
        decimals, quantity = listing.instrument.price_decimals, listing.instrument.quantity_decimals
        self.quantity_decimals = quantity
        self.prices, self.sizes = Memo(self._price), Memo(self._size)
        self.units, self.decimals = listing.tick_units, decimals
        self.aggregate = FIRST_AGGREGATE
        self.fills: list[Trade] = []
        self.left = 0  # fills of the present order that are still to come
        self.forced_ms = 0
        self.depth: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.depth_before = self.depth_since_ms = 0

    def _price(self, ticks: int) -> bytes:
        text = fixed(ticks * self.units, self.decimals)
        return binance_print.padded(text, SPOT_DECIMALS) if self.spot else text

    def _size(self, lots: int) -> bytes:
        text = fixed(lots, self.quantity_decimals)
        return binance_print.padded(text, SPOT_DECIMALS) if self.spot else text

    def tell(self, sending: Sending, symbol: int, out: list[Sent]) -> None:
        row, send_ns = sending.row, sending.send_ns
        kind, ms = row[at.KIND], self.origin_ms + row[at.TIME]
        if kind == at.QUOTE:
            quote = Quote(
                row[at.Q_UPDATE],
                self.prices[row[at.Q_BID]],
                self.sizes[row[at.Q_BID_LOTS]],
                self.prices[row[at.Q_ASK]],
                self.sizes[row[at.Q_ASK_LOTS]],
                ms,
            )
            out.append(Sent(send_ns, "bookTicker", symbol, quote))
        elif kind == at.TRADE:
            self._trade(row, ms, send_ns, symbol, out)
        elif kind == at.CHANGES:
            self._changes(sending, ms, symbol, out)
        elif kind == at.DEPTH_SNAPSHOT:
            bids, asks = self._sides(sending)
            self.depth_before = row[at.B_LAST]
            self.depth[0].clear()
            self.depth[1].clear()
            self.depth_since_ms = ms
            out.append(
                Sent(
                    send_ns,
                    "book",
                    symbol,
                    Book(row[at.B_LAST], self._texts(bids), self._texts(asks), ms, self._reach(row)),
                )
            )
        elif not self.spot:
            rate = fixed(row[at.FUNDING_RATE] * 8 // 100, 8)
            interest = fixed(row[at.INTEREST_LOTS], self.quantity_decimals)
            mark = Mark(fixed(row[at.MARK], 8), fixed(row[at.INDEX], 8), rate, interest, ms)
            out.append(Sent(send_ns, "markPrice", symbol, mark))

    def _trade(self, row: list[int], ms: int, send_ns: int, symbol: int, out: list[Sent]) -> None:
        """A fill; behind the last one of its order at one price comes their sum."""
        number = row[at.NUMBER]
        trade = Trade(
            number, self.prices[row[at.PRICE]], self.sizes[row[at.LOTS]], row[at.SIGN] > 0, ms, row[at.ORDER], number
        )
        if row[at.FILLS]:
            self.left = row[at.FILLS]
        if self.fills and self.fills[0].price != trade.price:
            self._sum(self.fills, send_ns, symbol, out)
            self.fills = []
        out.append(Sent(send_ns, "trade", symbol, trade))
        self.fills.append(trade)
        self.left -= 1
        if self.left == 0:
            self._sum(self.fills, send_ns, symbol, out)
            self.fills = []
            if trade.order % FORCED_EVERY == 0 and ms - self.forced_ms >= FORCED_REST_MS and not self.spot:
                self.forced_ms = ms
                out.append(Sent(send_ns, "forceOrder", symbol, Forced(trade.buy, trade.price, trade.quantity, ms)))

    def _sum(self, fills: list[Trade], send_ns: int, symbol: int, out: list[Sent]) -> None:
        first, last = fills[0], fills[-1]
        lots = sum(int(fill.quantity.replace(b".", b"")) for fill in fills)
        places = SPOT_DECIMALS if self.spot else self.quantity_decimals
        self.aggregate += 1
        total = fixed(lots, places)
        one = Aggregate(self.aggregate, first.price, total, first.buy, first.ms, first.id, last.id)
        out.append(Sent(send_ns, "aggTrade", symbol, one))

    def _changes(self, sending: Sending, ms: int, symbol: int, out: list[Sent]) -> None:
        row = sending.row
        if self.depth_before == 0 or row[at.B_LAST] <= self.depth_before:
            return  # the book has not been told yet, or tells it already
        bids, asks = self._sides(sending)
        self.depth[0].update((price, lots) for price, lots in bids)
        self.depth[1].update((price, lots) for price, lots in asks)
        if ms - self.depth_since_ms < DEPTH_MS:
            return
        # Ids are shared by all symbols of the venue: those between two diffs of one symbol changed nothing in it.
        diff = Diff(
            self.depth_before + 1,
            row[at.B_LAST],
            self.depth_before,
            self._texts(sorted(self.depth[0].items())),
            self._texts(sorted(self.depth[1].items())),
            ms,
            self._reach(row),
        )
        out.append(Sent(sending.send_ns, "depth", symbol, diff))
        self.depth_before, self.depth_since_ms = row[at.B_LAST], ms
        self.depth[0].clear()
        self.depth[1].clear()

    def _reach(self, row: list[int]) -> int:
        """On futures the id behind the last belongs to the next diff, whichever symbol of the venue really has it."""
        return row[at.B_LAST] + (0 if self.spot else 1)

    def _sides(self, sending: Sending) -> tuple[list[list[int]], list[list[int]]]:
        row = sending.row
        begin, middle = row[at.LEVEL_AT], row[at.LEVEL_AT] + row[at.BIDS]
        return sending.levels[begin:middle], sending.levels[middle : middle + row[at.ASKS]]

    def _texts(self, levels: list[list[int]] | list[tuple[int, int]]) -> list[tuple[bytes, bytes]]:
        return [(self.prices[ticks], self.sizes[lots]) for ticks, lots in levels]


def simulated(market: Market, venue: str, history_minutes: int = 0) -> SimulatedHyperliquid | SimulatedBinance:
    """The source of a venue; market.venue does not count.

    history_minutes: without an episode, and before first_minute_ns, from which a script of episodes and a plan of
    faults count: those that `simulate(Market(minutes=history_minutes, episodes="none", ...))` makes a journal of.
    """
    if history_minutes:
        own = tuple(replace(one, minute=one.minute + history_minutes) for one in script_of(market))
        whole = replace(
            market, minutes=market.minutes + history_minutes, episodes=own,
            first_minute_ns=market.first_minute_ns - history_minutes * NS_PER_MINUTE,
        )  # fmt: skip
        source = simulated(whole, venue)
        source.first_minute_ns = market.first_minute_ns
        return source
    if venue == "hyperliquid":
        return SimulatedHyperliquid(replace(market, venue="hyperliquid"))
    return SimulatedBinance(market, spot=venue == "binance_spot")
