"""What was said on a bus, and how well it arrives: counts of the session, rate and latency of the last five minutes."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.io.status import quantiles

WINDOW_NS = 300 * NS_PER_S
KEPT = 100_000
RATE_GREEN_PCT, RATE_AMBER_PCT = 99.0, 95.0
LATENCY_GREEN_MS, LATENCY_AMBER_MS = 50.0, 100.0

Outcome = Literal["delivered", "failed", "expired"]
OUTCOMES: tuple[Outcome, ...] = ("delivered", "failed", "expired")
Colour = Literal["green", "amber", "red", "unknown"]


@dataclass(slots=True)
class Said:
    """All messages of one type, in their order. digest: SHA-256 hex over the digest before and the id of the newest.

    place: of the newest, where it came from; -1: none has one. Two buses with equal count and digest said the same.
    """

    count: int = 0
    digest: str = ""
    place: int = -1

    def take(self, message_id: str, place: int) -> None:
        self.count += 1
        self.digest = hashlib.sha256((self.digest + message_id).encode()).hexdigest()
        self.place = max(self.place, place)


class Figures:
    """said: by type. counts: what became of messages, by receiver. Both are of the whole session."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}
        self.counts: dict[str, dict[Outcome, int]] = {}
        self._settled: deque[tuple[int, str, Outcome, float]] = deque(maxlen=KEPT)

    def say(self, type_: str, message_id: str, place: int) -> None:
        self.said.setdefault(type_, Said()).take(message_id, place)

    def count(self, receiver: str, outcome: Outcome) -> None:
        self.counts.setdefault(receiver, dict.fromkeys(OUTCOMES, 0))[outcome] += 1

    def settle(self, receiver: str, outcome: Outcome, since_ns: int, now_ns: int) -> None:
        """since_ns: from when on its latency counts."""
        self._settled.append((now_ns, receiver, outcome, (now_ns - since_ns) / NS_PER_MS))
        self.count(receiver, outcome)

    def status(self, now_ns: int, pending: dict[str, int]) -> dict[str, Any]:
        """As engine.io.status.Bus, but for `trouble`. pending: messages by receiver."""
        while self._settled and self._settled[0][0] < now_ns - WINDOW_NS:
            self._settled.popleft()
        lately: dict[str, list[tuple[Outcome, float]]] = {}
        for _, receiver, outcome, took_ms in self._settled:
            lately.setdefault(receiver, []).append((outcome, took_ms))
        names = sorted({*self.counts, *pending})
        return self._of(names, pending, lately) | {
            "said": {type_: said.count for type_, said in sorted(self.said.items())},
            "modules": [{"name": name} | self._of([name], pending, lately) for name in names],
        }

    def _of(
        self, names: list[str], pending: dict[str, int], lately: dict[str, list[tuple[Outcome, float]]]
    ) -> dict[str, Any]:
        """As engine.io.status.Delivered, of these receivers. lately: (outcome, ms) by receiver."""
        settled = [one for name in names for one in lately.get(name, ())]
        delivered_ms = [took_ms for outcome, took_ms in settled if outcome == "delivered"]
        rate = 100.0 * len(delivered_ms) / len(settled) if settled else None
        latency = quantiles(delivered_ms)
        told: dict[str, Any] = {
            outcome: sum(self.counts[name][outcome] for name in names if name in self.counts) for outcome in OUTCOMES
        }
        return told | {
            "pending": sum(pending.get(name, 0) for name in names),
            "delivery_pct": rate, "delivery": rate_colour(rate),
            "latency_ms": latency, "latency": latency_colour(latency["p95"]),
        }  # fmt: skip


def rate_colour(rate_pct: float | None) -> Colour:
    if rate_pct is None:
        return "unknown"
    return "green" if rate_pct > RATE_GREEN_PCT else "amber" if rate_pct >= RATE_AMBER_PCT else "red"


def latency_colour(p95_ms: float | None) -> Colour:
    if p95_ms is None:
        return "unknown"
    return "green" if p95_ms < LATENCY_GREEN_MS else "amber" if p95_ms <= LATENCY_AMBER_MS else "red"
