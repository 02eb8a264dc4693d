"""Moves of a generated session in which something is lost, or told again: ids, streams, connections, answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.core.minutes import MS_PER_MINUTE
from tests.engine.moves import CHANNELS, DELAY_MS_MAX, LAG_MS, Move, Teller, minute_end, price_of
from tests.engine.story import START_MS

TWIN = 4  # added to a venue's connection: the id of its planned successor
UNBELIEVED = 10**9  # ids of trades whose time is not believed stand apart
ID = {"trade": re.compile(rb'("t"|"id"):(\d+)'), "aggTrade": re.compile(rb'("a"):(\d+)')}


def _hole(teller: Teller, move: Move, ms: int) -> None:
    """A trade that nobody hears of."""
    if teller.venue == "hyperliquid":
        return
    ms = teller.free_ms(move.symbol, ms)
    number = teller.next_id(move.symbol)
    teller.numbered.append((move.symbol, ms, number))
    teller.lost.append((move.symbol, ms, number, move.a, move.b, move.buy))


def _backfill(teller: Teller, move: Move, ms: int) -> None:
    """REST tells what was lost of a symbol, some of it for the second time, and what was heard of it."""
    lost = [trade for trade in teller.lost if trade[0] == move.symbol][-3:]
    if not lost:
        return
    items: list[dict[str, Any]] = []
    for _, at, number, price, quantity, buy in lost:
        numbers = {"price": price_of(price), "qty": teller.size_of(quantity), "time": START_MS + at}
        if teller.trade_channels[0] == "aggTrade":
            numbers = {"a": number, "p": numbers["price"], "q": numbers["qty"], "f": number, "l": number}
            items.append(numbers | {"T": START_MS + at, "m": not buy})
        else:
            items.append({"id": number} | numbers | {"quoteQty": "0", "isBuyerMaker": not buy})
    request = "aggTrades" if teller.trade_channels[0] == "aggTrade" else "trades"
    name = teller.story.symbols[move.symbol]
    teller.story.rest(ms + LAG_MS + move.delay_ms, request, items, teller.source, name)


def _stream(teller: Teller, move: Move, ms: int) -> None:
    """A stream is silent, or is back; which, and which stream, is as it comes."""
    channels = [*teller.trade_channels, *CHANNELS[teller.venue]]
    state = ("silent", "silent", "back", "back", "refused")[move.b % 5]
    came = ms + LAG_MS + move.delay_ms
    name = teller.story.symbols[move.symbol]
    teller.story.stream(state, channels[move.a % len(channels)], came, came - move.b, teller.source, name)


def _twin(teller: Teller, move: Move, ms: int) -> None:
    """A planned successor comes up, speaks, and takes over: the connection before it ends, and comes back itself."""
    came = max(ms + LAG_MS + DELAY_MS_MAX, teller.newest_came) + 1
    own, teller.source = teller.source, teller.source + TWIN
    teller.connect(came)
    teller.source = own
    teller.story.down(came + 10, own)
    teller.newest_came = came + 20 + move.b
    teller.connect(teller.newest_came)
    teller.story.down(teller.newest_came + 10, own + TWIN)
    teller.newest_came += 11


def _told_candle(teller: Teller, move: Move, ms: int) -> None:
    """REST tells a candle of the minute before: of nothing, which is right for a minute whose trades were all lost."""
    began, name = START_MS + minute_end(ms) - 2 * MS_PER_MINUTE, teller.story.symbols[move.symbol]
    came = ms + LAG_MS + move.delay_ms
    if teller.venue == "hyperliquid":
        k = {"t": began, "s": name, "i": "1m", "n": 0} | dict.fromkeys("ohlc", "100") | {"v": "0"}
        teller.story.rest(came, "candleSnapshot", [k], teller.source, name)
    else:
        line = [began, *["100"] * 4, "0", began + 59_999, "0", 0, "0", "0", "0"]
        teller.story.rest(came, "klines", [line], teller.source, name)


LOSSES: dict[str, Callable[[Teller, Move, int], None]] = {
    "hole": _hole, "backfill": _backfill, "stream": _stream, "twin": _twin, "told_candle": _told_candle,
}  # fmt: skip


def count_ids(teller: Teller) -> None:
    """Give the trades of a Binance venue ids that count up in the order of their times, as the venue does."""
    if teller.venue == "hyperliquid":
        return
    names = teller.story.symbols
    ids: dict[tuple[str, int], int] = {}
    for symbol, name in enumerate(names):
        mine = sorted((at, number) for s, at, number in teller.numbered if s == symbol)
        ids |= {(name, number): place for place, (_, number) in enumerate(mine, 1)}

    for place, record in enumerate(teller.story.records):
        name = _symbol_of(record.payload, names)
        for kind, pattern in ID.items():
            if name and (f'@{kind}"'.encode() in record.payload or record.payload.startswith(f"{kind}s ".encode())):

                def counted(found: re.Match[bytes], name: str = name) -> bytes:
                    number = int(found[2])
                    return b"%b:%d" % (found[1], ids.get((name, number), UNBELIEVED + number))

                teller.story.records[place] = replace(record, payload=pattern.sub(counted, record.payload))


def _symbol_of(payload: bytes, names: list[str]) -> str:
    """The symbol that a stream or a request names; empty: none of these."""
    head = payload[:60].upper()
    return next((name for name in names if name.encode() in head), "")
