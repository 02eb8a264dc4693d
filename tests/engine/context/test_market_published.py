"""Which links carry a market row, and what it counts."""

from __future__ import annotations

import numpy as np

from engine.context.stage import words_of
from engine.core.digest import row_words, stage_digest
from engine.core.effects import MinuteRows
from tests.engine.running import M
from tests.engine.story import D60, Story


def two_symbols() -> Story:
    """X and Y trade in minute M, which closes when X trades behind it."""
    story = Story(symbols=("XUSDT", "YUSDT")).up("trade", came=-40_000)
    for symbol in ("XUSDT", "YUSDT"):
        story.trade(-39_000, symbol=symbol)
        story.trade(30_000, symbol=symbol)
    story.trade(D60 + 500)
    return story


def links_of_m(story: Story) -> list[MinuteRows]:
    return [link for link in story.run().links if link.minute == M]


def test_a_revision_within_grace_carries_the_market_of_all_symbols() -> None:
    story = two_symbols()
    story.trade(59_000, "105", symbol="YUSDT", came=D60 + 700)
    story.tick(D60 + 800)
    first, revised = links_of_m(story)
    assert (first.symbols, revised.symbols) == (("XUSDT", "YUSDT"), ("YUSDT",))
    for link in (first, revised):
        assert link.market is not None
        row = link.market.row
        assert (row["symbol_count"], row["eligible_count"], row["excluded_warming_up"]) == (2, 0, 2)
        assert link.market.names == {}


def test_a_status_that_is_lowered_behind_grace_leaves_the_market_as_it_is() -> None:
    story = two_symbols()
    story.tick(D60 + 3_200)
    story.trade(59_999, "999", "9", symbol="YUSDT", came=D60 + 3_300)
    story.tick(D60 + 3_400)
    first, lowered = links_of_m(story)
    assert first.market is not None
    assert lowered.market is None
    assert lowered.rows["dq_status"][0] != first.rows["dq_status"][1]
    assert lowered.rows["is_eligible"][0] == first.rows["is_eligible"][1] == 0


def test_the_digest_of_context_covers_rows_and_market() -> None:
    (link,) = links_of_m(two_symbols())
    assert link.market is not None
    market = words_of(link.market.row.reshape(1)).ravel()
    words = np.concatenate([row_words("context", link.rows).ravel(), market])
    place = (link.venue, link.minute, link.revision, link.symbols)
    assert stage_digest("context", *place, words) == link.digests["context"]
    words[-1] += 1
    assert stage_digest("context", *place, words) != link.digests["context"]
