"""Arbitrary and mutated bytes at every door: nothing raises but what is meant to, and nothing is guessed.

`python -m tests.engine.fuzz 1000000` reads a million frames a venue.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from engine.core.errors import ConfigError
from engine.core.records import Record, RecordKind
from engine.tape.message import Context, MalformedError, Snapshot
from engine.tape.venues import VENUES
from tests.engine.fuzz import NAMES, Fuzzer, WrongError, fuzz, in_a_child
from tests.engine.mutations import answers, pool, spliced, splices_of
from tests.engine.readings import LENIENT, plain_event, plain_message
from tests.engine.running import run
from tests.engine.story import Story
from tests.oracles import frames, nouns

FRAMES = int(os.environ.get("CONVEYOR_CASES", "1000"))
CONTROL = (
    RecordKind.CONFIG,
    RecordKind.INSTRUMENT,
    RecordKind.CONNECTION,
    RecordKind.SUBSCRIPTION,
)


@pytest.mark.parametrize("venue", NAMES)
def test_mutated_frames_of_every_channel_are_read_as_the_oracle_reads_them_or_not_at_all(venue: str) -> None:
    counts = fuzz(venue, FRAMES)
    assert counts["scanned"] > FRAMES / 200
    assert counts["read"] > FRAMES / 20
    assert counts["malformed"] > FRAMES / 3


def test_no_frame_brings_the_process_down() -> None:
    """Another thousand in a process of its own, whose end would be seen."""
    done = in_a_child("binance_spot", 1_000)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("venue", NAMES)
def test_frames_begin_with_every_channel_of_the_dialect_that_has_a_template(venue: str) -> None:
    """So that a template that is added is mutated too."""
    (dialect,) = (dialect for dialect in VENUES if dialect.venue == venue)
    told = b"\n".join(pool(venue))
    for name in {template.channel for template in dialect.templates} - {"depth10", "depth5", "GET depth"}:
        mark = b'"channel":"%s"' % name.encode() if venue == "hyperliquid" else b"@" + name.encode()
        assert mark in told, name


@pytest.mark.parametrize("venue", NAMES)
def test_untouched_frames_of_the_pool_are_never_malformed(venue: str) -> None:
    fuzzer = Fuzzer(venue)
    for raw in pool(venue):
        fuzzer.check(raw)
    assert fuzzer.counts["malformed"] == 0


def test_the_comparison_finds_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzzer = Fuzzer("binance_usdm")
    raw = next(frame for frame in pool("binance_usdm") if b"@trade" in frame)
    monkeypatch.setattr(frames, "decode", lambda venue, payload: frames_of_another_price(payload))
    with pytest.raises(WrongError):
        fuzzer.check(raw)


_decode = frames.decode


def frames_of_another_price(payload: bytes) -> list[Any]:
    (trade,) = _decode("binance_usdm", payload)
    assert isinstance(trade, nouns.Trade)
    return [nouns.Trade(trade.symbol, trade.id, trade.price + 1, trade.quantity, trade.taker_buy, trade.time_ms)]


@pytest.mark.parametrize("venue", [name for name in NAMES if name != "hyperliquid"])
def test_mutated_answers_are_read_as_the_oracle_reads_them_or_not_at_all(venue: str) -> None:
    (dialect,) = (dialect for dialect in VENUES if dialect.venue == venue)
    rng = random.Random(venue)
    read = 0
    for _ in range(2 * FRAMES):
        payload = rng.choice(answers(venue))
        payload = spliced(payload, splices_of(rng, payload, rng.choice(answers(venue))))
        head, _, body = payload.partition(b"\n")
        request, _, symbol = head.decode("ascii", "replace").partition(" ")
        try:
            messages = dialect.decode_rest(request, symbol, body)
            found = [plain_message(m) for m in messages if isinstance(m, Snapshot | Context)]
        except MalformedError:
            continue
        if found:
            read += 1
            (event,) = frames.decode_rest(venue, payload)
            if isinstance(messages[0], Snapshot) and b'"T":' not in body:
                continue  # the oracle takes E then, the engine the time of receipt
            if isinstance(event, nouns.Malformed):
                assert event.reason in LENIENT or event.reason.startswith(("number '-", "'ascii'")), (payload, event)
            else:
                assert found == [plain_event(event, messages[0])], payload
    assert read > FRAMES / 10


@pytest.mark.parametrize("venue", NAMES)
def test_mutated_answers_never_raise(venue: str) -> None:
    rng = random.Random(f"{venue} answers")
    seeds = answers(venue)
    story = Story(venue).up(*[c.name for c in VENUES[NAMES.index(venue)].channels if c.core is not None])
    story.trade(-900)
    for n in range(FRAMES):
        payload = rng.choice(seeds)
        source = rng.choice((1, 1, 1, 2, 7, 8, 63, 64, 65_535))
        kind = rng.choice((RecordKind.REST, RecordKind.REST, RecordKind.REST_ERROR))
        story.put(n, kind, spliced(payload, splices_of(rng, payload, rng.choice(seeds))), source)
        if n % 50 == 0:
            story.tick(n)
    story.tick(70_000)
    assert len(story.run().links) == 2


@pytest.mark.parametrize("kind", CONTROL)
def test_arbitrary_control_records_are_obeyed_or_refused_with_a_sentence(kind: RecordKind) -> None:
    """A control record is the engine's own: what it cannot read is a ConfigError."""
    story = Story(symbols=("XUSDT", "YUSDT")).up("trade", "depth")
    own = {record.kind: record.payload for record in story.records}
    payload = own.get(kind, b'{"limits":{"symbols_max":8}}')
    rng = random.Random(int(kind))
    for n in range(FRAMES // 10):
        made = rng.randbytes(rng.randrange(60)) if n % 5 == 0 else spliced(payload, splices_of(rng, payload, payload))
        record = Record(len(story.records), story.records[-1].recv_ns, rng.choice((0, 1, 2, 8, 65_535)), kind, made)
        try:
            run([*story.records, record])
        except ConfigError:
            continue
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}: Record(..., {record.source}, {made!r})") from error


