"""Every trade message is in one count of one row: in the candle, duplicate, rejected or late; and none is lost."""

from __future__ import annotations

import pytest

from engine.core.errors import InvariantError
from engine.core.schema import CloseReason
from tests.engine.running import M
from tests.engine.story import D60, D120, trading


def test_duplicates_are_counted_once_and_do_not_harm() -> None:
    story = trading()
    story.trade(30_000, "101", number=77)
    story.trade(30_000, "101", number=77, came=31_000)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["trade_count"], row["received"], row["duplicate"], row["dq_status"]) == (1, 2, 1, "ok")


def test_every_trade_message_is_in_some_row() -> None:
    """A duplicate that comes in grace is still a received message of the minute."""
    story = trading()
    story.trade(30_000, number=77)
    story.trade(D60 + 500)
    story.trade(30_000, number=77, came=D60 + 700)
    story.tick(D60 + 800)
    story.trade(D120 + 500)
    run = story.run()
    assert sum(run.row(28_000_000 + n)["received"] for n in (-1, 0, 1)) == 4


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_trades_of_no_candle(kind: str) -> None:
    story = trading()
    story.trade(30_000, "101")
    story.trade(31_000, "500", "7", X=kind)
    story.trade(D60 + 500)
    row = story.run().row()
    assert (row["high"], row["trade_count"], row["received"], row["rejected"]) == (101, 1, 2, 1)
    assert row["dq_status"] == "ok"


def test_malformed_trade_makes_stale_malformed_quote_partial() -> None:
    for stream, status, reason in (("trade", "stale", "rejected"), ("bookTicker", "partial", "malformed")):
        story = trading("trade", "bookTicker")
        story.quote(0)
        story.trade(30_000)
        broken = b'{"stream":"xusdt@%s","data":{"e":"%s","s":"XUSDT","t":' % (stream.encode(), stream.encode())
        story.frame(31_000, broken)
        story.trade(D60 + 500)
        run = story.run()
        row = run.row()
        assert (row["dq_status"], row["dq_reasons"]) == (status, {reason, "feed_absent"})
        assert "malformed_frame" in run.kinds()
        assert run.tape.connections[1]["malformed"] == 1


def test_a_trade_in_no_count_stops_the_engine() -> None:
    story = trading()
    story.trade(30_000)
    run = story.run()
    bars = run.conveyor.state.bars  # type: ignore[union-attr]
    bars.trade_sums["received"][0, M & 3] += 1
    with pytest.raises(InvariantError, match="symbol index 0: received 2 trades, accounted for 1"):
        run.conveyor.minutes.close(0, CloseReason.EVENT, [])
