"""What the status remembers of the last hour."""

from __future__ import annotations

import numpy as np

from engine.core.effects import Found, MinuteRows
from engine.core.schema import ROW
from engine.core.signal_columns import CANDIDATE, Stop
from engine.io.recent import Recent
from tests.io.publish.made import signal


def minute(number: int, reasons: list[Stop]) -> MinuteRows:
    """A minute of BTC with one candidate for each reason."""
    candidates = np.zeros(len(reasons), CANDIDATE)
    candidates["reason"] = reasons
    signals = tuple(signal(number) for reason in reasons if reason is Stop.PUBLISHED)
    found = Found(candidates, (), (), (), (), signals, "hash")
    rows = np.zeros(1, ROW)
    rows["is_warming_up"] = number == 0
    return MinuteRows(number, number, "hyperliquid", number, ("BTC",), ((1, 5),), rows, {}, "chain", found=found)


def test_candidates_of_the_last_hour_are_counted_by_what_became_of_them():
    recent = Recent()
    recent.perform([minute(0, [Stop.PUBLISHED, Stop.WARMUP])])
    assert recent.symbols()[0]["is_warming_up"]

    recent.perform([minute(59, [Stop.PUBLISHED, Stop.BUDGET_SYMBOL])])
    told = recent.judged()
    assert told["reasons"] == {"budget_symbol": 1, "published": 2, "warmup": 1}
    assert told["classes"] == {"spike": 2}
    assert told["severity"]["p50"] == 70.0
    assert not recent.symbols()[0]["is_warming_up"]

    recent.perform([minute(60, [])])
    assert recent.judged()["reasons"] == {"budget_symbol": 1, "published": 1}
