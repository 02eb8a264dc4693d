"""What is kept from inside a minute (paths of mid, spread and depth; the slope at the close) against the naive oracle.

Exact where it is whole numbers, 1e-12 relative where it is float: sums of 10 products and least squares over 10 levels.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conveyor import Conveyor
from engine.core.effects import MinuteRows
from engine.core.records import Record, RecordKind
from engine.core.schema import NULL
from tests.engine.running import Key, M, batches, core
from tests.engine.story import Story
from tests.engine.test_minutes_against_oracle import USUAL, moves, told
from tests.oracles.captures import WITH_MINUTES, capture, recorded
from tests.oracles.closing import closing
from tests.oracles.inside import Inside, inside
from tests.oracles.tape import Tape

RELATIVE = 1e-12


def kept(records: list[Record], step: int = 1, settings: Any = None) -> tuple[dict[Key, Inside], dict[Any, int]]:
    """What the engine holds of every minute as it closes; and (venue, minute) -> seq of the record that closed it."""
    settings = settings or core()
    conveyor, found, causes = Conveyor(), {}, {}
    epoch = Record(-1, records[0].recv_ns, 0, RecordKind.CONFIG, settings.encode())
    for batch in batches([epoch, *records], range(1, len(records) + 1, step)):
        for effect in conveyor.handle(batch):
            if isinstance(effect, MinuteRows) and effect.revision == 0:
                causes[effect.venue, effect.minute] = effect.cause_seq
                for name in effect.symbols:
                    found[effect.venue, name, effect.minute] = held(conveyor, effect.venue, name, effect.minute)[0]
    return found, causes


def held(conveyor: Conveyor, venue: str, name: str, minute: int) -> tuple[Inside, Any]:
    """What the arrays hold of a minute that has just closed, and the record of its symbol."""
    assert conveyor.state is not None
    bars, slot = conveyor.state.bars, minute & 3
    s = next(i for i, x in enumerate(conveyor.registry.instruments) if (x.venue, x.symbol) == (venue, name))
    cent = Decimal(10) ** -int(conveyor.state.tape.symbols[s]["price_decimals"])
    quotes, depths = bars.quote_sums[s, slot], bars.depth_sums[s, slot]
    mids: list[Any] = [None] * 60
    spreads: list[Any] = [None] * 60
    micro = None
    if quotes["minute"] == minute:
        mids, spreads = [], []
        for end, mid, spread in bars.mid_paths[s, slot][: quotes["path_runs"]].tolist():
            mids += [None if mid == NULL else mid * cent / 2] * (end - len(mids))
            spreads += [None if spread == NULL else spread * cent] * (end - len(spreads))
        micro = _or_none(quotes["microprice_s_30"] * float(cent))
    worths: list[Any] = [None] * 60
    slope = None
    if depths["minute"] == minute:
        worths = []
        for end, depth5 in bars.depth_paths[s, slot][: depths["path_runs"]].tolist():
            worths += [_or_none(depth5)] * (end - len(worths))
        slope = _or_none(depths["slope"])
    return Inside(mids, spreads, [*[None] * 29, micro, *[None] * 30], worths, slope), conveyor.state.tape.symbols[s]


def _or_none(value: Any) -> Any:
    return None if np.isnan(value) else float(value)


def near(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - float(other)) <= RELATIVE * abs(float(other))


def compare(records: list[Record], step: int = 1) -> dict[Key, Inside]:
    """Every minute of every symbol as it closed first."""
    found, causes = kept(records, step)
    tape = Tape(causes)
    tape.run(records)
    for key, ours in found.items():
        venue, name, minute = key
        theirs = inside(tape.symbols[venue, name], minute)
        assert ours.mids == theirs.mids, key
        assert ours.spreads == theirs.spreads, key
        assert near(ours.microprices[29], theirs.microprices[29]), (key, ours.microprices[29], theirs.microprices[29])
        wrong = [(k, a, b) for k, (a, b) in enumerate(zip(ours.depths5, theirs.depths5, strict=True)) if not near(a, b)]
        assert wrong == [], key
        assert near(ours.slope, theirs.slope), (key, ours.slope, theirs.slope)
    return found


@USUAL
@given(st.lists(moves, min_size=1, max_size=20))
def test_inside_any_little_session_of_futures(made: list[Any]) -> None:
    compare(told("binance_usdm", made).records)


@USUAL
@given(st.lists(moves, min_size=1, max_size=20))
def test_inside_any_little_session_of_hyperliquid(made: list[Any]) -> None:
    """Quotes and whole books, late ones among them, some of a book with fewer than 3 levels on a side."""
    compare(told("hyperliquid", made).records)


diffs = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 1_500), st.just(0), st.integers(20_000, 130_000)),  # ms after the one before
        st.integers(-900, 60),  # event time against that
        st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=8),
        st.sampled_from((0, 0, 0, 0, 0, 1)),  # ids left out: a gap, mended by a snapshot a little later
    ),
    min_size=1,
    max_size=25,
)


def diff_story(made: list[Any], **instrument: Any) -> Story:
    """Depth by diffs, with no quote channel or trades that could hide a book: levels 9.91..9.99 and 10.01..10.09."""
    story = Story(**instrument).up("trade", "depth", came=-40_000)
    story.trade(-39_000)
    full = [f"{9.995 - 0.005 - n / 100:.2f}" for n in range(9)], [f"{10.01 + n / 100:.2f}" for n in range(9)]
    bids, asks = ([[price, "3"] for price in side[:4]] for side in full)
    story.snapshot(-30_000, 10, bids, asks)
    last, now = 10, -29_000
    for wait, shift, levels, missing in made:
        now += wait
        sides: tuple[list[Any], list[Any]] = ([], [])
        for ask, n, quantity in levels:
            sides[ask].append([full[ask][n - 1], f"{quantity}"])
        story.diff(now + shift, last + missing, last + missing + 1, last + missing, *sides, came=now + 100)
        last += missing + 1
        if missing:
            story.snapshot(now + 150, last, bids, asks)
    story.ticks(-29_000, now + 70_000, 500)
    return story.in_time()


@settings(USUAL, max_examples=60)
@given(diffs)
def test_inside_any_little_session_of_diffs(made: list[Any]) -> None:
    compare(diff_story(made).records)


@settings(USUAL, max_examples=20)
@given(diffs)
def test_inside_any_little_session_of_contracts(made: list[Any]) -> None:
    """Inverse: a level is worth its contracts, whatever its price."""
    compare(diff_story(made, inverse=True, contract_size=100).records)


@pytest.mark.captures
@recorded
@pytest.mark.parametrize("name", WITH_MINUTES)
def test_inside_every_minute_of_a_capture(name: str) -> None:
    records = capture(name)
    found, causes = kept(records, 500)
    assert causes == closing(records).causes()
    tape = Tape(causes)
    tape.run(records)
    first = min(minute for *_, minute in found)
    for (venue, symbol, minute), ours in found.items():
        if minute == first:
            continue  # the REST snapshot has no time of its own here
        theirs = inside(tape.symbols[venue, symbol], minute)
        assert (ours.mids, ours.spreads) == (theirs.mids, theirs.spreads), minute
        for one, other in zip([*ours.depths5, ours.slope], [*theirs.depths5, theirs.slope], strict=True):
            assert near(one, other), (minute, one, other)


def test_a_book_measures_what_can_be_checked_by_head() -> None:
    """Bids 1 at 99, 98, 97, asks 2 at 101, 102, 103: worth 294 + 612; each bp of distance adds about 1 and 2 levels."""
    story = Story("hyperliquid", ("BTC",)).up("trades", "l2Book", came=-40_000)
    story.trade(-39_000)
    sides = ([(f"{99 - n}", "1") for n in range(3)], [(f"{101 + n}", "2") for n in range(3)])
    story.book(500, *sides)
    story.book(1_000, sides[0][:2], sides[1])
    story.book(59_999, *sides)
    story.trade(60_500)
    (ours,) = (one for key, one in kept(story.records)[0].items() if key[2] == M)
    assert ours.depths5[:3] == [906, 809, 809]
    assert ours.depths5[59] == 906
    # Distances 100, 200, 300 bp: bids 99, 197, 294, so 195 for 200 bp; asks 202, 406, 612, so 410 for 200 bp.
    assert ours.slope == pytest.approx((195 / 200 + 410 / 200) / 2, rel=1e-14)


def test_a_book_that_nobody_carries_has_no_depth_from_there_on() -> None:
    """The end of a connection is a tick from Python: what it supersedes is measured as well."""
    story = Story("hyperliquid", ("BTC",)).up("trades", "l2Book", came=-40_000)
    story.trade(-39_000)
    story.book(500, [("99", "1")], [("101", "1")])
    story.trade(10_500)
    story.down(20_000)
    story.ticks(20_200, 62_000)
    (ours,) = (one for key, one in kept(story.records)[0].items() if key[2] == M)
    assert ours.depths5 == [200.0] * 10 + [None] * 50
    assert ours.slope is None
