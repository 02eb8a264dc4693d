"""A sink that remembers what the last hour of minutes looked like, for the status."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from engine.core.effects import Effect, Event, Found, MinuteRows
from engine.core.minutes import NS_PER_MINUTE
from engine.core.schema import NULL, PARTIAL_REASONS, STALE_REASONS, Reason, Status, reason_names
from engine.core.signal_columns import Stop
from engine.io.status import HEALTH_WINDOW_MINUTES, SymbolMinute, quantiles

EVENTS_KEPT = 100
UNREMARKABLE = int(Reason.FEED_ABSENT)  # true of every row where an optional channel is not configured
TELLING = int(STALE_REASONS | PARTIAL_REASONS)
names_of = cache(reason_names)  # a few sets of bits come again and again


class Recent:
    """Rows by newest revision, candidates of every reading, the newest row of each symbol, the newest events."""

    def __init__(self) -> None:
        self._rows: dict[
            tuple[str, int], dict[str, tuple[int, int]]
        ] = {}  # (venue, minute) -> symbol -> status, reasons
        self._found: dict[tuple[str, int], list[Found]] = {}  # (venue, minute) -> what had candidates
        self._newest: dict[tuple[str, str], SymbolMinute] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self.last_close_ns: int | None = None

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, MinuteRows):
                self._minute(effect)
            elif isinstance(effect, Event):
                self.events.append({
                    "cause_seq": effect.cause_seq, "at_ns": effect.at_ns, "kind": effect.kind, "venue": effect.venue,
                    "symbol": effect.symbol, "detail": effect.detail,
                })  # fmt: skip

    def close(self) -> None:
        """Nothing to keep."""

    def counts(self) -> dict[str, Any]:
        """closed, rows, ok, partial, stale, cut, reasons: of the last hour, as engine.io.status.Minutes."""
        statuses: Counter[int] = Counter()
        reasons: Counter[str] = Counter()
        cut = 0
        for rows in self._rows.values():
            for status, bits in rows.values():
                statuses[status] += 1
                cut += bits & TELLING == Reason.EDGE
                reasons.update(names_of(bits))
        return {
            "closed": len(self._rows),
            "rows": statuses.total(),
            **{status.name.lower(): statuses[int(status)] for status in Status},
            "cut": cut,
            "reasons": dict(sorted(reasons.items())),
            "last_close_ns": self.last_close_ns,
        }

    def judged(self) -> dict[str, Any]:
        """reasons, classes, severity: of the last hour, as engine.io.status.Judged."""
        found = [one for readings in self._found.values() for one in readings]
        reasons = Counter(Stop(code).name.lower() for one in found for code in one.rows["reason"].tolist())
        signals = [signal for one in found for signal in one.signals]
        return {
            "reasons": dict(sorted(reasons.items())),
            "classes": dict(sorted(Counter(signal.signal_class for signal in signals).items())),
            "severity": quantiles([float(signal.severity) for signal in signals]),
        }

    def symbols(self) -> list[SymbolMinute]:
        return [self._newest[key] for key in sorted(self._newest)]

    def _minute(self, minute: MinuteRows) -> None:
        known = self._rows.setdefault((minute.venue, minute.minute), {})
        statuses = minute.rows["dq_status"].tolist()
        bits = (minute.rows["dq_reasons"] & ~np.int64(UNREMARKABLE)).tolist()
        known.update(zip(minute.symbols, zip(statuses, bits, strict=True), strict=True))
        if minute.found is not None and len(minute.found.rows):
            self._found.setdefault((minute.venue, minute.minute), []).append(minute.found)
        end_ns = (minute.minute + 1) * NS_PER_MINUTE
        self.last_close_ns = max(self.last_close_ns or 0, end_ns)
        for key in [key for key in self._rows if key[1] < minute.minute - HEALTH_WINDOW_MINUTES + 1]:
            del self._rows[key]
            self._found.pop(key, None)
        for symbol, row, status, reasons in zip(minute.symbols, minute.rows, statuses, bits, strict=True):
            newest = self._newest.get((minute.venue, symbol))
            if newest and newest["exchange_ts"] * 1_000_000 > end_ns:
                continue
            self._newest[minute.venue, symbol] = {
                "venue": minute.venue,
                "symbol": symbol,
                "exchange_ts": end_ns // 1_000_000,
                "status": Status(status).name.lower(),  # type: ignore[typeddict-item]
                "reasons": names_of(reasons),
                "trade_count": int(row["trade_count"]),
                "book_staleness_ms": _whole(row["book_staleness_ms"]),
                "oi_staleness_ms": _whole(row["oi_staleness_ms"]),
                "is_warming_up": bool(row["is_warming_up"]),
            }


def _whole(value: Any) -> int | None:
    return None if value == NULL else int(value)
