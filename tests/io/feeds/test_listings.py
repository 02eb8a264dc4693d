"""What a venue lists: symbols it has not, scales, hours between fundings, and a venue that cannot be asked yet."""

from __future__ import annotations

import asyncio
from functools import partial

import orjson
import pytest

from config.errors import ConfigError
from config.schema import Config
from engine.core.errors import FeedError
from engine.core.instruments import Instrument
from engine.core.records import RecordKind
from replay.exchange import VirtualLoop
from tests.io.feeds.world import FakeVenue, Told, feeds_of, play, settings, usdm_listing, wanted


def answered(status: int, listing: bytes, url: str, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
    return status, {}, listing


@pytest.mark.parametrize(
    ("venue", "symbol", "said"),
    [
        ("binance_usdm", "BTCUSD", "did you mean BTCUSDT?"),
        ("binance_usdm", "btcusdt", "did you mean BTCUSDT?"),
        ("binance_usdm", "OLDUSDT", "is not traded"),
        ("hyperliquid", "BTCC", "did you mean BTC?"),
        ("hyperliquid", "OLD", "is not traded"),
        ("hyperliquid", "ZZZZZ", "lists no 'ZZZZZ'; correct"),
    ],
)
def test_a_symbol_the_venue_has_not_is_one_sentence_before_anything_is_written(venue: str, symbol: str, said: str):
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        feeds = feeds_of(settings(venue, [symbol]), fake, told)
        with pytest.raises(ConfigError, match=r"^venues\.") as caught:
            await feeds.prepare()
        assert said in str(caught.value)
        assert told.records == []
        assert fake.attempts == []

    play(story)


def test_what_cannot_be_carried_is_said_at_once():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        with pytest.raises(ConfigError, match="'trade' is no channel of hyperliquid, did you mean trades"):
            feeds_of(settings("hyperliquid", ["BTC"], channels=["trade"]), fake, told)
        for key, url in (
            ("ws_url", "http://a/ws"), ("rest_url", "api.hyperliquid.xyz"), ("rest_url", "https://"),
            ("ws_url", "wss://a:99999/ws"), ("ws_url", "wss://a:b/ws"), ("ws_url", "wss://[::1/ws"),
            ("ws_url", "wss://a..b/ws"), ("rest_url", "https://a:99999"),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match=rf"venues\.hyperliquid\.{key}.*is no address"):
                feeds_of(settings("hyperliquid", ["BTC"], **{key: url}), fake, told)
        with pytest.raises(ConfigError, match="does not end with /stream"):
            feeds_of(settings("binance_usdm", ["BTCUSDT"], ws_url="wss://fstream.binance.com/ws"), fake, told)
        with pytest.raises(ConfigError, match="no venue is enabled"):
            await feeds_of(Config(), fake, told).prepare()
        feeds = feeds_of(settings("hyperliquid", ["BTC"]), fake, told)
        for status, listing in ((200, b"<html>"), (503, b"later"), (200, b'{"universe":[{"name":1}]}')):
            fake.answers["meta"] = partial(answered, status, listing)
            with pytest.raises(ConfigError, match=r"venues\.hyperliquid\.rest_url"):
                await feeds.prepare()
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), fake, told)
        fake.answers["fapi/v1/exchangeInfo"] = partial(answered, 200, usdm_listing().replace(b'"0.10"', b"0.1"))
        with pytest.raises(ConfigError, match=r"is no listing of instruments .*venues\.binance_usdm\.rest_url"):
            await feeds.prepare()
        assert told.records == []

    play(story)


def test_instruments_have_the_scales_of_the_listing():
    async def story(loop: VirtualLoop) -> None:
        config = Config.model_validate(
            {
                "venues": {
                    "hyperliquid": {"enabled": True, "symbols": ["BTC", "SOL"]},
                    "binance_usdm": {"enabled": True, "symbols": ["BTCUSDT"]},
                }
            }
        )
        feeds = feeds_of(config, FakeVenue(loop), Told(loop))
        await feeds.prepare()
        found = [(one.symbol, one.price_decimals, one.quantity_decimals) for one in feeds.instruments()]
        assert found == [("BTC", 1, 5), ("SOL", 4, 2), ("BTCUSDT", 1, 3)]

    play(story)


def funding_of(interval_h: object) -> bytes:
    return orjson.dumps([{"symbol": "ETHUSDT", "fundingIntervalHours": interval_h}])


