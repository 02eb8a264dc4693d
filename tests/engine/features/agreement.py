"""When the engine's columns are those of an oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.engine.features.rows import to_rows
from tests.oracles.features import Columns, Minute, agree

Oracle = Callable[[Sequence[Minute]], list[Columns]]


def compare(oracle: Oracle, minutes: Sequence[Minute]) -> list[Columns]:
    """Every column that the oracle gives, in every minute; the engine's rows."""
    found = to_rows(minutes)
    for minute, ours, theirs in zip(minutes, found, oracle(minutes), strict=True):
        wrong = {name: (ours[name], value) for name, value in theirs.items() if not agree(ours[name], value, name)}
        assert wrong == {}, (minute.minute - minutes[0].minute, minute.status, wrong)
    return found
