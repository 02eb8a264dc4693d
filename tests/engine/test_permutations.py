"""The order of arrival, repetition, batches and restarts over generated sessions of two venues; few here, more by hand.

`python -m tests.engine.permutations 100000` asks the same of as many sessions as are wanted.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.engine.moves import Move, Room
from tests.engine.permutations import QUESTIONS, messages, other_times, trade_columns
from tests.engine.running import run
from tests.engine.sessions import Session, at_ns, in_order, random_session, told

CASES = int(os.environ.get("CONVEYOR_CASES", "10"))


def test_permuting_trades_inside_the_watermark_changes_no_trade_column_of_any_revision() -> None:
    QUESTIONS["arrival"](CASES)()


def test_repeating_trades_changes_no_trade_column_of_any_revision() -> None:
    QUESTIONS["repetition"](CASES)()


def test_a_second_connection_with_the_same_trades_changes_no_trade_column() -> None:
    QUESTIONS["second_connection"](CASES)()


def test_splitting_any_session_anywhere_changes_no_effect() -> None:
    QUESTIONS["partition"](CASES)()


def test_a_restart_at_any_record_of_any_session_changes_no_effect() -> None:
    QUESTIONS["restart"](CASES)()


def test_frames_of_different_symbols_at_one_instant_may_come_in_any_order() -> None:
    QUESTIONS["symbols_of_one_instant"](CASES)()


def test_frames_of_different_venues_at_one_instant_may_come_in_any_order() -> None:
    QUESTIONS["venues_of_one_instant"](CASES)()


def test_every_trade_message_of_any_session_is_accounted_for_once() -> None:
    QUESTIONS["conservation"](CASES)()


# --- what the above would be worth nothing without --------------------------------------------------------------------


def test_generated_sessions_have_something_of_everything() -> None:
    events, reasons, columns, revisions = Counter[str](), Counter[str](), Counter[str](), Counter[int]()
    for seed in range(40):
        result = run(told(random_session(random.Random(seed), 25)).records)
        events.update(result.kinds())
        for rows in result.rows().values():
            revisions[len(rows)] += 1
            reasons.update(rows[-1]["dq_reasons"] | {rows[-1]["dq_status"], rows[-1]["close_reason"]})
            columns.update(name for name in ("late_merged", "late_dropped", "duplicate", "rejected") if rows[-1][name])
    assert {"connection_down", "gap", "book_gap", "late_trades", "malformed_frame"} <= set(events)
    assert {"stream_silent", "stream_back", "stream_refused"} <= set(events)
    assert {"recovered", "gap", "edge", "no_trades", "malformed", "late_trades", "ok", "timeout"} <= set(reasons)
    assert set(columns) == {"late_merged", "late_dropped", "duplicate", "rejected"}
    assert revisions[2] > 5


def test_a_trade_that_leaves_the_watermark_does_change_its_columns() -> None:
    """The comparison can fail: the same frame, received behind the close and behind its grace."""
    sent = told(Session([Move("boundary", 0, 0, 0, 0, 0, 0, True), Move("trade", 0, 0, 0, 0, 9_900, 7, True)]))
    inside = run(sent.records)
    (seq,) = sent.rooms
    for came in (2_000, 4_000):
        records = [replace(r, recv_ns=at_ns(came)) if r.seq == seq else r for r in sent.records]
        assert trade_columns(run(in_order(records))) != trade_columns(inside)
    sent.rooms[seq] = Room(-700, -300)
    assert trade_columns(run(in_order(other_times(sent, [11])))) == trade_columns(inside)


def test_messages_of_an_aggregate_are_counted_from_its_mean() -> None:
    row = {"base_volume": 0.9, "trade_size_mean": 0.3, "trade_count": 7}
    assert messages(row) == 3
    assert messages({"base_volume": 0, "trade_size_mean": None, "trade_count": 0}) == 0


@pytest.mark.parametrize("channels", [("trade",), ("aggTrade",), ("trade", "aggTrade")])
def test_one_trade_is_one_message_whichever_channels_tell_it(channels: tuple[str, ...]) -> None:
    session = Session([Move("trade", 0, 0, 0, 0, 9_900, 7, True)], "binance_usdm", channels)
    rows = run(told(session).records).rows()
    assert sum(found[-1]["received"] for key, found in rows.items() if key[:2] == ("binance_usdm", "XUSDT")) == 1
