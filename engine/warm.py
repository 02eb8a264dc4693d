"""Compile every kernel at a moment that is announced, and not inside a replay.

A made-up minute is played, which needs each kernel once. Two processes share the work: the child begins with the tape,
whose one kernel takes as long as all others, this one with what needs no frame; what one has compiled the other finds
in the cache on disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from engine.recovery import Verdict
from engine.tape.watermark import END_GRACE

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
    state.market.minutes[0, (MINUTE - 1) % MARKET_MINUTES] = MINUTE - 1
    features.settle(state, roster.order, MINUTE)
    context.settle(state, 0, MINUTE, roster)
    # Some detectors look only in the minute behind a bar, which the next one is.
    sectors, pack = conveyor.minutes.sectors.of(conveyor.registry.names, {}), conveyor.minutes.epochs.newest.pack
    failed = detectors.look(state, roster.order, MINUTE + 1, np.zeros(1, MARKET), roster.order, sectors, pack)
    assert not failed, failed


def load() -> None:
    """Take the code of every kernel into this process, which otherwise happens at its first call: inside a close."""
    _play()


def _play_without_frames() -> None:
    """What the story needs besides the tape's loop over records: books, rows, verdicts, state snapshots."""
    conveyor = Conveyor()
    for record in _records():
        if record.kind == RecordKind.CONFIG:
            conveyor.configure(Core.decode(record.payload))
        elif record.kind not in (RecordKind.FRAME, RecordKind.TICK):
            conveyor._obey(record, [])
    assert conveyor.state is not None
    conveyor.state.tape.venues["open_minute"][0] = MINUTE
    conveyor.minutes.fold()
    conveyor.minutes.close(0, CloseReason.EVENT, [])
    conveyor.minutes.revise(0, [])
    conveyor.minutes.attend(0, END_GRACE, [])
    conveyor.minutes.settle(([Verdict(0, MINUTE, 0, 0)], []), [])
    _keep(conveyor)
    snapshot.restore(snapshot.take(conveyor))


# Two processes --------------------------------------------------------------------------------------------------------


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


@contextmanager
def _child(wanted: bool) -> Iterator[Callable[[bool], list[str]]]:
    """A second process that plays the story. Called with True it waits for the next names it tells; none: it ended."""
    if not wanted:
        yield lambda _wait: []
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.warm"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    pipe, rest = process.stdout.fileno(), b""
    os.set_blocking(pipe, False)

    def told(wait: bool) -> list[str]:
        nonlocal rest
        os.set_blocking(pipe, wait)
        with suppress(BlockingIOError):
            while data := os.read(pipe, 4096):
                rest += data
                if wait and b"\n" in rest:
                    break
        *names, rest = rest.split(b"\n")
        return [name.decode() for name in names]

    try:
        yield told
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def warm(advance: Callable[[str], None] = lambda _name: None) -> None:
    """Compile whatever is not in the cache. advance: called with the name of each of `functions()` when it is done."""
    left = functions()

    def done(*names: str) -> None:
        for name in names:
            if name in left:
                left.remove(name)
                advance(name)

    with _child(len(os.sched_getaffinity(0)) > 1) as told:

        def compiled(name: str) -> None:
            done(name, *told(False))

        with event.install_listener("numba:compile", _Compiled(compiled)):
            _play_without_frames()
            while names := told(True):
                done(*names)
            _play()  # Loads what the child compiled; compiles it if there was no child, or if it failed.
    done(*sorted(left))
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
    with event.install_listener("numba:compile", _Compiled(lambda name: print(name, flush=True))):
        _play()
