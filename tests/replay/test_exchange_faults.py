"""Each fault does what the plan says, to whom it says, when it says, and nothing else."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise

import orjson
import pytest

from engine.core.errors import ConfigError, FeedError
from engine.core.minutes import NS_PER_MS, NS_PER_S
from replay.exchange import Exchange, read_plan
from tests.replay.exchange_client import REST, URLS, Ear, exchange_of, listen, play, subscriptions

USDM = ("aggTrade", "bookTicker", "depth@100ms")
LATE_NS = 30 * NS_PER_MS  # that the way to the client takes at most, jitter and all


def with_fault(venue: str, text: str, channels=USDM, symbols=("BTC", "ETH"), seconds=25.0) -> tuple[Exchange, Ear]:
    exchange = exchange_of(venue, "[[fault]]\n" + text, minutes=1)
    return exchange, listen(exchange, channels, symbols, seconds)


def calm(venue: str, channels=USDM, symbols=("BTC", "ETH"), seconds=25.0) -> Ear:
    return listen(exchange_of(venue, minutes=1), channels, symbols, seconds)


def data(ear: Ear) -> list[bytes]:
    return [payload for _, payload in ear.frames]


def in_window(exchange: Exchange, ear: Ear, begin_s: float, end_s: float) -> list[tuple[int, bytes]]:
    first = exchange.first_minute_ns
    return [
        (recv_ns, payload)
        for recv_ns, payload in ear.frames
        if first + begin_s * NS_PER_S <= recv_ns < first + end_s * NS_PER_S
    ]


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
        assert newest - told <= {row.id for row in rows[-50:]} | newest
        assert told <= {row.id for row in rows}
        return
    for symbol in ("BTCUSDT", "ETHUSDT"):
        mine = [told["data"] for told in ear.told() if told.get("data", {}).get("s") == symbol]
        trades = [one["t"] for one in mine if one["e"] == "trade"]
        sums = [one for one in mine if one["e"] == "aggTrade"]
        assert trades == list(range(trades[0], trades[0] + len(trades)))
        assert [one["a"] for one in sums] == list(range(sums[0]["a"], sums[0]["a"] + len(sums)))
        assert all(later["f"] == earlier["l"] + 1 for earlier, later in pairwise(sums))


@pytest.mark.parametrize("venue", ["binance_usdm", "hyperliquid"])
def test_a_delisted_symbol_ends_and_others_do_not_notice(venue):
    symbol, other = ("BTCUSDT", "ETHUSDT") if venue == "binance_usdm" else ("BTC", "ETH")
    channels = USDM if venue == "binance_usdm" else ("trades", "bbo")
    exchange = exchange_of(venue, f'[[fault]]\nkind = "delist"\nat_s = 8.0\nsymbols = ["{symbol}"]', minutes=1)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS[venue], ear, 5.0)
        for message in subscriptions(venue, channels, ("BTC", "ETH")):
            link.send(message)
        await asyncio.sleep(20.0)
        begun = len(ear.frames)
        for message in subscriptions(venue, channels[:1], ("BTC",)):
            link.send(message)
        await asyncio.sleep(1.0)
        link.close("done")
        return ear, [payload for _, payload in ear.frames[begun:]]

    ear, behind = play(exchange, use)
    later = [payload for _, payload in in_window(exchange, ear, 8.1, 100.0)]
    assert any(b"Invalid" in payload for payload in behind)
    assert not [p for p in later if b'"' + symbol.encode() + b'"' in p and b"nvalid" not in p]
    assert len([p for p in later if b'"' + other.encode() + b'"' in p]) > 20
    last_ms = max(row.event_ms for row in exchange.truth.trades(symbol))
    assert last_ms * NS_PER_MS <= exchange.first_minute_ns + 8 * NS_PER_S


def test_maintenance_closes_refuses_and_ends():
    text = '[[fault]]\nkind = "maintenance"\nat_s = 5.0\nfor_s = 10\nnotice_s = 2'
    exchange = exchange_of("binance_spot", text, minutes=1)

    async def use(front):
        ear = Ear()
        await front.connect(URLS["binance_spot"], ear, 5.0)
        await asyncio.sleep(10.0)
        assert b"serverShutdown" in ear.frames[-1][1]
        assert ear.frames[-1][0] < exchange.first_minute_ns + 3 * NS_PER_S + LATE_NS
        assert ear.reason == "closed by the venue: 1001 maintenance"
        with pytest.raises(FeedError, match="connection refused"):
            await front.connect(URLS["binance_spot"], Ear(), 5.0)
        with pytest.raises(FeedError, match="connection refused"):
            await front.request("GET", REST["binance_spot"] + "/time", None, 5.0)
        await asyncio.sleep(10.0)
        await front.connect(URLS["binance_spot"], Ear(), 5.0)

    play(exchange, use)


def test_a_half_open_connection_is_dead_for_good_and_a_new_one_is_not():
    exchange = exchange_of(
        "hyperliquid", '[[fault]]\nkind = "half_open"\nat_s = 3.0\nfor_s = 5\nconnection = 0', minutes=1
    )

    async def use(front):
        ears = [Ear(), Ear()]
        links = [await front.connect(URLS["hyperliquid"], ear, 5.0) for ear in ears]
        for link in links:
            link.send(b'{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}')
        await asyncio.sleep(15.0)
        for link in links:
            link.ping()
        await asyncio.sleep(1.0)
        dead, alive = ears
        assert dead.frames[-1][0] < exchange.first_minute_ns + 3 * NS_PER_S + LATE_NS
        assert (dead.pongs, dead.reason, len(alive.pongs)) == ([], None, 1)
        assert len(alive.frames) > len(dead.frames) + 20
        links[0].close("given up")
        assert dead.reason == "given up"

    play(exchange, use)


@pytest.mark.parametrize("heals", [False, True])
def test_a_silent_stream_is_silent_alone_and_may_heal(heals):
    text = '[[fault]]\nkind = "silent_stream"\nat_s = 3.0\nchannels = ["bookTicker"]\nsymbols = ["BTCUSDT"]\nheals = '
    text += str(heals).lower()
    exchange = exchange_of("binance_usdm", text, minutes=1)

    async def use(front):
        ear = Ear()
        link = await front.connect(URLS["binance_usdm"], ear, 5.0)
        for message in subscriptions("binance_usdm", USDM, ("BTC",)):
            link.send(message)
        await asyncio.sleep(14.0)
        silent = [payload for _, payload in in_window(exchange, ear, 3.1, 10.0)]
        assert not [payload for payload in silent if b"@bookTicker" in payload]
        assert len(silent) > 50
        name = b'["btcusdt@bookTicker"],"id":2}'
        link.send(b'{"method":"UNSUBSCRIBE","params":' + name)
        link.send(b'{"method":"SUBSCRIBE","params":' + name)
        await asyncio.sleep(10.0)
        again = [payload for _, payload in in_window(exchange, ear, 12.0, 20.0)]
        assert bool([payload for payload in again if b"@bookTicker" in payload]) is heals

    play(exchange, use)


def test_a_slow_line_delays_everything_and_overtakes_nothing():
    _, ear = with_fault("binance_usdm", 'kind = "slow"\nat_s = 2.0\nfor_s = 5\nbytes_per_s = 2000\nlatency_ms = 100')
    whole = data(calm("binance_usdm"))
    broken = data(ear)
    assert broken == whole[: len(broken)]
    delays = [
        recv_ns - orjson.loads(payload)["data"]["E"] * NS_PER_MS
        for recv_ns, payload in ear.frames
        if b'"stream"' in payload
    ]
    assert max(delays) > 2 * NS_PER_S


def test_a_huge_message_is_whole_and_comes_once():
    exchange, ear = with_fault("hyperliquid", 'kind = "huge"\nat_s = 2.0\nmib = 4', ("bbo",))
    sizes = [len(payload) for payload in data(ear) if len(payload) > 1 << 20]
    assert len(sizes) == len(exchange.truth.hits) == 1
    assert 4 << 20 <= sizes[0] < (4 << 20) + 200


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('kind = "rest_down"', "refused"),
        ('kind = "rest_429"\nretry_after_s = 7', 429),
        ('kind = "rest_429"\nstatus = 418', 418),
        ('kind = "rest_slow"\ndelay_ms = 9000', "late"),
        ('kind = "rest_slow"\ndelay_ms = 9000\nrequests = ["klines"]', 200),
    ],
)
def test_requests_fail_as_planned(text, outcome):
    exchange = exchange_of("binance_usdm", f"[[fault]]\n{text}\nat_s = 0.0\nfor_s = 10", minutes=1)

    async def use(front):
        async def ask():
            url = REST["binance_usdm"] + "/depth?symbol=BTCUSDT&limit=5"
            return await front.request("GET", url, None, 5.0)

        await asyncio.sleep(5.0)
        if outcome in ("refused", "late"):
            with pytest.raises(FeedError, match="refused" if outcome == "refused" else "no answer within 5 s"):
                await ask()
        else:
            status, headers, _ = await ask()
            assert status == outcome
            assert outcome == 200 or int(headers["retry-after"]) in (2, 7)
        await asyncio.sleep(11.0)
        assert (await ask())[0] == 200

    play(exchange, use)


def test_a_raced_snapshot_is_older_than_what_was_sent():
    plan = '[[fault]]\nkind = "snapshot_race"\nhow = "{}"\nat_s = 2.0\nfor_s = 10\ndelay_ms = 3000'

    async def ask(front):
        ear = Ear()
        link = await front.connect(URLS["binance_usdm"], ear, 5.0)
        link.send(b'{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}')
        await asyncio.sleep(8.0)
        _, _, body = await front.request("GET", REST["binance_usdm"] + "/depth?symbol=BTCUSDT", None, 5.0)
        known = [told["data"]["u"] for told in ear.told() if "data" in told]
        return orjson.loads(body)["lastUpdateId"], known

    for how in ("old", "late"):
        number, known = play(exchange_of("binance_usdm", plan.format(how), minutes=1), ask)
        assert number < known[-10]
    number, known = play(exchange_of("binance_usdm", minutes=1), ask)
    assert number > known[-10]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[fault]]\nkind = "earthquake"', "fault 1.*kind"),
        ('[[fault]]\nkind = "drop"\nsymbol = ["BTC"]', "fault 1.*symbol: Extra"),
        ('[[fault]]\nkind = "drop"\nprobability = 2.0', "probability"),
        ('[[fault]]\nkind = "drop"\nat = "5 minutes"', "fault 1.*at"),
        ('[[fault]]\nkind = "drop"\nat = "00:00:05"\nat_s = 5.0', "at or at_s"),
        ('[[fault]]\nkind = "disconnect"\nfor_s = 5.0', "for_s: Extra"),
        ('[[fault]]\nkind = "delist"', "symbols"),
        ('[[faults]]\nkind = "drop"', "faults"),
        ("[[fault]", "TOML"),
    ],
)
def test_a_plan_that_is_wrong_says_where(text, told):
    with pytest.raises(ConfigError, match=told):
        read_plan(text)


@pytest.mark.parametrize(
    ("venue", "text", "told"),
    [
        ("hyperliquid", 'kind = "drop"\nsymbols = ["XYZ"]', "'XYZ' is not on hyperliquid, which has BTC"),
        ("hyperliquid", 'kind = "drop"\nchannels = ["aggTrade"]', "expected trades, bbo"),
        ("hyperliquid", 'kind = "wrong_sequence"', "no sequence"),
    ],
)
def test_a_plan_has_to_fit_the_venue(venue, text, told):
    with pytest.raises(ConfigError, match=told):
        exchange_of(venue, "[[fault]]\n" + text)
