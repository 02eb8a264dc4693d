"""The same records, the same bits: whatever the batches, the order inside the watermark, the machine's settings."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.digest import make_canonical, row_words, stage_digest
from engine.core.schema import COLUMNS, ROW, ROW_FIELDS
from tests.engine.running import Run, run, same_rows, words
from tests.engine.story import Story
from tests.oracles.captures import capture, recorded

USUAL = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
OF_TRADES = (
    "open", "high", "low", "close", "base_volume", "quote_volume", "taker_buy_base_volume", "taker_buy_quote_volume",
    "trade_count", "vwap", "trade_size_mean", "trade_size_std", "trade_size_max",
)  # fmt: skip


def session() -> Story:
    """Three minutes of two symbols: trades, quotes, a book with a gap, a duplicate, a reconnect, context."""
    story = Story(symbols=("XUSDT", "YUSDT")).up("trade", "bookTicker", "depth", "openInterest", came=-30_000)
    story.trade(-29_000, symbol="YUSDT")
    story.snapshot(-28_000, 10, [["99", "1"], ["98", "5"]], [["101", "2"], ["102", "7"]])
    last = 10
    for step in range(180):
        ms = 1_000 * step
        story.trade(
            ms + 7, f"{100 + step % 5}.25", f"0.{step + 1:03d}", step % 3 == 0, symbol=("XUSDT", "YUSDT")[step % 2]
        )
        story.quote(
            ms + 100, f"{99 + step % 3}", f"{1 + step % 4}", f"{101 + step % 2}", "2", symbol="XUSDT", update=last
        )
        story.diff(ms + 200, last + 1, last + 2, last, [[f"{90 + step % 9}", f"{step % 4}"]], [["103", f"{step}"]])
        last += 2
        if step == 30:
            story.trade(ms, number=4, came=ms + 300)  # seen before
        if step == 70:
            last += 5  # a gap
        if step == 80:
            story.snapshot(ms + 350, last, [["99", "1"]], [["101", "2"]])
        if step == 100:
            story.down(ms + 400)
            story.up("trade", "bookTicker", "depth", "openInterest", came=ms + 900)
        if step % 50 == 3:
            story.rest(ms + 500, "openInterest", {"openInterest": f"{step}.5", "time": 28_000_000 * 60_000 + ms})
        story.ticks(ms + 600, ms + 1_400)
    return story


SESSION = session()
WHOLE: list[Run] = []


def whole() -> Run:
    if not WHOLE:
        WHOLE.append(SESSION.run())
    return WHOLE[0]


def test_the_session_has_something_of_everything() -> None:
    result = whole()
    assert {"gap", "book_gap", "connection_down"} <= set(result.kinds())
    assert len(result.links) >= 3
    assert sum(row["duplicate"] for rows in result.rows().values() for row in rows) == 1


@USUAL
@given(st.lists(st.integers(0, len(SESSION.records)), max_size=12))
def test_splitting_a_batch_anywhere_changes_no_bit(cuts: list[int]) -> None:
    split = SESSION.run(cuts=cuts)
    assert same_rows(whole().links, split.links)
    assert (split.chain, split.effects[0]) == (whole().chain, whole().effects[0])


def test_one_record_at_a_time_changes_no_bit() -> None:
    split = SESSION.run(cuts=range(len(SESSION.records)))
    assert same_rows(whole().links, split.links)
    assert split.chain == whole().chain
    assert split.kinds() == whole().kinds()


@pytest.mark.captures
@recorded
def test_splitting_a_capture_changes_no_bit() -> None:
    records = capture("spot_btcusdt")
    one = run(records)
    other = run(records, cuts=range(0, len(records), 97))
    assert one.chain == other.chain
    assert same_rows(one.links, other.links)


trades = st.lists(
    st.tuples(st.integers(56_000, 59_999), st.integers(9_000, 11_000), st.integers(1, 5_000), st.booleans()),
    min_size=1,
    max_size=25,
)


@USUAL
@given(trades, st.randoms(use_true_random=False))
def test_arrival_and_repetition_change_no_column_of_trades(made: list[tuple[int, int, int, bool]], random) -> None:
    """All of the minute's trades arrive before its boundary is passed, in any order, some twice."""

    def told(order: list[int]) -> Story:
        story = Story().up("trade", came=-30_000)
        story.trade(-29_000, number=1)
        for number in order:
            ms, price, quantity, buy = made[number]
            story.trade(ms, f"{price / 100:.2f}", f"{quantity / 1000:.3f}", buy, number=100 + number, came=60_050)
        story.trade(60_000, number=2, came=60_100)
        story.tick(61_600)
        return story

    order = list(range(len(made)))
    straight = told(order).run().row()
    mixed = order + random.sample(order, len(order) // 2)
    random.shuffle(mixed)
    other = told(mixed).run().row()
    assert {name: straight[name] for name in OF_TRADES} == {name: other[name] for name in OF_TRADES}
    assert other["duplicate"] == len(order) // 2
    assert straight["base_volume"] == sum((Decimal(q) for _, _, q, _ in made), Decimal(0)) / 1000


def test_flipping_any_bit_of_any_cell_changes_its_stages_digest() -> None:
    link = next(link for link in whole().links if len(link.symbols) == 2)
    rows = link.rows.copy()

    assert link.market is not None
    market = np.atleast_1d(link.market.row).copy()
    market_words = market.view(np.int64).reshape(-1)

    def digest(stage: str) -> str:
        told = row_words(stage, rows).ravel()
        if stage == "context":  # the market row stands behind those of the symbols
            told = np.concatenate([told, market_words])
        return stage_digest(stage, link.venue, link.minute, link.revision, link.symbols, told)

    for stage in ROW_FIELDS:
        assert digest(stage) == link.digests[stage]
    names = list(ROW.names or ())
    assert sorted(name for fields in ROW_FIELDS.values() for name in fields) == sorted(names)
    for cell in range(words(rows).size):
        stage = next(stage for stage, fields in ROW_FIELDS.items() if names[cell % len(names)] in fields)
        for bit in (0, 31, 62):
            words(rows).reshape(-1)[cell] ^= np.int64(1) << np.int64(bit)
            assert digest(stage) != link.digests[stage], names[cell % len(names)]
            words(rows).reshape(-1)[cell] ^= np.int64(1) << np.int64(bit)
        assert all(digest(other) == link.digests[other] for other in ROW_FIELDS)
    for place in range(len(market_words)):
        market_words[place] ^= 1
        assert digest("context") != link.digests["context"], place
        market_words[place] ^= 1
    assert len(COLUMNS) <= len(names)


def test_order_of_subscriptions_does_not_matter_for_values() -> None:
    def told(symbols: tuple[str, ...]) -> Run:
        story = Story(symbols=symbols).up("trade", "bookTicker", came=-30_000)
        for second in range(-29, 62):
            for number, symbol in enumerate(("XUSDT", "YUSDT")):
                story.trade(1_000 * second, f"{100 + number + second % 3}", "1", symbol=symbol, number=1_000 + second)
                story.quote(1_000 * second + 5, symbol=symbol)
        return story.run()

    one, other = told(("XUSDT", "YUSDT")).rows(), told(("YUSDT", "XUSDT")).rows()
    assert one.keys() == other.keys()
    for key in one:
        assert one[key] == other[key]


def test_every_null_real_has_one_pattern_and_zero_has_no_sign() -> None:
    rows = np.zeros(3, ROW)
    rows["vwap"] = [-0.0, 0.0, 1.5]
    rows["spread_mean"].view(np.int64)[:] = [0x7FF8000000000001, -0x0008000000000000, 0x7FF8000000000000]
    make_canonical(rows)
    assert rows["vwap"].view(np.int64).tolist() == [0, 0, np.float64(1.5).view(np.int64)]
    assert set(rows["spread_mean"].view(np.int64).tolist()) == {int(np.float64(np.nan).view(np.int64))}
    for link in whole().links:
        again = link.rows.copy()
        make_canonical(again)
        assert again.tobytes() == link.rows.tobytes()


def test_a_snapshot_before_the_first_event_means_the_same_whether_a_batch_ends_behind_it_or_not() -> None:
    story = Story().up("trade", "depth")
    snapshot = len(story.records)
    story.snapshot(-900, 2, [["99", "1"]], [["101", "1"]])
    story.trade(70_000)
    whole, cut = story.run(), story.run(cuts=[snapshot + 1])
    sums = [run.conveyor.state.bars.depth_sums.tobytes() for run in (whole, cut)]  # type: ignore[union-attr]
    assert sums[0] == sums[1]