def test_hours_between_fundings_are_the_venue_s_own():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        fake.answers["fapi/v1/fundingInfo"] = partial(answered, 200, funding_of(4))
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT", "ETHUSDT"]), fake, told)
        await feeds.prepare()
        assert [(one.symbol, one.funding_interval_h) for one in feeds.instruments()] == [("BTCUSDT", 8), ("ETHUSDT", 4)]
        feeds.start()
        await feeds.stop()
        assert told.of(RecordKind.HOST) == []

    play(story)


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"later"), (200, b"<html>"), (200, b'{"code":1}'), (200, funding_of(0))]
)
def test_hours_between_fundings_that_nobody_tells_are_assumed_aloud(status: int, body: bytes):
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        fake.answers["fapi/v1/fundingInfo"] = partial(answered, status, body)
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT"]), fake, told)
        await feeds.prepare()
        assert [one.funding_interval_h for one in feeds.instruments()] == [0]
        feeds.start()
        await feeds.stop()
        ((_, _, host),) = told.of(RecordKind.HOST)
        assert host["kind"] == "funding_interval_assumed"
        assert (host["detail"]["venue"], host["detail"]["hours"]) == ("binance_usdm", 8)

    play(story)


def unreachable(url: str, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
    raise FeedError(f"{url}: connection refused")


def known(*symbols: tuple[str, int, int]) -> dict[tuple[str, str], Instrument]:
    return {("binance_usdm", one[0]): Instrument("binance_usdm", *one) for one in symbols}


def test_where_symbols_are_chosen_one_that_is_listed_later_is_carried_within_an_hour():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        config = settings("binance_usdm", ["BTCUSDT"])
        universe = config.core.universe.model_copy(update={"base_symbols": 2})
        feeds = feeds_of(
            config.model_copy(update={"core": config.core.model_copy(update={"universe": universe})}), fake, told
        )
        await feeds.prepare()
        feeds.start()
        feeds.perform([wanted("binance_usdm", ["BTCUSDT", "NEWUSDT"])])
        await asyncio.sleep(100)
        assert not {name for name in fake.open[0].subscribed if name.startswith("new")}

        fake.answers["fapi/v1/exchangeInfo"] = unreachable  # for once; what was told holds
        await asyncio.sleep(3600)
        listing = usdm_listing().replace(b'"S000USDT"', b'"NEWUSDT"')
        fake.answers["fapi/v1/exchangeInfo"] = partial(answered, 200, listing)
        await asyncio.sleep(3600)
        assert len({name for name in fake.open[0].subscribed if name.startswith("new")}) == 6
        assert [one["symbol"] for _, _, one in told.of(RecordKind.INSTRUMENT)] == ["NEWUSDT"]
        await feeds.stop()

    play(story)


def test_a_venue_that_cannot_be_asked_tells_later_what_a_journal_knows_already():
    async def story(loop: VirtualLoop) -> None:
        fake, told = FakeVenue(loop), Told(loop)
        fake.answers["fapi/v1/exchangeInfo"] = unreachable
        feeds = feeds_of(settings("binance_usdm", ["BTCUSDT", "ETHUSDT"]), fake, told)
        with pytest.raises(ConfigError, match=r"does not tell what it lists.*connection refused") as first:
            await feeds.prepare()
        assert isinstance(first.value.__cause__, FeedError)
        await feeds.prepare(can_wait=True)
        with pytest.raises(ConfigError, match="does not tell what it lists"):
            feeds.remember(known(("BTCUSDT", 1, 3)))
        feeds.remember(known(("BTCUSDT", 1, 3), ("ETHUSDT", 2, 3)))
        assert feeds.instruments() == []
        feeds.start()
        await asyncio.sleep(2)
        assert len(fake.open[0].subscribed) == 12
        feeds.perform([wanted("binance_usdm", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])])  # of which nobody knows anything
        await asyncio.sleep(100)
        assert len(fake.open[0].subscribed) == 12
        asked = [at_s for at_s, url, _ in fake.requests if "exchangeInfo" in url]
        assert 4 <= len(asked) <= 40
        del fake.answers["fapi/v1/exchangeInfo"]
        await asyncio.sleep(70)
        await feeds.stop()
        hosts = [host["kind"] for _, _, host in told.of(RecordKind.HOST)]
        assert (hosts[0], hosts.count("listing_came"), hosts.count("symbol_not_carried")) == ("listing_failed", 1, 2)
        assert [one["symbol"] for _, _, one in told.of(RecordKind.INSTRUMENT)] == ["BTCUSDT", "SOLUSDT"]
        assert len(fake.links[0].subscribed) == 12  # SOL came; the decimals of ETH are no longer those of the journal
        assert not {name for name in fake.links[0].subscribed if name.startswith("eth")}

    play(story)
