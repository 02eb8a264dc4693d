"""The bus of a replay: the same messages in the same file, under the time of the journal, with nobody to answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.core.effects import Effect, Heard, MinuteRows, Released
from engine.core.minutes import NS_PER_MS, close_ms
from engine.core.release import Reach, Release
from engine.io.bus.bus import Bus
from engine.io.bus.ends import market_event
from engine.io.bus.ledger import MESSAGES
from engine.io.bus.message import decode
from engine.io.disk import Disk
from engine.io.publish.outbox import reach_of
from engine.io.session import SessionIncompleteError


class Simulated:
    """engine.core.ports.Sink. What the live bus was told, as far as the journal says it; docs/delivery.md says how far.

    folder: of the session; messages that its file has are not said again. release: in force until the first Released.
    """

    def __init__(self, folder: Path, release: Release, disk: Disk) -> None:
        self._folder, self._release = folder, release
        self._time = _ExchangeTime()
        self._bus = Bus(folder, self._time, disk)

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Released):
                self._release = effect.release
            elif isinstance(effect, MinuteRows):
                self._time.ns = max(self._time.ns, close_ms(effect.minute) * NS_PER_MS)
                for signal in effect.found.signals if effect.found else ():
                    if reach_of(self._release.reach, signal)[0] >= Reach.INTERNAL:
                        self._bus.send(market_event(signal))
            elif isinstance(effect, Heard):
                self._bus.send(decode(effect.message))

    def said(self) -> dict[str, int]:
        """Messages by type, of the whole session."""
        return {type_: said.count for type_, said in sorted(self._bus.figures.said.items())}

    def sync(self) -> bool:
        """Make the file durable, before a state snapshot that stands behind it; False if the disk refused."""
        return self._bus.sync()

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._bus.close() and kind is None:
            raise SessionIncompleteError(f"{self._folder / MESSAGES}: the disk took only a part of it; replay again")


class _ExchangeTime:
    """engine.core.ports.Clock: the newest close of any venue; before the first one no message is past its time."""

    ns = 0

    def now_ns(self) -> int:
        return self.ns

    def seconds(self, span_s: float) -> float:
        return span_s
