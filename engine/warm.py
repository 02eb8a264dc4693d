"""Compile every kernel at a moment that is announced, and not inside a replay.

A made-up minute is played, which needs each kernel once. Two children share the work: one plays forwards, beginning
with the tape, whose kernels take a third of the time, the other one from the end; what one has compiled the other finds
in the cache on disk. The caller only loads what they leave there, so that its memory is that of any later start.
"""

from __future__ import annotations

import gc
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numba.core import event

from config.schema import Core
from detectors import stage as detectors
from detectors.table import TABLE
from engine import snapshot
from engine.context import stage as context
from engine.conveyor import Conveyor
from engine.core.instruments import Instrument
from engine.core.kernel import CACHE, KERNELS, ROOT, WARM_MARK
from engine.core.market import MARKET
from engine.core.market_state import MARKET_MINUTES
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind, batch_of, encode
from engine.core.schema import CloseReason
from engine.features import stage as features
from engine.rollups import stage as rollups

VENUE, SYMBOL = "binance_usdm", "WARMUSDT"
CHANNELS = ("trade", "bookTicker", "depth", "markPrice")
MINUTE = 28_000_019  # the last one of an hour: bars are made, models are fitted
BEGIN_MS = MINUTE * MS_PER_MINUTE
CACHES_KEPT = 8  # of the newest versions of a room: other checkouts on this machine have caches of their own
LIMITS = {
    "symbols_max": 3, "book_window_ticks": 1024, "history_minutes": 16, "ticks_per_batch": 1024, "dedupe_ids": 256,
    "levels_per_frame": 64, "book_spill_levels": 256, "pending_diffs": 16, "pending_levels": 256,
}  # fmt: skip


def _story() -> Iterator[tuple[int, int, int, bytes]]:
    """(ms of receive time, kind, source, payload): a book, quotes, trades, a close, late trades, an odd frame."""

    def stream(channel: str, data: bytes, ms: int) -> tuple[int, int, int, bytes]:
        frame = b'{"stream":"warmusdt@%s","data":%s}' % (channel.encode(), data)
        return ms, RecordKind.FRAME, 1, frame.replace(b"TIME", str(BEGIN_MS + ms).encode())

    trade = b'{"e":"trade","E":TIME,"T":TIME,"s":"WARMUSDT","t":%d,"p":"1.00","q":"2","X":"MARKET","m":false}'
    diff = (
        b'{"e":"depthUpdate","E":TIME,"T":TIME,"s":"WARMUSDT","U":%d,"u":%d,"pu":%d,'
        b'"b":[["0.99","5"],["0.10","1"]],"a":[["1.01","5"]]}'
    )
    quote = b'{"e":"bookTicker","u":9,"s":"WARMUSDT","b":"0.99","B":"5","a":"1.01","A":"5","T":TIME,"E":TIME}'
    yield 0, RecordKind.INSTRUMENT, 0, Instrument(VENUE, SYMBOL, 2, 0).encode()
    yield 0, RecordKind.CONNECTION, 1, orjson.dumps({"venue": VENUE, "state": "up", "reason": ""})
    channels = [{"channel": channel, "symbol": SYMBOL} for channel in CHANNELS]
    yield 0, RecordKind.SUBSCRIPTION, 1, orjson.dumps({"venue": VENUE, "channels": channels})
    yield stream("depth", diff % (1, 2, 0), 1)
    book = b'depth WARMUSDT\n{"lastUpdateId":2,"bids":[["0.98","1"]],"asks":[["1.02","1"]]}'
    yield 2, RecordKind.REST, 1, book
    yield stream("depth", diff % (2, 3, 2), 3)
    yield stream("bookTicker", quote, 4)
    yield stream("trade", trade % 1, 5)
    yield stream("trade", trade.replace(b",", b", ") % 2, 6)  # a space: the slow path
    yield stream("markPrice", b'{"e":"markPriceUpdate","E":TIME,"s":"WARMUSDT","p":"1.0","i":"1.0","r":"0","T":0}', 7)
    yield 8, RecordKind.REST, 1, b'openInterest WARMUSDT\n{"openInterest":"1","time":%d}' % BEGIN_MS
    missed = b'trades WARMUSDT\n[{"id":1,"price":"1.00","qty":"2","time":%d,"isBuyerMaker":false}]'
    yield 8, RecordKind.REST, 1, missed % BEGIN_MS  # as after a gap, in which nothing may be compiled
    yield 9, RecordKind.FRAME, 1, b"no frame"  # its minute is marked
    yield stream("bookTicker", quote, MS_PER_MINUTE + 700)
    late = stream("trade", trade % 3, MS_PER_MINUTE - 1)
    yield MS_PER_MINUTE + 800, *late[1:]
    yield MS_PER_MINUTE + 1_000, RecordKind.TICK, 0, b""
    yield MS_PER_MINUTE + 4_000, RecordKind.TICK, 0, b""
    late = stream("trade", trade % 4, MS_PER_MINUTE - 1)  # after grace: the minute is lowered, and its bar with it
    yield MS_PER_MINUTE + 4_100, *late[1:]
    yield MS_PER_MINUTE + 4_200, RecordKind.TICK, 0, b""
    yield MS_PER_MINUTE + 4_300, RecordKind.CONNECTION, 1, orjson.dumps({"venue": VENUE, "state": "down", "reason": ""})


