"""The roll-up stage: bars of 15 minutes and an hour, when their last minute is final, and when one is lowered later."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.core.rollup_state import Frame
from engine.core.state import EngineState
from engine.rollups.learned import learn, unlearn
from engine.rollups.rows import compare_bars, judge_again, write_bars

JUDGED = ["minutes_present", "minutes_ok", "dq_status", "dq_reasons"]


def due(state: EngineState, minute: int) -> list[Frame]:
    """Timeframes of which a block ends with `minute`."""
    return [frame for frame in state.rollups.frames if (minute + 1) % frame.minutes == 0]


def close(state: EngineState, venue: int, frame: Frame, minute: int, oi_stale_ms: int) -> np.ndarray:
    """Write the bar that ends with `minute` into the drafts; the symbols that have one."""
    history, own, symbols = state.history, state.rollups, state.tape.symbols
    first = minute + 1 - frame.minutes
    minutes = np.arange(first, minute + 1)
    mine = np.flatnonzero(symbols["venue"] == venue)
    present = history.held[minutes % history.minutes][:, mine] == minutes[:, None]
    members = mine[present.any(axis=0)]
    write_bars(members, first, frame.minutes, history.rows, history.held, symbols, own.mids, own.returns, own.draft)
    ring = frame.ring
    compare_bars(members, minute // frame.minutes, oi_stale_ms, ring.rows, ring.held, own.draft)
    learn(state, frame, members, minute // frame.minutes)
    return members


def judge(state: EngineState, venue: int, members: np.ndarray, minute: int) -> Iterator[tuple[Frame, int, np.ndarray]]:
    """A minute of some symbols became another one: bars whose quality changes by it stand in the drafts.

    Yields timeframe, last minute of the block, and the symbols whose bar is another one now. A block that is no longer
    remembered as a whole stays as it is.
    """
    oldest = int(state.tape.venues[venue]["open_minute"]) - state.history.minutes
    for frame in state.rollups.frames:
        block = minute // frame.minutes
        first = block * frame.minutes
        have = members[frame.ring.has(block, members)]
        if first < oldest or not len(have):
            continue
        frame.ring.take_home(block, have, state.rollups.draft)
        before = state.rollups.draft[have][JUDGED]
        judge_again(have, first, frame.minutes, state.history.rows, state.history.held, state.rollups.draft)
        changed = have[state.rollups.draft[have][JUDGED] != before]
        if len(changed):
            unlearn(state, frame, changed, block)
            yield frame, first + frame.minutes - 1, changed
