"""Run every kernel once on a made-up minute, so that compiling happens when it is announced and not inside a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from config.schema import Core
from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.instruments import Instrument
from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind, batch_of, encode

VENUE, SYMBOL = "binance_usdm", "WARMUSDT"
CHANNELS = ("trade", "bookTicker", "depth", "markPrice")
BEGIN_MS = 28_000_000 * MS_PER_MINUTE
LIMITS = {
    "symbols_max": 3, "book_window_ticks": 1024, "history_minutes": 16, "ticks_per_batch": 1024, "dedupe_ids": 256,
    "levels_per_frame": 64, "book_spill_levels": 256, "pending_diffs": 16, "pending_levels": 256,
}  # fmt: skip


def _story() -> Iterator[tuple[int, int, int, bytes]]:
    """(ms of receive time, kind, source, payload): a book, quotes, trades, a close, a late trade, an odd frame."""

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
    yield stream("bookTicker", quote, MS_PER_MINUTE + 700)
    late = stream("trade", trade % 3, MS_PER_MINUTE - 1)
    yield MS_PER_MINUTE + 800, *late[1:]
    yield MS_PER_MINUTE + 1_000, RecordKind.TICK, 0, b""
    yield MS_PER_MINUTE + 4_000, RecordKind.TICK, 0, b""


STEPS = 1 + sum(1 for _ in _story()) + 1


def warm(advance: Callable[[], None] = lambda: None) -> None:
    """Compile whatever is not in the cache. advance: called STEPS times, as it goes."""
    core = Core.model_validate({"limits": LIMITS})
    conveyor = Conveyor()
    conveyor.handle(batch_of(encode(Record(0, BEGIN_MS * NS_PER_MS, 0, RecordKind.CONFIG, core.encode()))))
    advance()
    for seq, (ms, kind, source, payload) in enumerate(_story(), 1):
        record = Record(seq, (BEGIN_MS + ms) * NS_PER_MS, source, kind, payload)
        conveyor.handle(batch_of(encode(record)))
        advance()
    snapshot.restore(snapshot.take(conveyor))
    advance()
