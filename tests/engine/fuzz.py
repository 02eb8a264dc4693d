"""Mutated frames of every channel: nothing raises, nothing is guessed, every path reads the same.

`python -m tests.engine.fuzz N [venue ...]` reads N mutated frames a venue, each venue in a process of its own. A frame
that fails is cut down to the fewest changes and printed as the call that repeats it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from engine.conveyor import Conveyor
from engine.core import frame as slot
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from engine.tape.message import (
    Context,
    Diff,
    Ignored,
    Levels,
    MalformedError,
    Quote,
)  # fmt: skip
from engine.tape.venues import VENUES
from tests.engine.moves import CHANNELS, SYMBOLS
from tests.engine.mutations import pool, spliced, splices_of
from tests.engine.one_frame import MARGIN, scan_at
from tests.engine.readings import PRICE_DECIMALS, QUANTITY_DECIMALS, leniency, plain_event, plain_message
from tests.engine.running import SlowConveyor, batches, core
from tests.engine.story import START_MS, Story
from tests.oracles import frames, nouns

NAMES = tuple(CHANNELS)
DIALECTS = {dialect.venue: (index, dialect) for index, dialect in enumerate(VENUES)}
BATCH = 250
JUNK = b'"}]},{"x":"1234567890","T":1680000000000,"b":[["1","2"]]}]]}}' + b"7" * MARGIN


class WrongError(AssertionError):
    """A path read something else than the bytes say."""


def beginning(venue: str) -> list[Record]:
    """Instruments and one connection that carries every channel of the venue."""
    scales = {"price_decimals": PRICE_DECIMALS, "quantity_decimals": QUANTITY_DECIMALS}
    story = Story(venue, SYMBOLS[venue][:2], **scales)
    channels = [channel.name for channel in DIALECTS[venue][1].channels]
    story.up(*channels, came=-30_000)
    story.trade(-29_900)
    return story.records


class Fuzzer:
    """Both conveyors of one venue, fed with the same frames; and single frames against the oracle."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.number, self.dialect = DIALECTS[venue]
        self.counts: Counter[str] = Counter()
        self.pair = (Conveyor(), SlowConveyor())
        begin = beginning(venue)
        self.seq, self.now_ms = len(begin), START_MS
        epoch = Record(-1, begin[0].recv_ns, 0, RecordKind.CONFIG, core().encode())
        for conveyor in self.pair:
            for batch in batches([epoch, *begin]):
                conveyor.handle(batch)
        assert self.pair[0].state is not None
        self.tape = self.pair[0].state.tape
        self.tape_of_one = self._fresh_tape([epoch, *begin])

    def _fresh_tape(self, begin: Sequence[Record]) -> Any:
        conveyor = Conveyor()
        for batch in batches(begin):
            conveyor.handle(batch)
        assert conveyor.state is not None
        return conveyor.state.tape

    # one frame

    def check(self, raw: bytes, beyond: bytes = b"") -> None:
        """All that a single frame can tell. beyond: bytes that lie behind it in memory."""
        events = frames.decode(self.venue, raw)
        channel = self.scanned(raw)
        if channel >= 0:
            self.counts["scanned"] += 1
            self._compare_scanned(raw, events)
            kept = self.tape_of_one.frame.copy()
        for behind in (beyond, JUNK):
            if self.scanned(raw, behind) != channel or (channel >= 0 and (kept != self.tape_of_one.frame).any()):
                raise WrongError("what lies behind the frame changes what is read")
        try:
            named, messages = self.dialect.decode(raw)
        except MalformedError:
            self.counts["malformed"] += 1
            if channel >= 0:
                raise WrongError("the scanner accepts what the slow path refuses") from None
            return
        if self.dialect.channel_index(named) < 0 and not isinstance(messages[0] if messages else None, Context):
            self.counts["of no channel"] += 1  # nothing of it is applied
            return
        self._compare_messages(messages, events)

    def scanned(self, raw: bytes, beyond: bytes = b"") -> int:
        buffer = np.zeros(len(raw) + 2 * MARGIN, np.uint8)
        behind = beyond[:MARGIN]
        buffer[MARGIN : MARGIN + len(raw) + len(behind)] = np.frombuffer(raw + behind, np.uint8)
        return int(scan_at(self.tape_of_one, buffer, len(raw), self.number))

    def _compare_scanned(self, raw: bytes, events: Sequence[nouns.Event]) -> None:
        frame, tape = self.tape_of_one.frame, self.tape_of_one
        kind = int(frame[slot.KIND])
        names = SYMBOLS[self.venue]
        if kind == slot.KIND_TRADES:
            found = [
                (names[int(t["symbol"])], int(t["order"]), int(t["price"]), int(t["quantity"]), int(t["buy"]),
                 int(t["event_ns"]), int(t["count"]), int(t["flag"]) != slot.NOT_IN_CANDLES)
                for t in tape.fresh[: int(frame[slot.TRADES])]
            ]  # fmt: skip
            expected = [
                (e.symbol, e.id, price(e.price), quantity(e.quantity), int(e.taker_buy), e.time_ms * NS_PER_MS, e.count,
                 e.in_candles)
                for e in events if isinstance(e, nouns.Trade)
            ]  # fmt: skip
            if found != expected and not _has_zero(found):
                raise WrongError(f"scanned {found}, expected {expected}")
            return
        if kind == slot.KIND_QUOTE:
            update_id = None if self.venue == "hyperliquid" else _known(frame[slot.LAST_ID])
            bid, ask = (_text(frame[place], PRICE_DECIMALS) for place in (slot.BID, slot.ASK))
            sizes = [_text(frame[place], QUANTITY_DECIMALS) for place in (slot.BID_QUANTITY, slot.ASK_QUANTITY)]
            symbol = names[int(frame[slot.SYMBOL])]
            found_quote = Quote(symbol, update_id, bid, sizes[0], ask, sizes[1], _time(frame))
            self._compare_messages([found_quote], events)
            return
        if kind in (slot.KIND_DIFF, slot.KIND_LEVELS):
            sides = [
                [
                    (
                        _text(tape.level_price[side, i], PRICE_DECIMALS),
                        _text(tape.level_quantity[side, i], QUANTITY_DECIMALS),
                    )
                    for i in range(int(frame[slot.BIDS + side]))
                ]
                for side in range(2)
            ]
            symbol = names[int(frame[slot.SYMBOL])]
            message: Any = Levels(symbol, sides[0], sides[1], _time(frame))
            if kind == slot.KIND_DIFF:
                previous = None if self.dialect.spot_sequence else _known(frame[slot.PREVIOUS_ID])
                ids = (int(frame[slot.FIRST_ID]), int(frame[slot.LAST_ID]), previous)
                message = Diff(symbol, *ids, sides[0], sides[1], _time(frame) or 0)
            self._compare_messages([message], events)
            return
        self.counts["scanned, of a kind only the other path is compared with"] += 1

    def _side(self, side: int, count: int) -> list[tuple[str, str]]:
        """Levels in hand, as texts."""
        pairs = zip(
            self.tape_of_one.level_price[side, :count], self.tape_of_one.level_quantity[side, :count], strict=True
        )
        return [(_text(p, PRICE_DECIMALS), _text(q, QUANTITY_DECIMALS)) for p, q in pairs]

    def _compare_messages(self, messages: Sequence[Any], events: Sequence[nouns.Event]) -> None:
        """What the engine reads, the oracle reads, with equal values."""
        read = [message for message in messages if not isinstance(message, Ignored)]
        try:
            found = [plain_message(message) for message in read]
        except MalformedError:
            self.counts["refused by value"] += 1
            return
        if not read:
            self.counts["ignored"] += 1
            if any(not isinstance(e, nouns.Other | nouns.Malformed | nouns.Candle) for e in events):
                raise WrongError(f"ignored what the oracle reads: {events}")
            return
        self.counts["read"] += 1
        excuse = leniency(read, events)
        if excuse:
            self.counts[f"lenient: {excuse}"] += 1
        elif found != (expected := [plain_event(event, read[0]) for event in events]):
            raise WrongError(f"read {found}, expected {expected}")

    # many frames

    def check_together(self, raws: Sequence[bytes]) -> None:
        """Through the whole conveyor, once scanned and once by orjson: the same minutes, events and ticks."""
        sent = []
        for raw in raws:
            sent.append(Record(self.seq, self.now_ms * NS_PER_MS, 1, RecordKind.FRAME, raw))
            self.seq += 1
        self.now_ms += 1_000
        sent.append(Record(self.seq, self.now_ms * NS_PER_MS, 0, RecordKind.TICK, b""))
        self.seq += 1
        told = [[e for batch in batches(sent) for e in conveyor.handle(batch)] for conveyor in self.pair]
        fast, slow = ([shown(effect) for effect in effects] for effects in told)
        if fast != slow:
            raise WrongError(
                next((a, b) for a, b in zip(fast, slow, strict=False) if a != b) if fast and slow else "effects"
            )
        tapes = [conveyor.state.tape for conveyor in self.pair if conveyor.state is not None]
        for name in ("venues", "marks", "top_price", "top_quantity"):
            if getattr(tapes[0], name).tobytes() != getattr(tapes[1], name).tobytes():
                raise WrongError(f"{name} differ between the paths")