def _records() -> Iterator[Record]:
    every = {detector.id: {"enabled": True} for detector in TABLE}  # one that is switched on later compiles nothing
    core = Core.model_validate({"limits": LIMITS, "signals": {"detectors": every}})
    yield Record(0, BEGIN_MS * NS_PER_MS, 0, RecordKind.CONFIG, core.encode())
    for seq, (ms, kind, source, payload) in enumerate(_story(), 1):
        yield Record(seq, (BEGIN_MS + ms) * NS_PER_MS, source, kind, payload)


def _play() -> None:
    """The whole story, record by record as a replay does it, and a state snapshot of its end."""
    conveyor = Conveyor()
    for record in _records():
        conveyor.handle(batch_of(encode(record)))
    _keep(conveyor)
    snapshot.restore(snapshot.take(conveyor))


def _keep(conveyor: Conveyor) -> None:
    """Upkeep behind the last minute of an hour, and another one that had a market row: all that learns and fits."""
    state, roster = conveyor.state, conveyor.minutes.rosters.of(0, conveyor.registry)
    assert state is not None
    # Some detectors look only in the minute behind a bar, which the next one is.
    sectors, pack = conveyor.minutes.sectors.of(conveyor.registry.names, {}), conveyor.minutes.epochs.newest.pack
    failed = detectors.look(state, roster.order, MINUTE + 1, np.zeros(1, MARKET), roster.order, sectors, pack)
    assert not failed, failed
    state.market.minutes[0, (MINUTE - 1) % MARKET_MINUTES] = MINUTE - 1
    context.settle(state, 0, MINUTE, roster)
    features.settle(state, roster.order, MINUTE)


def load() -> None:
    """Take the code of every kernel into this process, which otherwise happens at its first call: inside a close."""
    _play()


def _play_backwards() -> None:
    """What a minute needs behind its frames, last things first: so it meets the whole story halfway.

    Two that go the same way would soon stand at the same function, and compile it both, and every one after it.
    """
    conveyor = Conveyor()
    for record in _records():
        if record.kind == RecordKind.CONFIG:
            conveyor.configure(Core.decode(record.payload))
        elif record.kind == RecordKind.INSTRUMENT:
            conveyor._obey(record, [])
    state, minutes, stale_ms = conveyor.state, conveyor.minutes, 0
    assert state is not None
    _keep(conveyor)
    for frame in rollups.due(state, MINUTE):
        rollups.close(state, 0, frame, MINUTE, stale_ms)
    members, roster = np.zeros(1, np.int64), minutes.rosters.of(0, conveyor.registry)
    context.compute(state, 0, members, MINUTE, roster)
    for family in reversed(features.FAMILIES):
        family(state, members, MINUTE)
    state.tape.venues["open_minute"][0] = MINUTE
    minutes.fold()
    minutes.close(0, CloseReason.EVENT, [])


# Children -------------------------------------------------------------------------------------------------------------


def functions() -> set[str]:
    """Full names of what the stages compile; core holds more functions than today's stages use."""
    names = {f"{k.py_func.__module__}.{k.py_func.__qualname__}" for k in KERNELS}
    return {name for name in names if not name.startswith("engine.core.")}


class _Compiled(event.Listener):
    """Tells the full name of each function that numba has compiled."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        self.tell(f"{function.__module__}.{function.__qualname__}")


STORIES = {"forwards": _play, "backwards": _play_backwards}


def _child(story: str) -> None:
    """Play a story and print the name of each function that was compiled for it.

    Trees of code are all that a compiler makes, and few of them are cycles: collecting took a seventh of the time.
    """
    gc.disable()
    with event.install_listener("numba:compile", _Compiled(lambda name: print(name, flush=True))):
        STORIES[story]()


@contextmanager
def _children(stories: Iterable[str]) -> Iterator[Iterator[str]]:
    """A process for each story; gives the names they tell until the last one has ended."""
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for story in stories:
            command = [sys.executable, "-m", "engine.warm", story]
            child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            stack.enter_context(child)
            stack.callback(child.kill)  # before it is waited for
            selector.register(child.stdout, selectors.EVENT_READ, bytearray())  # type: ignore[arg-type]
        yield _lines(selector)


def _lines(selector: selectors.BaseSelector) -> Iterator[str]:
    while selector.get_map():
        for key, _ in selector.select():
            if data := os.read(key.fd, 4096):
                *lines, rest = (key.data + data).split(b"\n")
                key.data[:] = rest
                yield from (line.decode() for line in lines)
            else:
                selector.unregister(key.fileobj)


def warm(advance: Callable[[str], None] = lambda _name: None) -> None:
    """Compile whatever is not in the cache. advance: called with the name of each of `functions()` when it is done."""
    left = functions()
    with _children(list(STORIES)[: len(os.sched_getaffinity(0))]) as told:
        for name in told:
            if name in left:
                left.remove(name)
                advance(name)
    load()  # compiles here what a child did not, should one have failed
    for name in sorted(left):
        advance(name)
    WARM_MARK.touch()
    _forget_old_caches()


def _forget_old_caches() -> None:
    """A room's cache is some megabytes and of no use once its sources, or the core's, have changed."""
    used: dict[str, list[tuple[float, Path]]] = {}
    for folder in CACHE.iterdir():
        if folder.is_dir():
            used.setdefault(folder.name.partition("-")[0], []).append((folder.stat().st_mtime, folder))
    for versions in used.values():
        for _, folder in sorted(versions)[:-CACHES_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _child(sys.argv[1])
