"""Faults of what is said: each does to frames what the plan says, to whom it says, when it says, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import orjson
import pytest

from engine.core.minutes import NS_PER_MS, NS_PER_S
from replay.exchange import Exchange
from tests.replay.exchange_client import USDM, calm, data, exchange_of, listen, with_fault


def test_a_drop_takes_the_frames_it_tells_and_no_other():
    text = 'kind = "drop"\nat = "00:00:05"\nfor_s = 10\nchannels = ["aggTrade"]\nsymbols = ["BTCUSDT"]'
    exchange, ear = with_fault("binance_usdm", text)
    whole, broken = data(calm("binance_usdm")), data(ear)
    missing = [payload for payload in whole if payload not in set(broken)]
    assert len(missing) == len(exchange.truth.hits) > 5
    assert [payload for payload in whole if payload not in set(missing)] == broken
    for payload in missing:
        told = orjson.loads(payload)["data"]
        assert (told["e"], told["s"]) == ("aggTrade", "BTCUSDT")
        sent_s = (told["E"] * NS_PER_MS - exchange.first_minute_ns) / NS_PER_S
        assert 4.99 <= sent_s < 15.0
    begin, end = (exchange.first_minute_ns + second * NS_PER_S for second in (5, 15))
    assert all(begin <= hit.at_ns < end and hit.symbols == ("BTCUSDT",) for hit in exchange.truth.hits)


def test_chance_is_the_same_every_time_and_another_with_another_seed():
    text = 'seed = {}\n[[fault]]\nkind = "drop"\nprobability = 0.3\nfor_s = 15'
    runs = [
        data(listen(exchange_of("binance_usdm", text.format(seed), minutes=1), USDM, ("BTC",), 20.0))
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]
    known = len(data(calm("binance_usdm", USDM, ("BTC",), 20.0)))
    assert 0.7 * 0.85 < len(runs[0]) / known < 0.95


def test_duplicates_repeat_bytes_and_nothing_is_lost():
    exchange, ear = with_fault("binance_usdm", 'kind = "duplicate"\nat_s = 2.0\nfor_s = 5\ntimes = 2\ndelay_ms = 50')
    whole, broken = data(calm("binance_usdm")), data(ear)
    assert set(whole) == set(broken)
    assert len(broken) == len(whole) + 2 * len(exchange.truth.hits)
    assert max(broken.count(payload) for payload in set(broken)) == 3


def test_delays_keep_the_order_and_reordering_does_not():
    late = 'kind = "delay"\nat_s = 2.0\nfor_s = 5\nchannels = ["aggTrade"]\ndelay_ms = 4000'
    _, ear = with_fault("binance_usdm", late)
    whole = data(calm("binance_usdm"))
    trades = [payload for payload in data(ear) if b"@aggTrade" in payload and b"BTCUSDT" in payload]
    assert sorted(data(ear)) == sorted(whole)
    numbers = [orjson.loads(payload)["data"]["a"] for payload in trades]
    assert numbers != sorted(numbers)  # those behind the fault were sooner
    mixed = 'kind = "reorder"\nat_s = 2.0\nfor_s = 10\nprobability = 0.5\ndelay_ms = 300'
    _, ear = with_fault("binance_usdm", mixed)
    assert sorted(data(ear)) == sorted(whole)
    assert data(ear) != whole


@pytest.mark.parametrize("how", ["bytes", "utf8", "cut", "nested"])
def test_a_corrupt_frame_is_never_a_message(how):
    exchange, ear = with_fault("binance_usdm", f'kind = "corrupt"\nhow = "{how}"\nat_s = 2.0\nfor_s = 5')
    spoiled = set(data(ear)) - set(data(calm("binance_usdm")))
    assert spoiled
    assert len(exchange.truth.hits) > 20
    for payload in spoiled:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(payload)


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("renamed", lambda told: "p" not in told and "pNew" in told),
        ("removed", lambda told: "p" not in told and "pNew" not in told),
        ("added", lambda told: told.get("pNew") == told["p"]),
        ("retyped", lambda told: type(told["p"]) is float),
    ],
)
def test_schema_drift_changes_one_field(how, check):
    text = f'kind = "schema_drift"\nhow = "{how}"\nat_s = 2.0\nfor_s = 5\nchannels = ["aggTrade"]'
    exchange, ear = with_fault("binance_usdm", text)
    drifted = [told["data"] for told in ear.told() if "data" in told and told["data"]["e"] == "aggTrade"]
    drifted = [told for told in drifted if check(told)]
    assert len(drifted) == len(exchange.truth.hits) > 5
    assert all(type(told["a"]) is int and told["q"] for told in drifted)


@pytest.mark.parametrize("how", ["ids", "missing"])
def test_a_wrong_sequence_breaks_the_chain_of_updates(how):
    exchange, ear = with_fault(
        "binance_usdm", f'kind = "wrong_sequence"\nhow = "{how}"\nat_s = 2.0\nfor_s = 10\nsymbols = ["BTCUSDT"]'
    )
    for symbol, broken in (("BTCUSDT", True), ("ETHUSDT", False)):
        chain = [t["data"] for t in ear.told() if t.get("stream") == f"{symbol.lower()}@depth@100ms"]
        breaks = sum(later["pu"] != earlier["u"] for earlier, later in pairwise(chain))
        assert bool(breaks) is broken
        assert breaks <= len(exchange.truth.hits)


@pytest.mark.parametrize("venue", ["binance_usdm", "hyperliquid"])
def test_a_crossed_book_is_crossed(venue):
    channels = ("bookTicker",) if venue == "binance_usdm" else ("bbo", "l2Book")
    exchange, ear = with_fault(venue, 'kind = "crossed_book"\nat_s = 2.0\nfor_s = 5', channels)
    crossed = 0
    for told in ear.told():
        if venue == "binance_usdm" and "data" in told:
            crossed += Decimal(told["data"]["b"]) > Decimal(told["data"]["a"])
        elif told.get("channel") == "bbo":
            bid, ask = told["data"]["bbo"]
            crossed += Decimal(bid["px"]) > Decimal(ask["px"])
        elif told.get("channel") == "l2Book":
            bids, asks = told["data"]["levels"]
            crossed += Decimal(bids[0]["px"]) > Decimal(asks[0]["px"])
    assert crossed == len(exchange.truth.hits) > 5


@pytest.mark.parametrize(
    ("how", "price"), [("nan", "NaN"), ("zero", "0"), ("huge", "1000000000000"), ("negative", "-"), ("x10", None)]
)
def test_an_absurd_price_is_told_and_the_truth_stays(how, price):
    text = f'kind = "absurd_price"\nhow = "{how}"\nat_s = 2.0\nfor_s = 10\nchannels = ["aggTrade"]'
    exchange, ear = with_fault("binance_usdm", text)
    told = [frame["data"]["p"] for frame in ear.told() if frame.get("stream", "").endswith("@aggTrade")]
    true = {row.price for row in exchange.truth.trades()}
    absurd = [text for text in told if text not in true]
    assert len(absurd) == len(exchange.truth.hits) > 3
    if price is not None:
        assert all(text.startswith(price) for text in absurd)
    else:
        assert all(f"{Decimal(text) / 10:.2f}" in true for text in absurd)
    assert true == {row.price for row in played(exchange_of("binance_usdm", minutes=1), 25.0)}


def played(exchange: Exchange, seconds: float):
    """The truth of an exchange to which nobody listens."""
    exchange.advance(exchange.now_ns + int(seconds * NS_PER_S))
    return list(exchange.truth.trades())


def test_a_clock_that_is_wrong_moves_every_time_the_venue_tells():
    text = 'kind = "clock_offset"\noffset_ms = 30000\nat_s = 4.0\nfor_s = 10'
    for venue, channels in (("binance_usdm", USDM), ("hyperliquid", ("trades", "bbo"))):
        exchange, ear = with_fault(venue, text, channels)
        for recv_ns, payload in ear.frames:
            told = orjson.loads(payload) if payload[:1] == b"{" else {}
            inner = told.get("data")
            if type(inner) is dict:
                event_ms = inner.get("E", inner.get("time"))
            else:
                event_ms = inner[-1]["time"] if inner else None
            if event_ms is None:
                continue
            at_s = (recv_ns - exchange.first_minute_ns) / NS_PER_S
            lead_s = (event_ms * NS_PER_MS - recv_ns) / NS_PER_S
            if 4.1 < at_s < 14.0:
                assert 29.8 < lead_s < 30.0, payload
            elif at_s < 4.0 or at_s > 14.1:
                assert -10.1 < lead_s < 0.0, payload  # the first trades of a subscription are older
        assert len(ear.frames) > 100


def test_a_step_of_the_clock_stays_and_minutes_follow_it():
    exchange = exchange_of("binance_usdm", '[[fault]]\nkind = "clock_step"\noffset_ms = 60000\nat_s = 10.0', minutes=2)
    ear = listen(exchange, ("kline_1m", "trade"), ("BTC",), 100.0)
    final = [told["data"]["k"] for told in ear.told() if "data" in told and told["data"].get("k", {}).get("x")]
    first = exchange.first_minute_ns // 60_000_000_000
    assert [candle["t"] // 60_000 - first for candle in final] == [-1, 0, 1]
    rows = list(exchange.truth.trades("BTCUSDT"))
    assert sum(candle["n"] for candle in final[1:]) == sum(first <= row.event_ms // 60_000 < first + 2 for row in rows)


@pytest.mark.parametrize("venue", ["binance_usdm", "hyperliquid"])
def test_a_burst_is_true_trades_with_new_ids(venue):
    text = 'kind = "burst"\ntimes = 5\nat_s = 3.0\nfor_s = 6'
    channels = ("trade", "aggTrade") if venue == "binance_usdm" else ("trades",)
    exchange, ear = with_fault(venue, text, channels)
    rows = list(exchange.truth.trades())
    assert len({(row.symbol, row.id) for row in rows}) == len(rows)
    assert len(rows) > 1.5 * len(played(exchange_of(venue, minutes=1), 25.0))
    if venue == "hyperliquid":
        told = {trade["tid"] for frame in ear.told() if frame["channel"] == "trades" for trade in frame["data"]}
        newest = {
            row.id for row in rows if row.symbol in ("BTC", "ETH") and row.event_ms * NS_PER_MS > ear.frames[1][0]
        }
        assert len(newest) > 100
        assert newest <= told <= {row.id for row in rows}
        return
    for symbol in ("BTCUSDT", "ETHUSDT"):
        mine = [told["data"] for told in ear.told() if told.get("data", {}).get("s") == symbol]
        trades = [one["t"] for one in mine if one["e"] == "trade"]
        sums = [one for one in mine if one["e"] == "aggTrade"]
        assert trades == list(range(trades[0], trades[0] + len(trades)))
        assert [one["a"] for one in sums] == list(range(sums[0]["a"], sums[0]["a"] + len(sums)))
        assert all(later["f"] == earlier["l"] + 1 for earlier, later in pairwise(sums))


def test_a_huge_message_is_whole_and_comes_once():
    exchange, ear = with_fault("hyperliquid", 'kind = "huge"\nat_s = 2.0\nmib = 4', ("bbo",))
    sizes = [len(payload) for payload in data(ear) if len(payload) > 1 << 20]
    assert len(sizes) == len(exchange.truth.hits) == 1
    assert 4 << 20 <= sizes[0] < (4 << 20) + 200
