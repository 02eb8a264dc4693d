"""Generated sessions of two venues: a short list of moves, told as the records a journal would hold.

A session is plain data (`Session([Move(...), ...], ...)`), so that what Hypothesis prints can be pasted and run. What
`told` promises of a trade frame: it may be received at any time of its `Room` and is then read in the same state of its
minute: open, in grace (before the same tick), or after grace.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.core.minutes import MS_PER_MINUTE, NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.engine.losses import LOSSES, count_ids
from tests.engine.moves import ANCHORS_MS, DELAY_MS_MAX, LAG_MS, PLAY, SYMBOLS, TICK_MS, Move, Room, Teller, minute_end
from tests.engine.story import START_MS, Story

BINANCE = ("binance_usdm", "binance_spot", "binance_coinm")
TRADE_CHANNELS = (("trade",), ("aggTrade",), ("trade", "aggTrade"))  # Binance; with both, the first one counts
KINDS = (
    "trade", "trade", "trade", "trades", "late", "dropped", "again", "fund", "future", "quote", "quote", "book", "book",
    "gap", "snapshot", "snapshot", "context", "interest", "liquidation", "candle", "odd", "reconnect", "boundary",
    "quiet", "silence", "hole", "hole", "backfill", "stream", "twin", "told_candle",
)  # fmt: skip


PERMUTED = tuple(kind for kind in KINDS if kind != "silence" and kind not in LOSSES)
SENT = tuple(kind for kind in KINDS if kind != "backfill")  # every trade in a row came on a connection


@dataclass(frozen=True)
class Session:
    moves: list[Move]
    binance: str = "binance_usdm"
    trade_channels: tuple[str, ...] = ("trade",)


def random_session(rng: random.Random, moves: int) -> Session:
    """One session by a generator of numbers: what the stress story and a long run use."""

    def move() -> Move:
        wait = rng.choice((0, rng.randrange(900), rng.randrange(3_000)))
        return Move(
            rng.choice(KINDS), rng.randrange(2), rng.randrange(2), wait, rng.randrange(DELAY_MS_MAX + 1),
            rng.randrange(9_900, 10_101), rng.randrange(1, 5_001), rng.random() < 0.5,
        )  # fmt: skip

    return Session([move() for _ in range(moves)], rng.choice(BINANCE), rng.choice(TRADE_CHANNELS))


@dataclass
class Told:
    """records: in order of receipt. rooms: seq -> Room of every frame that may move. sent: trade messages, by venue."""

    records: list[Record]
    rooms: dict[int, Room]
    sent: dict[str, int]
    symbols_of: dict[int, tuple[int, ...]]  # seq -> symbols of a frame of one or more symbols; absent: of none


def tellers_of(session: Session) -> tuple[list[Teller], int]:
    """Both venues' sides with everything sent but the ticks, and the last ms of the session."""
    tellers = []
    for source, venue in enumerate((session.binance, "hyperliquid"), 1):
        scales = {"quantity_decimals": 0, "inverse": True, "contract_size": 10} if venue == "binance_coinm" else {}
        story = Story(venue, SYMBOLS[venue], LAG_MS, **scales)
        tellers.append(Teller(story, source, session.trade_channels if venue != "hyperliquid" else ("trades",)))
        if venue == "hyperliquid":
            tellers[-1].trade_channels = ()
        tellers[-1].connect(-30_000)
    now = -3_000
    for move in session.moves:
        now += move.wait_ms
        if move.kind == "boundary":
            now = max(now, minute_end(now) - 800)
        elif move.kind == "quiet":
            now += 61_000
        elif move.kind == "silence":  # not even an anchor: no Room holds any longer
            now += 61_000
            for teller in tellers:
                teller.anchored_ms = now
        else:
            teller = tellers[move.venue]
            if teller.newest_came - LAG_MS > now and move.kind not in ("late", "dropped"):
                now = max(now, teller.newest_came - LAG_MS - DELAY_MS_MAX)
            _anchor_until(teller, now)
            (PLAY | LOSSES)[move.kind](teller, move, now)
    end = minute_end(max(now, *(teller.newest_came for teller in tellers)))
    for teller in tellers:
        _anchor_until(teller, end + ANCHORS_MS[0])
        count_ids(teller)
    return tellers, end + MS_PER_MINUTE + 5_000


def _anchor_until(teller: Teller, ms: int) -> None:
    while (at := next_anchor_ms(teller.anchored_ms)) <= ms:
        teller.anchor(at)


def next_anchor_ms(ms: int) -> int:
    minute = ms - ms % MS_PER_MINUTE
    return minute + next((at for at in ANCHORS_MS if minute + at > ms), MS_PER_MINUTE + ANCHORS_MS[0])


def told(session: Session) -> Told:
    """The session as records in order of receipt."""
    tellers, end = tellers_of(session)
    entries: list[tuple[Record, Room | None, tuple[int, ...] | None]] = []
    for number, teller in enumerate(tellers):
        for place, record in enumerate(teller.story.records):
            symbols = teller.symbols_of.get(place)
            of_all = None if symbols is None else tuple(10 * number + s for s in symbols)
            entries.append((record, teller.rooms.get(place), of_all))
    for came in range(-30_000 + LAG_MS, end + LAG_MS, TICK_MS):
        entries.append((Record(0, at_ns(came), 0, RecordKind.TICK, b""), None, None))
    entries.sort(key=lambda entry: entry[0].recv_ns)
    return Told(
        [replace(record, seq=seq) for seq, (record, _, _) in enumerate(entries)],
        {seq: room for seq, (_, room, _) in enumerate(entries) if room is not None},
        {teller.venue: teller.sent for teller in tellers},
        {seq: symbols for seq, (_, _, symbols) in enumerate(entries) if symbols is not None},
    )


def at_ns(came: int) -> int:
    return (START_MS + came) * NS_PER_MS


def in_order(records: Iterable[Record]) -> list[Record]:
    """By receipt, numbered anew; two of one instant keep the order they stand in."""
    ordered = sorted(records, key=lambda record: record.recv_ns)
    return [replace(record, seq=seq) for seq, record in enumerate(ordered)]