def shown(effect: Any) -> Any:
    """An effect without what counts the slow readings: the digest of the tape and the chain over it."""
    if hasattr(effect, "rows"):
        digests = (effect.digests["bars"], effect.digests["quality"])
        return effect.venue, effect.minute, effect.revision, effect.symbols, effect.rows.tobytes(), digests
    return effect


def price(value: Decimal) -> Decimal:
    return value.scaleb(PRICE_DECIMALS)


def quantity(value: Decimal) -> Decimal:
    return value.scaleb(QUANTITY_DECIMALS)


def _has_zero(trades: Iterable[tuple[Any, ...]]) -> bool:
    return any(trade[2] == 0 or trade[3] == 0 for trade in trades)


def _known(value: Any) -> int | None:
    return None if int(value) == slot.UNSET else int(value)


def _text(value: Any, decimals: int) -> str:
    return f"{Decimal(int(value)).scaleb(-decimals):f}"


def _time(frame: Any) -> int | None:
    told = int(frame[slot.TRANSACTION_MS])
    return told if told >= 0 else _known(frame[slot.EVENT_MS])


# --- many -------------------------------------------------------------------------------------------------------------


def fewest(fuzzer: Fuzzer, frame: bytes, splices: Sequence[Any]) -> bytes:
    """The frame with as few of its changes as still fail."""
    kept = list(splices)
    for splice in list(splices):
        fewer = [s for s in kept if s is not splice]
        if fails(fuzzer, spliced(frame, fewer)):
            kept = fewer
    return spliced(frame, kept)


