"""How long a minute took to become a row, while its store keeps up and while it does not."""

from __future__ import annotations

import weakref
from dataclasses import replace

from engine.core.minutes import NS_PER_MINUTE
from engine.io.latencies import KEPT, Latencies
from replay.exchange import VirtualClock, VirtualLoop
from tests.io.hand_minutes import some_minutes


def test_minutes_that_wait_for_a_store_in_trouble_keep_no_rows_and_are_bounded():
    loop = VirtualLoop()
    (minute,) = some_minutes(1)
    latencies = Latencies(VirtualClock(loop, (minute.minute + 1) * NS_PER_MINUTE))
    rows = weakref.ref(minute.rows)
    for link in range(KEPT + 10):
        latencies.closed(replace(minute, link=link), 0, 0.0)
    count = len(minute.rows)
    del minute

    assert rows() is None
    latencies.stored(KEPT + 9)
    assert [line["link"] for line in latencies.kept] == list(range(10, KEPT + 10))
    assert {line["rows"] for line in latencies.kept} == {count}
    loop.close()
