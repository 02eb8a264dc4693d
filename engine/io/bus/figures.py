"""How well messages arrive: rate and latency over the last five minutes."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from engine.core.minutes import NS_PER_MS, NS_PER_S
from engine.io.status import quantiles

WINDOW_NS = 300 * NS_PER_S
KEPT = 100_000
RATE_GREEN_PCT, RATE_AMBER_PCT = 99.0, 95.0
LATENCY_GREEN_MS, LATENCY_AMBER_MS = 50.0, 100.0

Outcome = Literal["delivered", "failed", "expired"]
Colour = Literal["green", "amber", "red", "unknown"]


class Figures:
    """What became of messages, each with the time it took from being created."""

    def __init__(self) -> None:
        self._settled: deque[tuple[int, Outcome, float]] = deque(maxlen=KEPT)
        self.counts: dict[Outcome, int] = {"delivered": 0, "failed": 0, "expired": 0}

    def settle(self, outcome: Outcome, created_ns: int, now_ns: int) -> None:
        self._settled.append((now_ns, outcome, (now_ns - created_ns) / NS_PER_MS))
        self.counts[outcome] += 1

    def status(self, now_ns: int) -> dict[str, Any]:
        """delivery_pct, latency_ms, and the colour of each; None and unknown if nothing settled in the window."""
        while self._settled and self._settled[0][0] < now_ns - WINDOW_NS:
            self._settled.popleft()
        delivered_ms = [took_ms for _, outcome, took_ms in self._settled if outcome == "delivered"]
        rate = 100.0 * len(delivered_ms) / len(self._settled) if self._settled else None
        latency = quantiles(delivered_ms)
        return {
            "delivery_pct": rate, "delivery": rate_colour(rate),
            "latency_ms": latency, "latency": latency_colour(latency["p95"]),
        } | self.counts  # fmt: skip


def rate_colour(rate_pct: float | None) -> Colour:
    if rate_pct is None:
        return "unknown"
    return "green" if rate_pct > RATE_GREEN_PCT else "amber" if rate_pct >= RATE_AMBER_PCT else "red"


def latency_colour(p95_ms: float | None) -> Colour:
    if p95_ms is None:
        return "unknown"
    return "green" if p95_ms < LATENCY_GREEN_MS else "amber" if p95_ms <= LATENCY_AMBER_MS else "red"