# --- found wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"Y", b"]", b'"', b" ", b"\x00"])
def test_a_list_of_levels_begins_with_a_bracket(first: bytes) -> None:
    """Found by the fuzz, and mended: the scanner stepped over the first byte of a list without looking at it."""
    story = Story().up("depth")
    diff = story.records[story.diff(0, 11, 12, 10, bids=[["99.5", "1"]], asks=[["100.5", "2"]])].payload
    fuzzer = Fuzzer("binance_usdm")
    assert fuzzer.scanned(diff) >= 0
    for key in (b'"b":', b'"a":'):
        assert fuzzer.scanned(diff.replace(key + b"[", key + first)) < 0


@pytest.mark.parametrize(("price", "quantity"), [("0", "1"), ("100", "0")])
def test_a_trade_at_zero_is_rejected_and_marked(price: str, quantity: str) -> None:
    story = Story().up("trade", came=-40_000)
    story.trade(-39_000)
    story.trade(30_000)
    story.trade(31_000, price, quantity)
    story.trade(60_500)
    row = story.run().row()
    assert (row["low"], row["trade_count"], row["rejected"], "rejected" in row["dq_reasons"]) == (100, 1, 1, True)


def test_a_futures_quote_without_its_time_is_malformed() -> None:
    story = Story().up("trade", "bookTicker", came=-40_000)
    story.trade(-39_000)
    data = {"e": "bookTicker", "u": 5, "s": "XUSDT", "b": "99", "B": "1", "a": "101", "A": "1"}
    story.frame(10_000, {"stream": "xusdt@bookTicker", "data": data})
    assert story.run().tape.connections[1]["malformed"] == 1


@pytest.mark.parametrize("venue", [name for name in NAMES if name != "hyperliquid"])
def test_an_aggregate_of_another_order_type_is_in_no_candle(venue: str) -> None:
    """Found by the fuzz, and mended: an X beside an aggTrade was not looked at."""
    raw = next(frame for frame in pool(venue) if b"@aggTrade" in frame)
    assert b'"X"' not in raw
    (dialect,) = (dialect for dialect in VENUES if dialect.venue == venue)
    for order_type, in_candles in ((b"MARKET", True), (b"ADL", False)):
        _, (trade,) = dialect.decode(raw.replace(b'"e":', b'"X":"%s","e":' % order_type))
        assert plain_message(trade)[-1] is in_candles
