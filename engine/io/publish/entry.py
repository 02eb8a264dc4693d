"""A line of the outbox: a signal's payload as the core made it, in an envelope that no digest covers."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from engine.core.effects import Signal
from engine.core.release import Reach

PAYLOAD = b',"payload":'  # stands last in a line, and nowhere before: in a text its quotes would be escaped


@dataclass(frozen=True, slots=True)
class Entry:
    """A line, read. position: where it begins; after: where the next one does. The others as docs/delivery.md says."""

    position: int
    after: int
    number: int
    link: int
    place: int
    reach: Reach
    why: str
    taken_ns: int
    signal: Signal

    @property
    def id(self) -> str:
        return self.signal.id

    def message(self, published_ns: int) -> bytes:
        """What a sink sends."""
        head = {"position": self.position, "id": self.id, "published_ns": published_ns}
        return orjson.dumps(head)[:-1] + PAYLOAD + self.signal.payload + b"}"


def encode(
    position: int, number: int, link: int, place: int, signal: Signal, reach: Reach, why: str, taken_ns: int
) -> bytes:  # fmt: skip
    """The line of a signal, without its line feed."""
    head = {
        "position": position, "number": number, "id": signal.id, "link": link, "place": place, "venue": signal.venue,
        "symbol": signal.symbol, "key": signal.key, "detector": signal.detector, "signal_class": signal.signal_class,
        "stage": signal.stage, "exchange_ts": signal.exchange_ts, "severity": signal.severity,
        "direction": signal.direction, "reach": reach.name.lower(), "why": why, "taken_ns": taken_ns,
    }  # fmt: skip
    return orjson.dumps(head)[:-1] + PAYLOAD + signal.payload + b"}"


def decode(position: int, line: bytes) -> Entry:
    """The line at `position`."""
    head, _, tail = line.partition(PAYLOAD)
    told = orjson.loads(head + b"}")
    signal = Signal(
        told["id"], told["venue"], told["symbol"], told["key"], told["detector"], told["signal_class"], told["stage"],
        told["exchange_ts"], told["severity"], told["direction"], tail[:-1],
    )  # fmt: skip
    reach = Reach[told["reach"].upper()]
    after = position + len(line) + 1
    return Entry(
        position, after, told["number"], told["link"], told["place"], reach, told["why"], told["taken_ns"], signal
    )  # fmt: skip
