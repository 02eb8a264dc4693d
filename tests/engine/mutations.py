"""Frames to begin with, and what may happen to the bytes of one."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from engine.core.records import RecordKind
from replay.simulate import Market, simulate
from tests.engine.moves import SYMBOLS
from tests.engine.sessions import Session, random_session, told
from tests.engine.story import START_MS, Story

INSERTS = (
    b'"', b"\\", b"\\u0058", b"\\ud83d\\ude00", b"\\ud800", b'\\"', b"\x00", b"\xff", b"\xc3\x28", "é٣😀".encode(),
    b"\xc0\xaf", b" ", b"\n", b"\t", b",", b":", b"{}", b"[]", b"[" * 40, b'{"a":' * 40, b"null", b"true", b"-", b".",
    b"0", b"00", b"e5", b"1e400", b"9" * 18, b"9" * 19, b"9" * 20, b"1" * 400, b"18446744073709551617", b"NaN",
)  # fmt: skip
NUMBERS = (
    b"0", b"0.0", b"1", b"-1", b"01", b"1.", b".5", b"1e3", b"1.50", b"1.500000000", b"1.23456789",
    b"999999999999999999", b"1000000000000000000", b"9223372036854775807", b"9223372036854775808",
    b"99999999999.99999999", b"",
)  # fmt: skip
NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")
FIELD = re.compile(rb'"[A-Za-z]+":')


class Splice(NamedTuple):
    """Bytes start to stop of a frame become `text`."""

    start: int
    stop: int
    text: bytes


def spliced(frame: bytes, splices: Sequence[Splice]) -> bytes:
    for start, stop, text in splices:
        frame = frame[:start] + text + frame[stop:]
    return frame


def splices_of(rng: random.Random, frame: bytes, other: bytes) -> list[Splice]:
    """One to four changes; `other` is a frame that may lend a part of itself."""
    made: list[Splice] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        now = spliced(frame, made)
        made.append(_splice(rng, now, other))
    return made


def _splice(rng: random.Random, frame: bytes, other: bytes) -> Splice:
    if not frame:
        return Splice(0, 0, rng.choice(INSERTS))
    at = rng.randrange(len(frame))
    end = min(len(frame), at + rng.choice((1, 1, 2, 4, 8, 30)))
    kind = rng.randrange(11)
    if kind == 0:
        return Splice(at, at + 1, bytes([frame[at] ^ 1 << rng.randrange(8)]))
    if kind == 1:
        return Splice(at, end, b"")
    if kind == 2:
        return Splice(at, at, frame[at:end])
    if kind == 3:
        return Splice(at, len(frame), b"")
    if kind == 4:
        middle = (at + end) // 2
        return Splice(at, end, frame[middle:end] + frame[at:middle])
    if kind == 5:
        return Splice(at, at, rng.choice(INSERTS))
    if kind == 6:
        return Splice(at, at + 1, bytes([rng.choice(b'0123456789.-"{}[],:eE tf\\')]))
    if kind in (7, 8):
        found = rng.choice([*NUMBER.finditer(frame)] or [None])
        if found is None:
            return Splice(at, at, b"7")
        text = rng.choice(NUMBERS) if kind == 7 else found[0][:-1] + bytes([rng.choice(b"0123456789")])
        return Splice(found.start(), found.end(), text)
    if kind == 9:  # one field twice, away, or under another one's name
        names = [*FIELD.finditer(frame)]
        if len(names) < 2:
            return Splice(at, at, b'"e":')
        one, two = rng.choice(names), rng.choice(names)
        return Splice(one.start(), one.end(), two[0])
    start = rng.randrange(len(other) or 1)
    return Splice(at, end, other[start : start + rng.choice((1, 8, 40))])


@cache
def pool(venue: str) -> list[bytes]:
    """Frames of every channel of a venue: simulated where there is a simulator, of a generated session, by hand."""
    frames: list[bytes] = []
    name = SYMBOLS[venue][0]
    if venue in ("binance_usdm", "hyperliquid"):
        simulator: Any = venue
        market = Market(seed=3, minutes=1, symbols=3, venue=simulator, episodes="none")
        raw = [payload for _, _, kind, payload in simulate(market) if kind == RecordKind.FRAME][::7]
        first, second = (b"BTC", b"ETH") if venue == "hyperliquid" else (b"BTCUSDT", b"ETHUSDT")
        for old, new in ((first, SYMBOLS[venue][0].encode()), (second, SYMBOLS[venue][1].encode())):
            raw = [_as_now(frame.replace(old, new).replace(old.lower(), new.lower())) for frame in raw]
        frames += raw
    binance = "binance_usdm" if venue == "hyperliquid" else venue
    source = 2 if venue == "hyperliquid" else 1
    moves = random_session(random.Random(7), 150).moves
    for record in told(Session(moves, binance, ("trade", "aggTrade"))).records:
        if record.kind == RecordKind.FRAME and record.source == source and len(record.payload) > 40:
            frames.append(record.payload)
    if venue != "hyperliquid":
        depth = [frame for frame in frames if b"@depth" in frame][:30]
        frames += [re.sub(rb"@depth(@[0-9]+ms)?", b"@depth20", frame) for frame in depth]
        partial = b'{"stream":"%s@depth5","data":{"lastUpdateId":77,"bids":[["99.5","1"]],"asks":[["100.5","0.25"]]}}'
        frames += [partial % name.lower().encode(), b'{"result":null,"id":1}', b'{"code":2,"msg":"x"}']
    return sorted(set(frames))


def _as_now(frame: bytes) -> bytes:
    """Times of a simulated frame moved into minute M: the last six digits stay."""
    return re.sub(rb"17361[0-9]{2}([0-9]{6})", lambda found: b"%d" % (START_MS + int(found[1]) % 50_000), frame)


@cache
def answers(venue: str) -> list[bytes]:
    """REST payloads: head, newline, body."""
    story = Story(venue, SYMBOLS[venue])
    body = {"lastUpdateId": 10, "E": START_MS, "T": START_MS, "bids": [["99.5", "1.25"]], "asks": [["100.5", "3"]]}
    story.rest(0, "depth", body)
    story.rest(0, "openInterest", {"symbol": story.symbol, "openInterest": "12.5", "time": START_MS})
    return [record.payload for record in story.records if record.kind == RecordKind.REST]
