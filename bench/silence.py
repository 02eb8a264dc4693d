"""How often the expected-rate model cries wolf, and how soon it is right: `python -m bench.silence`.

A simulated market is heard without any fault: every alarm is a false one. Then, in the same market, one stream at a
time is muted, and the time until it is called silent is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import RecordKind
from engine.io.feeds.silence import Heard, Silence
from engine.io.venues import ENDS
from replay.simulate import simulate
from replay.simulate.market import Market, listings

LOOK_NS = NS_PER_S // 4
MUTED_FROM_MINUTE = 10


def hear(market: Market, muted: set[tuple[str, str]]) -> Iterator[tuple[str, str, float, float]]:
    """(channel, symbol, minutes since the start, seconds of silence) of every alarm. muted: not heard after a while."""
    end = ENDS[market.venue]
    model = Silence(end)
    streams: dict[bytes, Heard] = {}
    symbols = [listing.instrument.symbol for listing in listings(market)[0]]
    due_ns = market.start_ns
    for recv_ns, _, kind, payload in simulate(market):
        while recv_ns >= due_ns:
            for heard in model.look(due_ns, [streams.values()], 0):
                if heard.silent_ns:
                    minutes = (due_ns - market.start_ns) / NS_PER_MINUTE
                    yield heard.channel, heard.symbol, minutes, (due_ns - heard.heard_ns) / NS_PER_S
            due_ns += LOOK_NS
        if kind != RecordKind.FRAME:
            continue
        key = end.key(payload)
        stream = streams.get(key)
        if stream is None:
            stream = streams[key] = _named(key, symbols, recv_ns)
        if (stream.channel, stream.symbol) in muted and recv_ns >= market.start_ns + MUTED_FROM_MINUTE * NS_PER_MINUTE:
            continue
        stream.count += 1
        stream.heard_ns = recv_ns


def _named(key: bytes, symbols: list[str], now_ns: int) -> Heard:
    """The stream of a key, whatever speed it was subscribed at."""
    text = key.decode()
    if "@" in text:
        name, channel = text.split("@")[:2]
        return Heard(channel, next(symbol for symbol in symbols if symbol.lower() == name), now_ns)
    channel, _, symbol = text.partition(" ")
    return Heard(channel, symbol, now_ns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--symbols", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--activity", type=float, default=1.0)
    told = parser.parse_args()
    for venue in ("hyperliquid", "binance_usdm"):
        market = Market(
            seed=told.seed,
            minutes=told.minutes,
            symbols=told.symbols,
            venue=venue,
            activity=told.activity,  # type: ignore[arg-type]
        )
        alarms = list(hear(market, set()))
        hours = told.symbols * told.minutes / 60
        print(f"{venue}: {len(alarms)} false alarms in {hours:.0f} symbol hours", *alarms[:10], sep="\n  ")
        symbols = [listing.instrument.symbol for listing in listings(market)[0]]
        channels = (
            ("trades", "bbo", "l2Book") if venue == "hyperliquid" else ("trade", "bookTicker", "depth", "markPrice")
        )
        for symbol in (symbols[0], symbols[-1]):
            shorter = Market(seed=told.seed, minutes=30, symbols=told.symbols, venue=venue, activity=told.activity)  # type: ignore[arg-type]
            found = {
                channel: took
                for channel, name, at, took in hear(shorter, {(c, symbol) for c in channels})
                if name == symbol and at >= MUTED_FROM_MINUTE
            }
            print(f"  {symbol} muted: silent after", {channel: found.get(channel) for channel in channels})


if __name__ == "__main__":
    main()
