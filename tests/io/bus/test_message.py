"""Messages of the bus: who may say what to whom, and ids that are those of the content."""

from __future__ import annotations

import pytest

from engine.io.bus.message import BusError, decode, make
from tests.io.bus.world import BEGUN_NS


@pytest.mark.parametrize(
    ("type_", "sender", "receiver", "said"),
    [
        ("trading_plan", "alpha", "trader", "alpha never addresses the trader"),
        ("execution_feedback", "alpha", "trader", "alpha never addresses the trader"),
        ("trading_plan", "alpha", "replicator", "it goes to decision_maker"),
        ("trading_plan", "alpha", None, "cannot go to all; it goes to decision_maker"),
        ("trading_plan", "risk", "decision_maker", "not risk's to send; it comes from alpha"),
        ("execution_feedback", "trader", "risk", "it goes to alpha or decision_maker"),
        ("intelligence_broadcast", "risk", "trader", "it goes to all, with no receiver named"),
        ("market_event", "trader", None, "it comes from alpha"),
        ("replication_signal", "", "replicator", "not nobody's to send"),
        ("invented", "alpha", None, "'invented' is no type of message"),
    ],
)
def test_who_may_not_say_this_to_whom_is_told_so(type_: str, sender: str, receiver: str | None, said: str):
    with pytest.raises(BusError, match=said):
        make(type_, sender, receiver, {}, BEGUN_NS)


def test_an_id_is_that_of_the_content_and_a_changed_message_is_refused():
    message = make("trading_plan", "alpha", "decision_maker", {"b": 1, "a": [0.1]}, BEGUN_NS)

    assert message == make("trading_plan", "alpha", "decision_maker", {"a": [0.1], "b": 1}, BEGUN_NS)
    assert message.message_id != make("trading_plan", "alpha", "decision_maker", {"b": 2}, BEGUN_NS).message_id
    assert decode(message.encode()) == message
    for changed in (
        message.encode().replace(b'"a":[0.1]', b'"a":[0.2]'), message.encode().replace(b'"ttl_s":300', b'"ttl_s":301'),
        b"[]", b"{}", b"no",
    ):  # fmt: skip
        with pytest.raises(BusError):
            decode(changed)
