"""Stories of requests: what goes first, how a venue's patience is kept, and what becomes of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from engine.core.effects import BackfillNeeded, CandleNeeded, SnapshotNeeded
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, NS_PER_S
from engine.core.records import RecordKind
from engine.io.feeds import Feeds
from replay.exchange import VirtualLoop
from tests.io.feeds.world import START_NS, FakeVenue, Told, feeds_of, play, settings

Answer = tuple[int, Mapping[str, str], bytes]
BOOK = b'{"lastUpdateId":7,"bids":[],"asks":[]}'


def asked(fake: FakeVenue, name: str) -> list[tuple[float, dict[str, str]]]:
    """(seconds, query) of all requests of a name."""
    found = []
    for at_s, url, _ in fake.requests:
        parts = urlsplit(url)
        if parts.path.endswith(f"/{name}"):
            found.append((at_s, {key: value[0] for key, value in parse_qs(parts.query).items()}))
    return found


async def running(
    loop: VirtualLoop, symbols: list[str], venue: str = "binance_usdm", **more: object
) -> tuple[FakeVenue, Told, Feeds]:
    fake, told = FakeVenue(loop), Told(loop)
    feeds = feeds_of(settings(venue, symbols, **more), fake, told)
    await feeds.prepare()
    feeds.start()
    await asyncio.sleep(1)
    return fake, told, feeds


def need_book(symbol: str = "BTCUSDT") -> SnapshotNeeded:
    return SnapshotNeeded(0, "binance_usdm", symbol, "book gap")


def test_a_snapshot_is_asked_for_once_the_changes_it_must_join_are_heard():
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTCUSDT"])
        fake.answers["fapi/v1/depth"] = lambda url, body: (200, {}, BOOK)
        feeds.perform([need_book(), need_book()])
        await asyncio.sleep(1)
        assert asked(fake, "depth") == []
        heard_s = loop.time()
        fake.open[0].say(b'{"stream":"btcusdt@depth@100ms","data":{}}')
        await asyncio.sleep(0.5)
        ((at_s, query),) = asked(fake, "depth")
        assert at_s - heard_s <= 0.3
        assert query == {"symbol": "BTCUSDT", "limit": "1000"}
        assert told.of(RecordKind.REST)[-1][1:] == (1, b"depth BTCUSDT\n" + BOOK)
        feeds.perform([need_book()])
        await asyncio.sleep(0.5)
        assert len(asked(fake, "depth")) == 2  # a later need is a new one
        await feeds.stop()

    play(story)


def test_a_book_that_nobody_changes_gets_its_snapshot_all_the_same():
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"])
        feeds.perform([need_book()])
        await asyncio.sleep(3)
        assert len(asked(fake, "depth")) == 1
        await feeds.stop()

    play(story)


def test_a_venue_that_asks_to_wait_is_not_asked_anything_before():
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTCUSDT", "ETHUSDT"])
        refusals = [17, 60]

        def depth(url: str, body: bytes | None) -> Answer:
            if refusals:
                return (429 if len(refusals) == 2 else 418), {"retry-after": str(refusals.pop(0))}, b""
            return 200, {}, BOOK

        fake.answers["fapi/v1/depth"] = depth
        feeds.perform([need_book()])
        await asyncio.sleep(100)
        feeds.perform([need_book("ETHUSDT")])
        await asyncio.sleep(10)
        times = [at_s for at_s, query in asked(fake, "depth") if query["symbol"] == "BTCUSDT"]
        assert len(times) == 3
        assert 17 <= times[1] - times[0] <= 17 * 1.1 + 1
        assert 60 <= times[2] - times[1] <= 60 * 1.1 + 1
        others = [at_s for at_s, url, _ in fake.requests if "openInterest" in url]
        assert not [at_s for at_s in others if times[0] + 0.1 < at_s < times[1] or times[1] + 0.1 < at_s < times[2]]
        assert [host["kind"] for _, _, host in told.of(RecordKind.HOST)] == ["rest_limited"] * 2
        assert b"depth ETHUSDT\n" + BOOK in [payload for _, _, payload in told.of(RecordKind.REST)]
        await feeds.stop()

    play(story)


@pytest.mark.parametrize("retry_after", ["1736164800", "9" * 400, "\u00b2", "Wed, 21 Oct 2026 07:28:00 GMT", "-1"])
def test_a_wait_that_is_no_span_silences_no_venue(retry_after: str):
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"])
        refused: list[int] = []

        def depth(url: str, body: bytes | None) -> Answer:
            if refused:
                return 200, {}, BOOK
            refused.append(1)
            return 429, {"retry-after": retry_after}, b""

        fake.answers["fapi/v1/depth"] = depth
        feeds.perform([need_book()])
        await asyncio.sleep(30)
        assert len(asked(fake, "depth")) == 2
        await feeds.stop()

    play(story)


@pytest.mark.parametrize("used", ["9" * 18, "9" * 5000, "\u00b2"])
def test_a_count_that_no_minute_can_hold_silences_no_venue(used: str):
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTCUSDT"], channels=["aggTrade", "depth"])
        fake.answers["fapi/v1/depth"] = lambda url, body: (200, {"x-mbx-used-weight-1m": used}, BOOK)
        feeds.perform([need_book()])
        await asyncio.sleep(30)
        feeds.perform([need_book()])
        await asyncio.sleep(60)
        assert [payload for _, _, payload in told.of(RecordKind.REST)] == [b"depth BTCUSDT\n" + BOOK] * 2
        await feeds.stop()

    play(story)


def test_what_fails_is_a_record_and_is_tried_again_with_patience():
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTCUSDT"], channels=["aggTrade", "depth"])
        answers: list[Answer] = [(500, {}, b"oops"), (503, {}, b"busy")]
        fake.answers["fapi/v1/depth"] = lambda url, body: answers.pop(0) if answers else (200, {}, BOOK)
        feeds.perform([need_book()])
        await asyncio.sleep(30)
        failures = [payload for _, _, payload in told.of(RecordKind.REST_ERROR)]
        assert failures == [b"depth BTCUSDT\nstatus 500: oops", b"depth BTCUSDT\nstatus 503: busy"]
        assert len(told.of(RecordKind.REST)) == 1
        fake.answers["fapi/v1/depth"] = lambda url, body: (400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')
        feeds.perform([need_book()])
        await asyncio.sleep(60)
        assert len(asked(fake, "depth")) == 4  # asking again would not help
        assert feeds.status()["rest"][0]["failed"] == 3
        await feeds.stop()

    play(story)


def test_the_weight_of_a_minute_is_kept_and_snapshots_go_first():
    """100 books of weight 20 are 2,000 of the 1,920 we may use at once; polls of weight 1 come behind them."""

    async def story(loop: VirtualLoop) -> None:
        symbols = [f"S{number:03d}USDT" for number in range(100)]
        fake, _, feeds = await running(loop, symbols)
        fake.answers["fapi/v1/depth"] = lambda url, body: (200, {}, BOOK)
        await asyncio.sleep(30)
        begin_s = loop.time()
        feeds.perform([need_book(symbol) for symbol in symbols])
        await asyncio.sleep(120)
        weights = [(at_s, 20) for at_s, _ in asked(fake, "depth")]
        assert len(weights) == 100
        assert max(at_s for at_s, _ in weights) - begin_s < 40
        weights += [(at_s, 1) for at_s, _ in asked(fake, "openInterest")]
        for begin, _ in weights:
            assert sum(weight for at_s, weight in weights if begin <= at_s < begin + 60) <= 2 * 1920
        polled = [at_s for at_s, _ in asked(fake, "openInterest") if at_s > begin_s + 60]
        assert 500 <= len(polled) <= 700  # 100 symbols every 10 s for 60 s
        await feeds.stop()

    play(story)


def test_the_venue_s_own_count_is_believed_if_it_is_more():
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"], channels=["aggTrade", "depth"])
        fake.answers["fapi/v1/depth"] = lambda url, body: (200, {"x-mbx-used-weight-1m": "1915"}, BOOK)
        feeds.perform([need_book()])
        await asyncio.sleep(3)
        assert feeds.status()["rest"][0]["weight_used"] > 1800
        feeds.perform([need_book()])
        await asyncio.sleep(30)
        first, second = (at_s for at_s, _ in asked(fake, "depth"))
        assert second - first > 2.4  # 15 missing, at 32 a second, behind 2 s without a change of the book
        await feeds.stop()

    play(story)


def trades(first: int, count: int, at_ns: int) -> bytes:
    return orjson.dumps(
        [{"a": number, "T": at_ns // NS_PER_MS + number, "p": "1", "q": "1"} for number in range(first, first + count)]
    )


def test_missed_trades_are_asked_for_page_by_page():
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTCUSDT"])

        def page(url: str, body: bytes | None) -> Answer:
            first = int(parse_qs(urlsplit(url).query)["fromId"][0])
            return 200, {}, trades(first, min(1000, 2601 - first), START_NS)

        fake.answers["fapi/v1/aggTrades"] = page
        feeds.perform([BackfillNeeded(0, "binance_usdm", "BTCUSDT", START_NS, START_NS + 3600 * NS_PER_S, 100)])
        await asyncio.sleep(5)
        assert [query["fromId"] for _, query in asked(fake, "aggTrades")] == ["101", "1101", "2101"]
        answers = [payload for _, _, payload in told.of(RecordKind.REST) if payload.startswith(b"aggTrades BTCUSDT\n")]
        assert [len(orjson.loads(answer.partition(b"\n")[2])) for answer in answers] == [1000, 1000, 500]
        # ... and no further than the time that was missed: the first page already lies behind it.
        feeds.perform([BackfillNeeded(0, "binance_usdm", "BTCUSDT", START_NS, START_NS + NS_PER_S, 5)])
        await asyncio.sleep(5)
        assert [query["fromId"] for _, query in asked(fake, "aggTrades")][3:] == ["6"]
        await feeds.stop()

    play(story)


def test_without_an_id_trades_are_asked_for_by_time():
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"])
        fake.answers["fapi/v1/aggTrades"] = lambda url, body: (200, {}, b"[]")
        feeds.perform([BackfillNeeded(0, "binance_usdm", "BTCUSDT", START_NS, START_NS + NS_PER_S, -1)])
        feeds.perform([BackfillNeeded(0, "hyperliquid", "BTC", START_NS, START_NS + NS_PER_S, -1)])
        await asyncio.sleep(2)
        ((_, query),) = asked(fake, "aggTrades")
        assert query == {"symbol": "BTCUSDT", "startTime": str(START_NS // NS_PER_MS), "limit": "1000"}
        await feeds.stop()

    play(story)


def test_a_candle_is_asked_for_behind_its_minute_until_it_is_there():
    async def story(loop: VirtualLoop) -> None:
        fake, told, feeds = await running(loop, ["BTC"], "hyperliquid")
        minute = START_NS // NS_PER_MINUTE
        answers = [b"[]", b"[]", b'[{"t":%d}]' % (START_NS // NS_PER_MS)]
        fake.answers["candleSnapshot"] = lambda url, body: (200, {}, answers.pop(0))
        feeds.perform([CandleNeeded(0, "hyperliquid", "BTC", minute)])
        await asyncio.sleep(120)
        bodies = [(at_s, orjson.loads(body)) for at_s, _, body in fake.requests if body and b"candleSnapshot" in body]
        assert [request["req"]["startTime"] for _, request in bodies] == [START_NS // NS_PER_MS] * 3
        assert 60.2 <= bodies[0][0] < 60.5
        assert (
            len([1 for _, _, payload in told.of(RecordKind.REST) if payload.startswith(b"candleSnapshot BTC\n")]) == 3
        )
        await feeds.stop()

    play(story)


def test_behind_a_long_ban_nobody_asks_for_candles_that_help_nobody_any_more():
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"], channels=["aggTrade", "depth"])
        times: list[float] = []

        def candles(url: str, body: bytes | None) -> Answer:
            times.append(loop.time())
            return (418, {"retry-after": "7200"}, b"") if len(times) == 1 else (200, {}, b"[]")

        fake.answers["fapi/v1/klines"] = candles
        for minute in range(110):
            feeds.perform([CandleNeeded(0, "binance_usdm", "BTCUSDT", START_NS // NS_PER_MINUTE + minute)])
            await asyncio.sleep(60)
            assert feeds.status()["rest"][0]["queued"] <= 6
        await asyncio.sleep(3600)
        assert len(times) == 1
        await feeds.stop()

    play(story)


def test_a_candle_that_never_comes_is_given_up():
    async def story(loop: VirtualLoop) -> None:
        fake, _, feeds = await running(loop, ["BTCUSDT"])
        fake.answers["fapi/v1/klines"] = lambda url, body: (200, {}, b"[]")
        feeds.perform([CandleNeeded(0, "binance_usdm", "BTCUSDT", START_NS // NS_PER_MINUTE - 1)])
        await asyncio.sleep(120)
        assert len(asked(fake, "klines")) == 8
        fake.answers["fapi/v1/klines"] = lambda url, body: (200, {}, b'{"no":"list"}')
        feeds.perform([CandleNeeded(0, "binance_usdm", "BTCUSDT", START_NS // NS_PER_MINUTE - 1)])
        await asyncio.sleep(120)
        assert len(asked(fake, "klines")) == 9  # that is no list of candles, and will not become one
        await feeds.stop()

    play(story)