def fails(fuzzer: Fuzzer, raw: bytes) -> str:
    """What is wrong with a frame; empty if nothing."""
    try:
        fuzzer.check(raw)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fuzz(venue: str, count: int, first: int = 0, aloud: bool = False) -> Counter[str]:
    """`count` mutated frames, in batches whose bytes follow from their number alone; what became of them."""
    fuzzer, seeds = Fuzzer(venue), pool(venue)
    for batch in range(first, first + -(-count // BATCH)):
        rng = random.Random(f"{venue} {batch}")
        raws = []
        for _ in range(BATCH):
            frame = rng.choice(seeds)
            splices = splices_of(rng, frame, rng.choice(seeds))
            raw = spliced(frame, splices)
            if aloud:
                print(raw, flush=True)
            try:
                fuzzer.check(raw, frame[len(raw) :])
            except Exception as error:
                smallest = fewest(fuzzer, frame, splices)
                why = fails(fuzzer, smallest) or f"{type(error).__name__}: {error}"
                raise WrongError(f"Fuzzer({venue!r}).check({smallest!r})\n  {why}") from error
            raws.append(raw)
        together(fuzzer, venue, raws)
    return fuzzer.counts


def together(fuzzer: Fuzzer, venue: str, raws: list[bytes]) -> None:
    """All of a batch through both conveyors; if that fails, the fewest frames that fail alone are named."""
    try:
        fuzzer.check_together(raws)
    except Exception as error:
        kept = raws
        size = len(kept) // 2
        while size:
            for at in range(0, len(kept), size):
                fewer = kept[:at] + kept[at + size :]
                try:
                    Fuzzer(venue).check_together(fewer)
                except Exception:
                    kept = fewer
                    break
            else:
                size //= 2
        raise WrongError(f"Fuzzer({venue!r}).check_together({kept!r})\n  {type(error).__name__}: {error}") from error


def main(arguments: Sequence[str]) -> int:
    if arguments[0] == "--child":
        print(dict(fuzz(arguments[1], int(arguments[2]))))
        return 0
    failed = 0
    for venue in arguments[1:] or NAMES:
        began = time.monotonic()
        done = in_a_child(venue, int(arguments[0]))
        failed += done.returncode != 0
        told = done.stdout if done.returncode == 0 else f"ended with {done.returncode}\n{done.stderr[-3000:]}"
        print(f"{venue:14} {int(arguments[0]):,} frames, {time.monotonic() - began:.0f} s: {told.strip()}", flush=True)
    return failed


def in_a_child(venue: str, count: int) -> subprocess.CompletedProcess[str]:
    """A process of its own: a crash of the scanner is an answer, not the end of the tests."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.engine.fuzz", "--child", venue, str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
