"""Two venues in one engine: what one of them says changes no bit of the other's rows."""

from __future__ import annotations

from tests.engine.running import same_rows
from tests.engine.story import D60, Story


def hyperliquid() -> Story:
    """Quotes by Hyperliquid, which numbers none of them: two of one millisecond, the second of them wider."""
    story = Story("hyperliquid", ("BTC",)).up("trades", "bbo", came=-40_000, source=2)
    story.quote(-30_000, "99", "1", "101", "1", source=2)
    story.quote(10_000, "99", "1", "101", "1", source=2)
    story.quote(10_000, "98", "1", "104", "1", source=2)
    story.quote(20_000, "99", "1", "101", "1", source=2)
    story.ticks(D60, D60 + 4_000)
    return story


def binance() -> Story:
    """Quotes by Binance, numbered, before and between those of the other."""
    story = Story("binance_usdm", ("XUSDT",)).up("trade", "bookTicker", came=-40_000)
    for number, ms in enumerate((-35_000, -31_000, 9_000, 19_000), 5_000):
        story.quote(ms, update=number)
    return story


def test_quotes_of_a_venue_without_ids_are_not_told_by_the_ids_of_another() -> None:
    both = hyperliquid()
    both.records += binance().records
    alone, beside = hyperliquid().in_time().run(), both.in_time().run()
    mine = [link for link in beside.links if link.venue == "hyperliquid"]
    assert mine[-1].rows["spread_max"][0] == 6_000, "the wider quote was in force for ten seconds"
    assert same_rows([link for link in alone.links if link.venue == "hyperliquid"], mine)
