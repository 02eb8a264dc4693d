"""Which detector pack is in force for which minute, and which version of the settings that is.

A change is in force from one minute on: the minute of its record, whose label lies behind it, unless a venue has closed
that one already; then from the first that none has closed. So every venue judges a label under the same pack, and all
readings of a minute are judged under one. Until then, and for what is still revised of earlier minutes, the packs
before it hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config.change import HOT, differences, values_of
from config.keys import DETECTORS
from config.schema import Core
from config.signals import Signals
from engine.core.control import Change
from engine.core.detector import Detector
from engine.core.effects import ConfigVersion
from engine.core.minutes import minute_of
from engine.core.pack import Pack, make_pack
from engine.core.records import Record

ALWAYS = -1  # from_minute of the first epoch
FIRST = (1, 0, 0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A pack and the first minute that it is in force for."""

    from_minute: int
    pack: Pack


class Epochs:
    """Nothing but `begin` may be called before it."""

    def __init__(self, table: Sequence[Detector]) -> None:
        self.table = tuple(table)
        self.kept: list[Epoch] = []  # oldest first; the last is the newest, the others are those still needed
        self.number, self.version = 0, FIRST
        self.given = ""  # digest of the pack in the settings of the newest start

    def begin(self, settings: Signals) -> None:
        """The first pack, in force for every minute."""
        self.kept = [Epoch(ALWAYS, make_pack(self.table, settings))]
        self.number, self.version, self.given = 0, FIRST, settings.digest()

    @property
    def newest(self) -> Epoch:
        """What was asked for last, in force already or not yet."""
        return self.kept[-1]

    def of(self, minute: int) -> Pack:
        """The pack that a minute is judged under; of one older than all that is kept, the oldest."""
        return next((epoch.pack for epoch in reversed(self.kept) if epoch.from_minute <= minute), self.kept[0].pack)

    def change(
        self, old: Core, new: Core, told: Change, record: Record, open_minutes: Sequence[int]
    ) -> ConfigVersion | None:
        """Take the settings of a record; None if they are what was asked for last.

        old: that. open_minutes: of every venue that has one. Raises ConfigError, and changes nothing, for settings that
        make no pack.
        """
        changes = differences(values_of(old), values_of(new))
        pack = make_pack(self.table, new.signals)
        self.given = told.given or self.given
        if not changes:
            return None
        from_minute = max([minute_of(record.recv_ns), *open_minutes])
        needed = min([from_minute, *(minute - 1 for minute in open_minutes)])  # in grace it is still read
        self.kept = [epoch for epoch in self.kept if epoch.from_minute < from_minute] + [Epoch(from_minute, pack)]
        while len(self.kept) > 1 and self.kept[1].from_minute <= needed:
            del self.kept[0]
        self.number, self.version = self.number + 1, _raised(self.version, [key for key, _, _ in changes])
        return self._told(told, record, tuple(changes))

    def first(self, record: Record) -> ConfigVersion:
        """What `begin` began, as the first line of the history."""
        return self._told(Change("start"), record, ())

    def _told(self, told: Change, record: Record, changes: tuple[tuple[str, Any, Any], ...]) -> ConfigVersion:
        epoch = self.newest
        return ConfigVersion(
            record.seq, record.recv_ns, self.number, name_of(self.version), epoch.from_minute, told.who, told.why,
            told.of, epoch.pack.digest, changes, epoch.pack.settings.encode(),
        )  # fmt: skip

    def encode(self) -> dict[str, Any]:
        """For a state snapshot."""
        return {
            "kept": [[epoch.from_minute, epoch.pack.settings.model_dump()] for epoch in self.kept],
            "number": self.number, "version": list(self.version), "given": self.given,
        }  # fmt: skip

    def recall(self, told: dict[str, Any]) -> None:
        """The way back."""
        self.kept = [
            Epoch(from_minute, make_pack(self.table, Signals.model_validate(settings)))
            for from_minute, settings in told["kept"]
        ]
        major, minor, patch = told["version"]
        self.number, self.version, self.given = told["number"], (major, minor, patch), told["given"]


def name_of(version: tuple[int, int, int]) -> str:
    """`v1.2.3`."""
    return "v" + ".".join(map(str, version))


def _raised(version: tuple[int, int, int], keys: Sequence[str]) -> tuple[int, int, int]:
    """The version behind a change: major for what needs a restart, minor for who runs and how far, patch for values."""
    major, minor, patch = version
    if any(not key.startswith(HOT) for key in keys):
        return major + 1, 0, 0
    if any(key.startswith(f"{DETECTORS}.") and key.endswith((".enabled", ".stage")) for key in keys):
        return major, minor + 1, 0
    return major, minor, patch + 1
