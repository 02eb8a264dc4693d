"""Simulated books against an independent rebuild: slow, obvious, sharing nothing with the simulator but the frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import orjson
import pytest

from engine.core.records import RecordKind
from replay.recording import Message
from replay.simulate import Episode, Market, simulate

SCRIPT = (
    Episode("spike", "ETH", 0, 5.0),
    Episode("thin_print", "SOL", 0, 6.0, -1),
    Episode("cascade", "BTC", 1, 3.0, -1),
    Episode("depth_vacuum", "SOL", 1, 6.0, decoy=True),
)
MARKET = Market(seed=7, minutes=2, symbols=4, episodes=(*SCRIPT, Episode("gap", "*", 0, 4.0)))


@dataclass
class Replayed:
    """Of one Binance symbol: best bid and ask (with sizes) after each diff, all quotes by update id, all trades."""

    books: list[tuple[int, tuple[float, str], tuple[float, str]]] = field(default_factory=list)
    quotes: list[tuple[int, tuple[float, str], tuple[float, str]]] = field(default_factory=list)
    trades: list[dict] = field(default_factory=list)
    breaks: int = 0


def binance(messages: Iterable[Message]) -> dict[str, Replayed]:
    """Books rebuilt by the venue's published rules: snapshot, buffered diffs, `pu` equal to the `u` before."""
    out: dict[str, Replayed] = defaultdict(Replayed)
    waiting: dict[str, list[dict]] = defaultdict(list)
    book: dict[str, dict[str, dict[float, str]]] = {}
    last: dict[str, int] = {}

    def apply(symbol: str, diff: dict) -> None:
        for side in "ba":
            for price, size in diff[side]:
                book[symbol][side].pop(float(price), None)
                if float(size):
                    book[symbol][side][float(price)] = size
        last[symbol] = diff["u"]
        bid, ask = max(book[symbol]["b"]), min(book[symbol]["a"])
        assert bid < ask, (symbol, diff["u"], bid, ask)
        out[symbol].books.append((diff["u"], (bid, book[symbol]["b"][bid]), (ask, book[symbol]["a"][ask])))

    for _, _, kind, payload in messages:
        if kind == RecordKind.CONNECTION:
            book, last, waiting = {}, {}, defaultdict(list)
        elif kind == RecordKind.REST:
            request, _, body = payload.partition(b"\n")
            symbol, snapshot = request.split()[1].decode(), orjson.loads(body)
            book[symbol] = {side[0]: {float(p): q for p, q in snapshot[side]} for side in ("bids", "asks")}
            kept = [diff for diff in waiting.pop(symbol, []) if diff["u"] >= snapshot["lastUpdateId"]]
            if kept:
                assert kept[0]["U"] <= snapshot["lastUpdateId"] <= kept[0]["u"]
            else:
                last[symbol] = -snapshot["lastUpdateId"]  # the next diff must reach over it
            for diff in kept:
                out[symbol].breaks += symbol in last and diff["pu"] != last[symbol]
                apply(symbol, diff)
        elif kind == RecordKind.FRAME:
            data = orjson.loads(payload)["data"]
            symbol = data["s"]
            if data["e"] == "depthUpdate":
                if symbol not in book:
                    waiting[symbol].append(data)
                    continue
                before = last[symbol]
                fits = data["U"] <= -before <= data["u"] if before < 0 else data["pu"] == before
                out[symbol].breaks += not fits
                apply(symbol, data)
            elif data["e"] == "bookTicker":
                assert float(data["b"]) < float(data["a"])
                quote = (float(data["b"]), data["B"]), (float(data["a"]), data["A"])
                out[symbol].quotes.append((data["u"], *quote))
            elif data["e"] == "trade":
                out[symbol].trades.append(data)
    return out


def frames(messages: Iterable[Message]) -> list[dict]:
    """All frames, decoded, in order of receipt."""
    return [orjson.loads(payload) for _, _, kind, payload in messages if kind == RecordKind.FRAME]


@pytest.mark.parametrize("seed", [120, 124])
def test_a_level_that_came_just_before_the_snapshot_is_taken_back(seed: int) -> None:
    """Found by sessions without a fault: such a level stayed, and crossed the book when the price went through it."""
    rebuilt = binance(simulate(Market(seed=seed, minutes=1, symbols=3, venue="binance_usdm")))
    assert len(rebuilt) == 3


def test_rebuilt_binance_books_equal_the_quotes():
    replayed = binance(simulate(replace(MARKET, venue="binance_usdm")))
    assert len(replayed) == 4
    same_id = 0
    for symbol, seen in replayed.items():
        assert seen.breaks == 0, symbol
        quotes = {update: quote for update, *quote in seen.quotes}
        updates = sorted(quotes)
        assert [update for update, *_ in seen.quotes] == updates
        position = 0
        for update, *best in seen.books:
            while position + 1 < len(updates) and updates[position + 1] <= update:
                position += 1
            if updates[position] <= update and update - updates[position] < 10_000:
                assert quotes[updates[position]] == best, (symbol, update)
                same_id += updates[position] == update
    assert same_id > 500


def test_binance_trades_happen_at_the_quotes_and_ids_increase():
    replayed = binance(simulate(replace(MARKET, venue="binance_usdm", episodes="none")))
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        trades = replayed[symbol].trades
        assert [t["t"] for t in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))


def test_hyperliquid_books_and_trades_agree_with_the_quotes():
    market = replace(MARKET, episodes=SCRIPT)
    quotes = defaultdict(list)  # coin -> (time, bid level, ask level)
    decoded = frames(simulate(market))
    for frame in decoded:
        if frame["channel"] == "bbo":
            quotes[frame["data"]["coin"]].append((frame["data"]["time"], *frame["data"]["bbo"]))
    compared = 0
    for frame in decoded:
        data = frame["data"]
        if frame["channel"] == "l2Book":
            bids, asks = data["levels"]
            assert len(bids) == len(asks) == 20
            prices = [float(level["px"]) for level in (*reversed(bids), *asks)]
            assert prices == sorted(set(prices))
            if in_force := _in_force(quotes[data["coin"]], data["time"]):
                assert (bids[0], asks[0]) in [(bid, ask) for _, bid, ask in in_force]
                compared += 1
        elif frame["channel"] == "trades":
            first, side = data[0], 2 if data[0]["side"] == "B" else 1
            assert len({trade["tid"] for trade in data}) == len(data)
            if in_force := _in_force(quotes[first["coin"]], first["time"]):
                assert first["px"] in [quote[side]["px"] for quote in in_force]
                compared += 1
    assert compared > 1_000


def _in_force(quotes, time):
    """The last quote before `time` and all at it; nothing when the first is later."""
    before = [quote for quote in quotes if quote[0] < time][-1:]
    return before and before + [quote for quote in quotes if quote[0] == time]
