"""Random lives of the settings of an engine: changes, rollbacks, kills and starts, against what was promised.

`python -m tests.core.packs N [seed]` plays N lives. One that fails is printed as the call that repeats it.

A life is a journal of configuration records in between the closes of two venues. The real Epochs is fed with the
records' bytes; beside it stands the plainest model: a list of (first minute, settings) that nothing is ever taken from.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from config.change import changed
from config.problems import SettingsError
from config.schema import Core
from config.signals import Signals
from engine.core.control import Change, read_epoch, write_epoch
from engine.core.detector import Detector, View
from engine.core.effects import ConfigVersion
from engine.core.epochs import Epochs
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.pack import Pack, make_pack
from engine.core.records import Record, RecordKind

FIRST_MINUTE = 29_453_700
STEPS = 12


def nothing(view: View, threshold: float, out: np.ndarray) -> None:
    """Finds nothing."""


TABLE = tuple(
    Detector(
        id=name, subtype=f"test.{name}", signal_class=signal_class, threshold=2.5, unit="sigma", trigger="", primary="",
        secondary="", inputs=(), cooldown_s=45, half_life_s=120, find=nothing, is_core=is_core,
    )
    for name, signal_class, is_core in (
        ("one_v1", "spike", True), ("two_v1", "shift", True), ("three_v1", "spike", False),
    )
)  # fmt: skip
IDS = [detector.id for detector in TABLE]

VALUES: tuple[tuple[str, Callable[[random.Random], Any]], ...] = (
    *((f"core.signals.detectors.{name}.threshold", lambda rng: rng.choice([None, 0.7, 2.0, 3.5])) for name in IDS),
    *((f"core.signals.detectors.{name}.enabled", lambda rng: rng.choice([None, True, False])) for name in IDS),
    ("core.signals.detectors.one_v1.stage", lambda rng: rng.choice([None, "shadow", "canary"])),
    ("core.signals.rearm_pct", lambda rng: rng.choice([None, 50, 70, 90])),
    ("core.signals.classes.spike.severity_min", lambda rng: rng.choice([55, 65, 75])),
    ("core.signals.sectors.BTC", lambda rng: rng.choice([None, "majors", "gold"])),
)
WRONG: tuple[tuple[str, Any], ...] = (
    ("core.signals.detectors.one_v1.threshold", 10.0), ("core.signals.detectors.four_v1.threshold", 2.0),
    ("core.signals.rearm_pct", 101), ("core.signals.minute_signals_max", 1), ("core.closing.grace_ms", 5000),
)  # fmt: skip


read = lru_cache(maxsize=1024)(read_epoch)  # a record read again says the same again


class BrokenError(AssertionError):
    """A promise that was not kept."""


def promise(holds: bool, words: str) -> None:
    if not holds:
        raise BrokenError(words)


@dataclass
class Life:
    """One random life. judged: (venue, minute) -> digest of the pack under which it was first read."""

    rng: random.Random
    journal: list[tuple[Record, list[int]]] = field(default_factory=list)  # with the minutes that were open
    model: list[tuple[int, Signals]] = field(default_factory=list)
    versions: list[ConfigVersion] = field(default_factory=list)
    judged: dict[tuple[int, int], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def live(self) -> None:
        """Begin, and take STEPS steps."""
        self.now_ns = FIRST_MINUTE * NS_PER_MINUTE + self.rng.randrange(60) * NS_PER_S
        self.opened = [FIRST_MINUTE, FIRST_MINUTE]
        self.core = self.given = Core()
        self.epochs = Epochs(TABLE)
        self._append(self.core.encode())
        for _ in range(STEPS):
            step = self.rng.choice([
                self._go_on, self._go_on, self._change, self._change, self._change_wrongly, self._roll_back, self._kill,
                self._start,
            ])  # fmt: skip
            self.counts[step.__name__] = self.counts.get(step.__name__, 0) + 1
            step()
            self._look()

    # steps

    def _go_on(self) -> None:
        """Time passes. A venue closes by its own clock, up to two seconds ahead of ours or behind."""
        self.now_ns += self.rng.randrange(1, 90) * NS_PER_S
        for venue in range(2):
            end = (self.now_ns + self.rng.randrange(-2, 3) * NS_PER_S) // NS_PER_MINUTE
            while self.opened[venue] < end:
                self._judge(venue, self.opened[venue])
                self.opened[venue] += 1

    def _judge(self, venue: int, minute: int) -> None:
        digest = self.epochs.of(minute).digest
        promise(
            self.judged.setdefault((venue, minute), digest) == digest, f"minute {minute} was judged under two packs"
        )
        other = self.judged.get((1 - venue, minute), digest)
        promise(other == digest, f"minute {minute} was judged under a pack for each venue")
        settings = next(settings for first, settings in reversed(self.model) if first <= minute)
        promise(digest == pack_of(settings).digest, f"minute {minute} was judged under another pack than was in force")

    def _change(self) -> None:
        chosen = self.rng.sample(VALUES, self.rng.randrange(1, 4))
        self._ask({key: draw(self.rng) for key, draw in chosen})

    def _change_wrongly(self) -> None:
        """A right value with a wrong one: neither is taken."""
        before = self.epochs.encode()
        wrong = dict([self.rng.choice(WRONG)])
        try:
            changed(self.core, {"core.signals.escalation_pct": 140} | wrong, "test", IDS)
        except SettingsError:
            promise(self.epochs.encode() == before, "a refused change left a trace")
            return
        raise BrokenError(f"{wrong} was taken")

    def _roll_back(self) -> None:
        version = self.rng.choice(self.versions)
        signals = Signals.model_validate(orjson.loads(version.pack))
        self._append(write_epoch(self.core.model_copy(update={"signals": signals}), Change("test", of=version.version)))
        promise(
            self.epochs.newest.pack.digest == version.config_hash, f"rollback to {version.version} has another hash"
        )

    def _kill(self) -> None:
        """The process dies. A state snapshot from any moment, and the journal behind it, are all that is left."""
        taken = self.rng.randrange(len(self.journal) + 1)
        recalled = self._replayed(taken)
        if taken:
            kept = orjson.loads(orjson.dumps(recalled.encode()))
            recalled = Epochs(TABLE)
            recalled.recall(kept)
        self._feed(recalled, taken)
        promise(recalled.encode() == self.epochs.encode(), f"a restart behind record {taken} stands elsewhere")
        self.epochs = recalled

    def _start(self) -> None:
        """A start with the settings of the one before, or with others: then these win."""
        self._kill()
        if self.rng.random() < 0.4:
            self.given = changed(Core(), {"core.signals.novelty_weight": self.rng.choice([0.5, 0.9])}, "test", IDS)
        digest = self.given.signals.digest()
        signals = self.core.signals if digest == self.epochs.given else self.given.signals
        self._append(write_epoch(self.core.model_copy(update={"signals": signals}), Change("start", given=digest)))

    # records

    def _ask(self, given: dict[str, Any]) -> None:
        self._append(write_epoch(changed(self.core, given, "test", IDS), Change("test")))

    def _append(self, payload: bytes) -> None:
        """Durable, and obeyed."""
        self.now_ns += self.rng.randrange(3) * NS_PER_S
        record = Record(len(self.journal), self.now_ns, 0, RecordKind.CONFIG, payload)
        self.journal.append((record, list(self.opened)))
        (told,) = self._feed(self.epochs, len(self.journal) - 1)
        core, _ = read(payload)
        if told is None:
            promise(core == self.core, "a change had no version")
        else:
            self._enter(told, core)
        self.core = core

    def _enter(self, told: ConfigVersion, core: Core) -> None:
        if self.versions:
            label_ns = (told.from_minute + 1) * NS_PER_MINUTE
            promise(label_ns > self.now_ns, "a change reached back")
            promise(label_ns <= max(self.now_ns, max(self.opened) * NS_PER_MINUTE) + NS_PER_MINUTE, "a change waited")
            promise(told.from_minute >= max(self.opened), "a change reached a closed minute")
            promise(numbers(told) > numbers(self.versions[-1]), f"{told.version} behind {self.versions[-1].version}")
        self.model.append((told.from_minute, core.signals))
        self.versions.append(told)

    def _feed(self, epochs: Epochs, begin: int) -> list[ConfigVersion | None]:
        """The journal from a record on, as the conveyor takes it."""
        told: list[ConfigVersion | None] = []
        old = read(self.journal[begin - 1][0].payload)[0] if begin else None
        for record, opened in self.journal[begin:]:
            core, change = read(record.payload)
            if old is None:
                epochs.begin(core.signals)
                told.append(epochs.first(record))
            else:
                told.append(epochs.change(old, core, change, record, opened))
            old = core
        return told

    def _replayed(self, count: int) -> Epochs:
        epochs = Epochs(TABLE)
        whole, self.journal = self.journal, self.journal[:count]
        self._feed(epochs, 0)
        self.journal = whole
        return epochs

    # what holds after every step

    def _look(self) -> None:
        for epoch in self.epochs.kept:
            whole = pack_of(epoch.pack.settings)
            same = whole.digest == epoch.pack.digest and whole.rules.tobytes() == epoch.pack.rules.tobytes()
            promise(same, "half a pack")
        promise(self.epochs.newest.pack.settings == self.core.signals, "the newest pack is not what was asked for last")
        promise(len(self.epochs.kept) <= 4, "packs that nobody needs are kept")
        promise(self.epochs.given == self.given.signals.digest(), "what the newest start was given is forgotten")
        for venue, minute in enumerate(self.opened):
            if (venue, minute - 1) in self.judged:
                self._judge(venue, minute - 1)  # a revision in grace


_packs: dict[bytes, Pack] = {}  # settings -> what they come to, made apart from any change


def pack_of(settings: Signals) -> Pack:
    text = settings.encode()
    if text not in _packs:
        if len(_packs) > 4096:
            _packs.clear()
        _packs[text] = make_pack(TABLE, Signals.model_validate(orjson.loads(text)))
    return _packs[text]


def numbers(version: ConfigVersion) -> list[int]:
    return [int(part) for part in version.version.removeprefix("v").split(".")]


def play(count: int, seed: int = 0) -> dict[str, int]:
    """Lives seed to seed + count; how often each step was taken. Raises BrokenError that names the life."""
    counts: dict[str, int] = {}
    for number in range(seed, seed + count):
        life = Life(random.Random(number))
        try:
            life.live()
        except BrokenError as error:
            raise BrokenError(f"python -m tests.core.packs 1 {number}: {error}") from error
        for name, taken in life.counts.items():
            counts[name] = counts.get(name, 0) + taken
        counts["versions"] = counts.get("versions", 0) + len(life.versions)
    return counts


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]] or [1000]
    began = time.monotonic()
    found = play(*arguments)
    print(f"{arguments[0]} lives in {time.monotonic() - began:.0f} s, nothing broken; {found}")
