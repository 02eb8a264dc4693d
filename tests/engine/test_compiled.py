"""Once kernels were compiled on a machine, no later process compiles anything, whatever happens in its session."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A session with a reconnect, a frame nobody can read, a candle, a forced order and a book gap: the rarer ways through.
PROGRAM = """
import numba
from numba.core import event

class Compiled(event.Listener):
    names = []
    def on_start(self, e):
        self.names.append(e.data["dispatcher"].py_func.__qualname__)
    def on_end(self, e):
        pass

event.register("numba:compile", Compiled())
from engine.warm import warm
from tests.engine.story import START_MS, Story
warm()
story = Story().up("trade", "bookTicker", "depth", "markPrice", "forceOrder", "kline_1m", came=-40_000)
story.trade(-39_000)
story.quote(1_000)
story.diff(2_000, 1, 2, 0, [["99", "1"]], [["101", "1"]])
story.snapshot(2_100, 2, [["99", "1"]], [["101", "1"]])
story.diff(2_200, 9, 10, 8, [["99", "1"]], [["101", "1"]])
story.frame(3_000, b"no frame")
order = {"s": "XUSDT", "S": "SELL", "z": "1", "T": START_MS + 3_000}
story.frame(3_100, {"stream": "xusdt@forceOrder", "data": {"e": "forceOrder", "o": order}})
story.rest(3_200, "openInterest", {"openInterest": "5", "time": START_MS})
story.down(4_000)
story.up("trade", "bookTicker", "depth", came=9_000)
story.trade(9_500)
story.trade(60_900)
story.trade(59_000, came=61_500)
story.ticks(61_600, 66_000)
story.trade(59_500, came=66_100)
story.ticks(66_200, 66_600)
run = story.run()
assert len(run.links) >= 2, run.links
print(*Compiled.names)
"""


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled at all in plain Python")
def test_a_second_process_compiles_nothing() -> None:
    def compiled() -> list[str]:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        return done.stdout.split()

    compiled()  # whatever was not in the cache is now
    assert compiled() == []
